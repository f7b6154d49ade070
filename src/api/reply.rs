//! Answers: what a handler gives back, and what is kept ready between requests.

use crate::core::decide::Reason;
use crate::core::flags::Values;
use crate::core::snapshot::{BuildId, FeatureSetId};
use crate::core::table::Table;
use crate::install::render::{Choice, Shell};
use crate::wire::problem::{Problem, ProblemType};

/// Status, headers and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    /// Whether it is signed, where there is a key.
    pub signed: bool,
}

/// Sent with everything. A script or a JSON text needs nothing from the browser.
const SECURITY: [(&str, &str); 5] = [
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Strict-Transport-Security",
        "max-age=31536000; includeSubDomains",
    ),
    (
        "Content-Security-Policy",
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// What an HTML page may do: load its own files and ask its own origin. No text becomes markup or code there.
const PAGE_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                        connect-src 'self'; base-uri 'none'; form-action 'none'; \
                        require-trusted-types-for 'script'; trusted-types 'none'; \
                        frame-ancestors 'none'";

/// The headers that a static file gets in addition to its own, instead of any it has.
pub fn asset_headers(path: &str) -> Vec<(&'static str, &'static str)> {
    let mut headers = SECURITY.to_vec();
    headers.retain(|(name, _)| *name != "Content-Security-Policy");
    headers.push(("Content-Security-Policy", PAGE_CSP));
    let cache = match path {
        // `/` answers the same URL with a script for `sh`, so no cache may hold it.
        "/index.html" => "private, no-store",
        // A page is several files that have to be of one version.
        path if path.ends_with(".html") || path.starts_with("/assets/") => "no-cache",
        _ => "public, max-age=300",
    };
    headers.push(("Cache-Control", cache));
    headers.push(("Vary", "Accept"));
    headers
}

impl Reply {
    pub fn new(status: u16, content_type: &str, cache: &str, body: String) -> Self {
        let mut headers = vec![
            ("Content-Type", content_type.to_owned()),
            ("Cache-Control", cache.to_owned()),
        ];
        headers.extend(SECURITY.map(|(name, value)| (name, value.to_owned())));
        Self {
            status,
            headers,
            body,
            signed: false,
        }
    }

    /// That any page may read.
    pub fn open(self) -> Self {
        self.with("Access-Control-Allow-Origin", "*")
    }

    /// To be signed.
    pub fn signed(mut self) -> Self {
        self.signed = true;
        self
    }

    /// Replaces a header's value.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.headers.retain(|(n, _)| *n != name);
        self.headers.push((name, value.into()));
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// JSON that any page may read: there are no credentials here that CORS would protect.
    pub fn json(status: u16, cache: &str, body: String) -> Self {
        Self::new(status, "application/json", cache, body).open()
    }

    /// An error that any page may read.
    pub fn problem(kind: ProblemType, detail: &str) -> Self {
        Self::sealed_problem(kind, detail).open()
    }

    /// An error that only its caller may read.
    pub fn sealed_problem(kind: ProblemType, detail: &str) -> Self {
        Self::of_problem(&Problem::new(kind, detail))
    }

    /// The same, with more to say.
    pub fn of_problem(problem: &Problem) -> Self {
        // A struct of strings and numbers always serializes.
        let body = serde_json::to_string(problem).unwrap_or_default();
        Self::new(problem.status, "application/problem+json", "no-store", body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Whether `If-None-Match` names this reply (RFC 9110, 13.1.2: the weak comparison).
    pub fn is_match(&self, if_none_match: &str) -> bool {
        self.header("ETag")
            .is_some_and(|etag| tags_name(if_none_match, etag))
    }
}

/// Whether `If-None-Match` names a tag.
pub fn tags_name(if_none_match: &str, etag: &str) -> bool {
    let mut tags = if_none_match.split(',');
    if_none_match.trim() == "*" || tags.any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

/// Stands for an answer by what it is made from: everything that an edge answers from, whose features
/// these are, and what is said of each.
pub fn made_from(edge: &[u8; 32], id: FeatureSetId, said: impl Iterator<Item = u8>) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut parts = edge.to_vec();
    parts.extend(id.number().to_be_bytes());
    parts.extend(said);
    Sha256::digest(parts).into()
}

/// What to do for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One of the replies that are kept ready.
    Kept(ReplyId),
    /// The same, but the client has it already: 304.
    NotModified(ReplyId),
    /// Made for this request.
    Fresh(Reply),
    /// A static file of `www`, by its path there.
    Asset(String),
    /// The ledger's to answer.
    Control,
    /// Have the ledger look at itself, then ask again.
    AskLedger,
    /// Have [`super::handle::history`] say whether to ask the ledger, until it has an answer.
    AskHistory,
    /// Read the body, then ask [`super::handle::evaluate`].
    Evaluate,
    /// Read the body, then ask [`super::handle::report`].
    Report,
    /// Read the body, then ask [`super::handle::evidence`].
    Evidence,
    /// Events, as they come.
    Stream,
}

/// Refers to one of the kept replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyId(pub usize);

/// Everything that a kept reply depends on, besides the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Install {
        build: BuildId,
        reason: Reason,
        choice: Choice,
        shell: Shell,
    },
    Features(FeatureSetId, Values),
    Rollout(usize),
}

/// Combinations of feature values are the only thing that can be many. What they may take, in bytes;
/// the rest is made anew each time. The JavaScript side takes about as much again.
const MAX_COMBINATIONS: usize = 6 << 20;

/// What a reply takes besides its body, about.
const OVERHEAD: usize = 1 << 10;

/// Replies of one snapshot, each made once.
#[derive(Debug, Default)]
pub struct Kept {
    ids: Table<Key, ReplyId>,
    replies: Vec<Reply>,
    combinations: usize,
}

impl Kept {
    /// The reply of `key`, made if it is not there yet.
    pub fn get(&mut self, key: Key, make: impl FnOnce() -> Reply) -> Answer {
        if let Some(&id) = self.ids.get(&key) {
            return Answer::Kept(id);
        }
        let reply = make();
        if let Key::Features(..) = key {
            let size = reply.body.len() + OVERHEAD;
            if self.combinations + size > MAX_COMBINATIONS {
                return Answer::Fresh(reply);
            }
            self.combinations += size;
        }
        let id = ReplyId(self.replies.len());
        self.replies.push(reply);
        self.ids.insert(key, id);
        Answer::Kept(id)
    }

    pub fn reply(&self, id: ReplyId) -> Option<&Reply> {
        self.replies.get(id.0)
    }
}
