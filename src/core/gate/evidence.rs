//! What gates are asked about: counts of one stage, in both arms.

use crate::core::config::Platform;
use crate::core::table::Table;
use crate::core::time::Timestamp;

/// How many there were, and of how many it went well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u64,
    pub good: u64,
}

impl Counts {
    /// Those that went wrong; `None` where the counts contradict each other.
    pub fn bad(self) -> Option<u64> {
        self.total.checked_sub(self.good)
    }
}

/// Latencies by upper edge, in milliseconds: how many were at most that, and above the edge before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    pub up_to: Table<u32, u64>,
    /// Above every edge.
    pub beyond: u64,
}

impl Histogram {
    pub fn total(&self) -> u64 {
        self.up_to.values().sum::<u64>() + self.beyond
    }

    /// How many were at most `ms`; `None` where that is no edge.
    pub fn at_most(&self, ms: u32) -> Option<u64> {
        self.up_to.get(&ms)?;
        let within = self.up_to.iter().filter(|(edge, _)| **edge <= ms);
        Some(within.map(|(_, count)| count).sum())
    }
}

/// A number that somebody told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    pub value: f64,
    pub at: Timestamp,
}

/// Everything seen in one stage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// By metric: the release's requesters, and those of the control.
    pub canary: Table<String, Counts>,
    pub control: Table<String, Counts>,
    pub latencies: Table<String, Histogram>,
    pub numbers: Table<String, Number>,
    pub platforms: Table<Platform, u64>,
    /// Requesters of each arm.
    pub canary_units: u64,
    pub control_units: u64,
    /// The share of requesters that the release should get, 0 to 1.
    pub share: f64,
}
