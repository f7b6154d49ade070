//! Plans: what people and the machine do becomes changes of the release and of the plan's run, in one row.

use crate::core::config::State as ReleaseState;
use crate::core::decode::Problem;
use crate::core::ids::{Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::plan::{
    Baseline, Look, Mode, Order, Plan, Run, Seen, Status, Step, guard, person,
};
use crate::core::role::Role;
use crate::core::table::Table;
use crate::core::time::Timestamp;

use super::event::{Actor, Change, Told};
use super::state::Planned;
use super::{Held, Live, Outcome, Rejection, release};

/// Names that one release may be told of, numbers and checks each.
const MAX_SIGNALS: usize = 64;

/// A plan being looked at.
pub struct Looked<'a> {
    pub plan: Plan,
    pub planned: &'a Planned,
    name: &'a ReleaseName,
    now: Timestamp,
}

impl Looked<'_> {
    pub fn look<'b>(&'b self, seen: &'b Seen) -> Look<'b> {
        Look {
            plan: &self.plan,
            run: &self.planned.run,
            seen,
            now: self.now,
            release: self.name.as_str(),
        }
    }
}

/// A release's plan.
///
/// # Errors
/// When there is none, or it cannot be read (a newer router wrote it).
pub fn looked<'a>(
    live: &'a Live,
    name: &'a ReleaseName,
    now: Timestamp,
) -> Result<Looked<'a>, Rejection> {
    live.release(name)?;
    let planned = live.state.plans.get(name).ok_or_else(|| {
        Rejection::Conflict(format!(
            "{name} has no plan; POST /rollout/{name}/plan {{\"preset\":\"caro\"}} gives it one"
        ))
    })?;
    Ok(Looked {
        plan: Plan::parse(&planned.document).map_err(Rejection::Invalid)?,
        planned,
        name,
        now,
    })
}

/// What is known without asking anybody: to be completed with the evidence.
pub fn seen(live: &Live, name: &ReleaseName) -> Seen {
    let config = live.config.as_ref();
    let release = config.and_then(|config| config.releases.get(name));
    let mut seen = Seen {
        percentage: release.map_or(Percentage::ZERO, |release| release.percentage),
        draining: live.state.drains.contains(name),
        killed: config.is_some_and(|config| config.kill_switches.canary),
        two_people: config.is_some_and(|config| config.policy.approve_full_rollout),
        inactive: release.is_some_and(|release| release.state != ReleaseState::Active),
        ..Seen::default()
    };
    if let Some(signals) = live.state.signals.get(name) {
        seen.checks = signals.checks.clone();
        for (name, told) in signals.numbers.iter() {
            let number = crate::core::gate::Number {
                value: told.value,
                at: told.at,
            };
            seen.stage.numbers.insert(name.clone(), number);
        }
    }
    seen
}

/// `POST …/plan`: gives a release a plan, not begun.
pub fn set_plan(
    live: &Live,
    name: &ReleaseName,
    document: &Json,
    now: Timestamp,
) -> Result<Outcome, Rejection> {
    let before = live.release(name)?;
    let plan = Plan::parse(document).map_err(Rejection::Invalid)?;
    if let Some(planned) = live.state.plans.get(name)
        && planned.run.status.is_live()
    {
        return Err(Rejection::Conflict(format!(
            "the plan of {name} is {}; DELETE /rollout/{name}/plan ends it where it stands",
            planned.run.status.as_str()
        )));
    }
    cohorts_are_there(live, &plan)?;
    let run = Run::draft(live.state.revision + 1, before.percentage, now);
    let summary = format!("{name}: plan {}, {} stages", plan.name, plan.stages.len());
    Ok(
        Outcome::new("plan.set", name.as_str(), summary).with(Change::Plan {
            release: name.clone(),
            document: document.clone(),
            run: Box::new(run),
        }),
    )
}

fn cohorts_are_there(live: &Live, plan: &Plan) -> Result<(), Rejection> {
    let config = live.config()?;
    let mut problems = Vec::new();
    for (place, stage) in plan.stages.iter().enumerate() {
        let cohorts = stage.audience.iter().flat_map(|audience| &audience.cohorts);
        for name in cohorts.filter(|name| !config.cohorts.contains(*name)) {
            problems.push(Problem {
                path: format!("/stages/{place}/audience/cohorts"),
                message: format!("names the cohort {name}; PUT /admin/cohorts/{name} makes it"),
            });
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Rejection::Invalid(problems)),
    }
}

/// `DELETE …/plan`. The release stays as it is.
pub fn end_plan(live: &Live, name: &ReleaseName, now: Timestamp) -> Result<Outcome, Rejection> {
    looked(live, name, now)?;
    let summary = format!("{name}: plan taken away");
    let mut outcome = Outcome::new("plan.delete", name.as_str(), summary);
    outcome.changes.push(Change::EndPlan(name.clone()));
    outcome.changes.extend(release::without_phase(live, name));
    Ok(outcome)
}

/// `POST …/plan {"start":true}`.
pub fn start_plan(
    live: &Live,
    name: &ReleaseName,
    seen: &Seen,
    baseline: Baseline,
    now: Timestamp,
) -> Result<Outcome, Rejection> {
    live.not_stopped(name)?;
    let looked = looked(live, name, now)?;
    cohorts_are_there(live, &looked.plan)?;
    let step = person::start(&looked.look(seen), baseline).map_err(Rejection::Conflict)?;
    let full = reaches_full(&step, seen);
    let mut outcome = stepped(live, &looked, step, seen, "plan.start").careful();
    outcome.held = full;
    Ok(outcome)
}

/// `POST …/promote`.
pub fn promote(
    live: &Live,
    name: &ReleaseName,
    seen: &Seen,
    force: bool,
    now: Timestamp,
) -> Result<Outcome, Rejection> {
    live.not_stopped(name)?;
    let looked = looked(live, name, now)?;
    let step = person::promote(&looked.look(seen), force).map_err(Rejection::Conflict)?;
    let full = reaches_full(&step, seen);
    let mut outcome = stepped(live, &looked, step, seen, "plan.promote").careful();
    outcome.held = full;
    Ok(outcome)
}

/// What holds up a person's step to 100 %, where two have to agree to that.
fn reaches_full(step: &Step, seen: &Seen) -> Option<Held> {
    let full = Percentage::FULL;
    let enters = matches!(step.order, Some(Order::Enter { to, .. }) if to == full);
    (enters && seen.two_people && seen.percentage != full).then_some(Held::FullRollout)
}

/// `POST …/approve` with a stage.
pub fn approve_stage(
    live: &Live,
    name: &ReleaseName,
    stage: &str,
    actor: &Actor,
    now: Timestamp,
) -> Result<Outcome, Rejection> {
    live.not_stopped(name)?;
    let looked = looked(live, name, now)?;
    let seen = seen(live, name);
    let role = actor.role.unwrap_or(Role::Viewer);
    let step = person::approve(&looked.look(&seen), stage, &actor.id, role);
    let step = step.map_err(Rejection::Conflict)?;
    let mut outcome = stepped(live, &looked, step, &seen, "plan.approve");
    outcome.summary = format!("{name}: leaving {stage} approved");
    outcome.alert = true;
    Ok(outcome)
}

/// `POST …/evaluate`: a decision now, with its reasons.
pub fn evaluate(
    live: &Live,
    name: &ReleaseName,
    seen: &Seen,
    now: Timestamp,
) -> Result<Outcome, Rejection> {
    let looked = looked(live, name, now)?;
    let step = crate::core::plan::decide(&looked.look(seen));
    Ok(stepped(live, &looked, step, seen, "plan.decide"))
}

/// What is due of a plan.
pub fn guarded(
    live: &Live,
    name: &ReleaseName,
    seen: &Seen,
    now: Timestamp,
) -> Result<Option<Outcome>, Rejection> {
    let looked = looked(live, name, now)?;
    let step = guard(&looked.look(seen));
    Ok(step.map(|step| stepped(live, &looked, step, seen, "plan.guard")))
}

/// Holds a plan that cannot go on, with the reason.
pub fn hold_plan(live: &Live, name: &ReleaseName, why: &str, now: Timestamp) -> Outcome {
    let mut outcome = Outcome::new("plan.hold", name.as_str(), format!("{name}: {why}")).alert();
    if let Some(planned) = live.state.plans.get(name) {
        let run = person::pause(&planned.run, why, now);
        outcome.changes.push(run_of(name, run));
    }
    outcome
}

fn run_of(name: &ReleaseName, run: Run) -> Change {
    Change::Run {
        release: name.clone(),
        run: Box::new(run),
    }
}

/// One row for everything that a step says.
fn stepped(
    live: &Live,
    looked: &Looked<'_>,
    step: Step,
    seen: &Seen,
    action: &'static str,
) -> Outcome {
    let name = looked.name;
    let said = step.decision.as_ref().map(|decision| decision.why.clone());
    let said = step
        .alert
        .clone()
        .or(said)
        .unwrap_or_else(|| step.run.why.clone());
    let summary = match said.starts_with(name.as_str()) {
        true => said,
        false => format!("{name}: {said}"),
    };
    // What takes something away from people is so named: it goes through however full everything is.
    let action = match step.order {
        Some(Order::Pause) => "release.pause",
        Some(Order::Lower { .. } | Order::Rollback { .. }) => "release.rollback",
        _ => action,
    };
    let mut outcome = Outcome::new(action, name.as_str(), summary);
    outcome.alert = step.alert.is_some();
    if let Some(decision) = step.decision {
        outcome.changes.push(Change::Decide {
            release: name.clone(),
            seen: Box::new(seen.clone()),
            decision: Box::new(decision),
        });
    }
    outcome.changes.push(run_of(name, step.run));
    if let Some(order) = step.order {
        ordered(live, looked, order, &mut outcome);
    }
    outcome
}

/// Who a stage lets in besides its share, as the release's fields.
fn audience(plan: &Plan, stage: usize) -> Vec<(&'static str, Json)> {
    let Some((cohorts, mode)) = plan.audience(stage) else {
        return Vec::new();
    };
    let names = cohorts.iter().map(|name| Json::from(name.as_str()));
    let mode = match mode {
        Mode::And => Json::from("and"),
        Mode::Or | Mode::Only => Json::Null,
    };
    vec![("cohorts", Json::Array(names.collect())), ("mode", mode)]
}

/// What an order makes of the release.
fn ordered(live: &Live, looked: &Looked<'_>, order: Order, outcome: &mut Outcome) {
    let name = looked.name;
    let mut merge = |entries: Vec<(&str, Json)>| {
        let patch = Json::object(entries);
        outcome.changes.push(release::merge(name, patch));
    };
    let state = |state: ReleaseState| ("state", Json::from(state.as_str()));
    let percentage = |to: Percentage| ("percentage", Json::from(to));
    let phase = |stage: Option<usize>| {
        let own = stage.and_then(|place| looked.plan.stages.get(place));
        (
            "phase",
            own.map_or(Json::Null, |stage| Json::from(stage.id.as_str())),
        )
    };
    match order {
        Order::Enter { stage, to } => {
            let mut entries = vec![percentage(to), state(ReleaseState::Active)];
            entries.extend(audience(&looked.plan, stage));
            entries.push(phase(Some(stage)));
            merge(entries);
            let own = looked.plan.stages.get(stage);
            let own = own.and_then(|stage| stage.audience.as_ref());
            if own.is_some_and(|audience| audience.allowlist) {
                let on = Json::nested(&["canary", "enabled"], Json::Bool(true));
                outcome.changes.push(Change::Merge(on));
            }
        }
        Order::Pause => merge(vec![state(ReleaseState::Paused)]),
        Order::Lower { to, stage } => {
            let mut entries = vec![percentage(to), state(ReleaseState::Paused)];
            match stage {
                Some(stage) => entries.extend(audience(&looked.plan, stage)),
                // Nobody means nobody: members neither.
                None => entries.push(("cohorts", Json::Array(Vec::new()))),
            }
            entries.push(phase(stage));
            merge(entries);
        }
        Order::Probe { to, stage } => {
            let mut entries = vec![percentage(to), state(ReleaseState::Paused)];
            // A few of the people that it is for; of everybody, members would not be few.
            if let Some((_, Mode::And)) = looked.plan.audience(stage) {
                entries.extend(audience(&looked.plan, stage));
            }
            merge(entries);
        }
        Order::Rollback { over_ms } => {
            merge(vec![("cohorts", Json::Array(Vec::new())), phase(None)]);
            let rolled = release::rollback(live, name, Percentage::ZERO, over_ms, looked.now);
            // It is refused only where there is nothing to roll back. What it makes of the plan is a person's
            // doing, and this is the plan's own.
            let changes = rolled.map(|o| o.changes).unwrap_or_default();
            let changes = changes.into_iter();
            let own = changes.filter(|change| !matches!(change, Change::Run { .. }));
            outcome.changes.extend(own);
        }
        Order::Complete => merge(vec![state(ReleaseState::Complete)]),
    }
    if live.state.drains.contains(name) && !matches!(order, Order::Rollback { .. }) {
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
}

/// What a person's call on the release means for its plan.
pub(super) fn followed(
    live: &Live,
    name: &ReleaseName,
    now: Timestamp,
    change: impl Fn(&Look<'_>) -> Run,
) -> Option<Change> {
    let looked = looked(live, name, now).ok()?;
    let seen = seen(live, name);
    let run = change(&looked.look(&seen));
    (run != looked.planned.run).then(|| run_of(name, run))
}

/// Goes on with a plan that is paused; `None`: there is none, or none that was begun.
pub(super) fn resumed(
    live: &Live,
    name: &ReleaseName,
    now: Timestamp,
) -> Result<Option<Outcome>, Rejection> {
    let begun = |planned: &Planned| planned.run.status != Status::Draft;
    if !live.state.plans.get(name).is_some_and(begun) {
        return Ok(None);
    }
    let looked = looked(live, name, now)?;
    let seen = seen(live, name);
    let step = person::resume(&looked.look(&seen)).map_err(Rejection::Conflict)?;
    Ok(Some(stepped(live, &looked, step, &seen, "release.resume")))
}

/// `POST …/signals`.
pub fn signal(
    live: &Live,
    name: &ReleaseName,
    numbers: Table<String, Told>,
    checks: Table<String, bool>,
) -> Result<Outcome, Rejection> {
    live.release(name)?;
    let known = live.state.signals.get(name).cloned().unwrap_or_default();
    let fresh = |known: bool| usize::from(!known);
    let new_numbers: usize = numbers
        .keys()
        .map(|n| fresh(known.numbers.contains(n)))
        .sum();
    let new_checks: usize = checks.keys().map(|n| fresh(known.checks.contains(n))).sum();
    if known.numbers.len() + new_numbers > MAX_SIGNALS
        || known.checks.len() + new_checks > MAX_SIGNALS
    {
        return Err(Rejection::Conflict(format!(
            "{name} is told of {MAX_SIGNALS} names at most; DELETE and PUT the release begin anew"
        )));
    }
    let mut said: Vec<String> = numbers
        .iter()
        .map(|(name, told)| format!("{name} {}", told.value))
        .collect();
    let ok = |passed: &bool| if *passed { "passed" } else { "failed" };
    said.extend(
        checks
            .iter()
            .map(|(name, passed)| format!("{name} {}", ok(passed))),
    );
    if said.is_empty() {
        return Err(Rejection::at(
            "",
            "tells nothing: give \"numbers\" or \"checks\"",
        ));
    }
    let summary = format!("{name}: {}", said.join(", "));
    Ok(
        Outcome::new("plan.signals", name.as_str(), summary).with(Change::Signals {
            release: name.clone(),
            numbers,
            checks,
        }),
    )
}
