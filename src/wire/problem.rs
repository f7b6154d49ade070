//! Errors for programs: `application/problem+json` (RFC 9457).

use serde::Serialize;

/// One kind of error. Its `type` never changes, so that a program can match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemType {
    BadIdentity,
    UnknownPath,
    UnknownRelease,
    MethodNotAllowed,
    Internal,
}

impl ProblemType {
    pub const fn status(self) -> u16 {
        match self {
            Self::BadIdentity => 400,
            Self::UnknownPath | Self::UnknownRelease => 404,
            Self::MethodNotAllowed => 405,
            Self::Internal => 500,
        }
    }

    const fn slug(self) -> &'static str {
        match self {
            Self::BadIdentity => "bad-identity",
            Self::UnknownPath => "unknown-path",
            Self::UnknownRelease => "unknown-release",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Internal => "internal",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::BadIdentity => "The requester's id cannot be used",
            Self::UnknownPath => "There is nothing at this path",
            Self::UnknownRelease => "No such release",
            Self::MethodNotAllowed => "This path does not take that method",
            Self::Internal => "The router failed",
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// The body. `detail` says what to do next.
pub fn body(kind: ProblemType, detail: &str) -> String {
    let body = Body {
        r#type: format!("urn:caro-edge:problem:{}", kind.slug()),
        title: kind.title(),
        status: kind.status(),
        detail,
    };
    // A struct of strings and numbers always serializes.
    serde_json::to_string(&body).unwrap_or_default()
}
