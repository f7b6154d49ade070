//! The ledger's store: the SQLite of its Durable Object.

use js_sys::Array;
use wasm_bindgen::prelude::*;

use crate::api::ports::{
    Alert, AlertCounts, Batch, Delivery, KEEP_DELIVERED, Search, Store, StoreError, Stored,
};

use super::js::Storage;
use super::sql::{Rows, Writes, as_text, as_time, as_u64, ask, ask_with, number, some_time, time};

/// What leads from each version of the tables to the next. Append to this; never change what was
/// released. The number of those carried out is in `meta`.
const MIGRATIONS: [&[&str]; 2] = [
    &[
        "CREATE TABLE log (seq INTEGER PRIMARY KEY, revision INTEGER NOT NULL, at INTEGER NOT NULL, \
     actor TEXT NOT NULL, action TEXT NOT NULL, target TEXT NOT NULL, text TEXT NOT NULL, \
     hash TEXT NOT NULL)",
        "CREATE INDEX log_revision ON log (revision)",
        "CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY, text TEXT NOT NULL)",
        "CREATE TABLE answer (key TEXT PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL)",
        "CREATE INDEX answer_at ON answer (at)",
        "CREATE TABLE alert (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, \
     text TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next INTEGER NOT NULL, \
     delivered INTEGER, error TEXT)",
        "CREATE INDEX alert_waiting ON alert (next) WHERE delivered IS NULL",
        "CREATE TABLE published (revision INTEGER PRIMARY KEY, hash TEXT NOT NULL)",
    ],
    &["CREATE TABLE history (seq INTEGER PRIMARY KEY, text TEXT NOT NULL)"],
];

/// The tables.
pub struct SqlStore {
    storage: Storage,
}

impl SqlStore {
    /// Brings the tables up to this version.
    ///
    /// # Errors
    /// When SQLite fails, or a newer router has been here: its tables are not touched.
    pub fn open(storage: Storage) -> Result<Self, StoreError> {
        let store = Self { storage };
        let mut writes = Writes::default();
        writes.add(
            "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
            [],
        );
        writes.run(&store.storage)?;
        let done = store.meta("schema")?.and_then(|text| text.parse().ok());
        let done: usize = done.unwrap_or(0);
        if done > MIGRATIONS.len() {
            return Err(StoreError(format!(
                "its tables are of version {done}, newer than this router's {}",
                MIGRATIONS.len()
            )));
        }
        for (version, migration) in MIGRATIONS.iter().enumerate().skip(done) {
            let mut writes = Writes::default();
            for statement in *migration {
                writes.add(statement, []);
            }
            set_meta(&mut writes, "schema", &(version + 1).to_string());
            writes.run(&store.storage)?;
        }
        Ok(store)
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let rows = self.query("SELECT value FROM meta WHERE key = ?", [key.into()])?;
        Ok(first_text(&rows))
    }

    fn query<const N: usize>(&self, text: &str, values: [JsValue; N]) -> Result<Rows, StoreError> {
        ask(&self.storage, text, values)
    }
}

fn first_text(rows: &Rows) -> Option<String> {
    rows.first()?.first()?.as_string()
}

const COLUMNS: &str = "SELECT seq, revision, at, actor, action, target, text, hash FROM log";

fn stored(rows: &Rows) -> Vec<Stored> {
    let row = |row: &Vec<JsValue>| Stored {
        seq: as_u64(row.first()),
        revision: as_u64(row.get(1)),
        at: as_time(row.get(2)),
        actor: as_text(row.get(3)),
        action: as_text(row.get(4)),
        target: as_text(row.get(5)),
        text: as_text(row.get(6)),
        hash: as_text(row.get(7)),
    };
    rows.iter().map(row).collect()
}

const ALERTS: &str = "SELECT id, at, text, attempts, next, delivered FROM alert";

fn alerts(rows: &Rows) -> Vec<Alert> {
    let alert = |row: &Vec<JsValue>| Alert {
        id: as_u64(row.first()),
        at: as_time(row.get(1)),
        text: as_text(row.get(2)),
        attempts: as_u64(row.get(3)) as u32,
        next: as_time(row.get(4)),
        delivered: some_time(row.get(5)),
    };
    rows.iter().map(alert).collect()
}

/// Forgets what was delivered before the newest, and counts it.
fn prune(writes: &mut Writes) {
    const OLD: &str = "FROM alert WHERE delivered IS NOT NULL AND id <= (SELECT id FROM alert \
         WHERE delivered IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET ?)";
    let keep = || number(KEEP_DELIVERED);
    let count = format!(
        "INSERT INTO meta (key, value) SELECT 'forgotten_alerts', count(*) {OLD} \
         ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + CAST(excluded.value AS INTEGER)"
    );
    writes.add(&count, [keep()]);
    writes.add(&format!("DELETE {OLD}"), [keep()]);
}

fn set_meta(writes: &mut Writes, key: &str, value: &str) {
    writes.add(
        "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
        [key.into(), value.into()],
    );
}

impl Store for SqlStore {
    fn checkpoint(&self, seq: u64) -> Result<Option<(u64, String)>, StoreError> {
        let rows = self.query(
            "SELECT seq, text FROM checkpoint WHERE seq <= ? ORDER BY seq DESC LIMIT 1",
            // SQLite's integers are signed; whoever asks for the last gives the largest there is.
            [number(seq.min(1 << 53))],
        )?;
        Ok(rows
            .first()
            .map(|row| (as_u64(row.first()), as_text(row.get(1)))))
    }

    fn rows(&self, after: u64, limit: u64) -> Result<Vec<Stored>, StoreError> {
        let text = format!("{COLUMNS} WHERE seq > ? ORDER BY seq LIMIT ?");
        Ok(stored(&self.query(&text, [number(after), number(limit)])?))
    }

    fn history(&self, limit: u64) -> Result<Vec<String>, StoreError> {
        let text = "SELECT text FROM history ORDER BY seq DESC LIMIT ?";
        let rows = self.query(text, [number(limit)])?;
        Ok(rows.iter().map(|row| as_text(row.first())).collect())
    }

    fn search(&self, search: &Search) -> Result<Vec<Stored>, StoreError> {
        let mut text = format!("{COLUMNS} WHERE 1");
        let values = Array::new();
        let mut add = |condition: &str, value: Option<JsValue>| {
            if let Some(value) = value {
                text.push_str(condition);
                values.push(&value);
            }
        };
        let given = |text: &Option<String>| text.as_deref().map(JsValue::from_str);
        add(" AND seq < ?", search.before.map(number));
        add(" AND actor = ?", given(&search.actor));
        add(" AND target = ?", given(&search.target));
        add(" AND at >= ?", search.since.map(time));
        add(" AND at <= ?", search.until.map(time));
        if let Some(action) = &search.action {
            add(" AND (action = ?", Some(action.as_str().into()));
            add(
                " OR substr(action, 1, instr(action, '.') - 1) = ?)",
                Some(action.as_str().into()),
            );
        }
        add(" ORDER BY seq DESC LIMIT ?", Some(number(search.limit)));
        Ok(stored(&ask_with(&self.storage, &text, &values)?))
    }

    fn head(&self) -> Result<Option<String>, StoreError> {
        self.meta("head")
    }

    fn row_at_revision(&self, revision: u64) -> Result<Option<u64>, StoreError> {
        let rows = self.query(
            "SELECT max(seq) FROM log WHERE revision <= ?",
            [number(revision)],
        )?;
        let seq = rows.first().and_then(|row| row.first()?.as_f64());
        Ok(seq.map(|seq| seq as u64))
    }

    fn answer(&self, key: &str) -> Result<Option<String>, StoreError> {
        let rows = self.query("SELECT text FROM answer WHERE key = ?", [key.into()])?;
        Ok(first_text(&rows))
    }

    fn newest_alerts(&self, limit: u64) -> Result<Vec<Alert>, StoreError> {
        let text = format!("{ALERTS} ORDER BY id DESC LIMIT ?");
        Ok(alerts(&self.query(&text, [number(limit)])?))
    }

    fn alerts(&self, limit: u64) -> Result<Vec<Alert>, StoreError> {
        let text = format!("{ALERTS} WHERE delivered IS NULL ORDER BY next, id LIMIT ?");
        Ok(alerts(&self.query(&text, [number(limit)])?))
    }

    fn alert_counts(&self) -> Result<AlertCounts, StoreError> {
        let rows = self.query(
            "SELECT count(*), count(delivered), min(CASE WHEN delivered IS NULL THEN at END), \
             (SELECT error FROM alert WHERE delivered IS NULL AND error IS NOT NULL \
              ORDER BY id DESC LIMIT 1), \
             (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'forgotten_alerts') FROM alert",
            [],
        )?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let delivered = as_u64(row.get(1));
        Ok(AlertCounts {
            pending: as_u64(row.first()) - delivered,
            delivered: delivered + as_u64(row.get(4)),
            oldest: some_time(row.get(2)),
            last_error: row.get(3).and_then(JsValue::as_string),
        })
    }

    fn publication(&self) -> Result<Option<String>, StoreError> {
        self.meta("publication")
    }

    fn published(&self, revision: u64) -> Result<Option<String>, StoreError> {
        let rows = self.query(
            "SELECT hash FROM published WHERE revision = ?",
            [number(revision)],
        )?;
        Ok(first_text(&rows))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        if let Some(row) = &batch.row {
            writes.add(
                "INSERT INTO log (seq, revision, at, actor, action, target, text, hash) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    number(row.seq),
                    number(row.revision),
                    time(row.at),
                    row.actor.as_str().into(),
                    row.action.as_str().into(),
                    row.target.as_str().into(),
                    row.text.as_str().into(),
                    row.hash.as_str().into(),
                ],
            );
        }
        for (seq, text) in &batch.history {
            writes.add(
                "INSERT INTO history (seq, text) VALUES (?, ?)",
                [number(*seq), text.as_str().into()],
            );
        }
        if let Some((seq, text)) = &batch.checkpoint {
            writes.add(
                "INSERT INTO checkpoint (seq, text) VALUES (?, ?)",
                [number(*seq), text.as_str().into()],
            );
        }
        if let Some(text) = &batch.head {
            set_meta(&mut writes, "head", text);
        }
        for (at, text) in &batch.alerts {
            writes.add(
                "INSERT INTO alert (at, text, next) VALUES (?, ?, ?)",
                [time(*at), text.as_str().into(), time(*at)],
            );
        }
        for delivery in &batch.deliveries {
            match delivery {
                Delivery::Begun { id, next } => writes.add(
                    "UPDATE alert SET next = ? WHERE id = ?",
                    [time(*next), number(*id)],
                ),
                Delivery::Done { id, at } => writes.add(
                    "UPDATE alert SET delivered = ?, attempts = attempts + 1, error = NULL \
                     WHERE id = ?",
                    [time(*at), number(*id)],
                ),
                Delivery::Failed { id, next, error } => writes.add(
                    "UPDATE alert SET next = ?, attempts = attempts + 1, error = ? WHERE id = ?",
                    [time(*next), error.as_str().into(), number(*id)],
                ),
            }
        }
        let is_done = |delivery: &Delivery| matches!(delivery, Delivery::Done { .. });
        if batch.deliveries.iter().any(is_done) {
            prune(&mut writes);
        }
        if let Some((key, at, text)) = &batch.answer {
            writes.add(
                "INSERT OR REPLACE INTO answer (key, at, text) VALUES (?, ?, ?)",
                [key.as_str().into(), time(*at), text.as_str().into()],
            );
        }
        if let Some(before) = batch.forget_before {
            writes.add("DELETE FROM answer WHERE at < ?", [time(before)]);
        }
        if let Some(text) = &batch.publication {
            set_meta(&mut writes, "publication", text);
        }
        if let Some((revision, hash)) = &batch.published {
            writes.add(
                "INSERT OR REPLACE INTO published (revision, hash) VALUES (?, ?)",
                [number(*revision), hash.as_str().into()],
            );
        }
        writes.run(&self.storage)
    }
}
