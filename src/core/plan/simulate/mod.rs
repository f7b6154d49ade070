//! Plays a whole plan against a scenario: through the ledger, so that orders, drains and audiences are the real ones,
//! with a clock that jumps and chance by seed. `scenario` says what happens, `traffic` what is known of it, `draw` is
//! the dice. Native only: the router itself never plays.
//!
//! The guard is asked whenever it could say something else than before: every five minutes, when new counts come,
//! and in each minute in which something was due, told or done.

mod configuration;
mod draw;
mod scenario;
mod timeline;
mod traffic;

use std::collections::BTreeMap;

use configuration::configuration;
pub use draw::Draw;
pub use scenario::{Incident, People, Rates, SCENARIOS, Scenario, scenario};
use timeline::kind_of;
pub use timeline::{Entry, Kind, Played};
use traffic::{Known, STEP_MINUTES, Tally};

use super::{Circuit, MINUTE_MS, Mode, Plan, Rule, Run, Seen, Status, guard};
use crate::core::gate::{Ask, Evidence, Number};
use crate::core::ids::{Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::ledger::event::{Actor, Scope, Told};
use crate::core::ledger::{self, Context, Live, Outcome, Rejection, SetRelease, State};
use crate::core::role::Role;
use crate::core::table::Table;
use crate::core::time::Timestamp;

const NAME: &str = "v1.1.0-beta";

/// 2026-01-15T09:00:00Z, a Thursday.
const BEGIN: Timestamp = Timestamp::from_millis(1_768_467_600_000);

/// After the plan has ended, or while nobody will ever do anything about it, no longer than this is played.
const QUIET_MINUTES: u64 = 2 * 24 * 60;

/// Plays a plan. The same plan, scenario and seed give the same timeline.
///
/// # Errors
/// Why the plan cannot begin.
pub fn simulate(document: &Json, scenario: &Scenario, seed: u64) -> Result<Played, Rejection> {
    let plan = Plan::parse(document).map_err(Rejection::Invalid)?;
    let mut game = Game::new(plan, scenario, seed)?;
    game.begin(document)?;
    let (mut minute, mut last) = (0, 0);
    while minute < scenario.days * 1440 && minute - last <= game.patience() {
        minute += 1;
        let entries = game.timeline.len();
        game.minute(minute)?;
        if game.timeline.len() > entries {
            last = minute;
        }
    }
    let hours = game.timeline.last().map_or(0.0, |entry| entry.hour);
    let run = game.run().clone();
    Ok(Played {
        timeline: game.timeline,
        run,
        hours,
    })
}

struct Game<'a> {
    plan: Plan,
    scenario: &'a Scenario,
    draw: Draw,
    live: Live,
    name: ReleaseName,
    now: Timestamp,
    /// Before there is a plan.
    none: Run,
    known: Known,
    /// The numbers that were told last, and the least age that a gate of the plan allows.
    told: Option<(Timestamp, BTreeMap<String, f64>)>,
    age_ms: u64,
    /// Whether a halt asks about latencies.
    slow: bool,
    /// Installs that are not whole yet.
    rest: f64,
    /// When the incident began, in minutes.
    incident: Option<u64>,
    /// The guard is asked in this minute.
    awake: bool,
    /// When people were asked to agree to the stage, and when they did.
    asked: Option<Timestamp>,
    agreed: Option<Timestamp>,
    paused: Option<Timestamp>,
    timeline: Vec<Entry>,
}

fn percentage(percent: f64) -> Percentage {
    let thousandths = (percent * 1000.0).round().clamp(0.0, 100_000.0) as u32;
    Percentage::from_thousandths(thousandths).unwrap_or(Percentage::ZERO)
}

impl<'a> Game<'a> {
    fn new(plan: Plan, scenario: &'a Scenario, seed: u64) -> Result<Self, Rejection> {
        let windows = plan.halts.iter().filter_map(|halt| match &halt.rule {
            Rule::Rate { window_ms, .. }
            | Rule::Baseline { window_ms, .. }
            | Rule::Spike { window_ms, .. }
            | Rule::Quantile { window_ms, .. } => Some(*window_ms),
            Rule::Number { .. } | Rule::Check { .. } => None,
        });
        let gates = plan.stages.iter().flat_map(|stage| &stage.gates);
        let ages = gates.filter_map(|own| match &own.gate.ask {
            Ask::Number { max_age_ms, .. } => Some(*max_age_ms),
            _ => None,
        });
        let is_slow = |rule: &Rule| matches!(rule, Rule::Quantile { .. });
        let name: Result<ReleaseName, _> = NAME.parse();
        Ok(Self {
            known: Known::new(windows),
            told: None,
            age_ms: ages.min().unwrap_or_default(),
            slow: plan.halts.iter().any(|halt| is_slow(&halt.rule)),
            name: name.map_err(|e| Rejection::at("", e.to_string()))?,
            plan,
            scenario,
            draw: Draw::new(seed),
            live: Live::new(State::default()),
            now: BEGIN,
            none: Run::draft(0, Percentage::ZERO, BEGIN),
            rest: 0.0,
            incident: None,
            awake: false,
            asked: None,
            agreed: None,
            paused: None,
            timeline: Vec::new(),
        })
    }

    fn begin(&mut self, document: &Json) -> Result<(), Rejection> {
        let config = configuration(&self.plan)?;
        self.take(&ledger::adopt(&self.live, &config), None)?;
        let plan = ledger::set_plan(&self.live, &self.name, document, self.now)?;
        self.take(&plan, None)?;
        let (scenario, week) = (self.scenario, 168.0);
        let installs = (scenario.installs_per_hour * week) as u64;
        let rates = (&scenario.control, &scenario.control);
        let before = Tally::drawn(&mut self.draw, installs, 0.0, rates, scenario).baseline();
        let seen = ledger::seen(&self.live, &self.name);
        let started = ledger::start_plan(&self.live, &self.name, &seen, before, self.now)?;
        self.take(&started, Some(Kind::Begin))?;
        self.tell()
    }

    fn run(&self) -> &Run {
        let planned = self.live.state.plans.get(&self.name);
        planned.map_or(&self.none, |planned| &planned.run)
    }

    fn hours(&self) -> f64 {
        self.now.millis_since(BEGIN) as f64 / 3_600_000.0
    }

    /// How many minutes without anything new are played.
    fn patience(&self) -> u64 {
        let people = &self.scenario.people;
        let hour = self.hours();
        let planned = [
            people.pause_at_hour,
            people.stop_at_hour,
            people.edit_at_hour,
        ];
        let planned = planned.into_iter().flatten().any(|at| at >= hour);
        let run = self.run();
        match run.status {
            Status::Running => u64::MAX,
            Status::Paused if people.resume_hours_after_pause.is_some() || planned => u64::MAX,
            _ => QUIET_MINUTES,
        }
    }

    fn minute(&mut self, minute: u64) -> Result<(), Rejection> {
        self.now = BEGIN.plus_millis(minute * MINUTE_MS);
        if minute.is_multiple_of(STEP_MINUTES) {
            self.traffic(minute);
            self.checks()?;
            self.awake = true;
        }
        if minute.is_multiple_of(60 * self.scenario.tell_hours.max(1)) {
            self.tell()?;
        }
        self.people()?;
        while let Some((_, Some(outcome))) = ledger::drain_step(&self.live, self.now) {
            self.take(&outcome, Some(Kind::Drain))?;
        }
        let run = self.run();
        let due = run.pending.as_ref().is_some_and(|p| p.at <= self.now);
        if due || run.unverified || self.awake {
            self.awake = false;
            self.guard()?;
        }
        Ok(())
    }

    /// The five minutes up to now.
    fn traffic(&mut self, minute: u64) {
        let step = minute / STEP_MINUTES;
        let scenario = self.scenario;
        let reached = self.percentage();
        let rates = match self.incident() {
            None => (&scenario.canary, &scenario.control),
            Some(incident) => (
                incident.canary.as_ref().unwrap_or(&scenario.canary),
                incident.control.as_ref().unwrap_or(&scenario.control),
            ),
        };
        self.rest += scenario.installs_per_hour * STEP_MINUTES as f64 / 60.0;
        let installs = self.rest.floor();
        self.rest -= installs;
        let share = self.share();
        let tally = Tally::drawn(&mut self.draw, installs as u64, share, rates, scenario);
        self.known.happened(step, tally);
        self.known
            .come(step, scenario.lag_minutes.div_ceil(STEP_MINUTES));
        let from = scenario
            .incident
            .as_ref()
            .and_then(|incident| incident.at_percentage);
        if from.is_some_and(|from| reached >= percentage(from)) {
            self.incident.get_or_insert(minute);
        }
    }

    fn incident(&self) -> Option<&'a Incident> {
        let incident = self.scenario.incident.as_ref()?;
        let began = self.incident.map(|minute| minute as f64 / 60.0);
        let from = incident.from_hour.or(began)?;
        (from..from + incident.hours)
            .contains(&self.hours())
            .then_some(incident)
    }

    fn percentage(&self) -> Percentage {
        let config = self.live.config.as_ref();
        let release = config.and_then(|config| config.releases.get(&self.name));
        release.map_or(Percentage::ZERO, |release| release.percentage)
    }

    /// The share of installs that really get the release: by its percentage, its cohorts and the allowlist.
    fn share(&self) -> f64 {
        let Some(config) = &self.live.config else {
            return 0.0;
        };
        let Some(release) = config.releases.get(&self.name) else {
            return 0.0;
        };
        let own = f64::from(release.percentage.thousandths()) / 100_000.0;
        let others = 1.0 - self.scenario.cohort_share;
        let members = 1.0 - libm::pow(others, release.cohorts.len() as f64);
        let stage = self.plan.stages.get(self.run().stage);
        let audience = stage.and_then(|stage| stage.audience.as_ref());
        let listed = match audience {
            Some(audience) if audience.allowlist => self.scenario.allowlist_share,
            _ => 0.0,
        };
        match audience.map(|audience| audience.mode) {
            Some(Mode::And) => own * members,
            _ => 1.0 - (1.0 - own) * (1.0 - members) * (1.0 - listed),
        }
    }

    fn tell(&mut self) -> Result<(), Rejection> {
        let mut numbers = self.scenario.numbers.clone();
        if let Some(incident) = self.incident() {
            numbers.extend(incident.numbers.clone());
        }
        // Every row costs time: the same again is told when half of the shortest age that a gate allows is over.
        let half = |(at, told): &(Timestamp, BTreeMap<String, f64>)| {
            *told == numbers && self.now.millis_since(*at) < self.age_ms / 2
        };
        if self.told.as_ref().is_some_and(half) {
            return Ok(());
        }
        self.told = Some((self.now, numbers.clone()));
        let mut table = Table::default();
        for (name, value) in numbers {
            let (at, source) = (self.now, "scenario".to_owned());
            table.insert(name, Told { value, at, source });
        }
        self.signal(table, Table::default())
    }

    fn checks(&mut self) -> Result<(), Rejection> {
        let mut checks = self.scenario.checks.clone();
        if let Some(incident) = self.incident() {
            checks.extend(incident.checks.clone());
        }
        // What no rule asks about makes only rows, and one more pass after another says nothing while all is well.
        let asks = |name: &str| {
            let breaker = self.plan.breaker.as_ref().map(|b| b.check.as_str());
            let mut halts = self.plan.halts.iter();
            breaker == Some(name)
                || halts
                    .any(|halt| matches!(&halt.rule, Rule::Check { name: own, .. } if own == name))
        };
        let signals = self.live.state.signals.get(&self.name);
        let known = |name: &str| signals.and_then(|signals| signals.checks.get(name));
        let is_closed = self.run().circuit == Circuit::Closed;
        let mut table = Table::default();
        for (name, passed) in checks {
            let again = known(&name).is_some_and(|check| check.passes > 0);
            if asks(&name) && !(passed && again && is_closed) {
                table.insert(name, passed);
            }
        }
        self.signal(Table::default(), table)
    }

    fn signal(
        &mut self,
        numbers: Table<String, Told>,
        checks: Table<String, bool>,
    ) -> Result<(), Rejection> {
        if numbers.is_empty() && checks.is_empty() {
            return Ok(());
        }
        let told = ledger::signal(&self.live, &self.name, numbers, checks)?;
        self.take(&told, None)
    }

    fn people(&mut self) -> Result<(), Rejection> {
        let people = &self.scenario.people;
        let hour = self.hours();
        let at = |wanted: Option<f64>| wanted.is_some_and(|at| (at - hour).abs() < 1.0 / 120.0);
        if at(people.stop_at_hour) {
            let stop = ledger::stop(&self.live, &Scope::Release(self.name.clone()))?;
            self.take(&stop, Some(Kind::Stop))?;
        }
        if at(people.pause_at_hour) {
            let pause = ledger::pause(&self.live, &self.name, self.now);
            self.done(pause, Kind::Pause)?;
        }
        if at(people.edit_at_hour) {
            let set = SetRelease {
                percentage: Some(percentage(people.edit_to)),
                ..SetRelease::default()
            };
            let edit = ledger::set_release(&self.live, &self.name, &set);
            self.done(edit, Kind::Edit)?;
        }
        let over = |since: Option<Timestamp>, hours: Option<f64>| {
            let ms = hours.map(|hours| (hours * 3_600_000.0) as u64);
            since
                .zip(ms)
                .is_some_and(|(since, ms)| self.now.millis_since(since) >= ms)
        };
        let run = self.run().clone();
        if over(self.paused, people.resume_hours_after_pause) && run.status == Status::Paused {
            self.paused = Some(self.now);
            let resume = ledger::resume(&self.live, &self.name, self.now);
            return self.done(resume, Kind::Resume);
        }
        let agree = over(self.asked, people.approve_hours_after_asked)
            || over(Some(run.entered), people.approve_hours_after_stage);
        if agree && self.agreed != Some(run.entered) && run.status.is_live() {
            self.agreed = Some(run.entered);
            self.approve(&run)?;
        }
        Ok(())
    }

    /// As many people as the stage asks for.
    fn approve(&mut self, run: &Run) -> Result<(), Rejection> {
        let Some(stage) = self.plan.stages.get(run.stage) else {
            return Ok(());
        };
        let own = stage.approval.as_ref();
        let count = own.map_or(1, |own| own.count.max(1));
        let role = own.and_then(|own| own.roles.first().copied());
        let (id, role) = (stage.id.clone(), role.unwrap_or(Role::ReleaseManager));
        for person in 1..=count {
            let actor = Actor::new(&format!("person-{person}"), "a person", Some(role));
            let given = ledger::approve_stage(&self.live, &self.name, &id, &actor, self.now);
            self.done(given, Kind::Approve)?;
        }
        Ok(())
    }

    /// What a person does; one who is refused leaves it.
    fn done(&mut self, outcome: Result<Outcome, Rejection>, kind: Kind) -> Result<(), Rejection> {
        match outcome {
            Ok(outcome) => self.take(&outcome, Some(kind)),
            Err(Rejection::Conflict(_)) => Ok(()),
            Err(rejection) => Err(rejection),
        }
    }

    /// What is seen now; `whole`: of the stage too, which only a decision asks about.
    fn seen(&self, run: &Run, whole: bool) -> Seen {
        let mut seen = ledger::seen(&self.live, &self.name);
        let share = f64::from(run.percentage.thousandths()) / 100_000.0;
        let numbers: Table<String, Number> = std::mem::take(&mut seen.stage.numbers);
        seen.stage = match whole {
            true => self.known.stage.evidence(share, self.scenario),
            false => Evidence::default(),
        };
        seen.stage.numbers = numbers;
        for (ms, (tally, _)) in &self.known.windows {
            seen.windows.insert(*ms, tally.window(share, self.slow));
        }
        seen
    }

    fn guard(&mut self) -> Result<(), Rejection> {
        let run = self.run();
        let look = super::Look {
            plan: &self.plan,
            run,
            seen: &self.seen(run, false),
            now: self.now,
            release: NAME,
        };
        // Whether anything is due does not depend on the stage's counts; what is done does.
        if guard(&look).is_none() {
            return Ok(());
        }
        let seen = self.seen(run, true);
        if let Some(outcome) = ledger::guarded(&self.live, &self.name, &seen, self.now)? {
            self.take(&outcome, None)?;
        }
        Ok(())
    }

    /// Carries something out, and notes it if it changed or told anything.
    fn take(&mut self, outcome: &Outcome, kind: Option<Kind>) -> Result<(), Rejection> {
        let context = Context {
            actor: Actor::ledger(),
            approved_by: None,
            now: self.now,
            reason: String::new(),
            floor: 0,
        };
        let Some(prepared) = self.live.prepare(outcome, &context)? else {
            return Ok(());
        };
        let (before, was) = (self.run().clone(), self.percentage());
        self.live = prepared.next;
        let (after, is) = (self.run().clone(), self.percentage());
        let entered = after.entered != before.entered;
        if entered {
            self.known
                .begin(self.now.millis_since(BEGIN) / (STEP_MINUTES * MINUTE_MS) + 1);
            self.asked = None;
        }
        if after.status == Status::Paused && before.status != Status::Paused {
            self.paused = Some(self.now);
        }
        if outcome.summary.contains("waits for approval") {
            self.asked.get_or_insert(self.now);
        }
        let changed = entered || is != was || after.status != before.status;
        // Of a drain its end is enough.
        if !(outcome.alert || changed && kind != Some(Kind::Drain)) {
            return Ok(());
        }
        self.awake = true;
        let is_begun = kind.is_some() || !self.timeline.is_empty();
        if !is_begun {
            return Ok(());
        }
        let kind = kind.unwrap_or_else(|| kind_of(&before, &after, is < was));
        let stage = self.plan.stages.get(after.stage);
        self.timeline.push(Entry {
            at: self.now,
            hour: self.hours(),
            kind,
            stage: stage.map_or_else(String::new, |stage| stage.id.clone()),
            percentage: is,
            status: after.status,
            text: outcome.summary.clone(),
        });
        Ok(())
    }
}
