//! The presets, held against the figures of their seeds: the tables here are written by hand from those.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use caro_edge::core::gate::{Ask, Known, Limit, METRICS, Says};
use caro_edge::core::json::Json;
use caro_edge::core::lint::{Finding, Severity};
use caro_edge::core::plan::{
    Action, Audience, Autonomy, Direction, HOUR_MS, Halt, LatencyLimit, MINUTE_MS, Mode, PRESETS,
    Plan, Rule, StageGate, lint, preset,
};

fn preset_plan(name: &str) -> Plan {
    let json = Json::parse(preset(name).unwrap()).unwrap();
    Plan::parse(&json).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"))
}

// Plans in words, to be held against the seeds.

fn percent(share: f64) -> f64 {
    (share * 1e5).round() / 1e3
}

fn says(metric: &str) -> Says {
    Known::of(&METRICS, metric).unwrap().says
}

fn word(action: Action) -> String {
    let text = serde_json::to_string(&action).unwrap();
    text.trim_matches('"').to_owned()
}

fn limit(limit: Limit) -> String {
    match limit {
        Limit::AtLeast(limit) => format!(">= {limit}"),
        Limit::AtMost(limit) => format!("<= {limit}"),
    }
}

fn gate(gate: &StageGate) -> String {
    let ask = match &gate.gate.ask {
        Ask::Rate {
            metric,
            at_least,
            floor,
            fail_below,
        } => {
            let (sign, of): (&str, fn(f64) -> f64) = match says(metric) {
                Says::Good => (">=", percent),
                Says::Bad => ("<=", |share| percent(1.0 - share)),
            };
            let (target, floor, fail) = (of(*at_least), of(*floor), of(*fail_below));
            match target == floor && floor == fail {
                true => format!("{metric} {sign} {target} %"),
                false => format!("{metric} {sign} {target} % ({floor}, {fail})"),
            }
        }
        Ask::Ratio {
            metric, at_most, ..
        } => format!("{metric} <= {at_most} x control"),
        Ask::Quantile {
            metric,
            quantile,
            at_most_ms,
        } => format!("{metric} p{} <= {at_most_ms} ms", percent(*quantile)),
        Ask::QuantileRatio {
            metric,
            quantile,
            at_most,
        } => format!("{metric} p{} <= {at_most} x control", percent(*quantile)),
        Ask::Number { name, limit: l, .. } => format!("{name} {}", limit(*l)),
        Ask::Coverage { platforms, each } => format!("{each} of {}", platforms.join(", ")),
        Ask::SampleRatio => "sample ratio".to_owned(),
    };
    format!("{ask}: {}", word(gate.on_fail))
}

fn audience(audience: &Audience) -> String {
    let mode = match audience.mode {
        Mode::Only => "only",
        Mode::Or => "or",
        Mode::And => "of",
    };
    let mut names: Vec<&str> = audience.cohorts.iter().map(|name| name.as_str()).collect();
    if audience.allowlist {
        names.push("allowlist");
    }
    format!(" {mode} {}", names.join(", "))
}

fn halt(halt: &Halt) -> String {
    let minutes = |ms: &u64| ms / MINUTE_MS;
    let when = match &halt.rule {
        Rule::Rate {
            metric,
            over,
            window_ms,
            ..
        } => match says(metric) {
            Says::Good => format!(
                "{metric} < {} % in {} min",
                percent(1.0 - over),
                minutes(window_ms)
            ),
            Says::Bad => format!(
                "{metric} > {} % in {} min",
                percent(*over),
                minutes(window_ms)
            ),
        },
        Rule::Baseline {
            metric,
            factor,
            direction,
            window_ms,
            ..
        } => {
            let sign = match direction {
                Direction::BadAbove => ">",
                Direction::GoodBelow => "<",
            };
            format!(
                "{metric} {sign} {factor} x baseline in {} min",
                minutes(window_ms)
            )
        }
        Rule::Spike {
            metric,
            sigma,
            window_ms,
            ..
        } => format!("{metric} > {sigma} sigma in {} min", minutes(window_ms)),
        Rule::Quantile {
            metric,
            quantile,
            limit,
            window_ms,
            ..
        } => {
            let limit = match limit {
                LatencyLimit::AtMostMs(ms) => format!("{ms} ms"),
                LatencyLimit::TimesBaseline(times) => format!("{times} x baseline"),
            };
            let p = percent(*quantile);
            format!("{metric} p{p} > {limit} in {} min", minutes(window_ms))
        }
        Rule::Number { name, limit, .. } => match limit {
            Limit::AtMost(limit) => format!("{name} > {limit}"),
            Limit::AtLeast(limit) => format!("{name} < {limit}"),
        },
        Rule::Check { name, consecutive } => format!("{name} fails {consecutive} times"),
    };
    format!("{when}: {}", word(halt.action))
}

/// Each stage with its soak, audience and approval, its gates below it; then the watch and the halts.
fn show(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for stage in &plan.stages {
        let soak = match (stage.soak_min_ms / HOUR_MS, stage.soak_max_ms) {
            (0, None) => String::new(),
            (min, None) => format!(" {min}h"),
            (min, Some(max)) => format!(" {min}-{}h", max / HOUR_MS),
        };
        let who = stage.audience.as_ref().map(audience).unwrap_or_default();
        let approval = stage.approval.as_ref().map(|approval| {
            let roles: Vec<&str> = approval.roles.iter().map(|role| role.as_str()).collect();
            format!(", then {} {}", approval.count, roles.join(" or "))
        });
        lines.push(format!(
            "{} {} %{soak}{who}{}",
            stage.id,
            stage.percentage,
            approval.unwrap_or_default()
        ));
        lines.extend(stage.gates.iter().map(|g| format!("  {}", gate(g))));
    }
    lines.push(format!("watch {}h", plan.watch_ms / HOUR_MS));
    lines.extend(plan.halts.iter().map(halt));
    lines
}

fn is(name: &str, expected: &str) {
    let shown = show(&preset_plan(name)).join("\n");
    let expected: Vec<&str> = expected
        .lines()
        .map(|line| line.strip_prefix("        ").unwrap_or(line))
        .collect();
    let expected = expected.join("\n");
    assert_eq!(shown.trim(), expected.trim(), "{name}");
}

/// Seed 000: "Rollout Phases", "Rollout Decision Matrix", "Criteria for Full Rollback".
#[test]
fn caro_is_seed_000s() {
    is(
        "caro",
        "
        canary 5 % 24h
          errors <= 5 %: hold
          p0_open <= 0: rollback
          command_latency p95 <= 3000 ms: hold
          install_success >= 90 %: rollback
          command_success >= 86 % (80, 80): rollback
        small_beta 25 % 48h
          install_success >= 90 % (85, 85): hold
          command_success >= 86 % (80, 80): hold
          errors <= 5 %: hold
          p0_open <= 0: rollback
          command_latency p95 <= 3000 ms: hold
          positive_feedback_percent >= 70: hold
          20 of macos, linux, windows: hold
        large_beta 50 % 48h, then 1 release_manager
          install_success >= 90 % (85, 85): hold
          command_success >= 86 % (80, 80): hold
          errors <= 5 %: hold
          p0_open <= 0: rollback
          command_latency p95 <= 3000 ms: hold
          awu >= 100: hold
          positive_feedback_percent >= 70: hold
        full 100 %
          install_success >= 90 % (85, 85): hold
          command_success >= 86 % (80, 80): hold
          errors <= 5 %: hold
          p0_open <= 0: rollback
          command_latency p95 <= 3000 ms: hold
          awu >= 150: hold
        watch 48h
        p0_open > 0: rollback
        install_success < 20 % in 120 min: rollback
        command_success < 70 % in 120 min: rollback
        errors > 50 % in 120 min: rollback
        data_loss_reports > 0: rollback
        security_alerts > 0: rollback
        ",
    );
}

/// Seed 001, section 3: "Rollout Percentages", "Rollout Criteria & Gates".
#[test]
fn three_schedules_are_seed_001s() {
    let criteria = "  errors <= 5 %: pause
          crashes <= 0.1 %: pause
          satisfaction_percent >= 80: pause
          p0_open <= 0: rollback
          p1_affected_percent <= 10: pause
";
    let latency = "          command_latency p95 <= 1.5 x control: pause
";
    let rollback = "p0_open > 0: rollback
        errors > 20 % in 60 min: rollback
        crashes > 1 % in 60 min: rollback
        negative_feedback_percent > 50: rollback";
    let person = ", then 1 release_manager";
    // Percentage, when it begins, and whether a person agrees to the next.
    type Row = (u32, u64, &'static str);
    let schedule = |name: &str, unit: &str, hours: u64, rows: &[Row], watch: u64| {
        let mut expected = String::new();
        for (i, (percentage, begins, approval)) in rows.iter().enumerate() {
            let soak = rows.get(i + 1).map(|(_, next, _)| (next - begins) * hours);
            let soak = soak.map(|soak| format!(" {soak}h")).unwrap_or_default();
            let latency = if *percentage < 100 { latency } else { "" };
            expected += &format!(
                "        {unit}_{begins} {percentage} %{soak}{approval}\n        {criteria}{latency}"
            );
        }
        is(
            name,
            &format!("{expected}        watch {watch}h\n        {rollback}"),
        );
    };
    schedule(
        "standard",
        "day",
        24,
        &[
            (1, 1, ""),
            (5, 2, ""),
            (10, 4, ""),
            (25, 6, ""),
            (50, 8, person),
            (75, 10, person),
            (100, 12, ""),
        ],
        24,
    );
    let rows = [(10, 1, ""), (50, 2, person), (100, 3, "")];
    schedule("accelerated", "day", 24, &rows, 24);
    schedule(
        "cautious",
        "week",
        168,
        &[
            (1, 1, ""),
            (5, 2, ""),
            (10, 3, ""),
            (25, 4, ""),
            (50, 5, person),
            (100, 6, ""),
        ],
        168,
    );
}

/// Seed 002: "1 → 10 → 50 → 100 Progression", "Canary Deployment", "Key Metrics", "Alerting Thresholds".
#[test]
fn web4_is_seed_002s() {
    is(
        "web4",
        "
        allowlist 0 % 24-48h only allowlist
          critical_errors <= 0: rollback
        one_percent 1 % 24-48h or allowlist
          errors <= 1 % (2, 2): pause
          critical_errors <= 0: rollback
        ten_percent 10 % 72-120h or allowlist
          errors <= 1 % (2, 2): pause
          satisfaction >= 4: pause
          command_latency p75 <= 1.2 x control: pause
        half 50 % 168-336h or allowlist, then 1 release_manager
          errors <= 1 % (2, 2): pause
          command_success >= 70 %: pause
          satisfaction >= 4: pause
        full 100 %
          errors <= 1 % (2, 2): pause
          retention_percent >= 60: hold
        watch 168h
        errors > 5 % in 15 min: rollback
        errors > 2 % in 15 min: pause
        ",
    );
}

/// Seed 003: "Cohort Definitions", "Automatic Halt Rules", "Kill Switch", "Pre-Expansion Checks".
#[test]
fn canary_is_seed_003s() {
    is(
        "canary",
        "
        internal_test 0.5 % 1-2h or internal_test
          crash_reports <= 0: rollback
          errors <= 0.1 % (1, 1): rollback
          smoke_tests_failed <= 0: rollback
        friendly_gp 5 % 24h or internal_test, friendly_gp
          errors <= 0.5 % (1, 1): pause
          command_latency p75 <= 1.1 x control: pause
          negative_feedback <= 0: pause
          positive_feedback_percent >= 80: pause
          canary_diff_percent <= 0.5: pause
          sev1_open <= 0: pause
          sev2_open <= 0: pause
          slos_missed <= 0: pause
        beta 25 % 48-72h or internal_test, friendly_gp, beta, then 1 release_manager
          errors <= 0.5 % (1, 1): pause
          slos_missed <= 0: pause
          sev1_open <= 0: pause
          adoption_percent >= 10: pause
        ga 100 %
        watch 48h
        lcp_p75_ms > 2500: pause
        inp_p75_ms > 200: pause
        cls_p95 > 0.1: pause
        command_latency p99 > 5 x baseline in 10 min: pause
        engine_timeout_percent > 0.5: pause
        errors > 1 % in 5 min: pause
        denials > 3 sigma in 60 min: pause
        db_connections_exhausted > 0: pause
        memory_percent > 90: pause
        cpu_percent > 80: pause
        failed_transactions_percent > 0.1: pause
        data_inconsistencies > 0: pause
        security_alerts > 0: pause
        compliance_violations > 0: pause
        ",
    );
    let breaker = preset_plan("canary").breaker.unwrap();
    assert_eq!((breaker.check.as_str(), breaker.consecutive), ("health", 3));
    assert_eq!(breaker.cool_down_ms, Some(15 * MINUTE_MS));
    assert_eq!(breaker.probe.to_string(), "0.5");
}

/// Seed 004: "Rollout Schedule", "Automated Canary Analysis", "Rollback Triggers", "Rollback Execution".
#[test]
fn boring_green_is_seed_004s() {
    let gates = "  command_success >= 95 % (90, 90): pause
          errors <= 2 %: pause
          errors <= 1.1 x control: rollback
          command_latency p95 <= 400 ms: rollback
          business_change_percent >= -15: pause
          p0_open <= 0: pause
          p1_open <= 0: pause";
    let alone = gates.replace("          errors <= 1.1 x control: rollback\n", "");
    is(
        "boring-green",
        &format!(
            "
        week_1 1 % 168h of internal
        {gates}
        week_2 5 % 168h of beta_users, internal
        {gates}
        week_3 25 % 168h
        {gates}
        week_4 50 % 168h, then 1 release_manager
        {gates}
        week_5 100 %
        {alone}
        watch 168h
        errors > 1.5 x baseline in 10 min: rollback
        command_latency p95 > 400 ms in 5 min: rollback
        command_success < 0.9 x baseline in 15 min: rollback
        health fails 2 times: rollback
        fund_setup_percent_of_baseline < 95: rollback
        model_accuracy_delta < -0.05: rollback
        "
        ),
    );
    let plan = preset_plan("boring-green");
    assert_eq!(plan.policy.drain_ms, 5 * MINUTE_MS);
    for gate in plan.stages.iter().flat_map(|stage| &stage.gates) {
        if !matches!(gate.gate.ask, Ask::Number { .. }) {
            assert_eq!(gate.gate.min_samples, 1000, "{}", gate.id);
        }
    }
    for halt in &plan.halts {
        if let Rule::Number { max_age_ms, .. } = &halt.rule {
            assert_eq!(*max_age_ms, 30 * MINUTE_MS, "{}", halt.id);
        }
    }
}

/// CONTRACT: caro's guardrails for all, and the seeds 003 and 004 roll back by themselves.
#[test]
fn who_may_act() {
    for name in PRESETS {
        let plan = preset_plan(name);
        let policy = &plan.policy;
        assert_eq!(plan.name, name);
        assert!(!plan.description.is_empty(), "{name}");
        assert_eq!(policy.max_percentage.to_string(), "50", "{name}");
        assert_eq!(
            (policy.advance, policy.pause),
            (Autonomy::Act, Autonomy::Act)
        );
        let alone = match name {
            "canary" | "boring-green" => Autonomy::Act,
            _ => Autonomy::Suggest,
        };
        assert_eq!(
            (policy.rollback, policy.step_down),
            (alone, alone),
            "{name}"
        );
        let lead = if name == "canary" { 0 } else { 30 };
        assert_eq!(policy.lead_advance_ms, lead * MINUTE_MS, "{name}");
        assert_eq!(policy.lead_rollback_ms, 0);
        assert_eq!(
            (policy.on_no_data, policy.on_inconclusive),
            (Action::Hold, Action::Hold)
        );
        assert_eq!(
            (policy.guard_ms, policy.decide_ms),
            (MINUTE_MS, 60 * MINUTE_MS)
        );
    }
    assert!(preset("other").is_none());
}

#[test]
fn a_document_that_is_kept_is_the_same_plan() {
    for name in PRESETS {
        let json = Json::parse(preset(name).unwrap()).unwrap();
        let mut sorted = json.clone();
        sorted.sort();
        let kept = Json::parse(&sorted.text()).unwrap();
        assert_eq!(Plan::parse(&kept), Plan::parse(&json), "{name}");
    }
}

#[test]
fn presets_can_work() {
    for name in PRESETS {
        assert_eq!(lint(&preset_plan(name), None, 2 * MINUTE_MS), [], "{name}");
        // A million installs a day are enough for all of them.
        assert_eq!(
            lint(&preset_plan(name), Some(1e6), 2 * MINUTE_MS),
            [],
            "{name}"
        );
    }
}

#[test]
fn presets_say_how_many_they_need() {
    let check = |name: &str, expected: &[&str]| {
        let findings = lint(&preset_plan(name), Some(3000.0), 2 * MINUTE_MS);
        let line = |f: &Finding| {
            assert_eq!((f.severity, f.rule), (Severity::Warning, "too-few-samples"));
            let (what, _) = f.message.split_once(" hours;").unwrap();
            let what = what.replace(" samples, if all of them are good, and", "");
            format!("{}: {what}", f.pointer).replace(" installs come in", " in")
        };
        let lines: Vec<String> = findings.iter().map(line).collect();
        assert_eq!(lines, expected, "{name}");
    };
    check("caro", &[]);
    check(
        "standard",
        &[
            "/stages/0/gates: errors needs 100 at 1 % 30 in 24",
            "/stages/0/gates: crashes needs 3012 at 1 % 30 in 24",
            "/stages/0/gates: command_latency-p95-ratio needs 100 at 1 % 30 in 24",
            "/stages/1/gates: crashes needs 3012 at 5 % 300 in 48",
            "/stages/2/gates: crashes needs 3012 at 10 % 600 in 48",
            "/stages/3/gates: crashes needs 3012 at 25 % 1500 in 48",
            "/stages/4/gates: crashes needs 3012 at 50 % 3000 in 48",
            "/stages/6/gates: crashes needs 3012 at 100 % 3000 in 24",
        ],
    );
    check(
        "accelerated",
        &[
            "/stages/0/gates: crashes needs 3012 at 10 % 300 in 24",
            "/stages/1/gates: crashes needs 3012 at 50 % 1500 in 24",
            "/stages/2/gates: crashes needs 3012 at 100 % 3000 in 24",
        ],
    );
    check(
        "cautious",
        &[
            "/stages/0/gates: crashes needs 3012 at 1 % 210 in 168",
            "/stages/1/gates: crashes needs 3012 at 5 % 1050 in 168",
            "/stages/2/gates: crashes needs 3012 at 10 % 2100 in 168",
        ],
    );
    check(
        "web4",
        &["/stages/1/gates: errors needs 164 at 1 % 60 in 48"],
    );
    check(
        "canary",
        &[
            "/stages/0/gates: errors needs 315 at 0.5 % 1 in 2",
            "/stages/1/gates: errors needs 315 at 5 % 150 in 24",
        ],
    );
    check(
        "boring-green",
        &[
            "/stages/0/gates: command_success needs 1000 at 1 % 210 in 168",
            "/stages/0/gates: errors needs 1000 at 1 % 210 in 168",
            "/stages/0/gates: errors-ratio needs 1000 at 1 % 210 in 168",
            "/stages/0/gates: command_latency-p95 needs 1000 at 1 % 210 in 168",
        ],
    );
}
