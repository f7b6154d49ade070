//! Why a requester gets what they get, step by step: the same rules as `decide` and `flags`, with
//! their names and numbers. Nothing here says who the requester is.

use serde::Serialize;

use super::bucket::{Bucket, UnitHash};
use super::config::{Config, State};
use super::decide::{channel, decide};
use super::flags::{Asking, Choice, Flag, Plan, Reason, evaluate_hashed};
use super::identity::Unit;
use super::ids::{FlagKey, Percentage, ReleaseName};
use super::json::Json;
use super::snapshot::{Cohort, Release, Snapshot};
use super::time::Timestamp;

/// What one requester gets, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Explanation {
    pub version: String,
    /// `stable` or `beta`.
    pub channel: &'static str,
    /// As in the header `X-Caro-Reason`.
    pub reason: &'static str,
    /// `null`: the compiled-in defaults.
    pub revision: Option<u64>,
    /// By what they are bucketed: `id`, `ipv4`, `ipv6_64` or `none`.
    pub identified_by: &'static str,
    /// Newest first; the first that admits decides.
    pub releases: Vec<ReleaseSteps>,
    pub features: Vec<FeatureStep>,
}

/// How one release decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct ReleaseSteps {
    pub release: String,
    pub version: String,
    pub state: &'static str,
    /// Percent, 0 to 99.999. `null` without a requester.
    pub bucket: Option<Percentage>,
    /// The percentage that the bucket is compared with.
    pub threshold: Percentage,
    pub admitted: bool,
    pub steps: Vec<Step>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Step {
    pub rule: &'static str,
    /// `decides`, `passes` or `not_reached`.
    pub outcome: &'static str,
    /// In a sentence.
    pub detail: String,
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct FeatureStep {
    pub key: String,
    pub value: Json,
    pub variant: String,
    pub reason: &'static str,
    /// In a sentence.
    pub detail: String,
}

/// Explains a decision. `config` names the cohorts; `release` picks one release, whose features
/// are shown, as of `now` and for somebody who says nothing of themselves; without it they are those of
/// the release that the requester gets.
pub fn explain(
    snapshot: &Snapshot,
    config: Option<&Config>,
    unit: Option<&Unit<'_>>,
    release: Option<&str>,
    now: Timestamp,
) -> Explanation {
    let hash = unit.map(|unit| UnitHash::of(&snapshot.salt, unit));
    let decision = decide(snapshot, unit);
    let given = snapshot.build(decision.build);
    let version = given.map_or(String::new(), |build| build.version.to_string());
    let set = match release {
        Some(name) => snapshot.features(name),
        None => snapshot.features(&version),
    };
    let wanted = |r: &&Release| release.is_none_or(|name| name == r.name.as_str());
    Explanation {
        channel: channel(snapshot, decision.build).as_str(),
        reason: decision.reason.as_str(),
        revision: snapshot.revision,
        identified_by: match unit {
            Some(Unit::Id(_)) => "id",
            Some(Unit::V4(_)) => "ipv4",
            Some(Unit::V6(_)) => "ipv6_64",
            None => "none",
        },
        releases: snapshot
            .releases
            .iter()
            .filter(wanted)
            .map(|release| steps(snapshot, config, release, hash.as_ref()))
            .collect(),
        features: set.map_or_else(Vec::new, |(_, set)| {
            let asking = Asking::unit(unit.copied(), now);
            let choices = evaluate_hashed(set, &asking, || hash);
            set.chosen(&choices)
                .map(|(key, flag, choice)| feature(key, flag, choice, hash.as_ref()))
                .collect()
        }),
        version,
    }
}

/// A bucket as a percentage. It is below 100_000, which is one.
pub(super) fn shown(bucket: Bucket) -> Percentage {
    Percentage::from_thousandths(bucket.value()).unwrap_or(Percentage::FULL)
}

/// The names of a release's cohorts that count, in the order in which they are resolved.
fn cohort_names(config: Option<&Config>, release: &ReleaseName) -> Vec<String> {
    let Some(config) = config else {
        return Vec::new();
    };
    let named = config.releases.get(release).map(|r| r.cohorts.as_slice());
    let switches = &config.kill_switches;
    let live = |name: &&super::ids::CohortName| {
        let enabled = config.cohorts.get(*name).is_some_and(|c| c.enabled);
        enabled && !switches.canary && !switches.cohorts.contains(*name)
    };
    let names = named.unwrap_or_default().iter().filter(live);
    names.map(ToString::to_string).collect()
}

/// Every rule of `decide::admit`, in its order. `Some(true)` admits, `Some(false)` refuses.
fn rules(
    snapshot: &Snapshot,
    config: Option<&Config>,
    release: &Release,
    hash: Option<&UnitHash>,
    bucket: Option<Bucket>,
) -> Vec<(&'static str, Option<bool>, String)> {
    let says = |met: bool, verdict: bool, yes: &str, no: &str| {
        let text = if met { yes } else { no };
        (met.then_some(verdict), text.to_owned())
    };
    let mut rules = Vec::new();
    let mut add = |rule, (verdict, detail)| rules.push((rule, verdict, detail));
    add(
        "draft",
        says(
            release.state == State::Draft,
            false,
            "the release is a draft: nobody gets it by rollout",
            "the release is on offer",
        ),
    );
    add(
        "emergency_stop",
        says(
            release.stopped,
            false,
            "an emergency stop covers the release",
            "no emergency stop covers the release",
        ),
    );
    add(
        "kill",
        says(
            snapshot.killed,
            false,
            "the kill switch of the whole canary is on",
            "the kill switch of the whole canary is off",
        ),
    );
    let full = release.configured == Percentage::FULL;
    let nobody = match (hash, full) {
        (None, true) => (
            Some(true),
            "nothing identifies the requester, and at 100 % everybody gets it".to_owned(),
        ),
        (None, false) => (
            Some(false),
            "nothing identifies the requester, and below 100 % such a one gets stable".to_owned(),
        ),
        (Some(_), _) => (
            None,
            "the requester is known by an id or a network".to_owned(),
        ),
    };
    add("no_unit", nobody);
    let on = |test: &dyn Fn(&UnitHash) -> bool| hash.is_some_and(test);
    add(
        "denied",
        says(
            on(&|unit| release.deny.contains(unit)),
            false,
            "the requester is on the release's deny list",
            "the requester is on no deny list",
        ),
    );
    add(
        "allowlist",
        says(
            on(&|unit| snapshot.allowlist.contains(unit)),
            true,
            "canary mode is on and the requester is on its allowlist",
            "the requester is not on the allowlist, or canary mode is off",
        ),
    );
    let names = cohort_names(config, &release.name);
    let name = |at: usize| {
        names
            .get(at)
            .cloned()
            .unwrap_or_else(|| "a cohort".to_owned())
    };
    let member = release
        .cohorts
        .iter()
        .position(|c| on(&|unit| c.members.contains(unit)));
    let within = release.within_cohorts;
    add(
        "cohort_member",
        match member {
            Some(at) if within => (
                None,
                format!(
                    "the requester is a member of {}, of which the percentage is",
                    name(at)
                ),
            ),
            Some(at) => (
                Some(true),
                format!("the requester is a member of {}", name(at)),
            ),
            None => (None, "the requester is a member of no cohort".to_owned()),
        },
    );
    let Some(bucket) = bucket else {
        add("bucket", (None, "there is no bucket".to_owned()));
        add("cohort_bucket", (None, "there is no bucket".to_owned()));
        add("default", (Some(false), String::new()));
        return rules;
    };
    let at = shown(bucket);
    let configured = release.configured;
    let is_in = bucket.is_in(configured);
    let compared = if is_in { "below" } else { "not below" };
    add(
        "bucket",
        (
            match (within, is_in) {
                (true, false) => Some(false),
                (true, true) => None,
                (false, is_in) => is_in.then_some(true),
            },
            format!("bucket {at} % is {compared} {configured} %"),
        ),
    );
    let by_bucket = |c: &Cohort| bucket.is_in(c.percentage);
    let cohort = release.cohorts.iter().position(by_bucket);
    add(
        "cohort_bucket",
        match cohort.and_then(|i| Some((i, release.cohorts.get(i)?))) {
            _ if within && member.is_some() => (
                Some(true),
                "a member's bucket is below the percentage".to_owned(),
            ),
            Some((i, cohort)) => (
                Some(true),
                format!(
                    "bucket {at} % is below the {} % of {}",
                    cohort.percentage,
                    name(i)
                ),
            ),
            None => (
                None,
                "the bucket is below no cohort's percentage".to_owned(),
            ),
        },
    );
    add(
        "default",
        (Some(false), "nothing admits the requester".to_owned()),
    );
    rules
}

/// The rules of one release, with the one that decides.
pub(super) fn steps(
    snapshot: &Snapshot,
    config: Option<&Config>,
    release: &Release,
    hash: Option<&UnitHash>,
) -> ReleaseSteps {
    let bucket = hash.map(|unit| Bucket::of(unit, release.gate));
    let mut verdict = None;
    let steps = rules(snapshot, config, release, hash, bucket)
        .into_iter()
        .map(|(rule, says, detail)| {
            let outcome = match (verdict, says) {
                (Some(_), _) => "not_reached",
                (None, None) => "passes",
                (None, Some(_)) => "decides",
            };
            verdict = verdict.or(says);
            Step {
                rule,
                outcome,
                detail,
            }
        })
        .collect();
    let build = snapshot.build(release.build);
    ReleaseSteps {
        release: release.name.to_string(),
        version: build.map_or(String::new(), |b| b.version.to_string()),
        state: release.state.as_str(),
        bucket: bucket.map(shown),
        threshold: release.percentage(snapshot),
        admitted: verdict == Some(true),
        steps,
    }
}

fn feature(key: &FlagKey, flag: &Flag, choice: Choice, hash: Option<&UnitHash>) -> FeatureStep {
    let variant = flag.variant(choice);
    FeatureStep {
        key: key.to_string(),
        value: variant.map_or(Json::Null, |variant| variant.value.clone()),
        variant: variant.map_or(String::new(), |variant| variant.name.to_string()),
        reason: choice.reason.as_str(),
        detail: detail(flag, choice, hash),
    }
}

/// Why a feature answers so, in a sentence.
pub(super) fn detail(flag: &Flag, choice: Choice, hash: Option<&UnitHash>) -> String {
    match (&flag.plan, hash) {
        (Plan::Gate(gate), Some(hash)) if choice.reason == Reason::Bucket => {
            let bucket = Bucket::of(hash, gate.gate);
            let (at, percentage) = (shown(bucket), gate.percentage);
            match bucket.is_in(percentage) {
                true => format!("bucket {at} % is below {percentage} %"),
                false => format!("bucket {at} % is not below {percentage} %"),
            }
        }
        _ => choice.reason.detail().to_owned(),
    }
}
