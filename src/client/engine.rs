//! The moving parts: what is known, and how it becomes newer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::auth::keys::PublicKey;
use crate::core::ids::FlagKey;

use super::answer::{Answer, Failure, Kept};
use super::cache::Cache;
use super::fetch::{Cancel, Question, fetch};
use super::merge::{Change, Origin, Sources, Table, Told, Values};
use super::overrides::{OverrideFile, Overrides};
use super::schedule::Schedule;
use super::status::{Outcome, Refreshed, Source, Status, Trouble};
use super::world::World;

/// The override file is looked at this often at least: whoever edits it looks for what happens. It costs one
/// read of a small file. It is also how late a computer that slept asks, because timers do not run meanwhile.
const LOOK: Duration = Duration::from_mins(1);

/// Between two looks at least.
const PAUSE: Duration = Duration::from_millis(100);

/// So many features that were read as another type are remembered.
const MAX_MISTYPED: usize = 32;

/// What is asked, always the same.
pub(super) struct Asked {
    /// With the query.
    pub url: String,
    /// Which is signed.
    pub path: String,
    pub id: Option<String>,
    pub is_loopback: bool,
}

pub(super) struct Engine {
    asked: Asked,
    keys: Vec<PublicKey>,
    interval_ms: u64,
    timeout: Duration,
    cache: Option<Cache>,
    override_file: Option<OverrideFile>,
    platform: Table,
    defaults: Table,
    /// Warnings that nothing takes back.
    notes: Vec<String>,
    world: Arc<dyn World>,
    /// What readers see. Held for as long as it takes to copy a pointer.
    values: RwLock<Arc<Values>>,
    /// Never held over the network or the disk.
    state: Mutex<State>,
    /// Held by whoever asks.
    asking: Mutex<()>,
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    /// The last good answer and what it says.
    good: Option<(Kept, BTreeMap<FlagKey, Told>)>,
    overrides: Overrides,
    last_error: Option<Trouble>,
    override_problem: Option<String>,
    cache_problem: Option<String>,
    mistyped: BTreeSet<String>,
}

impl State {
    fn revision(&self) -> Option<u64> {
        self.good.as_ref().map(|(kept, _)| kept.revision())
    }

    /// Takes in what is on the disk, if it is newer. Whether any of it was.
    fn adopt(&mut self, schedule: Schedule, good: Option<(Kept, BTreeMap<FlagKey, Told>)>) -> bool {
        if schedule.set_at > self.schedule.set_at {
            self.schedule = schedule;
        }
        let age = |kept: &Kept| (kept.revision(), kept.confirmed_at);
        let known = self.good.as_ref().map(|(kept, _)| age(kept));
        let is_newer = good.as_ref().map(|(kept, _)| age(kept)) > known;
        if is_newer {
            self.good = good;
        }
        is_newer
    }
}

impl Engine {
    pub fn new(
        asked: Asked,
        keys: Vec<PublicKey>,
        (interval_ms, timeout): (u64, Duration),
        (cache, override_file): (Option<Cache>, Option<OverrideFile>),
        (platform, defaults): (Table, Table),
        notes: Vec<String>,
        world: Arc<dyn World>,
    ) -> Self {
        let engine = Self {
            asked,
            keys,
            interval_ms,
            timeout,
            cache,
            override_file,
            platform,
            defaults,
            notes,
            world,
            values: RwLock::default(),
            state: Mutex::default(),
            asking: Mutex::default(),
        };
        engine.read_cache();
        engine.read_overrides();
        engine.publish();
        engine
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in there is ever half done, so a panic elsewhere does no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn values(&self) -> Arc<Values> {
        let values = self.values.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&values)
    }

    /// One value of a type; `None` and a note if it has another.
    pub fn typed<T>(&self, key: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let values = self.values();
        let feature = values.get(key)?;
        let value = read(&feature.value);
        if value.is_none() && !feature.value.is_null() {
            let mut state = self.state();
            if state.mistyped.len() < MAX_MISTYPED {
                state.mistyped.insert(key.to_owned());
            }
        }
        value
    }

    /// Looks at the override file, and asks the router if it is time.
    pub fn refresh(&self, cancel: &Cancel) -> Refreshed {
        let _asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Refreshed {
                    outcome: Outcome::Busy,
                    changes: Vec::new(),
                };
            }
        };
        self.read_overrides();
        let outcome = self.ask(cancel);
        Refreshed {
            outcome,
            changes: self.publish(),
        }
    }

    fn is_due(&self) -> bool {
        let now = self.world.now();
        self.state().schedule.is_due(now, self.interval_ms)
    }

    /// How long until the next look.
    pub fn pause(&self) -> Duration {
        let next = self.state().schedule.next;
        let left = Duration::from_millis(next.millis_since(self.world.now()));
        left.clamp(PAUSE, LOOK)
    }

    fn ask(&self, cancel: &Cancel) -> Outcome {
        let is_due = self.is_due();
        // While nothing is known, what another process is being told at this moment is worth a wait.
        if !is_due && self.state().good.is_some() {
            return Outcome::NotDue;
        }
        let end = Instant::now() + self.timeout;
        let patience = match is_due {
            // Half of the time: a process that has the lock may have been stopped by Ctrl-Z.
            true => self.timeout / 2,
            false => self.timeout,
        };
        let lock = self
            .cache
            .as_ref()
            .and_then(|cache| cache.lock(patience, cancel));
        let is_newer = self.read_cache();
        if !self.is_due() {
            return match is_newer {
                true => Outcome::Shared,
                false => Outcome::NotDue,
            };
        }
        self.plan(|schedule| schedule.claimed(self.world.now(), self.interval_ms));
        self.write_cache();

        let (id, etag) = (self.asked.id.clone(), self.etag());
        let question = Question {
            url: self.asked.url.clone(),
            id,
            etag,
            proxy: !self.asked.is_loopback,
        };
        let left = end.saturating_duration_since(Instant::now());
        let answer = fetch(&question, left, self.world.now(), cancel);
        let outcome = answer.and_then(|answer| self.take(answer));
        if lock.is_none() {
            // Somebody else may have been faster.
            self.read_cache();
        }
        let outcome = self.note(outcome);
        self.write_cache();
        outcome
    }

    fn etag(&self) -> Option<String> {
        let state = self.state();
        let (kept, _) = state.good.as_ref()?;
        kept.answer.etag().map(str::to_owned)
    }

    fn plan(&self, next: impl FnOnce(&Schedule) -> Schedule) {
        let mut state = self.state();
        state.schedule = next(&state.schedule);
    }

    /// Takes in an answer that is to be trusted and not older than what is known. The router's revision only grows, so an
    /// older one is a stale replica's or a replay; it could miss a kill.
    fn take(&self, answer: Answer) -> Result<Outcome, Failure> {
        let now = self.world.now();
        answer.verify(&self.asked.path, &self.keys, now)?;
        let got = answer.revision()?;
        let mut state = self.state();
        if let Some(have) = state.revision()
            && got < have
        {
            return Err(Failure::Older { got, have });
        }
        if answer.status == 304 {
            let Some((kept, _)) = &mut state.good else {
                return Err(Failure::Malformed("it confirms nothing".into()));
            };
            kept.confirm(answer, now)?;
            return Ok(Outcome::NotModified);
        }
        let told = answer.read()?;
        state.good = Some((Kept::new(answer, now), told));
        Ok(Outcome::Fetched)
    }

    /// Notes how it went, and when to ask next.
    fn note(&self, outcome: Result<Outcome, Failure>) -> Outcome {
        let (now, random) = (self.world.now(), self.world.random());
        let mut state = self.state();
        match outcome {
            Ok(outcome) => {
                state.last_error = None;
                state.schedule = Schedule::succeeded(now, self.interval_ms, random);
                outcome
            }
            // What was claimed holds: the next one asks in a minute.
            Err(Failure::Cancelled) => Outcome::Failed(Failure::Cancelled),
            Err(failure) => {
                let wait = match failure {
                    Failure::Status {
                        status: 429 | 503,
                        retry_after_ms,
                    } => retry_after_ms,
                    _ => None,
                };
                state.schedule = state.schedule.failed(now, self.interval_ms, random, wait);
                state.last_error = Some(Trouble {
                    at: now,
                    message: failure.to_string(),
                });
                Outcome::Failed(failure)
            }
        }
    }

    /// Takes in what is on the disk, if it can be trusted and is newer. Whether it was.
    fn read_cache(&self) -> bool {
        let Some(cache) = &self.cache else {
            return false;
        };
        let loaded = cache.load().and_then(|stored| {
            let Some(stored) = stored else {
                return Ok(None);
            };
            let good = stored.kept.map(|kept| {
                let told = kept.check(&self.asked.path, &self.keys);
                told.map(|told| (kept, told)).map_err(|e| e.to_string())
            });
            Ok(Some((stored.schedule, good.transpose()?)))
        });
        let mut state = self.state();
        match loaded {
            Ok(None) => false,
            Ok(Some((schedule, good))) => state.adopt(schedule, good),
            Err(why) => {
                state.cache_problem = Some(format!("it is not used: {why}"));
                false
            }
        }
    }

    fn write_cache(&self) {
        let Some(cache) = &self.cache else {
            return;
        };
        let (schedule, kept) = {
            let state = self.state();
            let kept = state.good.as_ref().map(|(kept, _)| kept.clone());
            (state.schedule, kept)
        };
        let saved = cache.save(schedule, kept);
        self.state().cache_problem = saved
            .err()
            .map(|why| format!("it cannot be written: {why}"));
    }

    /// A file that cannot be read leaves what it said before: somebody may be in the middle of editing it.
    fn read_overrides(&self) {
        let Some(file) = &self.override_file else {
            return;
        };
        let loaded = file.load();
        let mut state = self.state();
        match loaded {
            Ok(overrides) => {
                state.overrides = overrides;
                state.override_problem = None;
            }
            Err(e) => state.override_problem = Some(e.to_string()),
        }
    }

    /// Shows readers what is known now. What is different.
    fn publish(&self) -> Vec<Change> {
        let new = {
            let state = self.state();
            let sources = Sources {
                router: state.good.as_ref().map(|(_, told)| told),
                overrides: &state.overrides.features,
                platform: &self.platform,
                defaults: &self.defaults,
            };
            sources.merge()
        };
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        let changes = values.changes(&new);
        *values = Arc::new(new);
        changes
    }

    pub fn status(&self) -> Status {
        let values = self.values();
        let state = self.state();
        let now = self.world.now();
        let kept = state.good.as_ref().map(|(kept, _)| kept);
        let source = match kept {
            None => Source::Defaults,
            Some(kept)
                if now.apart(kept.confirmed_at) <= self.interval_ms + self.interval_ms / 5 =>
            {
                Source::Router
            }
            Some(_) => Source::LastGood,
        };
        let killed = values.iter().filter(|(_, f)| f.origin == Origin::Killed);
        let killed: Vec<FlagKey> = killed.map(|(key, _)| key.clone()).collect();
        let is_void = |key: &FlagKey, value: &Value| {
            values.get(key.as_str()).is_some_and(|f| f.value != *value)
        };
        let (mut overrides, mut void) = (state.overrides.features.clone(), Vec::new());
        overrides.retain(|key, value| {
            let holds = !is_void(key, value);
            if !holds {
                void.push(key.clone());
            }
            holds
        });
        Status {
            url: self.asked.url.clone(),
            source,
            revision: state.revision(),
            fetched_at: kept.map(|kept| kept.fetched_at),
            confirmed_at: kept.map(|kept| kept.confirmed_at),
            next_due: state.schedule.next,
            failures: state.schedule.failures,
            last_error: state.last_error.clone(),
            signed: !self.keys.is_empty(),
            cache: self.cache.as_ref().map(|cache| cache.path().to_owned()),
            override_file: self
                .override_file
                .as_ref()
                .map(|file| file.path().to_owned()),
            overrides,
            warnings: self.warnings(&state, &void),
            void,
            killed,
        }
    }

    fn warnings(&self, state: &State, void: &[FlagKey]) -> Vec<String> {
        let mut warnings = self.notes.clone();
        if let (Some(cache), Some(problem)) = (&self.cache, &state.cache_problem) {
            warnings.push(format!("the cache {}: {problem}", cache.path().display()));
        }
        warnings.extend(state.override_problem.clone());
        warnings.extend(state.overrides.warnings.iter().cloned());
        let void = void
            .iter()
            .map(|key| format!("the override of {key} is void: it is killed"));
        warnings.extend(void);
        let mistyped = state.mistyped.iter();
        warnings.extend(mistyped.map(|key| format!("{key} was read as what it is not")));
        warnings
    }
}
