//! The emergency stop.

use std::cell::Cell;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, carry_out, make, show};
use crate::cli::failure::{Exit, Failure, failure_of};
use crate::cli::output::{bad, note};

/// Emergency stop: of everything, or of one release. Never asks.
///
/// The percentage goes to 0, pinned paths answer 410, and features turn off unless they say `on_emergency: keep`. Only
/// `clear-stop` lifts it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout stop\n  caro-rollout stop v1.1.0-beta -m 'crashes on start'\n  caro-rollout stop --via-kv          # the API is out of reach: prints the command\n  caro-rollout stop --via-kv --run    # and runs it"
)]
pub struct Stop {
    /// The release; everything if left out
    #[arg(default_value = "all")]
    release: String,
    /// Why; "stopped from the command line" if left out
    #[arg(short = 'm', long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show what would change, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Print the wrangler command that stops by KV alone: no API, no token of the router
    #[arg(long)]
    via_kv: bool,
    /// With --via-kv: run it, in the folder that has wrangler.toml
    #[arg(long, requires = "via_kv")]
    run: bool,
    /// With --via-kv: of the local router, not Cloudflare's
    #[arg(long, requires = "via_kv")]
    local: bool,
}

impl Stop {
    pub fn run(self, context: &Context) -> Result<Exit> {
        if self.release != "all" {
            let name = self.release.parse::<crate::core::ids::ReleaseName>();
            name.map_err(|e| Failure::usage(format!("the release {e}")))?;
        }
        if self.via_kv {
            return self.by_kv(context);
        }
        let args = ChangeArgs {
            reason: self.reason.clone(),
            dry_run: self.dry_run,
            yes: false,
        };
        let path = format!("/rollout/{}/emergency-stop", self.release);
        // Whoever stops something cannot wait until all attempts have failed.
        let told = Cell::new(false);
        let by_kv = || {
            if !told.replace(true) && !context.out.json {
                note(bad(
                    "NOT STOPPED by the API so far. KV alone can do it, now:",
                ));
                note(format!("  {}", self.command_line()));
            }
        };
        let mut change = Change::new("POST", path, json!({}), Ask::Never, &args);
        change.because = Some("stopped from the command line".to_owned());
        change.again = Some(&by_kv);
        match carry_out(context, &change) {
            Ok(done) => {
                context
                    .out
                    .answer(&done.body, |_| show(context, &done.body));
                let landed = done.body.get("published") != Some(&Value::Bool(false));
                // KV has not heard of it yet, so it does not hold everywhere: a script should not go on.
                Ok(if landed { done.exit } else { Exit::Unreachable })
            }
            Err(error) => {
                if matches!(failure_of(&error).exit, Exit::Unreachable | Exit::Denied) {
                    by_kv();
                }
                Err(error)
            }
        }
    }

    fn words(&self) -> Vec<&str> {
        let place = if self.local { "--local" } else { "--remote" };
        let mut words = vec![
            "wrangler",
            "kv",
            "key",
            "put",
            place,
            "--binding",
            "ROLLOUT",
        ];
        words.extend(["emergency-stop", self.release.as_str()]);
        words
    }

    fn command_line(&self) -> String {
        format!("npx {}", self.words().join(" "))
    }

    fn by_kv(&self, context: &Context) -> Result<Exit> {
        let mut words = self.words();
        let mut command = format!("npx {}", words.join(" "));
        if !self.run || self.dry_run {
            let answer = json!({ "command": command, "ran": false });
            context.out.answer(&answer, |out| out.line(&command));
            if self.release != "all" {
                note(
                    "  it replaces what the key says now: if something else is stopped, name all of it, or `all`",
                );
            }
            return Ok(Exit::Ok);
        }
        // What is stopped already stays so.
        let value = match self.release.as_str() {
            "all" => "all".to_owned(),
            release => merged(&self.present()?, release),
        };
        words.pop();
        words.push(&value);
        command = format!("npx {}", words.join(" "));
        note(format!("running {command}"));
        let status = Command::new("npx")
            .args(&words)
            .stdout(std::io::stderr())
            .status();
        let status = status.context("npx could not be run; is Node installed?")?;
        if !status.success() {
            let failure = Failure::new(Exit::Unreachable, "wrangler failed: NOTHING WAS STOPPED");
            return Err(failure
                .hint("run it where wrangler.toml is, or set the key emergency-stop to all in the KV dashboard")
                .into());
        }
        let answer = json!({ "command": command, "ran": true });
        context.out.answer(&answer, |out| {
            out.line(format!(
                "done: emergency-stop is {value}. Edges follow within two minutes"
            ));
        });
        Ok(Exit::Ok)
    }

    /// What the key says now.
    fn present(&self) -> Result<String> {
        let place = if self.local { "--local" } else { "--remote" };
        let words = [
            "wrangler",
            "kv",
            "key",
            "get",
            place,
            "--binding",
            "ROLLOUT",
            "--text",
            "emergency-stop",
        ];
        let output = Command::new("npx").args(words).output();
        let output = output.context("npx could not be run; is Node installed?")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        // Wrangler fails for a key that is not there, and for much else. What cannot be read may be a stop.
        match output.status.success() {
            true if text == "Value not found" => Ok(String::new()),
            true => Ok(text),
            false if String::from_utf8_lossy(&output.stderr).contains("404") => Ok(String::new()),
            false => Ok("all".to_owned()),
        }
    }
}

/// The names of a stop with one more. A stop of everything stays one.
fn merged(present: &str, release: &str) -> String {
    let mut names: Vec<&str> = present
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|name| !name.is_empty())
        .collect();
    if names
        .iter()
        .any(|name| name.parse::<crate::core::ids::ReleaseName>().is_err() || *name == "all")
    {
        return "all".to_owned();
    }
    if !names.contains(&release) {
        names.push(release);
    }
    names.join(",")
}

/// Lift an emergency stop; the release stays at 0 % until somebody raises it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout clear-stop v1.1.0-beta -m 'fixed in beta.3'\n  caro-rollout clear-stop all -m 'false alarm'"
)]
pub struct ClearStop {
    /// The release, or `all`
    release: String,
    #[command(flatten)]
    change: ChangeArgs,
}

impl ClearStop {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let path = format!("/rollout/{}/clear-stop", self.release);
        make(
            context,
            &Change::new("POST", path, json!({}), Ask::Always, &self.change),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn a_stop_by_kv_lifts_no_other() {
        let check = |present: &str, expected: &str| {
            assert_eq!(merged(present, "v1.1.0-beta"), expected, "{present:?}");
        };
        check("", "v1.1.0-beta");
        check("v1.1.0-beta", "v1.1.0-beta");
        check("v1.2.0-beta", "v1.2.0-beta,v1.1.0-beta");
        check(
            "v1.2.0-beta, v1.3.0-beta\n",
            "v1.2.0-beta,v1.3.0-beta,v1.1.0-beta",
        );
        check("all", "all");
        check("v1.2.0-beta all", "all");
        check("?!", "all");
    }
}
