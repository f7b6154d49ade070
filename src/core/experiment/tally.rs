//! What is counted of an experiment: how many requesters got each variant, and how it went for them.
//!
//! A requester counts once a day, and once for good; each of their outcomes once for good, so that what
//! is compared are people and not how often they ask. To know whether somebody was counted, a **mark** is
//! kept: 32 bits of a hash, keyed with a key that only the tally has and that goes with it. A mark
//! cannot be turned back into a requester, and those of a day are gone after it.

use sha2::{Digest, Sha256};

use crate::core::table::Table;
use crate::core::time::Timestamp;

/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;

/// The most bytes of a name in a report.
pub const MAX_NAME: usize = 64;

/// The most marks that one report may make.
pub const MAX_MARKS: usize = 1_000;

/// A day, counted from 1970 in UTC. Day 0 stands for all of them.
pub type Day = u32;

pub fn day(now: Timestamp) -> Day {
    u32::try_from(now.millis() / DAY_MS).unwrap_or_default()
}

/// The day under which is counted what is counted once for good.
pub const EVER: Day = 0;

/// One thing seen of a requester.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Seen {
    /// Drawn from the requester's hash, for this experiment alone.
    pub unit: u64,
    pub variant: String,
    /// `None`: they got it. Else how it went, by a metric's name.
    pub outcome: Option<(String, bool)>,
}

/// How many, and of how many it was good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Count {
    pub total: u64,
    pub good: u64,
}

/// What a count is of. The empty metric is that a requester got the variant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Cell {
    pub day: Day,
    pub variant: String,
    pub metric: String,
}

/// Every count of one experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(pub Table<Cell, Count>);

impl Counts {
    pub fn get(&self, day: Day, variant: &str, metric: &str) -> Count {
        let cell = Cell {
            day,
            variant: variant.to_owned(),
            metric: metric.to_owned(),
        };
        self.0.get(&cell).copied().unwrap_or_default()
    }

    pub fn add(&mut self, cell: Cell, good: bool) {
        let mut count = self.0.get(&cell).copied().unwrap_or_default();
        count.total += 1;
        count.good += u64::from(good);
        self.0.insert(cell, count);
    }
}

/// The cells that a sighting may raise, each with the mark that says whether it has.
pub fn cells(seen: &Seen, today: Day, key: &[u8; 16]) -> Vec<(Cell, u32, bool)> {
    let cell = |day, metric: &str, good| {
        let cell = Cell {
            day,
            variant: seen.variant.clone(),
            metric: metric.to_owned(),
        };
        let mark = mark(key, seen.unit, &cell);
        (cell, mark, good)
    };
    match &seen.outcome {
        None => vec![cell(today, "", false), cell(EVER, "", false)],
        Some((metric, good)) => vec![cell(EVER, metric, *good)],
    }
}

/// Without the variant: a requester who got another one since is no second requester.
fn mark(key: &[u8; 16], unit: u64, cell: &Cell) -> u32 {
    let digest = Sha256::new()
        .chain_update(key)
        .chain_update(unit.to_be_bytes())
        .chain_update(cell.day.to_be_bytes())
        .chain_update(cell.metric.as_bytes())
        .finalize();
    let mut first = [0; 4];
    first.copy_from_slice(digest.split_at(4).0);
    u32::from_be_bytes(first)
}
