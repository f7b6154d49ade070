//! The verdicts.

use libm::exp;

use super::{Ask, Evidence, Gate, Judgement, Limit, Verdict};
use crate::core::stats::{Prior, Side, ln_e_value, ln_mean, share_of_hits, wilson};
use crate::core::time::Timestamp;

/// How strongly the prior of a rate holds to its limit, in observations.
pub(super) const STRENGTH: f64 = 10.0;

/// The same for the shares of two arms, which are known.
const SHARE_STRENGTH: f64 = 200.0;

/// What a gate says of the evidence at `now`.
pub fn judge(gate: &Gate, evidence: &Evidence, now: Timestamp) -> Judgement {
    match &gate.ask {
        Ask::Rate {
            metric,
            at_least,
            floor,
            fail_below,
        } => {
            let counts = evidence.canary.get(metric.as_str()).copied();
            let counts = counts.unwrap_or_default();
            let Some(bad) = counts.bad() else {
                return error(*at_least, "more went well than there were");
            };
            rate(gate, counts.good, bad, *at_least, *floor, *fail_below)
        }
        Ask::Quantile {
            metric,
            quantile,
            at_most_ms,
        } => latency(gate, evidence, metric, *quantile, *at_most_ms),
        Ask::QuantileRatio {
            metric,
            quantile,
            at_most,
        } => {
            let control = evidence.control_latencies.get(metric.as_str());
            match control.and_then(|control| control.limit(*quantile, *at_most)) {
                Some(limit) => latency(gate, evidence, metric, *quantile, limit),
                None => Judgement {
                    why: "the control has told nothing to compare with".to_owned(),
                    ..no_data(*at_most, gate.min_samples)
                },
            }
        }
        Ask::Ratio {
            metric,
            at_most,
            margin,
        } => ratio(gate, evidence, metric, *at_most, *margin),
        Ask::Number {
            name,
            limit,
            max_age_ms,
        } => number(evidence, name, *limit, *max_age_ms, now),
        Ask::Coverage { platforms, each } => {
            let seen = platforms
                .iter()
                .map(|platform| (platform, evidence.seen_on(platform)));
            let Some((least, count)) = seen.min_by_key(|(_, count)| *count) else {
                return error(0.0, "no platform is named");
            };
            let verdict = match count {
                0 => Verdict::NoData,
                count if count < *each => Verdict::Inconclusive,
                _ => Verdict::Pass,
            };
            Judgement {
                observed: Some(count as f64),
                missing: each.saturating_sub(count),
                why: format!("{least} was seen {count} times of {each}"),
                ..plain(verdict, *each as f64, count)
            }
        }
        Ask::SampleRatio => sample_ratio(gate, evidence),
    }
}

/// A judgement without evidence for or against.
fn plain(verdict: Verdict, threshold: f64, samples: u64) -> Judgement {
    Judgement {
        verdict,
        observed: None,
        threshold,
        samples,
        missing: 0,
        evidence_pass: None,
        evidence_fail: None,
        why: String::new(),
    }
}

fn error(threshold: f64, why: &str) -> Judgement {
    Judgement {
        why: why.to_owned(),
        ..plain(Verdict::Error, threshold, 0)
    }
}

fn no_data(threshold: f64, missing: u64) -> Judgement {
    Judgement {
        missing,
        why: "nothing was told of it yet".to_owned(),
        ..plain(Verdict::NoData, threshold, 0)
    }
}

/// The p95 is at most L if at least 95 % are.
fn latency(
    gate: &Gate,
    evidence: &Evidence,
    metric: &str,
    quantile: f64,
    at_most_ms: u32,
) -> Judgement {
    let limit = f64::from(at_most_ms);
    let Some(histogram) = evidence.latencies.get(metric) else {
        return no_data(limit, gate.min_samples);
    };
    let Some(within) = histogram.at_most(at_most_ms) else {
        return error(limit, "the limit is no edge of the histogram");
    };
    let beyond = histogram.total() - within;
    rate(gate, within, beyond, quantile, quantile, quantile)
}

/// A share of what went well: passed once it is proven to be above the floor and is seen above the target, failed
/// once it is proven to be below where it fails.
fn rate(gate: &Gate, good: u64, bad: u64, target: f64, floor: f64, fail_below: f64) -> Judgement {
    let is_share = |p: f64| p > 0.0 && p < 1.0;
    let ordered = floor <= target && fail_below <= target;
    if ![target, floor, fail_below].into_iter().all(is_share) || !ordered {
        return error(
            target,
            "the limits are no shares, or one is above the target",
        );
    }
    let samples = good + bad;
    if samples == 0 {
        return no_data(target, gate.min_samples.max(1));
    }
    let prior = Prior::around(floor, STRENGTH);
    let above = exp_shown(ln_e_value(good, bad, floor, Side::Above, prior));
    let prior = Prior::around(fail_below, STRENGTH);
    let below = exp_shown(ln_e_value(good, bad, fail_below, Side::Below, prior));
    let observed = good as f64 / samples as f64;
    let proof = 1.0 / gate.alpha;
    let enough = samples >= gate.min_samples;
    let (verdict, why) = if enough && below >= proof {
        (
            Verdict::Fail,
            format!("it is below {}", percent(fail_below)),
        )
    } else if enough && above >= proof && observed >= target {
        (Verdict::Pass, format!("it is above {}", percent(floor)))
    } else if !enough {
        let why = format!("{samples} samples of {}", gate.min_samples);
        (Verdict::Inconclusive, why)
    } else {
        let seen = percent(observed);
        let why = format!(
            "{seen} are seen, which proves neither; {} is good",
            percent(target)
        );
        (Verdict::Inconclusive, why)
    };
    Judgement {
        observed: Some(observed),
        missing: gate.min_samples.saturating_sub(samples),
        evidence_pass: Some(above),
        evidence_fail: Some(below),
        why,
        ..plain(verdict, target, samples)
    }
}

/// What went wrong in both arms: given one of those, the chance that it was the release's is known.
fn ratio(gate: &Gate, evidence: &Evidence, metric: &str, tolerated: f64, margin: f64) -> Judgement {
    let of = |arm: Option<&super::Counts>| arm.copied().unwrap_or_default();
    let (own, base) = (
        of(evidence.canary.get(metric)),
        of(evidence.control.get(metric)),
    );
    let (Some(own_bad), Some(base_bad)) = (own.bad(), base.bad()) else {
        return error(tolerated, "more went well than there were");
    };
    if tolerated.is_nan() || tolerated <= 0.0 {
        return error(tolerated, "the limit is no ratio");
    }
    let samples = own.total.min(base.total);
    if samples == 0 {
        return no_data(tolerated, gate.min_samples.max(1));
    }
    // As they came, and not as the percentage says: what is counted is commands, of which some people make more,
    // and a stage may be for a cohort alone.
    let share = own.total as f64 / (own.total + base.total) as f64;
    let supposed = share_of_hits(share, tolerated);
    let prior = Prior::around(supposed, STRENGTH);
    let above = exp_shown(ln_e_value(own_bad, base_bad, supposed, Side::Above, prior));
    let below = exp_shown(ln_e_value(own_bad, base_bad, supposed, Side::Below, prior));
    let rate = |bad: u64, total: u64| bad as f64 / total as f64;
    let base_rate = rate(base_bad, base.total);
    let observed = (base_rate > 0.0).then(|| rate(own_bad, own.total) / base_rate);
    let proof = 1.0 / gate.alpha;
    let enough = samples >= gate.min_samples;
    // The control's share is only known so well; what it surely is counts.
    let least = 1.0 - (wilson(base_bad, base.total).0 * tolerated + margin);
    let within = least > 0.0 && least < 1.0 && {
        let prior = Prior::around(least, STRENGTH);
        exp_shown(ln_e_value(own.good, own_bad, least, Side::Above, prior)) >= proof
    };
    let (verdict, why) = match (enough, above >= proof, below >= proof) {
        (true, false, false) if within => (
            Verdict::Pass,
            format!("it fails no more than {} above that", percent(margin)),
        ),
        (true, true, _) => (
            Verdict::Fail,
            format!("it fails more than {tolerated} times as often as the control"),
        ),
        (true, _, true) => (
            Verdict::Pass,
            format!("it fails less than {tolerated} times as often as the control"),
        ),
        (false, ..) => (
            Verdict::Inconclusive,
            format!("{samples} samples of {} in each arm", gate.min_samples),
        ),
        _ => (
            Verdict::Inconclusive,
            format!("{} failures prove neither", own_bad + base_bad),
        ),
    };
    Judgement {
        observed,
        missing: gate.min_samples.saturating_sub(samples),
        evidence_pass: Some(below),
        evidence_fail: Some(above),
        why,
        ..plain(verdict, tolerated, samples)
    }
}

/// A number that is not counted here. One that is from the future or no number is an error.
fn number(
    evidence: &Evidence,
    name: &str,
    limit: Limit,
    max_age_ms: u64,
    now: Timestamp,
) -> Judgement {
    let threshold = match limit {
        Limit::AtLeast(limit) | Limit::AtMost(limit) => limit,
    };
    let Some(number) = evidence.numbers.get(name) else {
        return no_data(threshold, 1);
    };
    if !number.value.is_finite() || number.at > now {
        return error(threshold, "it is no number, or from the future");
    }
    if now.millis_since(number.at) > max_age_ms {
        return Judgement {
            why: "what was told last is too old".to_owned(),
            ..no_data(threshold, 1)
        };
    }
    let good = match limit {
        Limit::AtLeast(limit) => number.value >= limit,
        Limit::AtMost(limit) => number.value <= limit,
    };
    let (verdict, word) = match good {
        true => (Verdict::Pass, "within"),
        false => (Verdict::Fail, "beyond"),
    };
    Judgement {
        observed: Some(number.value),
        why: format!("{} is {word} the limit", number.value),
        ..plain(verdict, threshold, 1)
    }
}

/// Requesters of each arm against the share that they should be. There is no proof of equality: it passes unless
/// the opposite is proven, once there are enough.
fn sample_ratio(gate: &Gate, evidence: &Evidence) -> Judgement {
    let (own, base) = (evidence.canary_units, evidence.control_units);
    let samples = own + base;
    let share = evidence.share;
    if !(share > 0.0 && share < 1.0) {
        return error(share, "there is no control to compare with");
    }
    if samples == 0 {
        return no_data(share, gate.min_samples.max(1));
    }
    let prior = Prior::around(share, SHARE_STRENGTH);
    let e = |side| ln_e_value(own, base, share, side, prior);
    let off = exp_shown(ln_mean(e(Side::Above), e(Side::Below)));
    let enough = samples >= gate.min_samples;
    let observed = own as f64 / samples as f64;
    let (verdict, why) = if off >= 1.0 / gate.alpha {
        let why = format!("{} are seen, and not {}", percent(observed), percent(share));
        (Verdict::Fail, why)
    } else if enough {
        (Verdict::Pass, format!("{} are seen", percent(observed)))
    } else {
        let why = format!("{samples} samples of {}", gate.min_samples);
        (Verdict::Inconclusive, why)
    };
    Judgement {
        observed: Some(observed),
        missing: gate.min_samples.saturating_sub(samples),
        evidence_fail: Some(off),
        why,
        ..plain(verdict, share, samples)
    }
}

/// JSON has no infinity.
fn exp_shown(ln_e: f64) -> f64 {
    exp(ln_e.min(690.0))
}

fn percent(share: f64) -> String {
    // Tenths are enough for people.
    format!("{} %", (share * 1000.0).round() / 10.0)
}
