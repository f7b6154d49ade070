//! Puts a release back to what it was before a live drill.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::change::{Ask, Change, ChangeArgs, carry_out};
use crate::cli::failure::{Exit, Failure, failure_of};
use crate::cli::http::Router;
use crate::cli::output::{bad, items, note, text_of, warn};

/// How often it is tried, and how long is waited in between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(3);

/// What a release was.
#[derive(Debug, Clone)]
pub struct Before {
    pub release: String,
    pub percentage: Value,
    /// `active` or `paused`.
    pub state: String,
}

/// How a release stands now.
struct Now {
    stopped: bool,
    percentage: Value,
    state: String,
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
enum Next {
    Call(&'static str, Value),
    Set(Value),
}

impl Before {
    /// What puts it back by hand.
    pub fn commands(&self) -> Vec<String> {
        let release = &self.release;
        let because = "-m 'after a drill' --yes";
        let mut commands = vec![
            format!("caro-rollout clear-stop {release} {because}"),
            format!("caro-rollout resume {release} {because}"),
            format!(
                "caro-rollout rollout {release} {} {because}",
                self.percentage
            ),
        ];
        if self.state == "paused" {
            commands.push(format!(
                "caro-rollout pause {release} -m 'as before the drill'"
            ));
        }
        commands
    }

    /// Says loudly that it is not what it was.
    pub fn alarm(&self) {
        let (percentage, state) = (&self.percentage, &self.state);
        note(bad(&format!(
            "{} IS NOT WHAT IT WAS: it should be {state} at {percentage} %. Put it back:",
            self.release
        )));
        for command in self.commands() {
            note(format!("  {command}"));
        }
    }

    /// Puts it back, whatever it is now; again and again while the router does not answer.
    ///
    /// # Errors
    /// When it could not.
    pub fn restore(&self, context: &Context, args: &ChangeArgs) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.steps(context, args) {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tries += 1;
                    // It would be refused again: somebody has to look.
                    let hopeless = matches!(
                        failure_of(&error).exit,
                        Exit::Denied | Exit::Missing | Exit::Waiting
                    );
                    if hopeless || tries >= TRIES {
                        return Err(error);
                    }
                    note(warn(&format!("putting it back: {error:#}; trying again")));
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn steps(&self, context: &Context, args: &ChangeArgs) -> Result<()> {
        // Each step can be looked at again, and there are never more than these.
        for _ in 0..5 {
            let Some(next) = self.next(&self.now(context.router()?)?) else {
                return Ok(());
            };
            let (path, body) = match next {
                Next::Call(name, body) => (format!("/rollout/{}/{name}", self.release), body),
                Next::Set(body) => (format!("/rollout/{}", self.release), body),
            };
            let done = carry_out(context, &Change::new("POST", path, body, Ask::Never, args))?;
            if done.exit == Exit::Waiting {
                return Err(Failure::new(Exit::Waiting, "a second person has to agree").into());
            }
        }
        Err(Failure::new(Exit::Refused, "it does not become what it was").into())
    }

    fn now(&self, router: &Router) -> Result<Now> {
        let config = router.read("/admin/config")?;
        let release = config.pointer(&format!("/releases/{}", self.release));
        let release = release.ok_or_else(|| Failure::missing("the release is gone"))?;
        let ops = router.read("/ops/status.json")?;
        let mut stops = items(&ops, "stops").iter();
        Ok(Now {
            stopped: stops.any(|stop| text_of(stop, "switch") == self.release),
            percentage: release.get("percentage").cloned().unwrap_or(json!(0)),
            state: text_of(release, "state"),
        })
    }

    /// The next step; `None`: it is what it was.
    fn next(&self, now: &Now) -> Option<Next> {
        let back = now.percentage.as_f64() == self.percentage.as_f64();
        match now.state.as_str() {
            _ if now.stopped => Some(Next::Call("clear-stop", json!({}))),
            // Paused it could not be raised.
            "paused" if !back || self.state != "paused" => Some(Next::Call("resume", json!({}))),
            _ if !back => Some(Next::Set(json!({ "percentage": self.percentage }))),
            state if state != self.state => Some(Next::Call("pause", json!({}))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the router makes of a step.
    fn done(now: &mut Now, next: &Next) {
        match next {
            Next::Call("clear-stop", _) => {
                now.stopped = false;
                now.state = "active".to_owned();
            }
            Next::Call("resume", _) => now.state = "active".to_owned(),
            Next::Call("pause", _) => now.state = "paused".to_owned(),
            Next::Call(other, _) => assert_eq!(*other, "", "no such call"),
            Next::Set(body) => {
                assert_ne!(now.state, "paused", "it would be refused");
                now.percentage = body.get("percentage").cloned().unwrap_or_default();
            }
        }
    }

    #[test]
    fn whatever_became_of_it_the_steps_lead_back() {
        for state in ["active", "paused"] {
            let before = Before {
                release: "r".to_owned(),
                percentage: json!(25),
                state: state.to_owned(),
            };
            for (stopped, percentage, held) in [
                (true, 0.0, "stopped"),
                (false, 0.0, "active"),
                (false, 0.0, "paused"),
                (false, 25.0, "active"),
                (false, 25.0, "paused"),
                (false, 10.0, "paused"),
            ] {
                let mut now = Now {
                    stopped,
                    percentage: json!(percentage),
                    state: held.to_owned(),
                };
                let mut steps = 0;
                while let Some(next) = before.next(&now) {
                    done(&mut now, &next);
                    steps += 1;
                    assert!(steps <= 4, "{state} {held}");
                }
                assert_eq!(now.state, state);
                assert_eq!(now.percentage.as_f64(), Some(25.0));
            }
        }
    }
}
