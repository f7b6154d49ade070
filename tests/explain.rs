//! An explanation says what the decision does.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::core::decide::decide;
use caro_edge::core::explain::{Explanation, explain};
use caro_edge::core::snapshot::Snapshot;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{NOW, config, show, snapshot, unit, values};

fn explained(patch: &Value, stop: Option<&str>, who: &str) -> (Snapshot, Explanation) {
    let snapshot = snapshot(patch, stop);
    let config = config(patch);
    let unit = unit(who);
    let explanation = explain(&snapshot, Some(&config), unit.as_ref(), None, NOW);
    (snapshot, explanation)
}

/// `"bucket decides: bucket 12 % is below 25 %"` of the newest release.
fn deciding(patch: &Value, stop: Option<&str>, who: &str) -> String {
    let (_, explanation) = explained(patch, stop, who);
    let steps = &explanation.releases[0].steps;
    let step = steps.iter().find(|s| s.outcome == "decides").unwrap();
    format!("{}: {}", step.rule, step.detail)
}

#[test]
fn each_rule_is_named() {
    let none = json!({});
    for (patch, stop, who, wanted) in [
        (
            &none,
            Some("all"),
            "inside",
            "emergency_stop: an emergency stop covers the release",
        ),
        (
            &json!({"kill_switches": {"canary": true}}),
            None,
            "inside",
            "kill: the kill switch of the whole canary is on",
        ),
        (
            &json!({"releases": {"v1.1.0-beta": {"state": "draft"}}}),
            None,
            "inside",
            "draft: the release is a draft: nobody gets it by rollout",
        ),
        (
            &none,
            None,
            "",
            "no_unit: nothing identifies the requester, and below 100 % such a one gets stable",
        ),
    ] {
        assert_eq!(deciding(patch, stop, who), wanted);
    }
    assert!(deciding(&none, None, "inside").starts_with("bucket: bucket "));
    assert!(deciding(&none, None, "inside").ends_with(" % is below 25 %"));
    assert_eq!(
        deciding(&none, None, "outside"),
        "default: nothing admits the requester"
    );
}

#[test]
fn nobody_is_named() {
    let (snapshot, explanation) = explained(&json!({}), None, "some-secret-name");
    let text = serde_json::to_string(&explanation).unwrap();
    assert!(!text.contains("some-secret-name"));
    assert_eq!(explanation.identified_by, "id");
    assert_eq!(explanation.revision, snapshot.revision);
    assert_eq!(
        explained(&json!({}), None, "192.0.2.7").1.identified_by,
        "ipv4"
    );
    assert_eq!(
        explained(&json!({}), None, "2001:db8::1").1.identified_by,
        "ipv6_64"
    );
    assert_eq!(explained(&json!({}), None, "").1.identified_by, "none");
}

fn patch() -> impl Strategy<Value = Value> {
    let state = prop_oneof![
        Just("active"),
        Just("paused"),
        Just("draft"),
        Just("stopped")
    ];
    (0..=100u32, state, 0..=100u32, any::<[bool; 3]>()).prop_map(
        |(percentage, state, cohort, [killed, canary, enabled])| {
            json!({
                "releases": {"v1.1.0-beta": {"percentage": percentage, "state": state}},
                "cohorts": {"internal_test": {"percentage": cohort, "enabled": enabled}},
                "canary": {"enabled": canary},
                "kill_switches": {"canary": killed}
            })
        },
    )
}

proptest! {
    #[test]
    fn it_agrees_with_the_decision(
        patch in patch(),
        stop in prop_oneof![Just(None), Just(Some("all")), Just(Some("v1.1.0-beta"))],
        // Two of the golden document's listed people are among them.
        who in prop_oneof!["[a-z]{1,8}", Just(String::new()), Just("inside".to_owned()),
                           Just("192.0.2.7".to_owned()), Just("member".to_owned()),
                           Just("allowed".to_owned()), Just("denied".to_owned())],
    ) {
        let (snapshot, explanation) = explained(&patch, stop, &who);
        let unit = unit(&who);
        let decision = decide(&snapshot, unit.as_ref());
        prop_assert_eq!(
            format!("{} {}", explanation.version, explanation.reason),
            show(&snapshot, decision)
        );
        let admitted = explanation.releases.iter().find(|r| r.admitted);
        match admitted {
            Some(release) => prop_assert_eq!(&release.version, &explanation.version),
            None => prop_assert_eq!(&explanation.version, "1.0.4"),
        }
        for release in &explanation.releases {
            let decides = release.steps.iter().filter(|s| s.outcome == "decides").count();
            prop_assert_eq!(decides, 1);
            prop_assert!(release.steps.iter().all(|s| !s.detail.is_empty() || s.outcome == "not_reached"));
        }
        let (_, set) = snapshot.features(&explanation.version).unwrap();
        let given = values(&snapshot, set, &who);
        let explained = explanation.features.iter();
        let explained = explained.map(|step| (step.key.clone(), serde_json::to_value(&step.value).unwrap()));
        prop_assert_eq!(given, explained.collect::<Vec<_>>());
    }
}
