//! What the platform's rate limits count, and what is said when they are over.

use sha2::{Digest, Sha256};

use crate::api::reply::Reply;
use crate::api::request::Request;
use crate::core::decode::to_hex;
use crate::wire::problem::ProblemType;

/// The window of both limits, in seconds, as in wrangler.toml.
pub const WINDOW_S: u64 = 60;

/// What a write counts for: its token, hashed. Nothing for what only reads, and nothing for an
/// emergency stop, which is never refused.
pub fn write_key(request: &impl Request) -> Option<String> {
    let reads = matches!(request.method(), "GET" | "HEAD" | "OPTIONS");
    let stops = request
        .path()
        .trim_end_matches('/')
        .ends_with("/emergency-stop");
    if reads || stops {
        return None;
    }
    request.header("authorization").map(|token| key(&token))
}

/// What a failed attempt counts for: its address, hashed.
pub fn address_key(request: &impl Request) -> Option<String> {
    request
        .header("cf-connecting-ip")
        .map(|address| key(&address))
}

/// What an evaluation counts for: the client's key, else its address; hashed.
pub fn client_key(request: &impl Request) -> Option<String> {
    let key_ = crate::api::ofrep::key_of(request);
    key_.map(|text| key(&text)).or_else(|| address_key(request))
}

fn key(text: &str) -> String {
    to_hex(Sha256::digest(text.as_bytes()).split_at(16).0)
}

/// 429.
pub fn too_many(what: &str) -> Reply {
    let detail = format!("{what} Wait {WINDOW_S} seconds. (An emergency stop is never limited.)");
    Reply::sealed_problem(ProblemType::RateLimited, &detail)
        .with("Retry-After", WINDOW_S.to_string())
}
