//! `GET /rollout/{release}/evidence`: what was counted of a release, in parts of a span.

use crate::api::ports::Store;
use crate::api::reply::Reply;
use crate::api::request::{Request, query_value};
use crate::auth::permission::Call;
use crate::core::evidence::series::{Bar, By, Chart, begin, groups, percent};
use crate::core::evidence::{platform, share};
use crate::core::ids::{CohortName, ReleaseName};
use crate::core::ledger::Rejection;
use crate::core::time::Timestamp;
use crate::wire::evidence::EvidenceLook;
use crate::wire::problem::ProblemType;

use super::ledger::Ledger;
use super::query::number;
use super::route::{Found, Target, find};
use super::write::snapshot;
use super::{Environment, Refusal, answer, authenticate};

/// The span in seconds: five minutes to a week, a day if it is not said.
const SECONDS: (u64, u64, u64) = (300, 604_800, 86_400);

/// Its parts.
const POINTS: (u64, u64, u64) = (1, 48, 24);

/// A chart as it was asked for, and what was answered.
#[derive(Debug, Clone)]
pub struct Charted {
    pub chart: Chart,
    /// What was counted, or why that cannot be said.
    pub answer: Result<Vec<Bar>, String>,
}

/// What a request asks of the counters.
fn chart(request: &impl Request, name: &ReleaseName, now: Timestamp) -> Result<Chart, Refusal> {
    let bad = |detail: String| Refusal::new(ProblemType::BadQuery, detail);
    let within = |key: &str, (least, most, usual): (u64, u64, u64)| {
        let value = number(request, key)?.unwrap_or(usual);
        let value = u32::try_from(value).ok();
        let value = value.filter(|value| (least..=most).contains(&u64::from(*value)));
        value.ok_or_else(|| bad(format!("?{key} is {least} to {most}.")))
    };
    let by = match query_value(request, "by").as_deref() {
        None | Some("arm") => By::Arm,
        Some("platform") => By::Platform,
        Some("cohort") => By::Cohort,
        Some(_) => return Err(bad("?by is arm, platform or cohort.".to_owned())),
    };
    let (seconds, points) = (within("seconds", SECONDS)?, within("points", POINTS)?);
    let cohort = query_value(request, "cohort").map(|name| name.parse::<CohortName>());
    let cohort = cohort
        .transpose()
        .map_err(|e| bad(format!("?cohort {e}.")))?;
    let known = |name: &String| !name.is_empty() && platform(name, "") == name;
    let platform = query_value(request, "platform");
    if platform.as_ref().is_some_and(|name| !known(name)) {
        let detail = "?platform is a system (linux, macos, windows) or a platform (linux-amd64).";
        return Err(bad(detail.to_owned()));
    }
    let mut chart = Chart::new(name.as_str(), seconds, points, by, now);
    chart.cohort = cohort.map(|name| name.to_string());
    chart.platform = platform;
    Ok(chart)
}

/// What to ask the counters for a call, if it needs that.
pub fn wanted_chart<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    environment: &Environment,
) -> Option<Chart> {
    let found = find(request.method(), request.path());
    let Found::Call(call @ Call::ReadEvidence, Target::Release(name)) = found else {
        return None;
    };
    let (_, role) = authenticate(ledger, request, environment).ok()?;
    let config = ledger.live.config.as_ref()?;
    let asks = call.allows(role) && config.releases.contains(&name);
    asks.then(|| chart(request, &name, environment.now).ok())?
}

pub(super) fn evidence_look<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    name: &ReleaseName,
    environment: &Environment,
) -> Result<Reply, Refusal> {
    let live = &ledger.live;
    let config = live.config.as_ref().ok_or(Rejection::NoConfiguration)?;
    if !config.releases.contains(name) {
        return Err(Rejection::UnknownRelease(name.to_string()).into());
    }
    let asked = chart(request, name, environment.now)?;
    let charted = environment.chart.as_ref();
    // As it was asked: the clock has gone on since.
    let chart = charted.map_or(&asked, |charted| &charted.chart);
    let answered = charted.map_or(Err("nothing was asked"), |charted| {
        charted.answer.as_ref().map_err(String::as_str)
    });
    let body = EvidenceLook {
        release: name.as_str(),
        from: begin(chart.from),
        to: begin(chart.to()),
        step_seconds: chart.step * 60,
        by: chart.by,
        error: answered.err(),
        share: percent(share(&snapshot(live, &ledger.defaults), name.as_str())),
        groups: answered.map_or_else(|_| Vec::new(), |bars| groups(chart, bars)),
    };
    Ok(answer(200, live.state.revision, &body))
}
