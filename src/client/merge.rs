//! What a program gets of each feature, from everything that has a say. Pure.
//!
//! First that applies: a kill, from whichever source; an override; the router's answer, fresh or last good; the
//! platform's default; the default.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::core::config::KillSwitches;
use crate::core::ids::FlagKey;

/// Values by feature, of one source.
pub type Table = BTreeMap<FlagKey, Value>;

/// What the router says of one feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its value for this requester.
    pub value: Value,
    /// Whether it was taken from everybody, by a kill switch or an emergency stop; not merely off for this requester.
    pub killed: bool,
    /// What to tell people of it while it is being rolled out.
    pub banner: Option<String>,
}

/// Who decided a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A kill.
    Killed,
    /// The override file.
    Override,
    /// The router, now or when it was last heard.
    Router,
    /// What this platform gets by default.
    PlatformDefault,
    /// What everybody gets by default.
    Default,
}

/// One feature, as the program gets it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feature {
    /// `null` when a feature that is not a switch is killed here: then the reader's own default counts.
    pub value: Value,
    /// Who decided that.
    pub origin: Origin,
    /// What to tell people of it while it is being rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
}

/// Every feature, as the program gets it at one time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Values(BTreeMap<FlagKey, Feature>);

/// One feature that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The feature.
    pub key: FlagKey,
    /// What it was; `None` if it was not known.
    pub old: Option<Value>,
    /// What it is; `None` if it is not known any more.
    pub new: Option<Value>,
}

/// Everything that has a say.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The router's answer, if there is one.
    pub router: Option<&'a BTreeMap<FlagKey, Told>>,
    /// The override file.
    pub overrides: &'a Table,
    /// The platform's defaults.
    pub platform: &'a Table,
    /// The defaults.
    pub defaults: &'a Table,
}

impl Values {
    /// A feature, if anything is known of it.
    pub fn get(&self, key: &str) -> Option<&Feature> {
        self.0.get(key)
    }

    /// Whether a kill switch is on, or a feature is taken away by one or by an emergency stop.
    pub fn is_killed(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|feature| feature.origin == Origin::Killed)
    }

    /// Every feature, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&FlagKey, &Feature)> {
        self.0.iter()
    }

    /// What is different in `new`.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let value = |values: &Self, key: &FlagKey| values.0.get(key).map(|f| f.value.clone());
        let added = new.0.keys().filter(|key| !self.0.contains_key(*key));
        let changes = self.0.keys().chain(added).map(|key| Change {
            key: key.clone(),
            old: value(self, key),
            new: value(new, key),
        });
        changes.filter(|change| change.old != change.new).collect()
    }
}

impl<'a> Sources<'a> {
    /// What the program gets.
    pub fn merge(&self) -> Values {
        let mut values = BTreeMap::new();
        for key in self.keys() {
            if let Some(feature) = self.feature(key) {
                values.insert(key.clone(), feature);
            }
        }
        for (name, _, feature) in KillSwitches::default().client() {
            if !self.is_on(name) {
                continue;
            }
            if let Ok(name) = name.parse() {
                values.insert(name, killed(Value::Bool(true)));
            }
            // The router does this itself where the switch is its own.
            if let Some(key) = feature.and_then(|key| key.parse::<FlagKey>().ok())
                && !values.get(&key).is_some_and(|f| f.origin == Origin::Killed)
            {
                let off = match values.get(&key).map(|feature| &feature.value) {
                    None | Some(Value::Bool(_)) => Value::Bool(false),
                    Some(_) => Value::Null,
                };
                values.insert(key, killed(off));
            }
        }
        Values(values)
    }

    fn keys(&self) -> impl Iterator<Item = &'a FlagKey> {
        let router = self.router.into_iter().flat_map(BTreeMap::keys);
        let others = [self.overrides, self.platform, self.defaults];
        router.chain(others.into_iter().flat_map(BTreeMap::keys))
    }

    /// One feature, kill switches aside.
    fn feature(&self, key: &FlagKey) -> Option<Feature> {
        let told = self.router.and_then(|router| router.get(key));
        if let Some(told) = told
            && told.killed
        {
            return Some(killed(told.value.clone()));
        }
        let by = |value: &Value, origin| Feature {
            value: value.clone(),
            origin,
            banner: None,
        };
        let over = self.overrides.get(key).map(|v| by(v, Origin::Override));
        let router = || {
            told.map(|told| Feature {
                banner: told.banner.clone(),
                ..by(&told.value, Origin::Router)
            })
        };
        let platform = || {
            let value = self.platform.get(key)?;
            Some(by(value, Origin::PlatformDefault))
        };
        let default = || Some(by(self.defaults.get(key)?, Origin::Default));
        over.or_else(router).or_else(platform).or_else(default)
    }

    /// Whether any source has a kill switch on.
    fn is_on(&self, name: &str) -> bool {
        let told = self.router.and_then(|router| router.get(name));
        let local = [self.overrides, self.platform, self.defaults];
        told.is_some_and(|told| told.value == Value::Bool(true))
            || local
                .iter()
                .any(|table| table.get(name) == Some(&Value::Bool(true)))
    }
}

fn killed(value: Value) -> Feature {
    Feature {
        value,
        origin: Origin::Killed,
        banner: None,
    }
}
