//! From reports to counters to evidence: what is counted is counted once, in any order, over any number of objects.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod support;

use std::collections::BTreeMap;

use caro_edge::core::decide::{Reason, decide};
use caro_edge::core::evidence::{
    Arm, Batch, Fate, Key, Known, Observation, Of, Piece, Place, Refusal, Row, Setting, Span,
    add_rows, events, evidence, fold, hour, install, marks, metric, minute, pieces, platform,
    share,
};
use caro_edge::core::gate::LATENCY_EDGES_MS;
use caro_edge::core::identity::Unit;
use caro_edge::core::json::Json;
use caro_edge::core::table::{Set, Table};
use caro_edge::core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{NOW, snapshot};

/// An object's storage, in memory.
#[derive(Default)]
struct Store {
    seen: Set<u64>,
    sessions: Table<u64, Of>,
    minutes: BTreeMap<Place, (u64, u64)>,
    hours: BTreeMap<Place, (u64, u64)>,
}

const KEY: Key = [7; 16];

impl Store {
    /// What the Worker's object does, by way of the text that it is sent.
    fn add(&mut self, batch: &[Observation]) -> String {
        let text = serde_json::to_string(batch).unwrap();
        let batch: Vec<Observation> = serde_json::from_str(&text).unwrap();
        let (seen, sessions) = marks(&KEY, &batch);
        let mut known = Known {
            seen: Set::default(),
            sessions: Table::default(),
        };
        for mark in seen.iter().filter(|mark| self.seen.contains(*mark)) {
            known.seen.insert(*mark, ());
        }
        for mark in sessions {
            if let Some(of) = self.sessions.get(&mark) {
                known.sessions.insert(mark, of.clone());
            }
        }
        let folded = fold(&batch, &KEY, &known);
        for mark in &folded.marks {
            assert!(*mark < 1 << 53, "JavaScript would round it");
            self.seen.insert(*mark, ());
        }
        for (mark, of) in folded.sessions.iter() {
            self.sessions.insert(*mark, of.clone());
        }
        for (table, counts) in [
            (&mut self.minutes, folded.minutes),
            (&mut self.hours, folded.hours),
        ] {
            for (place, (total, good)) in counts.iter() {
                let entry = table.entry(place.clone()).or_default();
                *entry = (entry.0 + total, entry.1 + good);
            }
        }
        folded.fates.iter().copied().map(Fate::letter).collect()
    }

    fn rows(&self, release: &str, span: &Span) -> Vec<Row> {
        let mut rows = Vec::new();
        for Piece { by_hour, from, to } in pieces(span, NOW) {
            let table = if by_hour { &self.hours } else { &self.minutes };
            let is_in = |place: &Place| (from..to).contains(&place.at);
            for (place, (total, good)) in table.iter().filter(|(place, _)| is_in(place)) {
                if [release, ""].contains(&place.release.as_str()) {
                    let row = Row {
                        arm: if place.arm == "canary" {
                            Arm::Canary
                        } else {
                            Arm::Control
                        },
                        cohort: place.cohort.clone(),
                        platform: place.platform.clone(),
                        metric: place.metric.clone(),
                        edge: place.edge,
                        total: *total,
                        good: *good,
                    };
                    add_rows(&mut rows, vec![row]);
                }
            }
        }
        rows
    }
}

fn of(version: &str) -> Option<Of> {
    let canary = Of {
        release: "beta".to_owned(),
        arm: Arm::Canary,
        ..Of::control()
    };
    match version {
        "1.0.4" => Some(Of::control()),
        "1.1.0-beta.2" => Some(canary),
        _ => None,
    }
}

fn setting(version: Option<&str>) -> Setting<'_> {
    Setting {
        now: NOW,
        revision: 7,
        of: &of,
        version,
    }
}

fn read(list: &Value, version: Option<&str>) -> Batch {
    let Json::Array(list) = Json::parse(&list.to_string()).unwrap() else {
        panic!("no list")
    };
    events(&list, &setting(version))
}

fn ago(ms: u64) -> String {
    Timestamp::from_millis(NOW.millis() - i64::try_from(ms).unwrap()).to_string()
}

fn span(hours: i64) -> Span {
    Span {
        from: Timestamp::from_millis(NOW.millis() - hours * 3_600_000),
        to: NOW.plus_millis(60_000),
    }
}

/// Batches of events whose versions are known, with everything that makes a difference.
fn batches() -> impl Strategy<Value = Vec<Value>> {
    let event = (
        0..40_u32,
        0..8_u32,
        0..5_u8,
        any::<(bool, bool, bool)>(),
        0..5_000_u32,
        0..170_000_000_u64,
    );
    let event = event.prop_map(|(id, session, kind, (a, b, c), ms, age)| {
        let kind = ["session_start", "session_end", "command_generation", "backend_error", "safety_validation"][usize::from(kind)];
        json!({
            "id": format!("e{id}"), "session_id": format!("s{session}"), "timestamp": ago(age), "type": kind,
            "version": if session % 2 == 0 { "1.0.4" } else { "1.1.0-beta.2" },
            "platform": "linux", "success": a, "duration_ms": ms, "repaired": b, "refined": c, "crashed": a,
            "first_of_week": b, "install_age_days": if c { 1 } else { 2 },
        })
    });
    let batch = prop::collection::vec(event, 1..20);
    prop::collection::vec(batch.prop_map(Value::Array), 1..8)
}

/// Every counter, whatever minute it is of.
fn sums(store: &Store) -> Vec<Row> {
    store.rows("beta", &span(24 * 40))
}

/// The same event told differently counts as it was first told, so that only replays of the same are asked about.
fn once(batches: &[Value]) -> Vec<Value> {
    let mut told = BTreeMap::new();
    let mut first = |event: &Value| {
        let key = format!("{} {}", event["session_id"], event["id"]);
        told.entry(key).or_insert_with(|| event.clone()).clone()
    };
    let list =
        |batch: &Value| Value::Array(batch.as_array().unwrap().iter().map(&mut first).collect());
    batches.iter().map(list).collect()
}

/// What is told of a session once, whichever of its beginnings tells it first.
fn without_beginnings(mut rows: Vec<Row>) -> Vec<Row> {
    rows.retain(|row| !row.metric.starts_with("retention") && row.metric != metric::ACTIVE_WEEKLY);
    rows
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_replay_changes_nothing(batches in batches()) {
        let batches = once(&batches);
        let (mut one, mut twice) = (Store::default(), Store::default());
        // So that each session is known.
        let begun = (0..8).map(|i| json!({
            "id": "first", "session_id": format!("s{i}"), "timestamp": ago(0), "type": "session_start",
            "version": if i % 2 == 0 { "1.0.4" } else { "1.1.0-beta.2" }, "platform": "linux",
        }));
        let begun = read(&begun.collect(), None).observations;
        one.add(&begun);
        for batch in &batches {
            one.add(&read(batch, None).observations);
        }
        let mut accepted = twice.add(&begun).matches('c').count();
        for batch in batches.iter().chain(&batches).rev() {
            let read = read(batch, None).observations;
            accepted += twice.add(&read).matches('c').count();
            let again = twice.add(&read);
            prop_assert!(!again.contains('c'), "{}", again);
        }
        prop_assert_eq!(accepted, twice.seen.len());
        let (one, twice) = (without_beginnings(sums(&one)), without_beginnings(sums(&twice)));
        prop_assert_eq!(total(&one), total(&twice));
    }

    #[test]
    fn the_order_changes_nothing(batches in batches(), seed: u64) {
        let batches = once(&batches);
        // Each with its version, so that no session has to be known.
        let mut all: Vec<Value> = batches.iter().flat_map(|b| b.as_array().unwrap().clone()).collect();
        let add = |store: &mut Store, event: &Value| {
            let version = event["version"].as_str();
            store.add(&read(&json!([event]), version).observations);
        };
        let mut store = Store::default();
        all.iter().for_each(|event| add(&mut store, event));
        let wanted = without_beginnings(sums(&store));
        all.sort_by_key(|event| event.to_string().bytes().fold(seed, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)));
        let mut other = Store::default();
        all.iter().for_each(|event| add(&mut other, event));
        let got = without_beginnings(sums(&other));
        prop_assert_eq!(total(&got), total(&wanted));
    }

    #[test]
    fn shards_add_up_to_one(batches in batches()) {
        let mut one = Store::default();
        let mut shards: [Store; 4] = Default::default();
        for batch in &batches {
            let all = read(batch, None).observations;
            let whole = one.add(&all);
            let mut letters = Vec::new();
            for (number, shard) in shards.iter_mut().enumerate() {
                let own: Vec<_> = all.iter().filter(|o| o.shard() == number as u64).cloned().collect();
                letters.push(shard.add(&own).into_bytes().into_iter());
            }
            let parts = all.iter().map(|o| char::from(letters[o.shard() as usize].next().unwrap()));
            prop_assert_eq!(parts.collect::<String>(), whole);
        }
        for hours in [1, 5, 30, 47, 24 * 40] {
            let mut sum = Vec::new();
            for shard in &shards {
                add_rows(&mut sum, shard.rows("beta", &span(hours)));
            }
            prop_assert_eq!(sum, one.rows("beta", &span(hours)));
        }
    }

    #[test]
    fn nothing_from_before_a_span_is_in_it(from in 0..200_000_000_i64, length in 0..200_000_000_i64) {
        let span = Span {
            from: Timestamp::from_millis(NOW.millis() - from),
            to: Timestamp::from_millis(NOW.millis() - from + length),
        };
        let [hours, minutes] = pieces(&span, NOW);
        prop_assert!(hours.by_hour && !minutes.by_hour);
        for piece in [hours, minutes] {
            if piece.from < piece.to {
                prop_assert!(i64::from(piece.from) * 60_000 >= span.from.millis());
                prop_assert!(i64::from(piece.to) * 60_000 < span.to.millis() + 60_000);
            }
        }
        if hours.from < hours.to {
            prop_assert_eq!((hours.from % 60, hours.to % 60), (0, 0));
            prop_assert!(minutes.from >= hours.to, "nothing twice");
        }
    }

    #[test]
    fn any_json_is_read(text in "\\PC*", number: f64) {
        let json = json!([{ "id": text, "session_id": "s", "timestamp": text, "type": "command_generation", "duration_ms": number, "success": true }]);
        let batch = read(&json, Some("1.0.4"));
        prop_assert_eq!(batch.refused.len(), 1);
    }
}

fn total(rows: &[Row]) -> BTreeMap<(Arm, &str, u32), (u64, u64)> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let entry: &mut (u64, u64) = sums
            .entry((row.arm, row.metric.as_str(), row.edge))
            .or_default();
        *entry = (entry.0 + row.total, entry.1 + row.good);
    }
    sums
}

#[test]
fn times_as_clients_write_them() {
    let at = |timestamp: &str| {
        let json = json!([{ "id": "a", "session_id": "s", "timestamp": timestamp, "type": "backend_error" }]);
        let batch = read(&json, Some("1.0.4"));
        match batch.refused.first() {
            Some(refused) => Err(refused.why),
            None => Ok(i64::from(batch.observations[0].at) - i64::from(minute(NOW))),
        }
    };
    for (text, wanted) in [
        ("2026-01-15T09:00:00Z", Ok(0)),
        ("2026-01-15T08:59:59.999999999Z", Ok(-1)),
        ("2026-01-15T08:00:00+00:00", Ok(-60)),
        ("2026-01-15T10:30:00.5+01:30", Ok(0)),
        ("2026-01-15T03:59:00-05:00", Ok(-1)),
        ("2026-01-15t08:59:00z", Ok(-1)),
        // Ahead by no more than clocks differ: it counts as now.
        ("2026-01-15T09:05:00Z", Ok(0)),
        ("2026-01-15T09:05:01Z", Err(Refusal::Future)),
        ("2026-01-13T09:00:00Z", Ok(-2 * 24 * 60)),
        ("2026-01-13T08:59:59Z", Err(Refusal::Late)),
        ("1970-01-01T00:00:00Z", Err(Refusal::Late)),
        ("2026-01-15", Err(Refusal::Malformed)),
        ("2026-01-15T09:00:00", Err(Refusal::Malformed)),
        ("2026-01-15T09:00:00.Z", Err(Refusal::Malformed)),
        ("2026-01-15T09:00:00+1:00", Err(Refusal::Malformed)),
        ("2026-01-15T09:00:00+24:00", Err(Refusal::Malformed)),
        ("2026-01-15T09:00:00\u{e9}", Err(Refusal::Malformed)),
        ("2026-02-30T09:00:00Z", Err(Refusal::Malformed)),
    ] {
        assert_eq!(at(text), wanted, "{text}");
    }
}

#[test]
fn a_session_that_was_updated_counts_under_what_it_was_at_the_time() {
    let event = |id: &str, kind: &str, version: &str| json!({ "id": id, "session_id": "s", "timestamp": ago(0), "type": kind, "version": version, "success": true, "duration_ms": 1 });
    let list = json!([
        event("0", "command_generation", ""),
        event("1", "session_start", "1.0.4"),
        event("2", "command_generation", ""),
        event("3", "session_start", "1.1.0-beta.2"),
        event("4", "command_generation", ""),
    ]);
    let mut store = Store::default();
    store.add(&read(&list, Some("9.9.9")).observations);
    // The batch's last beginning is what is remembered.
    store.add(&read(&json!([event("5", "command_generation", "")]), None).observations);
    let rows = sums(&store);
    let commands = |arm| total(&rows)[&(arm, metric::COMMAND_SUCCESS, 0)];
    assert_eq!(
        (commands(Arm::Control), commands(Arm::Canary)),
        ((2, 2), (2, 2))
    );
}

#[test]
fn platforms_by_any_name() {
    for (system, arch, wanted) in [
        ("linux-amd64", "", "linux-amd64"),
        ("Linux", "x86_64", "linux-amd64"),
        ("linux", "aarch64", "linux-arm64"),
        ("linux", "", "linux"),
        ("linux", "riscv64", "linux"),
        ("Darwin", "arm64", "macos-silicon"),
        ("macos-intel", "", "macos-intel"),
        ("MINGW64_NT-10.0", "x86_64", "windows-amd64"),
        ("windows-amd64", "", "windows-amd64"),
        ("plan9", "x86_64", ""),
        ("'; DROP TABLE hour", "", ""),
        ("", "", ""),
    ] {
        assert_eq!(platform(system, arch), wanted, "{system} {arch}");
    }
}

#[test]
fn an_installation_says_nothing_else() {
    let read = |patch: Value| {
        let mut json =
            json!({ "id": "i", "version": "v1.1.0-beta.2", "outcome": 0, "duration_ms": 431 });
        support::merge(&mut json, &patch);
        install(&Json::parse(&json.to_string()).unwrap(), &setting(None))
    };
    let batch = read(json!({})).unwrap();
    assert_eq!(batch.observations.len(), 4);
    let due: Vec<_> = batch
        .observations
        .iter()
        .map(|o| (o.at - minute(NOW)) / (24 * 60))
        .collect();
    assert_eq!(due, [0, 1, 3, 7]);
    assert!(
        batch.observations[0]
            .cells
            .contains(&caro_edge::core::evidence::Cell::new(
                metric::INSTALL_LATENCY,
                600,
                1,
                1
            ))
    );
    for (patch, wrong) in [
        (json!({"id": null}), "id is missing"),
        (json!({"user": "alice"}), "user is not known"),
        (json!({"outcome": 9}), "outcome must be"),
        (json!({"outcome": 0.5}), "outcome must be"),
        (json!({"outcome": "great"}), "outcome must be"),
        (json!({"outcome": true}), "outcome must be"),
        (json!({"duration_ms": -1}), "duration_ms is no number"),
        (json!({"channel": "nightly"}), "channel must be"),
        (json!({"platform": 1}), "platform must be"),
    ] {
        let problems = read(patch.clone()).unwrap_err();
        assert_eq!(problems.len(), 1, "{patch}");
        assert!(
            problems[0].1.starts_with(wrong),
            "{patch}: {}",
            problems[0].1
        );
    }
    // All in one look.
    assert_eq!(
        read(json!({"outcome": 9, "duration_ms": "1", "user": 1}))
            .unwrap_err()
            .len(),
        3
    );
    assert_eq!(read(json!({"version": "2.0.0"})).unwrap().ignored, 1);
}

#[test]
fn evidence_is_what_the_rows_add_up_to() {
    let row = |arm, metric: &str, edge, platform: &str, total, good| Row {
        arm,
        cohort: String::new(),
        platform: platform.to_owned(),
        metric: metric.to_owned(),
        edge,
        total,
        good,
    };
    let (canary, control) = (Arm::Canary, Arm::Control);
    let rows = [
        row(canary, metric::INSTALL_SUCCESS, 0, "linux-amd64", 10, 9),
        row(canary, metric::INSTALL_SUCCESS, 0, "macos-intel", 3, 3),
        row(canary, metric::SESSIONS, 0, "linux-amd64", 5, 5),
        row(canary, metric::COMMAND_LATENCY, 100, "", 4, 4),
        row(canary, metric::COMMAND_LATENCY, metric::BEYOND, "", 1, 1),
        row(canary, "retention_1", 0, "", 2, 3),
        row(canary, metric::REQUESTS, 0, "", 30, 25),
        row(control, metric::REQUESTS, 0, "", 80, 75),
        row(control, metric::INSTALL_SUCCESS, 0, "windows-amd64", 7, 7),
        row(control, metric::COMMAND_LATENCY, 200, "", 9, 9),
    ];
    let seen = evidence(&rows, 0.25);
    let count = |name| seen.canary.get(name).map(|c| (c.total, c.good));
    assert_eq!(count(metric::INSTALL_SUCCESS), Some((13, 12)));
    assert_eq!(
        count("retention_1"),
        Some((2, 2)),
        "more came back than were told of"
    );
    assert_eq!(
        (seen.canary_units, seen.control_units, seen.share),
        (25, 75, 0.25)
    );
    assert_eq!(
        (
            seen.seen_on("linux"),
            seen.seen_on("macos-intel"),
            seen.seen_on("windows")
        ),
        (14, 3, 0)
    );
    let latencies = seen.latencies.get(metric::COMMAND_LATENCY).unwrap();
    assert_eq!((latencies.total(), latencies.beyond), (5, 1));
    for edge in LATENCY_EDGES_MS {
        assert_eq!(
            latencies.at_most(edge),
            Some(if edge < 100 { 0 } else { 4 })
        );
    }
    assert_eq!(
        seen.control.get(metric::INSTALL_SUCCESS).map(|c| c.total),
        Some(7)
    );
    assert!(seen.control.get("retention_1").is_none());
    let latencies = seen.control_latencies.get(metric::COMMAND_LATENCY).unwrap();
    assert_eq!((latencies.at_most(150), latencies.total()), (Some(0), 9));
}

/// The share that is asked of the sample ratio is what deciding gives, with cohorts and other releases beside.
#[test]
fn the_share_is_what_is_decided() {
    for patch in [
        json!({}),
        json!({"releases": {"v1.1.0-beta": {"percentage": 50, "cohorts": ["trial"]}},
               "cohorts": {"trial": {"enabled": true, "percentage": 70, "features": ["all"]}}}),
        json!({"versions": {"1.2.0-beta.1": {"assets": {}, "excluded_platforms":
                ["linux-amd64", "linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"]}},
               "releases": {"v1.1.0-beta": {"percentage": 40},
                            "v1.2.0-beta": {"version": "1.2.0-beta.1", "percentage": 30, "state": "paused"}}}),
    ] {
        let snapshot = snapshot(&patch, None);
        let mut counts: BTreeMap<Option<&str>, f64> = BTreeMap::new();
        for i in 0..40_000 {
            let id = format!("person-{i}");
            let decision = decide(&snapshot, Unit::from_id(&id).unwrap().as_ref());
            let release = snapshot.releases.iter().find(|r| r.build == decision.build);
            if matches!(decision.reason, Reason::Bucket | Reason::Default) {
                *counts.entry(release.map(|r| r.name.as_str())).or_default() += 1.0;
            }
        }
        for release in &snapshot.releases {
            let (own, none) = (counts[&Some(release.name.as_str())], counts[&None]);
            let (seen, wanted) = (own / (own + none), share(&snapshot, release.name.as_str()));
            assert!(
                (seen - wanted).abs() < 0.01,
                "{} of {patch}: {seen}, {wanted}",
                release.name
            );
        }
        assert!(share(&snapshot, "nothing").abs() < f64::EPSILON);
    }
}

#[test]
fn an_hour_is_sixty_minutes() {
    assert_eq!(hour(61), 60);
    let [hours, minutes] = pieces(&span(72), NOW);
    assert_eq!((hours.from, hours.to), (minute(NOW) - 72 * 60, minute(NOW)));
    assert_eq!((minutes.from, minutes.to), (minute(NOW), minute(NOW) + 1));
}
