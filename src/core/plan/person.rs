//! What people do to a plan.

use super::approval::wanted_approval;
use super::decision::decide;
use super::document::{Action, Approval};
use super::machine::{Look, Order, Step, enter, enter_next, stop_soaking};
use super::run::{Baseline, Circuit, Decision, Given, Run, Status};
use crate::core::ids::Percentage;
use crate::core::role::Role;
use crate::core::time::Timestamp;

/// Begins a plan, or begins one anew that has ended.
///
/// # Errors
/// Why it cannot, in a sentence.
pub fn start(look: &Look<'_>, baseline: Baseline) -> Result<Step, String> {
    let Look {
        plan,
        run,
        seen,
        now,
        release,
    } = *look;
    if run.status.is_live() {
        return Err(format!(
            "the plan of {release} is {} already; POST /rollout/{release}/pause holds it",
            run.status.as_str()
        ));
    }
    // Who has the release keeps it: it begins at the last stage that is reached already.
    let place = plan.reached(seen.percentage);
    let stage = plan.stages.get(place).ok_or("the plan has no stages")?;
    let to = stage.percentage.max(seen.percentage);
    let mut step = look.step(run.clone());
    enter(&mut step.run, place, to, now);
    step.run.baseline = baseline;
    step.run.unverified = false;
    step.run.why = "begun".to_owned();
    step.order = Some(Order::Enter { stage: place, to });
    step.alert = look.say(&format!(
        "the plan {} begins: {} at {to} %",
        plan.name, stage.id
    ));
    Ok(step)
}

/// Holds a plan. Holding what is held changes nothing.
pub fn pause(run: &Run, why: &str, now: Timestamp) -> Run {
    let mut run = run.clone();
    if run.status == Status::Running {
        stop_soaking(&mut run, now);
        run.status = Status::Paused;
        run.why = why.to_owned();
    } else if run.status == Status::Paused && run.circuit != Circuit::Closed && !run.held {
        // The breaker would go on by itself.
        run.held = true;
        run.why = why.to_owned();
    }
    run
}

/// Goes on. What was changed by hand is where it goes on from, but not below the first stage, which would be left
/// without having been; an open breaker is reset. The stage's people get it back.
///
/// # Errors
/// Why it cannot, in a sentence.
pub fn resume(look: &Look<'_>) -> Result<Step, String> {
    let Look {
        plan,
        run,
        seen,
        now,
        release,
    } = *look;
    let mut step = look.step(run.clone());
    match run.status {
        Status::Paused => {}
        Status::Running => return Ok(step),
        other => {
            return Err(format!(
                "the plan of {release} is {}; POST /rollout/{release}/plan {{\"start\":true}} begins it anew",
                other.as_str()
            ));
        }
    }
    let at = match run.circuit {
        Circuit::Closed => seen.percentage,
        Circuit::Open { from, .. } | Circuit::HalfOpen { from, .. } => from,
    };
    let own = plan.stages.get(run.stage).map(|stage| stage.percentage);
    if own != Some(at) || run.circuit != Circuit::Closed {
        let place = plan.reached(at);
        let least = plan.stages.get(place).map(|stage| stage.percentage);
        let to = least.map_or(at, |least| least.max(at));
        enter(&mut step.run, place, to, now);
        step.order = Some(Order::Enter { stage: place, to });
    } else {
        step.order = Some(Order::Enter {
            stage: run.stage,
            to: at,
        });
        step.run.status = Status::Running;
        step.run.pending = None;
        step.run.since = Some(now);
        step.run.told.clear();
        // The evidence is asked within the hour, and not at once.
        step.run.decided = Some(now);
    }
    step.run.why = "resumed".to_owned();
    Ok(step)
}

/// To the next stage, now. Without `force` every gate has to pass and the soak to be over; the person's call
/// is the approval.
///
/// # Errors
/// Why it is not done, in a sentence.
pub fn promote(look: &Look<'_>, force: bool) -> Result<Step, String> {
    let Look { run, release, .. } = *look;
    if !run.status.is_live() {
        return Err(format!(
            "the plan of {release} is {}; POST /rollout/{release}/plan {{\"start\":true}} begins it",
            run.status.as_str()
        ));
    }
    let mut step = decide(look);
    let mut decision: Decision = match step.decision.take() {
        Some(decision) => decision,
        None => return Err("nothing can be decided of it".to_owned()),
    };
    if decision.asked != Action::Advance && !force {
        return Err(format!(
            "{release} is held: {}. \"force\": true advances nevertheless",
            decision.why
        ));
    }
    step.run = run.clone();
    step.run.decided = Some(look.now);
    decision.done = Action::Advance;
    decision.to = None;
    decision.suggestion = None;
    let why = if force {
        "forced by a person"
    } else {
        "promoted by a person"
    };
    decision.why = format!("{why}; {}", decision.why);
    enter_next(look, &mut step, &mut decision, why);
    step.decision = Some(decision);
    Ok(step)
}

/// Agrees that a stage is left.
///
/// # Errors
/// Why that does not count, in a sentence.
pub fn approve(look: &Look<'_>, stage: &str, by: &str, role: Role) -> Result<Step, String> {
    let Look {
        plan,
        run,
        now,
        release,
        ..
    } = *look;
    let own = look.stage().filter(|_| run.status.is_live());
    let own = own.filter(|own| own.id == stage).ok_or_else(|| {
        let at = look.stage().map_or("none", |own| own.id.as_str());
        format!(
            "{release} is not at the stage {stage}, but at {at}, {}",
            run.status.as_str()
        )
    })?;
    let wanted = wanted_approval(
        &plan.policy,
        own,
        plan.stages.get(run.stage + 1),
        look.seen.two_people,
    );
    let wanted: Approval = wanted.ok_or_else(|| format!("{stage} needs no approval"))?;
    if !wanted.roles.contains(&role) || role == Role::Bot {
        let roles: Vec<&str> = wanted.roles.iter().map(|role| role.as_str()).collect();
        return Err(format!("{stage} is approved by {}", roles.join(" or ")));
    }
    let mut step = look.step(run.clone());
    step.run.approvals.retain(|given| given.by != by);
    step.run.approvals.push(Given {
        by: by.to_owned(),
        role,
        at: now,
    });
    Ok(step)
}

/// Takes in that a person rolled back: to nobody, which ends the plan, or to less, which holds it.
pub fn rolled_back(look: &Look<'_>, to: Percentage) -> Run {
    let Look { plan, run, now, .. } = *look;
    let mut run = run.clone();
    if !run.status.is_live() {
        return run;
    }
    if to == Percentage::ZERO {
        run.status = Status::RolledBack;
        run.percentage = to;
        run.circuit = Circuit::Closed;
        run.unverified = true;
    } else {
        // A stage anew: neither its soak nor who agreed to leave it is left of another one.
        enter(&mut run, plan.reached(to), to, now);
        run.status = Status::Paused;
    }
    stop_soaking(&mut run, now);
    run.pending = None;
    run.held = false;
    run.why = format!("rolled back to {to} % by a person");
    run
}

/// What an emergency stop makes of a run.
pub fn stopped(run: &Run, now: Timestamp) -> Run {
    let mut run = run.clone();
    stop_soaking(&mut run, now);
    run.pending = None;
    run.held = false;
    run.status = Status::Stopped;
    run.circuit = Circuit::Closed;
    run.percentage = Percentage::ZERO;
    run.why = "stopped by an emergency stop".to_owned();
    run
}
