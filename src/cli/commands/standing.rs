//! Which release is meant, and where it stands: for commands that are given a cohort.

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::http::{Call, Router, succeeded};
use crate::cli::output::{items, shown, text_of};
use crate::core::json::Json;
use crate::core::plan::Plan;

/// A release that was found, and its plan.
pub struct Standing {
    pub release: String,
    pub planned: Option<Planned>,
}

/// A release's plan: what the router says of it, and its document.
pub struct Planned {
    pub look: Value,
    pub plan: Plan,
}

impl Planned {
    /// The place of the stage that it stands at.
    pub fn place(&self) -> Option<usize> {
        let id = self.look.pointer("/stage/id")?.as_str()?;
        self.plan.stages.iter().position(|stage| stage.id == id)
    }

    /// For how long it has been at its stage, in seconds.
    pub fn at_stage_s(&self) -> Option<u64> {
        let entered: Timestamp = self
            .look
            .pointer("/stage/entered")?
            .as_str()?
            .parse()
            .ok()?;
        let own = Timestamp::now().as_second() - entered.as_second();
        Some(u64::try_from(own).unwrap_or(0))
    }

    /// The place of a cohort's stage: the first that lets it in, or that is named like it.
    pub fn place_of(&self, cohort: &str) -> Option<usize> {
        let lets_in = |stage: &crate::core::plan::Stage| {
            let audience = stage.audience.iter();
            let mut cohorts = audience.flat_map(|audience| &audience.cohorts);
            cohorts.any(|name| name.as_str() == cohort)
        };
        let stages = &self.plan.stages;
        let first = stages.iter().position(lets_in);
        first.or_else(|| stages.iter().position(|stage| stage.id == cohort))
    }

    fn names(&self) -> impl Iterator<Item = String> {
        let stages = self.plan.stages.iter();
        stages.flat_map(|stage| {
            let audience = stage.audience.iter();
            let cohorts = audience.flat_map(|audience| &audience.cohorts);
            cohorts
                .map(|name| name.as_str().to_owned())
                .chain([stage.id.clone()])
        })
    }
}

/// A release's plan; `None` if it has none.
///
/// # Errors
/// When it cannot be read.
pub fn planned(router: &Router, release: &str) -> Result<Option<Planned>> {
    router.need_token()?;
    let answer = router.call(&Call::get(&format!("/rollout/{release}/plan")))?;
    if answer.status == 409 {
        return Ok(None);
    }
    let look = succeeded(answer)?.json()?;
    let document = look.get("plan").map(Value::to_string).unwrap_or_default();
    let document = Json::parse(&document)
        .map_err(|problem| Failure::new(Exit::Unreachable, format!("the plan: {problem}")))?;
    let plan = Plan::parse(&document).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let message = format!("the plan of {release}: {}", problems.join("; "));
        Failure::new(Exit::No, message).hint("a newer router wrote it: use its command line")
    })?;
    Ok(Some(Planned { look, plan }))
}

/// The names of all releases, by `/status.json`.
pub fn names(status: &Value) -> Vec<String> {
    let releases = items(status, "releases").iter();
    releases.map(|release| text_of(release, "name")).collect()
}

/// A release by its name.
///
/// # Errors
/// When there is none.
pub fn named<'v>(status: &'v Value, name: &str) -> Result<&'v Value> {
    let mut releases = items(status, "releases").iter();
    let found = releases.find(|release| text_of(release, "name") == name);
    found.ok_or_else(|| {
        let hint = format!("there are: {}", names(status).join(", "));
        let failure = Failure::missing(format!("there is no release {name}"));
        failure.hint(hint).into()
    })
}

/// Finds the release that uses the cohort: the one that is named, else the only one.
///
/// # Errors
/// When there is no such release or cohort, or several releases use it.
pub fn find(context: &Context, release: Option<&str>, cohort: &str) -> Result<Standing> {
    let router = context.router()?;
    router.need_token()?;
    let status = router.get("/status.json")?;
    let named = match release {
        Some(name) => vec![text_of(named(&status, name)?, "name")],
        None => names(&status),
    };
    let cohorts = router.read("/admin/cohorts")?;
    let mut used: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for name in named {
        let of_release = items(&cohorts, "cohorts").iter().filter(|cohort| {
            let releases = items(cohort, "releases").iter();
            releases.map(shown).any(|release| release == name)
        });
        let of_release: Vec<String> = of_release.map(|cohort| text_of(cohort, "name")).collect();
        let planned = planned(router, &name)?;
        let of_plan = planned.iter().flat_map(Planned::names);
        let names: Vec<String> = of_release.into_iter().chain(of_plan).collect();
        let uses = names.iter().any(|name| name == cohort);
        used.extend(names);
        if uses {
            found.push(Standing {
                release: name,
                planned,
            });
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(standing), true) => Ok(standing),
        (Some(last), false) => {
            let mut names: Vec<String> = found.into_iter().map(|one| one.release).collect();
            names.push(last.release);
            Err(which(
                &format!("more than one release uses {cohort}"),
                &names,
            ))
        }
        (None, _) => {
            used.sort();
            used.dedup();
            let message = format!("no release and no stage of a plan uses the cohort {cohort}");
            let hint = match used.is_empty() {
                true => {
                    "none is used at all: `caro-rollout cohort list` has those there are".into()
                }
                false => format!("these are used: {}", used.join(", ")),
            };
            Err(Failure::missing(message).hint(hint).into())
        }
    }
}

fn which(message: &str, names: &[String]) -> anyhow::Error {
    let hint = format!("name one with --release: {}", names.join(", "));
    Failure::usage(message).hint(hint).into()
}
