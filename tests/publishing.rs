//! The ledger and KV: whatever a person, a replica or the network does, they agree in the end, and
//! nothing that a person said is lost on the way.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/desk.rs"]
mod desk;
#[path = "support/memory.rs"]
mod memory;
mod support;

use std::collections::BTreeSet;

use caro_edge::api::control::ledger::Busy;
use caro_edge::core::config::Config;
use caro_edge::core::ledger::event::Row;
use caro_edge::core::time::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use cloud::{Cloud, Fate};
use desk::Desk;
use support::document;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    Percentage(u32),
    Drain(u32, u64),
    Stop(&'static str),
    Clear(&'static str),
    Kill(bool),
    /// A person's document, valid; by how much its revision leads.
    Edit(i64),
    BadEdit,
    DeleteConfig,
    HandStop(&'static str),
    RemoveStop,
    /// KV takes no writes for so long.
    Fail(u64),
    Fate(Fate),
    Crash,
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let scope = || select(vec!["all", "v1.1.0-beta"]);
    let event = prop_oneof![
        3 => (0..100_u32).prop_map(Event::Percentage),
        1 => (0..50_u32, select(vec![1, 7, 60, 600])).prop_map(|(to, over)| Event::Drain(to, over)),
        2 => scope().prop_map(Event::Stop),
        2 => scope().prop_map(Event::Clear),
        1 => any::<bool>().prop_map(Event::Kill),
        2 => (-3..5_i64).prop_map(Event::Edit),
        1 => Just(Event::BadEdit),
        1 => Just(Event::DeleteConfig),
        1 => select(vec!["all", "v1.1.0-beta", "1.1.0-beta.2", "tyop"]).prop_map(Event::HandStop),
        1 => Just(Event::RemoveStop),
        1 => (1..60_000_u64).prop_map(Event::Fail),
        1 => select(vec![Fate::LandsUnheard, Fate::LandsAndCrashes]).prop_map(Event::Fate),
        1 => Just(Event::Crash),
        3 => (0..3_000_u64).prop_map(Event::Pass),
        3 => (0..200_000_u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..40)
}

/// How far behind the replicas are: most not at all.
fn lags() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(prop_oneof![1 => Just(0), 1 => 0..=cloud::MAX_LAG], 1..20)
}

/// A person's document, told from all others by a cohort of its own.
fn edited(number: usize, revision: u64) -> String {
    let cohort = format!("edit-{number}");
    document(&json!({
        "revision": revision,
        "cohorts": {cohort: {"enabled": true}},
        "releases": {"v1.1.0-beta": {"percentage": number as u32 % 100}},
    }))
}

/// The number of the edit that a text has.
fn number(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("\"edit-")?;
    rest.split('"').next()?.parse().ok()
}

fn happen(cloud: &mut Cloud, event: &Event, index: usize) {
    let release = "/rollout/v1.1.0-beta";
    match event {
        Event::Percentage(to) => {
            cloud.call("POST", release, json!({"percentage": to, "confirm": true}));
        }
        Event::Drain(to, over) => {
            let body = json!({"percentage": to, "over_seconds": over});
            cloud.call("POST", &format!("{release}/rollback"), body);
        }
        Event::Stop(scope) => {
            let path = format!("/rollout/{scope}/emergency-stop?reason=crash");
            assert_eq!(cloud.call("POST", &path, Value::Null), 200);
        }
        Event::Clear(scope) => {
            let path = format!("/rollout/{scope}/clear-stop?reason=mended");
            cloud.call("POST", &path, Value::Null);
        }
        Event::Kill(on) => {
            let body = json!({"canary": on, "reason": "leak"});
            cloud.call("POST", "/admin/kill-switches", body);
        }
        Event::Edit(lead) => {
            let revision = cloud.desk.ledger.live.state.revision as i64 + lead;
            let text = edited(index, revision.max(0) as u64);
            cloud.by_hand("config", Some(&text));
        }
        Event::BadEdit => cloud.by_hand("config", Some(&format!("{{\"bad\": {index}}}"))),
        Event::DeleteConfig => cloud.by_hand("config", None),
        Event::HandStop(text) => cloud.by_hand("emergency-stop", Some(text)),
        Event::RemoveStop => cloud.by_hand("emergency-stop", None),
        Event::Fail(millis) => cloud.fails_until = cloud.now().plus_millis(*millis),
        Event::Fate(fate) => cloud.fate = *fate,
        Event::Crash => cloud.crash(),
        Event::Pass(millis) => cloud.advance(*millis),
    }
}

/// The edits that were taken in, in order.
fn adopted(cloud: &Cloud) -> Vec<Option<usize>> {
    let log = cloud.desk.ledger.store.kept.log.iter();
    let adopted = log.filter(|row| row.action == "config.adopt");
    adopted.map(|row| number(&row.text)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn they_agree_in_the_end(events in events(), lags in lags()) {
        let mut cloud = Cloud::new(Desk::with(&json!({})), lags);
        let mut edits = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let stops = cloud.desk.ledger.live.state.stops.clone();
            if matches!(event, Event::Edit(_)) {
                edits.push(index);
            }
            happen(&mut cloud, event, index);
            // Nothing but clear-stop lifts a stop.
            let after = &cloud.desk.ledger.live.state.stops;
            let lost = stops.keys().filter(|scope| !after.contains(scope.as_str()));
            prop_assert!(lost.count() == 0 || matches!(event, Event::Clear(_)), "{:?}", event);
            // A stop by hand that was looked at is in the ledger, unless it may be the echo of one
            // that was cleared; then it will be when it is still there after that.
            if let Some(seen) = cloud.taken_in.last().and_then(|seen| seen.stop.as_ref()) {
                let scope = match seen.text.as_str() {
                    "v1.1.0-beta" | "1.1.0-beta.2" => "v1.1.0-beta",
                    _ => "all",
                };
                let echo = cloud.desk.ledger.publication.stop_by_hand.is_some();
                let is_in = after.contains(scope) || cloud.desk.ledger.live.config.as_ref()
                    .is_some_and(|c| c.releases.is_empty());
                prop_assert!(seen.is_ledgers() || is_in || echo, "{} is lost", seen.text);
            }
        }
        // Faults end, and everybody catches up.
        cloud.fails_until = cloud.now();
        cloud.fate = Fate::Lands;
        cloud.advance(400_000);

        let state = &cloud.desk.ledger.live.state;
        let stop = cloud.primary("emergency-stop").map(|v| v.text.clone());
        prop_assert_eq!(stop, state.stop_value());
        let config = cloud.primary("config").unwrap();
        if Config::parse(&config.text).is_ok() {
            prop_assert_eq!(Some(config.text.clone()), state.published());
            prop_assert!(config.is_ledgers());
            prop_assert_eq!(&cloud.desk.ledger.publication.bad_edit, &None);
        } else {
            prop_assert!(cloud.desk.ledger.publication.bad_edit.is_some());
        }
        // Each edit that anybody could see was taken in, once; and nothing else ever was.
        let adopted = adopted(&cloud);
        let looked: BTreeSet<usize> = cloud.taken_in.iter()
            .filter_map(|seen| seen.config.as_ref())
            .filter(|value| !value.is_ledgers())
            .filter_map(|value| number(&value.text))
            .collect();
        let once: BTreeSet<usize> = adopted.iter().flatten().copied().collect();
        prop_assert_eq!(once.len(), adopted.len(), "{:?}", adopted);
        prop_assert!(looked.is_subset(&once), "lost: {:?} of {:?}", adopted, looked);
        prop_assert!(once.iter().all(|n| edits.contains(n)));
        prop_assert_eq!(&cloud.desk.verify()["ok"], true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A drain goes down step by step, is where it should be at its end, and is never late by more
    /// than one alarm.
    #[test]
    fn a_drain_ends_where_and_when_it_was_asked_to(
        from in 1..=100_000_u32, share in 0..1_000_u32, over in 1..600_u64, late in 0..20_000_u64,
    ) {
        let to = (u64::from(from) * u64::from(share) / 1_000) as u32;
        let percent = |t: u32| f64::from(t) / 1000.0;
        let mut desk = Desk::with(&json!({"releases": {"v1.1.0-beta": {"percentage": percent(from)}}}));
        let start = desk.now;
        let body = json!({"percentage": percent(to), "over_seconds": over});
        desk.admin("POST", "/rollout/v1.1.0-beta/rollback", body);
        let level = |desk: &Desk| {
            let config = desk.ledger.live.config.as_ref().unwrap();
            config.releases.values().next().unwrap().percentage.thousandths()
        };
        let end = start.plus_millis(over * 1000);
        let mut last = from;
        let mut steps = 0;
        // The ledger slept through the first steps.
        desk.now = start.plus_millis(late.min(over * 1000));
        while !desk.ledger.live.state.drains.is_empty() {
            desk.ledger.tick(desk.now).unwrap();
            let gone = desk.now.millis_since(start);
            let line = from - (u64::from(from - to) * gone / (over * 1000)) as u32;
            let now = level(&desk);
            prop_assert!(now <= last && now >= to, "{} after {}", now, last);
            // At most one step of five seconds behind the straight line.
            let step = u64::from(from - to) * 5_000 / (over * 1000) + 1;
            prop_assert!(u64::from(now) <= u64::from(line) + step, "{} above {}", now, line);
            last = now;
            if desk.ledger.live.state.drains.is_empty() {
                prop_assert!(desk.now >= end);
                break;
            }
            let wake = desk.ledger.wake_at(false, &Busy::default(), desk.now).unwrap();
            prop_assert!(wake <= end.max(desk.now));
            // KV is none of this test's business: it only has drains wake it.
            let drain = caro_edge::core::ledger::drain_step(&desk.ledger.live, desk.now).unwrap().0;
            prop_assert!(drain > desk.now, "it would be woken again and again");
            prop_assert!(wake <= drain);
            desk.now = drain;
            steps += 1;
            // Where a thousandth takes longer than half a step, two come for one.
            prop_assert!(steps <= over * 2 / 5 + 2);
        }
        prop_assert_eq!(level(&desk), to);
        prop_assert_eq!(desk.now.max(end), end.max(start.plus_millis(late.min(over * 1000))));
        prop_assert_eq!(desk.ledger.live.config.as_ref().unwrap().releases.values().next().unwrap().state.as_str(), "paused");
    }
}

/// A line so flat that most steps of five seconds would change nothing.
#[test]
fn a_flat_drain_wakes_the_ledger_when_there_is_something_to_do() {
    let mut desk = Desk::with(&json!({"releases": {"v1.1.0-beta": {"percentage": 0.003}}}));
    let start = desk.now;
    desk.admin(
        "POST",
        "/rollout/v1.1.0-beta/rollback",
        json!({"over_seconds": 86_400}),
    );
    let mut steps = Vec::new();
    while let Some((due, _)) = caro_edge::core::ledger::drain_step(&desk.ledger.live, desk.now) {
        desk.now = due;
        desk.ledger.tick(due).unwrap();
        steps.push(due.millis_since(start) / 1000);
        assert!(steps.len() < 10, "{steps:?}");
    }
    assert_eq!(steps, [28_800, 57_600, 86_400]);
}

/// What happened, by the rows' actions.
fn actions(desk: &Desk) -> Vec<String> {
    let rows = desk.ledger.store.kept.log.iter();
    rows.map(|row| Row::parse(&row.text).unwrap().action)
        .collect()
}

#[test]
fn a_kill_switch_is_called_to_mind_after_a_day_and_once() {
    let mut cloud = Cloud::new(Desk::with(&json!({})), vec![0]);
    let body = json!({"telemetry_disabled": true, "reason": "leak"});
    cloud.call("POST", "/admin/kill-switches", body);
    let reminders = |cloud: &Cloud| {
        let told = cloud.desk.ledger.store.messages();
        told.filter(|text| text.contains("telemetry_disabled has been on for 24 h"))
            .count()
    };
    cloud.advance(24 * 3_600_000 - 1_000);
    assert_eq!(reminders(&cloud), 0);
    cloud.advance(2_000);
    assert_eq!(reminders(&cloud), 1);
    cloud.advance(60 * 3_600_000);
    assert_eq!(reminders(&cloud), 1);
    // On again is another one.
    for on in [false, true] {
        let body = json!({"telemetry_disabled": on, "reason": "again"});
        cloud.call("POST", "/admin/kill-switches", body);
    }
    cloud.advance(25 * 3_600_000);
    assert_eq!(reminders(&cloud), 2);
    let reminded = actions(&cloud.desk)
        .iter()
        .filter(|a| *a == "kill.remind")
        .count();
    assert_eq!(reminded, 2);
}

#[test]
fn a_stop_does_not_wait_for_a_document_that_kv_refuses() {
    let mut cloud = Cloud::new(Desk::with(&json!({})), vec![0]);
    cloud.advance(10_000);
    cloud.fails_until = cloud.now().plus_millis(600_000);
    cloud.call("POST", "/rollout/v1.1.0-beta", json!({"percentage": 50}));
    cloud.advance(300_000);
    cloud.fails_until = cloud.now();
    cloud.call(
        "POST",
        "/rollout/all/emergency-stop?reason=crash",
        Value::Null,
    );
    assert_eq!(cloud.primary("emergency-stop").unwrap().text, "all");
}

#[test]
fn failing_writes_are_retried_less_and_less_often_and_told_once() {
    let mut cloud = Cloud::new(Desk::with(&json!({})), vec![0]);
    cloud.advance(10_000);
    cloud.tried.clear();
    cloud.fails_until = cloud.now().plus_millis(600_000);
    cloud.call("POST", "/rollout/v1.1.0-beta", json!({"percentage": 50}));
    cloud.advance(600_000);
    let at: Vec<i64> = cloud.tried.iter().map(|(_, at)| at.millis()).collect();
    let waits: Vec<i64> = at
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) / 1000)
        .collect();
    assert_eq!(waits[..7], [1, 2, 4, 8, 10, 10, 10]);
    let told = |cloud: &Cloud| {
        let refused = cloud.desk.ledger.store.messages();
        refused
            .filter(|text| text.contains("KV has refused 5 writes"))
            .count()
    };
    assert_eq!(told(&cloud), 1);
    cloud.advance(11_000);
    assert_eq!(
        cloud.primary("config").unwrap().text,
        cloud.desk.ledger.live.state.published().unwrap()
    );
    assert_eq!(told(&cloud), 1);
}

#[test]
fn a_clock_that_was_set_back_holds_nothing_up() {
    let mut cloud = Cloud::new(Desk::with(&json!({})), vec![0]);
    cloud.advance(10_000);
    let path = "/rollout/all/emergency-stop?reason=x";
    cloud.call("POST", path, Value::Null);
    cloud.advance(2_000);
    cloud.desk.now = Timestamp::from_millis(cloud.now().millis() - 3_600_000);
    cloud.fails_until = cloud.now();
    cloud.tried.clear();
    cloud.call("POST", "/rollout/all/clear-stop?reason=x", Value::Null);
    cloud.advance(2_000);
    assert_eq!(cloud.primary("emergency-stop"), None);
    cloud.call("POST", path, Value::Null);
    cloud.advance(2_000);
    assert_eq!(cloud.primary("emergency-stop").unwrap().text, "all");
    let published = cloud.desk.ledger.live.state.published().unwrap();
    assert_eq!(cloud.primary("config").unwrap().text, published);
}

/// What somebody is at is not asked for again before that has ended.
#[test]
fn a_busy_ledger_is_left_alone() {
    let mut desk = Desk::with(&json!({}));
    desk.admin("POST", "/rollout/all/emergency-stop?reason=x", Value::Null);
    let until = desk.now.plus_millis(20_000);
    let wake = |publishing, delivering| {
        let busy = Busy {
            publishing,
            delivering,
        };
        desk.ledger.wake_at(true, &busy, desk.now).unwrap()
    };
    assert_eq!(wake(None, None), desk.now);
    assert_eq!(
        wake(Some(until), None),
        desk.now,
        "there is an alert to deliver"
    );
    assert_eq!(
        wake(None, Some(until)),
        desk.now,
        "there is something to publish"
    );
    assert_eq!(wake(Some(until), Some(until)), until);
}

#[test]
fn a_stop_that_is_removed_by_hand_is_put_back_and_told_once() {
    let mut cloud = Cloud::new(Desk::with(&json!({})), vec![0]);
    cloud.call(
        "POST",
        "/rollout/all/emergency-stop?reason=crash",
        Value::Null,
    );
    cloud.advance(200_000);
    cloud.by_hand("emergency-stop", None);
    cloud.fails_until = cloud.now().plus_millis(300_000);
    cloud.advance(400_000);
    assert_eq!(cloud.primary("emergency-stop").unwrap().text, "all");
    let told = cloud.desk.ledger.store.messages();
    assert_eq!(
        told.filter(|text| text.contains("removed by hand")).count(),
        1
    );
}

/// What the runbook says to do about a broken configuration.
#[test]
fn an_import_of_what_there_was_replaces_an_edit_that_cannot_be_used() {
    let mut cloud = Cloud::new(Desk::with(&json!({})), vec![0]);
    cloud.advance(10_000);
    cloud.by_hand("config", Some("{broken"));
    cloud.advance(61_000);
    assert!(cloud.desk.ledger.publication.bad_edit.is_some());
    let good = cloud.desk.ledger.live.state.published().unwrap();
    let body = serde_json::from_str(&good).unwrap();
    assert_eq!(cloud.call("PUT", "/admin/config?reason=repair", body), 200);
    cloud.advance(2_000);
    let published = cloud.desk.ledger.live.state.published().unwrap();
    assert_eq!(cloud.primary("config").unwrap().text, published);
    cloud.advance(61_000);
    assert_eq!(cloud.desk.ledger.publication.bad_edit, None);
    // Again it changes nothing.
    let rows = cloud.desk.ledger.live.state.seq;
    let body = serde_json::from_str(&published).unwrap();
    cloud.call("PUT", "/admin/config?reason=repair", body);
    assert_eq!(cloud.desk.ledger.live.state.seq, rows);
}
