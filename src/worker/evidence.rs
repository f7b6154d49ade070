//! The Durable Objects of the evidence: one of a few shards each, so that no amount of it stands in the ledger's way.
//! What is counted how is in [`crate::core::evidence`].

use std::cell::Cell;
use std::rc::Rc;

use js_sys::Promise;
use wasm_bindgen::prelude::*;

use crate::api::ports::StoreError;
use crate::core::decode::{hex, to_hex};
use crate::core::evidence::series::{By, Chart};
use crate::core::evidence::{
    Arm, Fate, KEEP_HOURS_MS, KEEP_MARKS_MS, KEEP_MINUTES_MS, Key, Known, Observation, Of, Piece,
    Query, Row, fold, hour, marks, minute, pieces,
};
use crate::core::table::{Set, Table};
use crate::core::time::Timestamp;

use super::js::{ObjectState, Storage, promise};
use super::now;
use super::sql::{Writes, answered, as_text, as_u64, ask, number};

/// What the object is asked by the Worker itself.
pub const ADD: &str = "/__evidence/add";
pub const READ: &str = "/__evidence/read";
pub const CHART: &str = "/__evidence/chart";

const COUNTS: &str = "(at INTEGER, release TEXT, arm TEXT, revision INTEGER, cohort TEXT, \
     platform TEXT, metric TEXT, edge INTEGER, total INTEGER NOT NULL, good INTEGER NOT NULL, \
     PRIMARY KEY (at, release, arm, revision, cohort, platform, metric, edge)) WITHOUT ROWID";

const TABLES: [&str; 6] = [
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS seen (mark INTEGER PRIMARY KEY, at INTEGER NOT NULL)",
    "CREATE INDEX IF NOT EXISTS seen_at ON seen (at)",
    "CREATE TABLE IF NOT EXISTS session (mark INTEGER PRIMARY KEY, at INTEGER NOT NULL, \
     release TEXT NOT NULL, arm TEXT NOT NULL, cohort TEXT NOT NULL, platform TEXT NOT NULL)",
    // Two of one form, which is COUNTS.
    "CREATE TABLE IF NOT EXISTS minute ",
    "CREATE TABLE IF NOT EXISTS hour ",
];

/// The class that `wrangler.toml` binds as `EVIDENCE`.
#[wasm_bindgen(js_name = Evidence)]
pub struct EvidenceObject {
    storage: Storage,
    /// The hour at whose end it is to forget; `None`: it has just begun.
    hour: Rc<Cell<Option<u32>>>,
}

#[wasm_bindgen(js_class = Evidence)]
impl EvidenceObject {
    #[wasm_bindgen(constructor)]
    pub fn new(state: ObjectState, _env: JsValue) -> Self {
        Self {
            storage: state.storage(),
            hour: Rc::default(),
        }
    }

    pub fn fetch(&self, request: web_sys::Request) -> Promise {
        let (storage, hour) = (self.storage.clone(), self.hour.clone());
        promise(async move {
            let work = |path: &str, text: &str| {
                let now = now();
                prepare(&storage, &hour, now)?;
                match path {
                    ADD => add(&storage, text, now),
                    CHART => chart(&storage, text),
                    _ => read(&storage, text, now),
                }
            };
            answered("evidence", &request, work).await
        })
    }

    /// Forgets what is too old.
    pub fn alarm(&self) -> Promise {
        let storage = self.storage.clone();
        promise(async move {
            if let Err(e) = forget(&storage, now()) {
                worker::console_error!("evidence: {e}");
                wake(&storage, now());
            }
            Ok(JsValue::UNDEFINED)
        })
    }
}

/// Once when it begins there are its tables, and once an hour it is told to forget at the end of it.
fn prepare(storage: &Storage, hours: &Cell<Option<u32>>, now: Timestamp) -> Result<(), StoreError> {
    if hours.get().is_none() {
        for table in TABLES {
            let counts = if table.ends_with(' ') { COUNTS } else { "" };
            ask(storage, &format!("{table}{counts}"), [])?;
        }
    }
    let this = Some(hour(minute(now)));
    if hours.get() != this {
        wake(storage, now);
        hours.set(this);
    }
    Ok(())
}

/// The key of the marks, made when it is first needed.
fn key(storage: &Storage) -> Result<Key, StoreError> {
    let rows = ask(storage, "SELECT value FROM meta WHERE key = 'key'", [])?;
    let stored = rows.first().map(|row| as_text(row.first()));
    if let Some(key) = stored.as_deref().and_then(hex) {
        return Ok(key);
    }
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(|_| StoreError("no randomness".to_owned()))?;
    let text = "INSERT OR REPLACE INTO meta (key, value) VALUES ('key', ?)";
    ask(storage, text, [to_hex(&key).into()])?;
    Ok(key)
}

/// Which of a batch was counted before, and what is known of its sessions.
fn known(storage: &Storage, key: &Key, batch: &[Observation]) -> Result<Known, StoreError> {
    let (marks, sessions) = marks(key, batch);
    let mut seen = Set::default();
    let text = "SELECT mark FROM seen WHERE mark IN (SELECT value FROM json_each(?)) ORDER BY mark";
    for row in ask(storage, text, [text_of(&marks).into()])? {
        seen.insert(as_u64(row.first()), ());
    }
    let mut known = Table::default();
    let text = "SELECT mark, release, arm, cohort, platform FROM session \
         WHERE mark IN (SELECT value FROM json_each(?)) ORDER BY mark";
    for row in ask(storage, text, [text_of(&sessions).into()])? {
        let of = Of {
            release: as_text(row.get(1)),
            arm: arm(row.get(2)),
            cohort: as_text(row.get(3)),
            platform: as_text(row.get(4)),
        };
        known.insert(as_u64(row.first()), of);
    }
    Ok(Known {
        seen,
        sessions: known,
    })
}

fn arm(value: Option<&JsValue>) -> Arm {
    match as_text(value).as_str() {
        "canary" => Arm::Canary,
        _ => Arm::Control,
    }
}

/// Lists of names and numbers always serialize.
fn text_of(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// One statement for a whole batch: what crosses from wasm to SQLite costs more than what it does there.
const SEEN: &str = "INSERT INTO seen (at, mark) SELECT ?1, value FROM json_each(?2) WHERE true \
     ON CONFLICT DO NOTHING";

const SESSIONS: &str = "INSERT OR REPLACE INTO session (at, mark, release, arm, cohort, platform) \
     SELECT ?1, value ->> '$[0]', value ->> '$[1].release', value ->> '$[1].arm', \
     value ->> '$[1].cohort', value ->> '$[1].platform' FROM json_each(?2)";

const COUNT: &str = " (at, release, arm, revision, cohort, platform, metric, edge, total, good) \
     SELECT value ->> '$[0].at', value ->> '$[0].release', value ->> '$[0].arm', \
     value ->> '$[0].revision', value ->> '$[0].cohort', value ->> '$[0].platform', \
     value ->> '$[0].metric', value ->> '$[0].edge', value ->> '$[1][0]', value ->> '$[1][1]' \
     FROM json_each(?) WHERE true \
     ON CONFLICT DO UPDATE SET total = total + excluded.total, good = good + excluded.good";

/// Counts a batch and answers a letter for each observation, in order. All of it is written or nothing, and before
/// that is answered: the runtime holds an answer back until the writes before it are safe.
fn add(storage: &Storage, text: &str, now: Timestamp) -> Result<String, StoreError> {
    let batch: Vec<Observation> =
        serde_json::from_str(text).map_err(|e| StoreError(e.to_string()))?;
    let key = key(storage)?;
    let known = known(storage, &key, &batch)?;
    let folded = fold(&batch, &key, &known);
    let at = || number(minute(now).into());
    let mut writes = Writes::default();
    writes.add(SEEN, [at(), text_of(&folded.marks).into()]);
    writes.add(SESSIONS, [at(), text_of(&folded.sessions).into()]);
    for (table, counts) in [("minute", &folded.minutes), ("hour", &folded.hours)] {
        let text = format!("INSERT INTO {table}{COUNT}");
        writes.add(&text, [text_of(counts).into()]);
    }
    writes.run(storage)?;
    Ok(folded.fates.iter().copied().map(Fate::letter).collect())
}

/// At the end of the hour.
fn wake(storage: &Storage, now: Timestamp) {
    let end = (f64::from(hour(minute(now))) + 60.0) * 60_000.0;
    // Nothing waits for it: a failed write of the storage resets the object.
    let _ = storage.set_alarm(end);
}

fn forget(storage: &Storage, now: Timestamp) -> Result<(), StoreError> {
    for (table, keep) in [
        ("seen", KEEP_MARKS_MS),
        ("session", KEEP_MARKS_MS),
        ("minute", KEEP_MINUTES_MS),
        ("hour", KEEP_HOURS_MS),
    ] {
        let until = minute(Timestamp::from_millis(now.millis() - keep));
        let text = format!("DELETE FROM {table} WHERE at < ?");
        ask(storage, &text, [number(until.into())])?;
    }
    let left = ask(storage, "SELECT 1 FROM seen LIMIT 1", [])?;
    if left.is_empty() {
        // Nothing is left that it made.
        ask(storage, "DELETE FROM meta WHERE key = 'key'", [])?;
    }
    let left = ask(storage, "SELECT 1 FROM hour LIMIT 1", [])?;
    if !left.is_empty() {
        wake(storage, now);
    }
    Ok(())
}

/// The rows of each span that is asked about.
fn read(storage: &Storage, text: &str, now: Timestamp) -> Result<String, StoreError> {
    let query: Query = serde_json::from_str(text).map_err(|e| StoreError(e.to_string()))?;
    let spans: Result<Vec<Vec<Row>>, _> = query
        .spans
        .iter()
        .map(|span| {
            let [hours, minutes] = pieces(span, now);
            rows(storage, &query.release, hours, minutes)
        })
        .collect();
    Ok(text_of(&spans?))
}

fn rows(
    storage: &Storage,
    release: &str,
    hours: Piece,
    minutes: Piece,
) -> Result<Vec<Row>, StoreError> {
    let text = "SELECT arm, metric, edge, cohort, platform, sum(total), sum(good) FROM ( \
         SELECT * FROM hour WHERE at >= ?2 AND at < ?3 UNION ALL \
         SELECT * FROM minute WHERE at >= ?4 AND at < ?5) \
         WHERE release IN (?1, '') GROUP BY arm, metric, edge, cohort, platform \
         ORDER BY arm, metric, edge, cohort, platform";
    let values = [
        release.into(),
        number(hours.from.into()),
        number(hours.to.into()),
        number(minutes.from.into()),
        number(minutes.to.into()),
    ];
    let row = |row: Vec<JsValue>| Row {
        arm: arm(row.first()),
        metric: as_text(row.get(1)),
        // An edge, as it was written.
        edge: as_u64(row.get(2)) as u32,
        cohort: as_text(row.get(3)),
        platform: as_text(row.get(4)),
        total: as_u64(row.get(5)),
        good: as_u64(row.get(6)),
    };
    Ok(ask(storage, text, values)?.into_iter().map(row).collect())
}

/// The counters of each part of a chart, as the text of a list of [`crate::core::evidence::series::Bar`]: SQLite adds
/// them up and writes them down, because there may be thousands.
fn chart(storage: &Storage, text: &str) -> Result<String, StoreError> {
    let chart: Chart = serde_json::from_str(text).map_err(|e| StoreError(e.to_string()))?;
    let table = if chart.by_hour() { "hour" } else { "minute" };
    let group = match chart.by {
        By::Arm => "''",
        By::Platform => "platform",
        By::Cohort => "cohort",
    };
    let text = format!(
        "SELECT json_group_array(json_array(point, arm, name, metric, edge, total, good)) FROM ( \
         SELECT (at - CAST(?2 AS INTEGER)) / CAST(?3 AS INTEGER) AS point, arm, {group} AS name, metric, edge, \
         sum(total) AS total, sum(good) AS good FROM {table} \
         WHERE at >= ?2 AND at < ?4 AND release IN (?1, '') \
         AND (?5 = '' OR platform = ?5 OR substr(platform, 1, length(?5) + 1) = ?5 || '-') \
         AND (?6 = '' OR arm = 'control' OR cohort = ?6) GROUP BY 1, 2, 3, 4, 5)"
    );
    let values = [
        chart.release.as_str().into(),
        number(chart.from.into()),
        number(chart.step.into()),
        number(chart.to().into()),
        chart.platform.as_deref().unwrap_or_default().into(),
        chart.cohort.as_deref().unwrap_or_default().into(),
    ];
    let rows = ask(storage, &text, values)?;
    Ok(as_text(rows.first().and_then(|row| row.first())))
}
