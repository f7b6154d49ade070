//! Event streams: each client's is held by the Worker that it connected to, which waits on a WebSocket of an object
//! that sleeps in between (hibernation). A change wakes the objects, not the connections.

use js_sys::{Array, Promise};
use wasm_bindgen::prelude::*;
use worker::Env;
use worker::wasm_bindgen_futures::JsFuture;

use crate::api::reply::Reply;
use crate::api::stream::{HEADERS, PING_MS, SHARDS, hello};
use crate::wire::problem::ProblemType;

use super::convert::{Incoming, respond_with};
use super::js::{Fetcher, Namespace, ObjectState, binding, object, promise};
use super::kv::settled;

#[wasm_bindgen(inline_js = "
// In the object: a socket that outlives its sleep.
export function connectSocket(state) {
  const [client, server] = Object.values(new WebSocketPair());
  state.acceptWebSocket(server);
  return new Response(null, { status: 101, webSocket: client });
}

export function tellSockets(state, text) {
  for (const socket of state.getWebSockets()) {
    try {
      socket.send(text);
    } catch {
      // It is closing.
    }
  }
}

// In the Worker: what the socket says, as a stream. Nothing is kept for a client that does not read.
export function eventStream(response, hello, headers, pingMs) {
  const socket = response.webSocket;
  if (!socket) {
    throw new Error('no socket');
  }
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  let waiting = 0;
  const end = () => {
    clearInterval(timer);
    writer.close().catch(() => {});
    try {
      socket.close(1000);
    } catch {
      // It was closed.
    }
  };
  const write = (text) => {
    waiting += 1;
    if (waiting > 100) {
      end();
      return;
    }
    writer.write(encoder.encode(text)).then(() => (waiting -= 1), end);
  };
  const timer = setInterval(() => write(': \\n\\n'), pingMs);
  socket.accept();
  socket.addEventListener('message', ({ data }) => write(data));
  socket.addEventListener('close', end);
  socket.addEventListener('error', end);
  writer.closed.catch(end);
  write(hello);
  return new Response(readable, { headers });
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = connectSocket)]
    fn connect_socket(state: &ObjectState) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = tellSockets)]
    fn tell_sockets(state: &ObjectState, text: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = eventStream)]
    fn event_stream(
        response: &JsValue,
        hello: &str,
        headers: &Array,
        ping_ms: u32,
    ) -> Result<JsValue, JsValue>;
}

const CONNECT: &str = "https://object/__stream/connect";
const TELL: &str = "https://object/__stream/tell";

/// The class that `wrangler.toml` binds as `STREAM`.
#[wasm_bindgen(js_name = Stream)]
pub struct StreamObject {
    state: ObjectState,
}

#[wasm_bindgen(js_class = Stream)]
impl StreamObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: ObjectState, _env: JsValue) -> Self {
        Self { state }
    }

    pub fn fetch(&self, request: web_sys::Request) -> Promise {
        let state = self.state.clone();
        promise(async move {
            if request.url() == CONNECT {
                return connect_socket(&state);
            }
            let text = JsFuture::from(request.text()?).await?;
            tell_sockets(&state, &text.as_string().unwrap_or_default())?;
            let reply = Reply::new(200, "text/plain", "no-store", String::new());
            respond_with(&reply, false)
        })
    }

    /// Nothing is asked through these.
    #[wasm_bindgen(js_name = webSocketMessage)]
    pub fn web_socket_message(&self) {}

    /// The runtime answers a close by itself.
    #[wasm_bindgen(js_name = webSocketClose)]
    pub fn web_socket_close(&self) {}

    #[wasm_bindgen(js_name = webSocketError)]
    pub fn web_socket_error(&self) {}
}

fn shard(env: &Env, number: u32) -> Option<Fetcher> {
    let namespace = binding::<Namespace>(env, "STREAM")?;
    namespace.get_by_name(&format!("shard-{number}")).ok()
}

/// Whether there are streams.
pub fn is_bound(env: &Env) -> bool {
    binding::<Namespace>(env, "STREAM").is_some()
}

/// Answers a client that wants to be told.
pub async fn connect(env: &Env, incoming: &Incoming) -> Result<JsValue, JsValue> {
    let connected = async {
        let number = (js_sys::Math::random() * f64::from(SHARDS)) as u32;
        let stub = shard(env, number).ok_or("the binding STREAM is missing; see wrangler.toml")?;
        let headers = object([("Upgrade", "websocket".into())]);
        let asked = stub.fetch(CONNECT, &object([("headers", headers.into())]));
        let response = settled(asked).await?;
        let headers = HEADERS
            .iter()
            .map(|(name, value)| JsValue::from(Array::of2(&(*name).into(), &(*value).into())));
        event_stream(&response, &hello(incoming), &headers.collect(), PING_MS)
    };
    let connected: Result<JsValue, JsValue> = connected.await;
    connected.or_else(|_| {
        let detail = "There are no event streams right now. Ask again from time to time instead.";
        let reply = Reply::problem(ProblemType::StreamUnavailable, detail);
        respond_with(&reply.with("Retry-After", "30"), false)
    })
}

/// Tells every client.
pub async fn tell(env: &Env, text: &str) {
    for number in 0..SHARDS {
        let Some(stub) = shard(env, number) else {
            return;
        };
        let options = object([("method", "POST".into()), ("body", text.into())]);
        // Whoever is missed asks again by itself, later.
        let _ = settled(stub.fetch(TELL, &options)).await;
    }
}
