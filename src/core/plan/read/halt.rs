//! Halts and the circuit breaker.

use super::gate::{max_age, percent, samples, wrong_side};
use super::{choice, edge, id, known, limit, number, one_of, quantile, times};
use crate::core::decode::{Decoder, Object, Path};
use crate::core::gate::{LATENCIES, Limit, METRICS, Says};
use crate::core::ids::Percentage;
use crate::core::json::Json;
use crate::core::plan::document::{
    Action, Breaker, Direction, Halt, LatencyLimit, MINUTE_MS, Rule,
};

/// A window with fewer says nothing, unless the plan says so.
const DEFAULT_MIN_SAMPLES: u64 = 100;

/// Half a percent: what is tried with after a cool-down, unless the plan says so.
const DEFAULT_PROBE: u32 = 500;

pub(super) fn halt(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Halt> {
    let mut o = d.object(json, at)?;
    let id = o.required(d, "id", id);
    let rule = o.required(d, "when", rule);
    let actions = [
        ("pause", Action::Pause),
        ("step_down", Action::StepDown),
        ("rollback", Action::Rollback),
    ];
    let action = o.optional(d, "action", |d, json, at| choice(d, json, at, &actions));
    o.finish(d);
    Some(Halt {
        id: id?,
        rule: rule?,
        action: action.unwrap_or(Action::Pause),
    })
}

fn rule(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Rule> {
    let mut o = d.object(json, at)?;
    let rule = match one_of(d, &o, at, &["rate", "quantile", "number", "check"])? {
        "rate" => rate(d, &mut o, at),
        "quantile" => latency(d, &mut o, at),
        "number" => told(d, &mut o, at),
        _ => {
            let name = o.required(d, "check", id);
            let consecutive = o.required(d, "consecutive", consecutive);
            name.zip(consecutive)
                .map(|(name, consecutive)| Rule::Check { name, consecutive })
        }
    };
    o.finish(d);
    rule
}

fn consecutive(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<u64> {
    d.integer(json, at, 1, 100)
}

/// What a window has: how long it is, and how many it needs.
fn window(d: &mut Decoder, o: &mut Object<'_, '_>) -> (Option<u64>, u64) {
    let window = o.required(d, "window_minutes", |d, json, at| {
        Some(d.integer(json, at, 1, 1440)? * MINUTE_MS)
    });
    let min_samples = o.optional(d, "min_samples", samples);
    (window, min_samples.unwrap_or(DEFAULT_MIN_SAMPLES))
}

fn rate(d: &mut Decoder, o: &mut Object<'_, '_>, at: &Path<'_>) -> Option<Rule> {
    let metric = o.required(d, "rate", |d, json, at| known(d, &METRICS, json, at));
    let over = o.optional(d, "over", percent);
    let under = o.optional(d, "under", percent);
    let over_baseline = o.optional(d, "over_baseline", times);
    let under_baseline = o.optional(d, "under_baseline", times);
    let sigma = o.optional(d, "sigma", |d, json, at| {
        number(d, json, at, 0.1..=100.0, "from 0.1 to 100")
    });
    let (window_ms, min_samples) = window(d, o);
    let limits = ["over", "under", "over_baseline", "under_baseline", "sigma"];
    let which = one_of(d, o, at, &limits)?;
    let known = metric?;
    match which {
        "over" | "under" => wrong_side(d, o, known.says, ["over", "under"])?,
        "sigma" => which,
        _ => wrong_side(d, o, known.says, ["over_baseline", "under_baseline"])?,
    };
    let (metric, window_ms) = (known.name.to_owned(), window_ms?);
    let factor = over_baseline.or(under_baseline);
    Some(match (which, known.says) {
        ("sigma", _) => Rule::Spike {
            metric,
            sigma: sigma?,
            window_ms,
            min_samples,
        },
        ("over" | "under", _) => Rule::Rate {
            metric,
            // What went wrong is below 30 % where 70 % went well.
            over: over.or(under.map(|under| 100.0 - under))? / 100.0,
            window_ms,
            min_samples,
        },
        (_, says) => {
            let factor = factor?;
            let (direction, empty) = match says {
                Says::Bad => (Direction::BadAbove, factor < 1.0),
                Says::Good => (Direction::GoodBelow, factor > 1.0),
            };
            if empty {
                d.report(&at.key(which), "would fire at the baseline itself");
            }
            Rule::Baseline {
                metric,
                factor,
                direction,
                window_ms,
                min_samples,
            }
        }
    })
}

fn latency(d: &mut Decoder, o: &mut Object<'_, '_>, at: &Path<'_>) -> Option<Rule> {
    let metric = o.required(d, "quantile", |d, json, at| known(d, &LATENCIES, json, at));
    let quantile = o.required(d, "p", quantile);
    let over_ms = o.optional(d, "over_ms", edge);
    let over_times = o.optional(d, "over_times_baseline", times);
    let (window_ms, min_samples) = window(d, o);
    one_of(d, o, at, &["over_ms", "over_times_baseline"])?;
    let limit = match over_ms {
        Some(ms) => LatencyLimit::AtMostMs(ms),
        None => LatencyLimit::TimesBaseline(over_times?),
    };
    Some(Rule::Quantile {
        metric: metric?.name.to_owned(),
        quantile: quantile?,
        limit,
        window_ms: window_ms?,
        min_samples,
    })
}

fn told(d: &mut Decoder, o: &mut Object<'_, '_>, at: &Path<'_>) -> Option<Rule> {
    let name = o.required(d, "number", id);
    let over = o.optional(d, "over", limit).map(Limit::AtMost);
    let under = o.optional(d, "under", limit).map(Limit::AtLeast);
    let max_age_ms = max_age(d, o, at);
    one_of(d, o, at, &["over", "under"])?;
    Some(Rule::Number {
        name: name?,
        limit: over.or(under)?,
        max_age_ms,
    })
}

pub(super) fn breaker(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Breaker> {
    let mut o = d.object(json, at)?;
    let check = o.required(d, "check", id);
    let consecutive = o.required(d, "consecutive", consecutive);
    let cool_down = o.optional(d, "cool_down_minutes", |d, json, at| {
        Some(d.integer(json, at, 1, 1440)? * MINUTE_MS)
    });
    let probe = o.optional(d, "probe_percentage", |d, json, at| {
        let probe = d.percentage(json, at)?;
        if probe == Percentage::ZERO {
            d.report(at, "must be more than 0: nothing is tried with nobody");
        }
        Some(probe)
    });
    o.finish(d);
    Some(Breaker {
        check: check?,
        consecutive: consecutive?,
        cool_down_ms: cool_down,
        probe: probe.or(Percentage::from_thousandths(DEFAULT_PROBE))?,
    })
}
