//! A plan being played through the ledger, so that orders, drains and rows are the real ones.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use caro_edge::core::config::State as ReleaseState;
use caro_edge::core::gate::{Counts, Evidence};
use caro_edge::core::ids::{Percentage, ReleaseName};
use caro_edge::core::json::Json;
use caro_edge::core::ledger::event::{Actor, Row, Scope, Told};
use caro_edge::core::ledger::{self, Context, Live, Outcome, Rejection, SetRelease, State};
use caro_edge::core::plan::{Baseline, Plan, Run, Seen, Status};
use caro_edge::core::role::Role;
use caro_edge::core::table::Table;
use caro_edge::core::time::Timestamp;
use serde_json::{Value, json};

pub const NOW: Timestamp = Timestamp::from_millis(1_768_500_000_000);
pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
pub const NAME: &str = "v2";

pub fn percent(value: f64) -> Percentage {
    Percentage::from_thousandths((value * 1000.0) as u32).unwrap()
}

pub fn plan_of(document: &Value) -> Plan {
    Plan::parse(&Json::parse(&document.to_string()).unwrap())
        .unwrap_or_else(|problems| panic!("{problems:#?}\n{document}"))
}

/// A ledger with one release, its clock, and what is seen.
pub struct World {
    pub live: Live,
    pub now: Timestamp,
    pub name: ReleaseName,
    pub plan: Plan,
    pub evidence: Result<Evidence, String>,
    /// The state before each row, and the row.
    pub rows: Vec<(Live, Row)>,
    pub alerts: Vec<String>,
}

impl World {
    pub fn new(plan: &Value) -> Self {
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

    pub fn begun(plan: &Value) -> Self {
        let mut world = Self::new(plan);
        world.start().unwrap();
        world
    }

    pub fn take(&mut self, outcome: &Outcome) -> Result<bool, Rejection> {
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

    pub fn make(
        &mut self,
        call: impl FnOnce(&Live, &ReleaseName, Timestamp) -> Result<Outcome, Rejection>,
    ) -> Result<bool, Rejection> {
        let outcome = call(&self.live, &self.name, self.now)?;
        self.take(&outcome)
    }

    pub fn start(&mut self) -> Result<bool, Rejection> {
        let seen = self.seen();
        self.make(|live, name, now| ledger::start_plan(live, name, &seen, Baseline::default(), now))
    }

    pub fn seen(&self) -> Seen {
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
    pub fn guard(&mut self) -> bool {
        let seen = self.seen();
        let outcome = ledger::guarded(&self.live, &self.name, &seen, self.now).unwrap();
        outcome.is_some_and(|outcome| {
            self.take(&outcome).unwrap();
            true
        })
    }

    /// A guard each minute, and the drain's steps.
    pub fn minutes(&mut self, minutes: u64) {
        for _ in 0..minutes {
            self.now = self.now.plus_millis(MINUTE);
            self.drain();
            self.guard();
        }
    }

    pub fn hours(&mut self, hours: u64) {
        self.minutes(60 * hours);
    }

    pub fn drain(&mut self) {
        while let Some((_, Some(outcome))) = ledger::drain_step(&self.live, self.now) {
            self.take(&outcome).unwrap();
        }
    }

    pub fn run(&self) -> &Run {
        &self.live.state.plans.get(&self.name).unwrap().run
    }

    pub fn percentage(&self) -> Percentage {
        self.live
            .config
            .as_ref()
            .unwrap()
            .releases
            .get(&self.name)
            .unwrap()
            .percentage
    }

    pub fn cohorts(&self) -> Vec<String> {
        let config = self.live.config.as_ref().unwrap();
        let cohorts = &config.releases.get(&self.name).unwrap().cohorts;
        cohorts.iter().map(ToString::to_string).collect()
    }

    pub fn tell(&mut self, numbers: &[(&str, f64)], checks: &[(&str, bool)]) {
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

    pub fn health(&mut self, passed: bool, times: u64) {
        for _ in 0..times {
            self.tell(&[], &[("health", passed)]);
        }
    }

    pub fn approve(&mut self, stage: &str, who: &str, role: Role) -> Result<bool, Rejection> {
        let actor = Actor::new(who, who, Some(role));
        self.make(|live, name, now| ledger::approve_stage(live, name, stage, &actor, now))
    }

    pub fn pause(&mut self) -> Result<bool, Rejection> {
        self.make(ledger::pause)
    }

    pub fn resume(&mut self) -> Result<bool, Rejection> {
        self.make(ledger::resume)
    }

    pub fn rollback(&mut self, to: f64, over_ms: u64) -> Result<bool, Rejection> {
        self.make(|live, name, now| ledger::rollback(live, name, percent(to), over_ms, now))
    }

    pub fn stop(&mut self) {
        let scope = Scope::Release(self.name.clone());
        let outcome = ledger::stop(&self.live, &scope).unwrap();
        self.take(&outcome).unwrap();
    }

    pub fn clear_stop(&mut self) {
        let scope = Scope::Release(self.name.clone());
        let outcome = ledger::clear_stop(&self.live, &scope).unwrap();
        self.take(&outcome).unwrap();
    }

    pub fn set(
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

    pub fn kill(&mut self, on: bool) {
        let outcome = ledger::set_kill_switches(&self.live, &[("canary".to_owned(), on)]).unwrap();
        self.take(&outcome).unwrap();
    }

    pub fn promote(&mut self, force: bool) -> Result<bool, Rejection> {
        let seen = self.seen();
        self.make(|live, name, now| ledger::promote(live, name, &seen, force, now))
    }

    pub fn evaluate(&mut self) {
        let seen = self.seen();
        self.make(|live, name, now| ledger::evaluate(live, name, &seen, now))
            .unwrap();
    }

    pub fn is_at(&self, stage: usize, percentage: f64, status: Status) {
        let run = self.run();
        let found = (run.stage, self.percentage(), run.status);
        assert_eq!(found, (stage, percent(percentage), status), "{}", run.why);
    }

    pub fn told(&self, what: &str) -> usize {
        self.alerts
            .iter()
            .filter(|alert| alert.contains(what))
            .count()
    }
}

pub fn well() -> Evidence {
    counted(2000, 0)
}

/// Commands of which so many ended with an error.
pub fn counted(total: u64, bad: u64) -> Evidence {
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
pub fn four(more: Value) -> Value {
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

pub fn halts(action: &str) -> Value {
    json!([{"id": "p0", "when": {"number": "p0_open", "over": 0, "max_age_hours": 24}, "action": action}])
}

pub fn breaker() -> Value {
    json!({"check": "health", "consecutive": 3, "cool_down_minutes": 15, "probe_percentage": 0.5})
}
