//! The drill for good: a release is stopped and rolled back, and put back after each.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::places::{Places, Wanted};
use super::restore::Before;
use super::{Drill, Step, Times};
use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, carry_out, confirm, consequence};
use crate::cli::checklist::{Check, passes};
use crate::cli::commands::standing;
use crate::cli::failure::{Exit, Failure, failure_of};
use crate::cli::http::Router;
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{bold, items, note, text_of, warn};
use crate::cli::when;
use crate::core::gate::Verdict;

/// What came of it.
pub struct Outcome {
    /// What puts the release back, where that failed.
    pub commands: Vec<String>,
}

/// What is rehearsed: its name, its call, and whether that is a stop.
const REHEARSED: [(&str, &str, bool); 2] = [
    ("stop", "emergency-stop", true),
    ("rollback", "rollback", false),
];

/// Runs it. `None`: a dry step failed, so nothing was done.
///
/// # Errors
/// When the release cannot be put back by this token alone, or it was not meant.
pub fn run(context: &Context, drill: &Drill, steps: &mut Vec<Step>) -> Result<Option<Outcome>> {
    let release = drill.release.clone().unwrap_or_default();
    let rehearsed = |step: &&Step| {
        let name = step.check.check.as_str();
        let own = format!("rollback {release}");
        name == "stop" || name == "clear-stop" || name == own
    };
    if !passes(steps.iter().filter(rehearsed).map(|step| &step.check)) {
        note(warn("a dry step failed, so nothing is done for good"));
        return Ok(None);
    }
    let router = context.router()?;
    let (before, version) = found(router, &release)?;
    let urls = match drill.places.is_empty() {
        true => vec![router.base().to_owned()],
        false => drill.places.clone(),
    };
    let places = Places::find(urls, &release, &version)?;
    let reason = drill.reason.clone().unwrap_or_else(|| "drill".to_owned());
    let args = ChangeArgs {
        reason: Some(match reason.contains("drill") {
            true => reason,
            false => format!("drill: {reason}"),
        }),
        dry_run: false,
        yes: true,
    };
    if !drill.yes {
        confirm(&meaning(context, drill, &before, &places, &args)?)?;
    }
    let last_words = before.clone();
    let interrupt = Interrupt::listen(move || last_words.alarm())?;
    let limit = Duration::from_secs(drill.limit);
    for (name, call, stopped) in REHEARSED {
        note(format!("{name} of {release}, until no edge serves it …"));
        let path = format!("/rollout/{release}/{call}");
        let change = Change::new("POST", path, json!({}), Ask::Never, &args);
        let begun = Instant::now();
        let done = carry_out(context, &change).map(|_| Instant::now());
        let mut went = took(
            steps,
            name,
            begun,
            None,
            done.map_err(|e| failure_of(&e).message),
        );
        if went {
            let gone = places.wait(&Wanted::Gone { stopped }, limit, &interrupt);
            went = took(
                steps,
                &format!("{name} at the edge"),
                begun,
                Some(limit),
                gone,
            );
        }
        // Whatever came of it: it may have been done although nothing was answered.
        note(format!("putting {release} back …"));
        let begun = Instant::now();
        let back = before.restore(context, &args).map(|()| Instant::now());
        let back = back.map_err(|e| failure_of(&e).message);
        if !took(steps, &format!("back after the {name}"), begun, None, back) {
            before.alarm();
            return Ok(Some(Outcome {
                commands: before.commands(),
            }));
        }
        let percentage = before.percentage.as_f64().unwrap_or(0.0);
        if went {
            let back = places.wait(&Wanted::At(percentage), limit, &interrupt);
            went = took(
                steps,
                &format!("back at the edge after the {name}"),
                begun,
                Some(limit),
                back,
            );
        }
        if !went {
            break;
        }
    }
    Ok(Some(Outcome {
        commands: Vec::new(),
    }))
}

/// Takes a step that began then: when it was over, or why it was not. Whether it went well, and in time.
fn took(
    steps: &mut Vec<Step>,
    name: &str,
    begun: Instant,
    limit: Option<Duration>,
    end: Result<Instant, String>,
) -> bool {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (check, times) = match end {
        Ok(end) => {
            let time = end.saturating_duration_since(begun);
            let ok = limit.is_none_or(|limit| time <= limit);
            let of = limit.map(|limit| format!(" of at most {} ms", ms(limit)));
            let detail = format!("{} ms{}", ms(time), of.unwrap_or_default());
            (Check::of(name, ok, detail), Times::of(vec![ms(time)]))
        }
        Err(why) => (Check::of(name, false, why), None),
    };
    let ok = check.verdict == Verdict::Pass;
    steps.push(Step { check, times });
    ok
}

/// What the release is, and the version that it offers; an error where this token alone could not put it back.
fn found(router: &Router, release: &str) -> Result<(Before, String)> {
    let refused = |why: String, hint: &str| -> anyhow::Error {
        Failure::new(Exit::Refused, why).hint(hint).into()
    };
    let config = router.read("/admin/config")?;
    let own = config.pointer(&format!("/releases/{release}"));
    let own = own.ok_or_else(|| Failure::missing(format!("there is no release {release}")))?;
    let before = Before {
        release: release.to_owned(),
        percentage: own.get("percentage").cloned().unwrap_or(json!(0)),
        state: text_of(own, "state"),
    };
    if !matches!(before.state.as_str(), "active" | "paused") {
        let why = format!("{release} is {}: there is nothing to stop", before.state);
        return Err(refused(why, "drill with a release that is active"));
    }
    if standing::planned(router, release)?.is_some() {
        let why =
            format!("{release} has a plan, which a stop ends: it could not go on from where it is");
        return Err(refused(why, "drill with a release that has none"));
    }
    let ops = router.read("/ops/status.json")?;
    if let Some(stop) = items(&ops, "stops").first() {
        let why = format!("{} is stopped already", text_of(stop, "switch"));
        return Err(refused(why, "no drill beside a real stop"));
    }
    let drains = items(&ops, "drains").iter();
    if drains
        .map(|drain| text_of(drain, "release"))
        .any(|name| name == release)
    {
        let why = format!("{release} is being drained");
        return Err(refused(why, "drill when that is over"));
    }
    let full = before.percentage.as_f64() == Some(100.0);
    for (rule, applies) in [("clear_stop", true), ("full_rollout", full)] {
        let path = format!("/policy/approvals/{rule}");
        if applies && config.pointer(&path) == Some(&Value::Bool(true)) {
            let why =
                format!("by policy.approvals.{rule} it takes two people to put {release} back");
            return Err(refused(why, "the dry drill still works"));
        }
    }
    Ok((before, text_of(own, "version")))
}

/// What somebody agrees to.
fn meaning(
    context: &Context,
    drill: &Drill,
    before: &Before,
    places: &Places,
    args: &ChangeArgs,
) -> Result<Vec<String>> {
    let release = &before.release;
    let path = format!("/rollout/{release}/emergency-stop");
    let dry = ChangeArgs {
        dry_run: true,
        ..args.clone()
    };
    let stop = carry_out(
        context,
        &Change::new("POST", path, json!({}), Ask::Never, &dry),
    )?;
    let limit = when::span(drill.limit);
    let mut lines = vec![bold(&format!(
        "This really takes {release} away from everybody, twice:"
    ))];
    lines.extend(consequence(&stop.body));
    lines.extend([
        format!(
            "  its own path answers 410 and its features are off until no edge serves it, {limit} at most"
        ),
        format!(
            "  then it is put back: {} at {} %. Then the same with a rollback to 0 %",
            before.state, before.percentage
        ),
        format!("  asked: {}, by {} ids that get it now", places.urls.join(", "), places.ids.len()),
        "  alerts go out for each; Ctrl-C ends the drill and puts it back".to_owned(),
    ]);
    Ok(lines)
}
