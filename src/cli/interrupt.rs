//! Ctrl-C, and being asked to end: the first time a command may finish what it is about.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// What a shell calls an end by Ctrl-C.
const BY_SIGNAL: i32 = 130;

/// Knows whether somebody wants the command to end.
#[derive(Clone)]
pub struct Interrupt {
    /// How often they have said so, and who waits for it.
    said: Arc<(Mutex<u32>, Condvar)>,
}

impl Interrupt {
    /// Listens from now on: to Ctrl-C, SIGTERM and SIGHUP. Who asks again does not want to wait any longer: then
    /// `last_words` are said, and it is over.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn listen(last_words: impl Fn() + Send + 'static) -> Result<Self> {
        let said = Arc::new((Mutex::new(0), Condvar::new()));
        let heard = Arc::clone(&said);
        ctrlc::set_handler(move || {
            let (count, waiting) = &*heard;
            let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
            *count += 1;
            waiting.notify_all();
            if *count > 1 {
                last_words();
                std::process::exit(BY_SIGNAL);
            }
        })
        .context("listening to Ctrl-C")?;
        Ok(Self { said })
    }

    /// Waits so long, or until somebody says so: whether they did.
    pub fn wait(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let (count, waiting) = &*self.said;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if *count > 0 || left.is_zero() {
                return *count > 0;
            }
            let waited = waiting.wait_timeout(count, left);
            (count, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}
