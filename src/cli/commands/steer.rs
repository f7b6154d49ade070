//! Steering a release along its plan.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

use super::decision;
use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, body, carry_out, make, percentage};
use crate::cli::failure::{Exit, Failure};
use crate::cli::when;

/// The longest that a rollback may take, in seconds.
const DAY_S: u64 = 86_400;

/// Hold a release where it is.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caro-rollout pause v1.1.0-beta -m 'looking into a report'")]
pub struct Pause {
    release: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Pause {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let path = format!("/rollout/{}/pause", self.release);
        make(
            context,
            &Change::new("POST", path, json!({}), Ask::Never, &self.change),
        )
    }
}

/// Let a paused release go on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  caro-rollout resume v1.1.0-beta")]
pub struct Resume {
    release: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Resume {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let path = format!("/rollout/{}/resume", self.release);
        make(
            context,
            &Change::new("POST", path, json!({}), Ask::Always, &self.change),
        )
    }
}

/// Enter the plan's next stage now.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout promote v1.1.0-beta\n  caro-rollout promote v1.1.0-beta --force -m 'the hotfix cannot wait'"
)]
pub struct Promote {
    release: String,
    /// Although gates do not pass or the soak is not over. Wants a reason; never lifts a stop
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Promote {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let path = format!("/rollout/{}/promote", self.release);
        let body = body([("force", self.force.then_some(json!(true)))]);
        make(
            context,
            &Change::new("POST", path, body, Ask::Always, &self.change),
        )
    }
}

/// Lower a release, at once or over some time. It is paused then.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout rollback v1.1.0-beta\n  caro-rollout rollback v1.1.0-beta --to 10 --over 5m -m 'slow on macOS'"
)]
pub struct Rollback {
    release: String,
    /// Down to this percentage; 0 if left out
    #[arg(long, value_name = "PERCENT")]
    to: Option<String>,
    /// Evenly over this long, at most a day; at once if left out
    #[arg(long, value_name = "DURATION", value_parser = when::seconds)]
    over: Option<u64>,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Rollback {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let to = self.to.as_deref().map(percentage).transpose()?;
        if self.over.is_some_and(|seconds| seconds > DAY_S) {
            return Err(Failure::usage("a rollback takes a day at most")
                .hint("make --over shorter, or lower it by hand from day to day")
                .into());
        }
        let over = self.over.map(|seconds| json!(seconds));
        let body = body([("percentage", to), ("over_seconds", over)]);
        let path = format!("/rollout/{}/rollback", self.release);
        make(
            context,
            &Change::new("POST", path, body, Ask::Never, &self.change),
        )
    }
}

/// Agree to a change that waits for a second person, or that a plan may leave a stage.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout approve v1.1.0-beta                      # what waits there\n  caro-rollout approve v1.1.0-beta --stage large_beta   # the plan may leave this stage"
)]
pub struct Approve {
    /// The release, or `all`
    release: String,
    /// Which change, if several wait
    #[arg(long, value_name = "ID", conflicts_with = "stage")]
    approval: Option<String>,
    /// The stage of the release's plan that may be left
    #[arg(long)]
    stage: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Approve {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let body = body([
            ("approval", self.approval.map(Value::from)),
            ("stage", self.stage.map(Value::from)),
        ]);
        let path = format!("/rollout/{}/approve", self.release);
        make(
            context,
            &Change::new("POST", path, body, Ask::Always, &self.change),
        )
    }
}

/// What the plan would decide now, with all of its reasons.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout evaluate v1.1.0-beta           # only look\n  caro-rollout evaluate v1.1.0-beta --act     # decide now, not at the next hour"
)]
pub struct Evaluate {
    release: String,
    /// Decide for good: what the policy lets it do is done
    #[arg(long)]
    act: bool,
    /// Why, for the audit log
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Evaluate {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let args = ChangeArgs {
            reason: self.reason,
            dry_run: !self.act,
            yes: self.act,
        };
        let path = format!("/rollout/{}/evaluate", self.release);
        let done = carry_out(
            context,
            &Change::new("POST", path, json!({}), Ask::Never, &args),
        )?;
        context.out.answer(&done.body, |out| {
            out.line(crate::cli::output::text_of(&done.body, "summary"));
            if let Some(decision) = done.body.get("decision") {
                decision::show(out, decision);
            }
        });
        Ok(done.exit)
    }
}

/// Tell the router a number or a check that gates ask for.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout signal v1.1.0-beta p0_open=0 awu=120\n  caro-rollout signal v1.1.0-beta health=ok"
)]
pub struct Signal {
    release: String,
    /// NAME=NUMBER, or NAME=ok and NAME=failed for a check
    #[arg(required = true, value_name = "NAME=VALUE")]
    signals: Vec<String>,
    /// Why, for the audit log
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show what would change, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Signal {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let (mut numbers, mut checks) = (Map::new(), Map::new());
        for signal in &self.signals {
            let wrong = || {
                Failure::usage(format!("{signal:?} is no signal"))
                    .hint("write NAME=NUMBER, NAME=ok or NAME=failed")
            };
            let (name, value) = signal.split_once('=').ok_or_else(wrong)?;
            match value {
                "ok" | "true" => drop(checks.insert(name.to_owned(), json!(true))),
                "failed" | "false" => drop(checks.insert(name.to_owned(), json!(false))),
                value => {
                    let number = value.parse().ok().filter(|n: &f64| n.is_finite());
                    let number = number.ok_or_else(wrong)?;
                    numbers.insert(name.to_owned(), json!(number));
                }
            }
        }
        let args = ChangeArgs {
            reason: self.reason,
            dry_run: self.dry_run,
            yes: false,
        };
        let some = |map: Map<String, Value>| (!map.is_empty()).then_some(Value::Object(map));
        let body = body([("numbers", some(numbers)), ("checks", some(checks))]);
        let path = format!("/rollout/{}/signals", self.release);
        make(context, &Change::new("POST", path, body, Ask::Never, &args))
    }
}
