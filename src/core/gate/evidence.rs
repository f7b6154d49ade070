//! What gates are asked about: counts of one stage, in both arms.

use serde::{Deserialize, Serialize};

use crate::core::table::Table;
use crate::core::time::Timestamp;

/// The upper edges of every histogram of latencies, in milliseconds. Each limit of a preset is one; more may be
/// added, because counts are kept by edge.
pub const LATENCY_EDGES_MS: [u32; 21] = [
    10, 25, 50, 75, 100, 150, 200, 300, 400, 600, 800, 1_000, 1_500, 2_000, 2_500, 3_000, 5_000,
    10_000, 30_000, 60_000, 300_000,
];

/// How many there were, and of how many it went well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvidenceCounts"))]
pub struct Counts {
    pub total: u64,
    pub good: u64,
}

impl Counts {
    /// Those that went wrong; `None` where the counts contradict each other.
    pub fn bad(self) -> Option<u64> {
        self.total.checked_sub(self.good)
    }

    /// More may come back than were told of: installing is reported by few, sessions by others.
    pub fn capped(self) -> Self {
        Self {
            good: self.good.min(self.total),
            ..self
        }
    }
}

/// Latencies by upper edge, in milliseconds: how many were at most that, and above the edge before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// Adds another one to it.
    pub fn merge(&mut self, other: &Self) {
        for (edge, count) in other.up_to.iter() {
            self.add(*edge, *count);
        }
        self.beyond += other.beyond;
    }

    /// So many more below an edge, also one that this router no longer has.
    pub fn add(&mut self, edge: u32, more: u64) {
        match self.up_to.get_mut(&edge) {
            Some(count) => *count += more,
            None => self.up_to.insert(edge, more),
        }
    }

    /// The edge that a quantile (0 to 1) lies below; `None`: there is nothing, or it is beyond every edge.
    pub fn quantile(&self, quantile: f64) -> Option<u32> {
        let wanted = quantile * self.total() as f64;
        let mut below = 0;
        self.up_to.iter().find_map(|(edge, count)| {
            below += count;
            (below > 0 && below as f64 >= wanted).then_some(*edge)
        })
    }

    /// The least edge that is at least so many times the quantile.
    pub fn limit(&self, quantile: f64, times: f64) -> Option<u32> {
        let limit = f64::from(self.quantile(quantile)?) * times;
        let edges = LATENCY_EDGES_MS.into_iter();
        let mut edges = edges.filter(|edge| f64::from(*edge) >= limit);
        edges.next()
    }
}

/// A number that somebody told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Number {
    pub value: f64,
    pub at: Timestamp,
}

/// Everything seen in one stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// By metric: the release's requesters, and those of the control.
    pub canary: Table<String, Counts>,
    pub control: Table<String, Counts>,
    pub latencies: Table<String, Histogram>,
    pub control_latencies: Table<String, Histogram>,
    pub numbers: Table<String, Number>,
    /// The release's installs and sessions, by platform.
    pub platforms: Table<String, u64>,
    /// Requesters of each arm.
    pub canary_units: u64,
    pub control_units: u64,
    /// The share of requesters that the release should get, 0 to 1.
    pub share: f64,
}

impl Evidence {
    /// How often a platform (`linux-amd64`) or a system (`linux`) was seen.
    pub fn seen_on(&self, name: &str) -> u64 {
        let is_of = |platform: &str| {
            let rest = platform.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let of = self
            .platforms
            .iter()
            .filter(|(platform, _)| is_of(platform));
        of.map(|(_, count)| count).sum()
    }
}
