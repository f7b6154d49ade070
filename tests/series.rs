//! Evidence in parts of a span: what a chart asks of the counters, what becomes of their answer, and
//! `GET /rollout/{release}/evidence`.

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

use caro_edge::core::evidence::series::{Bar, By, Chart, begin, groups};
use caro_edge::core::evidence::{Arm, metric, minute};
use caro_edge::core::gate::LATENCY_EDGES_MS;
use caro_edge::core::time::Timestamp;
use desk::{ADMIN, Desk};
use proptest::prelude::*;
use serde_json::{Value, json};

const PATH: &str = "/rollout/v1.1.0-beta/evidence";

/// 2026-01-15T18:05:30Z: in the middle of an hour, and of a minute.
const NOW: Timestamp = Timestamp::from_millis(1_768_500_330_000);

fn chart(seconds: u32, points: u32) -> Chart {
    Chart::new("v1.1.0-beta", seconds, points, By::Arm, NOW)
}

#[test]
fn parts_are_as_the_counters_are() {
    for (seconds, points, step, parts) in [
        (86_400, 24, 60, 24),
        (86_400, 48, 60, 24),
        (21_600, 48, 8, 45),
        (21_660, 48, 60, 7),
        (300, 24, 1, 5),
        (300, 1, 5, 1),
        (3_600, 48, 2, 30),
        (604_800, 24, 7 * 60, 24),
        (604_800, 48, 4 * 60, 42),
        (604_800, 1, 7 * 24 * 60, 1),
        // 61 minutes in one part, of whole hours.
        (3_660, 1, 120, 1),
    ] {
        let chart = chart(seconds, points);
        assert_eq!(
            (chart.step, chart.points),
            (step, parts),
            "{seconds} {points}"
        );
    }
    // The minute that has begun is in it, or the hour.
    assert_eq!(
        begin(chart(300, 5).to()).to_string(),
        "2026-01-15T18:06:00Z"
    );
    assert_eq!(
        begin(chart(300, 5).from).to_string(),
        "2026-01-15T18:01:00Z"
    );
    assert_eq!(
        begin(chart(86_400, 24).to()).to_string(),
        "2026-01-15T19:00:00Z"
    );
}

proptest! {
    #[test]
    fn a_chart_covers_its_span(seconds in 300..=604_800_u32, points in 1..=48_u32, at in 0..100_000_000_u32) {
        let now = Timestamp::from_millis(1_700_000_000_000 + i64::from(at) * 1000);
        let chart = Chart::new("x", seconds, points, By::Arm, now);
        prop_assert!((1..=points).contains(&chart.points));
        prop_assert!(chart.to() > minute(now) && chart.to() - minute(now) <= 60);
        // All of it but what is lost to the last, broken minute or hour.
        let unit = if chart.by_hour() { 60 } else { 1 };
        prop_assert!(chart.step.is_multiple_of(unit) && chart.from.is_multiple_of(unit));
        prop_assert!(chart.from + seconds / 60 <= minute(now) + unit);
        prop_assert!(chart.step < 60 || chart.by_hour());
    }
}

fn bar(point: u32, arm: Arm, group: &str, metric: &str, edge: u32, total: u64, good: u64) -> Bar {
    let (group, metric) = (group.to_owned(), metric.to_owned());
    Bar(point, arm, group, metric, edge, total, good)
}

fn folded(chart: &Chart, bars: &[Bar]) -> Value {
    serde_json::to_value(groups(chart, bars)).unwrap()
}

#[test]
fn bars_of_all_objects_become_groups() {
    let (canary, control) = (Arm::Canary, Arm::Control);
    let bars = [
        bar(2, control, "", "errors", 0, 50, 49),
        bar(0, canary, "", "errors", 0, 60, 57),
        bar(2, canary, "", "errors", 0, 20, 20),
        // Of another object.
        bar(0, canary, "", "errors", 0, 20, 20),
        bar(0, canary, "", "command_latency", 100, 6, 6),
        bar(2, canary, "", "command_latency", 400, 3, 3),
        bar(2, canary, "", "command_latency", metric::BEYOND, 1, 1),
        bar(1, control, "", "command_latency", metric::BEYOND, 4, 4),
        // More came back than were told of, and nobody was told of.
        bar(1, canary, "", "retention_1", 0, 2, 3),
        bar(1, canary, "", "retention_3", 0, 0, 3),
        // Of no part: an object whose clock was elsewhere.
        bar(3, canary, "", "errors", 0, 99, 0),
    ];
    let chart = chart(300, 3);
    assert_eq!(chart.points, 3);
    let expected = json!([
        {"arm": "canary", "group": "",
         "rates": [
            {"metric": "errors", "total": 100, "good": 97, "rate": 97.0, "low": 91.548, "high": 98.975,
             "series": [{"total": 80, "good": 77}, {"total": 0, "good": 0}, {"total": 20, "good": 20}]},
            {"metric": "retention_1", "total": 2, "good": 2, "rate": 100.0, "low": 34.238, "high": 100.0,
             "series": [{"total": 0, "good": 0}, {"total": 2, "good": 2}, {"total": 0, "good": 0}]},
            {"metric": "retention_3", "total": 0, "good": 0, "rate": null, "low": 0.0, "high": 100.0,
             "series": [{"total": 0, "good": 0}, {"total": 0, "good": 0}, {"total": 0, "good": 0}]},
         ],
         "latencies": [{"metric": "command_latency", "total": 10,
            "p50_ms": 100, "p75_ms": 400, "p95_ms": null, "p99_ms": null,
            "series": [
                {"total": 6, "p50_ms": 100, "p95_ms": 100},
                {"total": 0, "p50_ms": null, "p95_ms": null},
                {"total": 4, "p50_ms": 400, "p95_ms": null},
            ]}]},
        {"arm": "control", "group": "",
         "rates": [{"metric": "errors", "total": 50, "good": 49, "rate": 98.0, "low": 89.505, "high": 99.646,
            "series": [{"total": 0, "good": 0}, {"total": 0, "good": 0}, {"total": 50, "good": 49}]}],
         "latencies": [{"metric": "command_latency", "total": 4,
            "p50_ms": null, "p75_ms": null, "p95_ms": null, "p99_ms": null,
            "series": [
                {"total": 0, "p50_ms": null, "p95_ms": null},
                {"total": 4, "p50_ms": null, "p95_ms": null},
                {"total": 0, "p50_ms": null, "p95_ms": null},
            ]}]},
    ]);
    assert_eq!(folded(&chart, &bars), expected);
    assert_eq!(folded(&chart, &[]), json!([]));
}

#[test]
fn groups_are_the_releases_first() {
    let bars = [
        bar(0, Arm::Control, "linux", "errors", 0, 1, 1),
        bar(0, Arm::Canary, "macos", "errors", 0, 1, 1),
        bar(0, Arm::Canary, "", "errors", 0, 1, 1),
        bar(0, Arm::Canary, "linux", "errors", 0, 1, 1),
    ];
    let groups = groups(&chart(300, 1), &bars);
    let names: Vec<_> = groups
        .iter()
        .map(|g| (g.arm.as_str(), g.group.as_str()))
        .collect();
    let expected = [
        ("canary", ""),
        ("canary", "linux"),
        ("canary", "macos"),
        ("control", "linux"),
    ];
    assert_eq!(names, expected);
}

proptest! {
    /// Whatever the counters say, in any order: each is counted in its part, and the parts add up to the whole.
    #[test]
    fn parts_add_up(counters in prop::collection::vec((0..5_u32, 0..22_usize, 0..1000_u64, 0..1000_u64), 0..60)) {
        let chart = chart(300, 5);
        let edge = |i: usize| LATENCY_EDGES_MS.get(i).copied().unwrap_or(metric::BEYOND);
        let bars: Vec<Bar> = counters.iter().flat_map(|(point, i, total, good)| [
            bar(*point, Arm::Canary, "", "errors", 0, *total, (*good).min(*total)),
            bar(*point, Arm::Canary, "", "command_latency", edge(*i), *total, *total),
        ]).collect();
        let mut reversed = bars.clone();
        reversed.reverse();
        let found = groups(&chart, &bars);
        prop_assert_eq!(&found, &groups(&chart, &reversed));
        for group in &found {
            let (rate, latency) = (&group.rates[0], &group.latencies[0]);
            let all: u64 = counters.iter().map(|(_, _, total, _)| total).sum();
            prop_assert_eq!((rate.total, latency.total), (all, all));
            prop_assert_eq!(rate.series.iter().map(|part| part.total).sum::<u64>(), all);
            prop_assert_eq!(rate.series.iter().map(|part| part.good).sum::<u64>(), rate.good);
            prop_assert_eq!(latency.series.iter().map(|part| part.total).sum::<u64>(), all);
            if let Some(percent) = rate.rate {
                prop_assert!(rate.low <= percent && percent <= rate.high);
            }
            let quantiles = [latency.p50_ms, latency.p75_ms, latency.p95_ms, latency.p99_ms];
            let above = quantiles.map(|edge| edge.unwrap_or(metric::BEYOND));
            prop_assert!(above.is_sorted());
        }
    }
}

#[test]
fn what_the_call_answers() {
    let mut desk = Desk::with(&json!({}));
    desk.now = NOW;
    desk.bars = Ok(vec![bar(23, Arm::Canary, "", "errors", 0, 10, 9)]);
    let answer = desk.admin("GET", PATH, Value::Null);
    let series: Vec<u64> = answer["groups"][0]["rates"][0]["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["total"].as_u64().unwrap())
        .collect();
    assert_eq!(series.len(), 24);
    assert_eq!((series[22], series[23]), (0, 10));
    let head = |key: &str| answer[key].clone();
    assert_eq!(
        json!([
            head("release"),
            head("from"),
            head("to"),
            head("step_seconds"),
            head("by"),
            head("error"),
            head("share")
        ]),
        json!([
            "v1.1.0-beta",
            "2026-01-14T19:00:00Z",
            "2026-01-15T19:00:00Z",
            3600,
            "arm",
            null,
            25.0
        ])
    );
    desk.bars = Err("the binding EVIDENCE is missing".to_owned());
    let answer = desk.admin("GET", PATH, Value::Null);
    assert_eq!(answer["error"], "the binding EVIDENCE is missing");
    assert_eq!(answer["groups"], json!([]));
}

#[test]
fn what_the_call_refuses() {
    let mut desk = Desk::with(&json!({}));
    for (query, detail) in [
        ("seconds=299", "?seconds is 300 to 604800."),
        ("seconds=604801", "?seconds is 300 to 604800."),
        ("seconds=99999999999999", "?seconds is 300 to 604800."),
        ("seconds=x", "?seconds must be a whole number."),
        ("points=0", "?points is 1 to 48."),
        ("points=49", "?points is 1 to 48."),
        ("by=revision", "?by is arm, platform or cohort."),
        ("platform=Linux", "?platform is a system"),
        ("platform=", "?platform is a system"),
        ("platform=beos", "?platform is a system"),
        ("cohort=a%20b", "?cohort"),
        ("group=arm", "?group is not known"),
    ] {
        let (status, json) = desk.ask(ADMIN, "GET", &format!("{PATH}?{query}"), Value::Null);
        assert_eq!(status, 400, "{query}: {json}");
        assert_eq!(json["type"], "urn:caro-edge:problem:bad-query", "{query}");
        let said = json["detail"].as_str().unwrap();
        assert!(said.starts_with(detail), "{query}: {said}");
    }
    for query in [
        "platform=linux",
        "platform=macos-silicon",
        "cohort=nobody&by=cohort",
        "seconds=300&points=48",
    ] {
        let (status, json) = desk.ask(ADMIN, "GET", &format!("{PATH}?{query}"), Value::Null);
        assert_eq!(status, 200, "{query}: {json}");
    }
    let (status, _) = desk.ask(ADMIN, "GET", "/rollout/v9.9.9/evidence", Value::Null);
    assert_eq!(status, 404);
}
