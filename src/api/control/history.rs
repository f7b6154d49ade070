//! `GET /history.json`, where the ledger is. The edge asks for it; see [`crate::api::history`].

use crate::api::ports::{Batch, Store, StoreError};
use crate::core::history::{Event, Record, plan_history};
use crate::core::ids::ReleaseName;
use crate::core::ledger::event::Row;
use crate::core::ledger::kv::Convergence;
use crate::core::ledger::{self, Live};
use crate::core::snapshot::{Release, Snapshot};
use crate::core::time::Timestamp;
use crate::wire::history::{Happened, History, PublicChange, ReleaseHistory};
use crate::wire::looks::Rollout;

use super::ledger::{Ledger, state_at};
use super::write::snapshot;

/// How many records are looked at, the newest. A drain makes one, and a decision that holds none.
const MAX_RECORDS: u64 = 2_000;

/// Of each release, and of all together.
const MAX_EVENTS: usize = 200;
const MAX_CHANGES: usize = 50;

/// Rows that are gone through again where no record was ever made: an older router wrote them.
const BACKFILL: u64 = 200;

/// What was made lately is given again for so long, unless something has changed. Only times in it are older then.
const KEEP_MS: u64 = 5_000;

/// A history that was made.
#[derive(Debug)]
pub(super) struct Made {
    /// The last row, and the last revision that KV has.
    of: (u64, Option<u64>),
    at: Timestamp,
    text: String,
}

impl<S: Store> Ledger<S> {
    /// The text of the history. However often it is asked for, it is made once in five seconds or once for each change.
    ///
    /// # Errors
    /// When the store fails.
    pub fn history(&mut self, now: Timestamp) -> Result<String, StoreError> {
        let published = self.publication.convergence.as_ref();
        let of = (self.live.state.seq, published.map(|took| took.revision));
        if let Some(made) = &self.history
            && made.of == of
            && now.apart(made.at) < KEEP_MS
        {
            return Ok(made.text.clone());
        }
        let records = self.store.history(MAX_RECORDS)?;
        // One that a newer router wrote may say more than can be read here.
        let records = records
            .iter()
            .filter_map(|text| serde_json::from_str(text).ok());
        let records: Vec<Record> = records.collect();
        let snapshot = snapshot(&self.live, &self.defaults);
        let releases = snapshot.releases.iter();
        let history = History {
            product: &self.defaults.product,
            generated_at: now,
            revision: self.live.state.revision,
            stable: self.live.config.as_ref().map(|c| c.stable.to_string()),
            releases: releases
                .map(|release| of_release(&self.live, &snapshot, release, &records, now))
                .collect(),
            changes: records.iter().take(MAX_CHANGES).map(change).collect(),
            convergence: published,
        };
        // Structs of strings and numbers always serialize.
        let text = serde_json::to_string(&history).unwrap_or_default();
        self.history = Some(Made {
            of,
            at: now,
            text: text.clone(),
        });
        Ok(text)
    }

    /// Makes the records of the last rows, where there are rows and no record.
    pub(super) fn backfill(&mut self) -> Result<(), StoreError> {
        let seq = self.live.state.seq;
        if seq == 0 || !self.store.history(1)?.is_empty() {
            return Ok(());
        }
        let mut before = Live::new(state_at(&self.store, seq.saturating_sub(BACKFILL))?);
        let mut history = Vec::new();
        for stored in self.store.rows(before.state.seq, BACKFILL)? {
            let Some(row) = Row::parse(&stored.text) else {
                break;
            };
            let mut state = before.state.clone();
            state.fold(&row, stored.hash);
            let after = Live::new(state);
            if let Some(record) = Record::of(&before, &after, row.at, row.revision) {
                history.push((row.seq, text(&record)));
            }
            before = after;
        }
        if history.is_empty() {
            return Ok(());
        }
        self.store.write(&Batch {
            history,
            ..Batch::default()
        })
    }

    /// How long a revision took that has just been written to KV, unless it was there before.
    pub(super) fn convergence(
        &self,
        revision: u64,
        now: Timestamp,
    ) -> Result<Option<Convergence>, StoreError> {
        let known = self.publication.convergence.as_ref();
        if known.is_some_and(|took| took.revision >= revision) {
            return Ok(None);
        }
        let Some(seq) = self.store.row_at_revision(revision)? else {
            return Ok(None);
        };
        let row = self.store.rows(seq.saturating_sub(1), 1)?.pop();
        Ok(row.map(|row| Convergence {
            revision,
            changed_at: row.at,
            published_at: now,
            milliseconds: now.millis_since(row.at),
        }))
    }
}

/// As it is kept.
pub(super) fn text(record: &Record) -> String {
    // Strings and numbers always serialize.
    serde_json::to_string(record).unwrap_or_default()
}

fn change(record: &Record) -> PublicChange {
    PublicChange {
        at: record.at,
        revision: record.revision,
        text: record.text(),
    }
}

/// `records`: the newest first.
fn of_release<'a>(
    live: &Live,
    snapshot: &'a Snapshot,
    release: &'a Release,
    records: &[Record],
    now: Timestamp,
) -> ReleaseHistory<'a> {
    let own = of_name(&release.name, records);
    let looked = ledger::looked(live, &release.name, now).ok();
    let plan = looked.map(|looked| {
        let planned = looked.planned;
        let events = own.iter().copied();
        plan_history(
            &looked.plan,
            &planned.run,
            planned.last.as_ref(),
            events,
            now,
        )
    });
    let old = own.len().saturating_sub(MAX_EVENTS);
    let happened = own.iter().skip(old).map(|(at, event)| Happened {
        at: *at,
        percentage: event.percentage,
        phase: event.phase.clone(),
        event: event.event,
    });
    ReleaseHistory {
        rollout: Rollout::of(snapshot, release),
        plan,
        history: happened.collect(),
    }
}

/// A release's events, the oldest first.
fn of_name<'r>(name: &ReleaseName, records: &'r [Record]) -> Vec<(Timestamp, &'r Event)> {
    let events = records.iter().rev().flat_map(|record| {
        let events = record.events.iter();
        events.map(|event| (record.at, event))
    });
    events.filter(|(_, event)| event.release == *name).collect()
}
