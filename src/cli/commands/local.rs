//! `features`: what this machine's override file makes of flags (seed 001).

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{note, shown, text_of, warn};
use crate::client::merge::{Sources, Table};
use crate::client::overrides::{OverrideFile, Overrides};
use crate::client::{Client, Outcome, Values};
use crate::core::defaults::Defaults;
use crate::core::ids::FlagKey;

/// Flags on this machine: `~/.config/caro/features.toml`, above what the router says, never above a kill.
#[derive(Debug, Subcommand)]
pub enum Features {
    /// What every flag is on this machine, and who says so
    #[command(
        after_help = "Examples:\n  caro-rollout features list                           # the defaults and the overrides\n  caro-rollout features list --release v1.1.0-beta     # and what the router says"
    )]
    List(List),
    /// Turn a flag, or a kill switch, on here
    #[command(
        after_help = "Examples:\n  caro-rollout features enable telemetry_cloud_sync\n  caro-rollout features enable telemetry_disabled      # a kill switch"
    )]
    Enable(One),
    /// Turn a flag off here. A kill switch that somebody else turned on stays on
    #[command(after_help = "Example:\n  caro-rollout features disable telemetry_cloud_sync")]
    Disable(One),
    /// Take back what this machine says of one flag, or of all
    #[command(
        after_help = "Examples:\n  caro-rollout features reset telemetry_cloud_sync\n  caro-rollout features reset"
    )]
    Reset(Reset),
}

#[derive(Debug, Args)]
pub struct Place {
    /// The override file [default: ~/.config/caro/features.toml]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct List {
    /// Ask the router, too: for this release's flags
    #[arg(long)]
    release: Option<String>,
    /// As this requester
    #[arg(long, requires = "release")]
    id: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub struct One {
    key: FlagKey,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub struct Reset {
    /// All if left out
    key: Option<FlagKey>,
    #[command(flatten)]
    place: Place,
}

impl Place {
    fn file(&self) -> Result<OverrideFile> {
        let named = self.file.clone().map(OverrideFile::at);
        named.or_else(OverrideFile::default_place).ok_or_else(|| {
            let failure = Failure::new(Exit::No, "this machine has no configuration folder");
            failure.hint("name the file with --file").into()
        })
    }
}

impl Features {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(args) => args.run(context),
            Self::Enable(args) => args.set(context, true),
            Self::Disable(args) => args.set(context, false),
            Self::Reset(args) => args.run(context),
        }
    }
}

impl One {
    fn set(&self, context: &Context, on: bool) -> Result<Exit> {
        let file = self.place.file()?;
        file.set(&self.key, &Value::Bool(on))?;
        let answer = json!({ "key": self.key, "value": on, "file": file.path() });
        context.out.answer(&answer, |out| {
            out.line(format!(
                "{} is {on} on this machine ({})",
                self.key,
                file.path().display()
            ));
        });
        Ok(Exit::Ok)
    }
}

impl Reset {
    fn run(&self, context: &Context) -> Result<Exit> {
        let file = self.place.file()?;
        let removed = match &self.key {
            Some(key) => usize::from(file.unset(key)?),
            None => file.reset()?,
        };
        let answer = json!({ "removed": removed, "file": file.path() });
        context.out.answer(&answer, |out| {
            out.line(format!(
                "{removed} taken back; {} says no more of it",
                file.path().display()
            ));
        });
        Ok(Exit::Ok)
    }
}

impl List {
    fn run(&self, context: &Context) -> Result<Exit> {
        let file = self.place.file()?;
        let overrides = file.load()?;
        for warning in &overrides.warnings {
            note(warn(warning));
        }
        let values = match &self.release {
            Some(release) => self.asked(context, release, &file)?,
            None => offline(&overrides),
        };
        let rows: Vec<Value> = values
            .iter()
            .map(|(key, feature)| json!({ "key": key, "value": feature.value, "from": feature.origin }))
            .collect();
        let answer = json!({ "features": rows, "file": file.path() });
        context.out.answer(&answer, |out| {
            let rows = rows.iter().map(|row| {
                vec![
                    text_of(row, "key"),
                    shown(&row["value"]),
                    text_of(row, "from"),
                ]
            });
            out.table(&["FLAG", "VALUE", "FROM"], &rows.collect::<Vec<_>>());
        });
        Ok(Exit::Ok)
    }

    /// As a program with the client would have it that starts now.
    fn asked(&self, context: &Context, release: &str, file: &OverrideFile) -> Result<Values> {
        let mut builder = Client::builder(&context.url()).release(release).no_cache();
        builder = builder.overrides(file.path()).timeout(context.timeout());
        if let Some(id) = &self.id {
            builder = builder.id(id);
        }
        let client = builder.build().map_err(|e| Failure::usage(e.to_string()))?;
        if let Outcome::Failed(why) = client.refresh().outcome {
            return Err(Failure::new(Exit::Unreachable, why.to_string())
                .hint("without --release the router is not asked")
                .into());
        }
        Ok(client.values().as_ref().clone())
    }
}

fn offline(overrides: &Overrides) -> Values {
    let caro = Defaults::default();
    let defaults: Table = caro
        .features
        .iter()
        .map(|(key, on)| (key.clone(), Value::Bool(*on)))
        .collect();
    let none = Table::new();
    let sources = Sources {
        router: None,
        overrides: &overrides.features,
        platform: &none,
        defaults: &defaults,
    };
    sources.merge()
}
