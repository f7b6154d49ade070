//! The ledger: commands become rows, rows become state. Pure: [`Live::prepare`] checks a command's
//! outcome against the state and gives the row to append; storing and publishing are the Worker's.
//!
//! `event` is the log and its chain, `state` its fold; the other modules turn one kind of command
//! each into changes.

mod experiments;
mod features;
mod people;
mod plan;
mod release;
mod state;

pub mod event;
pub mod kv;
mod stop;

pub use experiments::set_experiments;
pub use features::set_features;
pub use people::{
    MemberRef, NewToken, delete_cohort, mint, put_cohort, revoke, set_canary, set_members,
};
pub use plan::{
    Looked, approve_stage, end_plan, evaluate, guarded, hold_plan, looked, promote, seen, set_plan,
    signal, start_plan,
};
pub use release::{
    PutRelease, SetRelease, adopt, delete_release, drain_step, import, pause, put_release, resume,
    rollback, set_release,
};
pub use state::{Mark, Planned, SCHEMA, Signals, State, kills_on, member_unit};
pub use stop::{
    SINGLE_SWITCHES, clear_stop, remind, set_kill_switches, stop, turned, unknown_switches,
};

use crate::core::config::{Config, MAX_BYTES, Release, too_long};
use crate::core::decode::Problem;
use crate::core::ids::ReleaseName;
use crate::core::json::Json;
use crate::core::stop::Stop;
use crate::core::table::Table;
use crate::core::time::Timestamp;

use event::{Actor, Change, Drain, Row};

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Rejection {
    /// Nothing can be steered before there is a configuration.
    NoConfiguration,
    UnknownRelease(String),
    /// A cohort, token or proposal; what it is, and its name.
    Unknown(&'static str, String),
    /// The state does not allow it; a sentence that says what to do.
    Conflict(String),
    /// The role does not go that far; a sentence that says what would.
    Forbidden(String),
    /// A field of the request cannot be used.
    Invalid(Vec<Problem>),
    /// The configuration would no longer hold together.
    Breaks(Vec<Problem>),
}

impl Rejection {
    /// One problem at one place of the request.
    pub fn at(path: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem {
            path: path.to_owned(),
            message: message.into(),
        }])
    }
}

/// Something that the two-person rule can hold up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A release reaches 100 %.
    FullRollout,
    ClearStop,
}

/// What a command would do.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// As in the audit log, such as `release.set`.
    pub action: &'static str,
    pub target: String,
    /// In a sentence.
    pub summary: String,
    pub changes: Vec<Change>,
    /// Whether people are told.
    pub alert: bool,
    /// Whether it wants a confirmation where it takes a release away from somebody or hands them
    /// another build. What exists to take things away (a stop, a kill, a rollback) does not.
    pub careful: bool,
    pub held: Option<Held>,
}

impl Outcome {
    fn new(action: &'static str, target: impl Into<String>, summary: String) -> Self {
        Self {
            action,
            target: target.into(),
            summary,
            changes: Vec::new(),
            alert: false,
            careful: false,
            held: None,
        }
    }

    fn with(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    fn alert(mut self) -> Self {
        self.alert = true;
        self
    }

    fn careful(mut self) -> Self {
        self.careful = true;
        self
    }

    /// Whether it takes something bad away from people: that is possible however full everything is.
    pub fn relieves(&self) -> bool {
        let kind = self.action.split('.').next().unwrap_or_default();
        matches!(kind, "stop" | "kill")
            || matches!(
                self.action,
                "release.pause" | "release.rollback" | "release.drain"
            )
    }
}

/// Who does it, when and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    pub actor: Actor,
    pub approved_by: Option<Actor>,
    pub now: Timestamp,
    pub reason: String,
    /// The least revision that the row may make: what a person's edit of KV names.
    pub floor: u64,
}

/// A row ready to be appended, and what it leads to.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub row: Row,
    pub text: String,
    pub hash: String,
    pub next: Live,
}

/// The state with its configuration read.
#[derive(Debug, Clone)]
pub struct Live {
    pub state: State,
    /// `None` until there is a document. One that is there is always valid: see `prepare`.
    pub config: Option<Config>,
}

impl Live {
    /// Reads the state's configuration. One that cannot be read (a newer router wrote it) is taken
    /// as none, so that what is published stays as it is.
    pub fn new(state: State) -> Self {
        let config = state.config().ok();
        Self { state, config }
    }

    fn config(&self) -> Result<&Config, Rejection> {
        self.config.as_ref().ok_or(Rejection::NoConfiguration)
    }

    fn release(&self, name: &ReleaseName) -> Result<&Release, Rejection> {
        let unknown = || Rejection::UnknownRelease(name.to_string());
        self.config()?.releases.get(name).ok_or_else(unknown)
    }

    /// Refuses what an emergency stop forbids.
    fn not_stopped(&self, name: &ReleaseName) -> Result<(), Rejection> {
        let scope = if self.state.stops.contains("all") {
            "all"
        } else if self.state.stops.contains(name.as_str()) {
            name.as_str()
        } else {
            return Ok(());
        };
        Err(Rejection::Conflict(format!(
            "{name} is under an emergency stop; a release manager lifts it with \
             POST /rollout/{scope}/clear-stop"
        )))
    }

    /// What it comes to when the drains have ended that did not run before; `None` if there are
    /// none.
    pub fn drained(&self, before: &Self) -> Option<Self> {
        let known = |drain: &Drain| before.state.drains.values().any(|other| other == drain);
        let drains = self.state.drains.values();
        let new: Vec<&Drain> = drains.filter(|drain| !known(drain)).collect();
        if new.is_empty() {
            return None;
        }
        let mut state = self.state.clone();
        for drain in new {
            let end = Json::object([("percentage", Json::from(drain.to))]);
            let path = ["releases", drain.release.as_str()];
            state.document.merge(&Json::nested(&path, end));
        }
        Some(Self::new(state))
    }

    /// What it comes to with changes that are not a row yet.
    pub fn with(&self, changes: &[Change]) -> Self {
        let mut state = self.state.clone();
        let row = Row {
            seq: state.seq,
            revision: state.revision,
            at: Timestamp::from_millis(0),
            actor: Actor::ledger(),
            approved_by: None,
            action: String::new(),
            target: String::new(),
            reason: String::new(),
            summary: String::new(),
            changes: changes.to_vec(),
            prev: String::new(),
        };
        state.fold(&row, self.state.head.clone());
        Self::new(state)
    }

    /// The stop as the edge sees it once all is published.
    pub fn stop(&self) -> Stop {
        Stop::parse(self.state.stop_value().as_deref(), self.config.as_ref())
    }

    /// The row that an outcome makes; `None` when it changes nothing.
    ///
    /// # Errors
    /// When the configuration would no longer hold together.
    pub fn prepare(
        &self,
        outcome: &Outcome,
        context: &Context,
    ) -> Result<Option<Prepared>, Rejection> {
        let row = Row {
            seq: self.state.seq + 1,
            revision: (self.state.revision + 1).max(context.floor),
            at: context.now,
            actor: context.actor.clone(),
            approved_by: context.approved_by.clone(),
            action: outcome.action.to_owned(),
            target: outcome.target.clone(),
            reason: context.reason.clone(),
            summary: outcome.summary.clone(),
            changes: outcome.changes.clone(),
            prev: self.state.head.clone(),
        };
        let text = row.text();
        let hash = Row::hash(&text);
        let mut state = self.state.clone();
        state.fold(&row, hash.clone());
        // A person's edit may say nothing new but its number, which has to be outrun.
        let outrun = context.floor > self.state.revision;
        if self.state.differs_only_in_position(&state) && !outrun {
            return Ok(None);
        }
        let config = if state.document == Json::Null {
            None
        } else {
            let config = state.config().map_err(Rejection::Breaks)?;
            if !outcome.relieves() {
                state.fits()?;
            }
            Some(config)
        };
        let next = Self { state, config };
        Ok(Some(Prepared {
            row,
            text,
            hash,
            next,
        }))
    }
}

impl State {
    /// # Errors
    /// When the document is longer than people may make it.
    fn fits(&self) -> Result<(), Rejection> {
        match self.published() {
            Some(text) if text.len() > MAX_BYTES => Err(Rejection::Breaks(vec![Problem {
                path: String::new(),
                message: too_long(&text),
            }])),
            _ => Ok(()),
        }
    }

    /// Whether a row that leads from here to there said nothing new.
    fn differs_only_in_position(&self, next: &Self) -> bool {
        let Self {
            document,
            stops,
            kills,
            tokens,
            drains,
            proposals,
            plans,
            signals,
            ..
        } = next;
        self.document == *document
            && self.stops == *stops
            && self.kills == *kills
            && self.tokens == *tokens
            && self.drains == *drains
            && self.proposals == *proposals
            && self.plans == *plans
            && self.signals == *signals
    }
}

/// A document's releases held at nothing as far as stops cover them, whatever it says.
fn hold_stopped(document: &mut Json, stops: &Table<String, Mark>) {
    let Some(releases) = document.get("releases") else {
        return;
    };
    let entries = releases.entries().iter();
    let covered =
        entries.filter(|(name, _)| stops.contains("all") || stops.contains(name.as_str()));
    let patches: Vec<Json> = covered
        .map(|(name, given)| Json::nested(&["releases", name], stopped(Some(given))))
        .collect();
    for patch in patches {
        document.merge(&patch);
    }
}

/// What a stop makes of a release. A draft stays one: it is offered to nobody anyway, and may not
/// have all that a release in any other state needs.
fn stopped(given: Option<&Json>) -> Json {
    let state = given.and_then(|given| given.get("state")?.as_str());
    let state = match state {
        Some("draft") => "draft",
        _ => "stopped",
    };
    Json::object([("percentage", Json::from(0)), ("state", Json::from(state))])
}
