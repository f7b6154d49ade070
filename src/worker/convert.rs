//! Between the runtime's values and ours.
//!
//! What crosses from Rust to JavaScript for each request is kept small: a kept reply's body and
//! init object are made once per snapshot and live on the JavaScript side. (A `Response` itself
//! cannot be kept: its body belongs to the request it was made in.)

use std::cell::RefCell;

use js_sys::{ArrayBuffer, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::Env;
use worker::wasm_bindgen_futures::JsFuture;

use crate::api::edge::Edge;
use crate::api::reply::{Answer, Reply, ReplyId, asset_headers};
use crate::api::request::Request;
use crate::api::signing::{Unsigned, is_signed};
use crate::auth::signature::RENEW_MS;
use crate::core::time::Timestamp;
use crate::wire::problem::ProblemType;

use super::js::{Fetcher, JsResponse, binding, headers_of, object};

/// A request, with what every handler asks for already read.
#[derive(Clone)]
pub struct Incoming {
    headers: web_sys::Headers,
    method: String,
    url: String,
}

impl Incoming {
    pub fn new(request: &web_sys::Request) -> Self {
        Self {
            headers: request.headers(),
            method: request.method(),
            url: request.url(),
        }
    }

    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

impl Request for Incoming {
    fn method(&self) -> &str {
        &self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).ok().flatten()
    }
}

/// The JavaScript side of a kept reply.
struct Ready {
    body: JsValue,
    init: JsValue,
    init_not_modified: JsValue,
    signatures: Vec<Signature>,
}

/// What a kept reply is sent with where answers are signed.
struct Signature {
    path: String,
    not_modified: bool,
    created: Timestamp,
    init: JsValue,
}

/// A kept reply is asked for by a few paths: `/`, `/install.sh`; a release's name, its version.
const MAX_SIGNATURES: usize = 16;

impl Ready {
    fn new(reply: &Reply) -> Result<Self, JsValue> {
        let headers = headers(reply)?;
        Ok(Self {
            // Bytes: the runtime would encode a string anew for each response.
            body: Uint8Array::from(reply.body.as_bytes()).into(),
            init: init(reply.status, &headers)?,
            init_not_modified: init(304, &headers)?,
            signatures: Vec::new(),
        })
    }
}

#[derive(Default)]
struct Cache {
    generation: u32,
    ready: Vec<Option<Ready>>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

/// What is left to do for an answer that cannot be given at once.
pub enum Later {
    Asset(String),
    Control,
    AskLedger,
    AskHistory,
    Evaluate,
    Report,
    Evidence,
    Stream,
    Sign(Answer),
}

/// Makes the response, if that takes no await.
pub fn respond(
    edge: &Edge,
    answer: Answer,
    incoming: &Incoming,
    now: Timestamp,
) -> Result<Result<JsValue, Later>, JsValue> {
    if is_signed(edge, &answer) {
        return Ok(match signed_before(edge, &answer, incoming, now)? {
            Some(response) => Ok(response),
            None => Err(Later::Sign(answer)),
        });
    }
    match answer {
        Answer::Asset(path) => Ok(Err(Later::Asset(path))),
        Answer::Control => Ok(Err(Later::Control)),
        Answer::AskLedger => Ok(Err(Later::AskLedger)),
        Answer::AskHistory => Ok(Err(Later::AskHistory)),
        Answer::Evaluate => Ok(Err(Later::Evaluate)),
        Answer::Report => Ok(Err(Later::Report)),
        Answer::Evidence => Ok(Err(Later::Evidence)),
        Answer::Stream => Ok(Err(Later::Stream)),
        answer => unsigned(edge, answer, incoming.is_head()).map(Ok),
    }
}

/// Makes the response to a `HEAD`, if `head`, or else to any other method.
pub fn unsigned(edge: &Edge, answer: Answer, head: bool) -> Result<JsValue, JsValue> {
    match answer {
        Answer::Kept(id) if head => match edge.kept.reply(id) {
            Some(reply) => empty(reply),
            None => internal(),
        },
        Answer::Fresh(reply) if head => empty(&reply),
        Answer::Kept(id) => kept(edge, id, |ready| JsResponse::new(&ready.body, &ready.init)),
        Answer::NotModified(id) => kept(edge, id, |ready| {
            JsResponse::new(&JsValue::NULL, &ready.init_not_modified)
        }),
        Answer::Fresh(reply) => fresh(&reply),
        // Those were taken apart before.
        Answer::Asset(_)
        | Answer::Control
        | Answer::AskLedger
        | Answer::AskHistory
        | Answer::Evaluate
        | Answer::Report
        | Answer::Evidence
        | Answer::Stream => internal(),
    }
}

/// The response with a signature made lately, if there is one.
fn signed_before(
    edge: &Edge,
    answer: &Answer,
    incoming: &Incoming,
    now: Timestamp,
) -> Result<Option<JsValue>, JsValue> {
    let (Answer::Kept(id) | Answer::NotModified(id)) = answer else {
        return Ok(None);
    };
    if incoming.is_head() {
        return Ok(None);
    }
    let not_modified = matches!(answer, Answer::NotModified(_));
    let path = incoming.path();
    with_ready(edge, *id, |ready| {
        let mut known = ready.signatures.iter();
        let found = known.find(|s| {
            // In both directions: a clock that was set back must not keep one beyond its time.
            let age = now.apart(s.created);
            s.not_modified == not_modified && s.path == path && age < RENEW_MS
        });
        let body = if not_modified {
            &JsValue::NULL
        } else {
            &ready.body
        };
        let response = found.map(|s| JsResponse::new(body, &s.init)).transpose()?;
        Ok(response.map(JsValue::from))
    })
}

/// The response with its signature, which is kept if the reply is.
pub fn respond_signed(
    edge: &Edge,
    answer: &Answer,
    unsigned: Unsigned,
    signature: &[u8],
    incoming: &Incoming,
) -> Result<JsValue, JsValue> {
    let (generation, created) = (unsigned.generation, unsigned.params.created);
    let reply = unsigned.signed(signature);
    let (Answer::Kept(id) | Answer::NotModified(id)) = answer else {
        return respond_with(&reply, incoming.is_head());
    };
    // There may be another snapshot since.
    if incoming.is_head() || generation != edge.generation {
        return respond_with(&reply, incoming.is_head());
    }
    let init = init(reply.status, &headers(&reply)?)?;
    with_ready(edge, *id, |ready| {
        let path = incoming.path().to_owned();
        let not_modified = reply.status == 304;
        let others = &mut ready.signatures;
        others.retain(|s| s.path != path || s.not_modified != not_modified);
        if others.len() >= MAX_SIGNATURES {
            others.remove(0);
        }
        others.push(Signature {
            path,
            not_modified,
            // Seconds of this millennium.
            created: Timestamp::from_millis(created as i64 * 1000),
            init: init.clone(),
        });
        let body = if not_modified {
            &JsValue::NULL
        } else {
            &ready.body
        };
        JsResponse::new(body, &init).map(|response| Some(response.into()))
    })
    .and_then(|response| response.map_or_else(internal, Ok))
}

/// The same for a reply in hand.
pub fn respond_with(reply: &Reply, head: bool) -> Result<JsValue, JsValue> {
    if head { empty(reply) } else { fresh(reply) }
}

fn kept(
    edge: &Edge,
    id: ReplyId,
    make: impl FnOnce(&Ready) -> Result<JsResponse, JsValue>,
) -> Result<JsValue, JsValue> {
    let made = with_ready(edge, id, |ready| make(ready).map(|r| Some(r.into())))?;
    made.map_or_else(internal, Ok)
}

/// Does something with the JavaScript side of a kept reply, if there is one.
fn with_ready(
    edge: &Edge,
    id: ReplyId,
    f: impl FnOnce(&mut Ready) -> Result<Option<JsValue>, JsValue>,
) -> Result<Option<JsValue>, JsValue> {
    CACHE.with_borrow_mut(|cache| {
        if cache.generation != edge.generation {
            cache.ready.clear();
            cache.generation = edge.generation;
        }
        if cache.ready.len() <= id.0 {
            cache.ready.resize_with(id.0 + 1, || None);
        }
        let slot = cache.ready.get_mut(id.0);
        let (Some(slot), Some(reply)) = (slot, edge.kept.reply(id)) else {
            return Ok(None);
        };
        let ready = match slot {
            Some(ready) => ready,
            None => slot.insert(Ready::new(reply)?),
        };
        f(ready)
    })
}

fn fresh(reply: &Reply) -> Result<JsValue, JsValue> {
    let init = init(reply.status, &headers(reply)?)?;
    let body = match reply.status {
        // A status without content: the runtime refuses a body, even an empty one.
        204 | 304 => JsValue::NULL,
        // Bytes: the runtime would encode a string anew.
        _ => Uint8Array::from(reply.body.as_bytes()).into(),
    };
    JsResponse::new(&body, &init).map(JsValue::from)
}

/// What a `HEAD` gets: the headers of the `GET`. The runtime gives a length to a body only when it
/// sends one, so here it is said.
fn empty(reply: &Reply) -> Result<JsValue, JsValue> {
    let headers = headers(reply)?;
    headers.set("Content-Length", &reply.body.len().to_string())?;
    let init = init(reply.status, &headers)?;
    JsResponse::new(&JsValue::NULL, &init).map(JsValue::from)
}

pub fn internal() -> Result<JsValue, JsValue> {
    fresh(&Reply::problem(ProblemType::Internal, "Try again."))
}

fn headers(reply: &Reply) -> Result<web_sys::Headers, JsValue> {
    let mut lines = String::with_capacity(1024);
    for (name, value) in &reply.headers {
        lines.push_str(name);
        lines.push('\n');
        lines.push_str(value);
        lines.push('\n');
    }
    headers_of(&lines)
}

fn init(status: u16, headers: &web_sys::Headers) -> Result<JsValue, JsValue> {
    let init = Object::new();
    Reflect::set(&init, &"status".into(), &status.into())?;
    Reflect::set(&init, &"headers".into(), headers)?;
    Ok(init.into())
}

/// What a `Response` is made with besides its body.
pub struct JsInit(JsValue);

impl JsInit {
    pub fn new(status: u16, headers: &web_sys::Headers) -> Result<Self, JsValue> {
        init(status, headers).map(Self)
    }

    pub fn response(&self, body: &JsValue) -> Result<JsValue, JsValue> {
        JsResponse::new(body, &self.0).map(JsValue::from)
    }
}

/// A file of `www`, with our headers. For a `HEAD` it is read as well: nothing else says how long
/// it is, and the files are small.
pub async fn asset(incoming: Incoming, env: Env, path: String) -> Result<JsValue, JsValue> {
    let not_found = || {
        fresh(&Reply::problem(
            ProblemType::UnknownPath,
            "There is no such file.",
        ))
    };
    let Some(assets) = binding::<Fetcher>(&env, "ASSETS") else {
        return not_found();
    };
    let origin = incoming
        .url
        .split('/')
        .take(3)
        .collect::<Vec<_>>()
        .join("/");
    let headers = web_sys::Headers::new()?;
    if let Some(tags) = incoming.header("if-none-match") {
        headers.set("If-None-Match", &tags)?;
    }
    let options = object([("headers", headers.into())]);
    let file: web_sys::Response =
        JsFuture::from(assets.fetch(&format!("{origin}{path}"), &options)?)
            .await?
            .unchecked_into();
    if file.status() == 404 {
        return not_found();
    }
    let headers = web_sys::Headers::new_with_headers(&file.headers())?;
    for (name, value) in asset_headers(&path) {
        headers.set(name, value)?;
    }
    let mut body = Reflect::get(&file, &"body".into())?;
    if incoming.is_head() && !body.is_null() {
        let bytes: ArrayBuffer = JsFuture::from(file.array_buffer()?).await?.unchecked_into();
        headers.set("Content-Length", &bytes.byte_length().to_string())?;
        body = JsValue::NULL;
    }
    JsInit::new(file.status(), &headers)?.response(&body)
}
