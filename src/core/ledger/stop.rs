//! Emergency stops and kill switches: what turns things off, and what lets them go on.

use crate::core::config::{Release, State as ReleaseState};
use crate::core::decode::Problem;
use crate::core::json::Json;
use crate::core::time::Timestamp;

use super::event::{Change, Scope};
use super::state::kills_on;
use super::{Held, Live, Outcome, Rejection, stopped};

/// A kill switch that stays on this long is called to mind (seed 001, "Kill Switch Monitoring").
const REMIND_MS: u64 = 24 * 3_600_000;

/// `POST …/emergency-stop`. Stopping what is stopped changes nothing.
pub fn stop(live: &Live, scope: &Scope) -> Result<Outcome, Rejection> {
    let summary = match scope {
        Scope::All => "emergency stop of everything".to_owned(),
        Scope::Release(name) => format!("emergency stop of {name}"),
    };
    let mut outcome = Outcome::new("stop.set", scope.as_str(), summary)
        .with(Change::Stop(scope.as_str().to_owned()))
        .alert();
    let covered = match scope {
        Scope::Release(name) => {
            live.release(name)?;
            vec![name]
        }
        Scope::All => live.config.iter().flat_map(|c| c.releases.keys()).collect(),
    };
    for name in covered {
        let given = live.state.document.at(&["releases", name.as_str()]);
        let patch = Json::nested(&["releases", name.as_str()], stopped(given));
        outcome.changes.push(Change::Merge(patch));
        if live.state.drains.contains(name) {
            outcome.changes.push(Change::EndDrain(name.clone()));
        }
    }
    Ok(outcome)
}

/// `POST …/clear-stop`: features come back, releases stay at 0 % until somebody raises them.
pub fn clear_stop(live: &Live, scope: &Scope) -> Result<Outcome, Rejection> {
    if let Scope::Release(name) = scope {
        // A document that was imported since may not have the release any more.
        if !live.state.stops.contains(name.as_str()) {
            live.release(name)?;
        }
        if live.state.stops.contains("all") {
            return Err(Rejection::Conflict(
                "everything is stopped; POST /rollout/all/clear-stop lifts that".to_owned(),
            ));
        }
    }
    let summary = match scope {
        Scope::All => "emergency stop of everything cleared; releases stay at 0 %".to_owned(),
        Scope::Release(name) => format!("emergency stop of {name} cleared; it stays at 0 %"),
    };
    let mut outcome = Outcome::new("stop.clear", scope.as_str(), summary).alert();
    if !live.state.stops.contains(scope.as_str()) {
        return Ok(outcome);
    }
    outcome
        .changes
        .push(Change::ClearStop(scope.as_str().to_owned()));
    let freed = |name: &str| match scope {
        Scope::All => !live.state.stops.contains(name),
        Scope::Release(own) => own.as_str() == name,
    };
    let releases = live.config.iter().flat_map(|c| c.releases.iter());
    let is_held = |release: &Release| release.state == ReleaseState::Stopped;
    let names = releases
        .filter(|(_, release)| is_held(release))
        .map(|(name, _)| name);
    for name in names.filter(|name| freed(name.as_str())) {
        let patch = Json::nested(
            &["releases", name.as_str()],
            Json::object([("state", Json::from("active"))]),
        );
        outcome.changes.push(Change::Merge(patch));
    }
    let rule = |config: &crate::core::config::Config| config.policy.approve_clear_stop;
    outcome.held = live
        .config
        .as_ref()
        .is_some_and(rule)
        .then_some(Held::ClearStop);
    Ok(outcome)
}

/// Switches to be turned on for features that the configuration does not have. A client may know
/// such a feature; more likely its name is misspelt, and nothing would be turned off.
pub fn unknown_switches(live: &Live, set: &[(String, bool)]) -> Vec<Problem> {
    let known = |key: &str| {
        let mut tables = live.config.iter().flat_map(|c| c.features.values());
        tables.any(|features| features.keys().any(|known| known.as_str() == key))
    };
    let turned_on = set.iter().filter(|(_, on)| *on);
    let keys = turned_on.filter_map(|(name, _)| name.strip_prefix("features/"));
    keys.filter(|key| !known(key))
        .map(|key| Problem {
            path: format!("/features/{key}"),
            message: "is no feature of the configuration".to_owned(),
        })
        .collect()
}

/// `POST /admin/kill-switches`: each named switch on or off.
pub fn set_kill_switches(live: &Live, set: &[(String, bool)]) -> Result<Outcome, Rejection> {
    live.config()?;
    let mut document = live.state.document.clone();
    let mut said = Vec::new();
    for (name, on) in set {
        said.push(format!("{name} {}", if *on { "on" } else { "off" }));
        let patch = match name.split_once('/') {
            None => Json::nested(&["kill_switches", name], Json::Bool(*on)),
            Some((group, key)) => {
                let path = ["kill_switches", group];
                let mut items = match document.at(&path) {
                    Some(Json::Array(items)) => items.clone(),
                    _ => Vec::new(),
                };
                items.retain(|item| item.as_str() != Some(key));
                if *on {
                    items.push(Json::from(key));
                }
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                Json::nested(&path, Json::Array(items))
            }
        };
        document.merge(&patch);
    }
    let switches = document.get("kill_switches").cloned().unwrap_or(Json::Null);
    let summary = format!("kill switches: {}", said.join(", "));
    let target = match set {
        [(one, _)] => one.as_str(),
        _ => "kill_switches",
    };
    Ok(Outcome::new("kill.set", target, summary)
        .with(Change::Merge(Json::nested(&["kill_switches"], switches)))
        .alert())
}

/// What reminds of a switch that was on for a day, and when the next is due. `None`: none is on.
pub fn remind(live: &Live, now: Timestamp) -> Option<(Timestamp, Option<Outcome>)> {
    let waiting = live.state.kills.iter().filter(|(_, mark)| !mark.reminded);
    let (name, mark) = waiting.min_by_key(|(_, mark)| mark.since)?;
    let due = mark.since.plus_millis(REMIND_MS);
    if due > now {
        return Some((due, None));
    }
    let summary = format!("kill switch {name} has been on for 24 h");
    let outcome = Outcome::new("kill.remind", name.as_str(), summary)
        .with(Change::Remind(name.clone()))
        .alert();
    Some((due, Some(outcome)))
}

/// The names of the switches that are not lists.
pub const SINGLE_SWITCHES: [&str; 4] = [
    "telemetry_disabled",
    "llm_backends_disabled",
    "command_execution_disabled",
    "canary",
];

/// Those that a change turned on and off, for what is told about it.
pub fn turned(before: &Json, after: &Json) -> (Vec<String>, Vec<String>) {
    let (before, after) = (kills_on(before), kills_on(after));
    let without = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|name| !b.contains(name)).cloned().collect()
    };
    (without(&after, &before), without(&before, &after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::KillSwitches;

    #[test]
    fn every_switch_is_listed() {
        let mut listed = SINGLE_SWITCHES.to_vec();
        listed.sort_unstable();
        let switches = KillSwitches::default().client();
        let mut names: Vec<_> = switches.iter().map(|(name, ..)| *name).collect();
        names.push("canary");
        names.sort_unstable();
        assert_eq!(listed, names);
    }
}
