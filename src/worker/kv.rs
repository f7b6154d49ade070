//! The two keys of the namespace `ROLLOUT`.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::{Either, join, select};
use js_sys::{Promise, Reflect};
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::{Delay, Env};

use crate::api::edge::{Read, ReadError};
use crate::core::ledger::kv::{Metadata, Put, Value};

use super::js::{Kv, binding, object};

/// For how long Cloudflare's edge may answer from its own copy, in seconds; less is refused.
const CACHE_TTL: u32 = 30;

/// A requester waits at most this long, and only in an isolate that has never read anything.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What a future gives, unless that takes too long.
pub async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let boxed: Pin<Box<dyn Future<Output = T> + '_>> = Box::pin(future);
    match select(boxed, Delay::from(limit)).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}

/// Reads both keys at once.
pub async fn read(env: &Env) -> Read {
    let Some(kv) = binding::<Kv>(env, "ROLLOUT") else {
        return failed(&ReadError::NoBinding);
    };
    let both = join(get(&kv, "config"), get(&kv, "emergency-stop"));
    match within(TIMEOUT, both).await {
        Some((config, stop)) => Read { config, stop },
        None => failed(&ReadError::Timeout),
    }
}

fn failed(error: &ReadError) -> Read {
    Read {
        config: Err(error.clone()),
        stop: Err(error.clone()),
    }
}

async fn get(kv: &Kv, key: &str) -> Result<Option<Value>, ReadError> {
    let options = object([("type", "text".into()), ("cacheTtl", CACHE_TTL.into())]);
    let asked = kv.get_with_metadata(key, &options);
    let found = settled(asked).await.map_err(|_| ReadError::Failed)?;
    let field = |of: &JsValue, name: &str| Reflect::get(of, &name.into()).ok();
    let Some(text) = field(&found, "value").and_then(|value| value.as_string()) else {
        return Ok(None);
    };
    // Whatever another tool wrote there is no metadata of the ledger's.
    let metadata = field(&found, "metadata")
        .filter(JsValue::is_object)
        .and_then(|m| {
            Some(Metadata {
                revision: field(&m, "revision")?.as_f64()? as u64,
                hash: field(&m, "hash")?.as_string()?,
            })
        });
    Ok(Some(Value { text, metadata }))
}

/// Carries out a write. `late` is called when it ends after it was given up.
///
/// # Errors
/// Why KV did not take it.
pub async fn write(env: &Env, put: &Put, late: impl FnOnce() + 'static) -> Result<(), String> {
    let kv = binding::<Kv>(env, "ROLLOUT").ok_or("the KV binding ROLLOUT is missing")?;
    let asked = match &put.value {
        None => kv.delete(put.key),
        Some(value) => {
            let metadata = object([
                // Below 2^53.
                ("revision", JsValue::from_f64(put.metadata.revision as f64)),
                ("hash", JsValue::from_str(&put.metadata.hash)),
            ]);
            kv.put(put.key, value, &object([("metadata", metadata.into())]))
        }
    };
    let refused = |e: JsValue| format!("KV refused a write: {}", message(&e));
    let asked = asked.map_err(refused)?;
    match within(TIMEOUT, settled(Ok(asked.clone()))).await {
        Some(result) => result.map(|_| ()).map_err(refused),
        None => {
            spawn_local(async move {
                let _ = settled(Ok(asked)).await;
                late();
            });
            Err("KV did not take a write in time".to_owned())
        }
    }
}

/// What a promise gives; that it could not even be had is an error like any other.
pub async fn settled(promise: Result<Promise, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(promise?).await
}

/// What an error says.
pub fn message(error: &JsValue) -> String {
    let text = Reflect::get(error, &"message".into()).ok();
    text.and_then(|text| text.as_string())
        .unwrap_or_else(|| "unknown".to_owned())
}
