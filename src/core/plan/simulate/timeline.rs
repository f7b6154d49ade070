//! What is kept of a played plan: one line for each moment in which something changed or was told.

use std::fmt;

use serde::Serialize;

use crate::core::ids::Percentage;
use crate::core::plan::{Run, Status};
use crate::core::time::Timestamp;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Begin,
    Announce,
    Advance,
    Pause,
    Lower,
    Rollback,
    /// A rollback has arrived.
    Verify,
    /// It goes on, by a person or the breaker.
    Resume,
    Complete,
    Stop,
    Edit,
    Approve,
    Drain,
    /// People are told something.
    Tell,
}

/// One moment of a played plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    pub at: Timestamp,
    /// Hours from the beginning.
    pub hour: f64,
    pub kind: Kind,
    pub stage: String,
    pub percentage: Percentage,
    pub status: Status,
    pub text: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = (self.hour * 60.0).round() as u64;
        let (day, hour, minute) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
        let percentage = format!("{} %", self.percentage);
        write!(
            f,
            "day {day:>2} {hour:02}:{minute:02}  {percentage:>7}  {:<11}  {}",
            self.status.as_str(),
            self.text
        )
    }
}

/// A plan as it was played.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Played {
    pub timeline: Vec<Entry>,
    pub run: Run,
    /// Hours until the last entry.
    pub hours: f64,
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timeline
            .iter()
            .try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

/// What became of a run by itself.
pub(super) fn kind_of(before: &Run, after: &Run, lowered: bool) -> Kind {
    let to = |status: Status| after.status == status && before.status != status;
    let news = after.pending.is_some() && before.pending.is_none();
    match after {
        _ if to(Status::Complete) => Kind::Complete,
        _ if to(Status::RolledBack) => Kind::Rollback,
        _ if after.stage > before.stage => Kind::Advance,
        _ if lowered => Kind::Lower,
        _ if to(Status::Paused) => Kind::Pause,
        _ if to(Status::Running) => Kind::Resume,
        _ if before.unverified && !after.unverified => Kind::Verify,
        _ if news => Kind::Announce,
        _ => Kind::Tell,
    }
}
