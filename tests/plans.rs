//! Plans as they are written: the reader, and what is found wrong with them. `presets.rs` has those that come along.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use caro_edge::core::gate::{
    Ask, Counts, Evidence, Gate, LATENCIES, LATENCY_EDGES_MS, METRICS, Verdict, judge, needed,
};
use caro_edge::core::json::Json;
use caro_edge::core::lint::Finding;
use caro_edge::core::plan::{
    Action, Approval, MINUTE_MS, PRESETS, Plan, Rule, StageGate, lint, preset,
};
use caro_edge::core::role::Role;
use caro_edge::core::time::Timestamp;
use proptest::prelude::*;

fn parse(text: &str) -> Result<Plan, Vec<String>> {
    let json = Json::parse(text).unwrap();
    let problems = |problems: Vec<_>| problems.iter().map(ToString::to_string).collect();
    Plan::parse(&json).map_err(problems)
}

fn read(text: &str) -> Plan {
    parse(text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn small(text: &str) -> String {
    format!(r#"{{"name": "p", "stages": [{{"id": "a", "percentage": 5}}]{text}}}"#)
}

fn with_gate(gate: &str) -> String {
    format!(r#"{{"name": "p", "stages": [{{"id": "a", "percentage": 5, "gates": [{gate}]}}]}}"#)
}

fn with_halt(when: &str) -> String {
    small(&format!(r#", "halts": [{{"id": "h", "when": {when}}}]"#))
}

fn only_gate(text: &str) -> StageGate {
    read(&with_gate(text)).stages[0].gates[0].clone()
}

fn only_rule(text: &str) -> Rule {
    read(&with_halt(text)).halts[0].rule.clone()
}

#[test]
fn defaults() {
    let plan = read(&small(""));
    assert_eq!(plan.policy, Default::default());
    assert_eq!(plan.watch_ms, 0);
    assert!(plan.halts.is_empty() && plan.breaker.is_none());
    let gate = only_gate(r#"{"rate": "errors", "at_most": 5}"#);
    assert_eq!((gate.id.as_str(), gate.on_fail), ("errors", Action::Pause));
    assert_eq!((gate.gate.min_samples, gate.gate.alpha), (0, 0.05));
    let expected = Ask::Rate {
        metric: "errors".into(),
        at_least: 0.95,
        floor: 0.95,
        fail_below: 0.95,
    };
    assert_eq!(gate.gate.ask, expected);
    for (text, id) in [
        (r#"{"ratio": "errors", "at_most": 1.1}"#, "errors-ratio"),
        (
            r#"{"quantile": "command_latency", "p": 95, "at_most_ms": 400}"#,
            "command_latency-p95",
        ),
        (
            r#"{"quantile": "command_latency", "p": 99.9, "at_most_times_control": 2}"#,
            "command_latency-p99.9-ratio",
        ),
        (r#"{"number": "awu", "at_least": 100}"#, "awu"),
        (r#"{"coverage": ["linux"], "each": 2}"#, "coverage"),
        (r#"{"sample_ratio": true}"#, "sample-ratio"),
        (
            r#"{"id": "mine", "number": "awu", "at_least": 100}"#,
            "mine",
        ),
    ] {
        assert_eq!(only_gate(text).id, id);
    }
    assert_eq!(
        only_gate(r#"{"sample_ratio": true}"#).gate.min_samples,
        1000
    );
}

#[test]
fn rates_fail_further_below_than_they_pass() {
    let gate = only_gate(r#"{"rate": "errors", "at_most": 5, "fail_above": 20}"#);
    let expected = Ask::Rate {
        metric: "errors".into(),
        at_least: 0.95,
        floor: 0.95,
        fail_below: 0.8,
    };
    assert_eq!(gate.gate.ask, expected);
}

#[test]
fn the_share_that_went_wrong_halts() {
    let over = only_rule(r#"{"rate": "errors", "over": 30, "window_minutes": 5}"#);
    let under = only_rule(r#"{"rate": "command_success", "under": 70, "window_minutes": 5}"#);
    for (rule, name) in [(over, "errors"), (under, "command_success")] {
        let expected = Rule::Rate {
            metric: name.into(),
            over: 0.3,
            window_ms: 5 * MINUTE_MS,
            min_samples: 100,
        };
        assert_eq!(rule, expected);
    }
}

#[test]
fn what_all_stages_ask_is_written_once() {
    let plan = read(
        r#"{"name": "p",
            "gates": [{"rate": "errors", "at_most": 5}, {"ratio": "errors", "at_most": 2}],
            "stages": [
              {"id": "a", "percentage": 5, "gates": [{"rate": "errors", "at_most": 9}]},
              {"id": "b", "percentage": 100}
            ]}"#,
    );
    let gates = |stage: usize| -> Vec<(&str, f64)> {
        let ask = |gate: &Gate| match &gate.ask {
            Ask::Rate { at_least, .. } => *at_least,
            Ask::Ratio { at_most, .. } => *at_most,
            other => panic!("{other:?}"),
        };
        let gates = plan.stages[stage].gates.iter();
        gates.map(|g| (g.id.as_str(), ask(&g.gate))).collect()
    };
    assert_eq!(gates(0), [("errors-ratio", 2.0), ("errors", 0.91)]);
    // With everybody in there is no control.
    assert_eq!(gates(1), [("errors", 0.95)]);
}

#[test]
fn each_mistake_is_reported_with_its_path() {
    let edges: Vec<String> = LATENCY_EDGES_MS.iter().map(u32::to_string).collect();
    let edges = format!("must be an edge of the histograms: {}", edges.join(", "));
    let metrics: Vec<&str> = METRICS.iter().map(|known| known.name).collect();
    let metrics = format!("must be one of {}", metrics.join(", "));
    let gates = "/stages/0/gates/0";
    let when = "/halts/0/when";
    let stage = |fields: &str| {
        format!(r#"{{"name": "p", "stages": [{{"id": "a", "percentage": 5, {fields}}}]}}"#)
    };
    let policy = |fields: &str| small(&format!(r#", "policy": {{{fields}}}"#));
    for (text, path, message) in [
        ("[]".to_owned(), "", "must be an object, not an array"),
        (r#"{"stages": [{"id": "a", "percentage": 5}]}"#.to_owned(), "/name", "is missing"),
        (r#"{"name": "p"}"#.to_owned(), "/stages", "is missing"),
        (r#"{"name": "p", "stages": []}"#.to_owned(), "/stages", "must have 1 to 20 items"),
        (small(r#", "name": "q""#), "/name", "is there twice; keep one of the two"),
        (small(r#", "watch_hours": -1"#), "/watch_hours", "must be a number of hours, from 0 to 8784"),
        (
            r#"{"name": "p", "stages": [{"id": "a", "percentage": 5}, {"id": "a", "percentage": 6}]}"#.to_owned(),
            "/stages",
            "has two with the id a; give each an \"id\" of its own",
        ),
        (stage(r#""soak": {"min_hours": 3, "max_hours": 2}"#), "/stages/0/soak/max_hours", "must be at least min_hours"),
        (stage(r#""audience": {"mode": "or"}"#), "/stages/0/audience", "is nobody: name \"cohorts\", or set \"allowlist\" to true"),
        (stage(r#""audience": {"mode": "not", "allowlist": true}"#), "/stages/0/audience/mode", "must be one of only, or, and"),
        (
            stage(r#""approval": {"roles": ["bot"]}"#),
            "/stages/0/approval/roles/0",
            "may not approve: name release_manager, engineering_lead or engineer",
        ),
        (stage(r#""approval": {"roles": []}"#), "/stages/0/approval/roles", "must have 1 to 5 items"),
        (with_gate("{}"), gates, "must have exactly one of rate, ratio, quantile, number, coverage, sample_ratio"),
        (with_gate(r#"{"rate": "speed", "at_most": 5}"#), "/stages/0/gates/0/rate", metrics.as_str()),
        (with_gate(r#"{"rate": "errors", "at_most": 0}"#), "/stages/0/gates/0/at_most", "must be a number of percent, from 0.001 to 99.999"),
        (
            with_gate(r#"{"rate": "errors", "at_least": 5}"#),
            "/stages/0/gates/0/at_least",
            "is for the other side: the metric counts what goes wrong; use at_most",
        ),
        (
            with_gate(r#"{"rate": "install_success", "at_most": 5}"#),
            "/stages/0/gates/0/at_most",
            "is for the other side: the metric counts what goes well; use at_least",
        ),
        (with_gate(r#"{"rate": "command_success", "at_least": 80, "floor": 86}"#), gates, "must have floor and fail_below at most at_least"),
        (with_gate(r#"{"rate": "errors", "at_most": 5, "fail_above": 4}"#), gates, "must have ceiling and fail_above at least at_most"),
        (with_gate(r#"{"quantile": "command_latency", "p": 95, "at_most_ms": 401}"#), "/stages/0/gates/0/at_most_ms", edges.as_str()),
        (with_gate(r#"{"quantile": "command_latency", "p": 95}"#), gates, "must have exactly one of at_most_ms, at_most_times_control"),
        (with_gate(r#"{"number": "awu"}"#), gates, "must have exactly one of at_most, at_least"),
        (with_gate(r#"{"sample_ratio": false}"#), "/stages/0/gates/0/sample_ratio", "must be true; leave the gate out to not ask"),
        (with_gate(r#"{"rate": "errors", "at_most": 5, "alpha": 1}"#), "/stages/0/gates/0/alpha", "must be a number from 0.000001 to 0.5"),
        (with_gate(r#"{"rate": "errors", "at_most": 5, "on_fail": "advance"}"#), "/stages/0/gates/0/on_fail", "must be one of hold, pause, step_down, rollback"),
        (
            with_gate(r#"{"number": "awu", "at_least": 5, "min_samples": 5}"#),
            "/stages/0/gates/0/min_samples",
            "is not a known field; the fields here are id, number, at_most, at_least, max_age_hours, max_age_minutes, on_fail",
        ),
        (with_halt(r#"{"rate": "errors", "over": 5}"#), "/halts/0/when/window_minutes", "is missing"),
        (with_halt(r#"{"rate": "errors", "over": 5, "window_minutes": 1441}"#), "/halts/0/when/window_minutes", "must be a whole number from 1 to 1440"),
        (with_halt(r#"{"rate": "errors", "window_minutes": 5}"#), when, "must have exactly one of over, under, over_baseline, under_baseline, sigma"),
        (
            with_halt(r#"{"rate": "errors", "under_baseline": 0.9, "window_minutes": 5}"#),
            "/halts/0/when/under_baseline",
            "is for the other side: the metric counts what goes wrong; use over_baseline",
        ),
        (with_halt(r#"{"rate": "errors", "over_baseline": 0.9, "window_minutes": 5}"#), "/halts/0/when/over_baseline", "would fire at the baseline itself"),
        (with_halt(r#"{"check": "health"}"#), "/halts/0/when/consecutive", "is missing"),
        (with_halt(r#"{"number": "p0", "over": 0, "max_age_hours": 1, "max_age_minutes": 1}"#), when, "must have one of max_age_hours and max_age_minutes"),
        (small(r#", "breaker": {"check": "health", "consecutive": 3, "probe_percentage": 0}"#), "/breaker/probe_percentage", "must be more than 0: nothing is tried with nobody"),
        (policy(r#""autonomy": {"rollback": "maybe"}"#), "/policy/autonomy/rollback", "must be one of act, suggest"),
        (policy(r#""no_data": "advance""#), "/policy/no_data", "must be one of hold, pause"),
        (policy(r#""guard_seconds": 1"#), "/policy/guard_seconds", "must be a whole number from 10 to 3600"),
        (
            policy(r#""freezes": [{"days": ["sat"], "from": "22:00", "to": "06:00"}]"#),
            "/policy/freezes/0/to",
            "must be after from; a night is two freezes",
        ),
        (policy(r#""freezes": [{"days": ["sat"], "from": "0:00", "to": "24:00"}]"#), "/policy/freezes/0/from", "must be a time of the day in UTC, from 00:00 to 24:00"),
        (
            policy(r#""freezes": [{"from": "2026-12-24", "to": "2026-12-27T00:00:00Z"}]"#),
            "/policy/freezes/0/from",
            "must be a time in UTC such as 2026-01-15T09:00:00Z (RFC 3339)",
        ),
        (
            small(&format!(r#", "description": "{}""#, "x".repeat(33_000))),
            "",
            "is larger than 32 KiB, the most a plan may have",
        ),
    ] {
        let path = if path.is_empty() { "document" } else { path };
        assert_eq!(parse(&text), Err(vec![format!("{path}: {message}")]), "{text}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = r#"{"name": "P", "stages": [{"id": "a", "percentage": 101, "soak": {"hours": 1}}], "more": 1}"#;
    let problems = parse(text).unwrap_err();
    let paths: Vec<&str> = problems
        .iter()
        .map(|p| p.split(':').next().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "/name",
            "/stages/0/percentage",
            "/stages/0/soak/hours",
            "/more"
        ]
    );
}

fn found(plan: &Plan, traffic: Option<f64>, lag_minutes: u64) -> Vec<String> {
    let findings = lint(plan, traffic, lag_minutes * MINUTE_MS);
    let line = |f: &Finding| format!("{} {}: {}", f.rule, f.pointer, f.message);
    findings.iter().map(line).collect()
}

#[test]
fn lint_finds_what_cannot_work() {
    let stages =
        |rows: &str, more: &str| read(&format!(r#"{{"name": "p", "stages": [{rows}]{more}}}"#));
    let step = |id: &str, percentage: u32, more: &str| {
        format!(
            r#"{{"id": "{id}", "percentage": {percentage}, "soak": {{"min_hours": 24}}{more}}}"#
        )
    };
    let two =
        |a: u32, b: u32, more: &str| stages(&[step("a", a, ""), step("b", b, "")].join(","), more);
    let check = |plan: &Plan, expected: &[&str]| assert_eq!(found(plan, Some(300.0), 10), expected);

    check(&two(5, 50, ""), &[]);
    check(
        &two(5, 3, ""),
        &[
            "goes-down /stages/1/percentage: goes down from 5 to 3, which takes the release from people who have it",
        ],
    );
    check(
        &two(5, 75, ""),
        &[
            "needs-a-person /stages/0/approval: goes on to 75 %, past max_percentage (50), which takes a person, and asks for none",
        ],
    );
    check(
        &stages(
            r#"{"id": "a", "percentage": 1}, {"id": "b", "percentage": 10}, {"id": "c", "percentage": 11}"#,
            "",
        ),
        &["no-soak /stages/1/soak: goes on to 11 % without a soak; give it \"min_hours\""],
    );
    // As the issue has it: thousands, where 300 will come.
    check(
        &stages(
            &step(
                "a",
                100,
                r#", "gates": [{"rate": "crashes", "at_most": 0.1}]"#,
            ),
            r#", "policy": {"max_percentage": 100}"#,
        ),
        &[
            "too-few-samples /stages/0/gates: crashes needs 3012 samples, if all of them are good, and at 100 % 300 \
           installs come in 24 hours; make the stage larger or longer, or ask for less",
        ],
    );
    check(
        &stages(
            &step(
                "a",
                100,
                r#", "gates": [{"ratio": "errors", "at_most": 2}]"#,
            ),
            r#", "policy": {"max_percentage": 100}"#,
        ),
        &[
            "no-control /stages/0/gates: errors-ratio compares with a control, and at 100 % there is none",
        ],
    );
    check(
        &two(
            5,
            10,
            r#", "halts": [
            {"id": "h", "when": {"rate": "errors", "over": 5, "window_minutes": 5}},
            {"id": "i", "when": {"rate": "errors", "over": 5, "window_minutes": 10}}]"#,
        ),
        &[
            "window-too-short /halts/0/when/window_minutes: looks at the last 5 minutes, and counts come in up to 10 minutes late",
        ],
    );
    check(
        &stages(
            &step(
                "a",
                5,
                r#", "approval": {"roles": ["engineer"], "count": 6}"#,
            ),
            "",
        ),
        &[
            "nobody-approves /stages/0/approval/count: wants 6 different people; more than 5 are seldom found in time",
        ],
    );
    let mut plan = two(5, 10, "");
    plan.stages[0].approval = Some(Approval {
        roles: vec![Role::Bot],
        count: 1,
        lifetime_ms: 1,
    });
    check(
        &plan,
        &["nobody-approves /stages/0/approval/roles: names no role that may approve"],
    );
    check(
        &two(
            5,
            10,
            r#", "policy": {"autonomy": {"rollback": "act"}, "max_percentage": 4}"#,
        ),
        &[
            "never-rolls-back /policy/autonomy/rollback: may roll back by itself, and no halt or gate asks for it",
            "first-stage-too-high /policy/max_percentage: is below the first stage, 5 %: a person has to begin it",
            "needs-a-person /stages/0/approval: goes on to 10 %, past max_percentage (4), which takes a person, and asks for none",
        ],
    );
    let frozen = |until: &str| {
        let days = r#""days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]"#;
        two(
            5,
            10,
            &format!(
                r#", "policy": {{"freezes": [{{{days}, "from": "12:00", "to": "{until}"}}, {{{days}, "from": "00:00", "to": "12:00"}}]}}"#
            ),
        )
    };
    check(&frozen("23:59"), &[]);
    check(
        &frozen("24:00"),
        &[
            "always-frozen /policy/freezes: hold at any time of any day, so that nothing is ever advanced",
        ],
    );
}

/// Stages in words: `or a b, 5`. Nobody may fall out on the way up.
#[test]
fn nobody_is_left_behind() {
    let stage = |id: &str, text: &str| {
        let (who, percentage) = text.rsplit_once(' ').unwrap_or(("", text));
        let mut words = who.split(' ');
        let mode = words.next().unwrap();
        let names: Vec<String> = words.map(|name| format!("\"{name}\"")).collect();
        let audience = match mode {
            "" => String::new(),
            _ => format!(
                r#""audience": {{"mode": "{mode}", "cohorts": [{}]}},"#,
                names.join(",")
            ),
        };
        format!(
            r#"{{"id": "{id}", "percentage": {percentage}, {audience} "soak": {{"min_hours": 1}}}}"#
        )
    };
    for (from, to, left_out) in [
        ("5", "10", false),
        ("5", "or a 10", false),
        ("5", "and a 50", true),
        ("5", "only a 50", true),
        ("only a 0", "or a 1", false),
        ("only a 0", "or b 1", true),
        ("only a 0", "1", true),
        ("only a 0", "and a 50", true),
        ("only a 0", "only a b 0", false),
        ("or a 1", "or a b 5", false),
        ("or a 1", "or b 5", true),
        ("or a 1", "5", true),
        ("or a 1", "and a 5", true),
        ("and a 1", "and b a 5", false),
        ("and a 1", "and b 5", true),
        ("and a 1", "5", false),
        ("and a 1", "or b 5", false),
        ("and a 1", "only a 5", false),
    ] {
        let plan = read(&format!(
            r#"{{"name": "p", "stages": [{}, {}]}}"#,
            stage("x", from),
            stage("y", to)
        ));
        let expected = "drops-people /stages/1/audience: leaves out people of the stage before; \
                        keep its cohorts, and its allowlist";
        let expected: &[&str] = if left_out { &[expected] } else { &[] };
        assert_eq!(found(&plan, None, 1), expected, "{from} to {to}");
    }
}

#[test]
fn as_many_as_a_gate_needs_let_it_pass() {
    for (text, about) in [
        (r#"{"rate": "errors", "at_most": 5}"#, 72),
        (r#"{"rate": "errors", "at_most": 1}"#, 315),
        (r#"{"rate": "errors", "at_most": 0.5}"#, 615),
        (r#"{"rate": "errors", "at_most": 0.1}"#, 3012),
        (
            r#"{"rate": "errors", "at_most": 5, "min_samples": 100}"#,
            100,
        ),
    ] {
        let gate = only_gate(text).gate;
        let count = needed(&gate).unwrap();
        let verdict = |total: u64| {
            let mut evidence = Evidence::default();
            evidence
                .canary
                .insert("errors".into(), Counts { total, good: total });
            judge(&gate, &evidence, Timestamp::from_millis(0)).verdict
        };
        assert_eq!(
            (verdict(count - 1), verdict(count)),
            (Verdict::Inconclusive, Verdict::Pass),
            "{text}"
        );
        assert_eq!(count, about, "{text}");
    }
}

#[test]
fn the_readme_defines_every_metric_and_names_every_preset() {
    let readme = include_str!("../README.md");
    for known in METRICS.iter().chain(&LATENCIES) {
        let name = format!("`{}`", known.name);
        let mut rows = readme.lines().filter(|line| line.starts_with("| `"));
        let defined = rows.any(|row| {
            row.split('|')
                .nth(1)
                .is_some_and(|cell| cell.contains(&name))
        });
        assert!(defined, "{name}");
    }
    for name in PRESETS {
        assert!(readme.contains(&format!("| `{name}` | ")), "{name}");
    }
}

proptest! {
    /// Mutations of presets, and what has nothing to do with them: read or refused, and never a panic.
    #[test]
    fn random_documents_never_panic(
        which in 0..PRESETS.len(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), ".{0,3}"), 1..4),
        values in proptest::collection::vec((any::<prop::sample::Index>(), -1e6..1e6_f64), 0..4),
        traffic in proptest::option::of(-1e12..1e12_f64),
    ) {
        let text = preset(PRESETS[which]).unwrap();
        let mut json = Json::parse(text).unwrap();
        let numbers = count(&mut json, &mut |_| {});
        for (at, value) in values {
            let (mut place, wanted) = (0, at.index(numbers));
            count(&mut json, &mut |number| {
                if place == wanted { *number = Json::Number(value) }
                place += 1;
            });
        }
        if let Ok(plan) = Plan::parse(&json) {
            lint(&plan, traffic, 60_000);
        }
        let mut cut = text.to_owned();
        for (at, put) in cuts {
            let at = at.index(cut.len());
            if cut.is_char_boundary(at) { cut.insert_str(at, &put) }
        }
        if let Ok(json) = Json::parse(&cut)
            && let Ok(plan) = Plan::parse(&json)
        {
            lint(&plan, traffic, 60_000);
        }
    }
}

/// Visits every number, and says how many there are.
fn count(json: &mut Json, visit: &mut impl FnMut(&mut Json)) -> usize {
    match json {
        Json::Number(_) => {
            visit(json);
            1
        }
        Json::Array(items) => items.iter_mut().map(|item| count(item, visit)).sum(),
        Json::Object(entries) => entries
            .iter_mut()
            .map(|(_, value)| count(value, visit))
            .sum(),
        _ => 0,
    }
}
