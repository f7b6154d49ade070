//! Plays a plan against a scenario: `cargo run --example simulate -- caro --scenario incident --seed 1`.

#![cfg_attr(target_arch = "wasm32", no_main)]

#[cfg(not(target_arch = "wasm32"))]
fn main() -> std::process::ExitCode {
    native::main()
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::io::{self, Write};
    use std::process::ExitCode;
    use std::{env, fs};

    use caro_edge::core::json::Json;
    use caro_edge::core::ledger::Rejection;
    use caro_edge::core::plan::simulate::{Played, SCENARIOS, Scenario, scenario, simulate};
    use caro_edge::core::plan::{PRESETS, preset};
    use serde::Serialize;

    /// What the command line asks for.
    struct Wanted {
        plan: String,
        scenario: String,
        seed: u64,
        json: bool,
        show: bool,
    }

    pub fn main() -> ExitCode {
        let arguments: Vec<String> = env::args().skip(1).collect();
        let is_help = |argument: &String| argument == "--help" || argument == "-h";
        let answer = match arguments.iter().any(is_help) {
            true => Ok(help()),
            false => wanted(&arguments).and_then(|wanted| play(&wanted)),
        };
        match answer {
            // Whoever reads may have seen enough.
            Ok(text) => match io::stdout().write_all(text.as_bytes()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Err(why) => {
                eprintln!("simulate: {why}");
                ExitCode::from(2)
            }
        }
    }

    fn help() -> String {
        let mut text = format!(
            "Plays a whole plan against a scenario in seconds: which stage is reached when, what people are told,\n\
             and where it ends. The same seed gives the same timeline.\n\n\
             cargo run --example simulate -- PLAN [--scenario NAME] [--seed N] [--json]\n\n\
             PLAN       {}, or a file with a plan\n\
             --scenario one of those below (clean unless given), or a file with a scenario; --show prints one to\n           \
             begin with, and a file says only what is special about it\n\
             --seed     which chance; 1 unless given\n\
             --json     the timeline and where the plan stands at the end, for programs\n\
             --show     the scenario as JSON; nothing is played\n\nscenarios:\n",
            PRESETS.join(", ")
        );
        for name in SCENARIOS {
            let about = scenario(name).map_or_else(String::new, |scenario| scenario.description);
            text.push_str(&format!("  {name:<17} {about}\n"));
        }
        text.push_str(
            "\nexamples:\n  cargo run --example simulate -- caro --scenario incident\n  \
             cargo run --example simulate -- my-plan.json --scenario noisy --seed 7\n  \
             cargo run --example simulate -- boring-green --scenario bad --show > mine.json\n",
        );
        text
    }

    fn wanted(arguments: &[String]) -> Result<Wanted, String> {
        let mut wanted = Wanted {
            plan: String::new(),
            scenario: "clean".to_owned(),
            seed: 1,
            json: false,
            show: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next().cloned();
                value.ok_or_else(|| format!("{argument} takes a value; --help says which"))
            };
            match argument.as_str() {
                "--scenario" => wanted.scenario = value()?,
                "--seed" => {
                    let seed = value()?;
                    let number = seed.parse();
                    wanted.seed =
                        number.map_err(|_| format!("--seed takes a whole number, not {seed}"))?;
                }
                "--json" => wanted.json = true,
                "--show" => wanted.show = true,
                other if other.starts_with('-') => {
                    return Err(format!(
                        "{other} is unknown; there are --scenario, --seed, --json, --show and --help"
                    ));
                }
                plan if wanted.plan.is_empty() => wanted.plan = plan.to_owned(),
                more => return Err(format!("one plan at a time: {} or {more}?", wanted.plan)),
            }
        }
        if wanted.plan.is_empty() && !wanted.show {
            return Err(format!(
                "which plan? {}, or a file; --help says more",
                PRESETS.join(", ")
            ));
        }
        Ok(wanted)
    }

    fn the_scenario(name: &str) -> Result<Scenario, String> {
        if let Some(scenario) = scenario(name) {
            return Ok(scenario);
        }
        let text = fs::read_to_string(name).map_err(|e| {
            let names = SCENARIOS.join(", ");
            format!("there is no scenario {name}, and no file ({e}); the scenarios are {names}")
        })?;
        serde_json::from_str(&text).map_err(|e| format!("{name}: {e}"))
    }

    fn the_plan(name: &str) -> Result<Json, String> {
        let text = match preset(name) {
            Some(text) => text.to_owned(),
            None => fs::read_to_string(name).map_err(|e| {
                let names = PRESETS.join(", ");
                format!("there is no preset {name}, and no file ({e}); the presets are {names}")
            })?,
        };
        Json::parse(&text).map_err(|problem| format!("{name}: {problem}"))
    }

    fn play(wanted: &Wanted) -> Result<String, String> {
        let scenario = the_scenario(&wanted.scenario)?;
        if wanted.show {
            return pretty(&scenario);
        }
        let played = simulate(&the_plan(&wanted.plan)?, &scenario, wanted.seed);
        let played = played.map_err(|rejection| match rejection {
            Rejection::Invalid(problems) | Rejection::Breaks(problems) => {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                format!("{} cannot be used:\n  {}", wanted.plan, lines.join("\n  "))
            }
            Rejection::Conflict(why) => why,
            other => format!("{other:?}"),
        })?;
        match wanted.json {
            true => pretty(&played),
            false => Ok(told(wanted, &scenario, &played)),
        }
    }

    fn pretty(value: &impl Serialize) -> Result<String, String> {
        let text = serde_json::to_string_pretty(value);
        text.map(|text| text + "\n").map_err(|e| e.to_string())
    }

    fn told(wanted: &Wanted, scenario: &Scenario, played: &Played) -> String {
        format!(
            "{} against {} (seed {}): {}\n\n{played}\nIt ends {} at {} %: {}\n",
            wanted.plan,
            wanted.scenario,
            wanted.seed,
            scenario.description,
            played.run.status.as_str(),
            played.run.percentage,
            played.run.why
        )
    }
}
