//! Steering releases.

use crate::core::config::{Config, Release, State as ReleaseState};
use crate::core::ids::{CohortName, Percentage, ReleaseName, Version};
use crate::core::json::Json;
use crate::core::plan::{Look, person};
use crate::core::time::Timestamp;

use super::event::{Change, Drain};
use super::plan::{followed, resumed};
use super::{Held, Live, Outcome, Rejection, hold_stopped};

/// How far apart the steps of a drain are, in milliseconds.
const DRAIN_STEP_MS: u64 = 5_000;

/// What is to change about a release; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetRelease {
    pub version: Option<Version>,
    pub percentage: Option<Percentage>,
    pub state: Option<ReleaseState>,
    pub cohorts: Option<Vec<CohortName>>,
}

impl SetRelease {
    fn patch(&self) -> Json {
        let names = |names: &Vec<CohortName>| {
            let items = names.iter().map(|name| Json::from(name.as_str()));
            Json::Array(items.collect())
        };
        let fields = [
            (
                "version",
                self.version.as_ref().map(|v| Json::from(v.to_string())),
            ),
            ("percentage", self.percentage.map(Json::from)),
            ("state", self.state.map(|s| Json::from(s.as_str()))),
            ("cohorts", self.cohorts.as_ref().map(names)),
        ];
        let given = fields
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        Json::object(given)
    }

    /// `25 % → 50 %, paused`, as far as it says anything.
    fn summary(&self, name: &ReleaseName, before: Option<&Release>) -> String {
        let mut parts = Vec::new();
        if let Some(to) = self.percentage {
            match before {
                Some(before) => parts.push(format!("{} % → {to} %", before.percentage)),
                None => parts.push(format!("at {to} %")),
            }
        }
        if let Some(version) = &self.version {
            parts.push(format!("version {version}"));
        }
        if let Some(state) = self.state {
            parts.push(state.as_str().to_owned());
        }
        if self.cohorts.is_some() {
            parts.push("cohorts".to_owned());
        }
        format!("{name}: {}", parts.join(", "))
    }

    /// Whether somebody else has to agree first.
    fn held(&self, live: &Live, before: Option<&Release>) -> Option<Held> {
        let rule = live.config.as_ref()?.policy.approve_full_rollout;
        let full = |p: Percentage| p == Percentage::FULL;
        let reaches = self.percentage.is_some_and(full)
            && !before.is_some_and(|before| full(before.percentage));
        (rule && reaches).then_some(Held::FullRollout)
    }
}

pub(super) fn merge(name: &ReleaseName, patch: Json) -> Change {
    Change::Merge(Json::nested(&["releases", name.as_str()], patch))
}

/// Past its plan a release is at no stage of it.
pub(super) fn without_phase(live: &Live, name: &ReleaseName) -> Option<Change> {
    let path = ["releases", name.as_str(), "phase"];
    let phase = live.state.document.at(&path);
    phase.map(|_| Change::Merge(Json::nested(&path, Json::Null)))
}

/// `POST /rollout/{release}`.
pub fn set_release(
    live: &Live,
    name: &ReleaseName,
    set: &SetRelease,
) -> Result<Outcome, Rejection> {
    let before = live.release(name)?;
    live.not_stopped(name)?;
    let raises = set.percentage.is_some_and(|p| p > before.percentage);
    if raises && before.state == ReleaseState::Paused {
        return Err(Rejection::Conflict(format!(
            "{name} is paused at {} %; POST /rollout/{name}/resume first",
            before.percentage
        )));
    }
    let mut outcome = Outcome::new(
        "release.set",
        name.as_str(),
        set.summary(name, Some(before)),
    )
    .with(merge(name, set.patch()))
    .careful();
    if set.percentage.is_some() {
        outcome.changes.extend(without_phase(live, name));
    }
    if set.percentage.is_some() && live.state.drains.contains(name) {
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
    outcome.held = set.held(live, Some(before));
    Ok(outcome)
}

/// What `PUT /rollout/{release}` says.
#[derive(Debug, Clone, PartialEq)]
pub struct PutRelease {
    pub settings: SetRelease,
    /// The version's entry under `versions`: assets and excluded platforms.
    pub build: Option<Json>,
}

/// `PUT /rollout/{release}`: makes a release, or replaces its settings. Who is denied stays denied
/// and the buckets stay where they are.
pub fn put_release(
    live: &Live,
    name: &ReleaseName,
    put: &PutRelease,
) -> Result<Outcome, Rejection> {
    let config = live.config()?;
    live.not_stopped(name)?;
    if name.as_str() == "all" {
        return Err(Rejection::Conflict(
            "\"all\" means every release where releases are stopped; choose another name"
                .to_owned(),
        ));
    }
    let before = config.releases.get(name);
    let mut outcome = Outcome::new(
        "release.put",
        name.as_str(),
        put.settings.summary(name, before),
    )
    .careful();
    if let (Some(build), Some(version)) = (&put.build, &put.settings.version) {
        let path = ["versions", &version.to_string()];
        let given = live.state.document.at(&path);
        let mut build = build.clone();
        build.sort();
        if given.is_some_and(|given| *given != build) {
            return Err(Rejection::Conflict(format!(
                "version {version} has other assets already; a published version does not change: \
                 leave \"build\" out to use it as it is, or publish a new version"
            )));
        }
        let patch = Json::nested(&path, build);
        outcome.changes.push(Change::Merge(patch));
    }
    outcome.changes.push(merge(name, put.settings.patch()));
    outcome.changes.extend(without_phase(live, name));
    if live.state.drains.contains(name) {
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
    outcome.held = put.settings.held(live, before);
    Ok(outcome)
}

/// `DELETE /rollout/{release}`, with its own features.
pub fn delete_release(live: &Live, name: &ReleaseName) -> Result<Outcome, Rejection> {
    live.release(name)?;
    live.not_stopped(name)?;
    let mut outcome = Outcome::new("release.delete", name.as_str(), format!("{name}: deleted"))
        .with(merge(name, Json::Null))
        .careful();
    let features = ["features", name.as_str()];
    if live.state.document.at(&features).is_some() {
        let patch = Json::nested(&features, Json::Null);
        outcome.changes.push(Change::Merge(patch));
    }
    if live.state.drains.contains(name) {
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
    Ok(outcome)
}

/// `POST …/pause`: holds the percentage, whatever would raise it, and the plan.
pub fn pause(live: &Live, name: &ReleaseName, now: Timestamp) -> Result<Outcome, Rejection> {
    let mut outcome = move_to(
        live,
        name,
        "release.pause",
        ReleaseState::Active,
        ReleaseState::Paused,
    )?;
    let paused = |look: &Look<'_>| person::pause(look.run, "paused by a person", now);
    outcome.changes.extend(followed(live, name, now, paused));
    Ok(outcome)
}

/// `POST …/resume`, of the plan too.
pub fn resume(live: &Live, name: &ReleaseName, now: Timestamp) -> Result<Outcome, Rejection> {
    // The plan does not go on with a release that somebody ended.
    let own = move_to(
        live,
        name,
        "release.resume",
        ReleaseState::Paused,
        ReleaseState::Active,
    )?;
    let Some(mut outcome) = resumed(live, name, now)? else {
        return Ok(own);
    };
    let is_merge = |change: &Change| matches!(change, Change::Merge(_));
    if !outcome.changes.iter().any(is_merge) {
        outcome.changes.extend(own.changes);
    }
    Ok(outcome)
}

fn move_to(
    live: &Live,
    name: &ReleaseName,
    action: &'static str,
    from: ReleaseState,
    to: ReleaseState,
) -> Result<Outcome, Rejection> {
    let before = live.release(name)?;
    live.not_stopped(name)?;
    if before.state != from && before.state != to {
        return Err(Rejection::Conflict(format!(
            "{name} is {}, and only a release that is {} can become {}",
            before.state.as_str(),
            from.as_str(),
            to.as_str()
        )));
    }
    let set = SetRelease {
        state: Some(to),
        ..SetRelease::default()
    };
    let summary = format!("{name}: {} at {} %", to.as_str(), before.percentage);
    let mut outcome = Outcome::new(action, name.as_str(), summary).with(merge(name, set.patch()));
    if to == ReleaseState::Active && live.state.drains.contains(name) {
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
    Ok(outcome)
}

/// `POST …/rollback`: down to a percentage, at once or drained over `over_ms`; then paused.
pub fn rollback(
    live: &Live,
    name: &ReleaseName,
    to: Percentage,
    over_ms: u64,
    now: Timestamp,
) -> Result<Outcome, Rejection> {
    let before = live.release(name)?;
    live.not_stopped(name)?;
    let from = before.percentage;
    if to > from {
        return Err(Rejection::Conflict(format!(
            "{name} is at {from} %, and a rollback only goes down; POST /rollout/{name} raises"
        )));
    }
    let set = |percentage| SetRelease {
        percentage,
        state: Some(ReleaseState::Paused),
        ..SetRelease::default()
    };
    let drained = over_ms > 0 && to < from;
    let how = if drained {
        format!("rolled back {from} % → {to} % over {} s", over_ms / 1000)
    } else {
        format!("rolled back {from} % → {to} %")
    };
    let mut outcome =
        Outcome::new("release.rollback", name.as_str(), format!("{name}: {how}")).alert();
    if live.state.drains.contains(name) {
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
    if drained {
        outcome.changes.push(merge(name, set(None).patch()));
        outcome.changes.push(Change::StartDrain(Drain {
            release: name.clone(),
            from,
            to,
            start: now,
            end: now.plus_millis(over_ms),
        }));
    } else {
        outcome.changes.push(merge(name, set(Some(to)).patch()));
    }
    outcome.changes.extend(without_phase(live, name));
    let rolled_back = |look: &Look<'_>| person::rolled_back(look, to);
    outcome
        .changes
        .extend(followed(live, name, now, rolled_back));
    Ok(outcome)
}

/// The next step of a drain that is due, and when the one after it is. `None`: no drain runs.
pub fn drain_step(live: &Live, now: Timestamp) -> Option<(Timestamp, Option<Outcome>)> {
    let (name, drain) = live
        .state
        .drains
        .iter()
        .min_by_key(|(_, drain)| due(live, drain, now))?;
    let due = due(live, drain, now);
    if due > now {
        return Some((due, None));
    }
    let ends = now >= drain.end;
    let to = if ends { drain.to } else { level(drain, now) };
    let set = SetRelease {
        percentage: Some(to),
        ..SetRelease::default()
    };
    let summary = format!("{name}: drained to {to} %");
    let mut outcome = Outcome::new("release.drain", name.as_str(), summary);
    if live.release(name).is_ok() {
        outcome.changes.push(merge(name, set.patch()));
    }
    if ends {
        outcome.summary = format!("{name}: drained to {to} %, as asked");
        outcome.alert = true;
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
    Some((due, Some(outcome)))
}

/// Where a drain is at `now`: on a straight line, in thousandths.
fn level(drain: &Drain, now: Timestamp) -> Percentage {
    let whole = drain.end.millis_since(drain.start).max(1);
    let done = now.millis_since(drain.start).min(whole);
    let (from, to) = (drain.from.thousandths(), drain.to.thousandths());
    let drop = u64::from(from.saturating_sub(to)) * done / whole;
    // At most `from`, which is a percentage.
    Percentage::from_thousandths(from - drop as u32).unwrap_or(drain.to)
}

/// When a drain's next step is due: one step after the level that the release is at.
fn due(live: &Live, drain: &Drain, now: Timestamp) -> Timestamp {
    let whole = drain.end.millis_since(drain.start).max(1);
    let step = DRAIN_STEP_MS.min(whole);
    let Ok(release) = live.release(&drain.release) else {
        return now;
    };
    let span = u64::from(
        drain
            .from
            .thousandths()
            .saturating_sub(drain.to.thousandths()),
    )
    .max(1);
    let gone = u64::from(
        drain
            .from
            .thousandths()
            .saturating_sub(release.percentage.thousandths()),
    );
    // The time at which the line passes the present level, and a step on; on a line so flat that
    // nothing changes by then, when it is a thousandth lower.
    let passed = gone * whole / span;
    let lower = ((gone + 1) * whole).div_ceil(span);
    drain
        .start
        .plus_millis((passed + step).max(lower).min(whole))
}

/// `PUT /admin/config`: the whole document. It does not get around the two-person rule.
pub fn import(live: &Live, config: &Config, document: &Json) -> Result<Outcome, Rejection> {
    if let Some(before) = &live.config {
        two_people(before, config).map_err(Rejection::Conflict)?;
    }
    Ok(whole(
        live,
        "config.put",
        "configuration imported",
        document,
    ))
}

/// A person's edit of KV.
pub fn adopt(live: &Live, document: &Json) -> Outcome {
    let summary = "configuration edited by hand in KV";
    whole(live, "config.adopt", summary, document).alert()
}

/// What an import may not do by itself, and how it is done.
fn two_people(before: &Config, after: &Config) -> Result<(), String> {
    let (rules, new) = (&before.policy, &after.policy);
    if (rules.approve_full_rollout && !new.approve_full_rollout)
        || (rules.approve_clear_stop && !new.approve_clear_stop)
    {
        return Err("an import does not loosen policy.approvals; edit the key config in KV".into());
    }
    if !rules.approve_full_rollout {
        return Ok(());
    }
    let full = |release: &Release| release.percentage == Percentage::FULL;
    let reaches = |(name, release): &(&ReleaseName, &Release)| {
        full(release) && !before.releases.get(*name).is_some_and(full)
    };
    if let Some((name, _)) = after.releases.iter().find(reaches) {
        return Err(format!(
            "policy.approvals.full_rollout is on, and an import does not bring {name} to 100 %; \
             POST /rollout/{name} asks a second release manager"
        ));
    }
    if before.stable != after.stable {
        return Err(
            "policy.approvals.full_rollout is on, and an import does not give everybody another \
             stable version; edit the key config in KV"
                .into(),
        );
    }
    Ok(())
}

/// The whole document anew. What is stopped stays so.
fn whole(live: &Live, action: &'static str, summary: &str, document: &Json) -> Outcome {
    let mut document = document.clone();
    document.sort();
    hold_stopped(&mut document, &live.state.stops);
    let mut outcome = Outcome::new(action, "config", summary.to_owned());
    for name in live.state.drains.keys() {
        outcome.changes.push(Change::EndDrain(name.clone()));
    }
    outcome.with(Change::Document(document)).careful()
}
