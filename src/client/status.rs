//! What the client says of itself.

use std::path::PathBuf;

use serde::Serialize;

use crate::core::ids::FlagKey;
use crate::core::time::Timestamp;

use super::answer::Failure;
use super::merge::{Change, Table};

/// Where the values come from, where nothing local decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the router, not longer ago than it is asked.
    Router,
    /// From the router, some time ago.
    LastGood,
    /// Nothing was ever heard of the router.
    Defaults,
}

/// What went wrong last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// When.
    pub at: Timestamp,
    /// In a sentence.
    pub message: String,
}

/// How things are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The address that is asked, with release and attributes and without the id.
    pub url: String,
    /// Where the values come from.
    pub source: Source,
    /// The newest revision of the configuration that is known.
    pub revision: Option<u64>,
    /// When the values came.
    pub fetched_at: Option<Timestamp>,
    /// When the router last said that they hold.
    pub confirmed_at: Option<Timestamp>,
    /// When it is asked next; in the past: at the next refresh.
    pub next_due: Timestamp,
    /// How often in a row asking failed.
    pub failures: u32,
    /// Why the last time, if it did.
    pub last_error: Option<Trouble>,
    /// Whether answers must be signed.
    pub signed: bool,
    /// The last good answer on disk.
    pub cache: Option<PathBuf>,
    /// The override file.
    pub override_file: Option<PathBuf>,
    /// Overrides that are in force.
    pub overrides: Table,
    /// Overrides that a kill makes void.
    pub void: Vec<FlagKey>,
    /// Kill switches that are on, and features that are killed.
    pub killed: Vec<FlagKey>,
    /// What a person might want to mend, in sentences.
    pub warnings: Vec<String>,
}

/// How a refresh went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not time to ask.
    NotDue,
    /// Another thread is asking.
    Busy,
    /// Another process has asked; its answer was taken from the disk.
    Shared,
    /// The router answered.
    Fetched,
    /// The router said that nothing has changed.
    NotModified,
    /// There is no new answer; what was known holds.
    Failed(Failure),
}

/// What a refresh brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Refreshed {
    /// How it went.
    pub outcome: Outcome,
    /// What is different since the last refresh, be it by the router or by the override file.
    pub changes: Vec<Change>,
}
