//! Between the edge and the ledger: calls are forwarded, with limits on what they may cost.

use std::time::Duration;

use futures_util::future::join_all;
use js_sys::{Reflect, Uint8Array};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;
use worker::Env;
use worker::wasm_bindgen_futures::JsFuture;

use crate::api::control::{max_body, throttle};
use crate::api::edge::Current;
use crate::api::reply::Reply;
use crate::api::request::Request;
use crate::core::evidence::series::{Bar, Chart};
use crate::core::evidence::{Observation, Query, Row, SHARDS, add_rows};
use crate::core::experiment::tally::{Cell, Count, Counts, Seen};
use crate::wire::looks::LedgerLook;
use crate::wire::problem::ProblemType;

use super::convert::{Incoming, JsInit, respond_with};
use super::evidence::{ADD, CHART, READ as READ_EVIDENCE};
use super::js::{Fetcher, Namespace, RateLimit, binding, object, read_body};
use super::kv::{settled, within};
use super::ledger::{CURRENT, HISTORY, LAST_GOOD, LOOK, TICK};
use super::tally::{COUNT, READ};

/// How long the ledger may take over a call. A stop waits for KV.
const CALL_LIMIT: Duration = Duration::from_secs(12);

/// How long a look at the ledger may take: `/health` is asked by monitors that do not wait.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// The one instance.
fn ledger(env: &Env) -> Option<Fetcher> {
    binding::<Namespace>(env, "LEDGER")?
        .get_by_name("main")
        .ok()
}

/// Forwards a call and gives its answer.
pub async fn call(
    incoming: &Incoming,
    request: &web_sys::Request,
    env: &Env,
) -> Result<JsValue, JsValue> {
    let head = incoming.is_head();
    let refuse = |reply: Reply| respond_with(&reply, head);
    if let Some(key) = throttle::write_key(incoming)
        && is_over(env, "WRITE_LIMIT", key).await
    {
        return refuse(throttle::too_many("Too many changes with this token."));
    }
    let limit = max_body(incoming.path());
    // What reads has no body, whatever it sends; the runtime would not forward one.
    let has_body = !matches!(incoming.method(), "GET" | "HEAD");
    let body = match has_body {
        // A limit is far below 4 GiB.
        true => JsFuture::from(read_body(request, limit as u32)?).await?,
        false => Uint8Array::new_with_length(0).into(),
    };
    if body.is_null() {
        let detail = format!("At most {limit} bytes are taken here; send less at a time.");
        return refuse(Reply::sealed_problem(ProblemType::BodyTooLarge, &detail));
    }
    let Some(stub) = ledger(env) else {
        return refuse(unavailable(
            "The binding LEDGER is missing; see wrangler.toml.",
        ));
    };
    let options = object([
        ("method", incoming.method().into()),
        ("headers", request.headers().into()),
    ]);
    if body.unchecked_ref::<Uint8Array>().length() > 0 {
        Reflect::set(&options, &"body".into(), &body)?;
    }
    let asked = settled(stub.fetch(incoming.url(), &options));
    let response: web_sys::Response = match within(CALL_LIMIT, asked).await {
        Some(Ok(response)) => response.unchecked_into(),
        _ => {
            return refuse(unavailable(
                "The ledger did not answer. The change may have been made: look before you repeat \
                 it, or repeat it with the same Idempotency-Key.",
            ));
        }
    };
    if response.status() == 401
        && let Some(key) = throttle::address_key(incoming)
        && is_over(env, "AUTH_LIMIT", key).await
    {
        return refuse(throttle::too_many(
            "Too many failed attempts from this address.",
        ));
    }
    // As a whole, so that the answer has a length.
    let body = JsFuture::from(response.array_buffer()?).await?;
    let is_bodiless = head || response.status() == 204;
    let body = if is_bodiless { JsValue::NULL } else { body };
    JsInit::new(response.status(), &response.headers())?.response(&body)
}

fn unavailable(detail: &str) -> Reply {
    Reply::sealed_problem(ProblemType::LedgerUnavailable, detail).with("Retry-After", "5")
}

/// Whether the platform says that a key has had its share. Where it has no such limit, or fails,
/// nobody is refused.
async fn is_over(env: &Env, name: &str, key: String) -> bool {
    let Some(limiter) = binding::<RateLimit>(env, name) else {
        return false;
    };
    let asked = limiter.limit(&object([("key", key.into())]));
    let outcome = within(LOOK_LIMIT, settled(asked)).await;
    let Some(Ok(outcome)) = outcome else {
        return false;
    };
    Reflect::get(&outcome, &"success".into()).is_ok_and(|success| success.as_bool() == Some(false))
}

/// What the ledger says of itself.
///
/// # Errors
/// Why it says nothing.
pub async fn look(env: &Env) -> Result<LedgerLook, String> {
    let text = ask(env, LOOK).await?;
    serde_json::from_str(&text).map_err(|_| "its answer cannot be read".to_owned())
}

/// The configuration that the ledger published last.
pub async fn last_good(env: &Env) -> Option<String> {
    ask(env, LAST_GOOD).await.ok()
}

/// What anybody may know of what happened.
pub async fn history(env: &Env) -> Option<String> {
    ask(env, HISTORY).await.ok()
}

/// The tally of an experiment.
fn tally(env: &Env, name: &str) -> Option<Fetcher> {
    binding::<Namespace>(env, "TALLY")?.get_by_name(name).ok()
}

/// Counts what was seen.
///
/// # Errors
/// Why it could not be.
pub async fn count(env: &Env, name: &str, seen: &[Seen]) -> Result<(), String> {
    // Structs of strings and numbers always serialize.
    let body = serde_json::to_string(seen).unwrap_or_default();
    ask_stub(tally(env, name), "TALLY", COUNT, Some(&body))
        .await
        .map(|_| ())
}

/// What was counted of an experiment.
///
/// # Errors
/// Why it cannot be said.
pub async fn counts(env: &Env, name: &str) -> Result<Counts, String> {
    let text = ask_stub(tally(env, name), "TALLY", READ, None).await?;
    let list: Vec<(Cell, Count)> =
        serde_json::from_str(&text).map_err(|_| "its answer cannot be read".to_owned())?;
    let mut counts = Counts::default();
    for (cell, count) in list {
        counts.0.insert(cell, count);
    }
    Ok(counts)
}

/// One of the objects of the evidence.
fn shard(env: &Env, number: u64) -> Option<Fetcher> {
    let name = format!("evidence-{number}");
    binding::<Namespace>(env, "EVIDENCE")?
        .get_by_name(&name)
        .ok()
}

/// Has observations counted. Gives a letter for each, in order: see [`crate::core::evidence::Fate`].
///
/// # Errors
/// Why not all of them could be. What was counted is known when it is sent again.
pub async fn record(env: &Env, observations: &[Observation]) -> Result<Vec<u8>, String> {
    let asked = (0..SHARDS).map(async |number| {
        let own: Vec<_> = observations
            .iter()
            .filter(|o| o.shard() == number)
            .collect();
        if own.is_empty() {
            return Ok(String::new());
        }
        // Structs of strings and numbers always serialize.
        let body = serde_json::to_string(&own).unwrap_or_default();
        ask_stub(shard(env, number), "EVIDENCE", ADD, Some(&body)).await
    });
    let mut letters = Vec::new();
    for answer in join_all(asked).await {
        letters.push(answer?.into_bytes().into_iter());
    }
    let of = |o: &Observation| letters.get_mut(o.shard() as usize)?.next();
    let fates: Option<Vec<u8>> = observations.iter().map(of).collect();
    fates.ok_or_else(|| "its answer cannot be read".to_owned())
}

/// What was counted in each span of a query. The objects are asked at once; when one does not
/// answer there is no evidence, because half of it may say the opposite of the whole.
///
/// # Errors
/// Why it cannot be said.
pub async fn evidence(env: &Env, query: &Query) -> Result<Vec<Vec<Row>>, String> {
    let answers: Vec<Vec<Vec<Row>>> = shards(env, READ_EVIDENCE, query).await?;
    let mut sums: Vec<Vec<Row>> = vec![Vec::new(); query.spans.len()];
    for spans in answers {
        if spans.len() != sums.len() {
            return Err("its answer cannot be read".to_owned());
        }
        for (sum, rows) in sums.iter_mut().zip(spans) {
            add_rows(sum, rows);
        }
    }
    Ok(sums)
}

/// What was counted in each part of a chart: that of every object, in any order. None where one does not answer.
///
/// # Errors
/// Why it cannot be said.
pub async fn chart(env: &Env, chart: &Chart) -> Result<Vec<Bar>, String> {
    let answers: Vec<Vec<Bar>> = shards(env, CHART, chart).await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Asks every object of the evidence the same, at once.
async fn shards<T: DeserializeOwned>(
    env: &Env,
    path: &str,
    query: &impl Serialize,
) -> Result<Vec<T>, String> {
    // Structs of strings and numbers always serialize.
    let body = serde_json::to_string(query).unwrap_or_default();
    let asked =
        (0..SHARDS).map(|number| ask_stub(shard(env, number), "EVIDENCE", path, Some(&body)));
    let mut read = Vec::new();
    for answer in join_all(asked).await {
        let answer = serde_json::from_str(&answer?);
        read.push(answer.map_err(|_| "its answer cannot be read".to_owned())?);
    }
    Ok(read)
}

/// The answer to a report that could not be counted.
pub fn not_counted(why: &str) -> Reply {
    let detail = format!("Nothing was counted: {why}. Try again in a moment.");
    Reply::problem(ProblemType::TallyUnavailable, &detail).with("Retry-After", "5")
}

/// The answer to whoever reports, or connects to a stream, too often.
pub async fn reports_limited(incoming: &Incoming, env: &Env) -> Option<Reply> {
    let key = throttle::address_key(incoming)?;
    let over = is_over(env, "REPORT_LIMIT", key).await;
    over.then(|| throttle::too_many("Too many of these from this address.").open())
}

/// The answer to whoever evaluates too much.
pub async fn evaluations_limited(incoming: &Incoming, env: &Env) -> Option<Reply> {
    let key = throttle::client_key(incoming)?;
    let over = is_over(env, "OFREP_LIMIT", key).await;
    over.then(|| {
        throttle::too_many("Too many evaluations by this client.")
            .open()
            .with("Access-Control-Expose-Headers", "Retry-After")
    })
}

/// What is in force, whatever KV has yet.
pub async fn current(env: &Env) -> Option<Current> {
    serde_json::from_str(&ask(env, CURRENT).await.ok()?).ok()
}

/// Has the ledger look at KV: somebody edited it.
pub async fn poke(env: &Env) {
    // It looks by itself within a minute.
    let _ = ask(env, TICK).await;
}

async fn ask(env: &Env, path: &str) -> Result<String, String> {
    ask_stub(ledger(env), "LEDGER", path, None).await
}

async fn ask_stub(
    stub: Option<Fetcher>,
    name: &str,
    path: &str,
    body: Option<&str>,
) -> Result<String, String> {
    let stub = stub.ok_or_else(|| format!("the binding {name} is missing; see wrangler.toml"))?;
    let body = body.map_or(JsValue::UNDEFINED, JsValue::from_str);
    let options = object([("method", "POST".into()), ("body", body)]);
    let asked = async {
        let response = settled(stub.fetch(&format!("https://object{path}"), &options)).await?;
        let response: web_sys::Response = response.unchecked_into();
        let text = JsFuture::from(response.text()?).await?;
        Ok::<_, JsValue>((response.ok(), text.as_string().unwrap_or_default()))
    };
    match within(LOOK_LIMIT, asked).await {
        Some(Ok((true, text))) => Ok(text),
        Some(Ok((false, _))) => Err("it has nothing to say".to_owned()),
        Some(Err(_)) => Err("it failed".to_owned()),
        None => Err("it did not answer in time".to_owned()),
    }
}
