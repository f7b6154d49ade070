//! What several test files share: the golden configuration, changed by merge patches, and a
//! request that lives in memory.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use caro_edge::api::edge::{Edge, Read};
use caro_edge::api::request::Request;
use caro_edge::core::config::Config;
use caro_edge::core::decide::{Decision, Refusal, Selector, decide, select};
use caro_edge::core::defaults::Defaults;
use caro_edge::core::flags::{Asking, Choice, FeatureSet, Flag, evaluate_all};
use caro_edge::core::identity::Unit;
use caro_edge::core::ids::FlagKey;
use caro_edge::core::ledger::kv;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use caro_edge::core::time::Timestamp;
use serde_json::Value;

/// The full document of `tests/golden/README.md`.
pub const CONFIG: &str = include_str!("../golden/config.json");

/// JSON Merge Patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            let entry = &mut target[key];
            merge(entry, value);
        }
    }
}

/// The golden document with a patch applied, as text.
pub fn document(patch: &Value) -> String {
    let mut document = serde_json::from_str(CONFIG).unwrap();
    merge(&mut document, patch);
    document.to_string()
}

/// The same, parsed.
pub fn config(patch: &Value) -> Config {
    Config::parse(&document(patch)).unwrap()
}

/// The same, resolved, with a value of the emergency-stop key.
pub fn snapshot(patch: &Value, stop: Option<&str>) -> Snapshot {
    let config = config(patch);
    let stop = Stop::parse(stop, Some(&config));
    Snapshot::new(&config, stop, &Defaults::default())
}

/// `"1.0.4 default"`: what a decision gives, and why.
pub fn show(snapshot: &Snapshot, decision: Decision) -> String {
    let version = &snapshot.build(decision.build).unwrap().version;
    format!("{version} {}", decision.reason.as_str())
}

/// By rollout: `who` is an id, an address, or empty for nobody known.
pub fn decided(snapshot: &Snapshot, who: &str) -> String {
    show(snapshot, decide(snapshot, unit(who).as_ref()))
}

/// By name, as a path says it: `stable`, `beta`, or a version with or without a `v`.
pub fn selected(snapshot: &Snapshot, name: &str) -> String {
    let selector = match name {
        "stable" => Selector::Stable,
        "beta" => Selector::Beta,
        version => Selector::Version(version.trim_start_matches('v').parse().unwrap()),
    };
    match select(snapshot, &selector) {
        Ok(decision) => show(snapshot, decision),
        Err(Refusal::Unknown) => "unknown".to_owned(),
        Err(Refusal::Stopped) => "stopped".to_owned(),
        Err(Refusal::Unavailable) => "unavailable".to_owned(),
    }
}

/// The requester's value of each feature, by key.
pub fn values(snapshot: &Snapshot, set: &FeatureSet, who: &str) -> Vec<(String, Value)> {
    let asking = Asking::unit(unit(who), NOW);
    let choices = evaluate_all(snapshot, set, &asking);
    let value = |(key, flag, choice): (&FlagKey, &Flag, Choice)| {
        let variant = flag.variant(choice).unwrap();
        (
            key.to_string(),
            serde_json::to_value(&variant.value).unwrap(),
        )
    };
    set.chosen(&choices).map(value).collect()
}

/// An address if it is one, else an id; nobody if empty.
pub fn unit(who: &str) -> Option<Unit<'_>> {
    Unit::from_address(who).or_else(|| Unit::from_id(who).unwrap())
}

/// A request in memory.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
}

impl Incoming {
    pub fn get(path: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            url: format!("https://get.caro.sh{path}"),
            headers: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Request for Incoming {
    fn method(&self) -> &str {
        &self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn header(&self, name: &str) -> Option<String> {
        let named = |(n, _): &&(String, String)| n.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .find(named)
            .map(|(_, value)| value.clone())
    }
}

/// When the tests take place.
pub const NOW: Timestamp = Timestamp::from_millis(1_768_467_600_000);

/// A key's value as somebody other than the ledger wrote it.
pub fn value(text: impl Into<String>) -> kv::Value {
    kv::Value {
        text: text.into(),
        metadata: None,
    }
}

/// An edge that has read these two values.
pub fn edge(config: Option<&str>, stop: Option<&str>) -> Edge {
    let mut edge = Edge::new(Defaults::default(), Vec::new());
    let read = Read {
        config: Ok(config.map(value)),
        stop: Ok(stop.map(value)),
    };
    let ticket = edge.begin();
    edge.apply(read, ticket, NOW);
    edge
}
