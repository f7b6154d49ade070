//! `GET /features/{release}`: the flat map that a caro process asks for.

use serde::ser::{SerializeMap, Serializer};

use crate::core::flags::{Values, evaluate_all};
use crate::core::snapshot::{FeatureSet, Snapshot};
use crate::wire::problem::ProblemType;

use super::edge::Edge;
use super::reply::{Answer, Key, Reply, etag};
use super::request::{Identity, Request};

/// A requester's own answer, asked for anew each time: a kill switch must not wait in a cache, and
/// the `ETag` makes asking cheap.
const CACHE: &str = "private, no-cache";

pub fn get(edge: &mut Edge, request: &impl Request, release: &str) -> Answer {
    let Edge { snapshot, kept, .. } = edge;
    let Some((id, set)) = snapshot.features(release) else {
        return Answer::Fresh(super::looks::unknown_release(snapshot));
    };
    let identity = Identity::of(request);
    let unit = match identity.unit() {
        Ok(unit) => unit,
        Err(e) => {
            return Answer::Fresh(Reply::problem(ProblemType::BadIdentity, &e.to_string()));
        }
    };
    let values = evaluate_all(snapshot, set, unit.as_ref());
    kept.get(Key::Features(id, values.clone()), || {
        reply(snapshot, set, &values)
    })
}

fn reply(snapshot: &Snapshot, set: &FeatureSet, values: &Values) -> Reply {
    let body = body(snapshot, set, values).unwrap_or_default();
    let tag = etag(&body);
    let reply = Reply::json(200, CACHE, body).with("ETag", tag).with(
        "X-Caro-Revision",
        snapshot.revision.unwrap_or(0).to_string(),
    );
    if snapshot.is_fallback() {
        reply.with("X-Caro-Reason", "fallback")
    } else {
        reply
    }
}

/// Every feature, then the kill switches that are on: a client takes the OR of all its sources, so
/// one that is off need not be said.
fn body(
    snapshot: &Snapshot,
    set: &FeatureSet,
    values: &Values,
) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut bytes);
    let mut map = serializer.serialize_map(None)?;
    for (key, on) in values.of(set) {
        map.serialize_entry(key, &on)?;
    }
    for name in &snapshot.client_kills {
        map.serialize_entry(name, &true)?;
    }
    map.end()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
