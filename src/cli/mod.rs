//! `caro-rollout`: the command line.
//!
//! Arguments are parsed into typed options ([`commands`]), reads and changes go through [`http`] and [`change`], and
//! [`output`] shows them to people or scripts. Whatever goes wrong is a [`failure::Failure`] with an exit code.

mod assets;
mod change;
mod checklist;
mod commands;
mod configuration;
mod credentials;
mod failure;
mod http;
mod interrupt;
mod output;
mod when;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{ColorChoice, CommandFactory, Parser};

use commands::Command;
use failure::{EXITS, Exit, failure_of};
use http::Router;
use output::{Output, bad, note};

/// Where a router is if nothing else is said.
const DEFAULT_URL: &str = "https://api.caro.sh";

/// Steers releases, flags and their rollouts.
#[derive(Debug, Parser)]
#[command(
    name = "caro-rollout",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Stop everything:  caro-rollout stop\nA first look:     caro-rollout status\nHelp of a command with examples:  caro-rollout rollout --help"
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// The router's address [env: CARO_ROLLOUT_URL] [default: https://api.caro.sh]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// A file of mode 0600 with the token, or - for standard input [env: CARO_ROLLOUT_TOKEN has the token itself]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Answer as JSON
    #[arg(long, global = true)]
    json: bool,
    /// How long a call may take
    #[arg(long, global = true, value_name = "DURATION", default_value = "15s", value_parser = when::seconds)]
    timeout: u64,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

/// What every command works with.
pub struct Context {
    global: Global,
    pub out: Output,
    router: OnceCell<Router>,
}

impl Context {
    /// The router. What needs none works without an address and a token.
    ///
    /// # Errors
    /// When the address or the token cannot be used.
    pub fn router(&self) -> Result<&Router> {
        if let Some(router) = self.router.get() {
            return Ok(router);
        }
        let token = credentials::token(self.global.token_file.as_deref())?;
        let router = Router::new(&self.url(), token, self.timeout())?;
        Ok(self.router.get_or_init(|| router))
    }

    /// The router's address.
    pub fn url(&self) -> String {
        let from_environment = || std::env::var("CARO_ROLLOUT_URL").ok();
        let url = self.global.url.clone().or_else(from_environment);
        let url = url.filter(|url| !url.is_empty());
        url.unwrap_or_else(|| DEFAULT_URL.to_owned())
    }

    /// How long a call may take, a second at least.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.global.timeout.max(1))
    }
}

/// The whole command line, for help, completions and the manual page.
fn command() -> clap::Command {
    let codes = EXITS
        .iter()
        .map(|(exit, meaning)| format!("  {}  {meaning}", *exit as u8));
    let codes: Vec<String> = codes.collect();
    let long = format!(
        "Stop everything:  caro-rollout stop\nA first look:     caro-rollout status\n\nExit codes:\n{}\n\nWith --json every answer is one JSON document on standard output, as /openapi.json describes it \
         or as the command's help says, and an error is {{\"error\": {{\"exit\", \"message\", \"hint\", \"problem\"}}}} on standard error.",
        codes.join("\n")
    );
    Cli::command().after_long_help(long)
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let matches = command().get_matches();
    let cli = match <Cli as clap::FromArgMatches>::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match cli.global.color {
        ColorChoice::Always => console::set_colors_enabled(true),
        ColorChoice::Never => console::set_colors_enabled(false),
        ColorChoice::Auto => {}
    }
    let json = cli.global.json;
    match run(cli) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(error) => {
            let failure = failure_of(&error);
            if json {
                note(format!("{:#}", failure.json()));
            } else {
                note(format!("{} {failure}", bad("error:")));
                if let Some(hint) = &failure.hint {
                    note(format!("  {hint}"));
                }
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: Cli) -> Result<Exit> {
    let context = Context {
        out: Output::new(cli.global.json),
        global: cli.global,
        router: OnceCell::new(),
    };
    cli.command.run(&context)
}

#[cfg(test)]
mod tests {
    /// clap looks for options that contradict each other only when it runs, and then it panics.
    #[test]
    fn the_command_line_holds_together() {
        super::command().debug_assert();
    }
}
