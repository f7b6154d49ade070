//! The client: what a program embeds to know its flags, and to be safe when nobody answers.
//!
//! ```no_run
//! use caro_edge::client::Client;
//!
//! let client = Client::builder("https://get.caro.sh").release("v1.1.0-beta").id("install-id").build()?;
//! client.refresh();
//! if client.bool("validation_retry", true) {
//!     // …
//! }
//! # Ok::<(), caro_edge::client::BuildError>(())
//! ```
//!
//! Reading never waits for the network, and never fails: what is not known, or has another type, is the default that the
//! reader names. First that applies: a kill, an override of the person at the machine, the router's answer (the last
//! good one when it is out of reach), the platform's default, the default.
//!
//! A **kill** is the OR of all sources: a kill switch that is on anywhere is on, and a feature that the router says is
//! killed or stopped is what the router says. Only a newer answer of the router takes one of its kills back.
//!
//! No thread runs unless [`Client::watch`] is called, and none is left when its guard is dropped.

#![deny(missing_docs)]

pub(crate) mod address;
pub mod answer;
mod builder;
mod cache;
mod disk;
mod engine;
mod fetch;
pub mod merge;
pub mod overrides;
pub mod platform;
pub mod schedule;
pub mod status;
mod watch;
pub mod world;

use std::fmt;
use std::io;
use std::sync::Arc;

use serde_json::Value;

pub use answer::Failure;
pub use builder::{BuildError, Builder};
pub use merge::{Change, Feature, Origin, Values};
pub use status::{Outcome, Refreshed, Source, Status};
pub use watch::Watch;

use engine::Engine;
use fetch::Cancel;

/// README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// A program's flags. Cloning it gives another handle to the same.
#[derive(Clone)]
pub struct Client {
    engine: Arc<Engine>,
}

impl Client {
    /// Begins to make one. `url` is the router's scheme, host and port; it has to be `https` unless it is this machine, or
    /// answers must be signed.
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    fn of(engine: Engine) -> Self {
        Self {
            engine: Arc::new(engine),
        }
    }

    /// A switch.
    pub fn bool(&self, key: &str, default: bool) -> bool {
        self.engine.typed(key, Value::as_bool).unwrap_or(default)
    }

    /// A text.
    pub fn string(&self, key: &str, default: &str) -> String {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let found = self.engine.typed(key, text);
        found.unwrap_or_else(|| default.to_owned())
    }

    /// A number.
    pub fn number(&self, key: &str, default: f64) -> f64 {
        self.engine.typed(key, Value::as_f64).unwrap_or(default)
    }

    /// A value of any type.
    pub fn json(&self, key: &str, default: Value) -> Value {
        let any = |value: &Value| (!value.is_null()).then(|| value.clone());
        self.engine.typed(key, any).unwrap_or(default)
    }

    /// Whether a kill switch is on, or a feature is killed.
    pub fn is_killed(&self, key: &str) -> bool {
        self.engine.values().is_killed(key)
    }

    /// Every feature at one time, with who decided its value.
    pub fn values(&self) -> Arc<Values> {
        self.engine.values()
    }

    /// Reads the override file, and asks the router if it is time: after the interval, or after a failure when
    /// the back-off is over. Blocks for the timeout at most, and starts no thread but the one that the look-up of a name
    /// needs.
    pub fn refresh(&self) -> Refreshed {
        self.engine.refresh(&Cancel::default())
    }

    /// Refreshes in a thread of its own, at once and then whenever it is time, and tells `callback` what is different. The
    /// override file is looked at each minute at least.
    ///
    /// # Errors
    /// When the system starts no thread.
    pub fn watch(&self, callback: impl FnMut(&[Change]) + Send + 'static) -> io::Result<Watch> {
        Watch::start(Arc::clone(&self.engine), callback)
    }

    /// How things are.
    pub fn status(&self) -> Status {
        self.engine.status()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("status", &self.status())
            .finish()
    }
}
