//! What features answer: the files of `tests/golden/flags`, and what holds whatever they say.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::fs;

use caro_edge::core::bucket::{Bucket, Purpose, RolloutHash, Salt, UnitHash};
use caro_edge::core::condition::Attribute;
use caro_edge::core::config::Config;
use caro_edge::core::decode::hex;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::flags::{Asking, Choice, FeatureSet, evaluate_all};
use caro_edge::core::json::Json;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use caro_edge::core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{CONFIG, NOW, merge, unit};

/// The golden document with the file's features as everybody's.
fn world(file: &Value, with: &Value) -> Value {
    let mut world: Value = serde_json::from_str(CONFIG).unwrap();
    world["features"] = json!({"*": file["features"]});
    for part in ["cohorts", "holdouts", "experiments", "kill_switches"] {
        merge(
            &mut world,
            &json!({part: file.get(part).unwrap_or(&json!({}))}),
        );
    }
    merge(&mut world, with);
    world
}

fn snapshot(world: &Value, stop: Option<&str>) -> Snapshot {
    let config = Config::parse(&world.to_string()).unwrap_or_else(|e| panic!("{e:#?}"));
    let stop = Stop::parse(stop, Some(&config));
    Snapshot::new(&config, stop, &Defaults::default())
}

fn evaluated(
    snapshot: &Snapshot,
    who: &str,
    context: &Json,
    now: Timestamp,
) -> Vec<(String, Value, Choice)> {
    let attributes: Vec<(&str, Attribute<'_>)> = context
        .entries()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), Attribute::of(value)?)))
        .collect();
    let asking = Asking {
        unit: unit(who),
        attributes: &attributes,
        now,
        held: None,
    };
    let (_, set) = snapshot.features("1.0.4").unwrap();
    let choices = evaluate_all(snapshot, set, &asking);
    pairs(set, &choices)
}

fn pairs(set: &FeatureSet, choices: &[Choice]) -> Vec<(String, Value, Choice)> {
    set.chosen(choices)
        .map(|(key, flag, choice)| {
            let variant = flag.variant(choice).unwrap();
            let value = serde_json::to_value(&variant.value).unwrap();
            (key.to_string(), value, choice)
        })
        .collect()
}

#[test]
fn golden_evaluations() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/flags");
    let mut cases = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        check_buckets(&file, &name);
        for case in file["cases"].as_array().unwrap() {
            let world = world(&file, case.get("with").unwrap_or(&json!({})));
            let snapshot = snapshot(&world, case["stop"].as_str());
            let now = case["at"].as_str().map_or(NOW, |at| at.parse().unwrap());
            let context = Json::parse(&case["context"].to_string()).unwrap();
            let who = case["who"].as_str().unwrap();
            let got = evaluated(&snapshot, who, &context, now);
            for (key, wanted) in case["gets"].as_object().unwrap() {
                let (_, value, choice) = got.iter().find(|(k, ..)| k == key).unwrap();
                let got = json!([value, choice.reason.as_str()]);
                assert_eq!(got, *wanted, "{name}: {key} in {case}");
                cases += 1;
            }
        }
    }
    assert!(cases > 70, "only {cases} were found");
}

/// `{"gate feature/x": {"alice": 1}}`.
fn check_buckets(file: &Value, name: &str) {
    let config: Value = serde_json::from_str(CONFIG).unwrap();
    let salt = Salt::new(hex(config["salt"].as_str().unwrap()).unwrap());
    for (rollout, people) in file["buckets"].as_object().into_iter().flatten() {
        let (purpose, id) = rollout.split_once(' ').unwrap();
        let purpose = match purpose {
            "gate" => Purpose::Gate,
            "variant" => Purpose::Variant,
            "holdout" => Purpose::Holdout,
            "experiment" => Purpose::Experiment,
            other => panic!("{other}"),
        };
        let rollout = RolloutHash::of(purpose, id);
        for (who, bucket) in people.as_object().unwrap() {
            let hash = UnitHash::of(&salt, &unit(who).unwrap());
            assert_eq!(
                json!(Bucket::of(&hash, rollout).value()),
                *bucket,
                "{name}: {who} {id}"
            );
        }
    }
}

/// A feature with nothing but a gate and a split, of three variants with weights.
fn split(percentage: u32, weights: [u32; 3]) -> Value {
    let thousandths = |n: u32| f64::from(n) / 1000.0;
    json!({
        "variants": {"a": 1, "b": 2, "c": 3, "off": 0}, "off": "off",
        "percentage": thousandths(percentage),
        "serve": [
            {"variant": "a", "from": 0, "weight": thousandths(weights[0])},
            {"variant": "b", "from": 33, "weight": thousandths(weights[1])},
            {"variant": "c", "from": 66, "weight": thousandths(weights[2])},
        ],
    })
}

fn values(feature: &Value, ids: &[String]) -> Vec<i64> {
    let file = json!({"features": {"it": feature}});
    let snapshot = snapshot(&world(&file, &json!({})), None);
    let get = |id: &String| {
        let got = evaluated(&snapshot, id, &Json::Null, NOW);
        let (_, value, _) = got.into_iter().find(|(key, ..)| key == "it").unwrap();
        value.as_i64().unwrap()
    };
    ids.iter().map(get).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Weights are ramped without moving anyone between two variants that both keep them.
    #[test]
    fn ramping_moves_nobody_between_variants(
        before in [0..=33_000u32, 0..=33_000u32, 0..=34_000u32],
        after in [0..=33_000u32, 0..=33_000u32, 0..=34_000u32],
        ids in prop::collection::vec("[a-z]{6}", 30),
    ) {
        let (old, new) = (values(&split(100_000, before), &ids), values(&split(100_000, after), &ids));
        for (old, new) in old.iter().zip(&new) {
            prop_assert!(old == new || *old == 0 || *new == 0, "{old} became {new}");
        }
    }

    /// Raising the percentage takes nothing away and changes no variant; lowering adds nobody.
    #[test]
    fn raising_never_evicts(
        low in 0..=100_000u32, more in 0..=100_000u32,
        ids in prop::collection::vec("[a-z]{6}", 30),
    ) {
        let weights = [33_000, 33_000, 34_000];
        let high = (low + more).min(100_000);
        let (old, new) = (values(&split(low, weights), &ids), values(&split(high, weights), &ids));
        for (old, new) in old.iter().zip(&new) {
            prop_assert!(*old == 0 || old == new, "{old} became {new}");
        }
    }

    /// In one layer nobody gets two.
    #[test]
    fn layers_exclude(
        cuts in [0..=100_000u32, 0..=100_000u32, 0..=100_000u32],
        ids in prop::collection::vec("[a-z]{6}", 30),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let share = |from: u32, to: u32| match from < to {
            true => json!({"layer": {"name": "one", "from": f64::from(from) / 1000.0, "to": f64::from(to) / 1000.0}}),
            false => json!(false),
        };
        let file = json!({"features": {
            "first": share(0, cuts[0]), "second": share(cuts[0], cuts[1]), "third": share(cuts[1], cuts[2]),
        }});
        let snapshot = snapshot(&world(&file, &json!({})), None);
        for id in ids {
            let got = evaluated(&snapshot, &id, &Json::Null, NOW);
            let own = ["first", "second", "third"];
            let on = got.iter().filter(|(key, value, _)| own.contains(&key.as_str()) && *value == true);
            prop_assert!(on.count() <= 1);
        }
    }

    /// However features wait for each other, what is on has all that it waits for.
    #[test]
    fn prerequisites_hold(
        waits in prop::collection::vec(prop::collection::vec(0..12usize, 0..3), 12),
        percentages in prop::collection::vec(0..=10u32, 12),
        ids in prop::collection::vec("[a-z]{6}", 10),
    ) {
        let mut features = serde_json::Map::new();
        for (i, others) in waits.iter().enumerate() {
            // On those with a lower number, so that there is no cycle.
            let others = others.iter().filter(|other| **other < i);
            let others: serde_json::Map<_, _> =
                others.map(|other| (format!("f{other:02}"), json!("on"))).collect();
            let percentage = percentages[i] * 10;
            features.insert(format!("f{i:02}"), json!({"percentage": percentage, "prerequisites": others}));
        }
        let file = json!({"features": features});
        let snapshot = snapshot(&world(&file, &json!({})), None);
        for id in ids {
            let got = evaluated(&snapshot, &id, &Json::Null, NOW);
            let on = |i: usize| got.iter().any(|(key, value, _)| *key == format!("f{i:02}") && *value == true);
            for (i, others) in waits.iter().enumerate() {
                for other in others.iter().filter(|other| **other < i) {
                    prop_assert!(!on(i) || on(*other), "f{i:02} is on without f{other:02}");
                }
            }
        }
    }
}

/// Every mistake, with its place.
#[test]
fn what_cannot_be() {
    let mut deep = json!({"attribute": "os", "is": "x"});
    for _ in 0..9 {
        deep = json!({"not": deep});
    }
    for (feature, at, says) in [
        (
            json!({"prerequisites": {"it": "on"}}),
            "/features/*/it",
            "waits for itself",
        ),
        (
            json!({"fallback": "it"}),
            "/features/*/it",
            "waits for itself",
        ),
        (
            json!({"prerequisites": {"nothing": "on"}}),
            "/features/*/it/prerequisites/nothing",
            "not under /features",
        ),
        (
            json!({"prerequisites": {"other": "blue"}}),
            "/features/*/it/prerequisites/other",
            "no variant",
        ),
        (
            json!({"fallback": "nothing"}),
            "/features/*/it/fallback",
            "not under /features",
        ),
        (
            json!({"holdout": "q9"}),
            "/features/*/it/holdout",
            "not under /holdouts",
        ),
        (
            json!({"layer": {"name": "l", "from": 5, "to": 5}}),
            "/features/*/it/layer/to",
            "above from",
        ),
        (
            json!({"layer": {"name": "taken", "from": 5, "to": 15}}),
            "/features/*/other/layer",
            "overlaps",
        ),
        (
            json!({"variants": {"a": 1, "b": "x"}, "off": "a", "serve": "b"}),
            "/features/*/it/variants",
            "one JSON type",
        ),
        (
            json!({"variants": {"a": null}, "off": "a", "serve": "a"}),
            "/features/*/it/variants/a",
            "null",
        ),
        (
            json!({"variants": {}, "off": "a", "serve": "a"}),
            "/features/*/it/variants",
            "1 to 64",
        ),
        (
            json!({"variants": {"a": 1}, "serve": "a"}),
            "/features/*/it/off",
            "is missing",
        ),
        (
            json!({"variants": {"a": 1}, "off": "a"}),
            "/features/*/it/serve",
            "is missing",
        ),
        (
            json!({"serve": "blue"}),
            "/features/*/it/serve",
            "names no variant; they are off, on",
        ),
        (
            json!({"serve": [{"variant": "on", "weight": 60}, {"variant": "off", "weight": 40}]}),
            "/features/*/it/serve",
            "reach into the next",
        ),
        (
            json!({"serve": [{"variant": "on", "from": 60, "weight": 60}]}),
            "/features/*/it/serve",
            "beyond 100",
        ),
        (
            json!({"schedule": {"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}}),
            "/features/*/it/schedule/end",
            "after start",
        ),
        (
            json!({"rules": [{"if": {"attribute": "os"}}]}),
            "/features/*/it/rules/0/if",
            "one test",
        ),
        (
            json!({"rules": [{"if": {"attribute": "os", "is": "a", "in": ["b"]}}]}),
            "/features/*/it/rules/0/if",
            "one test",
        ),
        (
            json!({"rules": [{"if": {"all": []}}]}),
            "/features/*/it/rules/0/if/all",
            "1 to 100",
        ),
        (
            json!({"rules": [{"if": {"cohort": "strangers"}}]}),
            "/features/*/it/rules/0/if",
            "not under /cohorts",
        ),
        (
            json!({"rules": [{"if": {"attribute": "v", "semver": "newest"}}]}),
            "/features/*/it/rules/0/if/semver",
            "no range",
        ),
        (
            json!({"rules": [{"if": deep}]}),
            "/features/*/it/rules/0/if/not/not/not/not/not/not/not/not/not",
            "nested deeper",
        ),
        (
            json!({"rules": [{"serve": "on"}]}),
            "/features/*/it/rules/0/if",
            "is missing",
        ),
        (
            json!({"expires": "soon"}),
            "/features/*/it/expires",
            "must be a date",
        ),
        (
            json!({"kind": "toggle"}),
            "/features/*/it/kind",
            "must be one of",
        ),
    ] {
        let file = json!({"features": {
            "it": feature, "other": {"layer": {"name": "taken", "from": 10, "to": 20}},
        }});
        let problems = Config::parse(&world(&file, &json!({})).to_string()).unwrap_err();
        let found = problems
            .iter()
            .any(|p| p.path == at && p.message.contains(says));
        assert!(found, "{feature}: {problems:#?}");
    }
}

#[test]
fn ranges_of_versions() {
    use caro_edge::core::condition::VersionRange;
    for (range, inside, outside) in [
        (
            ">=1.1.0-beta.1, <2",
            "1.1.0-beta.1 v1.1.0 1.9.9-alpha 2.0.0-beta.1",
            "1.0.9 2.0.0 1.1.0-alpha",
        ),
        ("^1.2", "1.2.0 1.9.0-beta.1", "1.1.9 2.0.0 2.0.0-beta.1"),
        ("^0.2.3", "0.2.3 0.2.9", "0.2.2 0.3.0"),
        ("~1.2.3", "1.2.3 1.2.9", "1.2.2 1.3.0 1.3.0-rc.1"),
        ("=1.2.3", "1.2.3 1.2.3+build", "1.2.4 1.2.3-beta.1"),
        ("1.2.*", "1.2.0 1.2.99", "1.3.0 1.1.9"),
        (">1", "2.0.0", "1.9.9 1.0.0"),
        ("<=1.2", "1.2.9 0.1.0", "1.3.0"),
        ("*", "0.0.1 9.9.9", "newest 1.2 v"),
    ] {
        let parsed = VersionRange::parse(range).unwrap();
        for version in inside.split(' ') {
            assert!(parsed.contains(version), "{version} in {range}");
        }
        for version in outside.split(' ') {
            assert!(!parsed.contains(version), "{version} not in {range}");
        }
    }
}

/// What an edge could not keep ready is refused where it is written, with the figure.
#[test]
fn too_much_to_keep_ready() {
    let mut world: Value = serde_json::from_str(CONFIG).unwrap();
    let everybodys: serde_json::Map<_, _> = (0..500)
        .map(|i| (format!("of_all_{i}"), json!(true)))
        .collect();
    world["features"] = json!({"*": everybodys});
    for i in 0..100 {
        let name = format!("r{i}");
        world["releases"][&name] = json!({"version": "1.0.3", "percentage": 0, "state": "draft"});
        world["features"][&name] = json!({"of_one": true});
    }
    let problems = Config::parse(&world.to_string()).unwrap_err();
    assert_eq!(problems[0].path, "/features");
    let figure = 500 + 100 * 501;
    assert!(
        problems[0].message.contains(&figure.to_string()),
        "{problems:?}"
    );
    world["features"]["r99"] = json!({});
    world["features"]["r98"] = json!({});
    // Two fewer have some of their own, but each scope that is named counts.
    assert!(Config::parse(&world.to_string()).is_err());
    for name in ["r97", "r98", "r99"] {
        world["features"].as_object_mut().unwrap().remove(name);
    }
    assert!(Config::parse(&world.to_string()).is_ok());
}
