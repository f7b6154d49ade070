//! `plan simulate`: a whole plan in seconds.

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use super::plan::document;
use crate::cli::Context;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::print;
use crate::core::ledger::Rejection;
use crate::core::plan::simulate::{SCENARIOS, Scenario, scenario, simulate};

/// Play a whole plan in seconds against a scenario.
///
/// It is the real machine with a clock that jumps: which stage is reached when, what people are told, and where it ends.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout plan simulate caro --scenario incident\n  caro-rollout plan simulate my-plan.json --scenario noisy --seed 7\n  caro-rollout plan simulate --scenarios\n  caro-rollout plan simulate --scenario bad --show > mine.json   # a scenario to begin with"
)]
pub struct Simulate {
    /// A preset, a file, or - for standard input
    #[arg(required_unless_present_any = ["show", "scenarios"])]
    plan: Option<String>,
    /// What happens: a name, or a file
    #[arg(long, default_value = "clean")]
    scenario: String,
    /// Which chance; the same one gives the same timeline
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// List the scenarios
    #[arg(long)]
    scenarios: bool,
    /// Print the scenario as JSON; nothing is played
    #[arg(long)]
    show: bool,
}

impl Simulate {
    pub fn run(self, context: &Context) -> Result<Exit> {
        if self.scenarios {
            let list = SCENARIOS.map(|name| {
                let about = scenario(name).map(|scenario| scenario.description);
                (name, about.unwrap_or_default())
            });
            let answer: Vec<Value> = list
                .iter()
                .map(|(name, about)| json!({ "name": name, "description": about }))
                .collect();
            context.out.answer(&json!({ "scenarios": answer }), |out| {
                let rows = list
                    .iter()
                    .map(|(name, about)| vec![(*name).to_owned(), about.clone()]);
                out.table(&["SCENARIO", "WHAT HAPPENS"], &rows.collect::<Vec<_>>());
            });
            return Ok(Exit::Ok);
        }
        let scenario = the_scenario(&self.scenario)?;
        if self.show {
            print(&format!("{}\n", serde_json::to_string_pretty(&scenario)?));
            return Ok(Exit::Ok);
        }
        let plan = self.plan.unwrap_or_default();
        let played = simulate(&document(&plan)?, &scenario, self.seed);
        let played = played.map_err(|rejection| match rejection {
            Rejection::Invalid(problems) | Rejection::Breaks(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Failure::new(
                    Exit::No,
                    format!("{plan} cannot be used:\n  {}", lines.join("\n  ")),
                )
            }
            Rejection::Conflict(why) => Failure::new(Exit::No, why),
            other => Failure::new(Exit::No, format!("{other:?}")),
        })?;
        context.out.answer(&serde_json::to_value(&played)?, |out| {
            out.line(format!(
                "{plan} against {} (seed {}): {}\n",
                self.scenario, self.seed, scenario.description
            ));
            out.line(played.to_string());
            let run = &played.run;
            out.line(format!(
                "It ends {} at {} %: {}",
                run.status.as_str(),
                run.percentage,
                run.why
            ));
        });
        Ok(Exit::Ok)
    }
}

fn the_scenario(name: &str) -> Result<Scenario> {
    if let Some(scenario) = scenario(name) {
        return Ok(scenario);
    }
    let text = super::read_file(name.as_ref()).with_context(|| {
        let hint = format!("the scenarios are {}", SCENARIOS.join(", "));
        Failure::missing(format!("there is no scenario {name}, and no such file")).hint(hint)
    })?;
    serde_json::from_str(&text).map_err(|e| Failure::new(Exit::No, format!("{name}: {e}")).into())
}
