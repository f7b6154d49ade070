//! `GET /ofrep/v1/events`: server-sent events (WHATWG HTML, 9.2) that tell an OpenFeature client when to ask
//! again.
//!
//! What a client asks then may reach an edge before KV does: it names the revision that it was told of
//! (`?flagConfigEtag`), and an edge that is behind it asks the ledger first.

use crate::wire::ofrep::{Endpoint, EventStream};

use super::request::{Request, query_value};

/// Where.
pub const PATH: &str = "/ofrep/v1/events";

/// Connections are spread over so many objects.
pub const SHARDS: u32 = 4;

/// Between two signs of life, in milliseconds: shorter than what proxies wait.
pub const PING_MS: u32 = 25_000;

/// How long a page may be hidden before its client lets go of the stream, in seconds.
const INACTIVITY_S: u32 = 120;

/// The headers of a stream.
pub const HEADERS: [(&str, &str); 7] = [
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "private, no-store, no-transform"),
    ("Access-Control-Allow-Origin", "*"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Strict-Transport-Security",
        "max-age=31536000; includeSubDomains",
    ),
];

/// As bulk evaluations announce it.
pub const fn announced() -> [EventStream; 1] {
    [EventStream {
        kind: "sse",
        endpoint: Endpoint { request_uri: PATH },
        inactivity_delay_sec: INACTIVITY_S,
    }]
}

/// The event that has clients ask again. The revision is quoted, as an `ETag` is.
pub fn changed(revision: u64) -> String {
    format!(
        "id: {revision}\nevent: message\n\
         data: {{\"type\":\"refetchEvaluation\",\"etag\":\"\\\"{revision}\\\"\"}}\n\n"
    )
}

/// What a new connection is told first. Who was here before may have missed something.
pub fn hello(request: &impl Request) -> String {
    let retry = "retry: 5000\n: hello\n\n";
    match request.header("last-event-id") {
        None => retry.to_owned(),
        Some(_) => format!("{retry}event: message\ndata: {{\"type\":\"refetchEvaluation\"}}\n\n"),
    }
}

/// The revision that a client was told of.
pub fn told(request: &impl Request) -> Option<u64> {
    let etag = query_value(request, "flagConfigEtag")?;
    etag.trim_start_matches("W/").trim_matches('"').parse().ok()
}
