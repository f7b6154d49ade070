//! An experiment as the document has it (seed 000, "A/B Testing Opportunities"; seed 001, section 5).

use std::sync::Arc;

use super::FeatureScope;
use super::flag::{Layer, MAX_VARIANTS, Range, Variant, layer, papers, place, variants};
use crate::core::bucket::Bucket;
use crate::core::condition::Condition;
use crate::core::decode::{Decoder, Object, Path};
use crate::core::ids::{FlagKey, Percentage};
use crate::core::json::Json;
use crate::core::time::Timestamp;

/// The most metrics of one experiment.
const MAX_METRICS: usize = 10;

/// What of a metric's values is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// To be true, or to be false.
    Is(bool),
    /// A number no higher than this.
    AtMost(f64),
    /// A number no lower than this.
    AtLeast(f64),
}

/// Something that is told of requesters.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub name: FlagKey,
    pub goal: Goal,
}

impl Metric {
    /// Whether an outcome is good; `None`: it is not of the metric's type.
    pub fn is_good(&self, value: &Json) -> Option<bool> {
        match (self.goal, value) {
            (Goal::Is(good), Json::Bool(value)) => Some(*value == good),
            (Goal::AtMost(limit), Json::Number(value)) => Some(*value <= limit),
            (Goal::AtLeast(limit), Json::Number(value)) => Some(*value >= limit),
            _ => None,
        }
    }
}

/// Variants that are compared. Whoever is not in gets the control and is not counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    pub enabled: bool,
    /// Whose features it is among.
    pub scope: FeatureScope,
    pub variants: Arc<[Variant]>,
    pub control: u8,
    /// What is enough where there is no difference.
    pub simpler: u8,
    /// Who gets which variant. Together they are everybody.
    pub allocation: Vec<Range>,
    /// The share of requesters who take part.
    pub traffic: Percentage,
    /// Who may take part.
    pub only: Option<Condition>,
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub layer: Option<Layer>,
    pub holdout: Option<FlagKey>,
    /// What its buckets are drawn from and its counts are kept under: another one begins it again.
    pub rollout_id: String,
    /// The first one decides.
    pub metrics: Vec<Metric>,
    /// Requesters that each variant needs.
    pub min_samples: u64,
    /// The least gain that matters, in percent of the control's rate.
    pub threshold_percent: f64,
    /// The chance of calling something better, or worse, that is not.
    pub alpha: f64,
}

impl Experiment {
    /// The share of each variant, in thousandths of a percent and the order of the variants.
    pub fn weights(&self) -> Vec<u32> {
        let of = |place: usize| {
            let own = self
                .allocation
                .iter()
                .filter(|r| usize::from(r.variant) == place);
            own.map(|range| range.to - range.from).sum()
        };
        (0..self.variants.len()).map(of).collect()
    }
}

pub(super) fn experiment(
    d: &mut Decoder,
    key: &FlagKey,
    json: &Json,
    at: &Path<'_>,
) -> Option<Experiment> {
    let mut o = d.object(json, at)?;
    let variants = o.required(d, "variants", variants);
    let names = variants.clone().unwrap_or_default();
    if variants.is_some() && names.len() < 2 {
        d.report(
            &at.key("variants"),
            "must be two variants or more, to be compared",
        );
    }
    let place = |d: &mut Decoder, json: &Json, at: &Path<'_>| place(d, &names, json, at);
    let control = o.required(d, "control", place);
    let simpler = o.optional(d, "simpler", place);
    let allocation = o.optional(d, "allocation", |d, json, at| {
        allocation(d, &names, json, at)
    });
    let metrics = o.required(d, "metrics", metrics);
    let enabled = o.optional(d, "enabled", Decoder::bool);
    let scope = o.optional(d, "release", |d, json, at| {
        d.parse(json, at).map(FeatureScope::Release)
    });
    let traffic = o.optional(d, "traffic", Decoder::percentage);
    let only = o.optional(d, "if", Condition::decode);
    let start = o.optional(d, "start", Decoder::parse);
    let end = o.optional(d, "end", Decoder::parse);
    if start.zip(end).is_some_and(|(start, end)| end <= start) {
        d.report(&at.key("end"), "must be after start");
    }
    let layer = o.optional(d, "layer", layer);
    let holdout = o.optional(d, "holdout", Decoder::parse);
    let id = o.optional(d, "rollout_id", |d, json, at| d.parse::<FlagKey>(json, at));
    let min_samples = o.optional(d, "min_samples", |d, json, at| {
        d.integer(json, at, 1, 1 << 32)
    });
    let threshold = o.optional(d, "threshold_percent", |d, json, at| {
        number(d, json, at, 0.0, 100.0)
    });
    let alpha = o.optional(d, "alpha", |d, json, at| number(d, json, at, 1e-6, 0.5));
    papers(d, &mut o, &["risks"]);
    o.finish(d);
    let control = control.unwrap_or_default();
    Some(Experiment {
        enabled: enabled.unwrap_or(true),
        scope: scope.unwrap_or(FeatureScope::All),
        allocation: allocation.unwrap_or_else(|| evenly(&names)),
        variants: names,
        control,
        simpler: simpler.unwrap_or(control),
        traffic: traffic.unwrap_or(Percentage::FULL),
        only,
        start,
        end,
        layer,
        holdout,
        rollout_id: format!("experiment/{}", id.as_ref().unwrap_or(key)),
        metrics: metrics.unwrap_or_default(),
        // Seed 001, "Decision Criteria".
        min_samples: min_samples.unwrap_or(1000),
        threshold_percent: threshold.unwrap_or(5.0),
        alpha: alpha.unwrap_or(0.05),
    })
}

/// The same share for each.
fn evenly(names: &[Variant]) -> Vec<Range> {
    let all = u64::from(Bucket::COUNT);
    let count = names.len().clamp(1, MAX_VARIANTS) as u64;
    // Below COUNT.
    let edge = |i: u64| (all * i / count) as u32;
    let weights = (0..count).map(|i| edge(i + 1) - edge(i));
    let by_name = by_name(names);
    ranges(by_name.into_iter().zip(weights))
}

/// The places of the variants in the order of their names: the order of an object's members means
/// nothing, and must not move anyone.
fn by_name(names: &[Variant]) -> Vec<u8> {
    let mut places: Vec<(&FlagKey, u8)> = names.iter().map(|v| &v.name).zip(0..).collect();
    places.sort_unstable();
    places.into_iter().map(|(_, place)| place).collect()
}

/// One after the other.
fn ranges(weights: impl Iterator<Item = (u8, u32)>) -> Vec<Range> {
    let mut from = 0;
    let range = |(variant, weight)| {
        let range = Range {
            variant,
            from,
            to: from + weight,
        };
        from = range.to;
        range
    };
    weights.map(range).collect()
}

fn allocation(
    d: &mut Decoder,
    names: &[Variant],
    json: &Json,
    at: &Path<'_>,
) -> Option<Vec<Range>> {
    let mut weights = vec![0; names.len()];
    for (name, weight) in d.entries(json, at)? {
        let at = at.key(name);
        let variant = place(d, names, &Json::String(name.to_owned()), &at);
        let weight = d.percentage(weight, &at)?;
        if let Some(slot) = variant.and_then(|place| weights.get_mut(usize::from(place))) {
            *slot = weight.thousandths();
        }
    }
    if weights.iter().sum::<u32>() != Bucket::COUNT || weights.contains(&0) {
        d.report(
            at,
            "must give every variant more than nothing, and 100 together; ramp with \"traffic\"",
        );
        return None;
    }
    let of = |place: u8| weights.get(usize::from(place)).copied().unwrap_or(0);
    let by_name = by_name(names).into_iter();
    Some(ranges(by_name.map(|place| (place, of(place)))))
}

fn metrics(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Vec<Metric>> {
    let metrics = d.list(json, at, metric);
    if metrics.is_empty() || metrics.len() > MAX_METRICS {
        d.report(
            at,
            format!("must be 1 to {MAX_METRICS} metrics; the first one decides"),
        );
    }
    let mut names: Vec<_> = metrics.iter().map(|metric| &metric.name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        d.report(at, "names a metric twice");
    }
    Some(metrics)
}

/// A name, of what is good when it is true; or an object.
fn metric(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Metric> {
    if let Json::String(_) = json {
        return Some(Metric {
            name: d.parse(json, at)?,
            goal: Goal::Is(true),
        });
    }
    let mut o: Object<'_, '_> = d.object(json, at)?;
    let name = o.required(d, "name", Decoder::parse);
    let good = o.optional(d, "good", Decoder::bool).map(Goal::Is);
    let limit = |d: &mut Decoder, json: &Json, at: &Path<'_>| number(d, json, at, -1e15, 1e15);
    let at_most = o.optional(d, "at_most", limit).map(Goal::AtMost);
    let at_least = o.optional(d, "at_least", limit).map(Goal::AtLeast);
    o.finish(d);
    let goals: Vec<Goal> = [good, at_most, at_least].into_iter().flatten().collect();
    if goals.len() > 1 {
        d.report(at, "must have one of good, at_most and at_least");
    }
    Some(Metric {
        name: name?,
        goal: goals.first().copied().unwrap_or(Goal::Is(true)),
    })
}

fn number(d: &mut Decoder, json: &Json, at: &Path<'_>, min: f64, max: f64) -> Option<f64> {
    match json {
        Json::Number(number) if (min..=max).contains(number) => Some(*number),
        _ => {
            d.report(at, format!("must be a number from {min} to {max}"));
            None
        }
    }
}
