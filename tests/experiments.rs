//! Experiments: who takes part, what is counted, and what the counts show, by simulation as well.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use caro_edge::core::config::{Config, Experiment};
use caro_edge::core::defaults::Defaults;
use caro_edge::core::experiment::tally::{Cell, Count, Counts, EVER, Seen, cells};
use caro_edge::core::experiment::{Analysis, Because, Decision, State, analyse};
use caro_edge::core::flags::{Asking, Reason, evaluate_all};
use caro_edge::core::identity::Unit;
use caro_edge::core::snapshot::Snapshot;
use caro_edge::core::stop::Stop;
use caro_edge::core::time::Timestamp;
use serde_json::{Value, json};

#[path = "support/problems.rs"]
mod problems;
mod support;

use problems::check_patch;
use support::document;

/// Seed 000, test 1.
fn threshold() -> Value {
    json!({
        "variants": { "control": 0.8, "aggressive": 0.85 },
        "control": "control",
        "metrics": ["command_success", { "name": "latency_ms", "at_most": 2000 }],
        "end": "2026-02-01T00:00:00Z"
    })
}

fn config(experiment: &Value) -> Config {
    let document = document(&json!({ "experiments": { "threshold": experiment } }));
    Config::parse(&document).unwrap()
}

fn experiment(patch: Value) -> Experiment {
    let mut json = threshold();
    for (key, value) in patch.as_object().unwrap() {
        json[key] = value.clone();
    }
    config(&json).experiments.values().next().unwrap().clone()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn during() -> Timestamp {
    at("2026-01-20T00:00:00Z")
}

fn snapshot(experiment: &Value) -> Snapshot {
    Snapshot::new(&config(experiment), Stop::None, &Defaults::default())
}

/// The variant, and whether they take part.
fn gets(snapshot: &Snapshot, id: &str, now: Timestamp) -> (String, bool, Reason) {
    let unit = Unit::from_id(id).unwrap();
    let (_, set) = snapshot.everybodys_features().unwrap();
    let choices = evaluate_all(snapshot, set, &Asking::unit(unit, now));
    let mut chosen = set.chosen(&choices);
    let (_, flag, choice) = chosen
        .find(|(key, ..)| key.as_str() == "threshold")
        .unwrap();
    let part = unit.map(|unit| set.taking_part(snapshot, &unit, &choices));
    let part = part.unwrap_or_default();
    assert_eq!(choice.on && unit.is_some(), part.len() == 1);
    (
        flag.variant(choice).unwrap().name.to_string(),
        choice.on,
        choice.reason,
    )
}

#[test]
fn everybody_gets_a_variant_and_only_who_takes_part_is_counted() {
    let snapshot = snapshot(&threshold());
    let ids: Vec<String> = (0..20_000).map(|i| format!("unit-{i}")).collect();
    let aggressive = ids
        .iter()
        .filter(|id| gets(&snapshot, id, during()).0 == "aggressive");
    let aggressive = aggressive.count();
    assert!((9_700..10_300).contains(&aggressive), "{aggressive}");
    // Before, after, without an id: the control, and not counted.
    let scheduled = ("control".to_owned(), false, Reason::Scheduled);
    assert_eq!(gets(&snapshot, "a", at("2026-03-01T00:00:00Z")), scheduled);
    assert_eq!(
        gets(&snapshot, "", during()),
        ("control".to_owned(), false, Reason::NoUnit)
    );
}

/// More traffic moves nobody who is in, and the variants are independent of the traffic.
#[test]
fn ramping_the_traffic_moves_nobody() {
    let with = |traffic| {
        let mut json = threshold();
        json["traffic"] = json!(traffic);
        snapshot(&json)
    };
    let (small, large) = (with(5), with(40));
    let mut parts = BTreeMap::new();
    for i in 0..40_000 {
        let id = format!("unit-{i}");
        let (before, was_in, _) = gets(&small, &id, during());
        let (after, is_in, _) = gets(&large, &id, during());
        assert!(!was_in || (is_in && before == after), "{id}");
        if was_in {
            *parts.entry(before).or_insert(0) += 1;
        }
    }
    let (control, aggressive) = (parts["control"], parts["aggressive"]);
    assert!(
        (1_800..2_200).contains(&(control + aggressive)),
        "{parts:?}"
    );
    assert!((850..1_150).contains(&control), "{parts:?}");
}

/// The order of an object's members means nothing: the ledger sorts them.
#[test]
fn the_order_of_the_variants_moves_nobody() {
    let text = |variants: &str, allocation: &str| {
        let document = document(&json!({ "experiments": { "threshold": threshold() } }));
        let document = document.replace(r#"{"aggressive":0.85,"control":0.8}"#, variants);
        let end = r#""control":"control","#;
        assert!(document.contains(end) && document.contains(variants));
        let document = document.replace(end, &format!("{end}{allocation}"));
        let config = Config::parse(&document).unwrap();
        Snapshot::new(&config, Stop::None, &Defaults::default())
    };
    let (sorted, other) = (
        r#"{"aggressive":0.85,"control":0.8}"#,
        r#"{"control":0.8,"aggressive":0.85}"#,
    );
    for [one, two] in [
        ["", ""],
        [
            r#""allocation":{"aggressive":20,"control":80},"#,
            r#""allocation":{"control":80,"aggressive":20},"#,
        ],
    ] {
        let (one, two) = (text(sorted, one), text(other, two));
        for i in 0..1000 {
            let id = format!("unit-{i}");
            assert_eq!(gets(&one, &id, during()), gets(&two, &id, during()));
        }
    }
}

#[test]
fn a_kill_a_stop_and_a_condition_give_the_control() {
    let json = threshold();
    let killed = document(&json!({
        "experiments": { "threshold": json },
        "kill_switches": { "features": ["threshold"] }
    }));
    let killed = Config::parse(&killed).unwrap();
    let killed = Snapshot::new(&killed, Stop::None, &Defaults::default());
    let stopped = Snapshot::new(
        &config(&json),
        Stop::All { unread: false },
        &Defaults::default(),
    );
    let mut elsewhere = json.clone();
    elsewhere["if"] = json!({ "attribute": "os", "is": "linux" });
    let elsewhere = snapshot(&elsewhere);
    let mut off = json;
    off["enabled"] = json!(false);
    for (snapshot, reason) in [
        (killed, Reason::Killed),
        (stopped, Reason::Stopped),
        (elsewhere, Reason::Rule),
        (snapshot(&off), Reason::Disabled),
    ] {
        for i in 0..50 {
            let got = gets(&snapshot, &format!("unit-{i}"), during());
            assert_eq!(got, ("control".to_owned(), false, reason));
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let with = |patch: Value| {
        let mut json = threshold();
        for (key, value) in patch.as_object().unwrap() {
            json[key] = value.clone();
        }
        json!({ "experiments": { "threshold": json } })
    };
    let at = |rest: &str| format!("/experiments/threshold{rest}");
    for (patch, path, message) in [
        (
            json!({ "variants": { "control": 1 } }),
            "/variants",
            "two variants or more",
        ),
        (
            json!({ "control": "other" }),
            "/control",
            "names no variant",
        ),
        (json!({ "metrics": [] }), "/metrics", "1 to 10 metrics"),
        (json!({ "metrics": ["a", "a"] }), "/metrics", "twice"),
        (
            json!({ "metrics": [{ "name": "a", "good": true, "at_most": 1 }] }),
            "/metrics/0",
            "one of",
        ),
        (
            json!({ "allocation": { "control": 50 } }),
            "/allocation",
            "100 together",
        ),
        (
            json!({ "allocation": { "control": 100, "aggressive": 0 } }),
            "/allocation",
            "more than nothing",
        ),
        (
            json!({ "start": "2026-02-01T00:00:00Z" }),
            "/end",
            "after start",
        ),
        (json!({ "alpha": 0 }), "/alpha", "from 0.000001 to 0.5"),
        (
            json!({ "release": "v9" }),
            "/release",
            "not under /releases",
        ),
        (
            json!({ "holdout": "none" }),
            "/holdout",
            "not under /holdouts",
        ),
    ] {
        check_patch(&with(patch), &[(&at(path), message)]);
    }
    let taken = json!({
        "features": { "*": { "threshold": true } },
        "experiments": { "threshold": threshold() }
    });
    check_patch(&taken, &[(&at(""), "name of a feature as well")]);
    // In one layer with a feature.
    let layer = |from, to| json!({ "name": "l", "from": from, "to": to });
    let mut overlapping = with(json!({ "layer": layer(0, 50) }));
    overlapping["features"] = json!({ "v1.1.0-beta": { "f": { "layer": layer(49, 100) } } });
    check_patch(
        &overlapping,
        &[("/features/v1.1.0-beta/f/layer", "overlaps with threshold's")],
    );
}

/// Counts as the Durable Object keeps them.
#[derive(Default)]
struct Tally {
    marks: BTreeSet<(u32, u32)>,
    counts: Counts,
}

impl Tally {
    fn see(&mut self, unit: u64, variant: &str, outcome: Option<(&str, bool)>, day: u32) {
        let seen = Seen {
            unit,
            variant: variant.to_owned(),
            outcome: outcome.map(|(metric, good)| (metric.to_owned(), good)),
        };
        for (cell, mark, good) in cells(&seen, day, &[7; 16]) {
            if self.marks.insert((cell.day, mark)) {
                self.counts.add(cell, good);
            }
        }
    }
}

#[test]
fn once_a_day_and_once_for_good() {
    let mut tally = Tally::default();
    for day in [20_000, 20_000, 20_001] {
        tally.see(1, "control", None, day);
    }
    tally.see(2, "aggressive", None, 20_001);
    assert_eq!(tally.counts.get(20_000, "control", "").total, 1);
    assert_eq!(tally.counts.get(20_001, "control", "").total, 1);
    assert_eq!(tally.counts.get(EVER, "control", "").total, 1);
    // The first outcome counts, whatever comes later.
    for good in [false, true, true] {
        tally.see(1, "control", Some(("command_success", good)), 20_001);
    }
    let count = tally.counts.get(EVER, "control", "command_success");
    assert_eq!(count, Count { total: 1, good: 0 });
    // Nothing of the unit is in what is kept.
    assert_eq!(tally.marks.iter().filter(|(_, mark)| *mark == 1).count(), 0);
}

#[test]
fn thousands_are_told_apart() {
    let mut tally = Tally::default();
    for unit in 0..100_000 {
        tally.see(unit, "control", None, 20_000);
    }
    let counted = tally.counts.get(20_000, "control", "").total;
    // Two of them share a mark once in 2^32.
    assert!((99_990..=100_000).contains(&counted), "{counted}");
}

/// Of a metric: how many, and of how many it was good.
type Outcomes<'a> = (&'a str, u64, u64);

/// Counts of both arms: requesters, and for each metric how many of whom it was good.
fn counts(arms: [(&str, u64, &[Outcomes<'_>]); 2]) -> Counts {
    let mut counts = Counts::default();
    for (variant, units, metrics) in arms {
        let cell = |metric: &str| Cell {
            day: EVER,
            variant: variant.to_owned(),
            metric: metric.to_owned(),
        };
        let all = Count {
            total: units,
            good: 0,
        };
        counts.0.insert(cell(""), all);
        for (metric, total, good) in metrics {
            let count = Count {
                total: *total,
                good: *good,
            };
            counts.0.insert(cell(metric), count);
        }
    }
    counts
}

/// Both arms with one metric: requesters, good.
fn simple(control: (u64, u64), other: (u64, u64)) -> Counts {
    counts([
        (
            "control",
            control.0,
            &[("command_success", control.0, control.1)],
        ),
        (
            "aggressive",
            other.0,
            &[("command_success", other.0, other.1)],
        ),
    ])
}

fn decided(analysis: &Analysis) -> (Decision, Because, Option<&str>) {
    (
        analysis.decision,
        analysis.because,
        analysis.variant.as_deref(),
    )
}

#[test]
fn what_the_counts_show() {
    use Because::{Better, NoDifference, NotYet, SampleRatio, Samples, Worse};
    use Decision::{Keep, Ship, Undecided};
    let usual = experiment(json!({}));
    let over = at("2026-02-02T00:00:00Z");
    let aggressive = Some("aggressive");
    let control = Some("control");
    let check = |counts: &Counts, now, expected, why: &str| {
        let analysis = analyse(&usual, counts, now);
        assert_eq!(decided(&analysis), expected, "{analysis:#?}");
        assert!(analysis.why.contains(why), "{}", analysis.why);
    };
    check(
        &Counts::default(),
        during(),
        (Undecided, Samples, None),
        "0 of the 1000",
    );
    check(
        &simple((999, 500), (1050, 1000)),
        during(),
        (Undecided, Samples, None),
        "control has 999",
    );
    check(
        &simple((2000, 1400), (2000, 1600)),
        during(),
        (Ship, Better, aggressive),
        "up by 14.3 %",
    );
    check(
        &simple((2000, 1600), (2000, 1400)),
        during(),
        (Keep, Worse, control),
        "command_success went down",
    );
    check(
        &simple((2000, 1500), (2000, 1510)),
        during(),
        (Undecided, NotYet, None),
        "Let it run",
    );
    check(
        &simple((2000, 1500), (2000, 1510)),
        over,
        (Keep, NoDifference, control),
        "simpler one is enough: control",
    );
    // Proven, and too small to matter: no need to wait for the end.
    check(
        &simple((90_000, 80_000), (90_000, 81_000)),
        during(),
        (Keep, NoDifference, control),
        "no difference of 5 %",
    );
    check(
        &simple((3000, 2000), (2500, 1700)),
        during(),
        (Undecided, SampleRatio, None),
        "2500 got aggressive",
    );
    // Better in what decides, worse in something else.
    let mixed = counts([
        (
            "control",
            3000,
            &[("command_success", 3000, 2000), ("latency_ms", 3000, 2900)],
        ),
        (
            "aggressive",
            3000,
            &[("command_success", 3000, 2500), ("latency_ms", 3000, 2600)],
        ),
    ]);
    check(
        &mixed,
        during(),
        (Keep, Worse, control),
        "latency_ms went down",
    );
    // Who crashes before they can tell is missed among the outcomes.
    let silent = counts([
        ("control", 5000, &[("command_success", 4000, 3600)]),
        ("aggressive", 5000, &[("command_success", 3000, 2990)]),
    ]);
    check(
        &silent,
        during(),
        (Undecided, SampleRatio, None),
        "outcomes of command_success",
    );
}

#[test]
fn the_simpler_one_is_what_the_document_says() {
    let simpler = experiment(json!({ "simpler": "aggressive" }));
    let over = at("2026-02-02T00:00:00Z");
    let analysis = analyse(&simpler, &simple((2000, 1500), (2000, 1510)), over);
    let shipped = (Decision::Ship, Because::NoDifference, Some("aggressive"));
    assert_eq!(decided(&analysis), shipped);
    assert_eq!(analysis.state, State::Ended);
    let worse = analyse(&simpler, &simple((2000, 1600), (2000, 1400)), over);
    assert_eq!(
        decided(&worse),
        (Decision::Keep, Because::Worse, Some("control"))
    );
}

/// A generator of its own, so that a simulation is the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn chance(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Looks every hour for a week, 40 requesters an hour; the first decision that is not undecided.
fn play(seed: u64, control: f64, other: f64, share: f64) -> Option<(usize, Decision, Because)> {
    let experiment = experiment(json!({ "end": "2027-01-01T00:00:00Z" }));
    let mut random = Random(seed);
    let (mut totals, mut goods) = ([0, 0], [0, 0]);
    for hour in 0..168 {
        for _ in 0..40 {
            let arm = usize::from(random.chance() < share);
            totals[arm] += 1;
            goods[arm] += u64::from(random.chance() < [control, other][arm]);
        }
        let analysis = analyse(
            &experiment,
            &simple((totals[0], goods[0]), (totals[1], goods[1])),
            during(),
        );
        let decision = analysis.decision;
        if decision != Decision::Undecided || analysis.because == Because::SampleRatio {
            return Some((hour, decision, analysis.because));
        }
    }
    None
}

#[test]
fn hourly_looks_seldom_find_what_is_not_there() {
    let runs = 400;
    let mut found = BTreeMap::new();
    for seed in 0..runs {
        if let Some((_, _, because)) = play(seed, 0.86, 0.86, 0.5) {
            *found.entry(format!("{because:?}")).or_insert(0) += 1;
        }
    }
    let of = |what: &str| found.get(what).copied().unwrap_or(0);
    // 5 % of 400 is 20; a sample ratio is doubted in 1 %.
    assert!(of("Better") <= 20 && of("Worse") <= 20, "{found:?}");
    assert!(of("SampleRatio") <= 4, "{found:?}");
}

#[test]
fn what_is_there_is_found() {
    let mut hours = Vec::new();
    for seed in 0..100 {
        let found = play(seed, 0.80, 0.90, 0.5);
        let Some((hour, Decision::Ship, Because::Better)) = found else {
            panic!("{seed}: {found:?}");
        };
        hours.push(hour);
    }
    hours.sort_unstable();
    assert!(hours[50] < 72, "half of them within three days: {hours:?}");
    let worse = (0..100).filter(|seed| {
        let found = play(*seed, 0.90, 0.80, 0.5);
        matches!(found, Some((_, Decision::Keep, Because::Worse)))
    });
    assert!(worse.count() >= 98);
    // A variant that loses a fifth of its requesters.
    let skewed = (0..50).filter(|seed| {
        let found = play(*seed, 0.86, 0.86, 0.4 / 0.9);
        matches!(found, Some((_, _, Because::SampleRatio)))
    });
    assert!(skewed.count() >= 48);
}
