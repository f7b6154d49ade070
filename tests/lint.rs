//! What lint finds, and that it stops a change where the policy says so.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/desk.rs"]
mod desk;
#[path = "support/memory.rs"]
mod memory;
mod support;

use caro_edge::core::config::Config;
use caro_edge::core::json::Json;
use caro_edge::core::lint::lint;
use caro_edge::core::table::Table;
use serde_json::{Value, json};

use desk::{ADMIN, Desk};
use support::{NOW, merge};

/// The rules that are broken by a feature `key`, with good papers unless it says otherwise. NOW is in
/// January 2026.
fn found(key: &str, patch: Value) -> Vec<&'static str> {
    let mut feature = json!({
        "description": "Syncs what was measured.", "owner": "platform",
        "added": "2026-01-10", "expires": "2026-06-01",
    });
    merge(&mut feature, &patch);
    let mut features = json!({"off_for_all": false, "seldom_asked": {"percentage": 5}});
    features[key] = feature;
    let mut document: Value = serde_json::from_str(support::CONFIG).unwrap();
    document["features"] = json!({"*": features});
    let config = Config::parse(&document.to_string()).unwrap_or_else(|e| panic!("{e:#?}"));
    let json = Json::parse(&document.to_string()).unwrap();
    let findings = lint(&json, &config, &Table::default(), NOW);
    let pointer = format!("/features/*/{key}");
    let own = findings.into_iter().filter(|f| f.pointer == pointer);
    own.map(|finding| finding.rule).collect()
}

const NONE: [&str; 0] = [];

/// Seed 001, "Naming Conventions": its good and its bad names.
#[test]
fn names() {
    for good in [
        "telemetry_cloud_sync",
        "enhanced_safety_v2",
        "mlx_backend",
        "command_history",
    ] {
        assert_eq!(found(good, json!({})), NONE, "{good}");
    }
    for (bad, rule) in [
        ("new_feature", "vague-name"),
        ("experiment_123", "vague-name"),
        ("temp_fix", "vague-name"),
        ("alice_test", "personal-name"),
        ("no_telemetry", "negative-name"),
    ] {
        assert_eq!(found(bad, json!({})), [rule], "{bad}");
    }
    assert_eq!(
        found(
            "alice_test",
            json!({"stage": "development", "percentage": 0})
        ),
        NONE
    );
}

#[test]
fn everything_else() {
    let rule = |attribute: &str| json!({"if": {"attribute": attribute, "exists": true}});
    for (patch, rules) in [
        (json!({"owner": null}), vec!["papers"]),
        (json!({"expires": null}), vec!["papers"]),
        (
            json!({"expires": null, "added": null, "kind": "ops"}),
            vec![],
        ),
        (json!({"expires": "2026-01-15"}), vec!["expired"]),
        (json!({"expires": "2026-01-16"}), vec![]),
        (json!({"added": "2025-07-01"}), vec!["old"]),
        (json!({"added": "2025-07-20"}), vec![]),
        (json!({"added": "2025-07-01", "kind": "permission"}), vec![]),
        (json!({"stage": "development"}), vec!["stage"]),
        (
            json!({"stage": "internal", "percentage": 0, "cohorts": ["internal_test"]}),
            vec![],
        ),
        (json!({"stage": "deprecated"}), vec!["stage"]),
        (json!({"stage": "deprecated", "enabled": false}), vec![]),
        (
            json!({"rules": [rule("a"), rule("b"), rule("a")]}),
            vec!["unreachable-rule"],
        ),
        (json!({"rules": [rule("a"), rule("b")]}), vec![]),
        (
            json!({"variants": {"a": 1, "b": 2, "c": 3}, "off": "a", "serve": "b"}),
            vec!["unused-variant"],
        ),
        (
            json!({"variants": {"a": 1, "b": 2}, "off": "a", "serve": [{"variant": "b", "weight": 0}]}),
            vec!["unused-variant"],
        ),
        (
            json!({"prerequisites": {"off_for_all": "on"}}),
            vec!["dead-prerequisite"],
        ),
        (json!({"prerequisites": {"off_for_all": "off"}}), vec![]),
        (json!({"prerequisites": {"seldom_asked": "on"}}), vec![]),
        (
            json!({"description": "Ask bob@example.com."}),
            vec!["personal-data"],
        ),
        (
            json!({"variants": {"a": "x", "b": "http 192.0.2.7"}, "off": "a", "serve": "b"}),
            vec!["personal-data"],
        ),
        (json!({"rollback_plan": "Call +49 89 1234567"}), vec![]),
        (
            json!({"rollback_plan": "Call +498912345678"}),
            vec!["personal-data"],
        ),
        (json!({"description": "Since 1.1.0-beta.2, ::1"}), vec![]),
    ] {
        assert_eq!(
            found("telemetry_cloud_sync", patch.clone()),
            rules,
            "{patch}"
        );
    }
    let debug = |patch| found("telemetry_debug", patch);
    let day = |patch: Value| {
        let mut closed =
            json!({"added": "2026-01-15", "percentage": 0, "cohorts": ["internal_test"]});
        merge(&mut closed, &patch);
        closed
    };
    assert_eq!(debug(day(json!({}))), NONE);
    assert_eq!(debug(day(json!({"percentage": 1}))), ["open-debug"]);
    assert_eq!(debug(day(json!({"rules": [rule("a")]}))), ["open-debug"]);
    assert_eq!(debug(day(json!({"added": "2026-01-13"}))), ["old-debug"]);
}

#[test]
fn on_for_everybody_for_a_month() {
    let mut desk = Desk::with(&json!({"features": {"*": {"command_history": {
        "description": "x", "owner": "y", "added": "2026-01-10", "expires": "2026-06-01", "percentage": 50,
    }}}}));
    let rules = |desk: &mut Desk| -> Vec<String> {
        let lint = desk.admin("GET", "/admin/lint", Value::Null);
        let findings = lint["findings"].as_array().unwrap();
        let own = findings
            .iter()
            .filter(|f| f["pointer"] == "/features/*/command_history");
        own.map(|f| f["rule"].as_str().unwrap().to_owned())
            .collect()
    };
    let set = |desk: &mut Desk, percentage: u64| {
        let body = json!({"command_history": {"percentage": percentage}});
        desk.admin("POST", "/features/*", body);
    };
    const DAY: u64 = 24 * 3_600_000;
    set(&mut desk, 100);
    desk.now = desk.now.plus_millis(30 * DAY);
    assert_eq!(rules(&mut desk), NONE);
    desk.now = desk.now.plus_millis(1);
    assert_eq!(rules(&mut desk), ["clean-up"]);
    // Back and forth begins anew, also after a restart.
    set(&mut desk, 99);
    set(&mut desk, 100);
    let mut desk = desk.reopened();
    assert_eq!(rules(&mut desk), NONE);
}

#[test]
fn it_stops_a_change_where_the_policy_says_so() {
    let blocked =
        json!({"policy": {"lint": "block"}, "features": {"*": {"telemetry_debug": true}}});
    let mut desk = Desk::with(&blocked);
    let bad = json!({"telemetry_sync": {"expires": "2025-01-01"}});
    let (status, json) = desk.ask(ADMIN, "POST", "/features/*", bad.clone());
    assert_eq!(status, 422, "{json}");
    assert_eq!(json["errors"][0]["pointer"], "/features/*/telemetry_sync");
    assert!(
        json["errors"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("(expired)")
    );
    // What was wrong before does not stop anything else, and nothing stops a stop.
    desk.admin("POST", "/features/*", json!({"static_matcher": false}));
    desk.admin("POST", "/rollout/all/emergency-stop?reason=x", Value::Null);
    let mut desk = Desk::with(&json!({}));
    desk.admin("POST", "/features/*", bad);
}
