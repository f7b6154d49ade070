//! One request, within a deadline, that can be broken off.

use std::io::Read;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};

use crate::core::time::Timestamp;

use super::answer::{Answer, Failure, HEADERS, MAX_BODY_BYTES};
use super::schedule::retry_after;

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// With the query.
    pub url: String,
    pub id: Option<String>,
    pub etag: Option<String>,
    /// Whether a proxy that the environment names may be used: none has a way to a router on loopback.
    pub proxy: bool,
}

/// Asks.
///
/// # Errors
/// Why there is no answer.
pub(super) fn fetch(
    question: &Question,
    timeout: Duration,
    now: Timestamp,
    cancel: &Cancel,
) -> Result<Answer, Failure> {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        // The system's certificates: companies have their proxies' there.
        .tls_config(tls.build())
        // An answer from elsewhere is no answer of this router.
        .max_redirects(0)
        .max_redirects_will_error(false)
        // From the look-up of the name to the last byte.
        .timeout_global(Some(timeout))
        .user_agent(concat!("caro-edge-client/", env!("CARGO_PKG_VERSION")));
    if !question.proxy {
        config = config.proxy(None);
    }
    // One agent for each request: an hour later no connection of the last one is left.
    let agent = Agent::new_with_config(config.build());
    cancel.begin(&agent)?;
    let answer = ask(&agent, question, now);
    let was_cancelled = cancel.end();
    match answer {
        Err(_) if was_cancelled => Err(Failure::Cancelled),
        Err(Asking::Failed(failure)) => Err(failure),
        Err(Asking::Broke(error)) => Err(broken(&error, timeout)),
        Ok(answer) => Ok(answer),
    }
}

enum Asking {
    Broke(ureq::Error),
    Failed(Failure),
}

impl From<ureq::Error> for Asking {
    fn from(error: ureq::Error) -> Self {
        Self::Broke(error)
    }
}

fn ask(agent: &Agent, question: &Question, now: Timestamp) -> Result<Answer, Asking> {
    let mut request = agent
        .get(&question.url)
        .header("Accept", "application/json");
    if let Some(id) = &question.id {
        request = request.header("X-Caro-Id", id);
    }
    if let Some(etag) = &question.etag {
        request = request.header("If-None-Match", etag);
    }
    let mut response = request.call()?;
    let status = response.status().as_u16();
    if status != 200 && !(status == 304 && question.etag.is_some()) {
        let wait = text(&response, "retry-after");
        return Err(Asking::Failed(Failure::Status {
            status,
            retry_after_ms: wait.and_then(|value| retry_after(value, now)),
        }));
    }
    let headers = HEADERS.iter().filter_map(|name| {
        let value = text(&response, name)?;
        Some(((*name).to_owned(), value.to_owned()))
    });
    let headers = headers.collect();
    let body = match status {
        304 => String::new(),
        _ => body(&mut response)?,
    };
    Ok(Answer {
        status,
        headers,
        body,
    })
}

fn text<'a, T>(response: &'a Response<T>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn body(response: &mut Response<ureq::Body>) -> Result<String, Asking> {
    let mut bytes = Vec::new();
    // After decompression: a small answer may unpack to a large one.
    let mut reader = response.body_mut().as_reader().take(MAX_BODY_BYTES + 1);
    reader.read_to_end(&mut bytes).map_err(ureq::Error::from)?;
    if bytes.len() as u64 > MAX_BODY_BYTES {
        return Err(Asking::Failed(Failure::TooLarge));
    }
    let malformed = |_| Failure::Malformed("it is not UTF-8".into());
    String::from_utf8(bytes).map_err(|e| Asking::Failed(malformed(e)))
}

/// In words.
fn broken(error: &ureq::Error, timeout: Duration) -> Failure {
    match error {
        ureq::Error::Timeout(_) => {
            Failure::Slow(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
        }
        ureq::Error::Decompress(..) => Failure::Malformed(error.to_string()),
        error => Failure::Unreachable(error.to_string()),
    }
}

/// Ends a request, or a wait, from another thread.
#[derive(Default)]
pub(super) struct Cancel {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    cancelled: bool,
    rings: u64,
    /// That of the request under way.
    agent: Option<Agent>,
}

impl Cancel {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, agent: &Agent) -> Result<(), Failure> {
        let mut state = self.state();
        if state.cancelled {
            return Err(Failure::Cancelled);
        }
        state.agent = Some(agent.clone());
        Ok(())
    }

    /// Whether it was broken off meanwhile.
    fn end(&self) -> bool {
        let mut state = self.state();
        state.agent = None;
        self.bell.notify_all();
        state.cancelled
    }

    /// Breaks off what is under way and whatever would begin.
    pub fn cancel(&self) {
        let mut state = self.state();
        state.cancelled = true;
        if let Some(agent) = &state.agent {
            agent.clone().shutdown();
        }
        self.bell.notify_all();
    }

    pub fn is_cancelled(&self) -> bool {
        self.state().cancelled
    }

    /// Wakes whoever waits.
    pub fn ring(&self) {
        self.state().rings += 1;
        self.bell.notify_all();
    }

    pub fn rings(&self) -> u64 {
        self.state().rings
    }

    /// Waits until it is rung again after `seen` rings, cancelled, or the time is over.
    pub fn wait(&self, seen: u64, time: Duration) {
        let waiting = |state: &mut State| !state.cancelled && state.rings == seen;
        let wait = self.bell.wait_timeout_while(self.state(), time, waiting);
        drop(wait);
    }

    /// Waits until no request is under way; `false` if that takes longer than `time`.
    pub fn wait_idle(&self, time: Duration) -> bool {
        let busy = |state: &mut State| state.agent.is_some();
        let waited = self.bell.wait_timeout_while(self.state(), time, busy);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.agent.is_none()
    }
}
