//! The one writer: state in memory, everything else in its store.

use crate::api::ports::{Batch, Store, StoreError, Stored};
use crate::core::decode::Problem;
use crate::core::defaults::Defaults;
use crate::core::history::Record;
use crate::core::ids::ReleaseName;
use crate::core::ledger::event::{Actor, Row, Scope};
use crate::core::ledger::kv::{self, Finding, Publication, Put, Seen};
use crate::core::ledger::{
    Context, Live, Outcome, Prepared, Rejection, State, adopt, drain_step, remind, stop,
};
use crate::core::table::Table;
use crate::core::time::Timestamp;

use super::history::{self, Made};
use super::outbox::{alert_text, turned_texts};
use super::plans::Guarded;

/// A state is written out after this many rows, so that opening folds few.
const CHECKPOINT_EVERY: u64 = 100;

/// Rows that are folded at a time.
const PAGE: u64 = 500;

/// How long an answer can be asked for again by its idempotency key.
const ANSWER_MS: u64 = 24 * 3_600_000;

/// KV is looked at again when the last look is this old, unless something else is due before.
pub const LOOK_MS: u64 = 60_000;

/// The same where the last look failed.
const LOOK_AGAIN_MS: u64 = 5_000;

/// Why a write did not happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    Rejected(Rejection),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(e: StoreError) -> Self {
        Self::Store(e)
    }
}

impl From<Rejection> for Failure {
    fn from(e: Rejection) -> Self {
        Self::Rejected(e)
    }
}

/// Until when somebody is at something, at the latest; nobody else begins it before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Busy {
    pub publishing: Option<Timestamp>,
    pub delivering: Option<Timestamp>,
}

/// The last row, as it is kept beside the log: what shows that rows at the end are gone.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Head {
    pub seq: u64,
    pub revision: u64,
    pub hash: String,
}

pub(super) fn head<S: Store>(store: &S) -> Result<Option<Head>, StoreError> {
    // Whatever else is there is as good as nothing: the log itself says the rest.
    Ok(store
        .head()?
        .and_then(|text| serde_json::from_str(&text).ok()))
}

/// An answer that can be given again: its key and text.
pub type Answered = (String, String);

/// The ledger, open.
#[derive(Debug)]
pub struct Ledger<S> {
    pub live: Live,
    pub store: S,
    pub publication: Publication,
    pub defaults: Defaults,
    /// The row after which clients were last told that something changed, and a hash of what.
    pub(super) told: Option<(u64, String)>,
    /// When plans were last looked at, and why their evidence could not be read.
    pub(super) guarded: Table<ReleaseName, Guarded>,
    pub(super) evidence_error: Option<String>,
    /// What anybody was told of what happened last.
    pub(super) history: Option<Made>,
}

impl<S: Store> Ledger<S> {
    /// Reads the newest checkpoint and folds what came after it.
    ///
    /// # Errors
    /// When the store fails, or holds what this router cannot read: then nothing may be written.
    pub fn open(store: S, defaults: Defaults) -> Result<Self, StoreError> {
        let mut state = state_at(&store, u64::MAX)?;
        if let Some(head) = head(&store)?
            && head.seq > state.seq
        {
            // The last rows are gone. Their numbers are not given out again: so the gap stays to be
            // found, and no revision means two things.
            state.seq = head.seq;
            state.revision = head.revision.max(state.revision);
            state.head = head.hash;
        }
        let publication = match store.publication()? {
            Some(text) => serde_json::from_str(&text)
                .map_err(|_| StoreError("what is known of KV cannot be read".to_owned()))?,
            None => Publication::default(),
        };
        let mut ledger = Self {
            live: Live::new(state),
            store,
            publication,
            defaults,
            told: None,
            guarded: Table::default(),
            evidence_error: None,
            history: None,
        };
        // Without it the public history begins later, and nothing else: no reason to be of no use.
        let _ = ledger.backfill();
        Ok(ledger)
    }

    /// The state as of a revision; `None` if there was none yet.
    pub fn at_revision(&self, revision: u64) -> Result<Option<Live>, StoreError> {
        let Some(seq) = self.store.row_at_revision(revision)? else {
            return Ok(None);
        };
        Ok(Some(Live::new(state_at(&self.store, seq)?)))
    }

    /// Appends a row, with the alert about it and the answer to give again.
    pub fn append(
        &mut self,
        prepared: Prepared,
        alert: bool,
        answered: Option<Answered>,
    ) -> Result<(), StoreError> {
        let Prepared {
            row,
            text,
            hash,
            next,
        } = prepared;
        let checkpoint = row
            .seq
            .is_multiple_of(CHECKPOINT_EVERY)
            .then(|| (row.seq, next.state.text()));
        let mut alerts = Vec::new();
        if alert {
            alerts.push((row.at, alert_text(&row)));
        }
        let record = Record::of(&self.live, &next, row.at, row.revision);
        let history = record.map(|record| (row.seq, history::text(&record)));
        // The call for it says so itself; a whole document turns switches in passing.
        if row.action != "kill.set" {
            let texts = turned_texts(&self.live, &next, &row);
            alerts.extend(texts.into_iter().map(|text| (row.at, text)));
        }
        let head = Head {
            seq: row.seq,
            revision: row.revision,
            hash: hash.clone(),
        };
        let batch = Batch {
            alerts,
            answer: answered.map(|(key, text)| (key, row.at, text)),
            head: serde_json::to_string(&head).ok(),
            history: history.into_iter().collect(),
            row: Some(Stored {
                seq: row.seq,
                revision: row.revision,
                at: row.at,
                actor: row.actor.id,
                action: row.action,
                target: row.target,
                text,
                hash,
            }),
            checkpoint,
            ..Batch::default()
        };
        self.store.write(&batch)?;
        self.live = next;
        Ok(())
    }

    /// Keeps an answer that goes with no row, to be given again.
    pub fn remember(&mut self, (key, text): Answered, now: Timestamp) -> Result<(), StoreError> {
        self.store.write(&Batch {
            answer: Some((key, now, text)),
            ..Batch::default()
        })
    }

    /// What the ledger does by itself; whether that was anything.
    pub(super) fn act(&mut self, outcome: &Outcome, context: &Context) -> Result<bool, Failure> {
        let Some(prepared) = self.live.prepare(outcome, context)? else {
            return Ok(false);
        };
        self.append(prepared, outcome.alert, None)?;
        Ok(true)
    }

    /// Takes in what KV says.
    ///
    /// # Errors
    /// When something could not be stored; what was found is found again the next time.
    pub fn look(&mut self, seen: &Seen, now: Timestamp) -> Result<(), Failure> {
        let named = seen.config.as_ref().and_then(|v| v.metadata.as_ref());
        let own = match named {
            Some(metadata) => self.own(metadata.revision)?,
            None => None,
        };
        let known = |_| own.clone();
        let findings = kv::examine(&self.live, &self.publication, seen, known, now);
        let mut publication = self.publication.clone();
        publication.checked = Some(now);
        publication.stop_is_foreign = seen.stop.as_ref().is_some_and(|v| !v.is_ledgers());
        if publication.failures() == 0 {
            publication.error = None;
        }
        let mut alerts = Vec::new();
        let context = Context {
            actor: Actor::kv(),
            approved_by: None,
            now,
            reason: String::new(),
            floor: 0,
        };
        for finding in findings {
            match finding {
                Finding::Stop(scopes) => {
                    self.adopt_stop(&scopes, &context)?;
                    publication.stop_by_hand = Some(now);
                    publication.stop_echoes = true;
                }
                Finding::StopRemoved if publication.stop_missing => {}
                Finding::StopRemoved => {
                    publication.stop_missing = true;
                    alerts.push(
                        "The key emergency-stop was removed by hand. The stop stands and the key \
                         is put back; a release manager lifts it with clear-stop."
                            .to_owned(),
                    );
                }
                Finding::Edit {
                    document,
                    revision,
                    hash,
                } => match self.adopt(&document, revision, &context) {
                    Ok(()) => publication.adopted(hash, now),
                    // Valid by itself, but not with the stops held: it is one to be mended.
                    Err(Failure::Rejected(Rejection::Breaks(problems))) => {
                        alerts.extend(bad_edit(&mut publication, hash, problems, now));
                    }
                    Err(e) => return Err(e),
                },
                Finding::BadEdit(edit) => {
                    alerts.extend(bad_edit(&mut publication, edit.hash, edit.problems, now));
                }
                Finding::Mended => publication.bad_edit = None,
            }
        }
        self.save(publication, alerts, now, None)
    }

    /// The hash of what the ledger wrote as a revision, or may have: a write can land and be reported
    /// as failed, or a crash can come between the two, so the log is asked as well.
    fn own(&self, revision: u64) -> Result<Option<String>, StoreError> {
        if let Some(landed) = self.store.published(revision)? {
            return Ok(Some(landed));
        }
        let live = self.at_revision(revision)?;
        let text = live.and_then(|live| live.state.published());
        Ok(text.map(|text| kv::Metadata::of(revision, &text).hash))
    }

    fn adopt(
        &mut self,
        document: &crate::core::json::Json,
        revision: u64,
        context: &Context,
    ) -> Result<(), Failure> {
        let outcome = adopt(&self.live, document);
        let mut context = context.clone();
        context.floor = revision;
        context.reason = "a person's edit of the key config".to_owned();
        self.act(&outcome, &context)?;
        Ok(())
    }

    fn adopt_stop(&mut self, scopes: &[Scope], context: &Context) -> Result<(), Failure> {
        let mut context = context.clone();
        context.reason = "the key emergency-stop was set by hand".to_owned();
        for scope in scopes {
            let outcome = stop(&self.live, scope)?;
            self.act(&outcome, &context)?;
        }
        Ok(())
    }

    fn save(
        &mut self,
        publication: Publication,
        alerts: Vec<String>,
        now: Timestamp,
        published: Option<(u64, String)>,
    ) -> Result<(), Failure> {
        if publication == self.publication && alerts.is_empty() && published.is_none() {
            return Ok(());
        }
        self.store.write(&Batch {
            publication: serde_json::to_string(&publication).ok(),
            alerts: alerts.into_iter().map(|text| (now, text)).collect(),
            published,
            ..Batch::default()
        })?;
        self.publication = publication;
        Ok(())
    }

    /// Takes in that KV could not be read.
    pub fn could_not_look(&mut self, error: &str) {
        self.publication.error = Some(error.to_owned());
    }

    /// What is to be written to KV now.
    pub fn puts(&self, seen: Option<&Seen>, now: Timestamp) -> Vec<Put> {
        let due = kv::due(&self.live, &self.publication, seen, now);
        let now = due.into_iter().filter(|(at, _)| *at <= now);
        now.map(|(_, put)| put).collect()
    }

    /// Takes in how a write to KV went. Writing is told of when it fails for long.
    pub fn wrote(
        &mut self,
        put: &Put,
        result: Result<(), String>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let mut publication = self.publication.clone();
        let landed = result.is_ok();
        let told = publication.failures();
        publication.wrote(put, result, now);
        if landed && put.key == "config" {
            let took = self.convergence(put.metadata.revision, now)?;
            publication.convergence = took.or(publication.convergence);
        }
        let mut alerts = Vec::new();
        if publication.failures() == FAILURES_TOLD && told < FAILURES_TOLD {
            alerts.push(format!(
                "KV has refused {FAILURES_TOLD} writes in a row; changes up to revision {} are \
                 kept and will be published when it takes them.",
                self.live.state.revision
            ));
        }
        let is_config = landed && put.key == "config";
        let published = is_config.then(|| (put.metadata.revision, put.metadata.hash.clone()));
        self.save(publication, alerts, now, published)
    }

    /// Does what is due by the clock: steps of drains, reminders, forgetting old answers.
    pub fn tick(&mut self, now: Timestamp) -> Result<(), Failure> {
        let context = Context {
            actor: Actor::ledger(),
            approved_by: None,
            now,
            reason: String::new(),
            floor: 0,
        };
        // Each step moves its own due time on, so this ends.
        while let Some((_, Some(outcome))) = drain_step(&self.live, now) {
            if !self.act(&outcome, &context)? {
                break;
            }
        }
        while let Some((_, Some(outcome))) = remind(&self.live, now) {
            if !self.act(&outcome, &context)? {
                break;
            }
        }
        Ok(())
    }

    /// Forgets answers that nobody can ask for again.
    pub fn forget(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.store.write(&Batch {
            forget_before: Some(Timestamp::from_millis(
                now.millis().saturating_sub_unsigned(ANSWER_MS),
            )),
            ..Batch::default()
        })
    }

    /// When the ledger has to be woken. `webhook`: whether alerts can be delivered at all.
    pub fn wake_at(
        &self,
        webhook: bool,
        busy: &Busy,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let look = match self.publication.checked {
            // Not of a clock that was set back since.
            Some(at) if at <= now => at.plus_millis(LOOK_MS),
            _ => now,
        };
        let mut wake = match &self.publication.error {
            // It was tried and could not be read.
            Some(_) if look <= now => now.plus_millis(LOOK_AGAIN_MS),
            _ => look.max(now),
        };
        let puts = kv::due(&self.live, &self.publication, None, now);
        let puts = puts.into_iter().map(|(at, _)| at).min();
        let puts = puts.map(|at| at.max(busy.publishing.unwrap_or(at)));
        wake = wake.max(busy.publishing.unwrap_or(wake));
        let drain = drain_step(&self.live, now).map(|(at, _)| at);
        let reminder = remind(&self.live, now).map(|(at, _)| at);
        let plan = self.next_plan_due(now);
        let alert = match webhook {
            true => self.store.alerts(1)?.first().map(|alert| alert.next),
            false => None,
        };
        let alert = alert.map(|at| at.max(busy.delivering.unwrap_or(at)));
        for at in [puts, drain, reminder, plan, alert].into_iter().flatten() {
            wake = wake.min(at);
        }
        Ok(wake.max(now))
    }
}

/// After this many failed writes in a row (about half a minute) people are told.
const FAILURES_TOLD: u32 = 5;

fn bad_edit(
    publication: &mut Publication,
    hash: String,
    problems: Vec<Problem>,
    now: Timestamp,
) -> Option<String> {
    if publication
        .bad_edit
        .as_ref()
        .is_some_and(|b| b.hash == hash)
    {
        return None;
    }
    // Where, not what: a value could be somebody's address.
    let first = problems.first().map(|p| p.path.clone()).unwrap_or_default();
    let text = format!(
        "The configuration in KV was edited by hand and cannot be used: {} problem(s), the first \
         at {}. The last good one is served; /ops/status.json lists them.",
        problems.len(),
        if first.is_empty() { "the top" } else { &first }
    );
    publication.bad_edit = Some(kv::BadEdit {
        hash,
        since: now,
        problems,
    });
    Some(text)
}

/// The newest checkpoint at or before a row, and the rows up to it folded over that.
pub fn state_at<S: Store>(store: &S, seq: u64) -> Result<State, StoreError> {
    let unreadable = |what: &str, seq: u64| StoreError(format!("{what} {seq} cannot be read"));
    let mut state = match store.checkpoint(seq)? {
        Some((at, text)) => State::parse(&text).ok_or_else(|| unreadable("checkpoint", at))?,
        None => State::default(),
    };
    loop {
        let rows = store.rows(state.seq, PAGE)?;
        let more = rows.len() as u64 == PAGE;
        for stored in rows {
            if stored.seq > seq {
                return Ok(state);
            }
            let row = Row::parse(&stored.text).ok_or_else(|| unreadable("row", stored.seq))?;
            state.fold(&row, stored.hash);
        }
        if !more {
            return Ok(state);
        }
    }
}
