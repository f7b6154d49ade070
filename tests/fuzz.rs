//! Whatever KV holds, the edge neither panics nor serves something in between: a document is good
//! as a whole or refused with reasons, and a good one gives everyone an answer.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::core::config::Config;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use support::{CONFIG, decided, selected, values};

/// Parses, and uses what was parsed in every way.
fn digest(text: &str) {
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason: {text}");
            assert!(problems.len() <= 101);
            return;
        }
    };
    for stop in [None, Some("all"), Some("v1.1.0-beta"), Some("")] {
        let stop = Stop::parse(stop, Some(&config));
        let snapshot = Snapshot::new(&config, stop, &Defaults::default());
        let stable = config.stable.to_string();
        assert_eq!(selected(&snapshot, "stable"), format!("{stable} channel"));
        for who in [
            "",
            "inside",
            "outside",
            "member",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            // Shows the version, so it is a build that is there.
            decided(&snapshot, who);
            for name in ["v1.1.0-beta", "1.0.4", stable.as_str(), "nothing"] {
                if let Some((_, set)) = snapshot.features(name) {
                    let values = values(&snapshot, set, who);
                    assert_eq!(values.len(), set.keys().count());
                }
            }
        }
        for name in ["beta", "v1.1.0-beta", "1.1.0-beta.2", "1.0.3"] {
            selected(&snapshot, name);
        }
    }
}

/// One slip of an editor's hand, in a good document.
#[derive(Debug, Clone)]
enum Slip {
    Delete(Index, usize),
    Overwrite(Index, u8),
    Insert(Index, String),
    Duplicate(Index, usize, Index),
    Swap(Index, Index),
}

impl Slip {
    fn apply(&self, text: &mut Vec<u8>) {
        let place = |index: &Index| index.index(text.len() + 1);
        match self {
            Self::Delete(at, len) => {
                let at = place(at);
                let end = (at + len).min(text.len());
                text.drain(at..end);
            }
            Self::Overwrite(at, byte) => {
                let at = place(at);
                if let Some(place) = text.get_mut(at) {
                    *place = *byte;
                }
            }
            Self::Insert(at, what) => {
                let at = place(at);
                text.splice(at..at, what.bytes());
            }
            Self::Duplicate(from, len, to) => {
                let (from, to) = (place(from), place(to));
                let slice = text[from..(from + len).min(text.len())].to_vec();
                text.splice(to..to, slice);
            }
            Self::Swap(a, b) if !text.is_empty() => {
                let (a, b) = (a.index(text.len()), b.index(text.len()));
                text.swap(a, b);
            }
            Self::Swap(..) => {}
        }
    }
}

fn slip() -> impl Strategy<Value = Slip> {
    let index = any::<Index>;
    prop_oneof![
        (index(), 1..40_usize).prop_map(|(at, len)| Slip::Delete(at, len)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Slip::Overwrite(at, byte)),
        // A digit for a digit often leaves the document good.
        (index(), b'0'..=b'9').prop_map(|(at, byte)| Slip::Overwrite(at, byte)),
        (index(), "[\\[\\]{}:,\"0-9a-z.*-]{1,4}").prop_map(|(at, what)| Slip::Insert(at, what)),
        (index(), 1..200_usize, index()).prop_map(|(a, len, b)| Slip::Duplicate(a, len, b)),
        (index(), index()).prop_map(|(a, b)| Slip::Swap(a, b)),
    ]
}

/// JSON made of the document's own words, so that some of it is understood.
fn any_json() -> impl Strategy<Value = Value> {
    let word = || {
        prop_oneof![
            proptest::sample::select(vec![
                "schema",
                "revision",
                "salt",
                "stable",
                "versions",
                "assets",
                "releases",
                "version",
                "percentage",
                "state",
                "cohorts",
                "features",
                "*",
                "v1.1.0-beta",
                "1.0.4",
                "0.0.0",
                "1.1.0-beta.2",
                "active",
                "stopped",
                "internal_test",
                "members",
                "unit",
                "all",
                "enabled",
                "canary",
                "kill_switches",
                "excluded_platforms",
                "linux-amd64",
                "deny",
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ]
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0..=101_000_u32).prop_map(|t| json!(f64::from(t) / 1000.0)),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((word(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// One member of the golden document, at any depth, replaced or added.
fn graft(document: &mut Value, steps: &[Index], with: Value) {
    let mut place = document;
    for step in steps {
        place = match place {
            Value::Object(map) if !map.is_empty() => {
                let key = map.keys().nth(step.index(map.len())).unwrap().clone();
                &mut place[key]
            }
            Value::Array(items) if !items.is_empty() => {
                let i = step.index(items.len());
                &mut place[i]
            }
            leaf => leaf,
        };
    }
    *place = with;
}

proptest! {
    #[test]
    fn any_text(text: String) {
        digest(&text);
    }

    #[test]
    fn any_json_text(json in any_json()) {
        digest(&json.to_string());
    }

    #[test]
    fn a_good_document_with_slips(slips in proptest::collection::vec(slip(), 1..5)) {
        let mut text = CONFIG.as_bytes().to_vec();
        for slip in &slips {
            slip.apply(&mut text);
        }
        // KV's text reader does the same with bytes that are not UTF-8.
        digest(&String::from_utf8_lossy(&text));
    }

    #[test]
    fn a_good_document_with_a_graft(
        steps in proptest::collection::vec(any::<Index>(), 1..6),
        with in any_json(),
    ) {
        let mut document = serde_json::from_str(CONFIG).unwrap();
        graft(&mut document, &steps, with);
        digest(&document.to_string());
    }

    /// Revision, percentages and switches: the things that change every day leave it good.
    #[test]
    fn a_good_document_with_everyday_changes(
        revision in 0..=9_007_199_254_740_991_u64,
        release in 0..=100_000_u32,
        cohort in 0..=100_000_u32,
        state in proptest::sample::select(vec!["draft", "active", "paused", "stopped", "complete"]),
        switches: [bool; 5],
    ) {
        let percent = |t: u32| f64::from(t) / 1000.0;
        let text = support::document(&json!({
            "revision": revision,
            "releases": {"v1.1.0-beta": {"percentage": percent(release), "state": state}},
            "cohorts": {"internal_test": {"percentage": percent(cohort), "enabled": switches[0]}},
            "canary": {"enabled": switches[1]},
            "kill_switches": {"canary": switches[2], "telemetry_disabled": switches[3],
                "llm_backends_disabled": switches[4]},
        }));
        prop_assert!(Config::parse(&text).is_ok(), "{text}");
        digest(&text);
    }
}

/// The fuzzing above is worth something only if both ends of it are reached.
#[test]
fn good_documents_are_digested() {
    digest(CONFIG);
    digest(&support::document(
        &json!({"releases": null, "features": null, "cohorts": null, "kill_switches": null, "canary": null}),
    ));
}
