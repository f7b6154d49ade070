//! A span cut into parts, for charts: what was counted in each of them, by arm and by what one asks for besides.

use serde::{Deserialize, Serialize};

use super::answer::count_latency;
use super::{Arm, MINUTE_MS, hour, metric, minute};
use crate::core::gate::{Counts, Histogram};
use crate::core::stats::wilson;
use crate::core::table::Table;
use crate::core::time::Timestamp;

/// What groups are made by, besides the arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvidenceBy"))]
#[serde(rename_all = "snake_case")]
pub enum By {
    Arm,
    Platform,
    Cohort,
}

/// Longer spans are read by the hour, in minutes: a day of minutes is a million counters where there is much traffic.
const BY_MINUTE: u32 = 6 * 60;

/// What is asked of the counters for a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chart {
    /// By name. What is seen of the stable version comes with it.
    pub release: String,
    /// In minutes since 1970; the parts follow without a gap.
    pub from: u32,
    /// How long a part is, in minutes. Whole hours are read from the counters by hour.
    pub step: u32,
    /// How many parts there are, 1 at least.
    pub points: u32,
    pub by: By,
    /// `linux-amd64`, or `linux` for all of them.
    pub platform: Option<String>,
    /// Of the release's requesters. The control is in no cohort, and stays as it is.
    pub cohort: Option<String>,
}

impl Chart {
    /// A span of about so many seconds in at most so many parts. The counters are by minute and by hour, so the parts
    /// are too, and so is the end: the last part is not over yet. Long parts and long spans are read from the hours,
    /// which are kept for longer and are far fewer.
    pub fn new(release: &str, seconds: u32, points: u32, by: By, now: Timestamp) -> Self {
        let wanted = seconds.div_ceil(60).max(1);
        let part = wanted.div_ceil(points.max(1));
        let (unit, end) = match part < 60 && wanted <= BY_MINUTE {
            true => (1, minute(now) + 1),
            false => (60, hour(minute(now)) + 60),
        };
        let step = part.next_multiple_of(unit);
        let points = wanted.div_ceil(step);
        Self {
            release: release.to_owned(),
            from: end.saturating_sub(step * points),
            step,
            points,
            by,
            platform: None,
            cohort: None,
        }
    }

    /// Whether the counters by hour are read.
    pub const fn by_hour(&self) -> bool {
        self.step.is_multiple_of(60)
    }

    /// The minute after its last.
    pub const fn to(&self) -> u32 {
        self.from + self.step * self.points
    }
}

/// The point in time at which a minute begins.
pub fn begin(minute: u32) -> Timestamp {
    Timestamp::from_millis(i64::from(minute) * MINUTE_MS)
}

/// A counter of one part: which part, the arm, the group, the metric, the edge (see [`super::Row::edge`]), how many, and
/// how many of them were good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar(
    pub u32,
    pub Arm,
    pub String,
    pub String,
    pub u32,
    pub u64,
    pub u64,
);

/// One arm, or a part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvidenceGroup"))]
pub struct Group {
    pub arm: Arm,
    /// The platform or cohort, as `by` says. Empty: of the whole arm, or where it is not known or none.
    pub group: String,
    pub rates: Vec<Rate>,
    pub latencies: Vec<Latency>,
}

/// How often something went well.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvidenceRate"))]
pub struct Rate {
    pub metric: String,
    pub total: u64,
    pub good: u64,
    /// Percent of them that were good; `null` where there were none.
    pub rate: Option<f64>,
    /// Wilson's 95 % interval of it, in percent.
    pub low: f64,
    pub high: f64,
    pub series: Vec<Counts>,
}

/// How long something took. A quantile is the upper edge of the histogram that it lies below, in milliseconds; `null`
/// where nothing was counted, or where it is above the last edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvidenceLatency"))]
pub struct Latency {
    pub metric: String,
    pub total: u64,
    pub p50_ms: Option<u32>,
    pub p75_ms: Option<u32>,
    pub p95_ms: Option<u32>,
    pub p99_ms: Option<u32>,
    pub series: Vec<Quantiles>,
}

/// One part of a latency; `null` as there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvidenceQuantiles"))]
pub struct Quantiles {
    pub total: u64,
    pub p50_ms: Option<u32>,
    pub p95_ms: Option<u32>,
}

/// Of one group, by metric: a value for each part.
type Parts<V> = Table<String, Vec<V>>;

/// The groups of a chart, the release's first, each in the order of names. `bars` are those of every object, in any
/// order.
pub fn groups(chart: &Chart, bars: &[Bar]) -> Vec<Group> {
    let mut found: Table<(Arm, String), (Parts<Counts>, Parts<Histogram>)> = Table::default();
    for Bar(point, arm, group, metric, edge, total, good) in bars {
        let key = (*arm, group.clone());
        if !found.contains(&key) {
            found.insert(key.clone(), Default::default());
        }
        let Some((rates, latencies)) = found.get_mut(&key) else {
            continue;
        };
        if *edge == metric::NO_EDGE {
            if let Some(count) = part(rates, metric, chart, *point) {
                count.total += total;
                count.good += good;
            }
        } else if let Some(histogram) = part(latencies, metric, chart, *point) {
            count_latency(histogram, *edge, *total);
        }
    }
    found
        .iter()
        .map(|((arm, group), (rates, latencies))| Group {
            arm: *arm,
            group: group.clone(),
            rates: rates.iter().map(rate).collect(),
            latencies: latencies.iter().map(latency).collect(),
        })
        .collect()
}

fn part<'t, V: Clone + Default>(
    parts: &'t mut Parts<V>,
    metric: &str,
    chart: &Chart,
    point: u32,
) -> Option<&'t mut V> {
    if !parts.contains(metric) {
        parts.insert(metric.to_owned(), vec![V::default(); chart.points as usize]);
    }
    parts.get_mut(metric)?.get_mut(point as usize)
}

fn rate((metric, series): (&String, &Vec<Counts>)) -> Rate {
    let sum = Counts {
        total: series.iter().map(|count| count.total).sum(),
        good: series.iter().map(|count| count.good).sum(),
    }
    .capped();
    let (low, high) = wilson(sum.good, sum.total);
    Rate {
        metric: metric.clone(),
        total: sum.total,
        good: sum.good,
        rate: (sum.total > 0).then(|| percent(sum.good as f64 / sum.total as f64)),
        low: percent(low),
        high: percent(high),
        series: series.iter().map(|count| count.capped()).collect(),
    }
}

fn latency((metric, series): (&String, &Vec<Histogram>)) -> Latency {
    let mut whole = Histogram::default();
    for part in series {
        whole.merge(part);
    }
    let quantiles = |histogram: &Histogram| Quantiles {
        total: histogram.total(),
        p50_ms: histogram.quantile(0.5),
        p95_ms: histogram.quantile(0.95),
    };
    Latency {
        metric: metric.clone(),
        total: whole.total(),
        p50_ms: whole.quantile(0.5),
        p75_ms: whole.quantile(0.75),
        p95_ms: whole.quantile(0.95),
        p99_ms: whole.quantile(0.99),
        series: series.iter().map(quantiles).collect(),
    }
}

/// A share in percent with three decimals, as percentages are written everywhere.
pub fn percent(share: f64) -> f64 {
    (share * 100_000.0).round() / 1000.0
}
