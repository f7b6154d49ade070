//! Gates: from evidence to a verdict, by formulas that may be asked every hour (`core::stats`).
//!
//! A gate passes when what it asks is proven, fails when the opposite is, and is inconclusive in between. So
//! neither looking often nor little data lets anything through: only [`Verdict::Pass`] advances a rollout.

mod evidence;
mod judge;
mod metrics;
mod needed;

pub use evidence::{Counts, Evidence, Histogram, LATENCY_EDGES_MS, Number};
pub use judge::judge;
pub use metrics::{Known, LATENCIES, METRICS, Says};
pub use needed::needed;

use serde::{Deserialize, Serialize};

/// What a gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Pass,
    Fail,
    /// There is data, and it proves neither.
    Inconclusive,
    NoData,
    /// The evidence cannot be used.
    Error,
}

/// Which side of a limit is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// What is asked of the evidence.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// The share of what went well, 0 to 1. It passes once it is seen to be `at_least` and proven to be above the
    /// `floor`; in between it holds (seed 000: 86 % is good, below 80 % is not).
    Rate {
        metric: String,
        at_least: f64,
        floor: f64,
        /// It has failed once it is proven to be below this; at most `at_least`.
        fail_below: f64,
    },
    /// What went wrong, at most so many times as often as in the control. Where little goes wrong a ratio cannot be
    /// proven: it passes as well once the share is proven to be no more than `margin` (0 to 1) above that.
    Ratio {
        metric: String,
        at_most: f64,
        margin: f64,
    },
    /// A quantile of a latency, in milliseconds; an edge of its histogram.
    Quantile {
        metric: String,
        quantile: f64,
        at_most_ms: u32,
    },
    /// A quantile of a latency, at most so many times as long as the control's, rounded up to an edge.
    QuantileRatio {
        metric: String,
        quantile: f64,
        at_most: f64,
    },
    /// A number that somebody tells, no older than this.
    Number {
        name: String,
        limit: Limit,
        max_age_ms: u64,
    },
    /// Each platform (`linux-amd64`), or system (`linux`), has been seen this often.
    Coverage { platforms: Vec<String>, each: u64 },
    /// The arms get the shares that they should.
    SampleRatio,
}

impl Ask {
    /// Whether it compares with those who do not get the release.
    pub const fn has_control(&self) -> bool {
        matches!(
            self,
            Self::Ratio { .. } | Self::QuantileRatio { .. } | Self::SampleRatio
        )
    }
}

/// A gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    pub ask: Ask,
    /// Below so many samples it is inconclusive, whatever they say.
    pub min_samples: u64,
    /// The chance of a wrong pass, and of a wrong fail, however often it is asked.
    pub alpha: f64,
}

/// A verdict with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Judgement {
    pub verdict: Verdict,
    /// The rate, ratio, share beyond the limit or number that was seen.
    pub observed: Option<f64>,
    pub threshold: f64,
    pub samples: u64,
    /// Samples that are still missing, at least.
    pub missing: u64,
    /// Evidence for a pass and for a fail, as e-values: 1/alpha is proof.
    pub evidence_pass: Option<f64>,
    pub evidence_fail: Option<f64>,
    /// In a sentence.
    pub why: String,
}
