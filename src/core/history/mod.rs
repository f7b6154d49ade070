//! What anybody may know of what happened. It is made of the states before and after a row, of which it takes names,
//! versions and numbers: never of the row, so that no reason, no person and no id can be in it.

mod plan;

use serde::{Deserialize, Serialize};

use super::config::{Config, Release, State};
use super::ids::{Percentage, ReleaseName};
use super::ledger::Live;
use super::plan::{Plan, Status};
use super::time::Timestamp;

pub use plan::{PlanHistory, StageHistory, plan_history};

/// What may happen to a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "HistoryEvent"))]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Created,
    Raised,
    Lowered,
    /// By an emergency stop.
    Stopped,
    StopCleared,
    /// The whole canary was switched off: nobody gets it, whatever its percentage.
    Killed,
    /// The canary was switched on again.
    Restored,
    Paused,
    Resumed,
    /// Made active, from a draft or after its end.
    Activated,
    Completed,
    /// Its state is `stopped`, by hand.
    Ended,
    Drafted,
    RolledBack,
    /// It offers another version.
    Version,
    /// A stage of its plan was entered at the same percentage.
    Stage,
    Deleted,
}

/// Something that happened to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub release: ReleaseName,
    pub event: Kind,
    /// After it.
    pub percentage: Percentage,
    /// Before it, if it was another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Percentage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Of one that was created, or offers another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The stage that was entered with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered: Option<Entered>,
}

/// A stage that was entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The revision that its plan was set with.
    pub plan: u64,
    pub stage: String,
}

/// The public part of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub at: Timestamp,
    pub revision: u64,
    /// The stable version, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    /// Whether everything was stopped, or no longer is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all_stopped: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

impl Record {
    /// What a row did that anybody may know; `None`: nothing.
    pub fn of(before: &Live, after: &Live, at: Timestamp, revision: u64) -> Option<Self> {
        let stable = |live: &Live| live.config.as_ref().map(|config| config.stable.to_string());
        let stops = |live: &Live| live.state.stops.contains("all");
        let record = Self {
            at,
            revision,
            stable: stable(after).filter(|version| stable(before).as_ref() != Some(version)),
            all_stopped: (stops(before) != stops(after)).then(|| stops(after)),
            events: events(before, after),
        };
        let says = record.stable.is_some() || record.all_stopped.is_some();
        (says || !record.events.is_empty()).then_some(record)
    }

    /// In sentences.
    pub fn text(&self) -> String {
        let mut said = Vec::new();
        match self.all_stopped {
            Some(true) => said.push("emergency stop of everything".to_owned()),
            Some(false) => said.push("emergency stop of everything lifted".to_owned()),
            None => {}
        }
        if let Some(version) = &self.stable {
            said.push(format!("the stable version is {version}"));
        }
        // What stopped everything stopped each.
        let follows = |event: &&Event| {
            self.all_stopped.is_some() && matches!(event.event, Kind::Stopped | Kind::StopCleared)
        };
        let told = self.events.iter().filter(|event| !follows(event));
        said.extend(told.map(Event::text));
        let more = said.len().saturating_sub(MAX_SAID);
        said.truncate(MAX_SAID);
        let said = said.join("; ");
        match more {
            0 => said,
            more => format!("{said}; and {more} more"),
        }
    }
}

/// Of a whole document that changes many releases no more is told in one text.
const MAX_SAID: usize = 8;

impl Event {
    fn text(&self) -> String {
        let Self {
            release,
            percentage,
            ..
        } = self;
        let version = self.version.as_deref().unwrap_or_default();
        let said = match self.event {
            Kind::Created => format!("version {version} at {percentage} %"),
            Kind::Raised | Kind::Lowered => {
                let from = self.from.unwrap_or_default();
                match &self.phase {
                    Some(phase) => format!("{from} % → {percentage} %, {phase}"),
                    None => format!("{from} % → {percentage} %"),
                }
            }
            Kind::Stopped => "emergency stop".to_owned(),
            Kind::StopCleared => "emergency stop lifted".to_owned(),
            Kind::Killed => "canary switched off".to_owned(),
            Kind::Restored => format!("canary switched on again at {percentage} %"),
            Kind::Paused => format!("paused at {percentage} %"),
            Kind::Resumed => format!("goes on at {percentage} %"),
            Kind::Activated => format!("active at {percentage} %"),
            Kind::Completed => format!("complete at {percentage} %"),
            Kind::Ended => "ended".to_owned(),
            Kind::Drafted => "a draft again".to_owned(),
            Kind::RolledBack => "rolled back".to_owned(),
            Kind::Version => format!("version {version}"),
            Kind::Stage => match &self.entered {
                Some(entered) => format!("{} at {percentage} %", entered.stage),
                None => format!("at {percentage} %"),
            },
            Kind::Deleted => "deleted".to_owned(),
        };
        format!("{release}: {said}")
    }
}

fn events(before: &Live, after: &Live) -> Vec<Event> {
    let releases = |live: &Live| -> Vec<ReleaseName> {
        let names = live.config.iter().flat_map(|c| c.releases.keys());
        names.cloned().collect()
    };
    let mut names = releases(before);
    names.extend(releases(after));
    names.sort_unstable();
    names.dedup();
    let mut events = Vec::new();
    for name in &names {
        let of = |live| config(live).and_then(|config| config.releases.get(name));
        let changed = match (of(before), of(after)) {
            (Some(old), Some(new)) => Changed {
                before,
                after,
                name,
                old,
                new,
            }
            .events(),
            (None, Some(new)) => {
                let version = Some(new.version.to_string());
                vec![Event {
                    version,
                    ..event(name, Kind::Created, new)
                }]
            }
            (Some(old), None) => vec![Event {
                percentage: Percentage::ZERO,
                from: Some(old.percentage),
                phase: None,
                ..event(name, Kind::Deleted, old)
            }],
            (None, None) => Vec::new(),
        };
        events.extend(changed);
    }
    events
}

fn config(live: &Live) -> Option<&Config> {
    live.config.as_ref()
}

fn is_killed(live: &Live) -> bool {
    config(live).is_some_and(|config| config.kill_switches.canary)
}

fn event(name: &ReleaseName, event: Kind, release: &Release) -> Event {
    Event {
        release: name.clone(),
        event,
        percentage: release.percentage,
        from: None,
        phase: release.phase.as_ref().map(ToString::to_string),
        version: None,
        entered: None,
    }
}

/// A release before and after a row.
struct Changed<'a> {
    before: &'a Live,
    after: &'a Live,
    name: &'a ReleaseName,
    old: &'a Release,
    new: &'a Release,
}

impl Changed<'_> {
    fn events(&self) -> Vec<Event> {
        let (name, old, new) = (self.name, self.old, self.new);
        let is_stopped = |live: &Live| {
            let stops = &live.state.stops;
            stops.contains("all") || stops.contains(name.as_str())
        };
        let stop = (is_stopped(self.before), is_stopped(self.after));
        let mut events = Vec::new();
        let mut tell = |kind| events.push(event(name, kind, new));
        match stop {
            (false, true) => tell(Kind::Stopped),
            (true, false) => tell(Kind::StopCleared),
            _ => {}
        }
        if old.version != new.version {
            let version = Some(new.version.to_string());
            events.push(Event {
                version,
                ..event(name, Kind::Version, new)
            });
        }
        let mut entered = self.entered();
        if let Some((kind, from)) = self.moved().filter(|_| stop != (false, true)) {
            events.push(Event {
                from: Some(from),
                entered: entered.take(),
                ..event(name, kind, new)
            });
        } else if entered.is_some() {
            events.push(Event {
                entered,
                ..event(name, Kind::Stage, new)
            });
        }
        if let Some(kind) = self.turned().filter(|_| stop.0 == stop.1) {
            events.push(event(name, kind, new));
        }
        events.extend(self.switched());
        events
    }

    /// What a switch of the whole canary does to it.
    fn switched(&self) -> Option<Event> {
        let is_offered =
            |release: &Release| !matches!(release.state, State::Draft | State::Stopped);
        let told = |kind| event(self.name, kind, self.new);
        match (is_killed(self.before), is_killed(self.after)) {
            (false, true) if is_offered(self.old) => Some(Event {
                percentage: Percentage::ZERO,
                ..told(Kind::Killed)
            }),
            (true, false) if is_offered(self.new) => Some(told(Kind::Restored)),
            _ => None,
        }
    }

    /// Where the percentage went. What a drain does on its way is told when it has arrived.
    fn moved(&self) -> Option<(Kind, Percentage)> {
        if self.after.state.drains.contains(self.name) {
            return None;
        }
        let drain = self.before.state.drains.get(self.name);
        let from = drain.map_or(self.old.percentage, |drain| drain.from);
        match self.new.percentage.cmp(&from) {
            std::cmp::Ordering::Greater => Some((Kind::Raised, from)),
            std::cmp::Ordering::Less => Some((Kind::Lowered, from)),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// What became of it.
    fn turned(&self) -> Option<Kind> {
        let status = |live: &Live| {
            let planned = live.state.plans.get(self.name);
            planned.map(|planned| planned.run.status)
        };
        let back = Some(Status::RolledBack);
        if status(self.after) == back && status(self.before) != back {
            return Some(Kind::RolledBack);
        }
        let (old, new) = (self.old.state, self.new.state);
        (old != new).then_some(match new {
            State::Paused => Kind::Paused,
            State::Active if old == State::Paused => Kind::Resumed,
            State::Active => Kind::Activated,
            State::Complete => Kind::Completed,
            State::Stopped => Kind::Ended,
            State::Draft => Kind::Drafted,
        })
    }

    /// The stage that its plan entered.
    fn entered(&self) -> Option<Entered> {
        let planned = self.after.state.plans.get(self.name)?;
        let begun = |status| status != Status::Draft;
        let place = |live: &Live| {
            let planned = live.state.plans.get(self.name);
            let run = planned.map(|planned| &planned.run);
            let run = run.filter(|run| begun(run.status));
            run.map(|run| (run.plan, run.stage, run.entered))
        };
        let after = place(self.after).filter(|after| place(self.before) != Some(*after))?;
        let plan = Plan::parse(&planned.document).ok()?;
        let stage = plan.stages.get(after.1)?;
        Some(Entered {
            plan: after.0,
            stage: stage.id.clone(),
        })
    }
}
