//! Errors for programs: `application/problem+json` (RFC 9457).

use serde::Serialize;

use crate::core::decode;
use crate::core::impact::Impact;
use crate::core::role::Role;

macro_rules! problems {
    ($($(#[$doc:meta])* $name:ident $status:literal $slug:literal $title:literal,)*) => {
        /// One kind of error. Its `type` never changes, so that a program can match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemType { $($(#[$doc])* $name,)* }

        impl ProblemType {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problems! {
    BadIdentity 400 "bad-identity" "The requester's id cannot be used",
    BadQuery 400 "bad-query" "A parameter of the query cannot be used",
    BadHeader 400 "bad-header" "A header cannot be used",
    InvalidJson 400 "invalid-json" "The body is not JSON",
    Unauthorized 401 "unauthorized" "A valid token is needed",
    Forbidden 403 "forbidden" "The token's role does not allow this",
    UnknownPath 404 "unknown-path" "There is nothing at this path",
    UnknownRelease 404 "unknown-release" "No such release",
    NotFound 404 "not-found" "No such thing",
    MethodNotAllowed 405 "method-not-allowed" "This path does not take that method",
    Conflict 409 "conflict" "The present state does not allow this",
    NoConfiguration 409 "no-configuration" "There is no configuration yet",
    /// The change would take a release away from somebody, or hand them another build.
    ConfirmationRequired 409 "confirmation-required" "This change needs a confirmation",
    PreconditionFailed 412 "precondition-failed" "Somebody else was faster",
    BodyTooLarge 413 "body-too-large" "The body is too large",
    UnsupportedMediaType 415 "unsupported-media-type" "The body is of another type than this takes",
    InvalidBody 422 "invalid-body" "The body says something that cannot be done",
    ReasonRequired 422 "reason-required" "This change needs a reason",
    IdempotencyKeyReused 422 "idempotency-key-reused" "The idempotency key was used for another request",
    RateLimited 429 "rate-limited" "Too many requests",
    Internal 500 "internal" "The router failed",
    LedgerUnavailable 503 "ledger-unavailable" "The ledger does not answer",
    StreamUnavailable 503 "stream-unavailable" "Event streams cannot be reached",
    TallyUnavailable 503 "tally-unavailable" "What is counted cannot be reached",
}

impl ProblemType {
    /// The URN of the type.
    pub fn urn(self) -> String {
        format!("urn:caro-edge:problem:{}", self.slug())
    }
}

/// One thing wrong with a request's body, or with the configuration that it would make.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901), empty for the whole.
    pub pointer: String,
    pub detail: String,
}

impl From<decode::Problem> for Fault {
    fn from(problem: decode::Problem) -> Self {
        Self {
            pointer: problem.path,
            detail: problem.message,
        }
    }
}

/// The body.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Problem {
    /// A URN that never changes.
    pub r#type: String,
    pub title: &'static str,
    pub status: u16,
    /// What was wrong and what to do.
    pub detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// With 403: the least role that may do this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required_role: Option<Role>,
    /// With 412: the revision there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Where a confirmation is needed: what the change does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impact: Option<Impact>,
}

impl Problem {
    /// `detail` says what to do next.
    pub fn new(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            r#type: kind.urn(),
            title: kind.title(),
            status: kind.status(),
            detail: detail.into(),
            errors: Vec::new(),
            required_role: None,
            revision: None,
            impact: None,
        }
    }

    pub fn with_errors(mut self, errors: Vec<decode::Problem>) -> Self {
        self.errors = errors.into_iter().map(Fault::from).collect();
        self
    }
}
