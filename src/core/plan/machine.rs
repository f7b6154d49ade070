//! The machine: from a plan, where it stands, what is seen and the time, to what is done. It is asked each minute
//! ([`guard`]) and whenever somebody wants to know ([`decide`]); asking twice, late or not at all changes nothing
//! but when something happens.
//!
//! What it holds to: one stage at a time, never before the soak, only on PASS; what makes things safer wins; a
//! stop is above all of it, because a stopped plan is not live.

use super::breaker::breaker;
use super::decision::{decide, is_news, lasting};
use super::document::{Action, Plan, Stage};
use super::halt::fired;
use super::run::{Circuit, Decision, Run, Seen, Status};
use crate::core::ids::Percentage;
use crate::core::time::Timestamp;

/// What the machine is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub plan: &'a Plan,
    pub run: &'a Run,
    pub seen: &'a Seen,
    pub now: Timestamp,
    /// For what people are told.
    pub release: &'a str,
}

/// What is to be done to the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// To a stage: its audience, and this percentage.
    Enter {
        stage: usize,
        to: Percentage,
    },
    /// The percentage stays, and nothing raises it.
    Pause,
    /// Down at once, and paused: to a stage's audience, or to nobody's.
    Lower {
        to: Percentage,
        stage: Option<usize>,
    },
    /// A few of a stage get it although it is paused.
    Probe {
        to: Percentage,
        stage: usize,
    },
    /// To nobody, over so long; then paused.
    Rollback {
        over_ms: u64,
    },
    Complete,
}

/// What comes of asking.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub run: Run,
    pub decision: Option<Decision>,
    pub order: Option<Order>,
    /// What people are told; it is kept before the order is carried out.
    pub alert: Option<String>,
}

impl Look<'_> {
    pub(super) fn stage(&self) -> Option<&Stage> {
        self.plan.stages.get(self.run.stage)
    }

    pub(super) fn step(&self, run: Run) -> Step {
        Step {
            run,
            decision: None,
            order: None,
            alert: None,
        }
    }

    pub(super) fn say(&self, text: &str) -> Option<String> {
        Some(format!("{}: {text}", self.release))
    }
}

/// What is due, if anything is.
pub fn guard(look: &Look<'_>) -> Option<Step> {
    let Look { run, seen, now, .. } = *look;
    if run.status == Status::RolledBack {
        return verified(look);
    }
    if !run.status.is_live() {
        return None;
    }
    if seen.killed && run.status == Status::Running {
        return Some(killed(look));
    }
    if !seen.draining && seen.percentage != run.percentage {
        return Some(edited_by_hand(look));
    }
    if seen.inactive && run.status == Status::Running {
        return Some(held_by_hand(look));
    }
    let halts = fired(&look.plan.halts, seen, &run.baseline, now);
    if let Some(step) = breaker(look, !halts.is_empty()) {
        return Some(step);
    }
    let news = halts.iter().any(|halt| is_news(run, halt));
    // The first minute in which the policy lets more be done than before counts too: then the halts are asked anew.
    let announced = run.pending.as_ref().is_some_and(|p| p.at <= now);
    let due = run
        .decided
        .is_none_or(|at| now.apart(at) >= look.plan.policy.decide_ms);
    if news || announced || due {
        let mut step = decide(look);
        if step.alert.is_none() {
            overdue(look, &mut step);
        }
        return Some(step);
    }
    let mut step = look.step(run.clone());
    overdue(look, &mut step);
    step.alert.is_some().then_some(step)
}

/// A kill switch is above the plan.
fn killed(look: &Look<'_>) -> Step {
    let mut step = look.step(look.run.clone());
    stop_soaking(&mut step.run, look.now);
    step.run.status = Status::Paused;
    step.run.why = "a kill switch is on".to_owned();
    step.order = Some(Order::Pause);
    step.alert = look.say("the plan is paused, because a kill switch is on");
    step
}

/// Somebody changed the percentage past the plan: it waits for a word about that.
fn edited_by_hand(look: &Look<'_>) -> Step {
    let Look { run, seen, now, .. } = *look;
    let mut step = look.step(run.clone());
    let why = format!(
        "changed by hand from {} % to {} %",
        run.percentage, seen.percentage
    );
    step.run.percentage = seen.percentage;
    // An open breaker does not go back to what it had, past what a person wants.
    if let Circuit::Open { from, .. } | Circuit::HalfOpen { from, .. } = &mut step.run.circuit {
        *from = seen.percentage;
        step.run.held = true;
    }
    if run.status == Status::Running || step.run.held != run.held {
        stop_soaking(&mut step.run, now);
        step.run.status = Status::Paused;
        // Whoever stopped it by hand meant more than a pause.
        step.order = (!seen.inactive).then_some(Order::Pause);
        step.alert = look.say(&format!(
            "the plan is paused, because the release was {why}; POST /rollout/{}/resume goes on from there",
            look.release
        ));
    }
    step.run.why = why;
    step
}

/// Somebody paused or ended the release past the plan: what makes things safer wins.
fn held_by_hand(look: &Look<'_>) -> Step {
    let mut step = look.step(look.run.clone());
    stop_soaking(&mut step.run, look.now);
    step.run.status = Status::Paused;
    step.run.why = "the release was paused or ended by hand".to_owned();
    step.alert = look.say(&format!(
        "the plan is paused, because the release was paused or ended by hand; \
         POST /rollout/{}/resume goes on",
        look.release
    ));
    step
}

/// People are told once that a stage takes longer than it should.
fn overdue(look: &Look<'_>, step: &mut Step) {
    let (Some(stage), now) = (look.stage(), look.now) else {
        return;
    };
    let Some(most) = stage.soak_max_ms else {
        return;
    };
    let same = step.run.status == Status::Running && step.run.stage == look.run.stage;
    if !same || step.run.soak_ms(now) <= most {
        return;
    }
    let why = &step.run.why;
    let text = format!("{} takes longer than {}: {why}", stage.id, lasting(most));
    tell_once(look, step, "overdue", &text);
}

/// Whether a rollback has arrived.
fn verified(look: &Look<'_>) -> Option<Step> {
    let Look { run, seen, .. } = *look;
    if !run.unverified || seen.draining {
        return None;
    }
    let mut step = look.step(run.clone());
    step.run.unverified = false;
    let said = match seen.percentage == Percentage::ZERO {
        true => "the rollback is verified: nobody gets the release".to_owned(),
        false => format!(
            "the rollback did not hold: the release is at {} %",
            seen.percentage
        ),
    };
    step.alert = look.say(&said);
    step.run.why = said;
    Some(step)
}

/// Into the next stage, or to the end.
pub(super) fn enter_next(look: &Look<'_>, step: &mut Step, decision: &mut Decision, why: &str) {
    let Look { plan, run, now, .. } = *look;
    let place = run.stage + 1;
    let Some(next) = plan.stages.get(place) else {
        step.run.status = Status::Complete;
        step.run.since = None;
        step.run.pending = None;
        step.order = Some(Order::Complete);
        step.alert = look.say(&format!(
            "the plan is complete at {} %: {why}",
            run.percentage
        ));
        return;
    };
    decision.to = Some(next.percentage);
    step.alert = look.say(&format!(
        "{} % → {} %, {}: {why}",
        run.percentage, next.percentage, next.id
    ));
    step.order = Some(Order::Enter {
        stage: place,
        to: next.percentage,
    });
    enter(&mut step.run, place, next.percentage, now);
}

/// What a run becomes at a stage.
pub(super) fn enter(run: &mut Run, stage: usize, percentage: Percentage, now: Timestamp) {
    run.status = Status::Running;
    run.stage = stage;
    run.entered = now;
    run.soaked_ms = 0;
    run.since = Some(now);
    run.percentage = percentage;
    run.pending = None;
    run.approvals.clear();
    run.told.clear();
    run.circuit = Circuit::Closed;
    run.held = false;
    run.passed = 0;
    run.decided = Some(now);
}

pub(super) fn tell_once(look: &Look<'_>, step: &mut Step, what: &str, text: &str) {
    let what = what.to_owned();
    if !step.run.told.contains(&what) {
        step.run.told.push(what);
        // What was called off says why already.
        if step.alert.is_none() {
            step.alert = look.say(text);
        }
    }
}

pub(super) fn stop_soaking(run: &mut Run, now: Timestamp) {
    run.soaked_ms = run.soak_ms(now);
    run.since = None;
    // A pause calls off what would go on, and not what would make things safer.
    run.pending
        .take_if(|pending| pending.action == Action::Advance);
}
