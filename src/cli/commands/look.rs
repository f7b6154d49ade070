//! Looking: status, one thing, reports.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::http::{Call, succeeded};
use crate::cli::output::{Output, bad, dim, good, items, text_of, warn};
use crate::cli::when;

/// Where everything stands: stops, releases, health.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout status\n  caro-rollout status --json | jq .releases"
)]
pub struct Status {}

impl Status {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let router = context.router()?;
        let status = router.get("/status.json")?;
        // What only the ledger knows is worth showing, but not worth failing for. It is ahead of an edge by seconds.
        let ledger = |path: &str| match router.has_token() {
            true => router.get(path).ok(),
            false => None,
        };
        let (ops, releases) = (ledger("/ops/status.json"), ledger("/admin/releases"));
        let all = json!({ "status": status, "ops": ops, "releases": releases });
        context.out.answer(&all, |out| {
            show_status(out, &status, releases.as_ref().unwrap_or(&status));
            if let Some(ops) = &ops {
                show_ops(out, ops, &status);
            }
        });
        Ok(Exit::Ok)
    }
}

/// `status` is what an edge says; `newest` has the releases as whoever knows best has them.
fn show_status(out: &Output, status: &Value, newest: &Value) {
    let stop = status.get("emergency_stop").unwrap_or(&Value::Null);
    match text_of(stop, "scope").as_str() {
        "none" | "-" => {}
        "all" => out.line(bad("EMERGENCY STOP: everything is stopped")),
        _ => out.line(bad(&format!(
            "EMERGENCY STOP: {}",
            text_of(stop, "releases")
        ))),
    }
    let condition = text_of(status, "status");
    let condition = match condition.as_str() {
        "ok" => good(&condition),
        _ => warn(&format!("{condition}: see `caro-rollout health`")),
    };
    let stable = status.pointer("/stable/version").unwrap_or(&Value::Null);
    out.line(format!(
        "{} {condition}, revision {}, stable {}",
        text_of(status, "product"),
        text_of(status, "revision"),
        crate::cli::output::shown(stable),
    ));
    releases(out, items(newest, "releases"));
}

/// Releases as `/status.json` has them.
pub fn releases(out: &Output, releases: &[Value]) {
    let rows: Vec<Vec<String>> = releases.iter().map(row).collect();
    if !rows.is_empty() {
        out.table(
            &["RELEASE", "VERSION", "STATE", "NOW", "SET", "PHASE"],
            &rows,
        );
    }
}

fn row(release: &Value) -> Vec<String> {
    let state = match release.get("stopped") {
        Some(Value::Bool(true)) => bad("stopped"),
        _ => text_of(release, "state"),
    };
    vec![
        text_of(release, "name"),
        text_of(release, "version"),
        state,
        format!("{} %", text_of(release, "percentage")),
        format!("{} %", text_of(release, "configured_percentage")),
        text_of(release, "phase"),
    ]
}

fn show_ops(out: &Output, ops: &Value, status: &Value) {
    let number = |of: &Value| of.get("revision").and_then(Value::as_u64);
    if number(status) < number(ops) {
        out.line(dim(&format!(
            "the ledger is at revision {}; this edge follows within seconds",
            text_of(ops, "revision")
        )));
    }
    let publishing = ops.get("publishing").unwrap_or(&Value::Null);
    let state = text_of(publishing, "state");
    if state != "in_sync" {
        let behind = text_of(publishing, "behind");
        out.line(warn(&format!("KV is {state}, {behind} revisions behind")));
    }
    for name in ["stops", "kill_switches"] {
        for switch in items(ops, name) {
            let seconds = switch.get("active_seconds").and_then(Value::as_u64);
            out.line(format!(
                "{} {} for {}, by {}: {}",
                bad(if name == "stops" { "stopped" } else { "killed" }),
                text_of(switch, "switch"),
                when::span(seconds.unwrap_or(0)),
                switch
                    .pointer("/by/label")
                    .map_or_else(|| "-".to_owned(), crate::cli::output::shown),
                text_of(switch, "reason"),
            ));
        }
    }
    for approval in items(ops, "approvals") {
        let (target, id) = (text_of(approval, "target"), text_of(approval, "id"));
        out.line(format!(
            "{} {}",
            warn("waits for a second person:"),
            text_of(approval, "summary")
        ));
        out.line(dim(&format!(
            "  caro-rollout approve {target} --approval {id}"
        )));
    }
    for drain in items(ops, "drains") {
        out.line(format!(
            "draining {} to {} %",
            text_of(drain, "release"),
            text_of(drain, "to")
        ));
    }
}

/// One release or flag.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout get v1.1.0-beta\n  caro-rollout get intent_bar_v1"
)]
pub struct Get {
    /// A release, or a flag's key
    name: String,
}

impl Get {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let router = context.router()?;
        let status = router.get("/status.json")?;
        let releases = items(&status, "releases");
        let release = releases.iter().find(|r| text_of(r, "name") == self.name);
        if let Some(release) = release {
            context.out.answer(release, |out| {
                for (name, value) in release.as_object().into_iter().flatten() {
                    out.line(format!("{name}: {}", crate::cli::output::shown(value)));
                }
            });
            return Ok(Exit::Ok);
        }
        if router.has_token() {
            return super::flag::get(context, &self.name, None);
        }
        let names: Vec<String> = releases.iter().map(|r| text_of(r, "name")).collect();
        Err(
            Failure::missing(format!("there is no release {}", self.name))
                .hint(format!(
                    "there are: {}; flags need a token",
                    names.join(", ")
                ))
                .into(),
        )
    }
}

/// What kind of text.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Kind {
    /// How it goes today
    Status,
    /// What is coming, with dates
    Announcement,
    /// What happened, row by row
    PostMortem,
}

/// Texts for people, made from live state.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout report v1.1.0-beta\n  caro-rollout report v1.1.0-beta --kind post-mortem > post-mortem.md"
)]
pub struct Report {
    release: String,
    #[arg(long, default_value = "status")]
    kind: Kind,
}

impl Report {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let router = context.router()?;
        router.need_token()?;
        let kind = self.kind.to_possible_value();
        let kind = kind.as_ref().map_or("status", |k| k.get_name());
        let path = format!("/rollout/{}/report?kind={kind}", self.release);
        let report = succeeded(router.call(&Call::get(&path))?)?.json()?;
        context.out.answer(&report, |out| {
            // Lines are meant; anything else that could steer a terminal is not.
            let text = report
                .get("text")
                .and_then(Value::as_str)
                .unwrap_or_default();
            for line in text.lines() {
                out.line(crate::cli::output::plain(line));
            }
        });
        Ok(Exit::Ok)
    }
}
