//! The circuit breaker: closed, open, half open (seed 003, "Kill Switch").

use super::document::Autonomy;
use super::machine::{Look, Order, Step, enter, stop_soaking};
use super::run::{Circuit, Status};
use crate::core::ids::Percentage;

/// The breaker's next move, if it has one. While something else holds the release it only takes it away.
pub(super) fn breaker(look: &Look<'_>, halted: bool) -> Option<Step> {
    let Look {
        plan,
        run,
        seen,
        now,
        ..
    } = *look;
    let breaker = plan.breaker.as_ref()?;
    let check = seen.checks.get(breaker.check.as_str());
    let failures = check.map_or(0, |check| check.failures);
    let mut step = look.step(run.clone());
    let open = |from| Circuit::Open { since: now, from };
    let lower = Order::Lower {
        to: Percentage::ZERO,
        stage: None,
    };
    let may_raise = !halted && !run.held && !seen.killed && seen.error.is_none();
    let offered = run.percentage > Percentage::ZERO
        || look.stage().is_some_and(|stage| stage.audience.is_some());
    match run.circuit {
        Circuit::Closed if failures >= breaker.consecutive && offered => {
            stop_soaking(&mut step.run, now);
            // What was paused for another reason does not go on by itself.
            step.run.held = run.status != Status::Running;
            step.run.status = Status::Paused;
            step.run.circuit = open(run.percentage);
            step.run.percentage = Percentage::ZERO;
            step.order = Some(lower);
            let why = format!("{} failed {failures} times in a row", breaker.check);
            step.alert = look.say(&format!(
                "the circuit breaker opened, nobody gets the release: {why}"
            ));
            step.run.why = format!("the circuit breaker is open: {why}");
        }
        Circuit::Open { since, from } => {
            let cooled = breaker
                .cool_down_ms
                .is_some_and(|ms| now.millis_since(since) >= ms);
            if !cooled || !may_raise || plan.policy.advance == Autonomy::Suggest {
                return None;
            }
            let to = breaker.probe.min(from);
            step.run.circuit = Circuit::HalfOpen { since: now, from };
            step.run.percentage = to;
            step.run.passed = check.map_or(0, |check| check.passes);
            step.order = Some(Order::Probe {
                to,
                stage: run.stage,
            });
            step.alert = look.say(&format!(
                "the circuit breaker is half open: {to} % try again"
            ));
            step.run.why = "the circuit breaker is half open".to_owned();
        }
        Circuit::HalfOpen { since, from } => {
            // Only what came after it was opened by half.
            let check = check.filter(|check| check.at > since)?;
            // Fewer in a row than then: one failed in between.
            let passes = check.passes.checked_sub(run.passed);
            if check.failures > 0 || passes.is_none() {
                step.run.circuit = open(from);
                step.run.percentage = Percentage::ZERO;
                step.order = Some(lower);
                step.alert = look.say("the circuit breaker opened again");
                step.run.why = "the circuit breaker is open".to_owned();
            } else if passes >= Some(breaker.consecutive) && may_raise {
                let place = run.stage;
                enter(&mut step.run, place, from, now);
                step.order = Some(Order::Enter {
                    stage: place,
                    to: from,
                });
                step.alert = look.say(&format!("the circuit breaker closed; back to {from} %"));
                step.run.why = "the circuit breaker closed".to_owned();
            } else {
                return None;
            }
        }
        Circuit::Closed => return None,
    }
    Some(step)
}
