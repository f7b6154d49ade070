//! `health`: the router's own checks, or a live view of a release (seed 003, "Health Gate Check").

mod look;
mod panel;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{ArgGroup, Args};
use console::Term;
use serde_json::{Value, json};

use super::standing;
use crate::cli::Context;
use crate::cli::checklist::{self, Check, exit, passes};
use crate::cli::failure::{Exit, Failure, failure_of};
use crate::cli::http::{Call, succeeded};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::{bad, bold, good, items, note, print, text_of, warn};
use crate::cli::when;

use look::{Look, Watched};
use panel::Screen;

/// The router's checks; with a release or a cohort, a live view of how it does.
///
/// Alone it needs no token, and succeeds if every check of /health passes. With --release or --cohort it looks again and
/// again until the duration is over, and ends with 1 as soon as a halt fires, the breaker opens, or the release is
/// stopped or rolled back; also by Ctrl-C, because the time was not over. On a terminal it draws a panel. Elsewhere each
/// look is a line of time, status, stage, percentage, verdict, errors in percent, p95 of commands in milliseconds, halts;
/// with --json a line of JSON with `at`, `release`, `cohort`, `state`, `percentage`, `stopped`, `status`, `stage`, `why`,
/// `circuit`, `decision`, `halts` (`halt`, `state`, `why`), `groups` (as in the evidence), `error`, `ended`, and at the end
/// one with `summary`. Without them --json is /health as it is.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("watched").multiple(true).args(["cohort", "release"]),
    after_help = "Examples:\n  caro-rollout health\n  caro-rollout health --release v1.1.0-beta\n  caro-rollout health --cohort beta --duration 1h\n  caro-rollout health --cohort beta --duration 30m && caro-rollout promote v1.1.0-beta"
)]
pub struct Health {
    /// Watch a cohort, or a stage of the release's plan
    #[arg(long, value_name = "NAME")]
    cohort: Option<String>,
    /// Watch this release
    #[arg(long)]
    release: Option<String>,
    /// For so long
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = when::seconds, requires = "watched")]
    duration: u64,
    /// Look so often, a second at least
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = when::seconds, requires = "watched")]
    interval: u64,
    /// Show rates and trends of so long, five minutes to a week
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = when::seconds, requires = "watched")]
    window: u64,
}

impl Health {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let release = self.release.as_deref();
        match (self.cohort.as_deref(), release) {
            (Some(cohort), _) => {
                let release = standing::find(context, release, cohort)?.release;
                self.watch(context, release)
            }
            (None, Some(release)) => {
                let status = context.router()?.read("/status.json")?;
                let release = text_of(standing::named(&status, release)?, "name");
                self.watch(context, release)
            }
            (None, None) => of_router(context),
        }
    }

    fn watch(&self, context: &Context, release: String) -> Result<Exit> {
        let watched = Watched {
            release,
            cohort: self.cohort.clone(),
            window: self.window.clamp(300, 604_800),
            // A look at what was halted before says so; a plan that goes on since is watched anew.
            since: jiff::Timestamp::now(),
        };
        let router = context.router()?;
        let interval = Duration::from_secs(self.interval.max(1));
        let duration = Duration::from_secs(self.duration);
        let screen = match context.out.is_terminal() && !context.out.json {
            true => Some(Screen::open()),
            false => None,
        };
        let drawn = screen.is_some();
        let interrupt = Interrupt::listen(move || {
            if drawn {
                let _ = Term::stdout().show_cursor();
            }
        })?;
        let begun = Instant::now();
        let mut seen = Seen::new(context, &watched, screen);
        let end = loop {
            // Whoever watches wants to go on watching when the router is away for a moment.
            match look::take(router, &watched, seen.first.as_ref()) {
                Ok(look) => seen.show(look, begun.elapsed(), duration),
                Err(error) if failure_of(&error).exit == Exit::Unreachable => seen.miss(error),
                Err(error) => return Err(error),
            }
            if let Some(why) = seen.last.as_ref().and_then(|look| look.ended.clone()) {
                break End::Halted(why);
            }
            let left = duration.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break End::Over;
            }
            if interrupt.wait(interval.min(left)) {
                break End::Interrupted;
            }
        };
        seen.finish(end, begun.elapsed())
    }
}

/// Why the watching ended.
enum End {
    Over,
    Interrupted,
    Halted(String),
}

/// What was seen so far, and where it is shown.
struct Seen<'a> {
    context: &'a Context,
    watched: &'a Watched,
    screen: Option<Screen>,
    first: Option<Look>,
    last: Option<Look>,
    looks: u64,
    missed: u64,
    /// Why the last look did not succeed.
    error: Option<anyhow::Error>,
}

impl<'a> Seen<'a> {
    fn new(context: &'a Context, watched: &'a Watched, screen: Option<Screen>) -> Self {
        Self {
            context,
            watched,
            screen,
            first: None,
            last: None,
            looks: 0,
            missed: 0,
            error: None,
        }
    }

    fn show(&mut self, look: Look, elapsed: Duration, duration: Duration) {
        self.looks += 1;
        self.error = None;
        match &mut self.screen {
            Some(screen) => screen.draw(&panel::lines(&look, self.watched, elapsed, duration)),
            None if self.context.out.json => {
                print(&format!("{}\n", json!(look)));
            }
            None => self.context.out.table(&[], &[panel::row(&look)]),
        }
        if self.first.is_none() {
            self.first = Some(look.clone());
        }
        self.last = Some(look);
    }

    fn miss(&mut self, error: anyhow::Error) {
        self.missed += 1;
        let said = warn(&format!("{error:#}; looking again"));
        match &mut self.screen {
            Some(screen) => screen.add(&said),
            None => note(said),
        }
        self.error = Some(error);
    }

    /// Says how it went.
    fn finish(mut self, end: End, elapsed: Duration) -> Result<Exit> {
        // Gives the cursor back.
        drop(self.screen.take());
        let release = &self.watched.release;
        let (word, why) = match &end {
            End::Over => ("over", "the time is over and nothing halted it".to_owned()),
            End::Interrupted => (
                "interrupted",
                "interrupted before the time was over".to_owned(),
            ),
            End::Halted(why) => ("halted", why.clone()),
        };
        let ok = matches!(end, End::Over);
        let near = self.last.iter().flat_map(|look| &look.halts);
        let near: Vec<&str> = near
            .filter(|halt| halt.state == look::Halting::Near)
            .map(|halt| halt.halt.as_str())
            .collect();
        if self.context.out.json {
            let summary = json!({ "summary": {
                "release": release, "cohort": self.watched.cohort, "ended": word, "why": why,
                "looks": self.looks, "missed": self.missed, "seconds": elapsed.as_secs(), "near": near,
            }});
            print(&format!("{summary}\n"));
        } else {
            let out = &self.context.out;
            let mark = if ok { good(release) } else { bad(release) };
            out.line(format!("{mark} {why}"));
            let mut summary = format!("{} looks in {}", self.looks, when::span(elapsed.as_secs()));
            if self.missed > 0 {
                summary.push_str(&format!(", {} more were not answered", self.missed));
            }
            if !near.is_empty() {
                summary.push_str(&format!("; near to firing: {}", near.join(", ")));
            }
            out.line(summary);
        }
        match self.error {
            // Nobody knows how it does now.
            Some(error) if ok => {
                let failure = failure_of(&error);
                Err(Failure::new(failure.exit, failure.message)
                    .hint("the last look was not answered, so this is no pass")
                    .into())
            }
            _ => Ok(exit(ok)),
        }
    }
}

/// `/health` as a list.
fn of_router(context: &Context) -> Result<Exit> {
    let call = Call {
        // It answers 503 while it serves nothing but defaults: that is its answer.
        repeatable: false,
        ..Call::get("/health")
    };
    let answer = context.router()?.call(&call)?;
    let health = match answer.json() {
        Ok(health) if health.get("checks").is_some() => health,
        _ => succeeded(answer)?.json()?,
    };
    let checks: Vec<Check> = health
        .get("checks")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, check)| {
            let mut detail = text_of(check, "detail");
            for problem in items(check, "problems") {
                let (path, message) = (text_of(problem, "path"), text_of(problem, "message"));
                detail.push_str(&format!("; {path} {message}"));
            }
            Check::of(name, check.get("ok") == Some(&Value::Bool(true)), detail)
        })
        .collect();
    let status = text_of(&health, "status");
    let ok = status == "ok" && passes(&checks);
    context.out.answer(&health, |out| {
        let revision = text_of(&health, "revision");
        out.line(bold(&format!("{status}, revision {revision}")));
        checklist::show(out, &checks, "healthy", "something is wrong");
    });
    Ok(exit(ok))
}
