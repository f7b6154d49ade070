//! Flags as they are configured.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, make};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{bad, good, items, text_of, warn};

/// Where a flag is written.
pub struct Found {
    /// A release, or `*`.
    pub scope: String,
    pub flag: Value,
}

/// A flag by its key; of one release, or wherever it is written once.
///
/// # Errors
/// When there is none, or more than one.
pub fn find(context: &Context, key: &str, release: Option<&str>) -> Result<Found> {
    let all = context.router()?.read("/admin/features")?;
    let all = items(&all, "features");
    let of = |flag: &&Value| {
        text_of(flag, "key") == key && release.is_none_or(|r| text_of(flag, "release") == r)
    };
    let found: Vec<&Value> = all.iter().filter(of).collect();
    match *found.as_slice() {
        [flag] => Ok(Found {
            scope: text_of(flag, "release"),
            flag: flag.clone(),
        }),
        [] => {
            let message = match release {
                Some(release) => format!("{release} has no flag {key}"),
                None => format!("there is no release or flag {key}"),
            };
            let near = all.iter().map(|flag| text_of(flag, "key"));
            let near = near.filter(|other| alike(other, key)).collect::<Vec<_>>();
            let hint = match near.as_slice() {
                [] => {
                    "`caro-rollout flag list` has them all; `flag set` makes a new one".to_owned()
                }
                near => format!("is it {}?", near.join(", ")),
            };
            Err(Failure::missing(message).hint(hint).into())
        }
        _ => {
            let scopes: Vec<String> = found.iter().map(|flag| text_of(flag, "release")).collect();
            let hint = format!("say which with --release: {}", scopes.join(", "));
            let message = format!("several releases have a flag {key}");
            Err(Failure::usage(message).hint(hint).into())
        }
    }
}

/// Whether one may be meant by the other: they share a beginning, or one holds the other.
fn alike(known: &str, typed: &str) -> bool {
    let common = known
        .bytes()
        .zip(typed.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    common * 2 >= typed.len().max(3) || known.contains(typed)
}

/// One flag, for `get` as well.
///
/// # Errors
/// When it is not there.
pub fn get(context: &Context, key: &str, release: Option<&str>) -> Result<Exit> {
    let Found { flag, .. } = find(context, key, release)?;
    context.out.answer(&flag, |out| {
        let killed = flag.get("killed") == Some(&Value::Bool(true));
        let killed = if killed {
            bad(" KILLED")
        } else {
            String::new()
        };
        out.line(format!("{key} of {}{killed}", text_of(&flag, "release")));
        let definition = flag.get("definition").unwrap_or(&Value::Null);
        out.line(format!("{definition:#}"));
    });
    Ok(Exit::Ok)
}

/// Flags: list, get, set, kill, restore, lint.
#[derive(Debug, Subcommand)]
pub enum Flag {
    /// Every flag, with who gets it
    #[command(
        after_help = "Examples:\n  caro-rollout flag list\n  caro-rollout flag list --search bar"
    )]
    List(List),
    /// One flag as it is configured
    #[command(after_help = "Example:\n  caro-rollout flag get validation_retry")]
    Get(One),
    /// Set a flag, or make one: a percentage, a JSON patch, a file
    #[command(
        after_help = "Examples:\n  caro-rollout flag set dark_mode true\n  caro-rollout flag set dark_mode '{\"percentage\": 5, \"owner\": \"web\"}'\n  caro-rollout flag set dark_mode --file dark_mode.json\n  caro-rollout flag set dark_mode null    # forget it"
    )]
    Set(Set),
    /// Turn a flag off for everybody at once. Never asks
    #[command(after_help = "Example:\n  caro-rollout flag kill embedded_backend -m 'bad answers'")]
    Kill(OneChange),
    /// Let a killed flag do what it is configured to again
    #[command(
        after_help = "Example:\n  caro-rollout flag restore embedded_backend -m 'fixed in 1.0.5'"
    )]
    Restore(OneChange),
    /// What is wrong with flags beyond what breaks: names, papers, age, rules that do nothing
    #[command(
        after_help = "Examples:\n  caro-rollout flag lint\n  caro-rollout flag lint --strict    # warnings fail, too"
    )]
    Lint(Lint),
}

#[derive(Debug, Args)]
pub struct List {
    /// Only those whose key or description has this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those of this release (`*`: of every release)
    #[arg(long)]
    release: Option<String>,
}

#[derive(Debug, Args)]
pub struct One {
    key: String,
    /// Of this release (`*`: of every release)
    #[arg(long)]
    release: Option<String>,
}

#[derive(Debug, Args)]
pub struct Set {
    key: String,
    /// `true`, `false`, `null`, or a JSON object that is merged into what is there
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    patch: Option<String>,
    /// Read the patch from a file; - is standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// Of this release; if left out, where the flag is written now, else of every release
    #[arg(long)]
    release: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct OneChange {
    key: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct Lint {
    /// Warnings fail, too
    #[arg(long)]
    strict: bool,
}

impl Flag {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::List(args) => args.run(context),
            Self::Get(args) => get(context, &args.key, args.release.as_deref()),
            Self::Set(args) => args.run(context),
            Self::Kill(args) => kill(context, &args, true),
            Self::Restore(args) => kill(context, &args, false),
            Self::Lint(args) => args.run(context),
        }
    }
}

impl List {
    fn run(&self, context: &Context) -> Result<Exit> {
        let mut answer = context.router()?.read("/admin/features")?;
        if let Some(Value::Array(flags)) = answer.get_mut("features") {
            flags.retain(|flag| self.wants(flag));
        }
        context.out.answer(&answer, |out| {
            let rows: Vec<Vec<String>> = items(&answer, "features").iter().map(row).collect();
            out.table(
                &["FLAG", "RELEASE", "GETS IT", "STAGE", "OWNER", "EXPIRES"],
                &rows,
            );
        });
        Ok(Exit::Ok)
    }

    fn wants(&self, flag: &Value) -> bool {
        let description = flag
            .pointer("/definition/description")
            .and_then(Value::as_str);
        let has = |text: &String| {
            text_of(flag, "key").contains(text.as_str())
                || description.is_some_and(|d| d.to_lowercase().contains(&text.to_lowercase()))
        };
        self.search.as_ref().is_none_or(has)
            && self
                .release
                .as_ref()
                .is_none_or(|r| text_of(flag, "release") == *r)
    }
}

fn row(flag: &Value) -> Vec<String> {
    let definition = flag.get("definition").unwrap_or(&Value::Null);
    let off =
        definition == &Value::Bool(false) || definition.get("enabled") == Some(&Value::Bool(false));
    let gets = if flag.get("killed") == Some(&Value::Bool(true)) {
        bad("killed")
    } else if off {
        warn("off")
    } else if let Some(percentage) = definition.get("percentage") {
        format!("{percentage} %")
    } else if definition.get("rules").is_some() {
        "by rules".to_owned()
    } else {
        good("everybody")
    };
    let paper = |name| text_of(definition, name);
    vec![
        text_of(flag, "key"),
        text_of(flag, "release"),
        gets,
        paper("stage"),
        paper("owner"),
        paper("expires"),
    ]
}

impl Set {
    fn run(&self, context: &Context) -> Result<Exit> {
        let text = match (&self.patch, &self.file) {
            (Some(text), _) => text.clone(),
            (None, Some(file)) => super::read_file(file)?,
            (None, None) => String::new(),
        };
        let patch: Value = serde_json::from_str(&text).with_context(|| {
            Failure::usage("the patch is not JSON")
                .hint("true, false, null, or an object in quotes: '{\"percentage\": 5}'")
        })?;
        let scope = match &self.release {
            Some(release) => release.clone(),
            None => match find(context, &self.key, None) {
                Ok(found) => found.scope,
                Err(error) if crate::cli::failure::failure_of(&error).exit == Exit::Missing => {
                    "*".to_owned()
                }
                Err(error) => return Err(error),
            },
        };
        let body = json!({ (self.key.as_str()): patch });
        let ask = match patch {
            Value::Null => Ask::Always,
            _ => Ask::Effect,
        };
        make(
            context,
            &Change::new(
                "POST",
                format!("/features/{scope}"),
                body,
                ask,
                &self.change,
            ),
        )
    }
}

/// By the kill switch, which wins over everything and has since when and why.
fn kill(context: &Context, args: &OneChange, on: bool) -> Result<Exit> {
    let body = json!({ "features": { (args.key.as_str()): on } });
    let ask = if on { Ask::Never } else { Ask::Always };
    let mut change = Change::new("POST", "/admin/kill-switches", body, ask, &args.change);
    change.because = on.then(|| super::kill_switch::BECAUSE.to_owned());
    make(context, &change)
}

impl Lint {
    fn run(&self, context: &Context) -> Result<Exit> {
        let linted = context.router()?.read("/admin/lint")?;
        context.out.answer(&linted, |out| {
            super::findings(out, items(&linted, "findings"));
            out.line(format!(
                "{} errors, {} warnings",
                text_of(&linted, "errors"),
                text_of(&linted, "warnings")
            ));
        });
        let some = |name| linted.get(name).and_then(Value::as_u64).unwrap_or(0) > 0;
        let fails = some("errors") || (self.strict && some("warnings"));
        Ok(if fails { Exit::No } else { Exit::Ok })
    }
}

#[cfg(test)]
mod tests {
    use super::alike;

    #[test]
    fn a_mistyped_flag_is_recognised() {
        assert!(alike("intent_bar_v1", "intent_bar"));
        assert!(alike("intent_bar_v1", "intnet") == alike("intent_bar_v1", "intnet"));
        assert!(alike("dark_mode", "dark_mdoe"));
        assert!(!alike("dark_mode", "static_matcher"));
    }
}
