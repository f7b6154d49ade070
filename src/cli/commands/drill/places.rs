//! What edges serve, asked through several connections: each may end at another isolate.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::cli::commands::decision::short;
use crate::cli::http::{Answer, Call, Router, succeeded};
use crate::cli::interrupt::Interrupt;
use crate::cli::output::text_of;

/// Connections to each place.
const CONNECTIONS: usize = 4;

/// How long each has to say the same before it is believed.
const SETTLED: Duration = Duration::from_secs(2);

/// Between two questions of one connection.
const PAUSE: Duration = Duration::from_millis(50);

/// How long an edge may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Ids that are tried in order to find some that get the release, and how many are enough.
const TRIED: usize = 200;
const ENOUGH: usize = 5;

/// What is waited for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// Nobody gets the release; by a stop, its own path says so, too.
    Gone { stopped: bool },
    /// It is offered to so many again.
    At(f64),
}

/// The install script by rollout, for somebody.
fn script_for(id: &str) -> String {
    format!("/install.sh?id={id}")
}

/// The edges, and who asks.
pub struct Places {
    pub urls: Vec<String>,
    pub release: String,
    pub version: String,
    /// Who gets the release as long as it is there.
    pub ids: Vec<String>,
}

/// How one connection sees it.
#[derive(Debug, Clone)]
struct Seen {
    /// Since when it has been as wanted.
    since: Option<Instant>,
    /// What it said last that was not.
    said: String,
}

impl Places {
    /// Finds ids that get the release now.
    ///
    /// # Errors
    /// When a place is no address, or does not answer.
    pub fn find(urls: Vec<String>, release: &str, version: &str) -> Result<Self> {
        let mut places = Self {
            urls,
            release: release.to_owned(),
            version: version.to_owned(),
            ids: Vec::new(),
        };
        for url in &places.urls {
            // Asked here, so that a place that is none is known before anything is done.
            Router::new(url, None, TIMEOUT)?.get(&format!("/rollout/{release}"))?;
        }
        let Some(first) = places.urls.first() else {
            return Ok(places);
        };
        let router = Router::new(first, None, TIMEOUT)?;
        for n in 0..TRIED {
            let id = format!("drill-{n}");
            let answer = router.call(&Call::get(&script_for(&id)))?;
            // Who is in a cohort keeps it at 0 %.
            if places.is_it(&answer) && answer.reason.as_deref() == Some("bucket") {
                places.ids.push(id);
            }
            if places.ids.len() == ENOUGH {
                break;
            }
        }
        Ok(places)
    }

    fn is_it(&self, answer: &Answer) -> bool {
        answer.version.as_deref() == Some(self.version.as_str())
    }

    /// What is not as wanted at a place; `None`: everything is.
    fn not_yet(&self, router: &Router, wanted: &Wanted) -> Result<Option<String>> {
        let release = &self.release;
        // It is asked again anyway, and to put the release back waits for what is under way.
        let ask = |path: &str| {
            router.call(&Call {
                repeatable: false,
                ..Call::get(path)
            })
        };
        let rollout = succeeded(ask(&format!("/rollout/{release}"))?)?.json()?;
        let percentage = rollout.get("percentage").and_then(Value::as_f64);
        let percentage = percentage.unwrap_or(100.0);
        let stopped = match wanted {
            Wanted::At(to) => {
                let same = (percentage - to).abs() < 1e-9;
                let said = || format!("is at {} %", short(percentage));
                return Ok((!same).then(said));
            }
            Wanted::Gone { stopped } => *stopped,
        };
        if percentage > 0.0 || stopped && text_of(&rollout, "stopped") != "true" {
            return Ok(Some(format!("is at {} %", short(percentage))));
        }
        for id in &self.ids {
            if self.is_it(&ask(&script_for(id))?) {
                return Ok(Some(format!("serves {} to somebody", self.version)));
            }
        }
        if stopped {
            let own = ask(&format!("/{release}/install.sh"))?;
            if own.status != 410 {
                return Ok(Some(format!("answers {} on /{release}", own.status)));
            }
        }
        Ok(None)
    }

    /// Waits until every connection sees what is wanted: when the last one began to. `Err`: who did not until the end, or
    /// that somebody wants it to end.
    pub fn wait(
        &self,
        wanted: &Wanted,
        limit: Duration,
        interrupt: &Interrupt,
    ) -> Result<Instant, String> {
        let end = Instant::now() + limit;
        let over = AtomicBool::new(false);
        let connections: Vec<&String> = self
            .urls
            .iter()
            .flat_map(|url| std::iter::repeat_n(url, CONNECTIONS))
            .collect();
        let none = Seen {
            since: None,
            said: "did not answer".to_owned(),
        };
        let seen: Vec<Mutex<Seen>> = connections
            .iter()
            .map(|_| Mutex::new(none.clone()))
            .collect();
        std::thread::scope(|scope| {
            for (url, own) in connections.iter().zip(&seen) {
                scope.spawn(|| {
                    let router = Router::new(url, None, TIMEOUT);
                    while !over.load(Ordering::Relaxed) {
                        let said = match &router {
                            Ok(router) => self.not_yet(router, wanted),
                            Err(error) => Ok(Some(format!("{error:#}"))),
                        };
                        let mut own = own.lock().unwrap_or_else(PoisonError::into_inner);
                        match said {
                            Ok(None) => drop(own.since.get_or_insert_with(Instant::now)),
                            Ok(Some(said)) => *own = Seen { since: None, said },
                            Err(error) => {
                                let said = format!("{error:#}");
                                *own = Seen { since: None, said };
                            }
                        }
                        drop(own);
                        std::thread::sleep(PAUSE);
                    }
                });
            }
            let found = loop {
                let states: Vec<Seen> = seen
                    .iter()
                    .map(|own| own.lock().unwrap_or_else(PoisonError::into_inner).clone())
                    .collect();
                let settled =
                    |own: &Seen| own.since.is_some_and(|since| since.elapsed() >= SETTLED);
                if states.iter().all(settled) {
                    let last = states.iter().filter_map(|own| own.since).max();
                    break Ok(last.unwrap_or_else(Instant::now));
                }
                // What is as wanted within the limit may take longer to be believed.
                let late = Instant::now() >= end;
                let mut waiting = states.iter().zip(&connections);
                let waiting = waiting.find(|(own, _)| own.since.is_none_or(|since| since > end));
                if let (true, Some((own, url))) = (late, waiting) {
                    break Err(format!("{url} {}", own.said));
                }
                if interrupt.wait(PAUSE) {
                    break Err("interrupted".to_owned());
                }
            };
            over.store(true, Ordering::Relaxed);
            found
        })
    }
}
