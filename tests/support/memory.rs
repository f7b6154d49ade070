//! The ledger's store in memory: what the Durable Object's SQLite does, for tests.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;

use caro_edge::api::ports::{
    Alert, AlertCounts, Batch, Delivery, KEEP_DELIVERED, Search, Store, StoreError, Stored,
};
use caro_edge::core::time::Timestamp;

/// A message to people, waiting or delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub alert: Alert,
    pub error: Option<String>,
}

/// What a crash leaves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    pub log: Vec<Stored>,
    pub head: Option<String>,
    pub history: BTreeMap<u64, String>,
    pub checkpoints: BTreeMap<u64, String>,
    pub answers: BTreeMap<String, (Timestamp, String)>,
    pub outbox: Vec<Message>,
    /// How many messages are no longer in the outbox.
    pub forgotten: u64,
    pub publication: Option<String>,
    pub published: BTreeMap<u64, String>,
}

/// A place that keeps everything, until it is told not to.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    pub kept: Kept,
    /// Writes so far, failed ones included.
    pub writes: u64,
    /// The write with this number fails, the first being 1.
    pub fails_at: Option<u64>,
}

impl Memory {
    /// The next write fails.
    pub fn fail_next(&mut self) {
        self.fails_at = Some(self.writes + 1);
    }

    /// Every message to people so far, in the order in which they were stored.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.kept.outbox.iter().map(|m| m.alert.text.as_str())
    }
}

impl Kept {
    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        if let Some(row) = &batch.row {
            if self.log.iter().any(|r| r.seq == row.seq) {
                return Err(StoreError(format!("there is a row {} already", row.seq)));
            }
            self.log.push(row.clone());
        }
        if let Some(text) = &batch.head {
            self.head = Some(text.clone());
        }
        self.history.extend(batch.history.iter().cloned());
        if let Some((seq, text)) = &batch.checkpoint
            && self.checkpoints.insert(*seq, text.clone()).is_some()
        {
            return Err(StoreError(format!("there is a checkpoint {seq} already")));
        }
        for (at, text) in &batch.alerts {
            let alert = Alert {
                id: self.forgotten + self.outbox.len() as u64 + 1,
                at: *at,
                text: text.clone(),
                attempts: 0,
                next: *at,
                delivered: None,
            };
            self.outbox.push(Message { alert, error: None });
        }
        for delivery in &batch.deliveries {
            let (Delivery::Begun { id, .. }
            | Delivery::Done { id, .. }
            | Delivery::Failed { id, .. }) = delivery;
            let is_it = |message: &&mut Message| message.alert.id == *id;
            let message = self.outbox.iter_mut().find(is_it).unwrap();
            match delivery {
                Delivery::Begun { next, .. } => message.alert.next = *next,
                Delivery::Done { at, .. } => {
                    message.alert.attempts += 1;
                    message.alert.delivered = Some(*at);
                }
                Delivery::Failed { next, error, .. } => {
                    message.alert.attempts += 1;
                    message.alert.next = *next;
                    message.error = Some(error.clone());
                }
            }
        }
        let done = self.outbox.iter().filter(|m| m.alert.delivered.is_some());
        let old = done.rev().nth(KEEP_DELIVERED as usize);
        if let Some(last) = old.map(|message| message.alert.id) {
            let before = self.outbox.len();
            self.outbox
                .retain(|m| m.alert.delivered.is_none() || m.alert.id > last);
            self.forgotten += (before - self.outbox.len()) as u64;
        }
        if let Some((key, at, text)) = &batch.answer {
            self.answers.insert(key.clone(), (*at, text.clone()));
        }
        if let Some(before) = batch.forget_before {
            self.answers.retain(|_, (at, _)| *at >= before);
        }
        if let Some(text) = &batch.publication {
            self.publication = Some(text.clone());
        }
        if let Some((revision, hash)) = &batch.published {
            self.published.insert(*revision, hash.clone());
        }
        Ok(())
    }
}

impl Store for Memory {
    fn checkpoint(&self, seq: u64) -> Result<Option<(u64, String)>, StoreError> {
        let mut found = self.kept.checkpoints.range(..=seq);
        Ok(found.next_back().map(|(seq, text)| (*seq, text.clone())))
    }

    fn rows(&self, after: u64, limit: u64) -> Result<Vec<Stored>, StoreError> {
        let mut rows: Vec<_> = self.kept.log.iter().filter(|r| r.seq > after).collect();
        rows.sort_by_key(|r| r.seq);
        Ok(rows.into_iter().take(limit as usize).cloned().collect())
    }

    fn history(&self, limit: u64) -> Result<Vec<String>, StoreError> {
        let newest = self.kept.history.values().rev();
        Ok(newest.take(limit as usize).cloned().collect())
    }

    fn search(&self, search: &Search) -> Result<Vec<Stored>, StoreError> {
        let fits = |row: &&Stored| {
            let action = search.action.as_ref().is_none_or(|wanted| {
                row.action == *wanted || row.action.split('.').next() == Some(wanted)
            });
            action
                && search.before.is_none_or(|seq| row.seq < seq)
                && search.actor.as_ref().is_none_or(|a| *a == row.actor)
                && search.target.as_ref().is_none_or(|t| *t == row.target)
                && search.since.is_none_or(|at| row.at >= at)
                && search.until.is_none_or(|at| row.at <= at)
        };
        let mut rows: Vec<_> = self.kept.log.iter().filter(fits).cloned().collect();
        rows.sort_by_key(|r| std::cmp::Reverse(r.seq));
        rows.truncate(search.limit as usize);
        Ok(rows)
    }

    fn head(&self) -> Result<Option<String>, StoreError> {
        Ok(self.kept.head.clone())
    }

    fn row_at_revision(&self, revision: u64) -> Result<Option<u64>, StoreError> {
        let log = self.kept.log.iter();
        Ok(log.filter(|r| r.revision <= revision).map(|r| r.seq).max())
    }

    fn answer(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.kept.answers.get(key).map(|(_, text)| text.clone()))
    }

    fn newest_alerts(&self, limit: u64) -> Result<Vec<Alert>, StoreError> {
        let newest = self.kept.outbox.iter().rev().take(limit as usize);
        Ok(newest.map(|m| m.alert.clone()).collect())
    }

    fn alerts(&self, limit: u64) -> Result<Vec<Alert>, StoreError> {
        let outbox = self.kept.outbox.iter();
        let waiting = outbox.filter(|m| m.alert.delivered.is_none());
        let mut alerts: Vec<_> = waiting.map(|m| m.alert.clone()).collect();
        alerts.sort_by_key(|a| (a.next, a.id));
        alerts.truncate(limit as usize);
        Ok(alerts)
    }

    fn alert_counts(&self) -> Result<AlertCounts, StoreError> {
        let is_waiting = |m: &&Message| m.alert.delivered.is_none();
        let waiting: Vec<_> = self.kept.outbox.iter().filter(is_waiting).collect();
        Ok(AlertCounts {
            pending: waiting.len() as u64,
            delivered: (self.kept.outbox.len() - waiting.len()) as u64 + self.kept.forgotten,
            oldest: waiting.iter().map(|m| m.alert.at).min(),
            last_error: waiting.iter().rev().find_map(|m| m.error.clone()),
        })
    }

    fn publication(&self) -> Result<Option<String>, StoreError> {
        Ok(self.kept.publication.clone())
    }

    fn published(&self, revision: u64) -> Result<Option<String>, StoreError> {
        Ok(self.kept.published.get(&revision).cloned())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.writes += 1;
        if self.fails_at == Some(self.writes) {
            return Err(StoreError("the disk is full".to_owned()));
        }
        // All or nothing.
        let mut kept = self.kept.clone();
        kept.write(batch)?;
        self.kept = kept;
        Ok(())
    }
}
