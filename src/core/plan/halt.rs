//! Halts: what is looked at each minute. Unlike gates they may be wrong now and then, because they only make
//! things safer: a share counts as above its limit once the lower end of its Wilson interval is.

use super::document::{Direction, Halt, LatencyLimit, Rule};
use super::run::{Baseline, Fired, Seen};
use crate::core::gate::{Counts, Evidence, Limit};
use crate::core::stats::wilson;
use crate::core::time::Timestamp;

/// A baseline of fewer says too little; the control of the same window stands in for it.
const BASELINE_MIN: u64 = 100;

/// The halts that fire.
pub fn fired(halts: &[Halt], seen: &Seen, baseline: &Baseline, now: Timestamp) -> Vec<Fired> {
    let fires = |halt: &Halt| {
        let why = why(&halt.rule, seen, baseline, now)?;
        Some(Fired {
            halt: halt.id.clone(),
            action: halt.action,
            why,
        })
    };
    halts.iter().filter_map(fires).collect()
}

/// Why a halt fires, if it does.
fn why(rule: &Rule, seen: &Seen, baseline: &Baseline, now: Timestamp) -> Option<String> {
    match rule {
        Rule::Rate {
            metric,
            over,
            window_ms,
            min_samples,
        } => {
            let counts = in_window(seen, *window_ms, metric, *min_samples)?;
            let low = surely(counts.bad()?, counts.total);
            (low > *over).then(|| shares(metric, counts.bad(), counts.total, "wrong, above", *over))
        }
        Rule::Baseline {
            metric,
            factor,
            direction,
            window_ms,
            min_samples,
        } => {
            let counts = in_window(seen, *window_ms, metric, *min_samples)?;
            let base = base(seen, baseline, *window_ms, metric)?;
            let share = |part: u64| part as f64 / base.total as f64;
            match direction {
                Direction::BadAbove => {
                    let limit = share(base.bad()?) * factor;
                    let low = surely(counts.bad()?, counts.total);
                    (low > limit)
                        .then(|| shares(metric, counts.bad(), counts.total, "wrong, above", limit))
                }
                Direction::GoodBelow => {
                    let limit = share(base.good) * factor;
                    let high = wilson(counts.good, counts.total).1;
                    let is_below = counts.bad().is_some() && high < limit;
                    is_below.then(|| {
                        shares(
                            metric,
                            Some(counts.good),
                            counts.total,
                            "well, below",
                            limit,
                        )
                    })
                }
            }
        }
        Rule::Spike {
            metric,
            sigma,
            window_ms,
            min_samples,
        } => {
            let counts = in_window(seen, *window_ms, metric, *min_samples)?;
            let base = base(seen, baseline, *window_ms, metric)?;
            let (bad, total) = (counts.bad()? as f64, counts.total as f64);
            // A baseline without a single failure still is no certainty: half of one is added.
            let p = (base.bad()? as f64 + 0.5) / (base.total as f64 + 1.0);
            let deviations = (bad / total - p) / libm::sqrt(p * (1.0 - p) / total);
            let tenths = (deviations * 10.0).round() / 10.0;
            (deviations > *sigma)
                .then(|| format!("{metric}: {tenths} standard deviations above before"))
        }
        Rule::Quantile {
            metric,
            quantile,
            limit,
            window_ms,
            min_samples,
        } => {
            let histogram = seen
                .windows
                .get(window_ms)?
                .latencies
                .get(metric.as_str())?;
            if histogram.total() < *min_samples {
                return None;
            }
            let limit = match limit {
                LatencyLimit::AtMostMs(limit) => *limit,
                LatencyLimit::TimesBaseline(factor) => {
                    let control = || {
                        seen.windows
                            .get(window_ms)?
                            .control_latencies
                            .get(metric.as_str())
                    };
                    let before = baseline.latencies.get(metric.as_str());
                    let before = before.filter(|before| before.total() >= BASELINE_MIN);
                    before.or_else(control)?.limit(*quantile, *factor)?
                }
            };
            let within = histogram.at_most(limit)?;
            let beyond = surely(histogram.total() - within, histogram.total());
            let fires = beyond > 1.0 - quantile;
            let p = (quantile * 1000.0).round() / 10.0;
            fires.then(|| format!("{metric}: the p{p} is above {limit} ms"))
        }
        Rule::Number {
            name,
            limit,
            max_age_ms,
        } => {
            let number = seen.stage.numbers.get(name.as_str())?;
            let fresh = number.at <= now && now.millis_since(number.at) <= *max_age_ms;
            let beyond = match limit {
                Limit::AtLeast(limit) => number.value < *limit,
                Limit::AtMost(limit) => number.value > *limit,
            };
            let limit = match limit {
                Limit::AtLeast(limit) | Limit::AtMost(limit) => limit,
            };
            (fresh && beyond).then(|| format!("{name} is {}, beyond {limit}", number.value))
        }
        Rule::Check { name, consecutive } => {
            let check = seen.checks.get(name.as_str())?;
            let fires = check.failures >= *consecutive;
            fires.then(|| format!("{name} failed {} times in a row", check.failures))
        }
    }
}

/// The lower end of the share's interval.
fn surely(part: u64, total: u64) -> f64 {
    wilson(part, total).0
}

fn in_window(seen: &Seen, window_ms: u64, metric: &str, min_samples: u64) -> Option<Counts> {
    let counts = seen.windows.get(&window_ms)?.canary.get(metric).copied()?;
    (counts.total >= min_samples.max(1)).then_some(counts)
}

/// What the share was before the plan began, or is in the control.
fn base(seen: &Seen, baseline: &Baseline, window_ms: u64, metric: &str) -> Option<Counts> {
    let enough = |counts: &&Counts| counts.total >= BASELINE_MIN;
    let before = baseline.counts.get(metric).filter(enough);
    let control = |window: &Evidence| window.control.get(metric).filter(enough).copied();
    before
        .copied()
        .or_else(|| seen.windows.get(&window_ms).and_then(control))
}

fn shares(metric: &str, part: Option<u64>, total: u64, side: &str, limit: f64) -> String {
    let part = part.unwrap_or_default();
    let percent = (limit * 100_000.0).round() / 1000.0;
    format!("{metric}: {part} of {total} went {side} {percent} %")
}
