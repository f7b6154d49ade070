//! `drill`: rehearses stop and rollback (seed 000, "rollback drills").

mod dry;
mod live;
mod places;
mod restore;

use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::cli::Context;
use crate::cli::checklist::{Check, exit, passes};
use crate::cli::failure::Exit;
use crate::cli::output::{bad, good};
use crate::cli::when;

/// Rehearse stop and rollback, and see how long they take.
///
/// Nothing is changed: each call is a dry run, made several times, and what a stop would need at three in the morning is
/// looked at. With --live a release is really stopped and rolled back, each until no edge serves it, and put back; also
/// after Ctrl-C or a failure. Say so before to whoever might stop it for good meanwhile. It fails with 1 if any step does.
/// JSON: `mode` (`dry`, `live`), `release`, `passes`, `steps` (`check`, `verdict`, `detail`, `median_ms`, `max_ms`), and
/// of a live one `limit_ms`, `restored`, `commands` (what puts it back if that failed).
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout drill\n  caro-rollout drill --json | jq '.steps[] | select(.verdict == \"FAIL\")'\n  caro-rollout drill --live --release v1.1.0-beta --limit 2m -m 'drill of January'\n  caro-rollout drill --live --release v1.1.0-beta --places https://get.caro.sh"
)]
pub struct Drill {
    /// The release; everything that is offered if left out
    #[arg(long)]
    release: Option<String>,
    /// How often each call is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Wrangler would stop the local router, not Cloudflare's
    #[arg(long)]
    local: bool,
    /// Really stop the release and roll it back, and put it back after each
    #[arg(long, requires = "release")]
    live: bool,
    /// With --live: how long it may take until no edge serves the release
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = when::seconds, requires = "live")]
    limit: u64,
    /// With --live: addresses that are asked what they serve; --url if left out
    #[arg(long, value_name = "URL", num_args = 1.., requires = "live")]
    places: Vec<String>,
    /// With --live: why, for the audit log and the alerts
    #[arg(short = 'm', long, value_name = "TEXT", requires = "live")]
    reason: Option<String>,
    /// With --live: do not ask
    #[arg(short, long, requires = "live")]
    yes: bool,
}

/// A check, and what its calls took.
#[derive(Debug, Clone, Serialize)]
struct Step {
    #[serde(flatten)]
    check: Check,
    #[serde(flatten)]
    times: Option<Times>,
}

/// What calls took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Times {
    median_ms: u64,
    max_ms: u64,
}

impl Times {
    /// Of so many measured ones; `None`: of none.
    fn of(mut all: Vec<u64>) -> Option<Self> {
        all.sort_unstable();
        Some(Self {
            median_ms: *all.get(all.len() / 2)?,
            max_ms: *all.last()?,
        })
    }
}

impl From<Check> for Step {
    fn from(check: Check) -> Self {
        Self { check, times: None }
    }
}

impl Step {
    fn cells(&self) -> Vec<String> {
        let mut cells = self.check.cells();
        let time = |of: fn(&Times) -> u64| match &self.times {
            Some(times) => of(times).to_string(),
            None => "-".to_owned(),
        };
        let times = [time(|times| times.median_ms), time(|times| times.max_ms)];
        // What is long comes last.
        let detail = cells.pop();
        cells.extend(times);
        cells.extend(detail);
        cells
    }
}

impl Drill {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let mut steps = dry::steps(context, &self)?;
        let live = match self.live {
            // What fails as a dry run would fail when it is half done.
            true => live::run(context, &self, &mut steps)?,
            false => None,
        };
        let passes = passes(steps.iter().map(|step| &step.check));
        let mut answer = json!({
            "mode": if self.live { "live" } else { "dry" },
            "release": self.release,
            "passes": passes,
            "steps": steps,
        });
        if let (Some(live), Some(members)) = (&live, answer.as_object_mut()) {
            members.insert("limit_ms".into(), json!(self.limit * 1000));
            members.insert("restored".into(), json!(live.commands.is_empty()));
            members.insert("commands".into(), json!(live.commands));
        }
        context.out.answer(&answer, |out| {
            let rows: Vec<Vec<String>> = steps.iter().map(Step::cells).collect();
            let head = ["STEP", "VERDICT", "MEDIAN MS", "MAX MS", "WHAT WAS SEEN"];
            out.table(&head, &rows);
            out.line(match passes {
                true => good("a stop and a rollback would work"),
                false => bad("mend what failed before you need it"),
            });
        });
        Ok(exit(passes))
    }
}

#[cfg(test)]
mod tests {
    use super::Times;

    #[test]
    fn times_are_the_middle_one_and_the_longest() {
        let of = |all: &[u64]| Times::of(all.to_vec()).map(|t| (t.median_ms, t.max_ms));
        assert_eq!(of(&[9, 1, 5]), Some((5, 9)));
        assert_eq!(of(&[3]), Some((3, 3)));
        assert_eq!(of(&[]), None);
    }
}
