//! The shell: it reads bindings, asks [`crate::api`] what to answer, and carries that out.
//!
//! Most requests are answered without an `await`, from values kept per isolate, so [`fetch`] is a
//! plain function that returns a `Response`; it returns a promise only where it has to wait.

mod convert;
mod kv;

use std::cell::RefCell;

use js_sys::{JSON, Reflect};
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{Context, Env, worker_sys};

use crate::api::edge::{Edge, Next};
use crate::api::handle::handle;
use crate::core::defaults::Defaults;
use crate::core::time::Timestamp;

use convert::{Incoming, respond};

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
    let incoming = Incoming::new(request);
    match with_edge(&env, |edge| edge.next(now())) {
        Next::Load => Ok(future_to_promise(async move {
            load(&env).await;
            answer(&incoming, &env)
        })
        .into()),
        Next::Refresh => {
            let ctx: worker_sys::Context = ctx.unchecked_into();
            let background = env.clone();
            Context::new(ctx).wait_until(async move { load(&background).await });
            answer(&incoming, &env)
        }
        Next::Serve => answer(&incoming, &env),
    }
}

#[inline(never)]
fn answer(incoming: &Incoming, env: &Env) -> Result<JsValue, JsValue> {
    let answer = with_edge(env, |edge| {
        let answer = handle(edge, incoming, now());
        respond(edge, answer, incoming.is_head())
    })?;
    match answer {
        Ok(response) => Ok(response),
        Err(path) => {
            Ok(future_to_promise(convert::asset(incoming.clone(), env.clone(), path)).into())
        }
    }
}

/// Reads KV and takes in what it said.
async fn load(env: &Env) {
    let ticket = with_edge(env, Edge::begin);
    let read = kv::read(env).await;
    with_edge(env, |edge| edge.apply(read, ticket, now()));
}

fn with_edge<T>(env: &Env, f: impl FnOnce(&mut Edge) -> T) -> T {
    EDGE.with_borrow_mut(|edge| {
        f(edge.get_or_insert_with(|| {
            let var = |name: &str| variable(env, name);
            let (defaults, problems) = Defaults::from_vars(var);
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
