//! The Durable Object: one instance holds the ledger. It loads, calls [`crate::api::control`],
//! stores, publishes and replies; no rule is here.
//!
//! The state is borrowed only between awaits. The rows of one call and the alarm that sees to the
//! rest are written without an await between them, so they land together or not at all.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::{Delay, Env};

use crate::api::control::ledger::{Busy, Ledger};
use crate::api::control::{self, Environment};
use crate::api::ports::StoreError;
use crate::api::reply::Reply;
use crate::api::request::Request;
use crate::auth::token::{MIN_ADMIN_BYTES, TokenHash};
use crate::core::experiment::tally::Counts;
use crate::core::ledger::kv::{Put, Seen};
use crate::core::time::Timestamp;
use crate::wire::problem::ProblemType;

use super::convert::{Incoming, respond_with};
use super::js::{ObjectState, Storage, fetch_url, object, promise};
use super::kv::{self, settled, within};
use super::store::SqlStore;
use super::{defaults, now, plans, variable};

/// How long a write waits for KV, to see whether somebody edited it. The write is not refused when
/// KV does not answer: the edit is taken in later.
const LOOK_LIMIT: Duration = Duration::from_millis(1_500);

/// How long a stop waits to be written to KV before its answer says that it was not yet.
const PUBLISH_LIMIT: Duration = Duration::from_millis(2_500);

/// Between two looks at whether it landed.
const RETRY: Duration = Duration::from_millis(500);

/// How long a webhook may take.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(10);

/// Between two alarms at least, so that work which another task is at is not asked for in a loop.
const PAUSE_MS: u64 = 100;

/// What has not ended after this long was ended by the runtime. Longer than one round of reading and
/// writing KV may take, or one delivery.
const LOCK_MS: u64 = 20_000;

/// What the object is asked by the Worker itself, below a path that no request from outside reaches.
pub const TICK: &str = "/__ledger/tick";
pub const LOOK: &str = "/__ledger/look";
pub const LAST_GOOD: &str = "/__ledger/last-good";
pub const CURRENT: &str = "/__ledger/current";
pub const HISTORY: &str = "/__ledger/history";

/// One thing that only one task may do at a time, unless it died over it.
#[derive(Default)]
struct Lock(Cell<Option<Timestamp>>);

impl Lock {
    fn take(&self) -> bool {
        let now = now();
        // In both directions: a clock that was set back must not hold it.
        let held = |at: Timestamp| now.apart(at) < LOCK_MS;
        if self.0.get().is_some_and(held) {
            return false;
        }
        self.0.set(Some(now));
        true
    }

    /// Says that its holder is still there.
    fn hold(&self) {
        self.0.set(Some(now()));
    }

    fn free(&self) {
        self.0.set(None);
    }

    /// Until when it is held, at the latest.
    fn until(&self) -> Option<Timestamp> {
        self.0.get().map(|at| at.plus_millis(LOCK_MS))
    }
}

struct Inner {
    storage: Storage,
    env: Env,
    /// `None` until it was opened; opening is tried again with each call.
    ledger: RefCell<Option<Ledger<SqlStore>>>,
    publishing: Lock,
    delivering: Lock,
}

/// The class that `wrangler.toml` binds as `LEDGER`.
#[wasm_bindgen(js_name = Ledger)]
pub struct LedgerObject(Rc<Inner>);

#[wasm_bindgen(js_class = Ledger)]
impl LedgerObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: ObjectState, env: JsValue) -> Self {
        Self(Rc::new(Inner {
            storage: state.storage(),
            env: env.unchecked_into(),
            ledger: RefCell::new(None),
            publishing: Lock::default(),
            delivering: Lock::default(),
        }))
    }

    /// A call.
    pub fn fetch(&self, request: web_sys::Request) -> Promise {
        let inner = self.0.clone();
        promise(async move { inner.fetch(request).await })
    }

    /// What is due by the clock.
    pub fn alarm(&self) -> Promise {
        let inner = self.0.clone();
        promise(async move {
            inner.work().await;
            // Apart from this: no other alarm goes off before this one has ended, and a webhook
            // that does not answer must not keep KV waiting.
            spawn_local(async move { inner.deliver().await });
            Ok(JsValue::UNDEFINED)
        })
    }
}

impl Inner {
    /// Does something with the ledger, opened.
    fn with<T>(
        &self,
        f: impl FnOnce(&mut Ledger<SqlStore>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut slot = self.ledger.borrow_mut();
        let ledger = match &mut *slot {
            Some(ledger) => ledger,
            empty => {
                let store = SqlStore::open(self.storage.clone())?;
                empty.insert(Ledger::open(store, defaults(&self.env).0)?)
            }
        };
        f(ledger)
    }

    async fn fetch(self: &Rc<Self>, request: web_sys::Request) -> Result<JsValue, JsValue> {
        let incoming = Incoming::new(&request);
        let reply = match incoming.path() {
            TICK => {
                self.work().await;
                self.deliver().await;
                json(200, String::new())
            }
            LOOK => told(self.look()),
            CURRENT => match self.with(|ledger| Ok(ledger.current())) {
                Ok(current) => json(200, serde_json::to_string(&current).unwrap_or_default()),
                Err(_) => json(404, String::new()),
            },
            HISTORY => told(self.with(|ledger| ledger.history(now()))),
            LAST_GOOD => match self.with(|ledger| Ok(ledger.live.state.published())) {
                Ok(Some(text)) => json(200, text),
                Ok(None) | Err(_) => json(404, String::new()),
            },
            _ => self.call(&incoming, request).await?,
        };
        respond_with(&reply, incoming.is_head())
    }

    fn look(&self) -> Result<String, StoreError> {
        let webhook = self.webhook().is_some();
        let look = self.with(|ledger| control::serve::look(ledger, webhook, now()))?;
        Ok(serde_json::to_string(&look).unwrap_or_default())
    }

    async fn call(
        self: &Rc<Self>,
        incoming: &Incoming,
        request: web_sys::Request,
    ) -> Result<Reply, JsValue> {
        let bytes = JsFuture::from(request.array_buffer()?).await?;
        let body = Uint8Array::new(&bytes).to_vec();
        let mut environment = self.environment()?;
        let position = |ledger: &mut Ledger<SqlStore>| Ok(ledger.live.state.seq);
        let before = self.with(position);
        let first = self.with(|l| Ok(control::serve::looks_first(l, incoming, &environment)));
        if first.is_ok_and(|first| first) {
            let seen = within(LOOK_LIMIT, kv::read(&self.env)).await;
            if let Some(seen) = seen {
                self.take_in(seen);
            }
            environment.now = now();
        }
        let tally = self.with(|l| Ok(control::serve::wanted_counts(l, incoming)));
        if let Ok(Some(tally)) = tally {
            environment.counts = super::gate::counts(&self.env, &tally).await;
        }
        let query = self.with(|l| Ok(control::plans::wanted_evidence(l, incoming, &environment)));
        if let Ok(Some(query)) = query {
            environment.evidence = Some(plans::asked(&self.env, query).await);
            environment.now = now();
        }
        let chart = self.with(|l| Ok(control::evidence::wanted_chart(l, incoming, &environment)));
        if let Ok(Some(chart)) = chart {
            environment.chart = Some(plans::charted(&self.env, chart).await);
        }
        let replied = self.with(|ledger| {
            let stop = ledger.live.state.stop_value();
            let reply = control::handle(ledger, incoming, &body, &environment);
            Ok((reply, stop != ledger.live.state.stop_value()))
        });
        let (reply, stop_changed) = match replied {
            Ok(replied) => replied,
            Err(e) => {
                log(&e.0);
                return Ok(unavailable());
            }
        };
        if before != self.with(position) {
            self.wake(0);
            self.announce();
        }
        if stop_changed {
            // A task of its own, which goes on when this no longer waits for it.
            let inner = self.clone();
            let publishing = promise(async move {
                for _ in 0..PUBLISH_LIMIT.as_millis() / RETRY.as_millis() {
                    inner.publish_stop().await;
                    if inner.stop_landed() {
                        break;
                    }
                    // Another task is at it, or the key was written within the last second.
                    Delay::from(RETRY).await;
                }
                inner.wake(0);
                Ok(JsValue::UNDEFINED)
            });
            within(PUBLISH_LIMIT, settled(Ok(publishing))).await;
            return Ok(control::serve::with_published(reply, self.stop_landed()));
        }
        Ok(reply)
    }

    fn stop_landed(&self) -> bool {
        self.with(|ledger| Ok(ledger.stop_landed()))
            .unwrap_or(false)
    }

    fn environment(&self) -> Result<Environment, JsValue> {
        let admin = variable(&self.env, "ADMIN_TOKEN")
            .filter(|token| token.len() >= MIN_ADMIN_BYTES)
            .map(|token| TokenHash::of(&token));
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|_| JsValue::from_str("no randomness"))?;
        Ok(Environment {
            now: now(),
            admin,
            random,
            webhook: self.webhook().is_some(),
            counts: Ok(Counts::default()),
            evidence: None,
            chart: None,
        })
    }

    fn webhook(&self) -> Option<String> {
        variable(&self.env, "ALERT_WEBHOOK").filter(|url| !url.is_empty())
    }

    /// What is due by the clock, and of KV; then the alarm for what is next.
    async fn work(self: &Rc<Self>) {
        let ticked = self.with(|ledger| ledger.tick(now()).map_err(stored));
        if let Err(e) = ticked {
            log(&e.0);
        }
        self.publish().await;
        if self.guard().await {
            self.publish().await;
        }
        self.announce();
        let forgotten = self.with(|ledger| ledger.forget(now()));
        if let Err(e) = forgotten {
            log(&e.0);
        }
        self.wake(PAUSE_MS);
    }

    /// Looks at the plans that are due; whether anything came of it.
    async fn guard(&self) -> bool {
        let position = |ledger: &mut Ledger<SqlStore>| Ok(ledger.live.state.seq);
        let before = self.with(position);
        let due = self.with(|ledger| Ok(ledger.plans_due(now())));
        for query in due.unwrap_or_default() {
            let asked = plans::asked(&self.env, query).await;
            let guarded = self.with(|ledger| ledger.guard_plan(&asked, now()).map_err(stored));
            if let Err(e) = guarded {
                log(&e.0);
            }
        }
        before != self.with(position)
    }

    /// Tells clients that something changed. Nothing waits for it.
    fn announce(&self) {
        if let Ok(Some(news)) = self.with(|ledger| Ok(ledger.news())) {
            let env = self.env.clone();
            spawn_local(async move { super::stream::tell(&env, &news).await });
        }
    }

    /// Takes in what KV says.
    fn take_in(&self, read: crate::api::edge::Read) -> Option<Seen> {
        let seen = match (read.config, read.stop) {
            (Ok(config), Ok(stop)) => Seen { config, stop },
            (Err(e), _) | (_, Err(e)) => {
                let noted = self.with(|ledger| {
                    ledger.could_not_look(&e.to_string());
                    Ok(())
                });
                if let Err(e) = noted {
                    log(&e.0);
                }
                return None;
            }
        };
        let looked = self.with(|ledger| ledger.look(&seen, now()).map_err(stored));
        match looked {
            Ok(()) => Some(seen),
            Err(e) => {
                log(&e.0);
                None
            }
        }
    }

    /// Brings KV up to what the ledger says, as far as that is due. One at a time: two writers could
    /// land in the wrong order.
    async fn publish(self: &Rc<Self>) {
        if !self.publishing.take() {
            return;
        }
        self.write(self.stops()).await;
        let seen = self.take_in(kv::read(&self.env).await);
        self.write(self.puts(seen.as_ref())).await;
        self.publishing.free();
    }

    /// A stop waits for nothing, not even for a look at what it is written over. Lifting one does.
    async fn publish_stop(self: &Rc<Self>) {
        let stops = self.with(|ledger| Ok(ledger.live.state.stop_value().is_some()));
        if !stops.unwrap_or(false) {
            return self.publish().await;
        }
        if self.publishing.take() {
            self.write(self.stops()).await;
            self.publishing.free();
        }
    }

    fn stops(&self) -> Vec<Put> {
        let mut puts = self.puts(None);
        puts.retain(|put| put.key == "emergency-stop" && put.value.is_some());
        puts
    }

    fn puts(&self, seen: Option<&Seen>) -> Vec<Put> {
        let puts = self.with(|ledger| Ok(ledger.puts(seen, now())));
        puts.unwrap_or_default()
    }

    async fn write(self: &Rc<Self>, puts: Vec<Put>) {
        for put in puts {
            let inner = self.clone();
            // It may have landed over a later one.
            let late = move || {
                let _ = inner.with(|ledger| {
                    ledger.publication.checked = None;
                    Ok(())
                });
                inner.wake(0);
            };
            let result = kv::write(&self.env, &put, late).await;
            let wrote = self.with(|ledger| ledger.wrote(&put, result, now()).map_err(stored));
            if let Err(e) = wrote {
                log(&e.0);
            }
        }
    }

    /// Delivers the alerts that are due, one after the other; then sets the alarm for what is next.
    async fn deliver(&self) {
        let Some(url) = self.webhook() else {
            return;
        };
        if !self.delivering.take() {
            return;
        }
        while let Ok(Some(alert)) = self.with(|ledger| ledger.begin_delivery(now())) {
            self.delivering.hold();
            let result = post(&url, &control::serve::webhook_body(&alert)).await;
            let noted = self.with(|ledger| ledger.delivered(&alert, result, now()));
            if let Err(e) = noted {
                log(&e.0);
                break;
            }
        }
        self.delivering.free();
        self.wake(PAUSE_MS);
    }

    /// Sets the alarm for what is next, no sooner than after a pause. The write is a part of those
    /// before it.
    fn wake(&self, pause_ms: u64) {
        let webhook = self.webhook().is_some();
        let busy = Busy {
            publishing: self.publishing.until(),
            delivering: self.delivering.until(),
        };
        let at = self.with(|ledger| ledger.wake_at(webhook, &busy, now()));
        match at {
            Ok(at) => {
                let at = at.max(now().plus_millis(pause_ms));
                // Nothing waits for it: a failed write of the storage resets the object.
                let _ = self.storage.set_alarm(at.millis() as f64);
            }
            Err(e) => log(&e.0),
        }
    }
}

fn stored(failure: control::ledger::Failure) -> StoreError {
    match failure {
        control::ledger::Failure::Store(e) => e,
        control::ledger::Failure::Rejected(rejection) => {
            StoreError(format!("the ledger refused its own work: {rejection:?}"))
        }
    }
}

/// Sends one alert.
async fn post(url: &str, body: &str) -> Result<(), String> {
    let headers = object([("Content-Type", "application/json".into())]);
    let options = object([
        ("method", "POST".into()),
        ("headers", headers.into()),
        ("body", body.into()),
    ]);
    let answer = within(WEBHOOK_LIMIT, settled(fetch_url(url, &options))).await;
    match answer {
        None => Err("the webhook did not answer in time".to_owned()),
        // The message could hold the webhook's address, which is a secret.
        Some(Err(_)) => Err("the webhook could not be reached".to_owned()),
        Some(Ok(response)) => {
            let response: web_sys::Response = response.unchecked_into();
            match response.ok() {
                true => Ok(()),
                false => Err(format!("the webhook answered {}", response.status())),
            }
        }
    }
}

fn json(status: u16, body: String) -> Reply {
    Reply::new(status, "application/json", "no-store", body)
}

/// What the Worker is told.
fn told(text: Result<String, StoreError>) -> Reply {
    text.map_or_else(
        |e| {
            log(&e.0);
            unavailable()
        },
        |text| json(200, text),
    )
}

fn unavailable() -> Reply {
    Reply::problem(
        ProblemType::LedgerUnavailable,
        "The ledger's storage failed; nothing was changed. Try again in a moment.",
    )
    .with("Retry-After", "5")
}

/// For whoever runs the Worker: never a request's content.
fn log(what: &str) {
    worker::console_error!("ledger: {what}");
}
