//! The Durable Object of an experiment's counts. One for each, so that what is counted never stands in the
//! way of the ledger. What is counted how is in [`crate::core::experiment::tally`].

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use crate::api::ports::StoreError;
use crate::core::decode::{hex, to_hex};
use crate::core::experiment::tally::{Cell, Count, Counts, EVER, Seen, cells, day};
use crate::core::time::Timestamp;

use super::js::{ObjectState, Storage, promise};
use super::now;
use super::sql::{answered, as_text, as_u64, ask, number};

/// What the object is asked by the Worker itself.
pub const COUNT: &str = "/__tally/count";
pub const READ: &str = "/__tally/read";

/// So long after the last sighting the key and every mark are gone; the counts stay.
const KEEP_MS: u64 = 30 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS mark (day INTEGER, mark INTEGER, PRIMARY KEY (day, mark)) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS count (day INTEGER, variant TEXT, metric TEXT, \
     total INTEGER NOT NULL, good INTEGER NOT NULL, PRIMARY KEY (day, variant, metric)) WITHOUT ROWID",
];

/// The class that `wrangler.toml` binds as `TALLY`.
#[wasm_bindgen(js_name = Tally)]
pub struct TallyObject {
    storage: Storage,
}

#[wasm_bindgen(js_class = Tally)]
impl TallyObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: ObjectState, _env: JsValue) -> Self {
        Self {
            storage: state.storage(),
        }
    }

    pub fn fetch(&self, request: web_sys::Request) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            let work = |path: &str, text: &str| match path {
                COUNT => count(&storage, text, now()).map(|()| String::new()),
                _ => read(&storage),
            };
            answered("tally", &request, work).await
        })
    }

    /// Forgets the marks that are no longer needed.
    pub fn alarm(&self) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            if let Err(e) = forget(&storage, now()) {
                worker::console_error!("tally: {e}");
            }
            Ok(JsValue::UNDEFINED)
        })
    }
}

fn meta(storage: &Storage, key: &str) -> Result<Option<String>, StoreError> {
    let rows = ask(
        storage,
        "SELECT value FROM meta WHERE key = ?",
        [key.into()],
    )?;
    Ok(rows.first().map(|row| as_text(row.first())))
}

fn set_meta(storage: &Storage, key: &str, value: &str) -> Result<(), StoreError> {
    let text = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)";
    ask(storage, text, [key.into(), value.into()]).map(|_| ())
}

fn open(storage: &Storage) -> Result<(), StoreError> {
    TABLES
        .iter()
        .try_for_each(|table| ask(storage, table, []).map(|_| ()))
}

/// The key of the marks, made when it is first needed.
fn key(storage: &Storage) -> Result<[u8; 16], StoreError> {
    if let Some(key) = meta(storage, "key")?.as_deref().and_then(hex) {
        return Ok(key);
    }
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|_| StoreError("no randomness".to_owned()))?;
    set_meta(storage, "key", &to_hex(&key))?;
    Ok(key)
}

/// Without an await in between, so all of it is written or nothing.
fn count(storage: &Storage, text: &str, now: Timestamp) -> Result<(), StoreError> {
    let seen: Vec<Seen> = serde_json::from_str(text).map_err(|e| StoreError(e.to_string()))?;
    open(storage)?;
    let (key, today) = (key(storage)?, day(now));
    for (cell, mark, good) in seen.iter().flat_map(|seen| cells(seen, today, &key)) {
        let new = ask(
            storage,
            "INSERT INTO mark (day, mark) VALUES (?, ?) ON CONFLICT DO NOTHING RETURNING 1",
            [number(cell.day.into()), number(mark.into())],
        )?;
        if new.is_empty() {
            continue;
        }
        ask(
            storage,
            "INSERT INTO count (day, variant, metric, total, good) VALUES (?, ?, ?, 1, ?) \
             ON CONFLICT DO UPDATE SET total = total + 1, good = good + excluded.good",
            [
                number(cell.day.into()),
                cell.variant.as_str().into(),
                cell.metric.as_str().into(),
                number(good.into()),
            ],
        )?;
    }
    set_meta(storage, "last", &now.millis().to_string())?;
    wake(storage, today);
    Ok(())
}

/// At the end of the day.
fn wake(storage: &Storage, today: u32) {
    let midnight = (f64::from(today) + 1.0) * DAY_MS as f64;
    // Nothing waits for it: a failed write of the storage resets the object.
    let _ = storage.set_alarm(midnight);
}

fn forget(storage: &Storage, now: Timestamp) -> Result<(), StoreError> {
    open(storage)?;
    let today = day(now);
    let last = meta(storage, "last")?.and_then(|text| text.parse().ok());
    let last = Timestamp::from_millis(last.unwrap_or(0));
    if now.millis_since(last) > KEEP_MS {
        ask(storage, "DELETE FROM mark", [])?;
        ask(storage, "DELETE FROM meta WHERE key = 'key'", [])?;
        return Ok(());
    }
    ask(
        storage,
        "DELETE FROM mark WHERE day <> ? AND day < ?",
        [number(EVER.into()), number(today.into())],
    )?;
    wake(storage, today);
    Ok(())
}

fn read(storage: &Storage) -> Result<String, StoreError> {
    open(storage)?;
    let rows = ask(
        storage,
        "SELECT day, variant, metric, total, good FROM count",
        [],
    )?;
    let mut counts = Counts::default();
    for row in rows {
        let cell = Cell {
            day: as_u64(row.first()) as u32,
            variant: as_text(row.get(1)),
            metric: as_text(row.get(2)),
        };
        let count = Count {
            total: as_u64(row.get(3)),
            good: as_u64(row.get(4)),
        };
        counts.0.insert(cell, count);
    }
    let list: Vec<_> = counts.0.iter().collect();
    serde_json::to_string(&list).map_err(|e| StoreError(e.to_string()))
}
