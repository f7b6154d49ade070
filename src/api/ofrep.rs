//! The OpenFeature Remote Evaluation Protocol 0.3: `POST /ofrep/v1/evaluate/flags[/{key}]`.
//!
//! The context's `release` says whose features these are, a release's or a version's; without it, or
//! with one that is not known, they are everybody's. Who asks is `targetingKey`, else `X-Caro-Id`.
//! The network is not looked at: most who ask are servers, and would put everybody they ask for into
//! one bucket.

use serde::Serialize;

use crate::auth::token::{TokenHash, bearer as bearer_token};
use crate::core::condition::Attribute;
use crate::core::config::KillSwitches;
use crate::core::flags::{
    Asking, Choice, FeatureSet, Flag, Reason, Value, evaluate_all, evaluate_one,
};
use crate::core::identity::Unit;
use crate::core::ids::FlagKey;
use crate::core::json::Json;
use crate::core::snapshot::{FeatureSetId, Snapshot};
use crate::core::time::Timestamp;
use crate::wire::etag;
use crate::wire::ofrep::{BulkMetadata, ErrorCode, Failure, Metadata, Outcome, Success};
use crate::wire::problem::ProblemType;

use super::edge::Edge;
use super::exposures::Exposures;
use super::fragments::{Form, Fragments};
use super::reply::{Reply, made_from, tags_name};
use super::request::Request;
use super::sticky::Sticky;
use super::stream::announced;

/// Largest body, in bytes.
pub const MAX_BODY_BYTES: usize = 64 << 10;

/// An answer of one requester's own; the `ETag` makes asking again cheap.
const CACHE: &str = "private, no-cache";

/// The members of a context that are looked at, the first of these.
const MAX_ATTRIBUTES: usize = 100;

/// A body as JSON, or what is wrong with it.
fn parsed(body: &[u8]) -> Result<Json, String> {
    let text = std::str::from_utf8(body).map_err(|_| "The body is not UTF-8.".to_owned())?;
    Json::parse(text).map_err(|problem| format!("The body {}.", problem.message))
}

/// The same for a body outside of the protocol; `None`: it is longer than it may be.
///
/// # Errors
/// The answer that says what is wrong.
pub fn parse(body: Option<&[u8]>) -> Result<Json, Reply> {
    let body = body.ok_or_else(|| {
        let detail = format!("At most {MAX_BODY_BYTES} bytes are taken here.");
        Reply::problem(ProblemType::BodyTooLarge, &detail)
    })?;
    parsed(body).map_err(|detail| Reply::problem(ProblemType::InvalidJson, &detail))
}

/// What a context says of the requester.
pub fn attributes(context: &Json) -> Vec<(&str, Attribute<'_>)> {
    context
        .entries()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), Attribute::of(value)?)))
        .take(MAX_ATTRIBUTES)
        .collect()
}

/// The answer to who may not evaluate, where the policy has keys.
pub fn refused(edge: &Edge, request: &impl Request) -> Option<Reply> {
    let keys = edge.config()?.policy.ofrep_keys.as_ref()?;
    let given = key_of(request).map(|key| TokenHash::of(&key));
    // Each is compared, whether or not one was found.
    let known = keys
        .values()
        .filter(|hash| given.as_ref().is_some_and(|given| given.is(hash)));
    if known.count() > 0 {
        return None;
    }
    let detail = "Send a key as Authorization: Bearer or X-API-Key; the policy asks for one.";
    let reply = Reply::problem(ProblemType::Unauthorized, detail);
    Some(reply.with("WWW-Authenticate", "Bearer realm=\"caro-edge\""))
}

/// The key that a client sends.
pub fn key_of(request: &impl Request) -> Option<String> {
    let bearer = request.header("authorization");
    let bearer = bearer.as_deref().and_then(bearer_token).map(str::to_owned);
    bearer.or_else(|| request.header("x-api-key").filter(|key| !key.is_empty()))
}

/// Answers for one flag, or for all.
pub fn evaluate(
    edge: &mut Edge,
    request: &impl Request,
    key: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Reply {
    let mut exposures = std::mem::take(&mut edge.exposures);
    let mut fragments = std::mem::take(&mut edge.fragments);
    let reply = answer(
        edge,
        (&mut exposures, &mut fragments),
        request,
        key,
        body,
        now,
    );
    edge.exposures = exposures;
    edge.fragments = fragments;
    reply
}

fn answer(
    edge: &Edge,
    (exposures, fragments): (&mut Exposures, &mut Fragments),
    request: &impl Request,
    key: Option<&str>,
    body: &[u8],
    now: Timestamp,
) -> Reply {
    let snapshot = &edge.snapshot;
    let failed = |status, code, details: String| {
        let failure = Failure { key, code, details };
        reply(snapshot, status, &failure)
    };
    let json = match parsed(body) {
        Ok(json) => json,
        Err(details) => return failed(400, ErrorCode::ParseError, details),
    };
    let invalid = |details: &str| failed(400, ErrorCode::InvalidContext, details.to_owned());
    let none = Json::Object(Vec::new());
    let context = match (&json, json.get("context")) {
        (Json::Object(_), None) => &none,
        (_, Some(context @ Json::Object(_))) => context,
        _ => return invalid("Send {\"context\": {\"targetingKey\": …}}."),
    };
    let header = request.header("x-caro-id");
    let id = match context.get("targetingKey") {
        None | Some(Json::Null) => header.as_deref().unwrap_or_default(),
        Some(Json::String(key)) if key.is_empty() => header.as_deref().unwrap_or_default(),
        Some(Json::String(key)) => key,
        Some(_) => return invalid("targetingKey must be a string."),
    };
    let unit = match Unit::from_id(id) {
        Ok(unit) => unit,
        Err(e) => return invalid(&format!("targetingKey: {e}.")),
    };
    let attributes = attributes(context);
    let sticky = Sticky::of(edge, request, unit.as_ref(), now);
    let asking = Asking {
        unit,
        attributes: &attributes,
        now,
        held: sticky.as_ref().map(|sticky| &sticky.held),
    };
    let release = context.get("release").and_then(Json::as_str);
    let named = release.and_then(|name| snapshot.features(name));
    let Some((id, set)) = named.or(snapshot.everybodys_features()) else {
        // A snapshot has those of everybody.
        return failed(
            404,
            ErrorCode::FlagNotFound,
            "There are no flags.".to_owned(),
        );
    };
    // Who keeps what they have is told about all of it.
    let alone = key.filter(|_| sticky.is_none());
    let choices = alone.and_then(|key| evaluate_one(snapshot, set, key, &asking));
    let choices = choices.unwrap_or_else(|| evaluate_all(snapshot, set, &asking));
    exposures.note(snapshot, set, unit, &choices, key, now);
    let mut reply = match key {
        None => all(edge, fragments, request, (id, set), &choices),
        Some(key) => match one(snapshot, set, &choices, key) {
            Some(Outcome::Success(success)) => reply(snapshot, 200, &success),
            Some(Outcome::Failure(failure)) => reply(snapshot, 400, &failure),
            None => {
                let details = "There is no such flag for this release.".to_owned();
                failed(404, ErrorCode::FlagNotFound, details)
            }
        },
    };
    if let Some(sticky) = sticky {
        sticky.add(edge, &mut reply, &set.holdable(&choices), now);
    }
    reply
}

/// Every flag, and the switches that a client must know of. Its members are those of [`crate::wire::ofrep::Bulk`].
fn all(
    edge: &Edge,
    fragments: &mut Fragments,
    request: &impl Request,
    (id, set): (FeatureSetId, &FeatureSet),
    choices: &[Choice],
) -> Reply {
    let snapshot = &edge.snapshot;
    let said = choices
        .iter()
        .flat_map(|choice| [choice.variant, u8::from(choice.on), choice.reason as u8]);
    // What the answer is made from, which is shorter than the answer. It covers the context as well:
    // other values are other choices.
    let tag = etag::of_digest(&made_from(&edge.digest, id, said));
    let is_known = request
        .header("if-none-match")
        .is_some_and(|tags| tags_name(&tags, &tag));
    if is_known {
        let reply = reply_of(snapshot, 304, String::new());
        return reply.with("ETag", tag);
    }
    let mut body = String::with_capacity(128 * choices.len() + 512);
    body.push_str("{\"flags\":[");
    fragments.join(
        &mut body,
        (id, Form::Ofrep),
        set,
        choices,
        |key, flag, choice| text(&outcome(snapshot, key, flag, choice)),
    );
    for (name, ..) in KillSwitches::default().client() {
        if !body.ends_with('[') {
            body.push(',');
        }
        body.push_str(&text(&switch(snapshot, name)));
    }
    let metadata = BulkMetadata {
        revision: snapshot.revision.unwrap_or(0),
    };
    body.push_str("],\"metadata\":");
    body.push_str(&text(&metadata));
    if edge.streams {
        body.push_str(",\"eventStreams\":");
        body.push_str(&text(&announced()));
    }
    body.push('}');
    reply_of(snapshot, 200, body).with("ETag", tag)
}

fn one<'a>(
    snapshot: &'a Snapshot,
    set: &'a FeatureSet,
    choices: &'a [Choice],
    key: &str,
) -> Option<Outcome<'a>> {
    let mut chosen = set.chosen(choices);
    let found = chosen.find(|(k, ..)| k.as_str() == key);
    let flag = found.map(|(key, flag, choice)| outcome(snapshot, key, flag, choice));
    flag.or_else(|| {
        let switches = KillSwitches::default().client();
        let known = switches.iter().find(|(name, ..)| *name == key);
        known.map(|(name, ..)| switch(snapshot, name))
    })
}

fn outcome<'a>(
    snapshot: &Snapshot,
    key: &'a FlagKey,
    flag: &'a Flag,
    choice: Choice,
) -> Outcome<'a> {
    let variant = flag.variant(choice);
    match variant {
        Some(variant) if choice.reason != Reason::NoUnit => Outcome::Success(Success {
            key: key.as_str(),
            value: flag.value(choice),
            variant: variant.name.as_str(),
            reason: reason(choice.reason),
            metadata: Metadata {
                revision: snapshot.revision.unwrap_or(0),
                why: choice.reason.as_str(),
                fallback: flag.fallback.as_ref().map(|key| key.as_str()),
                banner: flag.banner(key, choice),
            },
        }),
        _ => Outcome::Failure(Failure {
            key: Some(key.as_str()),
            code: ErrorCode::TargetingKeyMissing,
            details: "This flag is not the same for everybody: send context.targetingKey."
                .to_owned(),
        }),
    }
}

/// A kill switch as a flag: on means that something is off.
fn switch<'a>(snapshot: &Snapshot, name: &'static str) -> Outcome<'a> {
    let on = snapshot.client_kills.contains(&name);
    Outcome::Success(Success {
        key: name,
        value: Value::Switch(on),
        variant: if on { "on" } else { "off" },
        reason: "STATIC",
        metadata: Metadata {
            revision: snapshot.revision.unwrap_or(0),
            why: if on { "killed" } else { "static" },
            fallback: None,
            banner: None,
        },
    })
}

/// A reason in the protocol's words.
const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Static => "STATIC",
        Reason::Disabled | Reason::Killed | Reason::Stopped | Reason::Scheduled => "DISABLED",
        Reason::Prerequisite
        | Reason::Denied
        | Reason::Cohort
        | Reason::Fallback
        | Reason::Rule => "TARGETING_MATCH",
        // Without a unit there is no answer but an error.
        Reason::HeldOut | Reason::Layer | Reason::Bucket | Reason::Sticky | Reason::NoUnit => {
            "SPLIT"
        }
    }
}

/// Structs of strings and JSON always serialize.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn reply(snapshot: &Snapshot, status: u16, body: &impl Serialize) -> Reply {
    reply_of(snapshot, status, text(body))
}

fn reply_of(snapshot: &Snapshot, status: u16, body: String) -> Reply {
    let reply = Reply::json(status, CACHE, body)
        .with("Access-Control-Expose-Headers", "ETag, Retry-After")
        .with(
            "X-Caro-Revision",
            snapshot.revision.unwrap_or(0).to_string(),
        )
        .signed();
    if snapshot.is_fallback() {
        reply.with("X-Caro-Reason", "fallback")
    } else {
        reply
    }
}
