//! The install paths. Every answer here is a script that an interpreter can run, errors included.

use crate::core::decide::{
    Decision, Reason, Refusal, Selector, channel, decide_hashed, holdable, select,
};
use crate::core::defaults::Defaults;
use crate::core::identity::Unit;
use crate::core::snapshot::{BuildId, Snapshot};
use crate::core::sticky::Held;
use crate::core::time::Timestamp;
use crate::install::render::{self, Choice, How, Shell};
use crate::wire::etag;

use super::edge::Edge;
use super::reply::{Answer, Key, Reply};
use super::reports::note_request;
use super::request::{Identity, Request};
use super::sticky::Sticky;

/// Rollout answers differ by requester, so no cache may keep or change one.
const BY_ROLLOUT: &str = "private, no-store, no-transform";
const BY_NAME: &str = "public, max-age=60, no-transform";

/// By rollout.
pub fn by_rollout(edge: &mut Edge, request: &impl Request, shell: Shell, now: Timestamp) -> Answer {
    let identity = Identity::of(request);
    let unit: Option<Unit<'_>> = match identity.unit() {
        Ok(unit) => unit,
        Err(e) => return Answer::Fresh(failure(&edge.defaults, shell, 400, &e.to_string())),
    };
    let hash = unit.as_ref().map(|unit| edge.snapshot.hash(unit));
    let sticky = Sticky::of(edge, request, unit.as_ref(), now);
    let none = Held::default();
    let held = sticky.as_ref().map_or(&none, |sticky| &sticky.held);
    let decision = decide_hashed(&edge.snapshot, hash.as_ref(), held);
    if request.method() == "GET" {
        note_request(edge, decision, hash.as_ref(), now);
    }
    let Some(sticky) = sticky else {
        return kept(edge, decision, Choice::Rollout, shell);
    };
    let held = holdable(&edge.snapshot, decision);
    let answer = kept(edge, decision, Choice::Rollout, shell);
    sticky.seal(edge, answer, &held, now)
}

/// By what the path names.
pub fn by_name(edge: &mut Edge, shell: Shell, selector: &Selector) -> Answer {
    match select(&edge.snapshot, selector) {
        Ok(decision) => kept(edge, decision, Choice::Pinned, shell),
        Err(refusal) => Answer::Fresh(refused(edge, shell, refusal)),
    }
}

fn refused(edge: &Edge, shell: Shell, refusal: Refusal) -> Reply {
    let stable = format!("The stable version is at {}/stable", edge.defaults.origin);
    let (status, message) = match refusal {
        Refusal::Unknown => (404, format!("there is no such version. {stable}")),
        Refusal::Stopped => (
            410,
            format!("this version was stopped and is not offered. {stable}"),
        ),
        Refusal::Unavailable => (
            503,
            format!("the list of versions cannot be read right now; try again. {stable}"),
        ),
    };
    let reply = failure(&edge.defaults, shell, status, &message);
    match refusal {
        Refusal::Unavailable => reply.with("Retry-After", "5"),
        _ => reply,
    }
}

/// A path that is not ours, or that names nothing.
pub fn not_found(edge: &Edge, shell: Shell, status: u16) -> Answer {
    let message = format!(
        "this path names no version. Use {0}, {0}/stable, {0}/beta or a version such as {0}/{1}",
        edge.defaults.origin, edge.defaults.stable
    );
    Answer::Fresh(failure(&edge.defaults, shell, status, &message))
}

/// A failure in the form of a script.
pub fn failure(defaults: &Defaults, shell: Shell, status: u16, message: &str) -> Reply {
    let body = render::failure(shell, &defaults.product, message);
    Reply::new(status, content_type(), "no-store", body)
}

const fn content_type() -> &'static str {
    "text/plain; charset=utf-8"
}

fn kept(edge: &mut Edge, decision: Decision, choice: Choice, shell: Shell) -> Answer {
    let Edge {
        snapshot,
        defaults,
        kept,
        ..
    } = edge;
    let Decision { build, reason } = decision;
    let key = Key::Install {
        build,
        reason,
        choice,
        shell,
    };
    kept.get(key, || reply(snapshot, defaults, decision, choice, shell))
}

fn reply(
    snapshot: &Snapshot,
    defaults: &Defaults,
    decision: Decision,
    choice: Choice,
    shell: Shell,
) -> Reply {
    let Some((build, stable)) = snapshot
        .build(decision.build)
        .zip(snapshot.build(snapshot.stable))
    else {
        return failure(defaults, shell, 500, "the router failed; try again");
    };
    let shown = if snapshot.is_fallback() {
        Choice::Fallback
    } else {
        choice
    };
    let how = How {
        choice: shown,
        reports: snapshot.reports,
    };
    let script = render::script(shell, defaults, build, how, stable);
    let cache = match choice {
        Choice::Pinned if !snapshot.is_fallback() => BY_NAME,
        _ => BY_ROLLOUT,
    };
    let tag = (cache == BY_NAME).then(|| etag::of_body(&script));
    let reply = Reply::new(200, content_type(), cache, script)
        .signed()
        .with("X-Caro-Version", build.version.to_string())
        .with("X-Caro-Channel", channel(snapshot, decision.build).as_str())
        .with("X-Caro-Reason", decision.reason.as_str())
        .with(
            "X-Caro-Revision",
            snapshot.revision.unwrap_or(0).to_string(),
        );
    match tag {
        Some(tag) => reply.with("ETag", tag),
        // For a proxy that keeps what it was told not to: a browser gets a page here.
        None => reply.with("Vary", "Accept"),
    }
}

/// Renders what most requests get: every arm of the rollout, in both shells.
pub fn render_ahead(edge: &mut Edge) {
    let arms: Vec<(BuildId, Reason)> = edge
        .snapshot
        .releases
        .iter()
        .map(|release| (release.build, Reason::Bucket))
        .chain([(edge.snapshot.stable, Reason::Default)])
        .collect();
    for (build, reason) in arms {
        for shell in [Shell::Sh, Shell::PowerShell] {
            kept(edge, Decision { build, reason }, Choice::Rollout, shell);
        }
    }
}
