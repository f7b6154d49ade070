//! A decision: what the evidence asks for, and as much of that as the policy lets be done.

use super::approval::{is_approved, people, wanted_approval};
use super::document::{Action, Autonomy, Plan, Stage};
use super::halt::fired;
use super::machine::{Look, Order, Step, enter, enter_next, stop_soaking, tell_once};
use super::run::{Circuit, Decision, Fired, Judged, Pending, Run, Status};
use crate::core::gate::{Verdict, judge};
use crate::core::ids::Percentage;

/// Whether a halt was not told of yet.
pub(super) fn is_news(run: &Run, halt: &Fired) -> bool {
    !run.told.contains(&told_of(halt))
}

const HALT: &str = "halt ";

fn told_of(halt: &Fired) -> String {
    format!("{HALT}{}", halt.halt)
}

/// A decision now, with all of its reasons.
pub fn decide(look: &Look<'_>) -> Step {
    let Look {
        plan,
        run,
        seen,
        now,
        ..
    } = *look;
    let stage = look.stage();
    let halts = match run.status.is_live() {
        true => fired(&plan.halts, seen, &run.baseline, now),
        false => Vec::new(),
    };
    let gates = stage.map(|stage| stage.gates.as_slice());
    let gates: Vec<Judged> = gates
        .unwrap_or_default()
        .iter()
        .map(|own| Judged {
            gate: own.id.clone(),
            judgement: judge(&own.gate, &seen.stage, now),
        })
        .collect();
    let verdict = together(&gates);
    let (asked, why) = asked(look, stage, &halts, &gates);
    let mut next = run.clone();
    next.decided = Some(now);
    let mut decision = Decision {
        at: now,
        stage: stage.map_or_else(String::new, |stage| stage.id.clone()),
        percentage: run.percentage,
        verdict,
        gates,
        halts,
        asked,
        done: Action::Hold,
        to: None,
        why,
        suggestion: None,
    };
    let mut step = Step {
        alert: None,
        order: None,
        decision: None,
        run: next,
    };
    let over = |pending: &mut Pending| pending.action != asked;
    if step.run.pending.take_if(over).is_some() {
        step.alert = look.say(&format!(
            "what was announced is called off: {}",
            decision.why
        ));
    }
    match asked {
        Action::Advance => advance(look, &mut step, &mut decision),
        Action::Hold => hold(look, &mut step, &decision),
        Action::Pause | Action::StepDown | Action::Rollback => {
            retreat(look, &mut step, &mut decision)
        }
    }
    if look.seen.error.is_none() {
        // What is over is news when it comes again.
        let firing: Vec<String> = decision.halts.iter().map(told_of).collect();
        let told = &mut step.run.told;
        told.retain(|told| !told.starts_with(HALT) || firing.contains(told));
    }
    for halt in &decision.halts {
        let told = told_of(halt);
        if !step.run.told.contains(&told) {
            step.run.told.push(told);
        }
    }
    if run.status.is_live() {
        step.run.why.clone_from(&decision.why);
    }
    step.decision = Some(decision);
    step
}

/// The worst of them; PASS only where there is nothing else.
fn together(gates: &[Judged]) -> Verdict {
    let rank = |verdict: Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Inconclusive => 1,
        Verdict::NoData => 2,
        Verdict::Error => 3,
        Verdict::Fail => 4,
    };
    let verdicts = gates.iter().map(|gate| gate.judgement.verdict);
    verdicts
        .max_by_key(|verdict| rank(*verdict))
        .unwrap_or(Verdict::Pass)
}

/// What the evidence asks for, and why.
fn asked(
    look: &Look<'_>,
    stage: Option<&Stage>,
    halts: &[Fired],
    gates: &[Judged],
) -> (Action, String) {
    let Look {
        plan,
        run,
        seen,
        now,
        ..
    } = *look;
    let hold = |why: String| (Action::Hold, why);
    if !run.status.is_live() {
        return hold(format!("the plan is {}", run.status.as_str()));
    }
    let Some(stage) = stage else {
        return hold("the plan has no such stage".to_owned());
    };
    // What could not be read says nothing of the gates.
    let gates = match seen.error {
        None => gates,
        Some(_) => &[],
    };
    let failing = |action: Action| {
        let (mut asked, mut why) = (action, Vec::new());
        for (own, judged) in stage.gates.iter().zip(gates) {
            let (least, verdict) = match judged.judgement.verdict {
                Verdict::Pass => continue,
                Verdict::Fail => (own.on_fail.max(plan.policy.on_inconclusive), "failed"),
                Verdict::Inconclusive => (plan.policy.on_inconclusive, "proves nothing yet"),
                Verdict::NoData => (plan.policy.on_no_data, "has no data"),
                Verdict::Error => (Action::Hold, "cannot be judged"),
            };
            // Whatever is wrong, it is no reason to go on.
            asked = asked.max(least.max(Action::Hold));
            why.push(format!("{} {verdict} ({})", own.id, judged.judgement.why));
        }
        (asked, why)
    };
    let halted = halts.iter().map(|halt| halt.action).max();
    if let Some(action) = halted {
        // A failed gate may ask for more than the halt.
        let (action, _) = failing(action);
        let why: Vec<&str> = halts.iter().map(|halt| halt.why.as_str()).collect();
        return (action, why.join("; "));
    }
    if let Some(error) = &seen.error {
        return hold(format!("the evidence cannot be read: {error}"));
    }
    let (action, why) = failing(Action::Advance);
    if run.status == Status::Paused && action != Action::Rollback {
        // Only a rollback goes on from here by itself; everything else is what it is paused for.
        return hold(run.why.clone());
    }
    if action != Action::Advance {
        return (action, why.join("; "));
    }
    if seen.draining {
        return hold("a drain is on its way".to_owned());
    }
    if run.circuit != Circuit::Closed {
        return hold("the circuit breaker is not closed".to_owned());
    }
    // The guard pauses for these; somebody may ask for a decision before it has.
    if seen.killed {
        return hold("a kill switch is on".to_owned());
    }
    if seen.percentage != run.percentage || seen.inactive {
        return hold("the release was changed by hand".to_owned());
    }
    let is_last = run.stage + 1 >= plan.stages.len();
    let least = plan.least_soak(run.stage);
    let soaked = run.soak_ms(now);
    if soaked < least {
        let what = if is_last { "watched" } else { "soaking" };
        return hold(format!("{what}, {} to go", lasting(least - soaked)));
    }
    if !is_last && plan.policy.freezes.iter().any(|freeze| freeze.holds(now)) {
        return hold("nothing is advanced during a freeze".to_owned());
    }
    (Action::Advance, "every gate passes".to_owned())
}

/// People are told once of each kind of reason that holds a stage longer than its soak, and of a failure at once.
fn hold(look: &Look<'_>, step: &mut Step, decision: &Decision) {
    let Look {
        plan,
        run,
        seen,
        now,
        ..
    } = *look;
    if look.stage().is_none() || run.status != Status::Running {
        return;
    }
    let is_over = run.soak_ms(now) >= plan.least_soak(run.stage);
    let kind = match (&seen.error, decision.verdict) {
        (Some(_), _) => Verdict::Error,
        (None, verdict) => verdict,
    };
    if kind == Verdict::Fail || (is_over && kind != Verdict::Pass) {
        let text = format!("held at {} %: {}", run.percentage, decision.why);
        tell_once(look, step, &format!("held {kind:?}"), &text);
    }
}

/// `2 h 5 min`.
pub(super) fn lasting(ms: u64) -> String {
    let minutes = ms.div_ceil(60_000);
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

/// To the next stage, or the end: as far as policy, approvals and announcements allow.
fn advance(look: &Look<'_>, step: &mut Step, decision: &mut Decision) {
    let Look { plan, run, now, .. } = *look;
    let (name, policy) = (look.release, &plan.policy);
    let Some(stage) = look.stage() else { return };
    let next = plan.stages.get(run.stage + 1);
    let goal = next.map_or_else(
        || "complete".to_owned(),
        |next| format!("{} at {} %", next.id, next.percentage),
    );
    if let Some(wanted) = wanted_approval(policy, stage, next, look.seen.two_people)
        && !is_approved(run, &wanted, now)
    {
        decision.why = format!("{}; {goal} waits for approval", decision.why);
        decision.suggestion = Some(format!(
            "POST /rollout/{name}/approve {{\"stage\":\"{}\"}}",
            stage.id
        ));
        let text = format!("{goal} waits for approval by {}", people(&wanted));
        if step.run.pending.take().is_some() {
            step.alert = look.say(&format!("what was announced is called off: {text}"));
        } else {
            tell_once(look, step, "approval", &text);
        }
        return;
    }
    if policy.advance == Autonomy::Suggest {
        decision.why = format!("{}; {goal} is suggested", decision.why);
        decision.suggestion = Some(format!("POST /rollout/{name}/promote"));
        tell_once(
            look,
            step,
            "advance",
            &format!("{goal} is suggested: every gate passes"),
        );
        return;
    }
    let pending = run.pending.as_ref();
    let announced = pending.filter(|pending| pending.action == Action::Advance);
    match announced {
        None if policy.lead_advance_ms > 0 => {
            let at = now.plus_millis(policy.lead_advance_ms);
            decision.why = format!("{}; {goal} is announced", decision.why);
            step.alert = look.say(&format!(
                "{goal} in {}, unless somebody pauses it",
                lasting(policy.lead_advance_ms)
            ));
            step.run.pending = Some(Pending {
                action: Action::Advance,
                at,
                why: decision.why.clone(),
            });
            return;
        }
        Some(pending) if pending.at > now => {
            let left = lasting(pending.at.millis_since(now));
            decision.why = format!("{}; {goal} in {left}", decision.why);
            return;
        }
        _ => {}
    }
    decision.done = Action::Advance;
    enter_next(look, step, decision, "every gate passes");
}

/// Something is wrong: as much is done as the policy allows, and the rest is suggested.
fn retreat(look: &Look<'_>, step: &mut Step, decision: &mut Decision) {
    let Look { plan, run, now, .. } = *look;
    let (name, policy) = (look.release, &plan.policy);
    let may = |action: Action| match action {
        Action::Rollback => policy.rollback == Autonomy::Act,
        Action::StepDown => policy.step_down == Autonomy::Act,
        _ => policy.pause == Autonomy::Act,
    };
    let asked = decision.asked;
    let mut done = match asked {
        action if may(action) => action,
        _ if may(Action::Pause) => Action::Pause,
        _ => Action::Hold,
    };
    if run.status == Status::Paused && done != Action::Rollback {
        done = Action::Hold;
    }
    let is_done = asked == Action::Pause && run.status == Status::Paused;
    if done != asked && !is_done {
        let call = match asked {
            Action::Rollback => "rollback".to_owned(),
            Action::StepDown => format!("rollback {{\"percentage\":{}}}", below(plan, run)),
            _ => "pause".to_owned(),
        };
        decision.suggestion = Some(format!("POST /rollout/{name}/{call}"));
    }
    let mut ahead = String::new();
    if done == Action::Rollback && policy.lead_rollback_ms > 0 {
        match &step.run.pending {
            Some(pending) if pending.at <= now => {}
            Some(pending) => {
                let left = lasting(pending.at.millis_since(now));
                decision.why = format!("{}; rolled back in {left}", decision.why);
                return;
            }
            None => {
                // People are told ahead; meanwhile it gets no worse.
                done = match run.status {
                    Status::Running if may(Action::Pause) => Action::Pause,
                    _ => Action::Hold,
                };
                ahead = format!(
                    ", rolled back in {} unless it is over by then",
                    lasting(policy.lead_rollback_ms)
                );
            }
        }
    }
    decision.done = done;
    let why = decision.why.clone();
    let (said, order) = match done {
        Action::Rollback => {
            stop_soaking(&mut step.run, now);
            step.run.pending = None;
            step.run.circuit = Circuit::Closed;
            step.run.status = Status::RolledBack;
            step.run.percentage = Percentage::ZERO;
            step.run.unverified = true;
            decision.to = Some(Percentage::ZERO);
            let over_ms = policy.drain_ms;
            ("rolled back".to_owned(), Some(Order::Rollback { over_ms }))
        }
        Action::StepDown => {
            let to = below(plan, run);
            let place = run.stage.saturating_sub(1);
            let stage = (place < run.stage).then_some(place);
            enter(&mut step.run, place, to, now);
            stop_soaking(&mut step.run, now);
            step.run.status = Status::Paused;
            decision.to = Some(to);
            (
                format!("down to {to} %, and paused"),
                Some(Order::Lower { to, stage }),
            )
        }
        Action::Pause => {
            stop_soaking(&mut step.run, now);
            step.run.status = Status::Paused;
            (
                format!("paused at {} %", run.percentage),
                Some(Order::Pause),
            )
        }
        Action::Hold | Action::Advance => (format!("held at {} %", run.percentage), None),
    };
    step.order = order;
    if !ahead.is_empty() {
        step.run.pending = Some(Pending {
            action: Action::Rollback,
            at: now.plus_millis(policy.lead_rollback_ms),
            why: why.clone(),
        });
    }
    let suggested = decision.suggestion.as_ref();
    let suggested = suggested.map_or_else(String::new, |call| format!("; suggested: {call}"));
    let news = order.is_some() || decision.halts.iter().any(|halt| is_news(run, halt));
    let text = format!("{said}{ahead}: {why}{suggested}");
    tell_once(look, step, &format!("{asked:?} {}", decision.stage), &text);
    if news || !ahead.is_empty() {
        step.alert = look.say(&text);
    }
}

/// The percentage of the stage before; 0 at the first.
fn below(plan: &Plan, run: &Run) -> Percentage {
    let before = run
        .stage
        .checked_sub(1)
        .and_then(|place| plan.stages.get(place));
    let percentage = before.map_or(Percentage::ZERO, |stage| stage.percentage);
    percentage.min(run.percentage)
}
