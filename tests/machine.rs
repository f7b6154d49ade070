//! The machine's promises, over random plans, people, evidence and clocks: through the ledger, so that orders, drains
//! and rows are the real ones. What it once got wrong is below, each by name.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use caro_edge::core::config::State as ReleaseState;
use caro_edge::core::gate::{Counts, Evidence, Histogram, Number, Verdict, judge};
use caro_edge::core::ids::{Percentage, ReleaseName};
use caro_edge::core::json::Json;
use caro_edge::core::ledger::event::{Actor, Change, Row, Scope, Told};
use caro_edge::core::ledger::{self, Context, Live, Outcome, Rejection, SetRelease, State};
use caro_edge::core::plan::{
    Action, Baseline, Check, Circuit, Look, Plan, Run, Seen, Status, decide, fired,
};
use caro_edge::core::role::Role;
use caro_edge::core::table::Table;
use caro_edge::core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp::from_millis(1_768_500_000_000);
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const NAME: &str = "v2";

fn percent(value: f64) -> Percentage {
    Percentage::from_thousandths((value * 1000.0) as u32).unwrap()
}

fn plan_of(document: &Value) -> Plan {
    Plan::parse(&Json::parse(&document.to_string()).unwrap())
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{document}"))
}

/// A ledger with one release, its clock, and what is seen.
struct World {
    live: Live,
    now: Timestamp,
    name: ReleaseName,
    plan: Plan,
    evidence: Result<Evidence, String>,
    /// The state before each row, and the row.
    rows: Vec<(Live, Row)>,
    alerts: Vec<String>,
}

impl World {
    fn new(plan: &Value) -> Self {
        let config = json!({
            "schema": 1, "salt": "4f02099013e52f8bcd1b3b857f599e04", "stable": "1.0.4",
            "versions": {"1.0.4": {
                "assets": {"linux-amd64": {"sha256": "1".repeat(64), "size": 9}},
                "excluded_platforms": ["linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"],
            }},
            "cohorts": {"friends": {"enabled": true}, "beta": {"enabled": true}},
            "releases": {NAME: {"version": "1.0.4", "percentage": 0, "state": "active"}},
        });
        let mut world = Self {
            live: Live::new(State::default()),
            now: NOW,
            name: NAME.parse().unwrap(),
            plan: plan_of(plan),
            evidence: Ok(Evidence::default()),
            rows: Vec::new(),
            alerts: Vec::new(),
        };
        let document = Json::parse(&config.to_string()).unwrap();
        let adopted = ledger::adopt(&world.live, &document);
        world.take(&adopted).unwrap();
        let document = Json::parse(&plan.to_string()).unwrap();
        world
            .make(|live, name, now| ledger::set_plan(live, name, &document, now))
            .unwrap();
        world
    }

    fn begun(plan: &Value) -> Self {
        let mut world = Self::new(plan);
        world.start().unwrap();
        world
    }

    fn take(&mut self, outcome: &Outcome) -> Result<bool, Rejection> {
        let context = Context {
            actor: Actor::ledger(),
            approved_by: None,
            now: self.now,
            reason: String::new(),
            floor: 0,
        };
        let Some(prepared) = self.live.prepare(outcome, &context)? else {
            return Ok(false);
        };
        if outcome.alert {
            self.alerts.push(outcome.summary.clone());
        }
        let before = std::mem::replace(&mut self.live, prepared.next);
        self.rows.push((before, prepared.row));
        Ok(true)
    }

    fn make(
        &mut self,
        call: impl FnOnce(&Live, &ReleaseName, Timestamp) -> Result<Outcome, Rejection>,
    ) -> Result<bool, Rejection> {
        let outcome = call(&self.live, &self.name, self.now)?;
        self.take(&outcome)
    }

    fn start(&mut self) -> Result<bool, Rejection> {
        let seen = self.seen();
        self.make(|live, name, now| ledger::start_plan(live, name, &seen, Baseline::default(), now))
    }

    fn seen(&self) -> Seen {
        let mut seen = ledger::seen(&self.live, &self.name);
        let numbers = std::mem::take(&mut seen.stage.numbers);
        match &self.evidence {
            Ok(evidence) => {
                seen.stage = evidence.clone();
                seen.windows.insert(HOUR, evidence.clone());
            }
            Err(why) => seen.error = Some(why.clone()),
        }
        seen.stage.numbers = numbers;
        seen
    }

    /// Whether the guard did anything.
    fn guard(&mut self) -> bool {
        let seen = self.seen();
        let outcome = ledger::guarded(&self.live, &self.name, &seen, self.now).unwrap();
        outcome.is_some_and(|outcome| {
            self.take(&outcome).unwrap();
            true
        })
    }

    /// A guard each minute, and the drain's steps.
    fn minutes(&mut self, minutes: u64) {
        for _ in 0..minutes {
            self.now = self.now.plus_millis(MINUTE);
            self.drain();
            self.guard();
        }
    }

    fn hours(&mut self, hours: u64) {
        self.minutes(60 * hours);
    }

    fn drain(&mut self) {
        while let Some((_, Some(outcome))) = ledger::drain_step(&self.live, self.now) {
            self.take(&outcome).unwrap();
        }
    }

    fn run(&self) -> &Run {
        &self.live.state.plans.get(&self.name).unwrap().run
    }

    fn percentage(&self) -> Percentage {
        self.live
            .config
            .as_ref()
            .unwrap()
            .releases
            .get(&self.name)
            .unwrap()
            .percentage
    }

    fn cohorts(&self) -> Vec<String> {
        let config = self.live.config.as_ref().unwrap();
        let cohorts = &config.releases.get(&self.name).unwrap().cohorts;
        cohorts.iter().map(ToString::to_string).collect()
    }

    fn tell(&mut self, numbers: &[(&str, f64)], checks: &[(&str, bool)]) {
        let mut told = (Table::default(), Table::default());
        for (name, value) in numbers {
            let value = *value;
            let number = Told {
                value,
                at: self.now,
                source: "test".to_owned(),
            };
            told.0.insert((*name).to_owned(), number);
        }
        for (name, passed) in checks {
            told.1.insert((*name).to_owned(), *passed);
        }
        self.make(|live, name, _| ledger::signal(live, name, told.0, told.1))
            .unwrap();
    }

    fn health(&mut self, passed: bool, times: u64) {
        for _ in 0..times {
            self.tell(&[], &[("health", passed)]);
        }
    }

    fn approve(&mut self, stage: &str, who: &str, role: Role) -> Result<bool, Rejection> {
        let actor = Actor::new(who, who, Some(role));
        self.make(|live, name, now| ledger::approve_stage(live, name, stage, &actor, now))
    }

    fn pause(&mut self) -> Result<bool, Rejection> {
        self.make(ledger::pause)
    }

    fn resume(&mut self) -> Result<bool, Rejection> {
        self.make(ledger::resume)
    }

    fn rollback(&mut self, to: f64, over_ms: u64) -> Result<bool, Rejection> {
        self.make(|live, name, now| ledger::rollback(live, name, percent(to), over_ms, now))
    }

    fn stop(&mut self) {
        let scope = Scope::Release(self.name.clone());
        let outcome = ledger::stop(&self.live, &scope).unwrap();
        self.take(&outcome).unwrap();
    }

    fn clear_stop(&mut self) {
        let scope = Scope::Release(self.name.clone());
        let outcome = ledger::clear_stop(&self.live, &scope).unwrap();
        self.take(&outcome).unwrap();
    }

    fn set(
        &mut self,
        percentage: Option<f64>,
        state: Option<ReleaseState>,
    ) -> Result<bool, Rejection> {
        let set = SetRelease {
            percentage: percentage.map(percent),
            state,
            ..SetRelease::default()
        };
        self.make(|live, name, _| ledger::set_release(live, name, &set))
    }

    fn kill(&mut self, on: bool) {
        let outcome = ledger::set_kill_switches(&self.live, &[("canary".to_owned(), on)]).unwrap();
        self.take(&outcome).unwrap();
    }

    fn promote(&mut self, force: bool) -> Result<bool, Rejection> {
        let seen = self.seen();
        self.make(|live, name, now| ledger::promote(live, name, &seen, force, now))
    }

    fn evaluate(&mut self) {
        let seen = self.seen();
        self.make(|live, name, now| ledger::evaluate(live, name, &seen, now))
            .unwrap();
    }

    fn is_at(&self, stage: usize, percentage: f64, status: Status) {
        let run = self.run();
        let found = (run.stage, self.percentage(), run.status);
        assert_eq!(found, (stage, percent(percentage), status), "{}", run.why);
    }

    fn told(&self, what: &str) -> usize {
        self.alerts
            .iter()
            .filter(|alert| alert.contains(what))
            .count()
    }
}

fn well() -> Evidence {
    counted(2000, 0)
}

/// Commands of which so many ended with an error.
fn counted(total: u64, bad: u64) -> Evidence {
    let mut evidence = Evidence {
        share: 0.5,
        ..Evidence::default()
    };
    let counts = Counts {
        total,
        good: total - bad,
    };
    evidence.canary.insert("errors".into(), counts);
    evidence
}

/// 5, 25, 50, 100 %, two hours each, and what may be said besides.
fn four(more: Value) -> Value {
    let mut plan = json!({
        "name": "p",
        "gates": [{"rate": "errors", "at_most": 5}],
        "stages": [
            {"id": "a", "percentage": 5, "soak": {"min_hours": 2}},
            {"id": "b", "percentage": 25, "soak": {"min_hours": 2}},
            {"id": "c", "percentage": 50, "soak": {"min_hours": 2}, "approval": {"roles": ["release_manager"]}},
            {"id": "d", "percentage": 100},
        ],
        "watch_hours": 2,
        "policy": {"lead_minutes": {"advance": 30}},
    });
    for (key, value) in more.as_object().unwrap() {
        plan[key] = value.clone();
    }
    plan
}

fn halts(action: &str) -> Value {
    json!([{"id": "p0", "when": {"number": "p0_open", "over": 0, "max_age_hours": 24}, "action": action}])
}

fn breaker() -> Value {
    json!({"check": "health", "consecutive": 3, "cool_down_minutes": 15, "probe_percentage": 0.5})
}

// One thing at a time.

#[test]
fn an_announcement_is_called_off_by_what_comes_before_it_is_due() {
    for (spoil, said) in [
        ("gate", "paused at 5 %: errors failed"),
        ("error", "called off"),
        ("halt", "paused at 5 %"),
        ("kill", "a kill switch is on"),
        ("edit", "changed by hand from 5 % to 10 %"),
        ("state", "paused or ended by hand"),
    ] {
        let mut world = World::begun(&four(json!({"halts": halts("pause")})));
        world.evidence = Ok(well());
        world.minutes(125);
        assert_eq!(world.told("b at 25 % in 30 min"), 1);
        match spoil {
            "gate" => world.evidence = Ok(counted(2000, 300)),
            "error" => world.evidence = Err("nobody answers".into()),
            "halt" => world.tell(&[("p0_open", 1.0)], &[]),
            "kill" => world.kill(true),
            "edit" => drop(world.set(Some(10.0), None).unwrap()),
            _ => drop(world.set(None, Some(ReleaseState::Paused)).unwrap()),
        }
        world.minutes(60);
        assert_eq!(world.told(said), 1, "{spoil}: {:#?}", world.alerts);
        assert_eq!(world.run().stage, 0, "{spoil}");
        assert_ne!(world.percentage(), percent(25.0), "{spoil}");
    }
}

#[test]
fn a_pause_takes_neither_the_soak_nor_the_lead_time_away() {
    let mut world = World::begun(&four(json!({})));
    world.evidence = Ok(well());
    world.hours(1);
    world.pause().unwrap();
    world.hours(10);
    world.is_at(0, 5.0, Status::Paused);
    world.resume().unwrap();
    world.minutes(59);
    assert!(world.run().pending.is_none());
    // The soak is over; the decision comes within the hour, and then the lead.
    world.minutes(2);
    assert!(world.run().pending.is_some());
    world.pause().unwrap();
    world.hours(1);
    world.resume().unwrap();
    world.hours(1);
    assert_eq!(world.told("b at 25 % in 30 min"), 2);
    world.minutes(31);
    world.is_at(1, 25.0, Status::Running);
}

#[test]
fn a_rollback_to_less_begins_that_stage_anew() {
    let mut world = World::begun(&four(json!({"stages": [
        {"id": "a", "percentage": 5, "soak": {"min_hours": 2}},
        {"id": "b", "percentage": 25, "soak": {"min_hours": 2}, "approval": {"roles": ["release_manager"]}},
        {"id": "c", "percentage": 50, "soak": {"min_hours": 2}, "approval": {"roles": ["release_manager"]}},
        {"id": "d", "percentage": 100},
    ]})));
    world.evidence = Ok(well());
    world.hours(3);
    world.approve("b", "one", Role::ReleaseManager).unwrap();
    world.hours(4);
    world.is_at(2, 50.0, Status::Running);
    world.approve("c", "one", Role::ReleaseManager).unwrap();
    world.rollback(25.0, 0).unwrap();
    world.is_at(1, 25.0, Status::Paused);
    world.resume().unwrap();
    // Who agreed to leave c did not agree to leave b, and b's soak begins anew.
    assert!(world.run().approvals.is_empty());
    world.minutes(119);
    assert_eq!(world.run().why, "soaking, 1 h to go");
    world.hours(10);
    world.is_at(1, 25.0, Status::Running);
    assert_eq!(world.told("c at 50 % waits for approval"), 1);
}

#[test]
fn below_the_first_stage_nothing_is_skipped() {
    let mut world = World::begun(&four(json!({"halts": halts("step_down"),
        "policy": {"autonomy": {"step_down": "act"}, "lead_minutes": {"advance": 0}}})));
    world.evidence = Ok(well());
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    // It still holds: it pauses again, and says so again.
    world.resume().unwrap();
    world.is_at(0, 5.0, Status::Running);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert_eq!(world.told("down to 0 %, and paused"), 2);
    world.tell(&[("p0_open", 0.0)], &[]);
    world.resume().unwrap();
    world.is_at(0, 5.0, Status::Running);
}

#[test]
fn a_step_down_is_to_the_people_of_the_stage_before() {
    let stages = json!([
        {"id": "only", "percentage": 0, "audience": {"mode": "only", "cohorts": ["friends"]}, "soak": {"min_hours": 1}},
        {"id": "more", "percentage": 10, "audience": {"mode": "or", "cohorts": ["friends", "beta"]}},
    ]);
    let policy = json!({"autonomy": {"step_down": "act"}, "lead_minutes": {"advance": 0}});
    let plan =
        json!({"stages": stages, "gates": [], "halts": halts("step_down"), "policy": policy});
    let mut world = World::begun(&four(plan));
    assert_eq!(world.cohorts(), ["friends"]);
    world.hours(1);
    world.is_at(1, 10.0, Status::Running);
    assert_eq!(world.cohorts(), ["friends", "beta"]);
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert_eq!(world.cohorts(), ["friends"]);
    world.resume().unwrap();
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert!(world.cohorts().is_empty());
    world.tell(&[("p0_open", 0.0)], &[]);
    world.resume().unwrap();
    world.is_at(0, 0.0, Status::Running);
    assert_eq!(world.cohorts(), ["friends"]);
}

#[test]
fn a_breaker_opens_tries_and_closes() {
    let mut world = World::begun(&four(json!({"breaker": breaker()})));
    world.evidence = Ok(counted(10, 0));
    world.health(false, 2);
    world.minutes(1);
    world.is_at(0, 5.0, Status::Running);
    world.health(false, 1);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    // While nobody has it, all is well: that proves nothing.
    world.health(true, 9);
    world.minutes(14);
    world.is_at(0, 0.0, Status::Paused);
    world.minutes(1);
    world.is_at(0, 0.5, Status::Paused);
    for _ in 0..2 {
        world.minutes(1);
        world.health(true, 1);
        world.minutes(1);
        world.is_at(0, 0.5, Status::Paused);
    }
    world.health(true, 1);
    world.minutes(1);
    world.is_at(0, 5.0, Status::Running);
    // And what fails again opens it again.
    world.health(false, 3);
    world.minutes(1);
    world.health(true, 9);
    world.minutes(16);
    world.is_at(0, 0.5, Status::Paused);
    // Between two looks: the row of passes is a new one.
    world.health(false, 1);
    world.health(true, 3);
    world.minutes(1);
    world.is_at(0, 0.0, Status::Paused);
    assert_eq!(world.told("opened again"), 1);
    world.resume().unwrap();
    world.is_at(0, 5.0, Status::Running);
    assert_eq!(world.run().circuit, Circuit::Closed);
}

#[test]
fn a_breaker_does_not_close_past_people_kills_and_halts() {
    for what in ["pause", "edit", "kill", "halt", "error", "paused before"] {
        let mut world = World::begun(&four(
            json!({"breaker": breaker(), "halts": halts("pause")}),
        ));
        world.evidence = Ok(counted(10, 0));
        if what == "paused before" {
            world.pause().unwrap();
        }
        world.health(false, 3);
        world.minutes(1);
        world.is_at(0, 0.0, Status::Paused);
        match what {
            "pause" => drop(world.pause().unwrap()),
            "edit" => drop(world.set(Some(0.0), None).unwrap()),
            _ => {}
        }
        if what != "pause" && what != "paused before" {
            world.minutes(16);
            world.is_at(0, 0.5, Status::Paused);
        }
        match what {
            "edit" => drop(world.set(Some(0.1), None).unwrap()),
            "kill" => world.kill(true),
            "halt" => world.tell(&[("p0_open", 1.0)], &[]),
            "error" => world.evidence = Err("nobody answers".into()),
            _ => {}
        }
        for _ in 0..30 {
            world.minutes(1);
            world.health(true, 1);
        }
        assert_eq!(world.run().status, Status::Paused, "{what}");
        assert!(world.percentage() <= percent(0.5), "{what}");
        world.kill(false);
        world.tell(&[("p0_open", 0.0)], &[]);
        world.evidence = Ok(counted(10, 0));
        world.resume().unwrap();
        world.minutes(1);
        world.is_at(0, 5.0, Status::Running);
    }
}

#[test]
fn a_rollback_is_announced_where_the_policy_says_so() {
    let policy = json!({"autonomy": {"rollback": "act"}, "lead_minutes": {"advance": 0, "rollback": 15},
        "drain_seconds": 300});
    let plan = four(json!({"halts": halts("rollback"), "policy": policy}));
    let mut world = World::begun(&plan);
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(1);
    world.is_at(0, 5.0, Status::Paused);
    assert_eq!(
        world.told("paused at 5 %, rolled back in 15 min unless it is over by then"),
        1
    );
    world.minutes(14);
    world.is_at(0, 5.0, Status::Paused);
    world.minutes(1);
    assert_eq!(world.run().status, Status::RolledBack);
    assert_eq!(world.run().why, "p0_open is 1, beyond 0");
    world.minutes(6);
    world.is_at(0, 0.0, Status::RolledBack);
    assert_eq!(world.told("the rollback is verified"), 1);
    // Over by then.
    let mut world = World::begun(&plan);
    world.tell(&[("p0_open", 1.0)], &[]);
    world.minutes(5);
    world.tell(&[("p0_open", 0.0)], &[]);
    world.minutes(20);
    world.is_at(0, 5.0, Status::Paused);
    assert_eq!(world.told("what was announced is called off"), 1);
}

#[test]
fn a_rollback_takes_over_a_drain() {
    let policy = json!({"autonomy": {"rollback": "act"}, "drain_seconds": 300});
    let mut world = World::begun(&four(json!({"halts": halts("rollback"), "policy": policy})));
    world.set(Some(50.0), None).unwrap();
    world.guard();
    world.resume().unwrap();
    world.rollback(25.0, 600_000).unwrap();
    world.minutes(5);
    assert!(world.percentage() < percent(45.0) && world.percentage() > percent(30.0));
    world.tell(&[("p0_open", 1.0)], &[]);
    world.guard();
    assert_eq!(world.run().status, Status::RolledBack);
    world.minutes(6);
    assert_eq!(world.percentage(), Percentage::ZERO);
    assert_eq!(world.told("the rollback is verified"), 1);
    assert_eq!(world.told("did not hold"), 0);
}

#[test]
fn nothing_is_decided_past_a_kill_or_an_edit() {
    let plan = four(json!({"policy": {"lead_minutes": {"advance": 0}}}));
    for what in ["kill", "edit", "state", "nothing"] {
        let mut world = World::begun(&plan);
        world.hours(3);
        world.evidence = Ok(well());
        match what {
            "kill" => world.kill(true),
            "edit" => drop(world.set(Some(3.0), None).unwrap()),
            "state" => drop(world.set(None, Some(ReleaseState::Stopped)).unwrap()),
            _ => {}
        }
        world.evaluate();
        assert_eq!(world.run().stage, usize::from(what == "nothing"), "{what}");
        if what == "nothing" {
            continue;
        }
        assert!(world.promote(false).is_err());
        world.minutes(2);
        assert_eq!(world.run().status, Status::Paused, "{what}");
        if what == "state" {
            // It stays what the person made of it.
            assert!(world.resume().is_err());
        }
    }
}

#[test]
fn what_comes_back_is_told_again() {
    // Nothing may be done: all that is left is to tell.
    let policy = json!({"autonomy": {"pause": "suggest", "rollback": "suggest"}});
    let mut world = World::begun(&four(json!({"halts": halts("rollback"), "policy": policy})));
    for times in 1..=3 {
        world.tell(&[("p0_open", 1.0)], &[]);
        world.hours(2);
        assert_eq!(world.told("suggested: POST /rollout/v2/rollback"), times);
        world.tell(&[("p0_open", 0.0)], &[]);
        world.hours(2);
    }
}

#[test]
fn what_holds_a_stage_is_told_once() {
    let mut world = World::begun(&four(json!({})));
    world.hours(1);
    assert_eq!(world.told("held"), 0);
    world.hours(9);
    assert_eq!(world.told("held at 5 %: errors has no data"), 1);
    world.evidence = Err("nobody answers".into());
    world.hours(5);
    assert_eq!(world.told("the evidence cannot be read: nobody answers"), 1);
    assert_eq!(world.told("held"), 2);
    world.is_at(0, 5.0, Status::Running);
}

#[test]
fn a_stage_that_takes_too_long_is_told_however_often_it_is_decided() {
    let stages = json!([{"id": "a", "percentage": 5, "soak": {"min_hours": 1, "max_hours": 3}}, {"id": "b", "percentage": 9}]);
    for policy in [json!({}), json!({"decide_minutes": 1})] {
        let mut world = World::begun(&four(json!({"stages": stages, "policy": policy})));
        world.hours(6);
        assert_eq!(world.told("a takes longer than 3 h: errors has no data"), 1);
    }
}

#[test]
fn a_number_that_goes_stale_neither_halts_nor_passes() {
    let gates = json!([{"number": "p0_open", "at_most": 0, "max_age_hours": 24}]);
    let mut world = World::begun(&four(json!({"gates": gates, "halts": halts("pause")})));
    world.tell(&[("p0_open", 0.0)], &[]);
    world.hours(1);
    world.pause().unwrap();
    world.hours(30);
    world.resume().unwrap();
    world.hours(8);
    world.is_at(0, 5.0, Status::Running);
    assert_eq!(
        world.told("p0_open has no data (what was told last is too old)"),
        1
    );
}

#[test]
fn approvals_that_do_not_count() {
    let approval =
        json!({"roles": ["release_manager", "engineering_lead"], "count": 2, "lifetime_hours": 3});
    let stages = json!([
        {"id": "a", "percentage": 5, "soak": {"min_hours": 2}, "approval": approval},
        {"id": "b", "percentage": 25},
    ]);
    let plan = four(json!({"stages": stages, "policy": {"lead_minutes": {"advance": 0}}}));
    let mut world = World::new(&plan);
    // Before it has begun.
    assert!(world.approve("a", "one", Role::ReleaseManager).is_err());
    world.start().unwrap();
    world.evidence = Ok(well());
    assert!(world.approve("b", "one", Role::ReleaseManager).is_err());
    for role in [Role::Bot, Role::Viewer, Role::Engineer] {
        assert!(world.approve("a", "nobody", role).is_err());
    }
    // The same person twice, and then another one whose approval meets an old one that is over.
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.hours(3);
    world.approve("a", "two", Role::EngineeringLead).unwrap();
    world.hours(2);
    world.is_at(0, 5.0, Status::Running);
    // Of an older plan.
    let seen = world.live.clone();
    let end = ledger::end_plan(&seen, &world.name, world.now).unwrap();
    world.take(&end).unwrap();
    let document = Json::parse(&plan.to_string()).unwrap();
    world
        .make(|live, name, now| ledger::set_plan(live, name, &document, now))
        .unwrap();
    world.start().unwrap();
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.hours(3);
    world.is_at(0, 5.0, Status::Running);
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.approve("a", "two", Role::EngineeringLead).unwrap();
    world.hours(1);
    world.is_at(1, 25.0, Status::Running);
}

#[test]
fn an_approval_that_runs_out_before_the_announced_step_calls_it_off() {
    let mut world = World::begun(&four(json!({"stages": [
        {"id": "a", "percentage": 5, "soak": {"min_hours": 2}, "approval": {"roles": ["release_manager"], "lifetime_hours": 1}},
        {"id": "b", "percentage": 25},
    ]})));
    world.evidence = Ok(well());
    world.minutes(75);
    world.approve("a", "one", Role::ReleaseManager).unwrap();
    world.minutes(50);
    assert_eq!(world.told("b at 25 % in 30 min"), 1);
    world.minutes(40);
    assert_eq!(
        world.told("what was announced is called off: b at 25 % waits for approval"),
        1
    );
    world.is_at(0, 5.0, Status::Running);
}

#[test]
fn two_people_agree_to_everybody_however_it_is_reached() {
    let stages = json!([{"id": "all", "percentage": 100}]);
    let mut world = World::new(&four(json!({"stages": stages})));
    let rule = Json::parse(r#"{"policy": {"approvals": {"full_rollout": true}}}"#).unwrap();
    let mut document = world.live.state.document.clone();
    document.merge(&rule);
    let adopted = ledger::adopt(&world.live, &document);
    world.take(&adopted).unwrap();
    let seen = world.seen();
    let outcome = ledger::start_plan(&world.live, &world.name, &seen, Baseline::default(), NOW);
    assert_eq!(outcome.unwrap().held, Some(ledger::Held::FullRollout));
}

#[test]
fn a_plan_that_ends_below_everybody_is_complete_there() {
    let stages = json!([{"id": "a", "percentage": 5, "soak": {"min_hours": 2}}, {"id": "b", "percentage": 20}]);
    let mut world = World::begun(&four(json!({"stages": stages})));
    world.evidence = Ok(well());
    world.hours(6);
    world.is_at(1, 20.0, Status::Complete);
    world.hours(3);
    assert_eq!(world.told("the plan is complete at 20 %"), 1);
    // Asking for a decision does not change what it is, or why.
    let why = world.run().why.clone();
    world.evaluate();
    assert_eq!(world.run().why, why);
}

// Everything at once.

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
