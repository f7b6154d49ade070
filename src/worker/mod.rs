//! The shell: it reads bindings, asks [`crate::api`] what to answer, and carries that out.
//!
//! Most requests are answered without an `await`, from values kept per isolate, so [`fetch`] is a
//! plain function that returns a `Response`; it returns a promise only where it has to wait.

mod convert;
mod evidence;
mod gate;
mod js;
mod kv;
mod ledger;
mod plans;
mod sign;
mod sql;
mod store;
mod stream;
mod tally;

use std::cell::RefCell;
use std::future::Future;
use std::time::Duration;

use js_sys::{JSON, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{Context, Delay, Env, worker_sys};

use crate::api::edge::{Edge, Next};
use crate::api::handle::{self, evaluate, handle, report};
use crate::api::history::Turn;
use crate::api::ofrep::MAX_BODY_BYTES;
use crate::api::reply::Answer;
use crate::api::reports;
use crate::api::request::Request;
use crate::api::signing::{Signing, is_signed, prepare};
use crate::api::stream::told;
use crate::auth::token::MIN_ADMIN_BYTES;
use crate::core::decode::Problem;
use crate::core::defaults::Defaults;
use crate::core::time::Timestamp;

use convert::{Incoming, Later, respond};
use js::{promise, read_body};

/// For how long an isolate gathers what it sees of experiments before it is sent.
const GATHER: Duration = Duration::from_secs(1);

/// Between two looks at whether another request has what this one waits for.
const AGAIN: Duration = Duration::from_millis(25);

thread_local! {
    /// One isolate's state. It is borrowed only between awaits.
    static EDGE: RefCell<Option<Edge>> = const { RefCell::new(None) };
}

/// Called by `entry.js` for each request: gives a `Response`, or a promise of one.
///
/// # Errors
/// Only if the runtime refuses to make a `Response`; `entry.js` answers for that.
#[wasm_bindgen]
pub fn fetch(request: web_sys::Request, env: JsValue, ctx: JsValue) -> Result<JsValue, JsValue> {
    let env: Env = env.unchecked_into();
    let incoming = Incoming::new(&request);
    match with_edge(&env, |edge| edge.next(now())) {
        Next::Load => Ok(promise(async move {
            load(&env, &ctx).await;
            answer(incoming, request, env, ctx)
        })
        .into()),
        Next::Refresh => {
            let (background, ctx_) = (env.clone(), ctx.clone());
            wait_until(ctx.clone(), async move { load(&background, &ctx_).await });
            answer(incoming, request, env, ctx)
        }
        Next::Serve => answer(incoming, request, env, ctx),
    }
}

fn wait_until(ctx: JsValue, task: impl Future<Output = ()> + 'static) {
    let ctx: worker_sys::Context = ctx.unchecked_into();
    Context::new(ctx).wait_until(task);
}

#[inline(never)]
fn answer(
    incoming: Incoming,
    request: web_sys::Request,
    env: Env,
    ctx: JsValue,
) -> Result<JsValue, JsValue> {
    let at = now();
    let answer = at_once(&incoming, &env, at)?;
    if matches!(answer, Ok(_) | Err(Later::Sign(_))) {
        send_exposures(&env, ctx.clone(), at);
    }
    match answer {
        Ok(response) => Ok(response),
        Err(Later::Evaluate) => {
            let much = with_edge(&env, |edge| edge.asks.is_much(&incoming, at));
            let wants = with_edge(&env, |edge| edge.wants_revision(told(&incoming), at));
            let answer = match given_body(&ctx) {
                Some(bytes) if !much && !wants => {
                    let answer = with_edge(&env, |edge| {
                        Answer::Fresh(evaluate(edge, &incoming, Some(&bytes), at))
                    });
                    send_exposures(&env, ctx, at);
                    if !with_edge(&env, |edge| is_signed(edge, &answer)) {
                        return with_edge(&env, |edge| convert::unsigned(edge, answer, false));
                    }
                    return Ok(
                        promise(async move { signed(answer, &incoming, &env).await }).into(),
                    );
                }
                bytes => evaluate_later(incoming, request, env, ctx, bytes, much),
            };
            Ok(promise(answer).into())
        }
        Err(later) => Ok(promise(async move { wait(later, incoming, request, env).await }).into()),
    }
}

/// The body that `entry.js` has read already: it does where that is short.
fn given_body(ctx: &JsValue) -> Option<Vec<u8>> {
    let body = Reflect::get(ctx, &"body".into()).ok()?;
    body.is_object()
        .then(|| body.unchecked_ref::<Uint8Array>().to_vec())
}

/// An evaluation that takes awaits: for the body, for the platform's limit, for a revision that is not here
/// yet, for a signature.
async fn evaluate_later(
    incoming: Incoming,
    request: web_sys::Request,
    env: Env,
    ctx: JsValue,
    bytes: Option<Vec<u8>>,
    much: bool,
) -> Result<JsValue, JsValue> {
    if much && let Some(refused) = gate::evaluations_limited(&incoming, &env).await {
        return convert::respond_with(&refused, false);
    }
    let bytes = match bytes {
        Some(bytes) => Some(bytes),
        None => body(&request, MAX_BODY_BYTES).await?,
    };
    let wanted = told(&incoming);
    if with_edge(&env, |edge| edge.wants_revision(wanted, now()))
        && let Some(current) = gate::current(&env).await
    {
        with_edge(&env, |edge| edge.apply_current(current, wanted, now()));
    }
    let answer = with_edge(&env, |edge| {
        Answer::Fresh(evaluate(edge, &incoming, bytes.as_deref(), now()))
    });
    send_exposures(&env, ctx, now());
    signed(answer, &incoming, &env).await
}

/// Brings what was seen of experiments to their tallies, a moment later and behind the answer.
fn send_exposures(env: &Env, ctx: JsValue, now: Timestamp) {
    if !with_edge(env, |edge| edge.exposures.begin(now)) {
        return;
    }
    let env = env.clone();
    wait_until(ctx, async move {
        Delay::from(GATHER).await;
        for (tally, seen) in with_edge(&env, |edge| edge.exposures.take()) {
            let result = gate::count(&env, &tally, &seen).await;
            with_edge(&env, |edge| edge.exposures.sent(result));
        }
        for seen in with_edge(&env, |edge| edge.exposures.take_requests()) {
            let result = gate::record(&env, &seen).await;
            with_edge(&env, |edge| {
                edge.reports.sent(&result);
                if result.is_err() {
                    edge.exposures.forget();
                }
            });
        }
    });
}

fn at_once(
    incoming: &Incoming,
    env: &Env,
    now: Timestamp,
) -> Result<Result<JsValue, Later>, JsValue> {
    with_edge(env, |edge| {
        let answer = handle(edge, incoming, now);
        respond(edge, answer, incoming, now)
    })
}

/// Answers what takes an await.
async fn wait(
    later: Later,
    incoming: Incoming,
    request: web_sys::Request,
    env: Env,
) -> Result<JsValue, JsValue> {
    let path = match later {
        Later::Control => return gate::call(&incoming, &request, &env).await,
        Later::Asset(path) => path,
        // Taken apart before.
        Later::Evaluate => return convert::internal(),
        Later::Stream => {
            if let Some(refused) = gate::reports_limited(&incoming, &env).await {
                return convert::respond_with(&refused, false);
            }
            return stream::connect(&env, &incoming).await;
        }
        Later::Report => {
            if let Some(refused) = gate::reports_limited(&incoming, &env).await {
                return convert::respond_with(&refused, false);
            }
            let bytes = body(&request, MAX_BODY_BYTES).await?;
            let report = with_edge(&env, |edge| {
                report(edge, &incoming, bytes.as_deref(), now())
            });
            let reply = match report {
                Err(reply) => reply,
                Ok(report) if report.seen.is_empty() => report.reply,
                Ok(report) => match gate::count(&env, &report.tally, &report.seen).await {
                    Ok(()) => report.reply,
                    Err(why) => gate::not_counted(&why),
                },
            };
            return convert::respond_with(&reply, false);
        }
        Later::AskHistory => return history(&incoming, &env).await,
        Later::Evidence => return evidence(&incoming, &request, &env).await,
        Later::Sign(answer) => return signed(answer, &incoming, &env).await,
        Later::AskLedger => {
            let look = gate::look(&env).await;
            with_edge(&env, |edge| edge.ledger = Some((look, now())));
            match at_once(&incoming, &env, now())? {
                Ok(response) => return Ok(response),
                // Health and metrics are no files, and the look is fresh.
                Err(_) => String::new(),
            }
        }
    };
    convert::asset(incoming, env, path).await
}

/// Answers what the ledger knows of what happened. A promise of another request cannot be awaited, so who waits for one
/// that asks looks again.
async fn history(incoming: &Incoming, env: &Env) -> Result<JsValue, JsValue> {
    let since = now();
    loop {
        let turn = with_edge(env, |edge| handle::history(edge, incoming, since, now()));
        match turn {
            Turn::Serve(reply) => return convert::respond_with(&reply, incoming.is_head()),
            Turn::Ask => {
                let answer = gate::history(env).await;
                with_edge(env, |edge| {
                    edge.history.took(answer, &edge.defaults.origin, now());
                });
            }
            Turn::Wait => Delay::from(AGAIN).await,
        }
    }
}

/// Takes a report and answers when it is safe.
async fn evidence(
    incoming: &Incoming,
    request: &web_sys::Request,
    env: &Env,
) -> Result<JsValue, JsValue> {
    if let Some(refused) = gate::reports_limited(incoming, env).await {
        with_edge(env, |edge| edge.reports.limited += 1);
        return convert::respond_with(&refused, false);
    }
    let bytes = body(request, reports::MAX_BYTES).await?;
    let batch = with_edge(env, |edge| {
        handle::evidence(edge, incoming, bytes.as_deref(), now())
    });
    let reply = match batch {
        Err(reply) => reply,
        Ok(batch) => {
            let fates = gate::record(env, &batch.observations).await;
            with_edge(env, |edge| {
                edge.reports.sent(&fates);
                match fates {
                    Ok(fates) => reports::answer(&mut edge.reports, batch, &fates),
                    Err(why) => gate::not_counted(&why),
                }
            })
        }
    };
    convert::respond_with(&reply, false)
}

/// A short body; `None`: it is longer than it may be.
async fn body(request: &web_sys::Request, limit: usize) -> Result<Option<Vec<u8>>, JsValue> {
    // Limits are far below 4 GiB.
    let body = JsFuture::from(read_body(request, limit as u32)?).await?;
    Ok((!body.is_null()).then(|| body.unchecked_ref::<Uint8Array>().to_vec()))
}

/// Signs an answer, if there is a key. One that cannot be signed is sent as it is: whoever wants a
/// signature refuses it.
async fn signed(answer: Answer, incoming: &Incoming, env: &Env) -> Result<JsValue, JsValue> {
    let prepared = with_edge(env, |edge| {
        is_signed(edge, &answer)
            .then(|| prepare(edge, &answer, incoming.path(), now()))
            .flatten()
    });
    let Some(unsigned) = prepared else {
        return with_edge(env, |edge| {
            convert::unsigned(edge, answer, incoming.is_head())
        });
    };
    let base = unsigned.message.base(&unsigned.params);
    match sign::sign(&base).await {
        Ok(signature) => with_edge(env, |edge| {
            convert::respond_signed(edge, &answer, unsigned, &signature, incoming)
        }),
        Err(e) => {
            let why = format!("cannot be used: {}", kv::message(&e));
            with_edge(env, |edge| edge.signing = Signing::Broken(why));
            convert::respond_with(&unsigned.reply, incoming.is_head())
        }
    }
}

/// Reads KV and takes in what it said.
async fn load(env: &Env, ctx: &JsValue) {
    if with_edge(env, |edge| edge.signing == Signing::Unread) {
        let signing = sign::open(env).await;
        with_edge(env, |edge| {
            edge.signing = signing;
            edge.streams = stream::is_bound(env);
        });
    }
    let ticket = with_edge(env, Edge::begin);
    let read = kv::read(env).await;
    let (poke, wants_last_good) = with_edge(env, |edge| {
        edge.apply(read, ticket, now());
        (edge.take_poke(now()), edge.wants_last_good())
    });
    if poke {
        let env = env.clone();
        wait_until(ctx.clone(), async move { gate::poke(&env).await });
    }
    if wants_last_good && let Some(text) = gate::last_good(env).await {
        with_edge(env, |edge| edge.apply_last_good(&text));
    }
}

/// What `[vars]` say, and what is wrong with them and the secrets.
fn defaults(env: &Env) -> (Defaults, Vec<Problem>) {
    let (defaults, mut problems) = Defaults::from_vars(|name| variable(env, name));
    problems.extend(secret_problems(env));
    (defaults, problems)
}

/// What is wrong with the secrets, for `/health`.
fn secret_problems(env: &Env) -> Option<Problem> {
    let token = variable(env, "ADMIN_TOKEN")?;
    (token.len() < MIN_ADMIN_BYTES).then(|| Problem {
        path: "/ADMIN_TOKEN".to_owned(),
        message: format!("is not used: it must be at least {MIN_ADMIN_BYTES} characters long"),
    })
}

fn with_edge<T>(env: &Env, f: impl FnOnce(&mut Edge) -> T) -> T {
    EDGE.with_borrow_mut(|edge| {
        f(edge.get_or_insert_with(|| {
            let (defaults, problems) = defaults(env);
            Edge::new(defaults, problems)
        }))
    })
}

/// A variable's text; `None` if there is none. wrangler.toml also takes numbers, booleans and tables:
/// those are read as the JSON that they are, so that one in the wrong place is not passed over.
fn variable(env: &Env, name: &str) -> Option<String> {
    let value = Reflect::get(env, &name.into()).ok()?;
    let json = || JSON::stringify(&value).ok()?.as_string();
    value.as_string().or_else(json)
}

fn now() -> Timestamp {
    // Whole milliseconds, far below 2^53.
    Timestamp::from_millis(js_sys::Date::now() as i64)
}
