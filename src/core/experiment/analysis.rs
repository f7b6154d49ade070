//! What the counts of an experiment show, by evidence that may be looked at any time.
//!
//! Two arms get known shares of the requesters. Given that something went wrong, the chance that it came
//! from the second arm is known as long as both are as good; so is it, given that something went well. Each
//! gives an e-value, and their mean is used, because either may be the rarer.

use libm::exp;
use serde::Serialize;

use super::tally::{Counts, EVER};
use crate::core::config::{Experiment, Metric};
use crate::core::stats::{Prior, Side, ln_e_value, ln_mean, share_of_hits, wilson};
use crate::core::time::Timestamp;

/// How strongly the prior holds to equal arms, in observations: it finds ratios between about 0.6 and
/// 1.6 soonest.
const STRENGTH: f64 = 20.0;

/// The chance of crying wolf over the ratio of samples.
const RATIO_ALPHA: f64 = 0.01;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "ExperimentDecision"))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Give everybody the variant that is named.
    Ship,
    /// Stay with the control.
    Keep,
    /// Go on, or begin again where the reason says so.
    Undecided,
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "ExperimentReason"))]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It is better by more than the threshold, and worse in nothing.
    Better,
    /// Nothing beats the control, and something is worse.
    Worse,
    /// There is no difference that matters, so the simpler one is enough.
    NoDifference,
    /// Too few were counted.
    Samples,
    /// The arms got other shares than they should have: what was counted cannot be trusted.
    SampleRatio,
    /// Enough were counted, and it is not clear yet.
    NotYet,
}

/// Where an experiment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "ExperimentState"))]
#[serde(rename_all = "snake_case")]
pub enum State {
    Off,
    Scheduled,
    Running,
    Ended,
}

impl State {
    pub fn of(experiment: &Experiment, now: Timestamp) -> Self {
        if experiment.end.is_some_and(|end| now >= end) {
            Self::Ended
        } else if !experiment.enabled {
            Self::Off
        } else if experiment.start.is_some_and(|start| now < start) {
            Self::Scheduled
        } else {
            Self::Running
        }
    }
}

/// One variant, counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "ExperimentArm"))]
pub struct Arm {
    pub variant: String,
    pub control: bool,
    /// The share of the requesters that it should get, 0 to 1.
    pub share: f64,
    /// Requesters who got it.
    pub units: u64,
    /// The sum of its requesters of each day.
    pub unit_days: u64,
    pub metrics: Vec<MetricResult>,
}

/// How one metric went in one variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct MetricResult {
    pub metric: String,
    /// Requesters of whom an outcome was told, their first.
    pub samples: u64,
    pub good: u64,
    /// `good` of `samples`; `null` without any.
    pub rate: Option<f64>,
    /// Wilson's 95 % interval of the rate.
    pub low: f64,
    pub high: f64,
}

/// One metric of one variant beside the control's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "ExperimentComparison"))]
pub struct Comparison {
    pub variant: String,
    pub metric: String,
    /// The first metric decides; the others may only speak against a variant.
    pub primary: bool,
    /// The rate's change over the control's, in percent; `null` where there is nothing to divide.
    pub improvement_percent: Option<f64>,
    /// Evidence that it is better, as an e-value: 20 is proof at 5 %. At most 1e300.
    pub evidence_better: f64,
    pub evidence_worse: f64,
    /// Evidence that it is not better by more than the threshold.
    pub evidence_no_gain: f64,
}

/// Do the arms get the shares that they should?
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct SampleRatio {
    pub ok: bool,
    /// Evidence that they do not: 100 is proof at 1 %.
    pub evidence: f64,
    /// Of what, where it is not as it should be.
    pub of: Option<String>,
}

/// What an experiment shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Analysis {
    pub state: State,
    pub decision: Decision,
    pub because: Because,
    /// The variant to give everybody, once that is decided.
    pub variant: Option<String>,
    /// In a sentence.
    pub why: String,
    /// Requesters that each variant needs, with an outcome of the first metric.
    pub samples_needed: u64,
    /// The least gain that matters, in percent of the control's rate.
    pub threshold_percent: f64,
    /// From here on evidence is proof.
    pub proof: f64,
    pub sample_ratio: SampleRatio,
    pub arms: Vec<Arm>,
    pub comparisons: Vec<Comparison>,
}

/// Looks at what was counted.
pub fn analyse(experiment: &Experiment, counts: &Counts, now: Timestamp) -> Analysis {
    let state = State::of(experiment, now);
    let arms = arms(experiment, counts);
    let comparisons = comparisons(experiment, &arms);
    let sample_ratio = sample_ratio(experiment, &arms);
    // Each further variant is one more chance to be wrong (Bonferroni).
    let others = arms.len().saturating_sub(1).max(1);
    let proof = others as f64 / experiment.alpha;
    let mut analysis = Analysis {
        state,
        decision: Decision::Undecided,
        because: Because::NotYet,
        variant: None,
        why: String::new(),
        samples_needed: experiment.min_samples,
        threshold_percent: experiment.threshold_percent,
        proof,
        sample_ratio,
        arms,
        comparisons,
    };
    let (decision, because, variant, why) = decide(experiment, &analysis);
    analysis.decision = decision;
    analysis.because = because;
    analysis.variant = variant;
    analysis.why = why;
    analysis
}

fn arms(experiment: &Experiment, counts: &Counts) -> Vec<Arm> {
    let weights = experiment.weights();
    let all: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let arm = |(place, weight): (usize, &u32)| {
        let name = experiment.variants.get(place)?.name.as_str();
        let of_days = counts
            .0
            .iter()
            .filter(|(cell, _)| cell.day != EVER && cell.variant == name && cell.metric.is_empty());
        Some(Arm {
            variant: name.to_owned(),
            control: place == usize::from(experiment.control),
            share: f64::from(*weight) / all.max(1) as f64,
            units: counts.get(EVER, name, "").total,
            unit_days: of_days.map(|(_, count)| count.total).sum(),
            metrics: experiment
                .metrics
                .iter()
                .map(|metric| result(metric, counts, name))
                .collect(),
        })
    };
    weights.iter().enumerate().filter_map(arm).collect()
}

fn result(metric: &Metric, counts: &Counts, variant: &str) -> MetricResult {
    let count = counts.get(EVER, variant, metric.name.as_str());
    let (low, high) = wilson(count.good, count.total);
    MetricResult {
        metric: metric.name.to_string(),
        samples: count.total,
        good: count.good,
        rate: (count.total > 0).then(|| count.good as f64 / count.total as f64),
        low,
        high,
    }
}

fn comparisons(experiment: &Experiment, arms: &[Arm]) -> Vec<Comparison> {
    let Some(control) = arms.iter().find(|arm| arm.control) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for arm in arms.iter().filter(|arm| !arm.control) {
        for (i, (own, base)) in arm.metrics.iter().zip(&control.metrics).enumerate() {
            let share = arm.share / (arm.share + control.share);
            let improvement = own.rate.zip(base.rate).filter(|(_, base)| *base > 0.0);
            let gain = 1.0 + experiment.threshold_percent / 100.0;
            found.push(Comparison {
                variant: arm.variant.clone(),
                metric: own.metric.clone(),
                primary: i == 0,
                improvement_percent: improvement.map(|(own, base)| (own / base - 1.0) * 100.0),
                evidence_better: evidence(own, base, share, Side::Above),
                evidence_worse: evidence(own, base, share, Side::Below),
                evidence_no_gain: shown(good_evidence(own, base, share, gain, Side::Below)),
            });
        }
    }
    found
}

/// Evidence that the second arm is better, or worse, than the first.
fn evidence(own: &MetricResult, base: &MetricResult, share: f64, side: Side) -> f64 {
    let other = match side {
        Side::Above => Side::Below,
        Side::Below => Side::Above,
    };
    let good = good_evidence(own, base, share, 1.0, side);
    let prior = Prior::around(share, STRENGTH);
    let bad = ln_e_value(
        own.samples - own.good,
        base.samples - base.good,
        share,
        other,
        prior,
    );
    shown(ln_mean(good, bad))
}

/// ln of the evidence that what goes well does so more, or less, than `ratio` times as often.
fn good_evidence(
    own: &MetricResult,
    base: &MetricResult,
    share: f64,
    ratio: f64,
    side: Side,
) -> f64 {
    let supposed = share_of_hits(share, ratio);
    let prior = Prior::around(supposed, STRENGTH);
    ln_e_value(own.good, base.good, supposed, side, prior)
}

/// JSON has no infinity.
fn shown(ln_e: f64) -> f64 {
    exp(ln_e.min(690.0))
}

/// Each arm beside the control, those counted and those of whom the first metric is known: a
/// variant that crashes before it can tell shows in the latter.
fn sample_ratio(experiment: &Experiment, arms: &[Arm]) -> SampleRatio {
    let mut worst = SampleRatio {
        ok: true,
        evidence: 1.0,
        of: None,
    };
    let Some(control) = arms.iter().find(|arm| arm.control) else {
        return worst;
    };
    let first = |arm: &Arm| arm.metrics.first().map_or(0, |metric| metric.samples);
    let metric = experiment.metrics.first();
    let metric = metric.map_or_else(String::new, |m| format!("outcomes of {}", m.name));
    let others = arms.len().saturating_sub(1).max(1);
    for arm in arms.iter().filter(|arm| !arm.control) {
        let share = arm.share / (arm.share + control.share);
        let pairs = [
            ("requesters".to_owned(), arm.units, control.units),
            (metric.clone(), first(arm), first(control)),
        ];
        for (what, own, base) in pairs {
            let prior = Prior::around(share, STRENGTH * 10.0);
            let either =
                [Side::Above, Side::Below].map(|side| ln_e_value(own, base, share, side, prior));
            let evidence = shown(ln_mean(either[0], either[1]));
            if evidence > worst.evidence {
                // Two things are looked at, of each arm.
                let proof = 2.0 * others as f64 / RATIO_ALPHA;
                worst = SampleRatio {
                    ok: worst.ok && evidence < proof,
                    evidence,
                    of: Some(format!(
                        "{what}: {own} got {}, {base} {}",
                        arm.variant, control.variant
                    )),
                };
            }
        }
    }
    if worst.ok {
        worst.of = None;
    }
    worst
}

type Decided = (Decision, Because, Option<String>, String);

fn decide(experiment: &Experiment, analysis: &Analysis) -> Decided {
    let undecided = |because, why: String| (Decision::Undecided, because, None, why);
    if !analysis.sample_ratio.ok {
        let of = analysis.sample_ratio.of.as_deref().unwrap_or_default();
        return undecided(
            Because::SampleRatio,
            format!(
                "The variants do not get the shares that they should ({of}). Find out why, and begin again."
            ),
        );
    }
    let samples = |arm: &Arm| arm.metrics.first().map_or(0, |metric| metric.samples);
    let short = analysis.arms.iter().min_by_key(|arm| samples(arm));
    if let Some(arm) = short.filter(|arm| samples(arm) < experiment.min_samples) {
        let (have, need) = (samples(arm), experiment.min_samples);
        let hint = match analysis.state {
            State::Ended => " It has ended: give it more time, or more traffic.",
            _ => "",
        };
        return undecided(
            Because::Samples,
            format!(
                "{} has {have} of the {need} outcomes that each variant needs.{hint}",
                arm.variant
            ),
        );
    }
    let proof = analysis.proof;
    let of = |variant: &str| -> Vec<&Comparison> {
        let own = analysis.comparisons.iter();
        own.filter(|c| c.variant == variant).collect()
    };
    let others = analysis.arms.iter().filter(|arm| !arm.control);
    let mut best: Option<(&Arm, f64)> = None;
    let (mut open, mut worse) = (false, None);
    for arm in others {
        let comparisons = of(&arm.variant);
        let Some(primary) = comparisons.iter().find(|c| c.primary) else {
            continue;
        };
        if let Some(bad) = comparisons.iter().find(|c| c.evidence_worse >= proof) {
            worse = worse.or(Some((arm, bad.metric.clone())));
            continue;
        }
        // A rate that was nothing before is better by any measure.
        let gain = primary.improvement_percent.unwrap_or(f64::INFINITY);
        if primary.evidence_better >= proof && gain >= experiment.threshold_percent {
            if best.is_none_or(|(_, other)| gain > other) {
                best = Some((arm, gain));
            }
        } else if primary.evidence_no_gain < proof {
            open = true;
        }
    }
    if let Some((arm, gain)) = best {
        let metric = experiment.metrics.first().map_or("", |m| m.name.as_str());
        return (
            Decision::Ship,
            Because::Better,
            Some(arm.variant.clone()),
            format!(
                "{} is better: {metric} is up by {gain:.1} %, and nothing is worse.",
                arm.variant
            ),
        );
    }
    let control = analysis.arms.iter().find(|arm| arm.control);
    let control = control.map(|arm| arm.variant.clone());
    if open && analysis.state != State::Ended {
        return undecided(
            Because::NotYet,
            "There is enough to look at and no clear difference yet. Let it run.".to_owned(),
        );
    }
    let simpler = experiment.variants.get(usize::from(experiment.simpler));
    let simpler = simpler.map(|variant| variant.name.to_string());
    if let Some((arm, metric)) = worse
        && (simpler == control || simpler.as_ref() == Some(&arm.variant))
    {
        return (
            Decision::Keep,
            Because::Worse,
            control,
            format!("{} is worse: {metric} went down.", arm.variant),
        );
    }
    let decision = if simpler == control {
        Decision::Keep
    } else {
        Decision::Ship
    };
    let name = simpler.clone().unwrap_or_default();
    (
        decision,
        Because::NoDifference,
        simpler,
        format!(
            "There is no difference of {} % or more, so the simpler one is enough: {name}.",
            experiment.threshold_percent
        ),
    )
}
