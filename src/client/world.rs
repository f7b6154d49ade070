//! The clock and the dice, so that tests need not wait.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::core::time::Timestamp;

/// What the client knows of the world besides the network and the disk.
pub trait World: Send + Sync + 'static {
    /// The time, as the clock on the wall has it: it is compared with that of other processes and of the
    /// router.
    fn now(&self) -> Timestamp;

    /// Evenly distributed over all of `u64`. It spreads requests over time and guards no secret.
    fn random(&self) -> u64;
}

/// The real one.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl World for System {
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()),
            // Before 1970: a machine without a battery for its clock.
            Err(before) => i64::try_from(before.duration().as_millis()).map(|millis| -millis),
        };
        Timestamp::from_millis(millis.unwrap_or(0))
    }

    fn random(&self) -> u64 {
        // The standard library's hashers are seeded by the system.
        RandomState::new().hash_one(self.now().millis())
    }
}
