//! `GET /features/{release}`: the flat map that a caro process asks for.

use serde::ser::Serializer;

use crate::core::condition::Attribute;
use crate::core::flags::{Asking, Choice, FeatureSet, Value, Values, evaluate_all};
use crate::core::snapshot::{FeatureSetId, Snapshot};
use crate::core::time::Timestamp;
use crate::wire::etag;
use crate::wire::problem::ProblemType;

use super::edge::Edge;
use super::fragments::{Form, Fragments};
use super::reply::{Answer, Key, Reply, made_from};
use super::request::{Identity, Request, query_value};
use super::sticky::Sticky;

/// A requester's own answer. A client that asks every hour asks the router each time; one that is started again
/// and again does not.
const CACHE: &str = "private, max-age=60";

/// While something is stopped or killed nobody waits to hear that it no longer is, or that more is.
const CACHE_STOPPED: &str = "private, no-cache";

/// What a query may say of the requester, for rules.
const ATTRIBUTES: [&str; 3] = ["os", "arch", "locale"];

pub fn get(edge: &mut Edge, request: &impl Request, release: &str, now: Timestamp) -> Answer {
    let identity = Identity::of(request);
    let unit = match identity.unit() {
        Ok(unit) => unit,
        Err(e) => {
            return Answer::Fresh(Reply::problem(ProblemType::BadIdentity, &e.to_string()));
        }
    };
    let sticky = Sticky::of(edge, request, unit.as_ref(), now);
    let Edge {
        snapshot,
        kept,
        exposures,
        fragments,
        digest,
        ..
    } = edge;
    let Some((id, set)) = snapshot.features(release) else {
        return Answer::Fresh(super::looks::unknown_release(snapshot));
    };
    // Only where a rule could ask: each costs a look.
    let said = match set.has_rules() {
        true => said(request, release),
        false => Vec::new(),
    };
    let attributes: Vec<(&str, Attribute<'_>)> = said
        .iter()
        .map(|(name, value)| (*name, Attribute::Text(value)))
        .collect();
    let asking = Asking {
        unit,
        attributes: &attributes,
        now,
        held: sticky.as_ref().map(|sticky| &sticky.held),
    };
    let choices = evaluate_all(snapshot, set, &asking);
    exposures.note(snapshot, set, unit, &choices, None, now);
    let detail = query_value(request, "detail");
    let answer = if detail.is_some_and(|detail| detail != "0" && detail != "false") {
        let body = detailed(snapshot, set, &choices).unwrap_or_default();
        let tag = etag::of_body(&body);
        Answer::Fresh(reply(snapshot, body, tag))
    } else {
        kept.get(Key::Features(id, Values::of(&choices)), || {
            let body = flat(snapshot, fragments, (id, set), &choices);
            // What it is made from, which is shorter: it says only which variants.
            let variants = choices.iter().map(|choice| choice.variant);
            reply(
                snapshot,
                body,
                etag::of_digest(&made_from(digest, id, variants)),
            )
        })
    };
    match sticky {
        None => answer,
        Some(sticky) => {
            let held = set.holdable(&choices);
            sticky.seal(edge, answer, &held, now)
        }
    }
}

/// What a request says of the requester.
fn said(request: &impl Request, release: &str) -> Vec<(&'static str, String)> {
    let given = ATTRIBUTES.map(|name| Some((name, query_value(request, name)?)));
    let mut said: Vec<_> = given.into_iter().flatten().collect();
    said.extend(request.header("cf-ipcountry").map(|code| ("country", code)));
    said.push(("release", release.to_owned()));
    said
}

fn reply(snapshot: &Snapshot, body: String, tag: String) -> Reply {
    let revision = snapshot.revision.unwrap_or(0).to_string();
    let cache = match snapshot.is_calm() {
        true => CACHE,
        false => CACHE_STOPPED,
    };
    let reply = Reply::json(200, cache, body)
        .with("ETag", tag)
        // The same address is asked for others by who they are.
        .with("Vary", "X-Caro-Id, X-Caro-Assignment")
        .with("X-Caro-Revision", revision)
        .signed();
    if snapshot.is_fallback() {
        reply.with("X-Caro-Reason", "fallback")
    } else {
        reply
    }
}

/// Every feature's value, then the kill switches that are on: a client takes the OR of all its
/// sources, so one that is off need not be said.
fn flat(
    snapshot: &Snapshot,
    fragments: &mut Fragments,
    (id, set): (FeatureSetId, &FeatureSet),
    choices: &[Choice],
) -> String {
    let mut body = String::with_capacity(40 * choices.len() + 2);
    body.push('{');
    fragments.join(
        &mut body,
        (id, Form::Flat),
        set,
        choices,
        |key, flag, choice| {
            // Values are JSON, and a key needs no escaping.
            let value = serde_json::to_string(&flag.value(choice)).unwrap_or_default();
            format!("\"{key}\":{value}")
        },
    );
    for name in &snapshot.client_kills {
        if !body.ends_with('{') {
            body.push(',');
        }
        body.push_str(&format!("\"{name}\":true"));
    }
    body.push('}');
    body
}

/// One feature with variant and reason.
#[derive(serde::Serialize)]
struct Detail<'a> {
    value: Value<'a>,
    variant: &'a str,
    reason: &'static str,
    /// What to tell whoever has it, while it is being rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    banner: Option<String>,
}

/// The same with variants and reasons.
fn detailed(snapshot: &Snapshot, set: &FeatureSet, choices: &[Choice]) -> Option<String> {
    let flags = set.chosen(choices).map(|(key, flag, choice)| {
        let variant = flag.variant(choice);
        let detail = Detail {
            value: flag.value(choice),
            variant: variant.map_or("", |v| v.name.as_str()),
            reason: choice.reason.as_str(),
            banner: flag.banner(key, choice),
        };
        (key.as_str(), detail)
    });
    let kills = snapshot.client_kills.iter().map(|name| {
        let detail = Detail {
            value: Value::Switch(true),
            variant: "on",
            reason: "killed",
            banner: None,
        };
        (*name, detail)
    });
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    serializer.collect_map(flags.chain(kills)).ok()?;
    String::from_utf8(bytes).ok()
}
