//! Texts about a rollout, from its live state: the daily status, the announcement and the skeleton of a post-mortem
//! (seed 000, "Communication Strategy" and "Full Rollback").

use serde::Serialize;

use super::calendar::Entry;
use super::document::Plan;
use super::run::{Decision, Run, Status};
use crate::core::gate::{Ask, Counts, Evidence, Histogram, Limit, Verdict};
use crate::core::ids::Percentage;
use crate::core::table::Table;
use crate::core::time::Timestamp;

/// What a rollout is about.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    pub release: &'a str,
    pub version: &'a str,
    pub stable: &'a str,
    /// Where scripts are served.
    pub origin: &'a str,
    pub product: &'a str,
    pub now: Timestamp,
}

/// How it goes, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Light {
    OnTrack,
    MinorIssues,
    Critical,
}

/// The daily status.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Daily {
    /// Days since the plan's stage was entered, from 1.
    pub stage_day: u64,
    pub stage: String,
    pub percentage: Percentage,
    pub status: Status,
    pub light: Light,
    /// Installs of the last 24 hours that ended, and those that ended well.
    pub installs: Count,
    pub commands: Count,
    /// Everything that was counted in those hours, by metric, of the release and of the stable version.
    pub metrics: Vec<Compared<Count>>,
    /// Latencies in milliseconds: the edge of the histogram that so many percent lie below.
    pub latencies: Vec<Compared<Percentiles>>,
    /// The release's installs and sessions by platform.
    pub platforms: Vec<PlatformSeen>,
    /// Active weekly users as they were told, and what the plan asks for.
    pub awu: Option<f64>,
    pub awu_target: Option<f64>,
    pub p0_open: Option<f64>,
    pub why: String,
    /// When something is decided next.
    pub next_decision: Option<Timestamp>,
}

/// How many, and how many of them went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "DailyCount"))]
pub struct Count {
    pub total: u64,
    pub good: u64,
}

/// The same of the release and of the stable version.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Compared<T> {
    pub metric: String,
    pub canary: T,
    pub control: T,
}

/// `null` where nothing was told, or beyond the last edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Percentiles {
    pub p50: Option<u32>,
    pub p75: Option<u32>,
    pub p95: Option<u32>,
    pub p99: Option<u32>,
}

/// How often a platform was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct PlatformSeen {
    pub platform: String,
    pub count: u64,
}

impl From<Option<&Histogram>> for Percentiles {
    fn from(histogram: Option<&Histogram>) -> Self {
        let of = |quantile| histogram?.quantile(quantile);
        Self {
            p50: of(0.5),
            p75: of(0.75),
            p95: of(0.95),
            p99: of(0.99),
        }
    }
}

/// Both arms side by side, in the order of the names.
fn compared<V, T: for<'a> From<Option<&'a V>>>(
    canary: &Table<String, V>,
    control: &Table<String, V>,
) -> Vec<Compared<T>> {
    let mut names: Vec<&String> = canary.keys().chain(control.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &String| Compared {
        metric: name.clone(),
        canary: canary.get(name).into(),
        control: control.get(name).into(),
    };
    names.into_iter().map(of).collect()
}

impl From<Option<&Counts>> for Count {
    fn from(counts: Option<&Counts>) -> Self {
        let counts = counts.copied().unwrap_or_default();
        Self {
            total: counts.total,
            good: counts.good,
        }
    }
}

impl Count {
    /// `120, 98.3 % of them well`.
    fn text(self) -> String {
        match self.total {
            0 => "none told".to_owned(),
            total => format!("{total}, {} % of them well", permille(self.good, total)),
        }
    }
}

/// Percent with one decimal.
fn permille(part: u64, of: u64) -> String {
    let permille = (part.saturating_mul(1000) + of / 2) / of.max(1);
    format!("{}.{}", permille / 10, permille % 10)
}

/// What is known of the numbers that are told.
pub fn daily(
    plan: &Plan,
    run: &Run,
    last: Option<&Decision>,
    day: &Evidence,
    numbers: &Table<String, crate::core::gate::Number>,
    now: Timestamp,
) -> Daily {
    let number = |name: &str| numbers.get(name).map(|number| number.value);
    let targets = plan.stages.iter().flat_map(|stage| &stage.gates);
    let mut targets = targets.filter_map(|own| match &own.gate.ask {
        Ask::Number {
            name,
            limit: Limit::AtLeast(limit),
            ..
        } if name == "awu" => Some(*limit),
        _ => None,
    });
    let halted = last.is_some_and(|last| !last.halts.is_empty() || last.verdict == Verdict::Fail);
    let ended = matches!(run.status, Status::Stopped | Status::RolledBack);
    let quiet = last.is_none_or(|last| last.verdict == Verdict::Pass);
    let light = match run.status {
        _ if halted || ended => Light::Critical,
        Status::Complete | Status::Draft => Light::OnTrack,
        Status::Running if quiet => Light::OnTrack,
        _ => Light::MinorIssues,
    };
    Daily {
        stage_day: now.millis_since(run.entered) / 86_400_000 + 1,
        stage: plan
            .stages
            .get(run.stage)
            .map_or_else(String::new, |stage| stage.id.clone()),
        percentage: run.percentage,
        status: run.status,
        light,
        installs: day.canary.get("install_success").into(),
        commands: day.canary.get("command_success").into(),
        metrics: compared(&day.canary, &day.control),
        latencies: compared(&day.latencies, &day.control_latencies),
        platforms: day
            .platforms
            .iter()
            .map(|(platform, count)| PlatformSeen {
                platform: platform.clone(),
                count: *count,
            })
            .collect(),
        awu: number("awu"),
        awu_target: targets.next_back(),
        p0_open: number("p0_open"),
        why: run.why.clone(),
        next_decision: run.next_decision(plan, now),
    }
}

impl Daily {
    pub fn text(&self, about: &About<'_>) -> String {
        let said =
            |number: Option<f64>| number.map_or_else(|| "not told".to_owned(), |n| n.to_string());
        let awu = match (self.awu, self.awu_target) {
            (Some(awu), Some(target)) if target > 0.0 => {
                format!("{awu} ({} % of {target})", (awu / target * 100.0).round())
            }
            (awu, _) => said(awu),
        };
        let light = match self.light {
            Light::OnTrack => "🟢 on track",
            Light::MinorIssues => "🟡 minor issues",
            Light::Critical => "🔴 critical",
        };
        let next = self
            .next_decision
            .map_or_else(|| "none".to_owned(), |at| at.to_string());
        format!(
            "{} rollout, {}, day {} of this stage\n\n\
             Phase: {} ({})\nRollout: {} %\n\n\
             Last 24 hours:\n- Installs: {}\n- Commands: {}\n- Active weekly users: {awu}\n- Open P0: {}\n\n\
             Status: {light}: {}\nNext decision: {next}\n",
            about.release,
            date(about.now),
            self.stage_day,
            self.stage,
            self.status.as_str(),
            self.percentage,
            self.installs.text(),
            self.commands.text(),
            said(self.p0_open),
            self.why,
        )
    }
}

fn date(at: Timestamp) -> String {
    at.to_string()
        .split('T')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// What is said to everybody before or during a rollout.
pub fn announcement(about: &About<'_>, calendar: &[Entry]) -> String {
    let About {
        release,
        version,
        stable,
        origin,
        product,
        ..
    } = *about;
    let line = |entry: &Entry| {
        let when = entry.from.map_or_else(|| "so far".to_owned(), date);
        format!(
            "- {when}: {} % of installs ({})\n",
            entry.percentage, entry.stage
        )
    };
    let lines: String = calendar.iter().map(line).collect();
    format!(
        "## {product} {version} is rolled out step by step\n\n\
         Each step comes at the earliest on its day, and only if the one before it went well:\n\n{lines}\n\
         To have it now:\n`curl -fsS {origin}/{release} | sh`\n\n\
         To stay with {stable}:\n`curl -fsS {origin}/stable | sh`\n\n\
         How it goes: {origin}/\n"
    )
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Moment {
    pub at: Timestamp,
    /// Whose doing it was, as the token is labelled.
    pub by: String,
    pub what: String,
    pub reason: String,
}

/// What a post-mortem begins with: what is known, and what has to be written.
pub fn post_mortem(about: &About<'_>, highest: Percentage, moments: &[Moment]) -> String {
    let line = |moment: &Moment| {
        let reason = match moment.reason.is_empty() {
            true => String::new(),
            false => format!(" ({})", moment.reason),
        };
        format!(
            "- {}: {}, by {}{reason}\n",
            moment.at, moment.what, moment.by
        )
    };
    let lines: String = moments.iter().map(line).collect();
    format!(
        "# Post-mortem: {release} ({version})\n\n\
         ## Summary\n\nTo be written: what people met, and what it cost them.\n\n\
         ## Impact\n\nAt most {highest} % of requesters were offered {version}; the others kept {stable}.\n\
         To be written: how many were hit, from the evidence.\n\n\
         ## Timeline (UTC)\n\n{lines}\n\
         ## Cause\n\nTo be written.\n\n\
         ## What went well, what did not\n\nTo be written: how it was found, how long until it was stopped.\n\n\
         ## What will be done\n\n| what | who | until |\n| --- | --- | --- |\n| | | |\n",
        release = about.release,
        version = about.version,
        stable = about.stable,
    )
}
