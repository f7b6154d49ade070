//! Cohorts.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::canary::{People, show_members};
use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, body, make, percentage};
use crate::cli::failure::Exit;
use crate::cli::output::{bad, good, items, text_of, warn};

/// Cohorts: named groups by members, by percentage, or both.
#[derive(Debug, Subcommand)]
pub enum Cohort {
    /// Every cohort
    #[command(after_help = "Example:\n  caro-rollout cohort list")]
    List(List),
    /// One cohort and its members, as far as labels say
    #[command(after_help = "Example:\n  caro-rollout cohort show beta")]
    Show(One),
    /// Make a cohort, or set what it is; what is left out stays
    #[command(
        after_help = "Examples:\n  caro-rollout cohort set beta --percentage 25 --features all\n  caro-rollout cohort set beta --disable"
    )]
    Set(Set),
    /// Remove a cohort that no release and no flag uses
    #[command(after_help = "Example:\n  caro-rollout cohort delete beta")]
    Delete(OneChange),
    /// Put people into a cohort
    #[command(after_help = "Example:\n  caro-rollout cohort add friendly_gp user123 --label alice")]
    Add(Members),
    /// Take people out of a cohort
    #[command(after_help = "Example:\n  caro-rollout cohort remove friendly_gp user123")]
    Remove(Members),
}

#[derive(Debug, Args)]
pub struct List {}

#[derive(Debug, Args)]
pub struct One {
    name: String,
}

#[derive(Debug, Args)]
pub struct OneChange {
    name: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct Set {
    name: String,
    /// Of the buckets of the release that it is used for
    #[arg(long, value_name = "PERCENT")]
    percentage: Option<String>,
    /// `all`, or keys separated by commas: what its people always get
    #[arg(long, value_delimiter = ',', value_name = "KEYS")]
    features: Option<Vec<String>>,
    /// Switch it on
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Switch it off: it admits nobody
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct Members {
    name: String,
    #[command(flatten)]
    people: People,
}

impl Cohort {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(_) => {
                let cohorts = context.router()?.read("/admin/cohorts")?;
                context.out.answer(&cohorts, |out| {
                    let rows: Vec<Vec<String>> =
                        items(&cohorts, "cohorts").iter().map(row).collect();
                    out.table(
                        &[
                            "COHORT", "STATE", "PERCENT", "MEMBERS", "RELEASES", "FEATURES",
                        ],
                        &rows,
                    );
                });
                Ok(Exit::Ok)
            }
            Self::Show(args) => {
                let router = context.router()?;
                let cohort = router.read(&format!("/admin/cohorts/{}", args.name))?;
                let members = router.read(&format!("/admin/cohorts/{}/members", args.name))?;
                let both = json!({ "cohort": cohort, "members": members });
                context.out.answer(&both, |out| {
                    out.table(
                        &[
                            "COHORT", "STATE", "PERCENT", "MEMBERS", "RELEASES", "FEATURES",
                        ],
                        &[row(&cohort)],
                    );
                    show_members(context, &members);
                });
                Ok(Exit::Ok)
            }
            Self::Set(args) => args.run(context),
            Self::Delete(args) => {
                let path = format!("/admin/cohorts/{}", args.name);
                make(
                    context,
                    &Change::new("DELETE", path, Value::Null, Ask::Always, &args.change),
                )
            }
            Self::Add(args) => args.change(context, "add"),
            Self::Remove(args) => args.change(context, "remove"),
        }
    }
}

impl Members {
    fn change(&self, context: &Context, what: &str) -> Result<Exit> {
        let list = format!("/admin/cohorts/{}/members", self.name);
        self.people.change(context, &list, what)
    }
}

fn row(cohort: &Value) -> Vec<String> {
    let is = |name: &str| cohort.get(name) == Some(&Value::Bool(true));
    let state = match (is("killed"), is("enabled")) {
        (true, _) => bad("killed"),
        (_, true) => good("on"),
        _ => warn("off"),
    };
    vec![
        text_of(cohort, "name"),
        state,
        format!("{} %", text_of(cohort, "percentage")),
        text_of(cohort, "members"),
        text_of(cohort, "releases"),
        text_of(cohort, "features"),
    ]
}

impl Set {
    fn run(&self, context: &Context) -> Result<Exit> {
        // The call replaces, and people mean to change.
        let all = context.router()?.read("/admin/cohorts")?;
        let mut cohorts = items(&all, "cohorts").iter();
        let present = cohorts.find(|cohort| text_of(cohort, "name") == self.name);
        let kept = |name: &str| present?.get(name).cloned();
        let percentage = self.percentage.as_deref().map(percentage).transpose()?;
        let enabled = match (self.enable, self.disable) {
            (true, _) => Some(json!(true)),
            (_, true) => Some(json!(false)),
            _ => kept("enabled"),
        };
        let features = self.features.as_ref().map(|keys| json!(keys));
        let body = body([
            ("enabled", enabled),
            ("percentage", percentage.or_else(|| kept("percentage"))),
            ("features", features.or_else(|| kept("features"))),
        ]);
        let path = format!("/admin/cohorts/{}", self.name);
        make(
            context,
            &Change::new("PUT", path, body, Ask::Effect, &self.change),
        )
    }
}
