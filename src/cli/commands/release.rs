//! `rollout`: how many get a release or a flag.

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, make, percentage};
use crate::cli::failure::Exit;
use crate::cli::output::{items, text_of};

/// Set the percentage of a release or a flag.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout rollout v1.1.0-beta 50 -m 'day two went well'\n  caro-rollout rollout intent_bar_v1_rollout 10\n  caro-rollout rollout v1.1.0-beta 50 --dry-run"
)]
pub struct Rollout {
    /// A release, or a flag's key
    name: String,
    /// 0 to 100, at most three decimals
    percent: String,
    /// Of a flag: of this release alone
    #[arg(long, value_name = "RELEASE")]
    release: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

impl Rollout {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let percent = percentage(&self.percent)?;
        let status = context.router()?.get("/status.json")?;
        let mut releases = items(&status, "releases").iter();
        let (path, body) =
            if self.release.is_none() && releases.any(|r| text_of(r, "name") == self.name) {
                (
                    format!("/rollout/{}", self.name),
                    json!({ "percentage": percent }),
                )
            } else {
                let flag = super::flag::find(context, &self.name, self.release.as_deref())?;
                let body = json!({ (self.name.as_str()): { "percentage": percent } });
                (format!("/features/{}", flag.scope), body)
            };
        make(
            context,
            &Change::new("POST", path, body, Ask::Effect, &self.change),
        )
    }
}
