//! A thread that keeps a client's values fresh.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::engine::Engine;
use super::fetch::Cancel;
use super::merge::Change;

/// How long an end waits for a request that cannot be broken off.
const PATIENCE: Duration = Duration::from_millis(50);

/// Keeps the values of a client fresh for as long as it lives. Dropping it breaks off a request under way and ends the
/// thread: no callback runs afterwards. Looking up a name and connecting cannot be broken off by any means that
/// every platform has; a thread that hangs in these ends by itself when the client's timeout is over, and calls
/// nobody.
#[must_use = "dropping it ends the watching"]
pub struct Watch {
    cancel: Arc<Cancel>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    pub(super) fn start(
        engine: Arc<Engine>,
        mut callback: impl FnMut(&[Change]) + Send + 'static,
    ) -> io::Result<Self> {
        let cancel = Arc::new(Cancel::default());
        let theirs = Arc::clone(&cancel);
        let mut told = engine.values();
        let work = move || {
            while !theirs.is_cancelled() {
                let seen = theirs.rings();
                engine.refresh(&theirs);
                // Against what was told and not by the refresh: another thread may have refreshed too.
                let values = engine.values();
                let changes = told.changes(&values);
                told = values;
                if theirs.is_cancelled() {
                    return;
                }
                if !changes.is_empty() {
                    callback(&changes);
                }
                theirs.wait(seen, engine.pause());
            }
        };
        let thread = thread::Builder::new().name("caro-flags".to_owned());
        Ok(Self {
            cancel,
            thread: Some(thread.spawn(work)?),
        })
    }

    /// Has it look at the override file now, and ask the router if it is time. Returns at once.
    pub fn look(&self) {
        self.cancel.ring();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cancel.cancel();
        let Some(thread) = self.thread.take() else {
            return;
        };
        // A callback may drop its own watch.
        let is_own = thread.thread().id() == thread::current().id();
        if !is_own && self.cancel.wait_idle(PATIENCE) {
            // What it panicked with, if it did, was the callback's and is printed by then.
            let _ = thread.join();
        }
    }
}
