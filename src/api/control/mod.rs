//! The control API: everything that steers, behind a token. It runs where the ledger is, and has no
//! clock, randomness or I/O of its own, so the tests run it over memory.

mod apply;
mod approval;
mod audit;
mod console;
pub mod evidence;
mod history;
pub mod ledger;
mod outbox;
pub mod plans;
pub mod query;
mod read;
mod report;
pub mod route;
pub mod serve;
pub mod throttle;
mod write;

use crate::api::ports::{Store, StoreError};
use crate::api::reply::Reply;
use crate::api::request::Request;
use crate::auth::permission::Call;
use crate::auth::token::{TokenHash, bearer};
use crate::core::decode;
use crate::core::experiment::tally::Counts;
use crate::core::ledger::Rejection;
use crate::core::ledger::event::Actor;
use crate::core::role::Role;
use crate::core::time::Timestamp;
use crate::wire::problem::{Problem, ProblemType};

use ledger::{Failure, Ledger};
use route::Found;

/// Largest body, in bytes, and that of a whole configuration.
pub const MAX_BODY_BYTES: usize = 64 << 10;
pub const MAX_CONFIG_BYTES: usize = crate::core::config::MAX_BYTES;

/// What a request's body may hold at most.
pub fn max_body(path: &str) -> usize {
    match path.trim_end_matches('/') {
        "/admin/config" => MAX_CONFIG_BYTES,
        _ => MAX_BODY_BYTES,
    }
}

/// What a call needs besides the request and the ledger.
#[derive(Debug, Clone)]
pub struct Environment {
    pub now: Timestamp,
    /// Of the secret `ADMIN_TOKEN`, if it is set and long enough.
    pub admin: Option<TokenHash>,
    /// Fresh for each call.
    pub random: [u8; 48],
    /// Whether `ALERT_WEBHOOK` is set.
    pub webhook: bool,
    /// What was counted of the experiment that is asked for, or why that cannot be said.
    pub counts: Result<Counts, String>,
    /// The evidence that the call needs, as far as it does.
    pub evidence: Option<plans::Asked>,
    /// The same for a chart.
    pub chart: Option<evidence::Charted>,
}

/// An answer that is an error.
struct Refusal {
    problem: Box<Problem>,
    headers: Vec<(&'static str, String)>,
}

impl Refusal {
    fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            problem: Box::new(Problem::new(kind, detail)),
            headers: Vec::new(),
        }
    }

    fn invalid(detail: &str, errors: Vec<decode::Problem>) -> Self {
        Self {
            problem: Box::new(Problem::new(ProblemType::InvalidBody, detail).with_errors(errors)),
            headers: Vec::new(),
        }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl From<StoreError> for Refusal {
    fn from(_: StoreError) -> Self {
        // Why is the operator's to know: it is logged where it happens.
        Self::new(
            ProblemType::LedgerUnavailable,
            "The ledger's storage failed; nothing was changed. Try again in a moment.",
        )
        .with("Retry-After", "5")
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NoConfiguration => Self::new(
                ProblemType::NoConfiguration,
                "Import one with PUT /admin/config, or write the key \"config\" to KV.",
            ),
            Rejection::UnknownRelease(name) => Self::new(
                ProblemType::UnknownRelease,
                format!("There is no release {name}; GET /status.json lists them."),
            ),
            Rejection::Unknown(what, name) => {
                Self::new(ProblemType::NotFound, format!("There is no {what} {name}."))
            }
            Rejection::Conflict(why) => Self::new(ProblemType::Conflict, sentence(&why)),
            Rejection::Forbidden(why) => {
                let mut refusal = Self::new(ProblemType::Forbidden, sentence(&why));
                refusal.problem.required_role = Some(Role::EngineeringLead);
                refusal
            }
            Rejection::Invalid(errors) => Self::invalid(
                "Nothing was changed; \"errors\" says what is wrong and where.",
                errors,
            ),
            Rejection::Breaks(errors) => Self::invalid(
                "Nothing was changed: the configuration would no longer hold together. The \
                 pointers in \"errors\" are places in the configuration.",
                errors,
            ),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Rejected(rejection) => rejection.into(),
            Failure::Store(error) => error.into(),
        }
    }
}

/// With a full stop, and a capital unless it begins with a name.
fn sentence(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    let is_word = first_word.bytes().all(|b| b.is_ascii_alphabetic());
    let mut sentence = text.to_owned();
    if is_word && let Some(first) = sentence.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

/// Answers a call. What it changed is in the ledger; whoever runs it publishes and delivers.
pub fn handle<S: Store>(
    ledger: &mut Ledger<S>,
    request: &impl Request,
    body: &[u8],
    environment: &Environment,
) -> Reply {
    match try_handle(ledger, request, body, environment) {
        Ok(reply) => reply,
        Err(Refusal { problem, headers }) => {
            // A struct of strings and numbers always serializes.
            let body = serde_json::to_string(&problem).unwrap_or_default();
            let reply = Reply::new(problem.status, "application/problem+json", "no-store", body);
            headers
                .into_iter()
                .fold(reply, |reply, (name, value)| reply.with(name, value))
        }
    }
}

/// An answer that only its caller may keep, with the revision that it is of.
fn answer(status: u16, revision: u64, body: &impl serde::Serialize) -> Reply {
    let body = serde_json::to_string(body).unwrap_or_default();
    Reply::new(status, "application/json", "no-store", body)
        .with("ETag", format!("\"{revision}\""))
        .with("X-Caro-Revision", revision.to_string())
}

fn try_handle<S: Store>(
    ledger: &mut Ledger<S>,
    request: &impl Request,
    body: &[u8],
    environment: &Environment,
) -> Result<Reply, Refusal> {
    let (call, target) = match route::find(request.method(), request.path()) {
        Found::Call(call, target) => (call, target),
        Found::Method(allow) if request.method() == "OPTIONS" => {
            // Other origins get no leave: a console is served from this one.
            let reply = Reply::new(204, "application/json", "no-store", String::new());
            return Ok(reply.with("Allow", allow));
        }
        Found::Method(allow) => {
            let detail = format!("This path takes {allow}.");
            return Err(Refusal::new(ProblemType::MethodNotAllowed, detail).with("Allow", allow));
        }
        Found::Name(why) => {
            return Err(Refusal::new(ProblemType::UnknownPath, sentence(&why)));
        }
        Found::Nothing => {
            let detail = "GET /openapi.json describes every call.";
            return Err(Refusal::new(ProblemType::UnknownPath, detail));
        }
    };
    let (actor, role) = authenticate(ledger, request, environment)?;
    if !call.allows(role) {
        let least = call.least();
        let mut refusal = Refusal::new(
            ProblemType::Forbidden,
            format!("The token's role is {role}; this call needs {least}."),
        );
        refusal.problem.required_role = Some(least);
        return Err(refusal);
    }
    query::check(request, call)?;
    if call == Call::WhoAmI {
        return Ok(console::who(ledger, &actor, role));
    }
    if is_read(call) {
        return read::read(ledger, request, call, &target, environment);
    }
    write::write(ledger, request, body, call, &target, actor, environment)
}

fn is_read(call: Call) -> bool {
    matches!(
        call,
        Call::ReadKillSwitches
            | Call::ReadCanary
            | Call::ReadCohorts
            | Call::ReadApprovals
            | Call::ReadTokens
            | Call::ReadAudit
            | Call::VerifyAudit
            | Call::Explain
            | Call::ReadConfig
            | Call::ReadOps
            | Call::ReadReleases
            | Call::ReadFeatures
            | Call::WhoAmI
            | Call::Lint
            | Call::ReadExperiments
            | Call::ReadPlan
            | Call::ReadReport
            | Call::ReadEvidence
            | Call::ReadAlerts
    )
}

/// Whose token it is.
fn authenticate<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    environment: &Environment,
) -> Result<(Actor, Role), Refusal> {
    let refuse = |detail: &str, challenge: &str| {
        Refusal::new(ProblemType::Unauthorized, detail).with(
            "WWW-Authenticate",
            format!("Bearer realm=\"caro-edge\"{challenge}"),
        )
    };
    let Some(header) = request.header("authorization") else {
        let detail = "Send the header Authorization: Bearer, with a token that a release manager \
                      minted (POST /admin/tokens) or the Worker's secret ADMIN_TOKEN.";
        return Err(refuse(detail, ""));
    };
    let Some(token) = bearer(&header) else {
        let detail = "The header Authorization must be the word Bearer, a blank and the token.";
        return Err(refuse(detail, ", error=\"invalid_request\""));
    };
    let hash = TokenHash::of(token);
    let mut found = None;
    if let Some(admin) = &environment.admin
        && hash.is(&admin.hex())
    {
        let role = Role::ReleaseManager;
        found = Some((Actor::new("admin", "admin", Some(role)), role));
    }
    // Each is compared, whether or not one was found.
    for (id, token) in ledger.live.state.tokens.iter() {
        let usable = token.revoked.is_none() && token.expires > environment.now;
        if hash.is(&token.hash) && usable {
            let actor = Actor::new(id, &token.label, Some(token.role));
            found = Some((actor, token.role));
        }
    }
    found.ok_or_else(|| {
        let detail = "The token is unknown, was revoked or has expired.";
        refuse(detail, ", error=\"invalid_token\"")
    })
}
