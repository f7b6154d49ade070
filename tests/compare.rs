//! Two configurations held against each other. The requesters and their buckets are those of `tests/golden/README.md`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::core::compare::{Comparison, Side, Tally, differences};
use caro_edge::core::identity::Unit;
use caro_edge::core::impact::{Share, between};
use caro_edge::core::json::Json;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{NOW, config, document, snapshot, unit};

/// Decides the named and `samples` others under both.
fn compared(before: &Value, after: &Value, named: &[&str], samples: u64) -> Tally {
    let (old, new) = (snapshot(before, None), snapshot(after, None));
    let (old_config, new_config) = (config(before), config(after));
    let before = Side {
        snapshot: &old,
        config: &old_config,
    };
    let after = Side {
        snapshot: &new,
        config: &new_config,
    };
    let mut comparison = Comparison::new(before, after, None, NOW, 2);
    for who in named {
        comparison.add(who, &unit(who).unwrap());
    }
    for n in 0..samples {
        let id = format!("sample-{n}");
        comparison.add(&id, &Unit::Id(&id));
    }
    comparison.finish()
}

fn percentage(percentage: f64) -> Value {
    json!({"releases": {"v1.1.0-beta": {"percentage": percentage}}})
}

/// `"release v1.1.0-beta default → bucket: percentage"` of each group, with how many.
fn groups(tally: &Tally) -> Vec<(String, u64)> {
    let show = |g: &&caro_edge::core::compare::Group| {
        let (kind, name) = (g.decider.kind, &g.decider.name);
        let cause = g.cause.as_str();
        (
            format!("{kind} {name} {} → {}: {cause}", g.before, g.after),
            g.ids,
        )
    };
    tally.groups().iter().map(show).collect()
}

/// Whether so many of `n` are a likely outcome of a share: within five standard deviations and one.
fn likely(count: u64, n: u64, share: Share) -> bool {
    let p = share.millionths() as f64 / 1e8;
    let (mean, n) = (p * n as f64, n as f64);
    (count as f64 - mean).abs() <= 5.0 * (n * p * (1.0 - p)).sqrt() + 1.0
}

#[test]
fn nothing_changes_between_equals() {
    let tally = compared(&json!({}), &json!({"revision": 8}), &["inside"], 500);
    assert_eq!((tally.ids, tally.stay), (501, 501));
    assert_eq!((tally.builds, tally.flags), (0, 0));
    assert!(tally.features.is_empty());
    assert_eq!(tally.groups().len() + tally.histograms().count(), 0);
}

#[test]
fn a_raise_admits_those_between_the_percentages() {
    let tally = compared(&json!({}), &percentage(50.0), &[], 4000);
    let expected = "release v1.1.0-beta default → bucket: percentage".to_owned();
    assert_eq!(groups(&tally), [(expected, tally.enter)]);
    assert_eq!((tally.leave, tally.switch), (0, 0));
    let bars = tally.histograms().next().unwrap().changed;
    let (low, rest) = bars.split_at(5);
    let (moved, high) = rest.split_at(5);
    assert_eq!((low.iter().max(), high.iter().max()), (Some(&0), Some(&0)));
    assert!(moved.iter().all(|n| (120..=280).contains(n)), "{moved:?}");
    let group = tally.groups()[0].clone();
    assert_eq!(group.examples.len(), 2);
    let example = &group.examples[0];
    assert_eq!((&*example.from, &*example.to), ("1.0.4", "1.1.0-beta.2"));
    assert!(example.after.contains("is below 50 %"), "{example:?}");
}

#[test]
fn each_cause_is_told_apart() {
    let release = |patch: Value| json!({"releases": {"v1.1.0-beta": patch}});
    let cohort = |patch: Value| json!({"cohorts": {"internal_test": patch}});
    let salt = json!({"salt": "00112233445566778899aabbccddeeff"});
    let check = |after: &Value, who: &str, expect: &str| {
        let found = groups(&compared(&json!({}), after, &[who], 0));
        assert_eq!(found, [(format!("release v1.1.0-beta {expect}"), 1)]);
    };
    check(
        &release(json!({"state": "stopped"})),
        "inside",
        "bucket → emergency_stop: switch",
    );
    check(
        &release(json!({"state": "draft"})),
        "inside",
        "bucket → draft: switch",
    );
    check(
        &release(json!({"version": "1.1.0-beta.1"})),
        "inside",
        "bucket → bucket: value",
    );
    check(
        &release(json!({"deny": []})),
        "denied",
        "denied → bucket: list",
    );
    check(
        &cohort(json!({"members": []})),
        "member",
        "cohort_member → default: list",
    );
    check(
        &cohort(json!({"percentage": 41})),
        "outside",
        "default → cohort_bucket: percentage",
    );
    check(
        &json!({"canary": {"enabled": false}}),
        "listed",
        "allowlist → default: list",
    );
    check(
        &json!({"releases": {"v1.1.0-beta": null}, "features": {"v1.1.0-beta": null}}),
        "inside",
        "bucket → absent: percentage",
    );
    // Under another salt chance decides: whoever has another arm then has it by that.
    let salted = groups(&compared(&json!({}), &salt, &[], 200));
    assert!(
        salted
            .iter()
            .all(|(g, _)| g.ends_with(": salt") || g.ends_with(": list"))
    );
    assert!(salted.len() >= 2, "{salted:?}");
}

#[test]
fn a_release_that_was_deleted_is_named_although_an_older_one_takes_its_place() {
    let before = world(100.0, 100.0, 0.0, 0.0);
    let mut after = before.clone();
    after["releases"]["v1.1.0-beta"] = Value::Null;
    after["features"]["v1.1.0-beta"] = Value::Null;
    let found = groups(&compared(&before, &after, &["somebody"], 0));
    let expected = "release v1.1.0-beta bucket → absent: percentage";
    assert_eq!(found, [(expected.to_owned(), 1)]);
}

#[test]
fn flags_are_compared_for_the_version_that_somebody_has() {
    let feature =
        |patch: Value| json!({"features": {"v1.1.0-beta": {"confidence_refinement": patch}}});
    // `inside` has the beta and bucket 26 of the flag; `outside` has the stable version.
    let lowered = feature(json!({"percentage": 20}));
    let tally = compared(&json!({}), &lowered, &["inside", "outside"], 0);
    assert_eq!((tally.builds, tally.flags), (0, 1));
    let expected = "flag confidence_refinement bucket → bucket: percentage";
    assert_eq!(groups(&tally), [(expected.to_owned(), 1)]);
    let count = tally.features.values().next().unwrap();
    assert_eq!((count.on, count.off), (0, 1), "only of those below 50 %");
    let exact = count.exact.as_ref().unwrap();
    assert_eq!(exact.off.millionths(), 30_000_000);

    let killed = json!({"kill_switches": {"features": ["confidence_refinement"]}});
    let tally = compared(&json!({}), &killed, &["inside"], 0);
    let group = &groups(&tally)[0].0;
    assert_eq!(group, "flag confidence_refinement bucket → killed: switch");

    let ruled = feature(
        json!({"rules": [{"if": {"not": {"attribute": "os", "is": "linux"}}, "percentage": 0}]}),
    );
    let tally = compared(&json!({}), &ruled, &["inside"], 0);
    let group = &groups(&tally)[0].0;
    assert_eq!(group, "flag confidence_refinement bucket → rule: rule");
    let count = tally.features.values().next().unwrap();
    assert_eq!(count.exact, None, "it depends on what requesters say");
}

#[test]
fn two_releases_are_compared_by_name() {
    let two = json!({
        "releases": {"v1.0-old": {"version": "1.0.3", "percentage": 100, "state": "active"}},
        "features": {"v1.0-old": {"confidence_refinement": true}},
    });
    let snapshot = snapshot(&two, None);
    let config = config(&two);
    let side = Side {
        snapshot: &snapshot,
        config: &config,
    };
    let renamed = Some(("v1.0-old", "v1.1.0-beta"));
    let mut comparison = Comparison::new(side, side, renamed, NOW, 1);
    for who in ["inside", "outside", "last", "member"] {
        comparison.add(who, &unit(who).unwrap());
    }
    let tally = comparison.finish();
    assert_eq!(tally.builds, 0);
    let key = &tally.features.keys().next().unwrap().0;
    assert_eq!(key, "v1.0-old → v1.1.0-beta");
    let offs: Vec<u64> = tally.features.values().map(|count| count.off).collect();
    assert!(offs.contains(&2), "{:?}", tally.features);
}

fn places(before: &Value, after: &Value) -> Vec<String> {
    let json = |patch: &Value| Json::parse(&document(patch)).unwrap();
    let found = differences(&json(before), &json(after));
    let show = found.iter().map(|difference| {
        let mut json = serde_json::to_value(difference).unwrap();
        let members = json.as_object_mut().unwrap();
        let pointer = members.remove("pointer").unwrap();
        format!("{} {}", pointer.as_str().unwrap(), json)
    });
    show.collect()
}

#[test]
fn documents_differ_place_by_place() {
    let check = |before: Value, after: Value, expect: &[&str]| {
        assert_eq!(places(&before, &after), expect);
    };
    check(json!({}), json!({"revision": 9}), &[]);
    check(
        json!({}),
        percentage(50.0),
        &[r#"/releases/v1.1.0-beta/percentage {"from":25,"kind":"changed","to":50}"#],
    );
    check(
        json!({}),
        json!({"features": {"*": {"a/b": true}, "v1.1.0-beta": {"validation_retry": null}}}),
        &[
            r#"/features/*/a~1b {"kind":"added","to":true}"#,
            r#"/features/v1.1.0-beta/validation_retry {"from":true,"kind":"removed"}"#,
        ],
    );
    check(
        json!({"releases": {"v1.1.0-beta": {"cohorts": ["a", "b"]}}}),
        json!({"releases": {"v1.1.0-beta": {"cohorts": ["a", "c", "d"]}}}),
        &[
            r#"/releases/v1.1.0-beta/cohorts/1 {"from":"b","kind":"changed","to":"c"}"#,
            r#"/releases/v1.1.0-beta/cohorts/2 {"kind":"added","to":"d"}"#,
        ],
    );
}

#[test]
fn neither_salt_nor_people_are_shown() {
    let check = |after: Value, expect: &[&str]| {
        assert_eq!(places(&json!({}), &after), expect);
    };
    check(
        json!({"salt": "00112233445566778899aabbccddeeff"}),
        &[r#"/salt {"kind":"changed"}"#],
    );
    check(json!({"salt": null}), &[r#"/salt {"kind":"removed"}"#]);
    check(
        json!({"canary": {"allowlist": ["00112233445566778899aabbccddeeff", "10112233445566778899aabbccddeeff"]}}),
        &[r#"/canary/allowlist {"kind":"changed","people":{"added":2,"removed":1}}"#],
    );
    check(
        json!({"cohorts": {"new": {"enabled": true, "members": ["00112233445566778899aabbccddeeff"]}}}),
        &[r#"/cohorts/new {"kind":"added","to":{"enabled":true,"members":"1 people"}}"#],
    );
    check(
        json!({"releases": {"v1.1.0-beta": {"deny": null}}}),
        &[r#"/releases/v1.1.0-beta/deny {"kind":"removed","people":{"added":0,"removed":1}}"#],
    );
}

/// Percentages with up to three decimals.
fn percent() -> impl Strategy<Value = f64> {
    (0_u32..=100_000).prop_map(|t| f64::from(t) / 1000.0)
}

/// The golden release, a newer one beside it, and a cohort with a percentage.
fn world(release: f64, newer: f64, cohort: f64, flag: f64) -> Value {
    json!({
        "releases": {
            "v1.1.0-beta": {"percentage": release},
            "v1.0-old": {"version": "1.0.3", "percentage": newer, "state": "active"},
        },
        "cohorts": {"internal_test": {"percentage": cohort}},
        "features": {"v1.1.0-beta": {"confidence_refinement": {"percentage": flag}}},
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn samples_agree_with_the_exact_shares(
        old in (percent(), percent(), percent(), percent()),
        new in (percent(), percent(), percent(), percent()),
    ) {
        const SAMPLES: u64 = 2000;
        let before = world(old.0, old.1, old.2, old.3);
        let after = world(new.0, new.1, new.2, new.3);
        let tally = compared(&before, &after, &[], SAMPLES);
        let exact = between(&snapshot(&before, None), &snapshot(&after, None));
        for (count, share) in [
            (tally.enter, exact.enter),
            (tally.leave, exact.leave),
            (tally.switch, exact.switch),
            (tally.stay, exact.stay),
        ] {
            prop_assert!(likely(count, SAMPLES, share), "{count} of {SAMPLES}, and {share:?}");
        }
        for (key, count) in &tally.features {
            let exact = count.exact.as_ref();
            let exact = exact.unwrap_or_else(|| panic!("{key:?} has no exact share"));
            prop_assert!(likely(count.on, SAMPLES, exact.on), "{key:?} {count:?}");
            prop_assert!(likely(count.off, SAMPLES, exact.off), "{key:?} {count:?}");
        }
        // Every changed build and flag is told of, and all of them by a percentage.
        let of = |kind: &str| -> u64 {
            tally.groups().iter().filter(|g| g.decider.kind == kind).map(|g| g.ids).sum()
        };
        prop_assert_eq!(of("release"), tally.builds);
        prop_assert!(of("flag") >= tally.flags);
        prop_assert!(tally.groups().iter().all(|g| !g.cause.is_outlier()), "{:?}", groups(&tally));
    }

    #[test]
    fn a_raise_takes_nothing_from_anybody(from in percent(), to in percent(), flag in (percent(), percent())) {
        let (low, high) = (from.min(to), from.max(to));
        let (less, more) = (flag.0.min(flag.1), flag.0.max(flag.1));
        let tally = compared(&world(low, 10.0, 0.5, less), &world(high, 10.0, 0.5, more), &[], 500);
        prop_assert_eq!(tally.leave, 0);
        prop_assert!(tally.features.values().all(|count| count.off == 0));
    }

    #[test]
    fn a_document_does_not_differ_from_itself(old in percent(), new in percent()) {
        prop_assert!(places(&percentage(old), &percentage(old)).is_empty());
        let differ = usize::from(old != new);
        prop_assert_eq!(places(&percentage(old), &percentage(new)).len(), differ);
    }
}
