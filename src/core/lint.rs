//! What is wrong with features beyond what breaks: names, papers, age, and rules that do nothing
//! (seed 001, "Naming Conventions", "Flag Hygiene" and "Security").

use serde::Serialize;

use super::config::{Config, Feature, FeatureScope, Rule, Serve};
use super::identity::Unit;
use super::ids::FlagKey;
use super::json::Json;
use super::table::Table;
use super::time::Timestamp;

/// A feature that is for everybody this long can be taken out of the code.
const FULL_MS: u64 = 30 * DAY_MS;

/// A feature that is not for good lives this long at most: six months.
const LIFE_MS: u64 = 183 * DAY_MS;

/// A debug feature lives this long at most.
const DEBUG_MS: u64 = DAY_MS;

const DAY_MS: u64 = 24 * 3_600_000;

/// Words that say nothing of what a feature does.
const VAGUE: [&str; 20] = [
    "new",
    "feature",
    "features",
    "test",
    "temp",
    "tmp",
    "fix",
    "stuff",
    "thing",
    "misc",
    "flag",
    "toggle",
    "experiment",
    "exp",
    "foo",
    "bar",
    "old",
    "change",
    "update",
    "try",
];

/// Words of features that somebody made for themselves.
const OWN: [&str; 5] = ["test", "wip", "my", "mine", "hack"];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Error,
    Warning,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Finding {
    pub severity: Severity,
    /// Its name, such as `expired`.
    pub rule: &'static str,
    /// Where in the configuration: a JSON pointer.
    pub pointer: String,
    /// What, in a sentence that says how to mend it.
    pub message: String,
}

/// Looks at every feature. `full` says since when one is for everybody, by `scope/key`. The worst
/// first.
pub fn lint(
    document: &Json,
    config: &Config,
    full: &Table<String, Timestamp>,
    now: Timestamp,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (scope, features) in config.features.iter() {
        let scope = match scope {
            FeatureScope::All => "*",
            FeatureScope::Release(name) => name.as_str(),
        };
        for (key, feature) in features.iter() {
            let json = document.at(&["features", scope, key.as_str()]);
            let mut look = Look {
                pointer: format!("/features/{scope}/{key}"),
                key,
                feature,
                json: json.unwrap_or(&Json::Null),
                now,
                findings: &mut findings,
            };
            look.name();
            look.papers();
            look.age(full.get(&format!("{scope}/{key}")).copied());
            look.debug();
            look.stage();
            look.rules();
            look.prerequisites(config);
            look.personal();
        }
    }
    findings
        .sort_by(|a, b| (a.severity, &a.pointer, a.rule).cmp(&(b.severity, &b.pointer, b.rule)));
    findings
}

/// Whether a feature of the document is for everybody.
pub fn is_full(feature: &Json) -> bool {
    let is = |name: &str, wanted: &Json| feature.get(name).is_none_or(|json| json == wanted);
    match feature {
        Json::Bool(on) => *on,
        _ => {
            is("enabled", &Json::Bool(true))
                && is("percentage", &Json::Number(100.0))
                && [
                    "rules",
                    "prerequisites",
                    "schedule",
                    "layer",
                    "holdout",
                    "deny",
                ]
                .iter()
                .all(|name| feature.get(name).is_none())
        }
    }
}

struct Look<'a> {
    pointer: String,
    key: &'a FlagKey,
    feature: &'a Feature,
    json: &'a Json,
    now: Timestamp,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Look<'a> {
    fn find(&mut self, severity: Severity, rule: &'static str, message: impl Into<String>) {
        self.findings.push(Finding {
            severity,
            rule,
            pointer: self.pointer.clone(),
            message: message.into(),
        });
    }

    fn warn(&mut self, rule: &'static str, message: impl Into<String>) {
        self.find(Severity::Warning, rule, message);
    }

    fn error(&mut self, rule: &'static str, message: impl Into<String>) {
        self.find(Severity::Error, rule, message);
    }

    fn paper(&self, name: &str) -> Option<&'a str> {
        self.json.get(name).and_then(Json::as_str)
    }

    /// A date, or a time, as a time.
    fn date(&self, name: &str) -> Option<Timestamp> {
        let text = self.paper(name)?;
        let day = || format!("{text}T00:00:00Z").parse().ok();
        text.parse().ok().or_else(day)
    }

    fn words(&self) -> Vec<&'a str> {
        let words = self.key.as_str().split(['_', '-', '.']);
        words.filter(|word| !word.is_empty()).collect()
    }

    /// Whether it is there for good: a switch, or who may do what.
    fn is_permanent(&self) -> bool {
        matches!(self.paper("kind"), Some("ops" | "permission"))
    }

    fn name(&mut self) {
        let words = self.words();
        let says_nothing =
            |word: &&str| VAGUE.contains(word) || word.bytes().all(|b| b.is_ascii_digit());
        if words.iter().all(says_nothing) {
            self.warn(
                "vague-name",
                "says nothing of what it does; name it by domain and feature, such as \
                 telemetry_cloud_sync, with a version if there are several: enhanced_safety_v2",
            );
        } else if words.iter().any(|word| OWN.contains(word))
            && self.paper("stage") != Some("development")
        {
            self.warn(
                "personal-name",
                "looks like somebody's own; such a feature stays in the stage \"development\"",
            );
        }
        if let Some(negation @ ("no" | "not" | "disable" | "without")) = words.first().copied() {
            let message = format!("begins with \"{negation}\": name what it turns on instead");
            self.warn("negative-name", message);
        }
    }

    fn papers(&mut self) {
        let mut missing: Vec<&str> = ["description", "owner"]
            .into_iter()
            .filter(|name| self.paper(name).is_none_or(str::is_empty))
            .collect();
        if !self.is_permanent() {
            let dates = ["added", "expires"].into_iter();
            missing.extend(dates.filter(|name| self.paper(name).is_none()));
        }
        if !missing.is_empty() {
            let message = format!("has no {}", missing.join(", "));
            self.warn("papers", message);
        }
    }

    fn age(&mut self, full_since: Option<Timestamp>) {
        if self.date("expires").is_some_and(|at| at <= self.now) {
            self.error(
                "expired",
                "has expired: take it out of the code and the configuration, or say until when it \
                 is needed",
            );
        }
        if self.is_permanent() {
            return;
        }
        let longer = |since: Option<Timestamp>, limit: u64| {
            since.is_some_and(|at| self.now.millis_since(at) > limit)
        };
        let (old, full) = (
            longer(self.date("added"), LIFE_MS),
            longer(full_since, FULL_MS),
        );
        if full {
            self.warn(
                "clean-up",
                "has been on for everybody for 30 days: take it out of the code",
            );
        } else if old {
            self.warn(
                "old",
                "is older than six months: remove it, or make it an \"ops\" or \"permission\" feature",
            );
        }
    }

    /// Seed 001: no debug features in production but for known people, for a day.
    fn debug(&mut self) {
        if !self.words().contains(&"debug") {
            return;
        }
        let is_open = is_full(self.json)
            || self.feature.percentage.thousandths() > 0
            || self
                .feature
                .rules
                .iter()
                .any(|rule| rule.when.cohorts().is_empty());
        if self.feature.enabled && is_open {
            self.error(
                "open-debug",
                "is a debug feature and not only for cohorts: set its percentage to 0 and name the \
                 cohorts that may have it",
            );
        }
        let limit = |at: Timestamp| at.plus_millis(DEBUG_MS);
        let ends = self.date("added").map(limit);
        if ends.is_none_or(|end| end <= self.now) {
            self.error(
                "old-debug",
                "is a debug feature older than 24 hours, or without \"added\": remove it",
            );
        }
    }

    fn stage(&mut self) {
        let reaches_all = self.feature.enabled && self.feature.percentage.thousandths() > 0;
        match self.paper("stage") {
            Some(stage @ ("development" | "internal")) if reaches_all => {
                let message = format!(
                    "is in the stage \"{stage}\" and yet for {} % of everybody: that stage is for \
                     cohorts alone, with the percentage 0",
                    self.feature.percentage
                );
                self.warn("stage", message);
            }
            Some("deprecated") if self.feature.enabled => {
                self.warn("stage", "is deprecated and still on");
            }
            _ => {}
        }
    }

    fn rules(&mut self) {
        let rules = &self.feature.rules;
        for (i, rule) in rules.iter().enumerate() {
            let same = |other: &&Rule| other.when == rule.when;
            if rules.iter().take(i).any(|other| same(&other)) {
                let message = format!("rule {i} is never reached: one before it asks the same");
                self.error("unreachable-rule", message);
            }
        }
        for (place, variant) in self.feature.variants.iter().enumerate() {
            let place = u8::try_from(place).unwrap_or(u8::MAX);
            if place != self.feature.off && !self.serves(place) {
                let message = format!("variant {} is served to nobody", variant.name);
                self.warn("unused-variant", message);
            }
        }
    }

    fn serves(&self, place: u8) -> bool {
        serves(self.feature, place)
    }

    fn prerequisites(&mut self, config: &Config) {
        for (key, wanted) in &self.feature.prerequisites {
            let mut tables = config.features.values();
            let Some(other) = tables.find_map(|features| features.get(key)) else {
                continue;
            };
            let can = wanted
                .iter()
                .filter_map(|name| other.variant(name))
                .any(|place| place == other.off || other.enabled && serves(other, place));
            if !can {
                let message = format!("waits for {key}, which never answers what it waits for");
                self.error("dead-prerequisite", message);
            }
        }
    }

    fn personal(&mut self) {
        let mut texts = vec![self.key.as_str()];
        texts_of(self.json, &mut texts);
        if texts.iter().any(|text| is_personal(text)) {
            self.error(
                "personal-data",
                "holds what looks like an e-mail address, a network address or a telephone number: \
                 everybody who asks for flags could read it",
            );
        }
    }
}

fn serves(feature: &Feature, place: u8) -> bool {
    let in_serve = |serve: &Serve| match serve {
        Serve::One(variant) => *variant == place,
        Serve::Split(ranges) => ranges
            .iter()
            .any(|range| range.variant == place && range.to > range.from),
    };
    let rules = feature.rules.iter().filter_map(|rule| rule.serve.as_ref());
    in_serve(&feature.serve) || rules.into_iter().any(in_serve)
}

/// Every text below, but the hashes of members and what only has to do with steering.
fn texts_of<'a>(json: &'a Json, texts: &mut Vec<&'a str>) {
    match json {
        Json::String(text) => texts.push(text),
        Json::Array(items) => items.iter().for_each(|item| texts_of(item, texts)),
        Json::Object(entries) => {
            for (key, value) in entries {
                if !matches!(
                    key.as_str(),
                    "deny" | "added" | "expires" | "schedule" | "tracking" | "owner"
                ) {
                    texts.push(key);
                    texts_of(value, texts);
                }
            }
        }
        _ => {}
    }
}

fn is_personal(text: &str) -> bool {
    let mut words = text.split(|c: char| c.is_whitespace() || ",;()<>\"'".contains(c));
    words.any(|word| {
        let email = word
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'));
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        let phone = word.starts_with('+') && (8..=15).contains(&digits);
        // Versions have three numbers, addresses four.
        email || phone || word.len() > 6 && Unit::from_address(word).is_some()
    })
}
