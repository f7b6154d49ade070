//! Which release a requester gets: first rule that applies, row by row. The requesters and their
//! buckets are those of `tests/golden/README.md`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::core::defaults::Defaults;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use serde_json::{Value, json};

use support::{decided, merge, selected, snapshot};

/// The unit hash of the id `inside`, whose bucket is in.
const INSIDE: &str = "ad8e80e75125504f40b6f7817d15f5e2";

const PLATFORMS: [&str; 5] = [
    "linux-amd64",
    "linux-arm64",
    "macos-intel",
    "macos-silicon",
    "windows-amd64",
];

/// A version that is listed without any asset.
fn listed() -> Value {
    json!({"assets": {}, "excluded_platforms": PLATFORMS})
}

fn all(patches: &[Value]) -> Value {
    let mut merged = json!({});
    for patch in patches {
        merge(&mut merged, patch);
    }
    merged
}

fn release(patch: &Value) -> Value {
    json!({"releases": {"v1.1.0-beta": patch}})
}

/// Each row adds the next stronger rule to those before it, for one and the same requester.
#[test]
fn the_stronger_rule_wins() {
    let rows = [
        (release(&json!({"percentage": 0})), "1.0.4 default"),
        (release(&json!({"percentage": 25})), "1.1.0-beta.2 bucket"),
        (
            json!({"cohorts": {"internal_test": {"members": [INSIDE]}}}),
            "1.1.0-beta.2 cohort",
        ),
        (
            json!({"canary": {"allowlist": [INSIDE]}}),
            "1.1.0-beta.2 allowlist",
        ),
        (release(&json!({"deny": [INSIDE]})), "1.0.4 denied"),
        (json!({"kill_switches": {"canary": true}}), "1.0.4 kill"),
        (
            release(&json!({"state": "stopped"})),
            "1.0.4 emergency_stop",
        ),
    ];
    let mut patch = json!({});
    for (rule, expect) in rows {
        merge(&mut patch, &rule);
        assert_eq!(decided(&snapshot(&patch, None), "inside"), expect, "{rule}");
    }
    // The stop in KV is the same rule as the release's own state, and as strong.
    let killed = json!({"kill_switches": {"canary": true}});
    assert_eq!(
        decided(&snapshot(&killed, Some("all")), "inside"),
        "1.0.4 emergency_stop"
    );

    // A path that names something is between the kill and the deny list, which has no say there:
    // nobody is identified on it.
    let denied = release(&json!({"deny": [INSIDE]}));
    assert_eq!(
        selected(&snapshot(&denied, None), "v1.1.0-beta"),
        "1.1.0-beta.2 pinned"
    );
    assert_eq!(selected(&snapshot(&killed, None), "v1.1.0-beta"), "stopped");
}

/// One rule at a time.
#[test]
fn by_rollout() {
    let percentage = |p: f64| release(&json!({"percentage": p}));
    let cohort = |patch: Value| json!({"cohorts": {"internal_test": patch}});
    let check = |patch: &Value, who: &str, expect: &str| {
        assert_eq!(
            decided(&snapshot(patch, None), who),
            expect,
            "{who} with {patch}"
        );
    };
    // Bucket of `inside`: 17_994 thousandths of a percent. In iff strictly below.
    check(&percentage(17.994), "inside", "1.0.4 default");
    check(&percentage(17.995), "inside", "1.1.0-beta.2 bucket");
    check(&percentage(0.0), "inside", "1.0.4 default");
    check(&percentage(100.0), "last", "1.1.0-beta.2 bucket");

    // Nobody known: in only if everybody is.
    check(&percentage(99.999), "", "1.0.4 no_unit");
    check(&percentage(100.0), "", "1.1.0-beta.2 bucket");
    check(&percentage(0.0), "", "1.0.4 no_unit");
    // A cohort of everybody is a cohort of units, and there is none.
    check(&cohort(json!({"percentage": 100})), "", "1.0.4 no_unit");

    // The allowlist only counts in canary mode.
    check(&json!({}), "listed", "1.1.0-beta.2 allowlist");
    check(
        &json!({"canary": {"enabled": false}}),
        "listed",
        "1.0.4 default",
    );
    check(&json!({"canary": null}), "listed", "1.0.4 default");

    // Cohorts: by member, by the release's own bucket, or off.
    check(&json!({}), "member", "1.1.0-beta.2 cohort");
    check(
        &cohort(json!({"percentage": 40.312})),
        "outside",
        "1.0.4 default",
    );
    check(
        &cohort(json!({"percentage": 40.313})),
        "outside",
        "1.1.0-beta.2 cohort",
    );
    check(
        &cohort(json!({"enabled": false})),
        "member",
        "1.0.4 default",
    );
    check(
        &json!({"kill_switches": {"cohorts": ["internal_test"]}}),
        "member",
        "1.0.4 default",
    );
    check(
        &release(&json!({"cohorts": null})),
        "member",
        "1.0.4 default",
    );

    // Deny beats every way in, also at 100 %.
    check(&percentage(100.0), "denied", "1.0.4 denied");
}

#[test]
fn each_state() {
    let rows = [
        // state, by rollout, /beta, by the release's name, by version, effective percentage
        (
            "draft",
            "1.0.4 default",
            "unknown",
            "1.1.0-beta.2 pinned",
            "1.1.0-beta.2 pinned",
            0,
        ),
        (
            "active",
            "1.1.0-beta.2 bucket",
            "1.1.0-beta.2 channel",
            "1.1.0-beta.2 pinned",
            "1.1.0-beta.2 pinned",
            25_000,
        ),
        (
            "paused",
            "1.1.0-beta.2 bucket",
            "1.1.0-beta.2 channel",
            "1.1.0-beta.2 pinned",
            "1.1.0-beta.2 pinned",
            25_000,
        ),
        (
            "complete",
            "1.1.0-beta.2 bucket",
            "1.1.0-beta.2 channel",
            "1.1.0-beta.2 pinned",
            "1.1.0-beta.2 pinned",
            25_000,
        ),
        (
            "stopped",
            "1.0.4 emergency_stop",
            "stopped",
            "stopped",
            "stopped",
            0,
        ),
    ];
    for (state, rollout, beta, name, version, percentage) in rows {
        let snapshot = snapshot(&release(&json!({"state": state})), None);
        assert_eq!(decided(&snapshot, "inside"), rollout, "{state}");
        assert_eq!(selected(&snapshot, "beta"), beta, "{state}");
        assert_eq!(selected(&snapshot, "v1.1.0-beta"), name, "{state}");
        assert_eq!(selected(&snapshot, "1.1.0-beta.2"), version, "{state}");
        let release = snapshot.release("v1.1.0-beta").unwrap();
        assert_eq!(
            release.percentage(&snapshot).thousandths(),
            percentage,
            "{state}"
        );
        assert_eq!(release.configured.thousandths(), 25_000, "{state}");
        assert_eq!(selected(&snapshot, "stable"), "1.0.4 channel", "{state}");
    }
}

/// Releases are asked from the newest version to the oldest, whatever their names.
#[test]
fn the_newest_release_that_admits_wins() {
    let newer = |patch: Value| {
        let mut release = json!({"version": "1.10.0-rc.1", "percentage": 0, "state": "active"});
        merge(&mut release, &patch);
        all(&[
            json!({"versions": {"1.10.0-rc.1": listed()}}),
            json!({"releases": {"a-name-that-sorts-first": release}}),
        ])
    };
    let check = |patch: Value, who: &str, expect: &str| {
        let snapshot = snapshot(&newer(patch.clone()), None);
        assert_eq!(decided(&snapshot, who), expect, "{who} with {patch}");
    };
    check(json!({"percentage": 100}), "inside", "1.10.0-rc.1 bucket");
    check(json!({"percentage": 100}), "outside", "1.10.0-rc.1 bucket");
    check(json!({"percentage": 0}), "inside", "1.1.0-beta.2 bucket");
    check(json!({"percentage": 0}), "outside", "1.0.4 default");
    // Stopping the newer one leaves the older one as it is.
    check(
        json!({"percentage": 100, "state": "stopped"}),
        "inside",
        "1.1.0-beta.2 bucket",
    );
    check(
        json!({"percentage": 100, "state": "draft"}),
        "inside",
        "1.1.0-beta.2 bucket",
    );
    // Nobody admits: the reason is the newest release's that is not a draft.
    check(
        json!({"percentage": 100, "state": "stopped"}),
        "outside",
        "1.0.4 emergency_stop",
    );
    check(
        json!({"percentage": 100, "state": "draft"}),
        "outside",
        "1.0.4 default",
    );
    // Denied there is not denied here.
    check(
        json!({"percentage": 100, "deny": [INSIDE]}),
        "inside",
        "1.1.0-beta.2 bucket",
    );

    // The two draw different buckets, unless they say that they are one rollout.
    let both = newer(json!({"percentage": 25, "rollout_id": "v1.1.0-beta"}));
    for (who, expect) in [
        ("inside", "1.10.0-rc.1 bucket"),
        ("outside", "1.0.4 default"),
    ] {
        assert_eq!(decided(&snapshot(&both, None), who), expect);
    }

    let beta = |patch| selected(&snapshot(&newer(patch), None), "beta");
    assert_eq!(beta(json!({})), "1.10.0-rc.1 channel");
    assert_eq!(beta(json!({"state": "stopped"})), "1.1.0-beta.2 channel");
    assert_eq!(beta(json!({"state": "draft"})), "1.1.0-beta.2 channel");
}

#[test]
fn by_name() {
    let more = json!({"versions": {"1.1.0-beta.9": listed(), "1.1.0-beta.10": listed(),
        "1.1.0-beta.10.1": listed(), "1.1.0-beta.x": listed(), "1.1.0-alpha.99": listed(),
        "1.1.1-beta.99": listed(), "2.0.0": listed()}});
    let exact = all(&[more.clone(), json!({"versions": {"1.1.0-beta": listed()}})]);
    let check = |patch: &Value, name: &str, expect: &str| {
        assert_eq!(selected(&snapshot(patch, None), name), expect, "{name}");
    };
    let golden = json!({});
    check(&golden, "stable", "1.0.4 channel");
    check(&golden, "beta", "1.1.0-beta.2 channel");
    check(&golden, "1.0.4", "1.0.4 pinned");
    check(&golden, "v1.0.3", "1.0.3 pinned");
    check(&golden, "1.1.0-beta.1", "1.1.0-beta.1 pinned");
    check(&golden, "1.1.0", "unknown");
    check(&golden, "1.1.0-beta.3", "unknown");
    check(&golden, "1.2.0-beta", "unknown");
    // A family is a pre-release with one more number, compared as a number: 10 is above 9.
    check(&more, "v1.1.0-beta", "1.1.0-beta.10 pinned");
    check(&more, "1.1.0-alpha", "1.1.0-alpha.99 pinned");
    check(&more, "2.0.0", "2.0.0 pinned");
    // An exact version wins over the family of that name.
    check(&exact, "v1.1.0-beta", "1.1.0-beta pinned");
}

/// A stop refuses every build that carries the release's name, offered or not, and no other.
#[test]
fn what_is_stopped_is_refused_by_name_too() {
    let more = json!({"versions": {"0.9.0-alpha.1": listed(), "1.1.0": listed()}});
    let check = |stop: &str, name: &str, expect: &str| {
        assert_eq!(
            selected(&snapshot(&more, Some(stop)), name),
            expect,
            "{name}, stop {stop}"
        );
    };
    for stop in ["all", "v1.1.0-beta", "1.1.0-beta.2"] {
        for name in ["beta", "v1.1.0-beta", "1.1.0-beta.1", "1.1.0-beta.2"] {
            check(stop, name, "stopped");
        }
        // Full versions can be named whatever happens: they are the way out.
        check(stop, "stable", "1.0.4 channel");
        check(stop, "1.0.4", "1.0.4 pinned");
        check(stop, "1.0.3", "1.0.3 pinned");
        check(stop, "1.1.0", "1.1.0 pinned");
        check(stop, "9.9.9", "unknown");
    }
    check("v1.1.0-beta", "0.9.0-alpha.1", "0.9.0-alpha.1 pinned");
    check("all", "0.9.0-alpha.1", "stopped");

    // The full version that a release's name announces belongs to it too, offered or not.
    let announced = json!({
        "versions": {"2.0.0-rc.1": listed(), "2.0.0": listed()},
        "releases": {"v2.0.0": {"version": "2.0.0-rc.1", "percentage": 0, "state": "active"}},
    });
    let killed = all(&[
        announced.clone(),
        json!({"kill_switches": {"canary": true}}),
    ]);
    for snapshot in [
        snapshot(&announced, Some("v2.0.0")),
        snapshot(&announced, Some("all")),
        snapshot(&killed, None),
    ] {
        assert_eq!(selected(&snapshot, "v2.0.0"), "stopped");
    }
    assert_eq!(
        selected(&snapshot(&announced, None), "v2.0.0"),
        "2.0.0 pinned"
    );
}

/// The fallback of everybody cannot itself be refused, even if a stopped release offers it.
#[test]
fn stable_is_never_refused() {
    let full = json!({"version": "1.0.4", "percentage": 100, "state": "stopped"});
    let patch = json!({"releases": {"v1.0.4": full}, "kill_switches": {"canary": true}});
    let snapshot = snapshot(&patch, Some("all"));
    assert_eq!(selected(&snapshot, "stable"), "1.0.4 channel");
    assert_eq!(selected(&snapshot, "v1.0.4"), "1.0.4 pinned");
    assert_eq!(decided(&snapshot, "inside"), "1.0.4 emergency_stop");
}

#[test]
fn without_a_configuration() {
    for stop in [
        Stop::None,
        Stop::All { unread: false },
        Stop::All { unread: true },
    ] {
        let snapshot = Snapshot::fallback(&Defaults::default(), stop);
        for who in ["", "inside", "192.0.2.1"] {
            assert_eq!(decided(&snapshot, who), "1.0.4 fallback");
        }
        assert_eq!(selected(&snapshot, "stable"), "1.0.4 fallback");
        assert_eq!(selected(&snapshot, "v1.0.4"), "1.0.4 fallback");
        // Not "unknown": it may well exist.
        for name in ["beta", "v1.1.0-beta", "1.0.3"] {
            assert_eq!(selected(&snapshot, name), "unavailable", "{name}");
        }
    }
}
