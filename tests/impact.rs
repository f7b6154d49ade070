//! What a change does, compared with counting every bucket. The requesters and their buckets are
//! those of `tests/golden/README.md`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use caro_edge::core::config::{Config, State};
use caro_edge::core::decide::decide;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::identity::Unit;
use caro_edge::core::impact::{Impact, Share, between, features};
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{merge, snapshot};

const INSIDE: &str = "ad8e80e75125504f40b6f7817d15f5e2";
const DENIED: &str = "d1f01d55218d867fe2aef0418b4de73c";

/// A version that is listed without any asset.
fn listed() -> Value {
    json!({"assets": {}, "excluded_platforms":
        ["linux-amd64", "linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"]})
}

fn release(patch: Value) -> Value {
    json!({"releases": {"v1.1.0-beta": patch}})
}

/// A newer release on top of the golden one.
fn newer(percentage: u32) -> Value {
    json!({
        "versions": {"1.2.0-beta.1": listed()},
        "releases": {"v1.2.0-beta": {
            "version": "1.2.0-beta.1", "percentage": percentage, "state": "active"}},
    })
}

/// `"enter leave switch stay | people enter leave switch"`.
fn show(impact: &Impact) -> String {
    let share = |share: &Share| serde_json::to_string(share).unwrap();
    format!(
        "{} {} {} {} | {} {} {} {}",
        share(&impact.enter),
        share(&impact.leave),
        share(&impact.switch),
        share(&impact.stay),
        impact.listed.people,
        impact.listed.enter,
        impact.listed.leave,
        impact.listed.switch
    )
}

fn moves(impact: &Impact) -> Vec<String> {
    let shown = impact.moves.iter().map(|m| {
        let share = serde_json::to_string(&m.share).unwrap();
        format!("{} {} {share}", m.from, m.to)
    });
    shown.collect()
}

fn change(before: &Value, after: &Value) -> Impact {
    between(&snapshot(before, None), &snapshot(after, None))
}

#[test]
fn by_hand() {
    let percent = |p: f64| release(json!({"percentage": p}));
    let none = json!({});
    let stopped = release(json!({"state": "stopped"}));
    let killed = json!({"kill_switches": {"canary": true}});
    let rows: [(&Value, Value, &str); 13] = [
        (&none, json!({}), "0 0 0 100 | 3 0 0 0"),
        (&none, percent(50.0), "25 0 0 75 | 3 0 0 0"),
        (&none, percent(10.0), "0 15 0 85 | 3 0 0 0"),
        (&none, percent(25.001), "0.001 0 0 99.999 | 3 0 0 0"),
        (&none, percent(24.999), "0 0.001 0 99.999 | 3 0 0 0"),
        // Their cohort still lets 0.5 % in.
        (&none, percent(0.0), "0 24.5 0 75.5 | 3 0 0 0"),
        // The member and who is on the allowlist lose it too.
        (&none, stopped, "0 25 0 75 | 3 0 2 0"),
        (&none, killed, "0 25 0 75 | 3 0 2 0"),
        (
            &none,
            release(json!({"state": "draft"})),
            "0 25 0 75 | 3 0 2 0",
        ),
        // Who is paused stays.
        (
            &none,
            release(json!({"state": "paused"})),
            "0 0 0 100 | 3 0 0 0",
        ),
        // Of those who had the older one 40 % get the newer; so does who is on the allowlist.
        (&none, newer(40), "30 0 10 60 | 3 1 0 1"),
        // A cohort inside the percentage adds nothing, one that is larger does.
        (
            &none,
            json!({"cohorts": {"internal_test": {"percentage": 25}}}),
            "0 0 0 100 | 3 0 0 0",
        ),
        (
            &none,
            json!({"cohorts": {"internal_test": {"percentage": 25.5}}}),
            "0.5 0 0 99.5 | 3 0 0 0",
        ),
    ];
    for (before, after, expect) in rows {
        // Somebody who is denied there may get a newer one only by its bucket.
        let got = show(&change(before, &after));
        if after == newer(40) {
            let shares = got.split(" |").next().unwrap();
            assert_eq!(shares, "30 0 10 60", "{after}");
        } else {
            assert_eq!(got, expect, "{after}");
        }
    }
    let impact = change(&none, &percent(10.0));
    assert!(impact.evicts() && !impact.switches());
    assert_eq!(moves(&impact), ["1.1.0-beta.2 1.0.4 15"]);
    let impact = change(&none, &newer(40));
    assert!(!impact.evicts() && impact.switches());
    let mut got = moves(&impact);
    got.sort();
    assert_eq!(
        got,
        ["1.0.4 1.2.0-beta.1 30", "1.1.0-beta.2 1.2.0-beta.1 10"]
    );
}

#[test]
fn people_on_lists() {
    let check = |before: &Value, after: &Value, expect: &str| {
        let impact = change(before, after);
        assert!(show(&impact).ends_with(expect), "{}", show(&impact));
        impact
    };
    // `inside` has the beta by bucket and loses it by name.
    let both = release(json!({"deny": [DENIED, INSIDE]}));
    let impact = check(&json!({}), &both, "| 4 0 1 0");
    assert!(impact.leave.is_zero() && impact.evicts());
    check(&both, &json!({}), "| 4 1 0 0");
    // Taken off the deny list they are in by their bucket, 3.094 %.
    check(&json!({}), &release(json!({"deny": null})), "| 3 1 0 0");
    // Canary mode goes off: who is listed falls out, 57.884 %.
    check(
        &json!({}),
        &json!({"canary": {"enabled": false}}),
        "| 3 0 1 0",
    );
    // Another salt: nobody knows who is who.
    let salted = json!({"salt": "00112233445566778899aabbccddeeff"});
    let impact = check(&json!({}), &salted, "| 3 0 0 0");
    assert_eq!(show(&impact), "18.75 18.75 0 62.5 | 3 0 0 0");
}

#[test]
fn stable_versions_change() {
    let impact = change(&json!({}), &json!({"stable": "1.0.3"}));
    assert!(show(&impact).starts_with("0 0 0 100 |"));
    assert_eq!(moves(&impact), ["1.0.4 1.0.3 75"]);
    assert!(!impact.evicts() && !impact.switches());

    // Promoting what half of them have takes it from nobody.
    let full = json!({
        "versions": {"1.1.0": listed()},
        "releases": {"v1.1.0-beta": {"version": "1.1.0", "percentage": 50}},
    });
    let mut promoted = full.clone();
    merge(&mut promoted, &json!({"stable": "1.1.0"}));
    let impact = change(&full, &promoted);
    assert!(impact.leave.is_zero() && impact.enter.is_zero());
    assert_eq!(moves(&impact), ["1.0.4 1.1.0 50"]);
}

#[test]
fn from_and_to_the_fallback() {
    let fallback = Snapshot::fallback(&Defaults::default(), Stop::None);
    let golden = snapshot(&json!({}), None);
    let shares = |impact: &Impact| show(impact).split(" |").next().unwrap().to_owned();
    assert_eq!(shares(&between(&fallback, &golden)), "25 0 0 75");
    assert_eq!(shares(&between(&golden, &fallback)), "0 25 0 75");
    assert_eq!(shares(&between(&fallback, &fallback)), "0 0 0 100");
    let stopped = snapshot(&json!({}), Some("all"));
    assert_eq!(shares(&between(&golden, &stopped)), "0 25 0 75");
    assert_eq!(shares(&between(&stopped, &golden)), "25 0 0 75");
}

/// A thousandth of a percent of a thousandth of a percent is not nobody.
#[test]
fn a_tiny_share_is_not_zero() {
    let mut before = newer(0);
    merge(
        &mut before,
        &release(json!({"percentage": 0.001, "cohorts": []})),
    );
    let mut after = before.clone();
    merge(
        &mut after,
        &json!({"releases": {"v1.2.0-beta": {"percentage": 0.001}}}),
    );
    let impact = change(&before, &after);
    assert!(impact.switches() && !impact.switch.is_zero());
    assert_eq!(serde_json::to_string(&impact.switch).unwrap(), "1e-6");
}

/// More rollouts than 128 bits can multiply.
#[test]
fn many_rollouts() {
    for count in 1..=12_u32 {
        let world = |percentage: f64| {
            let mut world = release(json!({"percentage": 0, "cohorts": null}));
            for i in 0..count {
                let version = format!("1.{}.0-beta.1", i + 2);
                merge(
                    &mut world,
                    &json!({
                        "versions": {version.clone(): listed()},
                        "releases": {format!("r{i}"): {
                            "version": version, "percentage": percentage, "state": "active"}},
                    }),
                );
            }
            snapshot(&world, None)
        };
        // Nobody is left below by half of them: 100 - 100 / 2^count.
        let impact = between(&world(0.0), &world(50.0));
        let expect = 100.0 - 100.0 / f64::from(2_u32.pow(count));
        let got: f64 = serde_json::to_string(&impact.enter)
            .unwrap()
            .parse()
            .unwrap();
        assert!((got - expect).abs() < 2e-6, "{count}: {got} for {expect}");
        let got: f64 = serde_json::to_string(&impact.stay)
            .unwrap()
            .parse()
            .unwrap();
        assert!((got + expect - 100.0).abs() < 2e-6, "{count}: stay {got}");
        let impact = between(&world(50.0), &world(50.001));
        assert!(impact.leave.is_zero() && !impact.enter.is_zero(), "{count}");
        assert_eq!(impact.switches(), count > 1);
    }
}

#[test]
fn of_features() {
    let check = |before: Value, after: Value, release: Option<&str>, expect: &[&str]| {
        let wrap = |features: &Value| snapshot(&json!({"features": features}), None);
        let impact = features(&wrap(&before), &wrap(&after), release);
        let shown: Vec<String> = impact
            .iter()
            .map(|i| {
                let share = |s: &Share| serde_json::to_string(s).unwrap();
                format!("{} {} {}", i.key, share(&i.on), share(&i.off))
            })
            .collect();
        assert_eq!(shown, expect, "{before} to {after}");
    };
    let beta = Some("v1.1.0-beta");
    let of = |feature: Value| json!({"v1.1.0-beta": {"x": feature}});
    let everybodys = |feature: Value| json!({"*": {"x": feature}});
    let percent = |p: u32| of(json!({"percentage": p}));
    check(percent(50), percent(50), beta, &[]);
    check(percent(50), percent(80), beta, &["x 30 0"]);
    check(percent(80), percent(50), beta, &["x 0 30"]);
    check(percent(80), of(json!(false)), beta, &["x 0 80"]);
    check(of(json!(false)), of(json!(true)), beta, &["x 100 0"]);
    check(percent(50), percent(80), None, &[]);
    check(
        everybodys(json!({"percentage": 1})),
        everybodys(json!({"percentage": 2})),
        None,
        &["x 1 0"],
    );
    // The cohort's 0.5 % are counted in the release's buckets, not in the feature's.
    let with_cohort = of(json!({"percentage": 50, "cohorts": ["internal_test"]}));
    check(percent(50), with_cohort.clone(), beta, &["x 0.25 0"]);
    check(with_cohort, percent(50), beta, &["x 0 0.25"]);
    // Another rollout draws other buckets: half of the half.
    let other = of(json!({"percentage": 50, "rollout_id": "another"}));
    check(percent(50), other, beta, &["x 25 25"]);
    check(percent(50), percent(60), Some("9.9.9"), &[]);
}

// ---- against counting ----

/// A world of up to three rollouts, in steps of `1 / grid`.
#[derive(Debug, Clone)]
struct World {
    stable: &'static str,
    /// Version, share, state, rollout, cohorts.
    releases: Vec<(usize, u32, &'static str, usize, usize)>,
    cohorts: [u32; 2],
    killed: bool,
    stop: Option<&'static str>,
}

const ROLLOUTS: [&str; 3] = ["one", "two", "three"];
const VERSIONS: [&str; 4] = ["2.0.0-beta.1", "1.9.0-beta.1", "1.8.0", "1.0.4"];

fn world(rollouts: usize, step: u32) -> impl Strategy<Value = World> {
    let share = move || (0..=100_000 / step).prop_map(move |n| n * step);
    let state = prop::sample::select(vec![
        "active", "active", "active", "paused", "draft", "stopped",
    ]);
    let release = (0..VERSIONS.len(), share(), state, 0..rollouts, 0..4_usize);
    (
        prop::sample::select(vec!["1.0.4", "1.0.4", "1.0.3"]),
        prop::collection::vec(release, 0..5),
        [share(), share()],
        prop::bool::weighted(0.1),
        prop::sample::select(vec![None, None, None, None, Some("all"), Some("r0")]),
    )
        .prop_map(|(stable, releases, cohorts, killed, stop)| World {
            stable,
            releases,
            cohorts,
            killed,
            stop,
        })
}

fn percent(thousandths: u32) -> f64 {
    f64::from(thousandths) / 1000.0
}

impl World {
    fn config(&self, salt: &str) -> Config {
        let mut patch = json!({
            "salt": salt, "stable": self.stable, "features": null, "canary": null,
            "releases": {"v1.1.0-beta": null},
            "cohorts": {
                "internal_test": null,
                "a": {"enabled": true, "percentage": percent(self.cohorts[0]), "members": []},
                "b": {"enabled": true, "percentage": percent(self.cohorts[1]), "members": []},
            },
            "kill_switches": {"canary": self.killed},
        });
        for version in VERSIONS.iter().take(3) {
            patch["versions"][version] = listed();
        }
        for (i, (version, share, state, rollout, cohorts)) in self.releases.iter().enumerate() {
            let names = [["a", "b"].as_slice(), &["a"], &["b"], &[]];
            patch["releases"][format!("r{i}")] = json!({
                "version": VERSIONS[*version], "percentage": percent(*share), "state": state,
                "rollout_id": ROLLOUTS[*rollout], "cohorts": names[*cohorts],
            });
        }
        support::config(&patch)
    }

    fn snapshot(&self, salt: &str) -> Snapshot {
        let config = self.config(salt);
        let stop = self.stop();
        Snapshot::new(&config, stop.0, &Defaults::default())
    }

    fn stop(&self) -> (Stop,) {
        let config = self.config(SALT);
        (Stop::parse(self.stop, Some(&config)),)
    }

    /// What somebody with these buckets gets, read off the configuration alone.
    fn given(&self, config: &Config, stop: &Stop, buckets: &[u32]) -> String {
        let mut best = None;
        for (name, release) in config.releases.iter() {
            let idle = release.state == State::Draft || release.state == State::Stopped;
            if idle || self.killed || stop.covers(name) {
                continue;
            }
            let shares = release
                .cohorts
                .iter()
                .map(|c| config.cohorts.get(c).unwrap().percentage);
            let most = shares
                .chain([release.percentage])
                .max()
                .unwrap()
                .thousandths();
            let rollout = release.rollout_id.strip_prefix("release/").unwrap();
            let axis = ROLLOUTS.iter().position(|r| *r == rollout).unwrap();
            if buckets[axis] < most {
                best = best.max(Some(release.version.clone()));
            }
        }
        best.unwrap_or(config.stable.clone()).to_string()
    }
}

const SALT: &str = "4f02099013e52f8bcd1b3b857f599e04";
const OTHER: &str = "00112233445566778899aabbccddeeff";

/// Counts every combination of pieces of `axes` axes, `step` buckets each, and compares.
fn compare(before: &World, after: &World, rollouts: usize, step: u32, salted: bool) {
    let salt = if salted { OTHER } else { SALT };
    let (old, new) = (before.config(SALT), after.config(salt));
    let ((old_stop,), (new_stop,)) = (before.stop(), after.stop());
    let axes = if salted { 2 * rollouts } else { rollouts };
    let per_axis = 100_000 / step;
    let beta = |config: &Config, version: &str| {
        let offered = config
            .releases
            .values()
            .any(|r| r.version.to_string() == version);
        version != config.stable.to_string() && (offered || version.contains('-'))
    };
    let mut counts = [0_u64; 4];
    let mut expect: std::collections::BTreeMap<(String, String), u64> = Default::default();
    let cells = u64::from(per_axis).pow(axes as u32);
    let mut given = |buckets: &[u32]| {
        let from = before.given(&old, &old_stop, buckets);
        let later = if salted {
            &buckets[rollouts..]
        } else {
            buckets
        };
        let to = after.given(&new, &new_stop, later);
        let fate = match (beta(&old, &from), beta(&new, &to)) {
            _ if from == to => 3,
            (false, true) => 0,
            (true, false) => 1,
            (true, true) => 2,
            (false, false) => 3,
        };
        counts[fate] += 1;
        if from != to {
            *expect.entry((from, to)).or_default() += 1;
        }
    };
    for cell in 0..cells {
        let mut rest = cell;
        let buckets: Vec<u32> = (0..axes)
            .map(|_| {
                let at = (rest % u64::from(per_axis)) as u32;
                rest /= u64::from(per_axis);
                at * step
            })
            .collect();
        given(&buckets);
    }
    let impact = between(&before.snapshot(SALT), &after.snapshot(salt));
    // Thousands of cells at most, so that millionths of a percent are exact.
    let exact = |count: u64| count * 100_000_000 / cells;
    let got = [&impact.enter, &impact.leave, &impact.switch, &impact.stay];
    for (got, count) in got.into_iter().zip(counts) {
        assert_eq!(
            u64::try_from(i128::from(got.millionths())).unwrap(),
            exact(count)
        );
    }
    let got: std::collections::BTreeMap<(String, String), u64> = impact
        .moves
        .iter()
        .map(|m| {
            let share = u64::try_from(i128::from(m.share.millionths())).unwrap();
            ((m.from.to_string(), m.to.to_string()), share)
        })
        .collect();
    let expect = expect.into_iter().map(|(key, count)| (key, exact(count)));
    assert_eq!(got, expect.collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_bucket_of_one_rollout(before in world(1, 1), after in world(1, 1)) {
        compare(&before, &after, 1, 1, false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_rollouts(before in world(2, 10_000), after in world(2, 10_000)) {
        compare(&before, &after, 2, 10_000, false);
    }

    #[test]
    fn three_rollouts(before in world(3, 10_000), after in world(3, 10_000)) {
        compare(&before, &after, 3, 10_000, false);
    }

    #[test]
    fn another_salt(before in world(2, 20_000), after in world(2, 20_000)) {
        compare(&before, &after, 2, 20_000, true);
    }

    /// Whatever happens to a real requester is among the moves, and nothing is lost by rounding.
    #[test]
    fn it_is_what_decide_does(before in world(3, 1), after in world(3, 1), ids in prop::collection::vec("[a-z]{8}", 20)) {
        let (old, new) = (before.snapshot(SALT), after.snapshot(SALT));
        let impact = between(&old, &new);
        for id in ids {
            let unit = Unit::from_id(&id).unwrap();
            let version = |s: &Snapshot| {
                s.build(decide(s, unit.as_ref()).build).unwrap().version.to_string()
            };
            let (from, to) = (version(&old), version(&new));
            let listed = impact.moves.iter().any(|m| m.from == from && m.to == to);
            prop_assert!(from == to || listed);
        }
        let shares = [&impact.enter, &impact.leave, &impact.switch, &impact.stay];
        let sum: u64 = shares.iter().map(|s| u64::try_from(i128::from(s.millionths())).unwrap()).sum();
        prop_assert!(sum.abs_diff(100_000_000) <= 4);
        for share in shares {
            prop_assert_eq!(share.is_zero(), share.millionths() == 0);
        }
    }
}
