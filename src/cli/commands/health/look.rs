//! One look at a release: what the router says of it, and what that means.

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::cli::commands::decision::short;
use crate::cli::commands::standing::{Planned, planned};
use crate::cli::http::{Call, Router, succeeded};
use crate::cli::output::{items, text_of};
use crate::client::address::escaped;
use crate::core::plan::{Halt, LatencyLimit, Rule};

/// Parts of the span that a trend is drawn from.
const POINTS: u64 = 30;

/// The shortest span that evidence is told of, in seconds.
const LEAST_S: u64 = 300;

/// From this part of its limit on a halt is near to firing.
const NEAR: f64 = 0.8;

/// What is watched.
pub struct Watched {
    pub release: String,
    pub cohort: Option<String>,
    /// The span of rates and trends, in seconds.
    pub window: u64,
    /// When the watching began.
    pub since: Timestamp,
}

/// What is seen at one time.
#[derive(Debug, Clone, Serialize)]
pub struct Look {
    /// RFC 3339, in UTC.
    pub at: String,
    pub release: String,
    pub cohort: Option<String>,
    /// The release's, at the edge.
    pub state: String,
    pub percentage: Value,
    pub stopped: bool,
    /// The plan's; `None`: it has none.
    pub status: Option<String>,
    pub stage: Option<Value>,
    pub why: Option<String>,
    pub circuit: Option<String>,
    /// The last one.
    pub decision: Option<Value>,
    pub halts: Vec<HaltLook>,
    /// As in the evidence: the release, or its cohort, and the stable version.
    pub groups: Vec<Value>,
    /// Why nothing was told of the evidence.
    pub error: Option<String>,
    /// Why there is nothing more to watch.
    pub ended: Option<String>,
}

/// A halt of the plan.
#[derive(Debug, Clone, Serialize)]
pub struct HaltLook {
    pub halt: String,
    pub state: Halting,
    /// In a sentence.
    pub why: String,
}

/// How near a halt is to firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Halting {
    Quiet,
    Near,
    Fired,
}

/// Looks once. `first` is what was seen first.
pub fn take(router: &Router, watched: &Watched, first: Option<&Look>) -> Result<Look> {
    let release = &watched.release;
    let rollout = router.get(&format!("/rollout/{release}"))?;
    let plan = planned(router, release)?;
    let by = match &watched.cohort {
        None => "by=arm".to_owned(),
        Some(cohort) => format!("by=cohort&cohort={}", escaped(cohort)),
    };
    let evidence = evidence(router, release, watched.window, POINTS, &by)?;
    let (groups, error) = match evidence {
        Ok(look) => (items(&look, "groups").to_vec(), said(&look, "error")),
        Err(why) => (Vec::new(), Some(why)),
    };
    let look = plan.as_ref().map(|plan| &plan.look);
    let decision = look.and_then(|look| look.get("last"));
    let decision = decision.filter(|decision| decision.is_object()).cloned();
    let status = look.map(|look| text_of(look, "status"));
    let halts = match &plan {
        None => Vec::new(),
        Some(plan) => halts(router, watched, plan, decision.as_ref())?,
    };
    let mut look = Look {
        at: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        release: release.clone(),
        cohort: watched.cohort.clone(),
        state: text_of(&rollout, "state"),
        percentage: rollout.get("percentage").cloned().unwrap_or_default(),
        stopped: rollout.get("stopped") == Some(&Value::Bool(true)),
        status,
        stage: look.and_then(|look| look.get("stage")).cloned(),
        why: look.and_then(|look| said(look, "why")),
        circuit: plan
            .as_ref()
            .filter(|plan| plan.plan.breaker.is_some())
            .and_then(|plan| said(plan.look.get("circuit")?, "state")),
        decision,
        halts,
        groups,
        error,
        ended: None,
    };
    look.ended = look.end(first);
    Ok(look)
}

fn said(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

/// Evidence of so long until now, or why it is not told.
fn evidence(
    router: &Router,
    release: &str,
    seconds: u64,
    points: u64,
    by: &str,
) -> Result<Result<Value, String>> {
    let path = format!("/rollout/{release}/evidence?seconds={seconds}&points={points}&{by}");
    let answer = router.call(&Call::get(&path))?;
    if answer.status == 404 {
        // Also what an older router answers, which does not know the call.
        return Ok(Err("this router does not tell".to_owned()));
    }
    Ok(Ok(succeeded(answer)?.json()?))
}

impl Look {
    /// Why the watching is over, if it is.
    fn end(&self, first: Option<&Self>) -> Option<String> {
        if self.stopped {
            return Some("it is stopped".to_owned());
        }
        let fired = self.halts.iter().find(|halt| halt.state == Halting::Fired);
        if let Some(fired) = fired {
            return Some(format!("the halt {} fired: {}", fired.halt, fired.why));
        }
        let why = self.why.as_deref().unwrap_or("-");
        match self.status.as_deref() {
            Some("stopped") => return Some(format!("its plan was stopped: {why}")),
            Some("rolled_back") => return Some(format!("it was rolled back: {why}")),
            _ => {}
        }
        if self.circuit.as_deref() == Some("open") {
            return Some(why.to_owned());
        }
        // Without a plan nothing else tells of a rollback.
        let (then, now) = (first?.percentage.as_f64()?, self.percentage.as_f64()?);
        let lowered = self.status.is_none() && now < then;
        lowered.then(|| format!("it was lowered from {then} % to {now} %"))
    }

    /// A group of the evidence.
    pub fn group(&self, arm: &str) -> Option<&Value> {
        let name = match arm {
            "canary" => self.cohort.as_deref().unwrap_or_default(),
            // The control is in no cohort.
            _ => "",
        };
        let mut groups = self.groups.iter();
        groups.find(|group| {
            text_of(group, "arm") == arm && said(group, "group").as_deref() == Some(name)
        })
    }
}

/// Each halt of the plan. Those that a window of evidence says something about are held against it.
fn halts(
    router: &Router,
    watched: &Watched,
    planned: &Planned,
    decision: Option<&Value>,
) -> Result<Vec<HaltLook>> {
    let running = text_of(&planned.look, "status") == "running";
    let at = decision.and_then(|decision| said(decision, "at"));
    let at: Option<Timestamp> = at.and_then(|at| at.parse().ok());
    // What fired before the watching began, and was resumed from, is over.
    let stands = !running || at.is_some_and(|at| at >= watched.since);
    let fired = decision.map_or(&[][..], |decision| items(decision, "halts"));
    let mut windows: Vec<(u64, Option<Value>)> = Vec::new();
    let mut looks = Vec::new();
    for halt in &planned.plan.halts {
        let own = fired.iter().find(|own| text_of(own, "halt") == halt.id);
        let (state, why) = match (own.filter(|_| stands), window(&halt.rule)) {
            (Some(own), _) => (Halting::Fired, text_of(own, "why")),
            (None, None) => (Halting::Quiet, "did not fire".to_owned()),
            (None, Some(seconds)) => {
                let seconds = since_stage(planned, seconds);
                if !windows.iter().any(|(known, _)| *known == seconds) {
                    let look = evidence(router, &watched.release, seconds, 1, "by=arm")?;
                    windows.push((seconds, look.ok()));
                }
                let known = windows.iter().find(|(known, _)| *known == seconds);
                let groups = known.and_then(|(_, look)| look.as_ref());
                let mut groups = groups.map_or(&[][..], |look| items(look, "groups")).iter();
                near(halt, groups.find(|group| text_of(group, "arm") == "canary"))
            }
        };
        looks.push(HaltLook {
            halt: halt.id.clone(),
            state,
            why,
        });
    }
    Ok(looks)
}

/// The seconds that a rule looks back, where what it looks at is told.
fn window(rule: &Rule) -> Option<u64> {
    match rule {
        Rule::Rate { window_ms, .. } => Some(window_ms / 1000),
        Rule::Quantile {
            limit: LatencyLimit::AtMostMs(_),
            window_ms,
            ..
        } => Some(window_ms / 1000),
        // They compare with what was before the plan, or with what is told by others.
        Rule::Baseline { .. }
        | Rule::Spike { .. }
        | Rule::Quantile { .. }
        | Rule::Number { .. }
        | Rule::Check { .. } => None,
    }
}

/// A window does not reach back into the stage before: there more or fewer had it.
fn since_stage(planned: &Planned, seconds: u64) -> u64 {
    let own = planned.at_stage_s().unwrap_or(seconds).min(seconds);
    // Whole minutes, so that looks in one minute ask the same.
    own.div_ceil(60).saturating_mul(60).max(LEAST_S)
}

/// How near a halt is, by what was counted of the release in its window.
fn near(halt: &Halt, group: Option<&Value>) -> (Halting, String) {
    let of = |list: &str, metric: &str| {
        let mut list = items(group?, list).iter();
        list.find(|own| text_of(own, "metric") == metric)
    };
    let number = |value: Option<&Value>, name: &str| value?.get(name)?.as_u64();
    match &halt.rule {
        Rule::Rate {
            metric,
            over,
            min_samples,
            ..
        } => {
            let own = of("rates", metric);
            let total = number(own, "total").unwrap_or(0);
            if total < *min_samples {
                return (Halting::Quiet, format!("{total} of {min_samples} samples"));
            }
            let wrong = total - number(own, "good").unwrap_or(0).min(total);
            let share = wrong as f64 / total.max(1) as f64;
            let is_near = share >= NEAR * over;
            let said = format!("{} % of at most {} %", percent(share), percent(*over));
            (
                if is_near {
                    Halting::Near
                } else {
                    Halting::Quiet
                },
                said,
            )
        }
        Rule::Quantile {
            metric,
            quantile,
            limit: LatencyLimit::AtMostMs(limit),
            min_samples,
            ..
        } => {
            let own = of("latencies", metric);
            let total = number(own, "total").unwrap_or(0);
            if total < *min_samples {
                return (Halting::Quiet, format!("{total} of {min_samples} samples"));
            }
            let name = format!("p{}_ms", (quantile * 100.0).round());
            if own.is_none_or(|own| own.get(&name).is_none()) {
                return (Halting::Quiet, "did not fire".to_owned());
            }
            match number(own, &name) {
                Some(ms) if ms <= u64::from(*limit) => {
                    (Halting::Quiet, format!("{ms} ms of at most {limit} ms"))
                }
                // It is above, and not by enough to be sure.
                Some(ms) => (Halting::Near, format!("{ms} ms of at most {limit} ms")),
                None => (
                    Halting::Near,
                    format!("above the last edge, of at most {limit} ms"),
                ),
            }
        }
        _ => (Halting::Quiet, "did not fire".to_owned()),
    }
}

fn percent(share: f64) -> String {
    short(share * 100.0)
}
