//! Gates.

use super::{choice, edge, id, known, limit, number, one_of, quantile, times};
use crate::core::decode::{Decoder, Object, Path};
use crate::core::gate::{Ask, Gate, LATENCIES, Limit, METRICS, Says};
use crate::core::json::Json;
use crate::core::plan::document::{Action, HOUR_MS, MINUTE_MS, StageGate};

/// What a share has to be told from: there is no proof of equality (seeds 001 and 004 ask for so many).
const SAMPLE_RATIO_MIN: u64 = 1000;

const DEFAULT_ALPHA: f64 = 0.05;

pub(super) fn gate(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<StageGate> {
    let mut o = d.object(json, at)?;
    let kinds = [
        "rate",
        "ratio",
        "quantile",
        "number",
        "coverage",
        "sample_ratio",
    ];
    let kind = one_of(d, &o, at, &kinds)?;
    let own_id = o.optional(d, "id", id);
    let named = match kind {
        "rate" => rate(d, &mut o, at),
        "ratio" => ratio(d, &mut o),
        "quantile" => latency(d, &mut o, at),
        "number" => told(d, &mut o, at),
        "coverage" => coverage(d, &mut o),
        _ => sample_ratio(d, &mut o),
    };
    let actions = [
        ("hold", Action::Hold),
        ("pause", Action::Pause),
        ("step_down", Action::StepDown),
        ("rollback", Action::Rollback),
    ];
    let on_fail = o.optional(d, "on_fail", |d, json, at| choice(d, json, at, &actions));
    // Numbers and coverage are what they are: nothing is proven of them.
    let (mut min_samples, mut alpha) = (None, None);
    if !matches!(kind, "number" | "coverage") {
        min_samples = o.optional(d, "min_samples", samples);
        alpha = o.optional(d, "alpha", |d, json, at| {
            number(d, json, at, 1e-6..=0.5, "from 0.000001 to 0.5")
        });
    }
    o.finish(d);
    let (name, ask) = named?;
    let default_min = match ask {
        Ask::SampleRatio => SAMPLE_RATIO_MIN,
        _ => 0,
    };
    Some(StageGate {
        id: own_id.unwrap_or(name),
        gate: Gate {
            ask,
            min_samples: min_samples.unwrap_or(default_min),
            alpha: alpha.unwrap_or(DEFAULT_ALPHA),
        },
        on_fail: on_fail.unwrap_or(Action::Pause),
    })
}

pub(super) fn samples(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<u64> {
    d.integer(json, at, 0, 1_000_000_000)
}

/// A share of something, above none and below all: a limit at either end can never be proven.
pub(super) fn percent(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<f64> {
    number(
        d,
        json,
        at,
        0.001..=99.999,
        "of percent, from 0.001 to 99.999",
    )
}

/// Refuses the field of the other side, where 5 % of errors would be read as 5 % that went well.
pub(super) fn wrong_side(
    d: &mut Decoder,
    o: &mut Object<'_, '_>,
    says: Says,
    [bad, good]: [&'static str; 2],
) -> Option<&'static str> {
    let (right, wrong, what) = match says {
        Says::Good => (good, bad, "well"),
        Says::Bad => (bad, good, "wrong"),
    };
    if o.has(wrong) {
        return o.optional(d, wrong, |d, _, at| {
            d.report(
                at,
                format!("is for the other side: the metric counts what goes {what}; use {right}"),
            );
            None
        });
    }
    Some(right)
}

fn rate(d: &mut Decoder, o: &mut Object<'_, '_>, at: &Path<'_>) -> Option<(String, Ask)> {
    let metric = o.required(d, "rate", |d, json, at| known(d, &METRICS, json, at));
    // The fields that are left are not looked at without it, but known.
    let says = metric.map_or(Says::Bad, |metric| metric.says);
    let field = |d: &mut Decoder, o: &mut Object<'_, '_>, names: [&'static str; 2], needed| {
        let name = match metric {
            Some(_) => wrong_side(d, o, says, names)?,
            None => {
                let there = names.into_iter().find(|name| o.has(name));
                there?
            }
        };
        match needed {
            true => o.required(d, name, percent),
            false => o.optional(d, name, percent),
        }
    };
    let target = field(d, o, ["at_most", "at_least"], true);
    let floor = field(d, o, ["ceiling", "floor"], false);
    let fail = field(d, o, ["fail_above", "fail_below"], false);
    let (metric, target) = (metric?, target?);
    let floor = floor.unwrap_or(target);
    let fail = fail.unwrap_or(floor);
    let beyond = |limit: f64| match says {
        Says::Good => limit > target,
        Says::Bad => limit < target,
    };
    if beyond(floor) || beyond(fail) {
        d.report(
            at,
            match says {
                Says::Good => "must have floor and fail_below at most at_least",
                Says::Bad => "must have ceiling and fail_above at least at_most",
            },
        );
    }
    // Divided last, so that 86 is the double nearest to 0.86.
    let share = |percent: f64| match says {
        Says::Good => percent / 100.0,
        Says::Bad => (100.0 - percent) / 100.0,
    };
    let name = metric.name.to_owned();
    Some((
        name.clone(),
        Ask::Rate {
            metric: name,
            at_least: share(target),
            floor: share(floor),
            fail_below: share(fail),
        },
    ))
}

/// Percent above what a ratio allows that nobody minds.
const MARGIN: f64 = 0.5;

fn ratio(d: &mut Decoder, o: &mut Object<'_, '_>) -> Option<(String, Ask)> {
    let metric = o.required(d, "ratio", |d, json, at| known(d, &METRICS, json, at));
    let at_most = o.required(d, "at_most", times);
    let margin = o.optional(d, "margin", percent);
    let metric = metric?.name.to_owned();
    Some((
        format!("{metric}-ratio"),
        Ask::Ratio {
            metric,
            at_most: at_most?,
            margin: margin.unwrap_or(MARGIN) / 100.0,
        },
    ))
}

fn latency(d: &mut Decoder, o: &mut Object<'_, '_>, at: &Path<'_>) -> Option<(String, Ask)> {
    let metric = o.required(d, "quantile", |d, json, at| known(d, &LATENCIES, json, at));
    let quantile = o.required(d, "p", quantile);
    let at_most_ms = o.optional(d, "at_most_ms", edge);
    let at_most = o.optional(d, "at_most_times_control", times);
    let which = one_of(d, o, at, &["at_most_ms", "at_most_times_control"])?;
    let (metric, quantile) = (metric?.name.to_owned(), quantile?);
    let name = format!("{metric}-p{}", (quantile * 1000.0).round() / 10.0);
    let ask = match which {
        "at_most_ms" => Ask::Quantile {
            metric,
            quantile,
            at_most_ms: at_most_ms?,
        },
        _ => Ask::QuantileRatio {
            metric,
            quantile,
            at_most: at_most?,
        },
    };
    let name = match ask {
        Ask::QuantileRatio { .. } => format!("{name}-ratio"),
        _ => name,
    };
    Some((name, ask))
}

fn told(d: &mut Decoder, o: &mut Object<'_, '_>, at: &Path<'_>) -> Option<(String, Ask)> {
    let name = o.required(d, "number", id);
    let at_most = o.optional(d, "at_most", limit).map(Limit::AtMost);
    let at_least = o.optional(d, "at_least", limit).map(Limit::AtLeast);
    one_of(d, o, at, &["at_most", "at_least"])?;
    let max_age_ms = max_age(d, o, at);
    let name = name?;
    Some((
        name.clone(),
        Ask::Number {
            name,
            limit: at_most.or(at_least)?,
            max_age_ms,
        },
    ))
}

/// How old a number may be, in hours or in minutes; a day where it is not said.
pub(super) fn max_age(d: &mut Decoder, o: &mut Object<'_, '_>, at: &Path<'_>) -> u64 {
    let age = |unit: u64, most: u64| {
        move |d: &mut Decoder, json: &Json, at: &Path<'_>| {
            Some(d.integer(json, at, 1, most)? * unit)
        }
    };
    let hours = o.optional(d, "max_age_hours", age(HOUR_MS, 8784));
    let minutes = o.optional(d, "max_age_minutes", age(MINUTE_MS, 1440));
    if o.has("max_age_hours") && o.has("max_age_minutes") {
        d.report(at, "must have one of max_age_hours and max_age_minutes");
    }
    hours.or(minutes).unwrap_or(24 * HOUR_MS)
}

fn coverage(d: &mut Decoder, o: &mut Object<'_, '_>) -> Option<(String, Ask)> {
    let platforms = o.required(d, "coverage", |d, json, at| {
        Some(super::items(d, json, at, 1..=super::MAX_ITEMS, id))
    });
    let each = o.optional(d, "each", |d, json, at| d.integer(json, at, 1, 1_000_000));
    Some((
        "coverage".to_owned(),
        Ask::Coverage {
            platforms: platforms?,
            each: each.unwrap_or(1),
        },
    ))
}

fn sample_ratio(d: &mut Decoder, o: &mut Object<'_, '_>) -> Option<(String, Ask)> {
    let on = o.required(d, "sample_ratio", |d, json, at| {
        let on = d.bool(json, at)?;
        if !on {
            d.report(at, "must be true; leave the gate out to not ask");
        }
        Some(on)
    });
    on.map(|_| ("sample-ratio".to_owned(), Ask::SampleRatio))
}
