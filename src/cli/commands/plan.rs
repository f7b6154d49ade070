//! Plans.

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::decision;
use super::simulate::Simulate;
use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, body, make};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, bold, dim, good, items, text_of, warn};
use crate::cli::when;
use crate::core::json::Json;
use crate::core::plan::{self, PRESETS, preset};

/// Plans: show, set, begin, lint, simulate.
#[derive(Debug, Subcommand)]
pub enum Plan {
    /// Where a release's plan stands: stage, soak, calendar, the last decision
    #[command(
        after_help = "Examples:\n  caro-rollout plan show v1.1.0-beta\n  caro-rollout plan show v1.1.0-beta --json | jq .plan > plan.json"
    )]
    Show(One),
    /// Give a release a plan: a preset or a file
    #[command(
        after_help = "Examples:\n  caro-rollout plan set v1.1.0-beta caro --start\n  caro-rollout plan set v1.1.0-beta my-plan.json -m 'slower than caro'"
    )]
    Set(Set),
    /// Begin the plan that a release has
    #[command(after_help = "Example:\n  caro-rollout plan start v1.1.0-beta")]
    Start(OneChange),
    /// Take the plan away; the release stays where it is
    #[command(after_help = "Example:\n  caro-rollout plan delete v1.1.0-beta")]
    Delete(OneChange),
    /// What cannot work in a plan: a preset, a file or - for standard input
    #[command(
        after_help = "Examples:\n  caro-rollout plan lint my-plan.json\n  caro-rollout plan lint caro --installs-per-day 300"
    )]
    Lint(Lint),
    /// The presets, or one of them as a file to begin with
    #[command(
        after_help = "Examples:\n  caro-rollout plan presets\n  caro-rollout plan presets caro > my-plan.json"
    )]
    Presets(Presets),
    Simulate(Simulate),
}

#[derive(Debug, Args)]
pub struct One {
    release: String,
}

#[derive(Debug, Args)]
pub struct OneChange {
    release: String,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct Set {
    release: String,
    /// A preset, a file, or - for standard input
    plan: String,
    /// Begin it: the first stage is entered at once
    #[arg(long)]
    start: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct Lint {
    /// A preset, a file, or - for standard input
    plan: String,
    /// Installs a day in both arms: whether gates can get their samples
    #[arg(long, value_name = "NUMBER")]
    installs_per_day: Option<f64>,
    /// Warnings fail, too
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
pub struct Presets {
    /// Print this one's document
    name: Option<String>,
}

/// A plan's text: a preset's, or a file's.
///
/// # Errors
/// When there is neither.
pub fn text(name: &str) -> Result<String> {
    if let Some(text) = preset(name) {
        return Ok(text.to_owned());
    }
    super::read_file(name.as_ref()).with_context(|| {
        let hint = format!("the presets are {}", PRESETS.join(", "));
        Failure::missing(format!(
            "{name} is neither a preset nor a file that can be read"
        ))
        .hint(hint)
    })
}

/// A plan's document.
///
/// # Errors
/// When it is no JSON.
pub fn document(name: &str) -> Result<Json> {
    Json::parse(&text(name)?)
        .map_err(|problem| Failure::new(Exit::No, format!("{name}: {problem}")).into())
}

impl Plan {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Show(args) => {
                let plan = context
                    .router()?
                    .read(&format!("/rollout/{}/plan", args.release))?;
                context.out.answer(&plan, |out| show(out, &plan));
                Ok(Exit::Ok)
            }
            Self::Set(args) => args.run(context),
            Self::Start(args) => {
                let path = format!("/rollout/{}/plan", args.release);
                let body = json!({ "start": true });
                make(
                    context,
                    &Change::new("POST", path, body, Ask::Always, &args.change),
                )
            }
            Self::Delete(args) => {
                let path = format!("/rollout/{}/plan", args.release);
                make(
                    context,
                    &Change::new("DELETE", path, Value::Null, Ask::Always, &args.change),
                )
            }
            Self::Lint(args) => args.run(context),
            Self::Presets(args) => args.run(context),
            Self::Simulate(args) => args.run(context),
        }
    }
}

impl Set {
    fn run(&self, context: &Context) -> Result<Exit> {
        let (preset, plan) = match preset(&self.plan) {
            Some(_) => (Some(json!(self.plan)), None),
            None => {
                let text = document(&self.plan)?.text();
                (None, Some(serde_json::from_str(&text)?))
            }
        };
        let body = body([
            ("preset", preset),
            ("plan", plan),
            ("start", self.start.then_some(json!(true))),
        ]);
        let path = format!("/rollout/{}/plan", self.release);
        make(
            context,
            &Change::new("POST", path, body, Ask::Effect, &self.change),
        )
    }
}

impl Lint {
    fn run(&self, context: &Context) -> Result<Exit> {
        let document = document(&self.plan)?;
        let parsed = plan::Plan::parse(&document).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::new(
                Exit::No,
                format!("{} cannot be used:\n  {}", self.plan, lines.join("\n  ")),
            )
        })?;
        let findings = plan::lint(&parsed, self.installs_per_day, plan::LAG_MS);
        let findings = json!({ "findings": findings });
        let list = items(&findings, "findings");
        context.out.answer(&findings, |out| {
            super::findings(out, list);
            if list.is_empty() {
                out.line(good("nothing is wrong with it"));
            }
        });
        let is_error = |finding: &Value| text_of(finding, "severity") == "error";
        let fails = list.iter().any(is_error) || (self.strict && !list.is_empty());
        Ok(if fails { Exit::No } else { Exit::Ok })
    }
}

impl Presets {
    fn run(&self, context: &Context) -> Result<Exit> {
        if let Some(name) = &self.name {
            let hint = format!("there are {}", PRESETS.join(", "));
            let text = preset(name);
            let text = text
                .ok_or_else(|| Failure::missing(format!("there is no preset {name}")).hint(hint))?;
            crate::cli::output::print(text);
            return Ok(Exit::Ok);
        }
        let about = |name: &str| -> Value {
            let document = preset(name).and_then(|text| serde_json::from_str::<Value>(text).ok());
            let document = document.unwrap_or_default();
            let percentages = items(&document, "stages").iter();
            let percentages: Vec<Value> = percentages
                .filter_map(|s| s.get("percentage").cloned())
                .collect();
            json!({ "name": name, "percentages": percentages, "description": text_of(&document, "description") })
        };
        let list: Vec<Value> = PRESETS.into_iter().map(about).collect();
        let answer = json!({ "presets": list });
        context.out.answer(&answer, |out| {
            let rows = list.iter().map(|preset| {
                vec![
                    text_of(preset, "name"),
                    text_of(preset, "percentages"),
                    text_of(preset, "description"),
                ]
            });
            out.table(&["PRESET", "STAGES", "ABOUT"], &rows.collect::<Vec<_>>());
        });
        Ok(Exit::Ok)
    }
}

fn show(out: &Output, look: &Value) {
    out.line(format!(
        "{} of {}: {}, {}",
        bold(&text_of(look, "name")),
        text_of(look, "release"),
        text_of(look, "status"),
        text_of(look, "why"),
    ));
    let stage = look.get("stage").filter(|stage| stage.is_object());
    if let Some(stage) = stage {
        let seconds = |name: &str| stage.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (soaked, least) = (seconds("soaked_seconds"), seconds("soak_min_seconds"));
        let over = if soaked >= least {
            good("soak is over")
        } else {
            format!("soaked {} of {}", when::span(soaked), when::span(least))
        };
        out.line(format!(
            "stage {} at {} % since {}; {over}",
            text_of(stage, "id"),
            text_of(stage, "percentage"),
            when::time(&text_of(stage, "entered"))
        ));
    }
    if let Some(pending) = look.get("pending").filter(|pending| pending.is_object()) {
        out.line(format!(
            "{} {} at {}: {}",
            warn("announced:"),
            text_of(pending, "action"),
            when::time(&text_of(pending, "at")),
            text_of(pending, "why")
        ));
    }
    let here = stage.map(|stage| text_of(stage, "id"));
    let rows = items(look, "calendar").iter().map(|entry| {
        let name = text_of(entry, "stage");
        let mark = if here.as_ref() == Some(&name) {
            "→"
        } else {
            ""
        };
        let from = entry
            .get("from")
            .and_then(Value::as_str)
            .map_or_else(|| "-".to_owned(), when::time);
        vec![
            mark.to_owned(),
            name,
            format!("{} %", text_of(entry, "percentage")),
            from,
        ]
    });
    out.table(
        &["", "STAGE", "PERCENT", "AT THE EARLIEST"],
        &rows.collect::<Vec<_>>(),
    );
    if let Some(complete) = look.get("complete").and_then(Value::as_str) {
        out.line(dim(&format!(
            "complete at the earliest {}",
            when::time(complete)
        )));
    }
    if let Some(last) = look.get("last").filter(|last| last.is_object()) {
        out.line(format!(
            "\nlast decision, {}",
            when::time(&text_of(last, "at"))
        ));
        decision::show(out, last);
    }
    super::findings(out, items(look, "warnings"));
}
