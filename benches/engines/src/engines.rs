//! One adapter for each engine: the same flags in its own words, asked in its cheapest way.

use std::collections::HashMap;
use std::sync::Arc;

use caro_edge::core::condition::Attribute;
use caro_edge::core::config::Config;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::flags::{Asking, evaluate_all};
use caro_edge::core::identity::Unit;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use caro_edge::core::time::Timestamp;
use chrono::{DateTime, Utc};
use eppo_core::eval::get_assignment;
use eppo_core::ufc::{AssignmentValue, UniversalFlagConfig, VariationType};
use eppo_core::{Attributes, Configuration, SdkMetadata, Str};
use launchdarkly_server_sdk_evaluation as launchdarkly;
use serde_json::{Value, json};
use unleash_yggdrasil as unleash;

use crate::shape::{ATTRIBUTES, Flag, Group, Rule};

/// What is compared. Reading the flags and the user is not timed, for any of them.
pub trait Engine {
    const NAME: &'static str;
    type User;

    fn new(groups: &[Group]) -> Self;
    fn user(id: &str) -> Self::User;
    /// Says of each flag of a group, in order, whether it is on for a user.
    fn evaluate(&self, group: &Group, user: &Self::User, is: impl FnMut(bool));
}

fn all(groups: &[Group]) -> impl Iterator<Item = &Flag> {
    groups.iter().flat_map(|group| &group.flags)
}

/// Here what is asked for together is a release's set, so each group is a release.
pub struct Caro(Snapshot);

impl Caro {
    fn feature(flag: &Flag) -> Value {
        let Some(rule) = flag.rule else {
            return json!({ "percentage": 25 });
        };
        let attribute = rule.attribute();
        let when = match rule {
            Rule::Country(country) => json!({ "attribute": attribute, "is": country }),
            Rule::Plan(plans) => json!({ "attribute": attribute, "in": plans }),
            Rule::Above(version) => {
                json!({ "attribute": attribute, "semver": format!(">{version}") })
            }
        };
        json!({ "percentage": 25, "rules": [{ "if": when }] })
    }
}

impl Engine for Caro {
    const NAME: &'static str = "caro-edge";
    type User = String;

    fn new(groups: &[Group]) -> Self {
        let excluded = [
            "linux-arm64",
            "macos-intel",
            "macos-silicon",
            "windows-amd64",
        ];
        let asset = json!({ "size": 1, "sha256": "1".repeat(64) });
        let build = json!({ "assets": { "linux-amd64": asset }, "excluded_platforms": excluded });
        let release = json!({ "version": "1.0.4", "percentage": 25, "state": "active" });
        let releases: HashMap<&str, &Value> = groups.iter().map(|g| (g.name, &release)).collect();
        let set = |group: &Group| -> HashMap<String, Value> {
            let flags = group.flags.iter();
            flags.map(|f| (f.key.clone(), Self::feature(f))).collect()
        };
        let sets = groups.iter().map(|group| (group.name, set(group)));
        let features: HashMap<&str, HashMap<String, Value>> = sets.collect();
        let document = json!({
            "schema": 1,
            "revision": 1,
            "salt": "000102030405060708090a0b0c0d0e0f",
            "stable": "1.0.4",
            "versions": { "1.0.4": build },
            "releases": releases,
            "features": features,
        });
        let config = Config::parse(&document.to_string()).expect("a good document");
        Self(Snapshot::new(
            &config,
            Stop::None,
            &Defaults {
                features: Default::default(),
                ..Defaults::default()
            },
        ))
    }

    fn user(id: &str) -> String {
        id.to_owned()
    }

    fn evaluate(&self, group: &Group, user: &String, is: impl FnMut(bool)) {
        let attributes = ATTRIBUTES.map(|(name, value)| (name, Attribute::Text(value)));
        let asking = Asking {
            unit: Some(Unit::Id(user)),
            attributes: &attributes,
            now: Timestamp::from_millis(0),
 held: None,
};
        let (_, set) = self.0.features(group.name).expect("a release");
        let choices = evaluate_all(&self.0, set, &asking);
        choices.iter().map(|choice| choice.on).for_each(is);
    }
}

pub struct Unleash(unleash::EngineState);

impl Unleash {
    fn feature(flag: &Flag) -> Value {
        let rollout = json!({
            "name": "flexibleRollout",
            "constraints": [],
            "parameters": { "rollout": "25", "stickiness": "userId", "groupId": flag.key },
        });
        let rule = flag.rule.map(|rule| {
            let name = rule.attribute();
            let constraint = match rule {
                Rule::Country(country) => {
                    json!({ "contextName": name, "operator": "IN", "values": [country] })
                }
                Rule::Plan(plans) => {
                    json!({ "contextName": name, "operator": "IN", "values": plans })
                }
                Rule::Above(version) => {
                    json!({ "contextName": name, "operator": "SEMVER_GT", "value": version })
                }
            };
            json!({ "name": "default", "constraints": [constraint] })
        });
        let strategies: Vec<Value> = rule.into_iter().chain([rollout]).collect();
        json!({ "name": flag.key, "enabled": true, "strategies": strategies })
    }
}

impl Engine for Unleash {
    const NAME: &'static str = "unleash-yggdrasil";
    type User = unleash::Context;

    fn new(groups: &[Group]) -> Self {
        let features: Vec<Value> = all(groups).map(Self::feature).collect();
        let state = json!({ "version": 2, "features": features });
        let engine = unleash::EngineState::default();
        let warnings = engine.take_state(serde_json::from_value(state).expect("good features"));
        assert!(warnings.is_none(), "{warnings:?}");
        Self(engine)
    }

    fn user(id: &str) -> unleash::Context {
        let properties = ATTRIBUTES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        unleash::Context {
            user_id: Some(id.to_owned()),
            properties: Some(properties.into()),
            ..unleash::Context::default()
        }
    }

    fn evaluate(&self, group: &Group, user: &unleash::Context, is: impl FnMut(bool)) {
        let flags = group.flags.iter();
        flags
            .map(|flag| self.0.is_enabled(&flag.key, user, &None))
            .for_each(is);
    }
}

pub struct LaunchDarkly(HashMap<String, launchdarkly::Flag>);

/// Asked only for prerequisites and segments, of which there are none.
struct Nothing;

impl launchdarkly::Store for Nothing {
    fn flag(&self, _: &str) -> Option<launchdarkly::Flag> {
        None
    }

    fn segment(&self, _: &str) -> Option<launchdarkly::Segment> {
        None
    }
}

impl LaunchDarkly {
    fn flag(flag: &Flag) -> Value {
        let rule = |rule: Rule| {
            let (op, values) = match rule {
                Rule::Country(country) => ("in", json!([country])),
                Rule::Plan(plans) => ("in", json!(plans)),
                Rule::Above(version) => ("semVerGreaterThan", json!([version])),
            };
            let attribute = rule.attribute();
            let clause = json!({ "attribute": attribute, "op": op, "values": values });
            json!({ "clauses": [clause], "variation": 1, "trackEvents": false })
        };
        let rules: Vec<Value> = flag.rule.into_iter().map(rule).collect();
        let on = json!({ "variation": 1, "weight": 25_000 });
        let off = json!({ "variation": 0, "weight": 75_000 });
        json!({
            "key": flag.key,
            "on": true,
            "targets": [],
            "rules": rules,
            "prerequisites": [],
            "fallthrough": { "rollout": { "variations": [on, off] } },
            "offVariation": 0,
            "variations": [false, true],
            "clientSide": false,
            "salt": "000102030405060708090a0b0c0d0e0f",
        })
    }
}

impl Engine for LaunchDarkly {
    const NAME: &'static str = "launchdarkly";
    type User = launchdarkly::Context;

    fn new(groups: &[Group]) -> Self {
        let parse = |flag| serde_json::from_value(Self::flag(flag)).expect("a good flag");
        Self(
            all(groups)
                .map(|flag| (flag.key.clone(), parse(flag)))
                .collect(),
        )
    }

    fn user(id: &str) -> launchdarkly::Context {
        let mut builder = launchdarkly::ContextBuilder::new(id);
        for (name, value) in ATTRIBUTES {
            builder.set_string(name, value);
        }
        builder.build().expect("a good user")
    }

    fn evaluate(&self, group: &Group, user: &launchdarkly::Context, is: impl FnMut(bool)) {
        let on = |flag: &Flag| {
            let detail = launchdarkly::evaluate(&Nothing, &self.0[&flag.key], user, None);
            detail.value.and_then(|value| value.as_bool()) == Some(true)
        };
        group.flags.iter().map(on).for_each(is);
    }
}

pub struct Eppo(Configuration);

impl Eppo {
    /// Without logging, and with nothing allocated to who is not in: their default is off.
    fn flag(flag: &Flag) -> Value {
        let rule = flag.rule.map(|rule| {
            let (operator, value) = match rule {
                Rule::Country(country) => ("ONE_OF", json!([country])),
                Rule::Plan(plans) => ("ONE_OF", json!(plans)),
                Rule::Above(version) => ("GT", json!(version)),
            };
            let attribute = rule.attribute();
            let condition = json!({ "attribute": attribute, "operator": operator, "value": value });
            json!({
                "key": "rule",
                "rules": [{ "conditions": [condition] }],
                "splits": [{ "variationKey": "on", "shards": [] }],
                "doLog": false,
            })
        });
        let shard = json!({ "salt": flag.key, "ranges": [{ "start": 0, "end": 2500 }] });
        let rollout = json!({
            "key": "rollout",
            "splits": [{ "variationKey": "on", "shards": [shard] }],
            "doLog": false,
        });
        let allocations: Vec<Value> = rule.into_iter().chain([rollout]).collect();
        json!({
            "key": flag.key,
            "enabled": true,
            "variationType": "BOOLEAN",
            "variations": { "on": { "key": "on", "value": true } },
            "allocations": allocations,
            "totalShards": 10_000,
        })
    }
}

impl Engine for Eppo {
    const NAME: &'static str = "eppo_core";
    type User = (Str, Arc<Attributes>);

    fn new(groups: &[Group]) -> Self {
        let flags: HashMap<&str, Value> = all(groups)
            .map(|f| (f.key.as_str(), Self::flag(f)))
            .collect();
        let document = json!({
            "createdAt": "2026-11-01T00:00:00Z",
            "format": "SERVER",
            "environment": { "name": "bench" },
            "flags": flags,
        });
        let sdk = SdkMetadata {
            name: "bench",
            version: "0",
        };
        let config = UniversalFlagConfig::from_json(sdk, document.to_string().into_bytes());
        Self(Configuration::from_server_response(
            config.expect("good flags"),
            None,
        ))
    }

    fn user(id: &str) -> Self::User {
        let attributes = ATTRIBUTES.map(|(name, value)| (name.into(), value.into()));
        (id.into(), Arc::new(attributes.into_iter().collect()))
    }

    fn evaluate(&self, group: &Group, (id, attributes): &Self::User, is: impl FnMut(bool)) {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let boolean = Some(VariationType::Boolean);
        let on = |flag: &Flag| {
            let given = get_assignment(Some(&self.0), &flag.key, id, attributes, boolean, now);
            let given = given.expect("a good flag").map(|given| given.value);
            matches!(given, Some(AssignmentValue::Boolean(true)))
        };
        group.flags.iter().map(on).for_each(is);
    }
}
