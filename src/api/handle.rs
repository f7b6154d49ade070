//! The one door: a request comes in, an answer goes out.

use crate::core::evidence::Batch;
use crate::core::time::Timestamp;
use crate::install::render::Shell;
use crate::wire::problem::ProblemType;

use super::control::route::is_control;
use super::edge::Edge;
use super::history::{Form, Turn};
use super::outcomes::{self, Report};
use super::reply::{Answer, Reply};
use super::request::Request;
use super::route::{Route, route};
use super::{features, install, looks, metrics, ofrep, reports, signing};

/// Answers a request from the edge's state at `now`.
pub fn handle(edge: &mut Edge, request: &impl Request, now: Timestamp) -> Answer {
    if is_control(request.method(), request.path()) {
        return Answer::Control;
    }
    let route = route(request.path());
    let is_told = route.is_told();
    match request.method() {
        "POST" if matches!(route, Route::Ofrep(_)) => return Answer::Evaluate,
        "POST" if matches!(route, Route::Outcomes(_)) => return Answer::Report,
        "POST" if is_told => return Answer::Evidence,
        "GET" | "HEAD" if !is_told => {}
        _ if route == Route::UnknownApi => {}
        "OPTIONS" if route.shell().is_none() => return Answer::Fresh(preflight(&route)),
        _ => return Answer::Fresh(wrong_method(edge, &route)),
    }
    let answer = match route {
        Route::Root if wants_html(request) => Answer::Asset("/index.html".to_owned()),
        Route::Root => install::by_rollout(edge, request, Shell::Sh, now),
        Route::Install(shell) => install::by_rollout(edge, request, shell, now),
        Route::Select(shell, selector) => install::by_name(edge, shell, &selector),
        Route::Malformed(shell) => install::not_found(edge, shell, 400),
        Route::NotFound(shell) => install::not_found(edge, shell, 404),
        Route::Rollout(release) => looks::rollout(edge, release),
        Route::Features(release) => features::get(edge, request, release, now),
        Route::Status => looks::status(edge, now),
        Route::History(form) => match edge.history.fresh(form, edge.snapshot.revision, now) {
            Some(reply) => Answer::Fresh(reply),
            None => return Answer::AskHistory,
        },
        Route::Health | Route::Metrics if edge.wants_ledger(now) => return Answer::AskLedger,
        Route::Health => looks::health(edge, now),
        Route::Metrics => metrics::metrics(edge, now),
        Route::Keys => Answer::Fresh(signing::directory(edge)),
        Route::KeyPem => Answer::Fresh(signing::pem(edge).unwrap_or_else(|| {
            let detail = "Answers are not signed: the secret SIGNING_KEYS is not set.";
            Reply::problem(ProblemType::NotFound, detail)
        })),
        Route::Console => Answer::Asset("/admin.html".to_owned()),
        Route::StatusPage => Answer::Asset("/status.html".to_owned()),
        Route::Asset(path) => Answer::Asset(path.to_owned()),
        Route::Events if request.method() == "HEAD" => {
            Answer::Fresh(Reply::json(200, "no-store", String::new()))
        }
        Route::Events => Answer::Stream,
        // Asked with POST.
        Route::Ofrep(_) | Route::Outcomes(_) | Route::Report | Route::ClientEvents => {
            Answer::Evaluate
        }
        Route::UnknownApi => {
            let detail = "GET /openapi.json describes every call.";
            Answer::Fresh(Reply::problem(ProblemType::UnknownPath, detail))
        }
    };
    not_modified(edge, request, answer)
}

/// Answers a request whose body had to be read first; `None`: it is longer than it may be.
pub fn evaluate(
    edge: &mut Edge,
    request: &impl Request,
    body: Option<&[u8]>,
    now: Timestamp,
) -> Reply {
    if let Some(refused) = ofrep::refused(edge, request) {
        return refused;
    }
    let Some(body) = body else {
        let detail = format!("At most {} bytes are taken here.", ofrep::MAX_BODY_BYTES);
        return Reply::problem(ProblemType::BodyTooLarge, &detail);
    };
    let key = match route(request.path()) {
        Route::Ofrep(key) => key,
        _ => None,
    };
    ofrep::evaluate(edge, request, key, body, now)
}

/// Understands a report that becomes evidence; see [`reports::read`].
///
/// # Errors
/// The answer to one of which nothing can be used.
pub fn evidence(
    edge: &mut Edge,
    request: &impl Request,
    body: Option<&[u8]>,
    now: Timestamp,
) -> Result<Batch, Reply> {
    let is_install = route(request.path()) == Route::Report;
    reports::read(edge, request, is_install, body, now)
}

/// Understands a report whose body had to be read first; `None`: it is longer than it may be.
///
/// # Errors
/// The answer to one that cannot be understood.
pub fn report(
    edge: &Edge,
    request: &impl Request,
    body: Option<&[u8]>,
    now: Timestamp,
) -> Result<Report, Reply> {
    let name = match route(request.path()) {
        Route::Outcomes(name) => name,
        _ => "",
    };
    outcomes::report(edge, request, name, body, now)
}

/// What a request for the history does next, that came at `since`.
pub fn history(edge: &mut Edge, request: &impl Request, since: Timestamp, now: Timestamp) -> Turn {
    let form = match route(request.path()) {
        Route::History(form) => form,
        _ => Form::Json,
    };
    let known = edge.snapshot.revision;
    match edge.history.turn(form, known, since, now) {
        Turn::Serve(reply) => Turn::Serve(unless_known(request, reply)),
        other => other,
    }
}

/// Whether the client says that it reads HTML. Its user agent is never asked.
fn wants_html(request: &impl Request) -> bool {
    request
        .header("accept")
        .is_some_and(|accept| accept.to_ascii_lowercase().contains("text/html"))
}

/// 304 instead of what the client has already.
fn not_modified(edge: &Edge, request: &impl Request, answer: Answer) -> Answer {
    match answer {
        Answer::Kept(id) if edge.kept.reply(id).is_some_and(|r| has(request, r)) => {
            Answer::NotModified(id)
        }
        Answer::Fresh(reply) => Answer::Fresh(unless_known(request, reply)),
        other => other,
    }
}

/// Whether the client has an answer already.
fn has(request: &impl Request, reply: &Reply) -> bool {
    reply.header("ETag").is_some()
        && request
            .header("if-none-match")
            .is_some_and(|tags| reply.is_match(&tags))
}

fn unless_known(request: &impl Request, mut reply: Reply) -> Reply {
    if has(request, &reply) {
        reply.status = 304;
        reply.body.clear();
    }
    reply
}

fn wrong_method(edge: &Edge, route: &Route<'_>) -> Reply {
    let reply = match route.shell() {
        Some(shell) => {
            let message = "this path takes GET and HEAD only; use curl -fsS without -X or -d";
            install::failure(&edge.defaults, shell, 405, message)
        }
        None => Reply::problem(
            ProblemType::MethodNotAllowed,
            "The header Allow lists what this path takes.",
        ),
    };
    let allow = match route.shell() {
        Some(_) => "GET, HEAD",
        None => allowed(route),
    };
    reply.with("Allow", allow)
}

/// The methods that a path takes, those of the control API with them.
const fn allowed(route: &Route<'_>) -> &'static str {
    match route {
        route if route.is_told() => "POST, OPTIONS",
        Route::Rollout(_) => "GET, HEAD, POST, PUT, DELETE, OPTIONS",
        Route::Features(_) => "GET, HEAD, POST, OPTIONS",
        _ => "GET, HEAD, OPTIONS",
    }
}

/// The answer to a browser that asks whether it may (CORS): pages of other origins may read what
/// anyone may, and change nothing.
fn preflight(route: &Route<'_>) -> Reply {
    let methods = match route.is_told() {
        true => "POST, OPTIONS",
        false => "GET, HEAD, OPTIONS",
    };
    let headers = match route {
        Route::ClientEvents => "Content-Type, X-Caro-Id, X-Caro-Version",
        _ => "Content-Type, If-None-Match, Authorization, X-API-Key, X-Caro-Id, X-Caro-Assignment",
    };
    Reply::json(204, "public, max-age=86400", String::new())
        .with("Allow", allowed(route))
        .with("Access-Control-Allow-Methods", methods)
        .with("Access-Control-Allow-Headers", headers)
        .with("Access-Control-Max-Age", "86400")
}
