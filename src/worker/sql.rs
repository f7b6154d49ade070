//! What the Durable Objects share: their SQLite, and how those that count answer the Worker.

use js_sys::Array;
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

use crate::api::ports::StoreError;
use crate::api::reply::Reply;
use crate::api::request::Request;
use crate::core::time::Timestamp;

use super::convert::{Incoming, respond_with};
use super::js::{Storage, query, write_all};
use super::kv::message;

pub type Rows = Vec<Vec<JsValue>>;

/// What a statement gives.
pub fn ask<const N: usize>(
    storage: &Storage,
    text: &str,
    values: [JsValue; N],
) -> Result<Rows, StoreError> {
    ask_with(storage, text, &values.iter().collect())
}

/// The same where it is only known at run time how many values there are.
pub fn ask_with(storage: &Storage, text: &str, values: &Array) -> Result<Rows, StoreError> {
    let rows = query(storage, text, values).map_err(failed)?;
    Ok(rows.iter().map(|row| Array::from(&row).to_vec()).collect())
}

fn failed(error: JsValue) -> StoreError {
    StoreError(message(&error))
}

/// Numbers of ours stay below 2^53.
pub fn number(value: u64) -> JsValue {
    JsValue::from_f64(value as f64)
}

pub fn time(value: Timestamp) -> JsValue {
    JsValue::from_f64(value.millis() as f64)
}

pub fn as_u64(value: Option<&JsValue>) -> u64 {
    value.and_then(JsValue::as_f64).unwrap_or(0.0) as u64
}

pub fn as_time(value: Option<&JsValue>) -> Timestamp {
    Timestamp::from_millis(value.and_then(JsValue::as_f64).unwrap_or(0.0) as i64)
}

/// `None` where there is nothing.
pub fn some_time(value: Option<&JsValue>) -> Option<Timestamp> {
    let value = value.filter(|value| value.as_f64().is_some())?;
    Some(as_time(Some(value)))
}

pub fn as_text(value: Option<&JsValue>) -> String {
    value.and_then(JsValue::as_string).unwrap_or_default()
}

/// Statements that are carried out together, or not at all.
#[derive(Default)]
pub struct Writes(Array);

impl Writes {
    pub fn add<const N: usize>(&mut self, text: &str, values: [JsValue; N]) {
        let values = values.iter().collect::<Array>();
        self.0.push(&Array::of2(&text.into(), &values));
    }

    pub fn run(self, storage: &Storage) -> Result<(), StoreError> {
        write_all(storage, &self.0).map_err(failed)
    }
}

/// Answers the Worker: `f` is given the path and the body. Why something failed is the operator's to know.
pub async fn answered(
    name: &str,
    request: &web_sys::Request,
    f: impl FnOnce(&str, &str) -> Result<String, StoreError>,
) -> Result<JsValue, JsValue> {
    let text = JsFuture::from(request.text()?).await?;
    let text = text.as_string().unwrap_or_default();
    let reply = match f(Incoming::new(request).path(), &text) {
        Ok(body) => Reply::new(200, "application/json", "no-store", body),
        Err(e) => {
            worker::console_error!("{name}: {e}");
            Reply::new(503, "text/plain", "no-store", String::new())
        }
    };
    respond_with(&reply, false)
}
