//! Reading a JSON document that a person wrote, so that one look reports everything wrong with it.
//!
//! serde's derived readers stop at the first unknown field and keep the last of two equal keys;
//! at three in the morning that means one `wrangler` round trip for each mistake. Here the text
//! becomes a tree that keeps duplicates, and a [`Decoder`] walks it and collects a [`Problem`]
//! with a path for each thing it could not accept.

use std::fmt;
use std::str::FromStr;

use super::ids::{IdError, Percentage};
use super::json::Json;
use super::table::{Set, Table};
use serde::{Deserialize, Serialize};

/// More problems than this are counted but not kept: nobody reads them, and the document may be
/// hostile.
const MAX_PROBLEMS: usize = 100;

/// One thing wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Problem {
    /// Where: a JSON pointer (RFC 6901), empty for the whole document.
    pub path: String,
    /// What, in a sentence that says how to mend it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "document"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.message)
    }
}

/// Where in the document we are, as a list that leads back to the root.
#[derive(Clone, Copy)]
pub enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub fn key<'b>(&'b self, key: &'b str) -> Path<'b> {
        Path::Key(self, key)
    }

    pub fn index(&self, index: usize) -> Path<'_> {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(parent, key) => {
                write!(f, "{parent}/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

/// Collects problems while values are read. Each reader returns `None` after it has reported why.
#[derive(Debug, Default)]
pub struct Decoder {
    problems: Vec<Problem>,
    dropped: usize,
}

impl Decoder {
    pub fn report(&mut self, at: &Path<'_>, message: impl Into<String>) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                path: at.to_string(),
                message: message.into(),
            });
        } else {
            self.dropped += 1;
        }
    }

    /// The value, if nothing was reported.
    pub fn finish<T>(mut self, value: T) -> Result<T, Vec<Problem>> {
        if self.problems.is_empty() {
            return Ok(value);
        }
        if self.dropped > 0 {
            self.problems.push(Problem {
                path: String::new(),
                message: format!("has {} more problems, not listed", self.dropped),
            });
        }
        Err(self.problems)
    }

    /// How many problems were reported so far.
    pub const fn count(&self) -> usize {
        self.problems.len() + self.dropped
    }

    fn wrong_kind<T>(&mut self, json: &Json, at: &Path<'_>, wanted: &str) -> Option<T> {
        self.report(at, format!("must be {wanted}, not {}", json.kind()));
        None
    }

    pub fn bool(&mut self, json: &Json, at: &Path<'_>) -> Option<bool> {
        match json {
            Json::Bool(b) => Some(*b),
            _ => self.wrong_kind(json, at, "true or false"),
        }
    }

    pub fn string<'j>(&mut self, json: &'j Json, at: &Path<'_>) -> Option<&'j str> {
        match json {
            Json::String(s) => Some(s),
            _ => self.wrong_kind(json, at, "a string"),
        }
    }

    /// A string that has a type of its own.
    pub fn parse<T: FromStr<Err: fmt::Display>>(
        &mut self,
        json: &Json,
        at: &Path<'_>,
    ) -> Option<T> {
        self.string(json, at)
            .and_then(|text| self.parse_text(text, at))
    }

    /// The same for a text in hand, such as an object's key.
    pub fn parse_text<T: FromStr<Err: fmt::Display>>(
        &mut self,
        text: &str,
        at: &Path<'_>,
    ) -> Option<T> {
        text.parse()
            .map_err(|e| self.report(at, format!("{e}")))
            .ok()
    }

    /// A whole number of the given range, which lies below 2^53.
    pub fn integer(&mut self, json: &Json, at: &Path<'_>, min: u64, max: u64) -> Option<u64> {
        match json {
            Json::Number(n) if n.fract() == 0.0 && (min as f64..=max as f64).contains(n) => {
                Some(*n as u64)
            }
            _ => {
                self.report(at, format!("must be a whole number from {min} to {max}"));
                None
            }
        }
    }

    pub fn percentage(&mut self, json: &Json, at: &Path<'_>) -> Option<Percentage> {
        let Json::Number(n) = json else {
            return self.wrong_kind(json, at, "a number from 0 to 100");
        };
        Percentage::try_from(*n)
            .map_err(|e: IdError| self.report(at, e.to_string()))
            .ok()
    }

    pub fn array<'j>(&mut self, json: &'j Json, at: &Path<'_>) -> Option<&'j [Json]> {
        match json {
            Json::Array(items) => Some(items),
            _ => self.wrong_kind(json, at, "an array"),
        }
    }

    /// An object from names to values, each value read by `value`.
    pub fn table<K: FromStr<Err: fmt::Display> + Ord, V>(
        &mut self,
        json: &Json,
        at: &Path<'_>,
        mut value: impl FnMut(&mut Self, &K, &Json, &Path<'_>) -> Option<V>,
    ) -> Option<Table<K, V>> {
        let mut table = Table::default();
        for (name, json) in self.entries(json, at)? {
            let at = at.key(name);
            if let Some(key) = self.parse_text::<K>(name, &at)
                && let Some(value) = value(self, &key, json, &at)
            {
                table.insert(key, value);
            }
        }
        Some(table)
    }

    /// An array of names.
    pub fn set<K: FromStr<Err: fmt::Display> + Ord>(
        &mut self,
        json: &Json,
        at: &Path<'_>,
    ) -> Set<K> {
        let mut set = Set::default();
        for key in self.list(json, at, Self::parse) {
            set.insert(key, ());
        }
        set
    }

    /// An array whose items are each read by `item`; those that fail are left out.
    pub fn list<T>(
        &mut self,
        json: &Json,
        at: &Path<'_>,
        mut item: impl FnMut(&mut Self, &Json, &Path<'_>) -> Option<T>,
    ) -> Vec<T> {
        let items = self.array(json, at).unwrap_or_default();
        items
            .iter()
            .enumerate()
            .filter_map(|(i, json)| item(self, json, &at.index(i)))
            .collect()
    }

    /// The entries of an object, sorted by key, after duplicates were reported.
    pub fn entries<'j>(
        &mut self,
        json: &'j Json,
        at: &Path<'_>,
    ) -> Option<Vec<(&'j str, &'j Json)>> {
        let Json::Object(entries) = json else {
            return self.wrong_kind(json, at, "an object");
        };
        let mut sorted: Vec<_> = entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
            .collect();
        sorted.sort_unstable_by_key(|(key, _)| *key);
        let mut previous = None;
        for (key, _) in &sorted {
            if previous == Some(key) {
                self.report(&at.key(key), "is there twice; keep one of the two");
            }
            previous = Some(key);
        }
        Some(sorted)
    }

    /// Reports keys that are there twice, anywhere below.
    pub fn no_duplicates(&mut self, json: &Json, at: &Path<'_>) {
        match json {
            Json::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.no_duplicates(item, &at.index(i));
                }
            }
            Json::Object(_) => {
                for (key, value) in self.entries(json, at).unwrap_or_default() {
                    self.no_duplicates(value, &at.key(key));
                }
            }
            _ => {}
        }
    }

    /// An object with known fields. Call [`Object::finish`] once every field was asked for.
    pub fn object<'j, 'p>(&mut self, json: &'j Json, at: &'p Path<'p>) -> Option<Object<'j, 'p>> {
        Some(Object {
            entries: self.entries(json, at)?,
            at,
            known: Vec::new(),
        })
    }
}

/// An object being read field by field.
pub struct Object<'j, 'p> {
    entries: Vec<(&'j str, &'j Json)>,
    at: &'p Path<'p>,
    known: Vec<&'static str>,
}

impl<'j> Object<'j, '_> {
    /// Whether a field is there.
    pub fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(k, _)| *k == key)
    }

    /// Reads the field if it is there.
    pub fn optional<T>(
        &mut self,
        d: &mut Decoder,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, &'j Json, &Path<'_>) -> Option<T>,
    ) -> Option<T> {
        self.known.push(key);
        let (_, json) = self.entries.iter().find(|(k, _)| *k == key)?;
        read(d, json, &self.at.key(key))
    }

    /// Reads the field, and reports it when it is missing.
    pub fn required<T>(
        &mut self,
        d: &mut Decoder,
        key: &'static str,
        read: impl FnOnce(&mut Decoder, &'j Json, &Path<'_>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(key) {
            d.report(&self.at.key(key), "is missing");
        }
        self.optional(d, key, read)
    }

    /// Reports every field that nobody asked for.
    pub fn finish(self, d: &mut Decoder) {
        for (key, _) in self.entries {
            if !self.known.contains(&key) {
                let known = self.known.join(", ");
                d.report(
                    &self.at.key(key),
                    format!("is not a known field; the fields here are {known}"),
                );
            }
        }
    }
}

/// Reads a string of exactly `2 * N` lowercase hexadecimal digits.
pub fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(out)
}

/// The inverse of [`hex`].
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        text.extend([b >> 4, b & 15].map(|d| char::from_digit(d.into(), 16).unwrap_or('0')));
        text
    })
}
