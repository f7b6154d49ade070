//! The seven presets, each played to its end against what may happen to it.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use caro_edge::core::ids::Percentage;
use caro_edge::core::json::Json;
use caro_edge::core::plan::simulate::{
    Draw, Entry, Kind, Played, SCENARIOS, Scenario, scenario, simulate,
};
use caro_edge::core::plan::{PRESETS, Plan, Status, preset};

fn document(name: &str) -> Json {
    Json::parse(preset(name).unwrap()).unwrap()
}

fn plan(name: &str) -> Plan {
    Plan::parse(&document(name)).unwrap()
}

fn with(name: &str, scenario: &Scenario, seed: u64) -> Played {
    simulate(&document(name), scenario, seed).unwrap()
}

fn played(name: &str, against: &str) -> Played {
    with(name, &scenario(against).unwrap(), 1)
}

fn of(played: &Played, kind: Kind) -> Vec<&Entry> {
    let entries = played.timeline.iter();
    entries.filter(|entry| entry.kind == kind).collect()
}

fn has(played: &Played, kind: Kind) -> bool {
    !of(played, kind).is_empty()
}

fn thousandths(percent: f64) -> Percentage {
    Percentage::from_thousandths((percent * 1000.0) as u32).unwrap()
}

/// What holds whatever happens.
fn is_careful(name: &str, played: &Played) {
    let plan = plan(name);
    let mut stage = 0;
    for entry in &played.timeline {
        let at = plan
            .stages
            .iter()
            .position(|s| s.id == entry.stage)
            .unwrap();
        let edited = entry.kind == Kind::Resume;
        assert!(at <= stage + 1 || edited, "{name}: {entry}");
        stage = at;
    }
}

/// Hours at which each stage is reached, and the end.
fn reached(played: &Played) -> Vec<(f64, String)> {
    let steps = played
        .timeline
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::Begin | Kind::Advance | Kind::Complete));
    steps.map(|e| (e.hour, e.percentage.to_string())).collect()
}

#[test]
fn all_goes_well_in_the_seeds_schedule() {
    // Each step comes once the soak is over, and half an hour after it was announced; people agree two hours
    // after they are asked.
    let day = 24.0;
    let expected: [(&str, &[(f64, &str)]); 7] = [
        (
            "caro",
            &[
                (0.0, "5"),
                (day + 0.5, "25"),
                (3.0 * day + 1.0, "50"),
                (5.0 * day + 3.5, "100"),
                (7.0 * day + 4.0, "100"),
            ],
        ),
        (
            "standard",
            &[
                (0.0, "1"),
                (day + 0.5, "5"),
                (3.0 * day + 1.0, "10"),
                (5.0 * day + 1.5, "25"),
                (7.0 * day + 2.0, "50"),
                (9.0 * day + 4.5, "75"),
                (11.0 * day + 7.0, "100"),
                (12.0 * day + 7.5, "100"),
            ],
        ),
        (
            "accelerated",
            &[
                (0.0, "10"),
                (day + 0.5, "50"),
                (2.0 * day + 3.0, "100"),
                (3.0 * day + 3.5, "100"),
            ],
        ),
        (
            "cautious",
            &[
                (0.0, "1"),
                (7.0 * day + 0.5, "5"),
                (14.0 * day + 1.0, "10"),
                (21.0 * day + 1.5, "25"),
                (28.0 * day + 2.0, "50"),
                (35.0 * day + 4.5, "100"),
                (42.0 * day + 5.0, "100"),
            ],
        ),
        (
            "web4",
            &[
                (0.0, "0"),
                (day + 0.5, "1"),
                (2.0 * day + 1.0, "10"),
                (5.0 * day + 1.5, "50"),
                (12.0 * day + 4.0, "100"),
                (19.0 * day + 4.5, "100"),
            ],
        ),
        // Without announcements.
        (
            "canary",
            &[
                (0.0, "0.5"),
                (1.0, "5"),
                (day + 1.0, "25"),
                (3.0 * day + 3.0, "100"),
                (5.0 * day + 3.0, "100"),
            ],
        ),
        (
            "boring-green",
            &[
                (0.0, "1"),
                (7.0 * day + 0.5, "5"),
                (14.0 * day + 1.0, "25"),
                (21.0 * day + 1.5, "50"),
                (28.0 * day + 4.0, "100"),
                (35.0 * day + 4.5, "100"),
            ],
        ),
    ];
    assert_eq!(expected.map(|(name, _)| name), PRESETS);
    for (name, steps) in expected {
        let played = played(name, "clean");
        let steps: Vec<_> = steps
            .iter()
            .map(|(at, to)| (*at, (*to).to_owned()))
            .collect();
        assert_eq!(reached(&played), steps, "{name}:\n{played}");
        assert_eq!(played.run.status, Status::Complete, "{name}");
        is_careful(name, &played);
        let ahead = of(&played, Kind::Announce).len();
        let lead = plan(name).policy.lead_advance_ms > 0;
        assert_eq!(ahead, if lead { steps.len() - 1 } else { 0 }, "{name}");
    }
}

#[test]
fn a_bad_release_never_leaves_the_first_stage() {
    for name in PRESETS {
        let played = played(name, "bad");
        let lowest = plan(name).stages[0].percentage;
        assert!(
            played
                .timeline
                .iter()
                .all(|entry| entry.percentage <= lowest),
            "{name}:\n{played}"
        );
        assert!(!has(&played, Kind::Advance), "{name}:\n{played}");
        let by_itself = matches!(name, "canary" | "boring-green");
        let (status, acts) = match by_itself {
            true => (Status::RolledBack, Kind::Rollback),
            false => (Status::Paused, Kind::Pause),
        };
        assert_eq!(played.run.status, status, "{name}:\n{played}");
        let act = of(&played, acts)[0];
        assert!(act.hour <= 24.0, "{name}: {act}");
        if by_itself {
            assert_eq!(played.run.percentage, Percentage::ZERO);
            assert!(
                has(&played, Kind::Verify) && !played.run.unverified,
                "{name}"
            );
        } else {
            assert!(
                act.text
                    .contains("suggested: POST /rollout/v1.1.0-beta/rollback"),
                "{act}"
            );
            assert!(!has(&played, Kind::Rollback), "{name}");
        }
    }
}

#[test]
fn boring_green_drains_over_five_minutes_and_then_verifies() {
    let played = played("boring-green", "bad");
    let (from, drained, seen) = (
        of(&played, Kind::Rollback)[0],
        of(&played, Kind::Drain)[0],
        of(&played, Kind::Verify)[0],
    );
    assert_eq!(drained.at.millis_since(from.at), 300_000, "{played}");
    assert_eq!(
        (from.percentage, drained.percentage),
        (thousandths(1.0), Percentage::ZERO)
    );
    assert!(
        seen.at >= drained.at && seen.text.contains("the rollback is verified"),
        "{played}"
    );
}

#[test]
fn little_traffic_proves_nothing_and_so_holds() {
    for name in PRESETS {
        let played = played(name, "noisy");
        is_careful(name, &played);
        // web4's first stage asks nothing of counts.
        let most = plan(name).stages[usize::from(name == "web4")].percentage;
        assert!(
            played.timeline.iter().all(|entry| entry.percentage <= most),
            "{name}:\n{played}"
        );
    }
}

#[test]
fn without_data_it_holds_and_says_so_once() {
    for name in PRESETS {
        let played = played(name, "no-data");
        assert!(!has(&played, Kind::Advance), "{name}:\n{played}");
        assert_eq!(played.run.status, Status::Running, "{name}");
        let held = played
            .timeline
            .iter()
            .filter(|entry| entry.text.contains("held at"));
        let held: Vec<_> = held.collect();
        assert_eq!(held.len(), 1, "{name}:\n{played}");
        assert!(held[0].text.contains("has no data"), "{}", held[0]);
        let soak = plan(name).stages[0].soak_min_ms as f64 / 3_600_000.0;
        assert!((soak..soak + 1.0).contains(&held[0].hour), "{}", held[0]);
    }
}

#[test]
fn late_data_is_waited_for() {
    for name in ["caro", "canary", "web4"] {
        let (late, clean) = (played(name, "late-data"), played(name, "clean"));
        is_careful(name, &late);
        assert_eq!(late.run.status, Status::Complete, "{name}:\n{late}");
        for ((late, _), (clean, _)) in reached(&late).iter().zip(reached(&clean)) {
            assert!(*late >= clean, "{name}");
        }
    }
    // What soaks no longer than data are late waits for them.
    let late = reached(&played("canary", "late-data"));
    assert_eq!(late[1], (7.0, "5".to_owned()));
}

#[test]
fn a_p0_at_half_of_everybody() {
    for name in PRESETS {
        let played = played(name, "p0-at-50");
        let reached = played
            .timeline
            .iter()
            .find(|e| e.percentage >= thousandths(50.0));
        let Some(reached) = reached else {
            panic!("{name}:\n{played}")
        };
        // web4 does not ask about P0s there, and canary goes from 25 % to everybody.
        if matches!(name, "web4" | "canary") {
            assert_eq!(played.run.status, Status::Complete, "{name}");
            continue;
        }
        assert_eq!(played.run.status, Status::Paused, "{name}:\n{played}");
        assert_eq!(played.run.percentage, thousandths(50.0), "{name}");
        let paused = of(&played, Kind::Pause)[0];
        // It is told within the hour; a halt acts in that minute, boring-green's gate at the next decision.
        assert!(paused.hour - reached.hour <= 2.0, "{name}:\n{played}");
        assert!(paused.text.contains("p0_open"), "{paused}");
        assert_eq!(
            paused.text.contains("suggested"),
            name != "boring-green",
            "{paused}"
        );
    }
}

#[test]
fn an_approval_that_ran_out_does_not_count() {
    for name in PRESETS {
        let played = played(name, "approval-expired");
        let full = played
            .timeline
            .iter()
            .any(|e| e.percentage == Percentage::FULL);
        let asks = plan(name)
            .stages
            .iter()
            .position(|s| s.approval.is_some())
            .unwrap();
        let soak = plan(name).stages[asks].soak_min_ms;
        // One that is given an hour after a day's soak began is still alive when that is over.
        if soak <= 24 * 3_600_000 {
            assert!(full, "{name}:\n{played}");
            continue;
        }
        assert!(has(&played, Kind::Approve) && !full, "{name}:\n{played}");
        assert_eq!(played.run.stage, asks, "{name}");
        let waits = played
            .timeline
            .iter()
            .filter(|e| e.text.contains("waits for approval by"));
        assert_eq!(waits.count(), 1, "{name}:\n{played}");
        assert!(played.run.why.contains("waits for approval"), "{name}");
    }
}

#[test]
fn nothing_raises_after_an_emergency_stop() {
    for name in PRESETS {
        let played = played(name, "stop");
        let last = played.timeline.last().unwrap();
        assert_eq!(
            (last.kind, last.hour),
            (Kind::Stop, 30.0),
            "{name}:\n{played}"
        );
        assert_eq!(
            (played.run.status, last.percentage),
            (Status::Stopped, Percentage::ZERO)
        );
    }
}

#[test]
fn an_edit_by_hand_pauses_and_is_where_it_goes_on_from() {
    for name in PRESETS {
        let played = played(name, "edit");
        let place = played.timeline.iter().position(|e| e.kind == Kind::Edit);
        let [edit, pause, resume] = &played.timeline[place.unwrap()..][..3] else {
            panic!("{name}")
        };
        assert_eq!(
            (edit.hour, edit.percentage),
            (30.0, thousandths(10.0)),
            "{name}"
        );
        assert_eq!(
            (pause.kind, pause.hour),
            (Kind::Pause, 30.0),
            "{name}:\n{played}"
        );
        assert!(pause.text.contains("changed by hand"), "{pause}");
        assert_eq!(
            (resume.kind, resume.hour, resume.percentage),
            (Kind::Resume, 36.0, thousandths(10.0))
        );
        assert_eq!(played.run.status, Status::Complete, "{name}:\n{played}");
    }
}

#[test]
fn an_incident_is_met_as_each_policy_says() {
    for name in PRESETS {
        let played = played(name, "incident");
        is_careful(name, &played);
        let meets = played
            .timeline
            .iter()
            .find(|entry| entry.hour >= 30.0)
            .unwrap();
        assert!(meets.hour <= 31.5, "{name}:\n{played}");
        match name {
            "boring-green" => {
                assert_eq!(meets.kind, Kind::Rollback, "{meets}");
                assert_eq!(played.run.status, Status::RolledBack);
            }
            // It goes on when people say so, and the incident is over by then.
            _ => {
                assert_eq!(meets.kind, Kind::Pause, "{name}:\n{played}");
                assert!(has(&played, Kind::Resume), "{name}:\n{played}");
                assert!(!has(&played, Kind::Rollback), "{name}:\n{played}");
            }
        }
        let opened = played
            .timeline
            .iter()
            .any(|e| e.text.contains("the circuit breaker opened"));
        assert_eq!(opened, name == "canary", "{name}:\n{played}");
    }
}

#[test]
fn the_same_seed_is_the_same_timeline() {
    {
        let name = "caro";
        for against in ["noisy", "incident"] {
            let scenario = scenario(against).unwrap();
            let text = |seed| {
                let played = with(name, &scenario, seed);
                (played.to_string(), serde_json::to_string(&played).unwrap())
            };
            assert_eq!(text(7), text(7), "{name} {against}");
        }
    }
    let noisy = scenario("noisy").unwrap();
    assert_ne!(
        with("caro", &noisy, 1).timeline,
        with("caro", &noisy, 2).timeline
    );
}

/// Mean and variance of both ways to draw, and what is certain.
#[test]
fn draws_are_binomial() {
    for (n, p) in [
        (20, 0.3),
        (1000, 0.01),
        (1000, 0.4),
        (50_000, 0.02),
        (30, 0.9),
    ] {
        let mut draw = Draw::new(1);
        let drawn: Vec<f64> = (0..20_000).map(|_| draw.binomial(n, p) as f64).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        let (wanted, spread) = (n as f64 * p, n as f64 * p * (1.0 - p));
        assert!(
            (mean - wanted).abs() < 5.0 * (spread / 20_000.0).sqrt(),
            "{n} {p}: {mean}"
        );
        assert!(
            (variance / spread - 1.0).abs() < 0.06,
            "{n} {p}: {variance}"
        );
    }
    let mut draw = Draw::new(1);
    assert_eq!(
        [0.0, 1.0, -1.0, f64::NAN].map(|p| draw.binomial(10, p)),
        [0, 10, 0, 0]
    );
    assert_eq!(draw.binomial(0, 0.5), 0);
}

#[test]
fn scenarios_are_documents() {
    for name in SCENARIOS {
        let scenario = scenario(name).unwrap();
        let text = serde_json::to_string(&scenario).unwrap();
        assert_eq!(
            serde_json::from_str::<Scenario>(&text).unwrap(),
            scenario,
            "{name}"
        );
        assert!(!scenario.description.is_empty());
    }
    assert_eq!(
        serde_json::from_str::<Scenario>("{}").unwrap(),
        Scenario::default()
    );
    let error = serde_json::from_str::<Scenario>(r#"{"instals_per_hour": 3}"#).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("unknown field `instals_per_hour`"),
        "{error}"
    );
    assert!(scenario("nothing").is_none());
}
