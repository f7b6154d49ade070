//! Kill switches.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, make};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{bad, good, items, shown, text_of};
use crate::cli::when;

/// The reason of a kill if none was given: time counts more.
pub const BECAUSE: &str = "killed from the command line";

/// Kill switches: what is off for every client.
#[derive(Debug, Subcommand)]
pub enum KillSwitch {
    /// Which are on, since when, by whom and why
    #[command(after_help = "Example:\n  caro-rollout kill-switch list")]
    List(List),
    /// Turn something off for every client. Never asks
    #[command(
        after_help = "Examples:\n  caro-rollout kill-switch on telemetry_disabled -m privacy\n  caro-rollout kill-switch on features/embedded_backend\n  caro-rollout kill-switch on cohorts/beta\n  caro-rollout kill-switch on canary"
    )]
    On(One),
    /// Let it work again
    #[command(
        after_help = "Example:\n  caro-rollout kill-switch off telemetry_disabled -m 'it sends no more than it says'"
    )]
    Off(One),
}

#[derive(Debug, Args)]
pub struct List {}

#[derive(Debug, Args)]
pub struct One {
    /// telemetry_disabled, llm_backends_disabled, command_execution_disabled, canary, features/KEY or cohorts/NAME
    switch: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl KillSwitch {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(_) => list(context),
            Self::On(args) => turn(context, &args, true),
            Self::Off(args) => turn(context, &args, false),
        }
    }
}

fn list(context: &Context) -> Result<Exit> {
    let switches = context.router()?.read("/admin/kill-switches")?;
    context.out.answer(&switches, |out| {
        let on = items(&switches, "on");
        if on.is_empty() {
            out.line(good("no kill switch is on"));
            return;
        }
        let rows: Vec<Vec<String>> = on.iter().map(row).collect();
        out.table(&["SWITCH", "SINCE", "FOR", "BY", "WHY"], &rows);
    });
    Ok(Exit::Ok)
}

fn row(switch: &Value) -> Vec<String> {
    let seconds = switch.get("active_seconds").and_then(Value::as_u64);
    vec![
        bad(&text_of(switch, "switch")),
        when::time(&text_of(switch, "since")),
        when::span(seconds.unwrap_or(0)),
        switch
            .pointer("/by/label")
            .map_or_else(|| "-".to_owned(), shown),
        text_of(switch, "reason"),
    ]
}

fn turn(context: &Context, args: &One, on: bool) -> Result<Exit> {
    let body = match args.switch.split_once('/') {
        Some((group @ ("features" | "cohorts"), name)) if !name.is_empty() => {
            json!({ group: { name: on } })
        }
        None => json!({ (args.switch.as_str()): on }),
        Some(_) => {
            let message = format!("{:?} is no kill switch", args.switch);
            return Err(Failure::usage(message)
                .hint("a client's switch, canary, features/KEY or cohorts/NAME")
                .into());
        }
    };
    let ask = if on { Ask::Never } else { Ask::Always };
    let mut change = Change::new("POST", "/admin/kill-switches", body, ask, &args.change);
    change.because = on.then(|| BECAUSE.to_owned());
    make(context, &change)
}
