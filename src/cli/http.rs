//! Calls of the router.

use std::io::Read;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use ureq::config::ConfigBuilder;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::{Agent, Body};

use super::failure::{Exit, Failure};
use crate::client::address::is_loopback;

/// Largest answer that is read, in bytes: an export of the audit log is the longest.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// How long fetching one file may take.
const DOWNLOAD: Duration = Duration::from_secs(600);

/// How often a file may be somewhere else than where it is said to be: release pages redirect to their storage.
const MAX_REDIRECTS: u32 = 5;

/// How often something is tried that can be repeated, and how long is waited in between.
const PAUSES_MS: [u64; 3] = [0, 300, 1200];

/// What a router said.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    /// The revision that it was answered at.
    pub revision: Option<u64>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// `X-Caro-Version`: what an install path gives.
    pub version: Option<String>,
    /// `X-Caro-Reason`: why that one.
    pub reason: Option<String>,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none: something else answers there.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).map_err(|_| {
            Failure::new(
                Exit::Unreachable,
                format!("the answer ({}) is not JSON", self.status),
            )
            .hint("is --url the router's address, and no proxy in between?")
            .into()
        })
    }
}

/// A router.
pub struct Router {
    agent: Agent,
    base: String,
    token: Option<String>,
}

/// One call.
pub struct Call<'a> {
    pub method: &'a str,
    /// With the query.
    pub path: &'a str,
    pub body: Option<&'a Value>,
    pub headers: Vec<(&'static str, String)>,
    /// Whether it does no harm twice.
    pub repeatable: bool,
    /// Told before it is tried again, for what cannot wait.
    pub again: Option<&'a dyn Fn()>,
}

impl<'a> Call<'a> {
    pub const fn get(path: &'a str) -> Self {
        Self {
            method: "GET",
            path,
            body: None,
            headers: Vec::new(),
            repeatable: true,
            again: None,
        }
    }

    /// A change as a dry run, which does no harm twice.
    pub const fn rehearsal(path: &'a str, body: &'a Value) -> Self {
        Self {
            method: "POST",
            path,
            body: Some(body),
            headers: Vec::new(),
            repeatable: true,
            again: None,
        }
    }
}

impl Router {
    /// A router at `base`, an `http` or `https` address.
    ///
    /// # Errors
    /// When it is none, or when the token would travel where others can read it.
    pub fn new(base: &str, token: Option<String>, timeout: Duration) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let uri = base.parse::<Uri>().ok();
        let parts = uri
            .as_ref()
            .and_then(|u| Some((u.scheme_str()?, u.authority()?)));
        let parts = parts.filter(|(scheme, authority)| {
            matches!(*scheme, "http" | "https") && !authority.as_str().contains('@')
        });
        let Some((scheme, authority)) = parts else {
            let message = format!("{base:?} is not the address of a router");
            return Err(Failure::usage(message)
                .hint("such as --url https://api.caro.sh")
                .into());
        };
        let is_here = is_loopback(authority.host());
        if scheme == "http" && token.is_some() && !is_here {
            return Err(Failure::usage(format!(
                "{base} is not encrypted: everybody on the way could read the token"
            ))
            .hint("use https")
            .into());
        }
        // A proxy that the environment names has no way to this machine, and would read the token.
        let agent = match is_here {
            true => configured(timeout, 0).proxy(None).build().into(),
            false => configured(timeout, 0).build().into(),
        };
        Ok(Self { agent, base, token })
    }

    /// Whether there is a token to sign in with.
    pub const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// `GET`, as JSON.
    ///
    /// # Errors
    /// Whatever is not a success.
    pub fn get(&self, path: &str) -> Result<Value> {
        succeeded(self.call(&Call::get(path))?)?.json()
    }

    /// `GET` with the token, as JSON.
    ///
    /// # Errors
    /// Also when there is no token.
    pub fn read(&self, path: &str) -> Result<Value> {
        self.need_token()?;
        self.get(path)
    }

    /// Says what to do when there is no token.
    ///
    /// # Errors
    /// When there is none.
    pub fn need_token(&self) -> Result<()> {
        if self.has_token() {
            return Ok(());
        }
        let file = super::credentials::default_file();
        let file = file.map_or_else(String::new, |f| format!(", or write it to {}", f.display()));
        let hint = format!(
            "set {}{file} (mode 0600), or give --token-file",
            super::credentials::TOKEN_VARIABLE
        );
        Err(
            Failure::new(Exit::Denied, "this needs a token, and there is none")
                .hint(hint)
                .into(),
        )
    }

    /// Makes a call and gives whatever was answered.
    ///
    /// # Errors
    /// When nothing was.
    pub fn call(&self, call: &Call<'_>) -> Result<Answer> {
        let mut last = None;
        for pause in PAUSES_MS {
            if last.is_some() {
                if let Some(tell) = call.again {
                    tell();
                }
                sleep(Duration::from_millis(pause));
            }
            match self.once(call) {
                // It said that it did nothing, and soon could.
                Ok(answer)
                    if answer.status == 503
                        && call.repeatable
                        && answer.retry_after.is_none_or(|s| s <= 2) =>
                {
                    last = Some(Ok(answer));
                }
                Ok(answer) => return Ok(answer),
                Err(error) if call.repeatable && is_passing(&error) => last = Some(Err(error)),
                Err(error) => return Err(self.unreachable(&error)),
            }
        }
        match last {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(error)) => Err(self.unreachable(&error)),
            None => Err(Failure::new(Exit::Unreachable, "nothing was tried").into()),
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> anyhow::Error {
        let failure = Failure::new(Exit::Unreachable, format!("{}: {error}", self.base));
        let hint = match error {
            ureq::Error::Timeout(_) => "raise --timeout, or look at `caro-rollout health`",
            _ => "is --url (or CARO_ROLLOUT_URL) right, and is the router up?",
        };
        failure.hint(hint).into()
    }

    fn once(&self, call: &Call<'_>) -> Result<Answer, ureq::Error> {
        let uri = format!("{}{}", self.base, call.path);
        let mut request = Request::builder().method(call.method).uri(&uri);
        request = request.header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let answer = match call.body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_string())?)?
            }
            None if call.method == "GET" => self.agent.run(request.body(())?)?,
            None => self.agent.run(request.body(String::new())?)?,
        };
        read(answer)
    }
}

fn configured(timeout: Duration, redirects: u32) -> ConfigBuilder<AgentScope> {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .build();
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(redirects)
        .timeout_connect(Some(timeout.min(Duration::from_secs(5))))
        .timeout_global(Some(timeout))
        .user_agent(concat!("caro-rollout/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
}

/// Fetches files from anywhere. Nothing secret is sent.
pub struct Downloads(Agent);

impl Downloads {
    pub fn new() -> Self {
        Self(configured(DOWNLOAD, MAX_REDIRECTS).build().into())
    }

    /// A file's length, if it is known, and its bytes as they come.
    ///
    /// # Errors
    /// When it is not there.
    pub fn open(&self, url: &str) -> Result<(Option<u64>, impl Read + use<>)> {
        let unreachable = |error| Failure::new(Exit::Unreachable, format!("{url}: {error}"));
        // Its length is that of the file, and not of something packed.
        let request = self.0.get(url).header("accept-encoding", "identity");
        let request = request.config();
        // What began encrypted stays so, wherever it leads.
        let request = request.https_only(url.starts_with("https://")).build();
        let answer = request.call().map_err(unreachable)?;
        match answer.status().as_u16() {
            200 => {
                let body = answer.into_body();
                Ok((body.content_length(), body.into_reader()))
            }
            404 => Err(Failure::missing(format!("{url} is not there"))
                .hint("is it published yet?")
                .into()),
            status => {
                let message = format!("{url} answered {status}");
                Err(Failure::new(Exit::Unreachable, message).into())
            }
        }
    }
}

fn read(mut answer: Response<Body>) -> Result<Answer, ureq::Error> {
    let number = |name: &str| {
        let value = answer.headers().get(name)?;
        value.to_str().ok()?.trim().parse().ok()
    };
    let (revision, retry_after) = (number("x-caro-revision"), number("retry-after"));
    let text = |name: &str| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (version, reason) = (text("x-caro-version"), text("x-caro-reason"));
    let status = answer.status().as_u16();
    let body = answer.body_mut().with_config().limit(MAX_ANSWER);
    Ok(Answer {
        status,
        revision,
        retry_after,
        version,
        reason,
        text: body.read_to_string()?,
    })
}

/// Whether the same call may work in a moment.
const fn is_passing(error: &ureq::Error) -> bool {
    matches!(
        error,
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_)
    )
}

/// The answer, if it is a success.
///
/// # Errors
/// What the router's problem document says, with what to do.
pub fn succeeded(answer: Answer) -> Result<Answer> {
    if (200..300).contains(&answer.status) {
        return Ok(answer);
    }
    let problem: Option<Value> = serde_json::from_str(&answer.text).ok();
    let text = |name: &str| problem.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let exit = match answer.status {
        400 | 413 | 415 => Exit::Usage,
        401 | 403 => Exit::Denied,
        404 => Exit::Missing,
        405 | 409 | 410 | 412 | 422 => Exit::Refused,
        _ => Exit::Unreachable,
    };
    let detail = text("detail").or_else(|| text("title"));
    let mut message = detail.unwrap_or_else(|| format!("the router answered {}", answer.status));
    let errors = problem.as_ref().and_then(|p| p.get("errors")?.as_array());
    if errors.is_some_and(|errors| !errors.is_empty()) {
        message = message.replace("\"errors\" says what is wrong and where.", "this is wrong:");
    }
    for error in errors.into_iter().flatten() {
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        message.push_str(&format!("\n  {} {}", part("pointer"), part("detail")));
    }
    let kind = text("type").unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    let hint = match (answer.status, kind) {
        (_, "reason-required") => {
            message = "this change needs a reason".to_owned();
            Some("say why with -m (--reason): it goes into the audit log and the alert".to_owned())
        }
        (_, "confirmation-required") => Some("add --yes if it is meant".to_owned()),
        (412, _) => {
            Some("nothing was changed; look at `caro-rollout audit`, then do it again".to_owned())
        }
        (401, _) => Some("the token is wrong, expired or revoked".to_owned()),
        // Two people: one's own token has that role, and is not meant.
        (403, _) if message.contains("another") => None,
        (403, _) => text("required_role").map(|role| format!("use a token of the role {role}")),
        (429, _) => answer.retry_after.map(|s| format!("try again in {s} s")),
        _ => None,
    };
    Err(Failure {
        exit,
        message,
        hint,
        problem,
    }
    .into())
}
