//! The override file: what the person at this machine wants of features, above what the router says, but never above
//! a kill.
//!
//! ```toml
//! [features]
//! validation_retry = false        # a switch
//! model = "small"                 # or a text, or a number
//! telemetry_disabled = true       # a kill switch: can be turned on here, not off
//! ```
//!
//! Read as well: keys at the top of the file, in `[feature_flags]` and in `[feature_flags.overrides]`; the later of
//! these wins, and `[features]` over all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use crate::core::ids::FlagKey;

use super::{disk, merge, platform};

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 256 << 10;

/// Where features may stand, weakest first. Written is the last.
const PLACES: [&[&str]; 4] = [
    &[],
    &["feature_flags"],
    &["feature_flags", "overrides"],
    &["features"],
];

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    /// The disk.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// Not TOML, with the place.
    #[error("{} is not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// `[features]` is something else.
    #[error("{}: `{name}` is no table", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What it is called.
        name: String,
    },
    /// An array, an object or null.
    #[error("an override is a boolean, a text or a number")]
    Value,
}

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// By feature.
    pub features: merge::Table,
    /// What of it is not understood, in sentences; the rest holds.
    pub warnings: Vec<String>,
}

/// The override file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverrideFile {
    path: PathBuf,
}

impl OverrideFile {
    /// The file at a path; it need not be there.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The user's own: see [`platform::overrides`].
    pub fn default_place() -> Option<Self> {
        platform::overrides().map(Self::at)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it. No file says nothing.
    ///
    /// # Errors
    /// When it cannot be read, or is not TOML.
    pub fn load(&self) -> Result<Overrides, OverrideError> {
        let document = self.document()?;
        let mut overrides = Overrides::default();
        for place in PLACES {
            let Some(table) = table(&document, place) else {
                continue;
            };
            for (key, item) in table.iter() {
                let known = PLACES.iter().any(|other| {
                    other
                        .split_last()
                        .is_some_and(|(last, above)| *last == key && above == place)
                });
                if !known {
                    overrides.take(key, item, place.is_empty());
                }
            }
        }
        Ok(overrides)
    }

    /// Sets one feature. Comments and everything else in the file stay.
    ///
    /// # Errors
    /// When the file cannot be read or written, or the value is none that an override can have.
    pub fn set(&self, key: &FlagKey, to: &Value) -> Result<(), OverrideError> {
        let item = match to {
            Value::Bool(on) => value(*on),
            Value::String(text) => value(text.as_str()),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => value(whole),
                (None, Some(number)) => value(number),
                (None, None) => return Err(OverrideError::Value),
            },
            _ => return Err(OverrideError::Value),
        };
        self.edit(|document| {
            if !document.contains_key("features") {
                let mut table = Table::new();
                // A comment at the end of the file stays above what is added.
                if let Some(end) = document.trailing().as_str().filter(|end| !end.is_empty()) {
                    let line = if end.ends_with('\n') { "" } else { "\n" };
                    table.decor_mut().set_prefix(format!("{end}{line}"));
                    document.set_trailing("");
                }
                document.insert("features", Item::Table(table));
            }
            let features = document.entry("features").or_insert(Item::None);
            let Some(features) = features.as_table_like_mut() else {
                return Err(self.shape("features"));
            };
            match features.get_mut(key.as_str()) {
                // Its comment stays where it was.
                Some(old) => match (old.as_value_mut(), item.into_value()) {
                    (Some(old), Ok(mut new)) => {
                        *new.decor_mut() = old.decor().clone();
                        *old = new;
                    }
                    (_, Ok(new)) => *old = Item::Value(new),
                    (_, Err(_)) => return Err(OverrideError::Value),
                },
                None => {
                    features.insert(key.as_str(), item);
                }
            }
            Ok(())
        })
    }

    /// Takes back what the file says of one feature, wherever it stands. Whether it said anything.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn unset(&self, key: &FlagKey) -> Result<bool, OverrideError> {
        Ok(self.remove(|name| name == key.as_str())? > 0)
    }

    /// Takes back everything that the file says of features. Of how many it said something.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn reset(&self) -> Result<usize, OverrideError> {
        let before = self.load()?.features.len();
        self.remove(|name| name.parse::<FlagKey>().is_ok())?;
        Ok(before)
    }

    /// How many values were removed.
    fn remove(&self, wanted: impl Fn(&str) -> bool) -> Result<usize, OverrideError> {
        if !self.path.exists() {
            return Ok(0);
        }
        let mut removed = 0;
        self.edit(|document| {
            for place in PLACES {
                let Some(table) = table_mut(document, place) else {
                    continue;
                };
                let named = table
                    .iter()
                    .filter(|(key, item)| item.is_value() && wanted(key));
                let named: Vec<String> = named.map(|(key, _)| key.to_owned()).collect();
                removed += named.len();
                for key in named {
                    table.remove(&key);
                }
            }
            Ok(())
        })?;
        Ok(removed)
    }

    /// Reads, changes and writes it, while no other process does.
    fn edit(
        &self,
        change: impl FnOnce(&mut DocumentMut) -> Result<(), OverrideError>,
    ) -> Result<(), OverrideError> {
        let failed = |error| OverrideError::Io {
            path: self.path.clone(),
            error,
        };
        // The folder and not the file, because the file is replaced. Some file systems cannot lock; then the last
        // of two who edit at once wins.
        let folder = disk::make_folder(&self.path).map_err(failed)?;
        let lock = fs::File::open(folder).ok();
        let _locked = lock.as_ref().map(fs::File::lock);
        let mut document = self.document()?;
        let before = document.to_string();
        change(&mut document)?;
        let after = document.to_string();
        if after == before {
            return Ok(());
        }
        // People keep their configuration elsewhere and link to it.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        disk::replace(&target, &after).map_err(failed)
    }

    fn document(&self) -> Result<DocumentMut, OverrideError> {
        let text = disk::read(&self.path, MAX_BYTES).map_err(|error| OverrideError::Io {
            path: self.path.clone(),
            error,
        })?;
        let text = text.unwrap_or_default();
        text.parse()
            .map_err(|error: toml_edit::TomlError| OverrideError::Syntax {
                path: self.path.clone(),
                message: error.to_string().trim().to_owned(),
            })
    }

    fn shape(&self, name: &str) -> OverrideError {
        OverrideError::Shape {
            path: self.path.clone(),
            name: name.to_owned(),
        }
    }
}

impl Overrides {
    /// One entry. At the top of the file there may be tables that are somebody else's.
    fn take(&mut self, key: &str, item: &Item, is_top: bool) {
        let value = match item.as_value() {
            Some(toml_edit::Value::Boolean(on)) => Some(Value::Bool(*on.value())),
            Some(toml_edit::Value::String(text)) => Some(Value::String(text.value().clone())),
            Some(toml_edit::Value::Integer(number)) => Some((*number.value()).into()),
            // Infinity is no JSON.
            Some(toml_edit::Value::Float(number)) => {
                serde_json::Number::from_f64(*number.value()).map(Value::Number)
            }
            _ => None,
        };
        match (key.parse::<FlagKey>(), value) {
            (Ok(key), Some(value)) => {
                self.features.insert(key, value);
            }
            (Ok(_), None) if is_top => {}
            (Ok(_), None) => self.warnings.push(format!(
                "`{key}` in the override file must be a boolean, a text or a number"
            )),
            (Err(e), _) => self
                .warnings
                .push(format!("`{key}` in the override file {e}")),
        }
    }
}

fn table<'a>(document: &'a DocumentMut, place: &[&str]) -> Option<&'a dyn TableLike> {
    let mut table: &dyn TableLike = document.as_table();
    for name in place {
        table = table.get(name)?.as_table_like()?;
    }
    Some(table)
}

fn table_mut<'a>(document: &'a mut DocumentMut, place: &[&str]) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for name in place {
        table = table.get_mut(name)?.as_table_like_mut()?;
    }
    Some(table)
}
