//! What the ledger needs of the world: a place to keep things. The Worker has the Durable Object's
//! SQLite, the tests have memory.

use crate::core::time::Timestamp;

/// Why a place could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the ledger's storage failed: {0}")]
pub struct StoreError(pub String);

/// A row of the log as it is kept, with the columns that are searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub seq: u64,
    pub revision: u64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub target: String,
    pub text: String,
    pub hash: String,
}

/// Which rows of the log; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Older than this row.
    pub before: Option<u64>,
    pub actor: Option<String>,
    /// The whole action, or what it starts with before the dot.
    pub action: Option<String>,
    pub target: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub limit: u64,
}

/// A message to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub id: u64,
    pub at: Timestamp,
    pub text: String,
    pub attempts: u32,
    /// When it is to be tried next; of one that was delivered, nothing.
    pub next: Timestamp,
    pub delivered: Option<Timestamp>,
}

/// So many of those that were delivered are kept, the newest. The rest is only counted.
pub const KEEP_DELIVERED: u64 = 200;

/// How an attempt to deliver went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// One is under way: no other before `next`.
    Begun { id: u64, next: Timestamp },
    /// What was delivered long before is forgotten: see [`KEEP_DELIVERED`].
    Done { id: u64, at: Timestamp },
    /// Again at `next`.
    Failed {
        id: u64,
        next: Timestamp,
        error: String,
    },
}

/// How many alerts there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertCounts {
    pub pending: u64,
    /// Ever, also those that are no longer kept.
    pub delivered: u64,
    pub oldest: Option<Timestamp>,
    pub last_error: Option<String>,
}

/// What is written at once, all or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    pub row: Option<Stored>,
    /// Which row that is, kept apart from the log.
    pub head: Option<String>,
    /// What anybody may know of a row, by its number: see [`crate::core::history`].
    pub history: Vec<(u64, String)>,
    /// A state's text, after the row with this number.
    pub checkpoint: Option<(u64, String)>,
    /// New ones.
    pub alerts: Vec<(Timestamp, String)>,
    pub deliveries: Vec<Delivery>,
    /// An answer to give again: its key, when it was given, and its text.
    pub answer: Option<(String, Timestamp, String)>,
    /// Answers from before this are forgotten.
    pub forget_before: Option<Timestamp>,
    /// What is known of KV.
    pub publication: Option<String>,
    /// The hash of what was published as a revision.
    pub published: Option<(u64, String)>,
}

/// Where the ledger keeps things.
pub trait Store {
    /// The newest checkpoint at or before a row.
    fn checkpoint(&self, seq: u64) -> Result<Option<(u64, String)>, StoreError>;
    /// Rows after `seq`, oldest first.
    fn rows(&self, after: u64, limit: u64) -> Result<Vec<Stored>, StoreError>;
    /// What was written as batches' `history`, the newest rows first.
    fn history(&self, limit: u64) -> Result<Vec<String>, StoreError>;
    fn search(&self, search: &Search) -> Result<Vec<Stored>, StoreError>;
    /// What was written last as a batch's `head`.
    fn head(&self) -> Result<Option<String>, StoreError>;
    /// The last row that made a revision at or before this one.
    fn row_at_revision(&self, revision: u64) -> Result<Option<u64>, StoreError>;
    fn answer(&self, key: &str) -> Result<Option<String>, StoreError>;
    /// The newest alerts first, waiting or delivered.
    fn newest_alerts(&self, limit: u64) -> Result<Vec<Alert>, StoreError>;
    /// Alerts that wait, the next to be tried first.
    fn alerts(&self, limit: u64) -> Result<Vec<Alert>, StoreError>;
    fn alert_counts(&self) -> Result<AlertCounts, StoreError>;
    fn publication(&self) -> Result<Option<String>, StoreError>;
    fn published(&self, revision: u64) -> Result<Option<String>, StoreError>;
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError>;
}
