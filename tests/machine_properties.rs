//! The machine's promises, over random plans, people, evidence and clocks.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

#[path = "support/machine.rs"]
mod machine;

use caro_edge::core::config::State as ReleaseState;
use caro_edge::core::gate::{Counts, Evidence, Histogram, Number, Verdict, judge};
use caro_edge::core::ids::Percentage;
use caro_edge::core::ledger::event::{Change, Row};
use caro_edge::core::plan::{
    Action, Baseline, Check, Circuit, Look, Plan, Run, Seen, Status, decide, fired,
};
use caro_edge::core::role::Role;
use caro_edge::core::table::Table;
use caro_edge::core::time::Timestamp;
use machine::{HOUR, MINUTE, NAME, NOW, World, breaker, counted, percent, plan_of};
use proptest::prelude::*;
use serde_json::{Value, json};

/// What may happen between two looks of the guard.
#[derive(Debug, Clone)]
enum Event {
    Wait(u64),
    /// The clock is set back.
    Back(u64),
    /// Commands, and how many of a hundred ended with an error.
    Evidence(u64, u64),
    NoEvidence,
    P0(bool),
    Health(bool),
    Pause,
    Resume,
    Approve(usize, Role),
    Promote(bool),
    Rollback(u32, bool),
    Edit(u32),
    EditState(ReleaseState),
    Kill(bool),
    Stop,
    ClearStop,
    Start,
    Evaluate,
}

fn event() -> impl Strategy<Value = Event> {
    let role = prop_oneof![
        4 => Just(Role::ReleaseManager),
        2 => Just(Role::EngineeringLead),
        1 => Just(Role::Bot)
    ];
    let state = prop::sample::select(vec![
        ReleaseState::Active,
        ReleaseState::Paused,
        ReleaseState::Stopped,
    ]);
    prop_oneof![
        60 => (1..200_u64).prop_map(Event::Wait),
        1 => (1..200_u64).prop_map(Event::Back),
        12 => (500..3000_u64).prop_map(|total| Event::Evidence(total, 0)),
        4 => (0..3000_u64, 0..12_u64).prop_map(|(total, bad)| Event::Evidence(total, bad)),
        1 => Just(Event::NoEvidence),
        8 => prop::bool::weighted(0.1).prop_map(Event::P0),
        12 => prop::bool::weighted(0.7).prop_map(Event::Health),
        2 => Just(Event::Pause),
        12 => Just(Event::Resume),
        16 => (0..3_usize, role).prop_map(|(who, role)| Event::Approve(who, role)),
        1 => any::<bool>().prop_map(Event::Promote),
        1 => (0..100_u32, any::<bool>()).prop_map(|(to, drained)| Event::Rollback(to, drained)),
        1 => (0..101_u32).prop_map(Event::Edit),
        1 => state.prop_map(Event::EditState),
        1 => any::<bool>().prop_map(Event::Kill),
        1 => Just(Event::Stop),
        3 => Just(Event::ClearStop),
        6 => Just(Event::Start),
        4 => Just(Event::Evaluate),
    ]
}

prop_compose! {
    fn some_plan()(
        steps in prop::collection::btree_set(0..=10_u32, 1..5),
        soak in 0..4_u64,
        approvals in prop::collection::vec(prop::option::weighted(0.3, (1..3_u64, 1..4_u64)), 5),
        gated in any::<bool>(),
        number in any::<bool>(),
        on_fail in action(),
        halt in halting(),
        breaks in any::<bool>(),
        acts in prop::collection::vec(prop::bool::weighted(0.8), 4),
        most in prop::sample::select(vec![10, 50, 100]),
        leads in (prop::sample::select(vec![0, 30]), prop::sample::select(vec![0, 15])),
        holds in prop::collection::vec(prop::sample::select(vec!["hold", "pause"]), 2),
        drain in prop::sample::select(vec![0, 300]),
        watch in 0..3_u64,
        mode in prop::sample::select(vec!["only", "or", "and"]),
    ) -> Value {
        let mut gates = Vec::new();
        if gated {
            gates.push(json!({"rate": "errors", "at_most": 5, "on_fail": on_fail}));
        }
        if number {
            gates.push(json!({"number": "p0_open", "at_most": 0, "max_age_hours": 12}));
        }
        let stages: Vec<Value> = steps.iter().zip(&approvals).enumerate().map(|(i, (step, approval))| {
            let mut stage = json!({"id": format!("s{i}"), "percentage": step * 10, "soak": {"min_hours": soak}});
            if *step == 0 || approval.is_some() {
                stage["audience"] = json!({"mode": mode, "cohorts": ["friends"]});
            }
            if let Some((count, hours)) = approval {
                stage["approval"] = json!({
                    "roles": ["release_manager", "engineering_lead"], "count": count, "lifetime_hours": hours,
                });
            }
            stage
        }).collect();
        let act = |i: usize| if acts[i] { "act" } else { "suggest" };
        let mut plan = json!({
            "name": "p", "gates": gates, "stages": stages, "watch_hours": watch,
            "halts": [
                {"id": "p0", "when": {"number": "p0_open", "over": 0, "max_age_hours": 24}, "action": halt},
                {"id": "errors", "when": {"rate": "errors", "over": 8, "window_minutes": 60}, "action": "pause"},
            ],
            "policy": {
                "autonomy": {"advance": act(0), "pause": act(1), "step_down": act(2), "rollback": act(3)},
                "max_percentage": most, "lead_minutes": {"advance": leads.0, "rollback": leads.1},
                "no_data": holds[0], "inconclusive": holds[1], "drain_seconds": drain,
            },
        });
        if breaks {
            plan["breaker"] = breaker();
            plan["breaker"]["consecutive"] = json!(2);
        }
        plan
    }
}

fn action() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["hold", "pause", "step_down", "rollback"])
}

fn halting() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["pause", "step_down", "rollback"])
}

/// What is known without asking the machine.
#[derive(Default)]
struct Ghost {
    /// Milliseconds that went by while it ran, in this stage.
    ran: u64,
    /// Approvals that were taken, in this stage of this plan.
    given: Vec<(usize, Timestamp)>,
    stopped: bool,
}

impl World {
    /// What the router does by itself, held against its promises.
    fn look(&mut self, ghost: &mut Ghost, evaluates: bool) -> Result<(), TestCaseError> {
        let (before, was, seen) = (self.run().clone(), self.percentage(), self.seen());
        match evaluates {
            true => self.evaluate(),
            false => drop(self.guard()),
        }
        let (after, is) = (self.run().clone(), self.percentage());
        let now = self.now;
        prop_assert!(after.stage <= before.stage + 1);
        if is > was {
            let tried = matches!(
                before.circuit,
                Circuit::Open { .. } | Circuit::HalfOpen { .. }
            );
            let advanced = after.stage == before.stage + 1;
            prop_assert!(
                tried || advanced,
                "raised from {was} to {is}: {}",
                after.why
            );
            prop_assert!(!seen.killed && !ghost.stopped && !seen.draining && seen.error.is_none());
            prop_assert!(fired(&self.plan.halts, &seen, &before.baseline, now).is_empty());
        }
        let completed = after.status == Status::Complete && before.status != Status::Complete;
        if after.stage > before.stage || completed {
            let stage = &self.plan.stages[before.stage];
            prop_assert_eq!(before.status, Status::Running);
            prop_assert!(!seen.killed && !ghost.stopped && !seen.draining && !seen.inactive);
            prop_assert_eq!(seen.percentage, before.percentage);
            prop_assert!(
                ghost.ran >= stage.soak_min_ms,
                "{} of {}",
                ghost.ran,
                stage.soak_min_ms
            );
            for own in &stage.gates {
                let verdict = judge(&own.gate, &seen.stage, now).verdict;
                prop_assert_eq!(verdict, Verdict::Pass);
            }
            let people = |within: u64| {
                let live =
                    |(_, at): &&(usize, Timestamp)| *at <= now && now.millis_since(*at) < within;
                let mut who: Vec<usize> = ghost
                    .given
                    .iter()
                    .filter(live)
                    .map(|(who, _)| *who)
                    .collect();
                who.sort_unstable();
                who.dedup();
                who.len() as u64
            };
            if let Some(approval) = &stage.approval {
                prop_assert!(people(approval.lifetime_ms) >= approval.count);
            }
            if completed {
                prop_assert!(ghost.ran >= self.plan.watch_ms);
            } else if self.plan.stages[after.stage].percentage > self.plan.policy.max_percentage {
                prop_assert!(people(24 * HOUR) >= 1);
            }
        }
        self.anew(ghost, &before);
        Ok(())
    }

    /// A stage that is entered has not soaked, and nobody has agreed to leave it.
    fn anew(&self, ghost: &mut Ghost, before: &Run) {
        let after = self.run();
        if (after.entered, after.stage, after.plan) != (before.entered, before.stage, before.plan) {
            ghost.ran = 0;
            ghost.given.clear();
        }
    }

    fn happen(&mut self, event: &Event, ghost: &mut Ghost) {
        let before = self.run().clone();
        match *event {
            Event::Wait(minutes) => {
                self.now = self.now.plus_millis(minutes * MINUTE);
                if before.status == Status::Running {
                    ghost.ran += minutes * MINUTE;
                }
                self.drain();
            }
            Event::Back(minutes) => {
                self.now = Timestamp::from_millis(self.now.millis() - (minutes * MINUTE) as i64);
            }
            Event::Evidence(total, percent) => {
                self.evidence = Ok(counted(total, total * percent / 100))
            }
            Event::NoEvidence => self.evidence = Err("nobody answers".into()),
            Event::P0(open) => self.tell(&[("p0_open", f64::from(u8::from(open)))], &[]),
            Event::Health(passed) => self.health(passed, 1),
            Event::Pause => drop(self.pause()),
            Event::Resume => drop(self.resume()),
            Event::Approve(who, role) => {
                let stage = before.stage;
                let taken = self.approve(&format!("s{stage}"), &format!("person {who}"), role);
                if taken == Ok(true) {
                    ghost.given.retain(|(other, _)| *other != who);
                    ghost.given.push((who, self.now));
                }
            }
            Event::Promote(force) => drop(self.promote(force)),
            Event::Rollback(to, drained) => {
                drop(self.rollback(f64::from(to), if drained { 600_000 } else { 0 }));
            }
            Event::Edit(to) => drop(self.set(Some(f64::from(to)), None)),
            Event::EditState(state) => drop(self.set(None, Some(state))),
            Event::Kill(on) => self.kill(on),
            Event::Stop => {
                self.stop();
                ghost.stopped = true;
            }
            Event::ClearStop => {
                self.clear_stop();
                ghost.stopped = false;
            }
            Event::Start => drop(self.start()),
            Event::Evaluate => {}
        }
        self.anew(ghost, &before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(plan in some_plan(), events in prop::collection::vec(event(), 20..80)) {
        let mut world = World::begun(&plan);
        let mut ghost = Ghost::default();
        for event in &events {
            world.happen(event, &mut ghost);
            if matches!(event, Event::Evaluate) {
                world.look(&mut ghost, true)?;
            }
            world.look(&mut ghost, false)?;
            // Twice at the same time is once; three times, where one look finds two things, and then no more.
            world.look(&mut ghost, false)?;
            world.look(&mut ghost, false)?;
            prop_assert!(!world.guard(), "{:?}", world.alerts.last());
            let run = world.run();
            if run.status.is_live() && !world.live.state.drains.contains(&world.name) {
                prop_assert_eq!(world.percentage(), run.percentage);
            }
            if ghost.stopped {
                prop_assert_eq!(world.percentage(), Percentage::ZERO);
                prop_assert!(!world.run().status.is_live());
            }
        }
        // Each decision can be made again from its row, as it is kept, and the rows before.
        for (before, row) in &world.rows {
            let kept = Row::parse(&row.text()).unwrap();
            prop_assert_eq!(&kept, row);
            for change in &kept.changes {
                let Change::Decide { release, seen, decision } = change else { continue };
                if row.action == "plan.promote" {
                    continue;
                }
                let planned = before.state.plans.get(release).unwrap();
                let look = Look {
                    plan: &Plan::parse(&planned.document).unwrap(),
                    run: &planned.run,
                    seen,
                    now: row.at,
                    release: NAME,
                };
                let again = decide(&look).decision.unwrap();
                prop_assert_eq!(&again, &**decision);
            }
        }
    }
}

prop_compose! {
    fn evidence()(
        counts in prop::collection::vec((0..3000_u64, 0..3000_u64), 4),
        units in (0..3000_u64, 0..3000_u64),
        latencies in prop::collection::vec(0..500_u64, 6),
        platforms in prop::collection::vec(0..50_u64, 3),
        share in prop::sample::select(vec![0.05, 0.5, 1.0]),
    ) -> Evidence {
        let count = |(bad, total): (u64, u64)| Counts { total, good: total.saturating_sub(bad.min(total) / 8) };
        let histogram = |counts: &[u64]| Histogram {
            up_to: {
                let mut table = Table::default();
                table.insert(100, counts[0]);
                table.insert(400, counts[1]);
                table
            },
            beyond: counts[2] / 10,
        };
        let mut evidence = Evidence { share, canary_units: units.0, control_units: units.1, ..Evidence::default() };
        for (i, metric) in ["errors", "install_success"].into_iter().enumerate() {
            evidence.canary.insert(metric.into(), count(counts[i]));
            evidence.control.insert(metric.into(), count(counts[i + 2]));
        }
        evidence.latencies.insert("command_latency".into(), histogram(&latencies[..3]));
        evidence.control_latencies.insert("command_latency".into(), histogram(&latencies[3..]));
        for (platform, count) in ["linux-amd64", "macos-intel", "windows-amd64"].into_iter().zip(platforms) {
            evidence.platforms.insert(platform.into(), count);
        }
        evidence
    }
}

/// A plan that asks for everything, in every way of failing.
fn asks_everything(on_fail: [&str; 4], halt: [&str; 4], holds: [&str; 2]) -> Value {
    json!({
        "name": "p",
        "stages": [
            {"id": "a", "percentage": 5, "gates": [
                {"rate": "errors", "at_most": 5, "fail_above": 8, "on_fail": on_fail[0]},
                {"rate": "install_success", "at_least": 90, "floor": 85, "min_samples": 20, "on_fail": on_fail[1]},
                {"ratio": "errors", "at_most": 1.5, "on_fail": on_fail[2]},
                {"quantile": "command_latency", "p": 95, "at_most_ms": 400, "on_fail": on_fail[3]},
                {"quantile": "command_latency", "p": 75, "at_most_times_control": 1.2, "on_fail": on_fail[0]},
                {"number": "p0_open", "at_most": 0, "max_age_hours": 24, "on_fail": on_fail[1]},
                {"number": "awu", "at_least": 100, "max_age_hours": 24, "on_fail": on_fail[2]},
                {"coverage": ["linux", "macos"], "each": 5, "on_fail": on_fail[3]},
                {"sample_ratio": true, "min_samples": 10, "on_fail": on_fail[0]},
            ]},
            {"id": "b", "percentage": 25},
        ],
        "halts": [
            {"id": "p0", "when": {"number": "p0_open", "over": 2, "max_age_hours": 24}, "action": halt[2]},
            {"id": "rate", "when": {"rate": "errors", "over": 8, "window_minutes": 60}, "action": halt[3]},
            {"id": "base", "when": {"rate": "errors", "over_baseline": 1.5, "window_minutes": 60}, "action": halt[0]},
            {"id": "under", "when": {"rate": "install_success", "under_baseline": 0.9, "window_minutes": 60}, "action": halt[1]},
            {"id": "sigma", "when": {"rate": "errors", "sigma": 3, "window_minutes": 60}, "action": halt[2]},
            {"id": "slow", "when": {"quantile": "command_latency", "p": 95, "over_ms": 400, "window_minutes": 60}, "action": halt[3]},
            {"id": "health", "when": {"check": "health", "consecutive": 2}, "action": halt[1]},
        ],
        "policy": {"no_data": holds[0], "inconclusive": holds[1]},
    })
}

/// Some of the gates: all at once seldom pass.
fn keep(plan: &mut Plan, kept: &[bool]) {
    let mut kept = kept.iter().cycle();
    plan.stages[0].gates.retain(|_| *kept.next().unwrap());
    plan.halts.retain(|_| *kept.next().unwrap());
}

fn asked(plan: &Plan, run: &Run, seen: &Seen, now: Timestamp) -> (Action, Vec<Verdict>) {
    let look = Look {
        plan,
        run,
        seen,
        now,
        release: NAME,
    };
    let decision = decide(&look).decision.unwrap();
    let verdicts = decision
        .gates
        .iter()
        .map(|gate| gate.judgement.verdict)
        .collect();
    (decision.asked, verdicts)
}

fn number(seen: &mut Seen, name: &str, value: f64) {
    seen.stage
        .numbers
        .insert(name.into(), Number { value, at: NOW });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn less_is_not_better_and_worse_is_not_safer(
        on_fail in [action(), action(), action(), action()],
        halt in [halting(), halting(), halting(), halting()],
        holds in [prop::sample::select(vec!["hold", "pause"]), prop::sample::select(vec!["hold", "pause"])],
        kept in prop::collection::vec(any::<bool>(), 16),
        stage in evidence(),
        window in evidence(),
        control in prop::option::of(evidence()),
        told in (0..3_u32, 98..103_u32, 0..3_u64),
        paused in prop::bool::weighted(0.2),
        (what, more) in (0..8_usize, 1..300_u64),
        away in 0..9_usize,
        later in 1..20_u64,
    ) {
        let mut plan = plan_of(&asks_everything(on_fail, halt, holds));
        keep(&mut plan, &kept);
        let mut run = Run::draft(1, percent(5.0), NOW);
        run.status = if paused { Status::Paused } else { Status::Running };
        run.since = (!paused).then_some(NOW);
        if let Some(control) = control {
            run.baseline = Baseline { counts: control.control, latencies: control.control_latencies };
        }
        let mut seen = Seen { stage, percentage: percent(5.0), ..Seen::default() };
        seen.windows.insert(HOUR, window);
        number(&mut seen, "p0_open", f64::from(told.0));
        number(&mut seen, "awu", f64::from(told.1));
        seen.checks.insert("health".into(), Check { failures: told.2, passes: 0, at: NOW });
        let (action, verdicts) = asked(&plan, &run, &seen, NOW);

        // A late look decides as a punctual one from the same.
        let (late, _) = asked(&plan, &run, &seen, NOW.plus_millis(later * HOUR));
        prop_assert_eq!(late, action);

        // Something worse.
        let mut worse = seen.clone();
        let window = worse.windows.get_mut(&HOUR).unwrap();
        let spoil = |counts: &mut Counts| counts.good = counts.good.saturating_sub(more);
        match what {
            0 => spoil(worse.stage.canary.get_mut("errors").unwrap()),
            1 => spoil(worse.stage.canary.get_mut("install_success").unwrap()),
            2 => spoil(window.canary.get_mut("errors").unwrap()),
            3 => spoil(window.canary.get_mut("install_success").unwrap()),
            4 | 5 => {
                let evidence = if what == 4 { &mut worse.stage } else { window };
                let histogram = evidence.latencies.get_mut("command_latency").unwrap();
                let fast = histogram.up_to.get_mut(&100).unwrap();
                let slower = more.min(*fast);
                *fast -= slower;
                histogram.beyond += slower;
            }
            6 => number(&mut worse, "p0_open", f64::from(told.0) + more as f64),
            _ => worse.checks.get_mut("health").unwrap().failures += more,
        }
        let (then, _) = asked(&plan, &run, &worse, NOW);
        prop_assert!(then >= action, "{action:?} became {then:?}");

        // Something less of what gates are asked.
        let mut less = seen.clone();
        let own = &mut less.stage;
        match away {
            0 => drop(own.canary.remove("errors")),
            1 => drop(own.canary.remove("install_success")),
            2 => drop(own.control.remove("errors")),
            3 => drop(own.latencies.remove("command_latency")),
            4 => drop(own.control_latencies.remove("command_latency")),
            5 => drop(own.numbers.remove("awu")),
            6 => drop(own.platforms.remove("linux-amd64")),
            7 => (own.canary_units, own.control_units) = (0, 0),
            _ => *own = Evidence::default(),
        }
        let (then, fewer) = asked(&plan, &run, &less, NOW);
        for (before, after) in verdicts.iter().zip(&fewer) {
            prop_assert!(*after != Verdict::Pass || *before == Verdict::Pass, "{before:?} became PASS");
        }
        prop_assert!(then != Action::Advance || action == Action::Advance);
        let unread = Seen { error: Some("nobody answers".into()), ..seen.clone() };
        prop_assert!(asked(&plan, &run, &unread, NOW).0 >= Action::Hold);
    }
}
