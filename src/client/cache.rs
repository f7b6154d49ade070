//! The last good answer on disk, and who asks next: one file, shared by all processes that ask the same.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::decode::to_hex;

use super::answer::Kept;
use super::disk;
use super::fetch::Cancel;
use super::schedule::Schedule;

/// Of the file's layout: one with another number is not used.
const FORMAT: u32 = 1;

/// The longest file that is read, in bytes: a body with every character escaped, and its headers.
const MAX_BYTES: u64 = 2 << 20;

/// Between two looks whether another process has finished.
const LOOK: Duration = Duration::from_millis(10);

/// What is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    format: u32,
    /// What was asked, without who.
    question: String,
    pub schedule: Schedule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// The place of the file.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    path: PathBuf,
    question: String,
}

impl Cache {
    /// The file's name comes from what is asked and by whom, because the answer does.
    pub fn new(folder: &Path, question: &str, id: Option<&str>) -> Self {
        let id = id.unwrap_or_default();
        let digest = Sha256::digest(format!("{}:{question}{id}", question.len()));
        let name: String = to_hex(&digest).chars().take(16).collect();
        Self {
            path: folder.join(format!("features-{name}.json")),
            question: question.to_owned(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; `None` if there is none.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub fn load(&self) -> Result<Option<Stored>, String> {
        let text = disk::read(&self.path, MAX_BYTES).map_err(|e| e.to_string())?;
        let Some(text) = text else {
            return Ok(None);
        };
        let stored: Stored = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        if stored.format != FORMAT || stored.question != self.question {
            return Err("it is of another version, or about something else".to_owned());
        }
        Ok(Some(stored))
    }

    /// Writes it.
    ///
    /// # Errors
    /// Why that did not work, in words.
    pub fn save(&self, schedule: Schedule, kept: Option<Kept>) -> Result<(), String> {
        let stored = Stored {
            format: FORMAT,
            question: self.question.clone(),
            schedule,
            kept,
        };
        let text = serde_json::to_string(&stored).map_err(|e| e.to_string())?;
        disk::replace(&self.path, &text).map_err(|e| e.to_string())
    }

    /// Waits for `patience` at most until no other process asks. `None`: there is no telling, or whoever has the lock is
    /// not finishing. Then it is gone without: the file is whole whatever happens.
    pub fn lock(&self, patience: Duration, cancel: &Cancel) -> Option<File> {
        let file = disk::lock_file(&self.path.with_extension("lock")).ok()?;
        let end = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(TryLockError::WouldBlock) if Instant::now() < end && !cancel.is_cancelled() => {
                    cancel.wait(cancel.rings(), LOOK);
                }
                Err(_) => return None,
            }
        }
    }
}
