//! A feature as the document has it: its variants, and who gets which.

use std::sync::{Arc, LazyLock};

use super::OnEmergency;
use crate::core::bucket::Bucket;
use crate::core::condition::Condition;
use crate::core::decode::{Decoder, Path};
use crate::core::ids::{CohortName, FlagKey, Percentage};
use crate::core::json::Json;
use crate::core::members::Members;
use crate::core::time::Timestamp;

/// The most variants of one feature, and rules.
pub(super) const MAX_VARIANTS: usize = 64;
const MAX_RULES: usize = 50;

/// The most flags that one waits for.
const MAX_PREREQUISITES: usize = 10;

/// The most bytes of a paper's text.
const MAX_PAPER: usize = 1000;

/// The most bytes of a title.
const MAX_TITLE: usize = 80;

/// Where a feature is in its life (seed 001, "Feature Lifecycle").
pub const STAGES: [&str; 5] = ["development", "internal", "beta", "ga", "deprecated"];

/// What a feature is for.
pub const KINDS: [&str; 4] = ["release", "experiment", "ops", "permission"];

/// One thing that a feature can answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    pub name: FlagKey,
    pub value: Json,
}

/// What those get who are in.
#[derive(Debug, Clone, PartialEq)]
pub enum Serve {
    /// A variant, by its place.
    One(u8),
    /// By a bucket of the feature's own.
    Split(Vec<Range>),
}

/// A part of a split: a variant's place, and the buckets from `from` until before `to`, in
/// thousandths of a percent. Its origin stays where it is while its weight is changed, so that
/// nobody moves between two variants that both keep them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub variant: u8,
    pub from: u32,
    pub to: u32,
}

/// Who a rule is about, and what they get. The first that holds decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub when: Condition,
    /// `None`: what the feature serves.
    pub serve: Option<Serve>,
    /// Of those for whom it holds; the others get the off variant.
    pub percentage: Percentage,
}

/// A share of a layer: of features in the same layer, nobody gets more than one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    pub name: FlagKey,
    /// Thousandths of a percent, from `from` until before `to`.
    pub from: u32,
    pub to: u32,
}

/// A feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// `false` kills it for everybody.
    pub enabled: bool,
    /// By name.
    pub variants: Arc<[Variant]>,
    /// The variant of whoever is not in.
    pub off: u8,
    pub serve: Serve,
    pub percentage: Percentage,
    /// Who is always in.
    pub cohorts: Vec<CohortName>,
    /// Who is never in.
    pub deny: Members,
    pub rules: Vec<Rule>,
    /// Features that have to answer one of these variants first.
    pub prerequisites: Vec<(FlagKey, Vec<FlagKey>)>,
    /// When it begins and ends to be on.
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    pub layer: Option<Layer>,
    /// Who is in this holdout is not in.
    pub holdout: Option<FlagKey>,
    /// The feature that whoever is not in gets instead: for them that one is on.
    pub fallback: Option<FlagKey>,
    /// What it is called to people.
    pub title: Option<Arc<str>>,
    /// What its buckets are drawn from; kept when the feature is renamed.
    pub rollout_id: String,
    pub on_emergency: OnEmergency,
}

impl Feature {
    /// On for everybody.
    pub fn new(key: &FlagKey) -> Self {
        Self {
            enabled: true,
            variants: boolean(),
            off: 0,
            serve: Serve::One(1),
            percentage: Percentage::FULL,
            cohorts: Vec::new(),
            deny: Members::default(),
            rules: Vec::new(),
            prerequisites: Vec::new(),
            start: None,
            end: None,
            layer: None,
            holdout: None,
            fallback: None,
            title: None,
            rollout_id: format!("feature/{key}"),
            on_emergency: OnEmergency::Off,
        }
    }

    /// The place of a variant.
    pub fn variant(&self, name: &FlagKey) -> Option<u8> {
        let at = self.variants.iter().position(|v| v.name == *name)?;
        u8::try_from(at).ok()
    }

    /// Whether it answers `true` or `false`.
    pub fn is_boolean(&self) -> bool {
        let is = |variant: &Variant| matches!(variant.value, Json::Bool(_));
        self.variants.iter().all(is)
    }
}

/// `off` and `on`, for a feature that names no variants. There once, because most are like that.
static BOOLEAN: LazyLock<Arc<[Variant]>> = LazyLock::new(|| {
    let named = [("off", false), ("on", true)];
    let variants = named.into_iter().filter_map(|(name, value)| {
        Some(Variant {
            name: name.parse().ok()?,
            value: Json::Bool(value),
        })
    });
    variants.collect()
});

/// The variants of a feature that names none.
pub fn boolean() -> Arc<[Variant]> {
    BOOLEAN.clone()
}

/// Reads a feature: `true`, `false`, or an object.
pub(super) fn feature(
    d: &mut Decoder,
    key: &FlagKey,
    json: &Json,
    at: &Path<'_>,
) -> Option<Feature> {
    let mut feature = Feature::new(key);
    match json {
        Json::Bool(on) => {
            feature.enabled = *on;
            return Some(feature);
        }
        Json::Object(_) => {}
        _ => {
            d.report(at, "must be true, false or an object");
            return Some(feature);
        }
    }
    let mut o = d.object(json, at)?;
    if let Some(variants) = o.optional(d, "variants", variants) {
        feature.variants = variants;
    }
    let names = feature.variants.clone();
    let place = |d: &mut Decoder, json: &Json, at: &Path<'_>| place(d, &names, json, at);
    let serving = |d: &mut Decoder, json: &Json, at: &Path<'_>| serve(d, &names, json, at);
    if let Some(enabled) = o.optional(d, "enabled", Decoder::bool) {
        feature.enabled = enabled;
    }
    let custom = o.has("variants");
    let off = match (custom, o.has("off")) {
        (true, false) => o.required(d, "off", place),
        _ => o.optional(d, "off", place),
    };
    feature.off = off.unwrap_or(feature.off);
    let served = match (custom, o.has("serve")) {
        (true, false) => o.required(d, "serve", serving),
        _ => o.optional(d, "serve", serving),
    };
    feature.serve = served.unwrap_or(feature.serve);
    if let Some(percentage) = o.optional(d, "percentage", Decoder::percentage) {
        feature.percentage = percentage;
    }
    if let Some(cohorts) = o.optional(d, "cohorts", super::read::cohort_names) {
        feature.cohorts = cohorts;
    }
    let deny = o.optional(d, "deny", |d, json, at| Some(Members::decode(d, json, at)));
    feature.deny = deny.unwrap_or_default();
    let rules = o.optional(d, "rules", |d, json, at| {
        let rules = d.list(json, at, |d, json, at| rule(d, &names, json, at));
        if rules.len() > MAX_RULES {
            d.report(at, format!("must be at most {MAX_RULES} rules"));
        }
        Some(rules)
    });
    feature.rules = rules.unwrap_or_default();
    let prerequisites = o.optional(d, "prerequisites", prerequisites);
    feature.prerequisites = prerequisites.unwrap_or_default();
    o.optional(d, "schedule", |d, json, at| {
        let mut o = d.object(json, at)?;
        feature.start = o.optional(d, "start", Decoder::parse);
        feature.end = o.optional(d, "end", Decoder::parse);
        o.finish(d);
        if feature
            .start
            .zip(feature.end)
            .is_some_and(|(start, end)| end <= start)
        {
            d.report(&at.key("end"), "must be after start");
        }
        Some(())
    });
    feature.layer = o.optional(d, "layer", layer);
    feature.holdout = o.optional(d, "holdout", Decoder::parse);
    feature.fallback = o.optional(d, "fallback", Decoder::parse);
    if let Some(id) = o.optional(d, "rollout_id", |d, json, at| d.parse::<FlagKey>(json, at)) {
        feature.rollout_id = format!("feature/{id}");
    }
    o.optional(d, "on_emergency", |d, json, at| {
        match d.string(json, at)? {
            "off" => feature.on_emergency = OnEmergency::Off,
            "keep" => feature.on_emergency = OnEmergency::Keep,
            _ => d.report(at, "must be \"off\" or \"keep\""),
        }
        Some(())
    });
    feature.title = o.optional(d, "title", |d, json, at| {
        let title = d.string(json, at)?;
        let ok = (1..=MAX_TITLE).contains(&title.len()) && !title.chars().any(char::is_control);
        if !ok {
            d.report(
                at,
                format!("must be 1 to {MAX_TITLE} bytes of printable text"),
            );
        }
        ok.then(|| title.into())
    });
    papers(d, &mut o, &["risks", "metrics"]);
    o.finish(d);
    Some(feature)
}

/// What is known of a feature and changes nothing about what it answers. Read where the document is
/// kept, by `core::lint`; here it only has to have the right form.
pub(super) fn papers(
    d: &mut Decoder,
    o: &mut crate::core::decode::Object<'_, '_>,
    lists: &[&'static str],
) {
    let text = |d: &mut Decoder, json: &Json, at: &Path<'_>| {
        let text = d.string(json, at)?;
        if text.len() > MAX_PAPER {
            d.report(at, format!("must be at most {MAX_PAPER} bytes long"));
        }
        Some(())
    };
    for key in ["description", "owner", "tracking", "rollback_plan"] {
        o.optional(d, key, text);
    }
    for key in lists {
        o.optional(d, key, |d, json, at| {
            d.list(json, at, text);
            Some(())
        });
    }
    for (key, words) in [("stage", &STAGES[..]), ("kind", &KINDS)] {
        o.optional(d, key, |d, json, at| {
            let word = d.string(json, at)?;
            if !words.contains(&word) {
                d.report(at, format!("must be one of {}", words.join(", ")));
            }
            Some(())
        });
    }
    for key in ["added", "expires"] {
        o.optional(d, key, |d, json, at| {
            let date = d.string(json, at)?;
            // A day, or a time.
            if format!("{date}T00:00:00Z").parse::<Timestamp>().is_err()
                && date.parse::<Timestamp>().is_err()
            {
                d.report(at, "must be a date, such as 2026-01-15");
            }
            Some(())
        });
    }
}

pub(super) fn variants(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Arc<[Variant]>> {
    let mut variants = Vec::new();
    for (name, value) in d.entries(json, at)? {
        let at = at.key(name);
        d.no_duplicates(value, &at);
        if *value == Json::Null {
            d.report(&at, "must not be null: a merge patch could not write it");
        }
        if let Some(name) = d.parse_text(name, &at) {
            let value = value.clone();
            variants.push(Variant { name, value });
        }
    }
    if variants.is_empty() || variants.len() > MAX_VARIANTS {
        d.report(at, format!("must be 1 to {MAX_VARIANTS} variants"));
        return None;
    }
    let first = variants.first().map(|v| v.value.kind());
    if variants.iter().any(|v| Some(v.value.kind()) != first) {
        d.report(
            at,
            "must all be of one JSON type: a client asks for a boolean, a string, a number or an \
             object, and knows no other",
        );
    }
    Some(variants.into())
}

pub(super) fn place(
    d: &mut Decoder,
    variants: &[Variant],
    json: &Json,
    at: &Path<'_>,
) -> Option<u8> {
    let name = d.string(json, at)?;
    let found = variants.iter().position(|v| v.name.as_str() == name);
    if found.is_none() {
        let names: Vec<&str> = variants.iter().map(|v| v.name.as_str()).collect();
        let names = names.join(", ");
        d.report(at, format!("names no variant; they are {names}"));
    }
    u8::try_from(found?).ok()
}

/// A variant's name, or a list of them with weights.
fn serve(d: &mut Decoder, variants: &[Variant], json: &Json, at: &Path<'_>) -> Option<Serve> {
    if let Json::String(_) = json {
        return place(d, variants, json, at).map(Serve::One);
    }
    let Json::Array(items) = json else {
        d.report(
            at,
            "must be a variant's name, or a list of them with weights",
        );
        return None;
    };
    let count = items.len().max(1) as u32;
    let share = Bucket::COUNT;
    let mut ranges = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let at = at.index(i);
        let Some(mut o) = d.object(item, &at) else {
            continue;
        };
        let variant = o.required(d, "variant", |d, json, at| place(d, variants, json, at));
        let from = o.optional(d, "from", Decoder::percentage);
        let weight = o.required(d, "weight", Decoder::percentage);
        o.finish(d);
        // Evenly apart, unless it is said.
        let even = (u64::from(share) * i as u64 / u64::from(count)) as u32;
        let from = from.map_or(even, Percentage::thousandths);
        if let (Some(variant), Some(weight)) = (variant, weight) {
            let to = from + weight.thousandths();
            ranges.push(Range { variant, from, to });
        }
    }
    let mut sorted = ranges.clone();
    sorted.sort_by_key(|range| range.from);
    let overlap = sorted.windows(2).any(|pair| match pair {
        [a, b] => a.to > b.from,
        _ => false,
    });
    if overlap || sorted.last().is_some_and(|range| range.to > share) {
        d.report(
            at,
            "has weights that reach into the next variant, or beyond 100; each begins at \"from\", \
             or evenly apart where none is given",
        );
    }
    if ranges.is_empty() || ranges.len() > MAX_VARIANTS {
        d.report(at, format!("must have 1 to {MAX_VARIANTS} items"));
    }
    Some(Serve::Split(ranges))
}

fn rule(d: &mut Decoder, variants: &[Variant], json: &Json, at: &Path<'_>) -> Option<Rule> {
    let mut o = d.object(json, at)?;
    let when = o.required(d, "if", Condition::decode);
    let serve = o.optional(d, "serve", |d, json, at| serve(d, variants, json, at));
    let percentage = o.optional(d, "percentage", Decoder::percentage);
    o.optional(d, "description", |d, json, at| {
        d.string(json, at).map(|_| ())
    });
    o.finish(d);
    Some(Rule {
        when: when?,
        serve,
        percentage: percentage.unwrap_or(Percentage::FULL),
    })
}

/// From features to the variant, or variants, that they have to answer.
fn prerequisites(
    d: &mut Decoder,
    json: &Json,
    at: &Path<'_>,
) -> Option<Vec<(FlagKey, Vec<FlagKey>)>> {
    let mut found = Vec::new();
    for (key, wanted) in d.entries(json, at)? {
        let at = at.key(key);
        let key = d.parse_text(key, &at);
        let wanted = match wanted {
            Json::Array(_) => d.list(wanted, &at, Decoder::parse),
            _ => d.parse(wanted, &at).into_iter().collect(),
        };
        found.extend(key.map(|key| (key, wanted)));
    }
    if found.len() > MAX_PREREQUISITES {
        d.report(at, format!("must be at most {MAX_PREREQUISITES}"));
    }
    Some(found)
}

pub(super) fn layer(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Layer> {
    let mut o = d.object(json, at)?;
    let name = o.required(d, "name", Decoder::parse);
    let from = o.required(d, "from", Decoder::percentage);
    let to = o.required(d, "to", Decoder::percentage);
    o.finish(d);
    let (from, to) = (from?.thousandths(), to?.thousandths());
    if to <= from {
        d.report(&at.key("to"), "must be above from");
    }
    Some(Layer {
        name: name?,
        from,
        to,
    })
}
