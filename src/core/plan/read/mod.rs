//! A plan from its document, with every mistake and its path. Hours, minutes and percents are what people write;
//! milliseconds and shares of what went well are what the rest of the code counts in.

mod gate;
mod halt;
mod policy;

use core::ops::RangeInclusive;

use self::gate::gate;
use self::halt::{breaker, halt};
use self::policy::policy;
use super::document::{Approval, Audience, HOUR_MS, Mode, Plan, Policy, Stage, StageGate};
use crate::core::decode::{Decoder, Object, Path, Problem};
use crate::core::gate::{Known, LATENCY_EDGES_MS};
use crate::core::ids::{FlagKey, Percentage};
use crate::core::json::Json;
use crate::core::role::Role;

/// The largest document, as compact JSON.
pub const MAX_BYTES: usize = 32 * 1024;

const MAX_STAGES: usize = 20;
/// Of gates in a stage, halts, freezes, cohorts: more than these are a mistake.
const MAX_ITEMS: usize = 50;
/// The longest text for people.
const MAX_TEXT: usize = 2000;
/// A year: the longest time of a document.
const YEAR_HOURS: f64 = 8784.0;

impl Plan {
    /// Reads a plan; or everything that is wrong with it.
    pub fn parse(json: &Json) -> Result<Self, Vec<Problem>> {
        let mut d = Decoder::default();
        let too_large = serde_json::to_vec(json).is_ok_and(|text| text.len() > MAX_BYTES);
        if too_large {
            // Not read any further: it may be hostile.
            d.report(
                &Path::Root,
                "is larger than 32 KiB, the most a plan may have",
            );
        }
        let plan = match too_large {
            true => None,
            false => plan(&mut d, json, &Path::Root),
        };
        match plan {
            Some(plan) => d.finish(plan),
            None => d.finish(()).and(Err(Vec::new())),
        }
    }
}

fn plan(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Plan> {
    let mut o = d.object(json, at)?;
    let name = o.required(d, "name", id);
    let description = o.optional(d, "description", text);
    // For people; the document is kept.
    o.optional(d, "source", text);
    let common = o.optional(d, "gates", gates).unwrap_or_default();
    let stages = o.required(d, "stages", |d, json, at| {
        Some(items(d, json, at, 1..=MAX_STAGES, |d, json, at| {
            stage(d, &common, json, at)
        }))
    });
    if let Some(stages) = &stages {
        unique(d, &at.key("stages"), stages.iter().map(|stage| &stage.id));
    }
    let watch = o.optional(d, "watch_hours", hours);
    let halts = o.optional(d, "halts", |d, json, at| {
        let halts = items(d, json, at, 0..=MAX_ITEMS, halt);
        unique(d, at, halts.iter().map(|halt| &halt.id));
        Some(halts)
    });
    let breaker = o.optional(d, "breaker", breaker);
    let policy = o.optional(d, "policy", policy);
    o.finish(d);
    Some(Plan {
        name: name?,
        description: description.unwrap_or_default(),
        stages: stages?,
        watch_ms: watch.unwrap_or(0),
        halts: halts.unwrap_or_default(),
        breaker,
        policy: policy.unwrap_or_else(Policy::default),
    })
}

fn stage(d: &mut Decoder, common: &[StageGate], json: &Json, at: &Path<'_>) -> Option<Stage> {
    let mut o = d.object(json, at)?;
    let id = o.required(d, "id", id);
    o.optional(d, "name", text);
    let percentage = o.required(d, "percentage", Decoder::percentage);
    let audience = o.optional(d, "audience", audience);
    let soak = o.optional(d, "soak", soak);
    let own = o.optional(d, "gates", gates).unwrap_or_default();
    let approval = o.optional(d, "approval", approval);
    o.finish(d);
    // A stage's own gate takes the place of the plan's with its id. Where everybody has the release, there is no
    // control that the plan's could compare with.
    let is_asked = |gate: &&StageGate| {
        let full = percentage == Some(Percentage::FULL);
        !(full && gate.gate.ask.has_control() || own.iter().any(|own| own.id == gate.id))
    };
    let mut gates: Vec<StageGate> = common.iter().filter(is_asked).cloned().collect();
    gates.extend(own);
    let (soak_min_ms, soak_max_ms) = soak.unwrap_or((0, None));
    Some(Stage {
        id: id?,
        percentage: percentage?,
        audience,
        soak_min_ms,
        soak_max_ms,
        gates,
        approval,
    })
}

fn gates(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Vec<StageGate>> {
    let gates = items(d, json, at, 0..=MAX_ITEMS, gate);
    unique(d, at, gates.iter().map(|gate| &gate.id));
    Some(gates)
}

fn audience(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Audience> {
    let mut o = d.object(json, at)?;
    let modes = [("only", Mode::Only), ("or", Mode::Or), ("and", Mode::And)];
    let mode = o.required(d, "mode", |d, json, at| choice(d, json, at, &modes));
    let cohorts = o.optional(d, "cohorts", |d, json, at| {
        Some(items(d, json, at, 0..=MAX_ITEMS, Decoder::parse))
    });
    let allowlist = o.optional(d, "allowlist", Decoder::bool).unwrap_or(false);
    let cohorts = cohorts.unwrap_or_default();
    if cohorts.is_empty() && !allowlist {
        d.report(
            at,
            "is nobody: name \"cohorts\", or set \"allowlist\" to true",
        );
    }
    o.finish(d);
    Some(Audience {
        mode: mode?,
        cohorts,
        allowlist,
    })
}

fn soak(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<(u64, Option<u64>)> {
    let mut o = d.object(json, at)?;
    let min = o.optional(d, "min_hours", hours).unwrap_or(0);
    let max = o.optional(d, "max_hours", hours);
    o.finish(d);
    if max.is_some_and(|max| max < min) {
        d.report(&at.key("max_hours"), "must be at least min_hours");
    }
    Some((min, max))
}

fn approval(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Approval> {
    let mut o = d.object(json, at)?;
    let role = |d: &mut Decoder, json: &Json, at: &Path<'_>| {
        let role = d.parse::<Role>(json, at)?;
        if matches!(role, Role::Bot | Role::Viewer) {
            d.report(
                at,
                "may not approve: name release_manager, engineering_lead or engineer",
            );
        }
        Some(role)
    };
    let roles = o.required(d, "roles", |d, json, at| {
        Some(items(d, json, at, 1..=Role::ALL.len(), role))
    });
    let count = o.optional(d, "count", |d, json, at| d.integer(json, at, 1, 100));
    let lifetime = o.optional(d, "lifetime_hours", hours);
    if lifetime == Some(0) {
        d.report(&at.key("lifetime_hours"), "must be more than 0");
    }
    o.finish(d);
    Some(Approval {
        roles: roles?,
        count: count.unwrap_or(1),
        lifetime_ms: lifetime.unwrap_or(24 * HOUR_MS),
    })
}

/// A name of something in the plan.
fn id(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<String> {
    d.parse::<FlagKey>(json, at)
        .map(|id| id.as_str().to_owned())
}

fn text(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<String> {
    let text = d.string(json, at)?;
    if text.len() > MAX_TEXT {
        d.report(at, "must be at most 2000 bytes");
    }
    Some(text.to_owned())
}

/// As many items as are sensible.
fn items<T>(
    d: &mut Decoder,
    json: &Json,
    at: &Path<'_>,
    count: RangeInclusive<usize>,
    item: impl FnMut(&mut Decoder, &Json, &Path<'_>) -> Option<T>,
) -> Vec<T> {
    if let Json::Array(items) = json
        && !count.contains(&items.len())
    {
        let (least, most) = (count.start(), count.end());
        d.report(at, format!("must have {least} to {most} items"));
    }
    d.list(json, at, item)
}

fn unique<'a>(d: &mut Decoder, at: &Path<'_>, ids: impl Iterator<Item = &'a String>) {
    let mut ids: Vec<&String> = ids.collect();
    ids.sort_unstable();
    for pair in ids.windows(2) {
        if let [a, b] = pair
            && a == b
        {
            d.report(
                at,
                format!("has two with the id {a}; give each an \"id\" of its own"),
            );
        }
    }
}

/// One of some words.
fn choice<T: Copy>(
    d: &mut Decoder,
    json: &Json,
    at: &Path<'_>,
    choices: &[(&str, T)],
) -> Option<T> {
    let found = choices.iter().find(|(word, _)| json.as_str() == Some(word));
    if found.is_none() {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        d.report(at, format!("must be one of {}", words.join(", ")));
    }
    found.map(|(_, value)| *value)
}

/// A number; `wanted` says its range, so that no code for writing one is needed.
fn number(
    d: &mut Decoder,
    json: &Json,
    at: &Path<'_>,
    range: RangeInclusive<f64>,
    wanted: &str,
) -> Option<f64> {
    match json {
        Json::Number(number) if range.contains(number) => Some(*number),
        _ => {
            d.report(at, format!("must be a number {wanted}"));
            None
        }
    }
}

/// Any number that may be a limit.
fn limit(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<f64> {
    number(d, json, at, -1e15..=1e15, "from -1e15 to 1e15")
}

/// A factor of something else.
fn times(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<f64> {
    number(d, json, at, 0.01..=100.0, "from 0.01 to 100")
}

fn hours(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<u64> {
    let hours = number(d, json, at, 0.0..=YEAR_HOURS, "of hours, from 0 to 8784")?;
    Some((hours * HOUR_MS as f64).round() as u64)
}

/// One that is counted here.
fn known(
    d: &mut Decoder,
    list: &'static [Known],
    json: &Json,
    at: &Path<'_>,
) -> Option<&'static Known> {
    let found = json.as_str().and_then(|name| Known::of(list, name));
    if found.is_none() {
        let names: Vec<&str> = list.iter().map(|known| known.name).collect();
        d.report(at, format!("must be one of {}", names.join(", ")));
    }
    found
}

/// Exactly one of some fields has to be there: it says what the object is.
fn one_of(
    d: &mut Decoder,
    o: &Object<'_, '_>,
    at: &Path<'_>,
    fields: &[&'static str],
) -> Option<&'static str> {
    let mut there = fields.iter().filter(|field| o.has(field));
    match (there.next(), there.next()) {
        (Some(field), None) => Some(field),
        _ => {
            d.report(
                at,
                format!("must have exactly one of {}", fields.join(", ")),
            );
            None
        }
    }
}

/// A quantile as people write it: 95 for the p95.
fn quantile(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<f64> {
    let p = number(
        d,
        json,
        at,
        1.0..=99.9,
        "from 1 to 99.9, such as 95 for the p95",
    )?;
    Some(p / 100.0)
}

/// Milliseconds that a histogram has an edge at: others cannot be told apart.
fn edge(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<u32> {
    let is = |edge: &u32| *json == Json::Number(f64::from(*edge));
    let found = LATENCY_EDGES_MS.into_iter().find(is);
    if found.is_none() {
        let edges: Vec<String> = LATENCY_EDGES_MS.iter().map(u32::to_string).collect();
        d.report(
            at,
            format!("must be an edge of the histograms: {}", edges.join(", ")),
        );
    }
    found
}
