//! The runtime's objects, as far as they are used. Bound here and not through the `worker` crate
//! where that would bring its own conversions along: every byte of wasm is loaded on a cold start.

use std::future::Future;
use std::pin::Pin;

use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::future_to_promise;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = Response)]
    pub type JsResponse;

    #[wasm_bindgen(constructor, js_class = "Response", catch)]
    pub fn new(body: &JsValue, init: &JsValue) -> Result<JsResponse, JsValue>;

    /// Something that answers requests: the static files, an object's stub.
    pub type Fetcher;

    #[wasm_bindgen(method, catch)]
    pub fn fetch(this: &Fetcher, url: &str, options: &Object) -> Result<Promise, JsValue>;

    /// The global function: requests to other hosts.
    #[wasm_bindgen(js_name = fetch, catch)]
    pub fn fetch_url(url: &str, options: &Object) -> Result<Promise, JsValue>;

    /// A namespace of Durable Objects.
    pub type Namespace;

    #[wasm_bindgen(method, catch, js_name = getByName)]
    pub fn get_by_name(this: &Namespace, name: &str) -> Result<Fetcher, JsValue>;

    /// A namespace of Workers KV.
    pub type Kv;

    #[wasm_bindgen(method, catch, js_name = getWithMetadata)]
    pub fn get_with_metadata(this: &Kv, key: &str, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn put(this: &Kv, key: &str, value: &str, options: &Object) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub fn delete(this: &Kv, key: &str) -> Result<Promise, JsValue>;

    /// A rate limit's binding.
    pub type RateLimit;

    #[wasm_bindgen(method, catch)]
    pub fn limit(this: &RateLimit, options: &Object) -> Result<Promise, JsValue>;

    /// What a Durable Object's constructor is given first.
    #[derive(Clone)]
    pub type ObjectState;

    #[wasm_bindgen(method, getter)]
    pub fn storage(this: &ObjectState) -> Storage;

    /// A Durable Object's storage.
    #[derive(Clone)]
    pub type Storage;

    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub fn set_alarm(this: &Storage, millis: f64) -> Result<Promise, JsValue>;
}

#[wasm_bindgen(inline_js = "
// Names and values in turn, one a line: strings cost more for each that crosses than for their length.
export function headersOf(lines) {
  const headers = new Headers();
  const all = lines.split('\\n');
  for (let i = 0; i + 1 < all.length; i += 2) {
    headers.set(all[i], all[i + 1]);
  }
  return headers;
}

export function query(storage, text, values) {
  return storage.sql.exec(text, ...values).raw().toArray();
}

// All or nothing: a statement that throws takes back those before it.
export function writeAll(storage, statements) {
  storage.transactionSync(() => {
    for (const [text, values] of statements) {
      storage.sql.exec(text, ...values);
    }
  });
}

// The body, or null when it is longer than allowed. A megabyte more is read and dropped, so that most
// who send too much see the answer and not a broken connection.
export async function readBody(request, limit) {
  if (!request.body) {
    return new Uint8Array();
  }
  // What has a length is no longer than that.
  const said = request.headers.get('content-length');
  if (said !== null && Number(said) <= limit) {
    return new Uint8Array(await request.arrayBuffer());
  }
  const chunks = [];
  let length = 0;
  const reader = request.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    length += value.length;
    if (length > limit + 0x100000) {
      await reader.cancel();
      break;
    }
    if (length <= limit) {
      chunks.push(value);
    }
  }
  if (length > limit) {
    return null;
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
")]
extern "C" {
    #[wasm_bindgen(catch)]
    pub fn query(storage: &Storage, text: &str, values: &Array) -> Result<Array, JsValue>;

    #[wasm_bindgen(catch, js_name = headersOf)]
    pub fn headers_of(lines: &str) -> Result<web_sys::Headers, JsValue>;

    #[wasm_bindgen(catch, js_name = writeAll)]
    pub fn write_all(storage: &Storage, statements: &Array) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = readBody)]
    pub fn read_body(request: &web_sys::Request, limit: u32) -> Result<Promise, JsValue>;
}

/// A binding of the environment, if it is there.
pub fn binding<T: JsCast>(env: &JsValue, name: &str) -> Option<T> {
    let value = Reflect::get(env, &name.into()).ok()?;
    value.is_object().then(|| value.unchecked_into())
}

/// An object of these entries.
pub fn object<const N: usize>(entries: [(&str, JsValue); N]) -> Object {
    let object = Object::new();
    for (key, value) in entries {
        // A plain object takes every property.
        let _ = Reflect::set(&object, &key.into(), &value);
    }
    object
}

/// A promise of what a future gives. Boxed, so that the machinery behind it is there once and not
/// for each future.
pub fn promise(future: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let boxed: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> = Box::pin(future);
    future_to_promise(boxed)
}
