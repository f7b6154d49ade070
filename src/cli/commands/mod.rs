//! The commands: one file for each subject.

mod audit;
mod bucket;
mod canary;
mod cohort;
mod config;
pub mod decision;
mod diff;
mod drill;
mod flag;
mod health;
mod kill_switch;
mod local;
mod look;
mod meta;
mod plan;
mod release;
mod simulate;
mod standing;
mod steer;
mod stop;
mod token;
mod validate;

use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::Value;

use super::Context;
use super::failure::Exit;
use super::output::{Output, bad, text_of, warn};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Declares the commands: each is a type with arguments and `run`. Their help is the type's: one said here would take its
/// place, and leave out what the type says beyond the first line.
macro_rules! commands {
    ($($(#[$meta:meta])* $name:ident($args:ty),)*) => {
        #[derive(Debug, Subcommand)]
        pub enum Command {
            $($(#[$meta])* $name($args),)*
        }

        impl Command {
            /// Runs it.
            ///
            /// # Errors
            /// Why it could not be done.
            pub fn run(self, context: &Context) -> Result<Exit> {
                match self {
                    $(Self::$name(args) => args.run(context),)*
                }
            }
        }
    };
}

commands! {
    Status(look::Status),
    Get(look::Get),
    Stop(stop::Stop),
    ClearStop(stop::ClearStop),
    Rollout(release::Rollout),
    /// Releases: list, show, add, set-version, delete
    #[command(subcommand)]
    Release(release::Release),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Promote(steer::Promote),
    Rollback(steer::Rollback),
    Approve(steer::Approve),
    Evaluate(steer::Evaluate),
    Health(health::Health),
    Validate(validate::Validate),
    Drill(drill::Drill),
    Signal(steer::Signal),
    #[command(subcommand)]
    Plan(plan::Plan),
    #[command(subcommand)]
    Canary(canary::Canary),
    #[command(subcommand)]
    Cohort(cohort::Cohort),
    #[command(subcommand)]
    Flag(flag::Flag),
    #[command(subcommand)]
    KillSwitch(kill_switch::KillSwitch),
    /// What two configurations or releases give otherwise: exactly, by sample, and why
    ///
    /// Builds are compared exactly and, next to that, for sampled ids; flags for the sampled ids, and exactly where buckets
    /// and lists alone decide. An emergency stop that is on at the router counts for both. The verdict is the exit code: 1
    /// when a larger share than --tolerance gets another build or another value of a flag.
    Diff(diff::Diff),
    /// Which arm somebody gets, and why
    ///
    /// Asks the router, or decides here by a configuration in a file. ARM is stable or beta; with --release it is in or out
    /// of that release. The bucket is that of the release that gives them their build, else of the newest.
    Bucket(bucket::Bucket),
    /// The configuration as one document: get, put, diff, validate, fill
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Report(look::Report),
    Audit(audit::Audit),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Features(local::Features),
    Completions(meta::Completions),
    Man(meta::Man),
}

/// A file's text; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub(super) fn read_file(file: &Path) -> Result<String> {
    let mut text = String::new();
    let name = file.display();
    if file == Path::new("-") {
        let stdin = std::io::stdin().lock();
        stdin
            .take(MAX_FILE)
            .read_to_string(&mut text)
            .context("reading standard input")?;
    } else {
        let file = std::fs::File::open(file).with_context(|| format!("reading {name}"))?;
        file.take(MAX_FILE)
            .read_to_string(&mut text)
            .with_context(|| format!("reading {name}"))?;
    }
    Ok(text)
}

/// Writes a file whole or not at all, for its owner alone (mode 0600).
///
/// # Errors
/// When the folder cannot be written.
fn write_file(file: &Path, bytes: &[u8]) -> Result<()> {
    let folder = file.parent().filter(|f| !f.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| Path::new("."));
    let write = || -> Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(folder)?;
        new.write_all(bytes)?;
        new.as_file().sync_all()?;
        new.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", file.display()))
}

/// What a lint found.
fn findings(out: &Output, findings: &[Value]) {
    for finding in findings {
        let severity = text_of(finding, "severity");
        let mark = match severity.as_str() {
            "error" => bad(&severity),
            _ => warn(&severity),
        };
        out.line(format!(
            "{mark} {} {}: {}",
            text_of(finding, "rule"),
            text_of(finding, "pointer"),
            text_of(finding, "message")
        ));
    }
}
