//! `validate`: whether a release may go on from a cohort's stage (seed 003, "Pre-Expansion Checks").

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::standing::{self, Planned, Standing};
use crate::cli::Context;
use crate::cli::checklist::{self, Check, exit, passes, verdict};
use crate::cli::failure::{Exit, Failure};
use crate::cli::http::{Call, Router, succeeded};
use crate::cli::output::{Output, bold, dim, items, shown, text_of, warn};
use crate::cli::when;
use crate::core::gate::{Known, METRICS, Verdict};
use crate::core::plan::Status;

/// May the release go on from this cohort's stage?
///
/// Every gate of the stage, its soak, halts, breaker and approval are looked at; nothing is decided. It succeeds only if
/// all of them pass. JSON: `release`, `cohort`, `stage`, `decided_at`, `fresh` (decided now, and not the last decision),
/// `passes`, `checks` (`check`, `verdict`, `detail`), `not_asked`, `cohort_rates` (as in the evidence).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout validate --cohort friendly_gp\n  caro-rollout validate --cohort friendly_gp --release v1.1.0-beta --diff 0.002\n  caro-rollout validate --cohort beta --json | jq '.checks[] | select(.verdict != \"PASS\")'"
)]
pub struct Validate {
    /// A cohort, or a stage of the release's plan
    #[arg(long, value_name = "NAME")]
    cohort: String,
    /// The release; needed where several use the cohort
    #[arg(long)]
    release: Option<String>,
    /// The share that `caro-rollout diff` found to differ, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    diff: Option<f64>,
    /// The share that may
    #[arg(long, value_name = "SHARE", default_value = "0.005", value_parser = share)]
    tolerance: f64,
}

fn share(text: &str) -> Result<f64, Failure> {
    let share = text.parse::<f64>().ok();
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| {
        Failure::usage(format!("{text:?} is not a share")).hint("write 0.5 % as 0.005")
    })
}

/// What seed 003 wants looked at, and how gates that do are called.
const WANTED: [(&str, &[&str]); 5] = [
    ("error rate", &["error", "crash", "success"]),
    ("SLOs", &["slo", "latency"]),
    ("open issues", &["_open", "sev", "p0", "p1"]),
    ("feedback", &["feedback", "satisfaction"]),
    ("diff", &["diff"]),
];

impl Validate {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let found = standing::find(context, self.release.as_deref(), &self.cohort)?;
        let router = context.router()?;
        let mut checks = vec![self.cohort_check(router)?];
        let mut decided = None;
        match &found.planned {
            None => checks.push(Check::new(
                "plan",
                Verdict::NoData,
                format!(
                    "{0} has no plan, so nothing says when it may go on: caro-rollout plan set {0} canary",
                    found.release
                ),
            )),
            Some(planned) => decided = self.of_plan(router, &found.release, planned, &mut checks)?,
        }
        if let Some(diff) = self.diff {
            let limit = self.tolerance;
            let detail = format!("{diff} of requesters differ, at most {limit} may");
            checks.push(Check::of("diff", diff <= limit, detail));
        }
        let passes = passes(&checks);
        let not_asked = not_asked(&checks);
        let rates = self.cohort_rates(router, &found)?;
        let stage = found.planned.as_ref().map(|planned| &planned.look);
        let stage = stage.and_then(|look| look.pointer("/stage/id"));
        let answer = json!({
            "release": found.release,
            "cohort": self.cohort,
            "stage": stage,
            "decided_at": decided.as_ref().map(|decided| decided.decision.get("at")),
            "fresh": decided.as_ref().map(|decided| decided.fresh),
            "passes": passes,
            "checks": checks,
            "not_asked": not_asked,
            "cohort_rates": rates,
        });
        context.out.answer(&answer, |out| {
            out.line(bold(&format!("{}, from {} on", found.release, self.cohort)));
            if let Some(stale) = decided.as_ref().filter(|decided| !decided.fresh) {
                out.line(warn(&format!(
                    "this token may not evaluate, so this is the last decision, of {}",
                    when::time(&text_of(&stale.decision, "at"))
                )));
            }
            let no = "it may not go on";
            checklist::show(out, &checks, "it may go on", no);
            if !not_asked.is_empty() && found.planned.is_some() {
                let names = not_asked.join(", ");
                out.line(dim(&format!("the plan asks nothing here about: {names}")));
            }
            show_rates(out, &self.cohort, &rates);
        });
        Ok(exit(passes))
    }

    /// Whether the cohort itself is on. A stage of that name need not have one.
    fn cohort_check(&self, router: &Router) -> Result<Check> {
        let cohorts = router.read("/admin/cohorts")?;
        let mut list = items(&cohorts, "cohorts").iter();
        let cohort = list.find(|cohort| text_of(cohort, "name") == self.cohort);
        let is = |name: &str| cohort.and_then(|c| c.get(name)) == Some(&Value::Bool(true));
        Ok(match cohort {
            None => Check::of("cohort", true, "a stage, with no cohort of its own"),
            Some(_) if is("killed") => Check::of("cohort", false, "its kill switch is on"),
            Some(_) if !is("enabled") => Check::of("cohort", false, "it is disabled"),
            Some(cohort) => {
                let (members, percent) =
                    (text_of(cohort, "members"), text_of(cohort, "percentage"));
                let detail = format!("enabled, {members} members and {percent} % of requesters");
                Check::of("cohort", true, detail)
            }
        })
    }

    /// The checks that the plan makes. Gives the decision that they are from.
    fn of_plan(
        &self,
        router: &Router,
        release: &str,
        planned: &Planned,
        checks: &mut Vec<Check>,
    ) -> Result<Option<Decided>> {
        let Planned { look, plan } = planned;
        let status = text_of(look, "status");
        let live = status == Status::Running.as_str() || status == Status::Complete.as_str();
        let why = text_of(look, "why");
        checks.push(Check::of("plan", live, format!("{status}: {why}")));
        let (here, there) = (planned.place(), planned.place_of(&self.cohort));
        let at = here.and_then(|place| plan.stages.get(place));
        let at_text = at.map_or_else(|| "no stage".to_owned(), |stage| stage.id.clone());
        // What lets a cohort in from the outside has no stage: it goes on with the plan.
        let (begun, past) = match (here, there) {
            (Some(here), Some(there)) => (here >= there, here > there),
            _ => (true, false),
        };
        let detail = match (begun, past) {
            (false, _) => format!("the plan is at {at_text}, this comes later"),
            (_, true) => format!("left already: the plan is at {at_text}"),
            _ => format!("at {at_text}, {} %", text_of(look, "percentage")),
        };
        checks.push(Check::of("stage", begun, detail));
        let decided = decided(router, release, look)?;
        let decision = decided.as_ref().map(|decided| &decided.decision);
        // The gates of another stage say nothing about leaving this one.
        if begun && !past {
            checks.push(soak(look, planned));
            match decision {
                None => checks.push(Check::new(
                    "gates",
                    Verdict::NoData,
                    format!("nothing was decided yet: caro-rollout evaluate {release}"),
                )),
                Some(decision) => checks.extend(items(decision, "gates").iter().map(gate)),
            }
            if let Some(approval) = approval(release, planned, decision) {
                checks.push(approval);
            }
        }
        let fired = decision.map_or(&[][..], |decision| items(decision, "halts"));
        checks.extend(fired.iter().map(|halt| {
            let name = format!("halt {}", text_of(halt, "halt"));
            Check::of(name, false, text_of(halt, "why"))
        }));
        if fired.is_empty() && decision.is_some() {
            let detail = format!("none of {} fires", plan.halts.len());
            checks.push(Check::of("halts", true, detail));
        }
        if plan.breaker.is_some() {
            let state = look
                .pointer("/circuit/state")
                .map_or_else(String::new, shown);
            checks.push(Check::of("breaker", state == "closed", state));
        }
        Ok(decided)
    }

    /// What was counted of the cohort alone while it was at its stage: to be shown, since gates are about everybody who
    /// has the release.
    fn cohort_rates(&self, router: &Router, found: &Standing) -> Result<Value> {
        let at_stage = found.planned.as_ref().and_then(Planned::at_stage_s);
        let seconds = at_stage.unwrap_or(86_400);
        let path = format!(
            "/rollout/{}/evidence?seconds={}&points=1&by=cohort&cohort={}",
            found.release,
            seconds.clamp(300, 604_800),
            crate::client::address::escaped(&self.cohort)
        );
        let answer = router.call(&Call::get(&path))?;
        // A router that does not tell yet, or a stage's name that can be no cohort.
        if matches!(answer.status, 400 | 404) {
            return Ok(json!([]));
        }
        let look = succeeded(answer)?.json()?;
        let mut groups = items(&look, "groups").iter();
        let own = groups.find(|group| {
            text_of(group, "arm") == "canary" && text_of(group, "group") == self.cohort
        });
        Ok(json!(own.map_or(&[][..], |own| items(own, "rates"))))
    }
}

/// A decision, and whether it was made now.
struct Decided {
    decision: Value,
    fresh: bool,
}

/// What would be decided now; where this token may not ask that, what was decided last.
fn decided(router: &Router, release: &str, look: &Value) -> Result<Option<Decided>> {
    let path = format!("/rollout/{release}/evaluate?dry_run=1");
    let body = json!({});
    let answer = router.call(&Call::rehearsal(&path, &body))?;
    let fresh = answer.status != 403;
    let decision = match fresh {
        true => succeeded(answer)?.json()?.get("decision").cloned(),
        false => look.get("last").cloned(),
    };
    let decision = decision.filter(Value::is_object);
    Ok(decision.map(|decision| Decided { decision, fresh }))
}

fn soak(look: &Value, planned: &Planned) -> Check {
    let stage = look.get("stage").unwrap_or(&Value::Null);
    let seconds = |name: &str| stage.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (soaked, told) = (seconds("soaked_seconds"), seconds("soak_min_seconds"));
    // The last stage is watched, too, before the plan is complete.
    let place = planned.place().unwrap_or(0);
    let least = told.max(planned.plan.least_soak(place) / 1000);
    let verdict = match soaked >= least {
        true => Verdict::Pass,
        false => Verdict::Inconclusive,
    };
    let detail = format!("{} of {}", when::span(soaked), when::span(least));
    Check::new("soak", verdict, detail)
}

fn gate(gate: &Value) -> Check {
    let judged = verdict(gate.get("verdict").unwrap_or(&Value::Null));
    Check::new(text_of(gate, "gate"), judged, text_of(gate, "why"))
}

/// Whether who has to agree has done so; `None`: nobody has to, or it is not asked yet.
fn approval(release: &str, planned: &Planned, decision: Option<&Value>) -> Option<Check> {
    let stage = planned.plan.stages.get(planned.place()?)?;
    let given = items(&planned.look, "approvals").len() as u64;
    let command = format!("caro-rollout approve {release} --stage {}", stage.id);
    let suggestion = decision.map(|decision| text_of(decision, "suggestion"));
    let waits = suggestion.is_some_and(|said| said.contains("/approve"));
    let wanted = stage
        .approval
        .as_ref()
        .map(|approval| approval.count.max(1));
    let (verdict, detail) = match (waits, wanted) {
        (true, _) => (
            Verdict::Inconclusive,
            format!("nobody agreed yet: {command}"),
        ),
        (_, Some(wanted)) if given < wanted => {
            let detail = format!("{given} of {wanted} agreed: {command}");
            (Verdict::Inconclusive, detail)
        }
        (_, Some(wanted)) => (Verdict::Pass, format!("{given} of {wanted} agreed")),
        (false, None) => return None,
    };
    Some(Check::new("approval", verdict, detail))
}

/// What should be looked at and is not, since no gate of the stage asks for it.
fn not_asked(checks: &[Check]) -> Vec<&'static str> {
    let asked = |words: &[&str]| {
        let mut names = checks.iter().map(|check| check.check.as_str());
        names.any(|name| words.iter().any(|word| name.contains(word)))
    };
    let missing = WANTED.iter().filter(|(_, words)| !asked(words));
    missing.map(|(what, _)| *what).collect()
}

fn show_rates(out: &Output, cohort: &str, rates: &Value) {
    let rates = rates.as_array().map_or(&[][..], Vec::as_slice);
    for rate in rates {
        let name = text_of(rate, "metric");
        if Known::of(&METRICS, &name).is_none() {
            continue;
        }
        let part = |name| text_of(rate, name);
        let (good, low, high, total) = (part("rate"), part("low"), part("high"), part("total"));
        out.line(dim(&format!(
            "{cohort} alone: {name} {good} % well ({low} to {high}) of {total}"
        )));
    }
}
