//! A plan as anybody may see it.

use serde::Serialize;

use super::{Entered, Event, Kind};
use crate::core::gate::Verdict;
use crate::core::ids::Percentage;
use crate::core::plan::{Action, Circuit, Decision, Plan, Run, Status, calendar};
use crate::core::time::Timestamp;

/// Where a release's plan stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct PlanHistory {
    pub name: String,
    pub status: Status,
    /// Why it is so, in a few words.
    pub why: &'static str,
    /// The stage that it is at; `null` before it has begun.
    pub stage: Option<String>,
    pub stages: Vec<StageHistory>,
    /// Time at the stage, pauses not counted.
    pub soaked_seconds: u64,
    pub next_decision_at: Option<Timestamp>,
    /// What was announced.
    pub pending: Option<PendingStep>,
    /// When the plan is complete at the earliest; `null` where it does not run.
    pub complete_at: Option<Timestamp>,
}

/// A stage of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct StageHistory {
    pub id: String,
    pub percentage: Percentage,
    /// At least so long at it; of the last one, how long it is watched.
    pub soak_seconds: u64,
    /// When it was entered last.
    pub entered_at: Option<Timestamp>,
    pub left_at: Option<Timestamp>,
}

/// Where the percentage goes, unless somebody steps in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct PendingStep {
    pub percentage: Percentage,
    pub at: Timestamp,
}

/// `events`: the release's own, oldest first.
pub fn plan_history<'e>(
    plan: &Plan,
    run: &Run,
    last: Option<&Decision>,
    events: impl Iterator<Item = (Timestamp, &'e Event)>,
    now: Timestamp,
) -> PlanHistory {
    let begun = run.status != Status::Draft;
    let at = plan.stages.get(run.stage).filter(|_| begun);
    let mut stages: Vec<StageHistory> = (0..)
        .zip(&plan.stages)
        .map(|(place, stage)| StageHistory {
            id: stage.id.clone(),
            percentage: stage.percentage,
            soak_seconds: plan.least_soak(place) / 1000,
            entered_at: None,
            left_at: None,
        })
        .collect();
    for (at, event) in events {
        pass(&mut stages, run.plan, at, event);
    }
    let pending = run.pending.as_ref().map(|pending| PendingStep {
        percentage: match pending.action {
            Action::Advance => plan
                .stages
                .get(run.stage + 1)
                .map_or(run.percentage, |next| next.percentage),
            _ => Percentage::ZERO,
        },
        at: pending.at,
    });
    let (_, complete) = calendar(plan, run, now);
    PlanHistory {
        name: plan.name.clone(),
        status: run.status,
        why: why(plan, run, last, now),
        stage: at.map(|stage| stage.id.clone()),
        stages,
        soaked_seconds: run.soak_ms(now) / 1000,
        next_decision_at: run.next_decision(plan, now),
        pending,
        complete_at: complete.filter(|_| run.status == Status::Running),
    }
}

/// Takes in when stages were entered and left.
fn pass(stages: &mut [StageHistory], plan: u64, at: Timestamp, event: &Event) {
    let entered = event.entered.as_ref();
    let own = entered.filter(|entered| entered.plan == plan);
    let ends = matches!(
        event.event,
        Kind::Completed | Kind::RolledBack | Kind::Stopped | Kind::Ended
    );
    if own.is_none() && !ends {
        return;
    }
    for stage in stages {
        if stage.entered_at.is_some() {
            stage.left_at = stage.left_at.or(Some(at));
        }
        if own.is_some_and(|Entered { stage: id, .. }| *id == stage.id) {
            stage.entered_at = Some(at);
            stage.left_at = None;
        }
    }
}

/// In words that say nothing of what people wrote.
fn why(plan: &Plan, run: &Run, last: Option<&Decision>, now: Timestamp) -> &'static str {
    match run.status {
        Status::Draft => "not begun",
        Status::Stopped => "stopped",
        Status::Complete => "complete",
        Status::RolledBack => "rolled back",
        Status::Paused => match run.circuit {
            Circuit::Closed => "paused",
            Circuit::Open { .. } => "taken back after failed checks",
            Circuit::HalfOpen { .. } => "tried with few after failed checks",
        },
        Status::Running if run.pending.is_some() => "the next step is announced",
        Status::Running if run.soak_ms(now) < plan.least_soak(run.stage) => {
            match run.stage + 1 < plan.stages.len() {
                true => "soaking",
                false => "watched",
            }
        }
        Status::Running => {
            let stage = plan.stages.get(run.stage);
            let of_stage = |last: &&Decision| stage.is_some_and(|stage| stage.id == last.stage);
            match last.filter(of_stage).map(|last| last.verdict) {
                None => "waits for a decision",
                Some(Verdict::Pass) => "every gate passes",
                Some(Verdict::Fail) => "a gate failed",
                Some(Verdict::Inconclusive) => "waits for more evidence",
                Some(Verdict::NoData) => "waits for evidence",
                Some(Verdict::Error) => "the evidence cannot be read",
            }
        }
    }
}
