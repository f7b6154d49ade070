//! KV as it is at its worst: replicas that answer with what was there up to 90 seconds ago, writes
//! that fail, writes that land and are reported as failed. And what the Durable Object does with a
//! ledger: `src/worker/ledger.rs`, without a runtime.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;

use caro_edge::api::control::ledger::Busy;
use caro_edge::core::ledger::kv::{Put, Seen, Value};
use caro_edge::core::time::Timestamp;
use serde_json::Value as Json;

use crate::desk::{ADMIN, Desk};

/// The oldest that a replica answers with, in milliseconds.
pub const MAX_LAG: u64 = 90_000;

/// What becomes of the next write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Lands,
    /// It lands, and the answer says that it failed.
    LandsUnheard,
    /// It lands, and the ledger crashes before it hears of it.
    LandsAndCrashes,
}

pub struct Cloud {
    pub desk: Desk,
    /// What each key has held, and since when.
    history: BTreeMap<&'static str, Vec<(Timestamp, Option<Value>)>>,
    /// How far behind the replicas are that are read, in turn.
    lags: Vec<u64>,
    reads: usize,
    pub fails_until: Timestamp,
    pub fate: Fate,
    /// Writes that were tried since the last crash.
    pub tried: Vec<(&'static str, Timestamp)>,
    /// Every pair of keys that was read and taken in.
    pub taken_in: Vec<Seen>,
    /// Alarms so far.
    pub alarms: u64,
}

impl Cloud {
    pub fn new(desk: Desk, lags: Vec<u64>) -> Self {
        let start = desk.now;
        let mut cloud = Self {
            desk,
            history: BTreeMap::new(),
            lags,
            reads: 0,
            fails_until: start,
            fate: Fate::Lands,
            tried: Vec::new(),
            taken_in: Vec::new(),
            alarms: 0,
        };
        for key in ["config", "emergency-stop"] {
            cloud
                .history
                .insert(key, vec![(Timestamp::from_millis(0), None)]);
        }
        cloud.work();
        cloud
    }

    pub fn now(&self) -> Timestamp {
        self.desk.now
    }

    /// What a key holds.
    pub fn primary(&self, key: &str) -> Option<&Value> {
        self.history[key].last().unwrap().1.as_ref()
    }

    /// A write by anybody.
    fn set(&mut self, key: &'static str, value: Option<Value>) {
        let now = self.desk.now;
        self.history.get_mut(key).unwrap().push((now, value));
    }

    /// A person's write: a text, or nothing to delete the key.
    pub fn by_hand(&mut self, key: &'static str, text: Option<&str>) {
        let value = text.map(|text| Value {
            text: text.to_owned(),
            metadata: None,
        });
        self.set(key, value);
    }

    fn replica(&mut self, key: &str) -> Option<Value> {
        let lag = self.lags[self.reads % self.lags.len()];
        self.reads += 1;
        let then = Timestamp::from_millis(self.desk.now.millis() - lag.min(MAX_LAG) as i64);
        let history = &self.history[key];
        let (_, value) = history.iter().rev().find(|(at, _)| *at <= then).unwrap();
        value.clone()
    }

    pub fn read(&mut self) -> Seen {
        Seen {
            config: self.replica("config"),
            stop: self.replica("emergency-stop"),
        }
    }

    /// Reads KV and takes it in.
    fn take_in(&mut self) -> Seen {
        let seen = self.read();
        let now = self.desk.now;
        self.desk.ledger.look(&seen, now).unwrap();
        self.taken_in.push(seen.clone());
        seen
    }

    /// Brings KV up to what the ledger says.
    pub fn publish(&mut self) {
        let mut stops = self.desk.ledger.puts(None, self.desk.now);
        stops.retain(|put| put.key == "emergency-stop" && put.value.is_some());
        self.write(stops, None);
        let seen = self.take_in();
        let puts = self.desk.ledger.puts(Some(&seen), self.desk.now);
        self.write(puts, Some(&seen));
    }

    fn write(&mut self, puts: Vec<Put>, seen: Option<&Seen>) {
        let now = self.desk.now;
        for put in puts {
            self.check_put(&put, seen);
            self.tried.push((put.key, now));
            let result = if now < self.fails_until {
                Err("KV answered 500".to_owned())
            } else {
                let value = put.value.clone().map(|text| Value {
                    text,
                    metadata: Some(put.metadata.clone()),
                });
                self.set(put.key, value);
                match std::mem::replace(&mut self.fate, Fate::Lands) {
                    Fate::Lands => Ok(()),
                    Fate::LandsUnheard => Err("no answer in 10 s".to_owned()),
                    Fate::LandsAndCrashes => return self.crash(),
                }
            };
            self.desk.ledger.wrote(&put, result, now).unwrap();
        }
    }

    /// What no write may do.
    fn check_put(&self, put: &Put, seen: Option<&Seen>) {
        let before = self.tried.iter().rev().find(|(key, _)| *key == put.key);
        if let Some((_, at)) = before {
            let since = self.desk.now.millis_since(*at);
            assert!(since >= 1_000, "{} was written {since} ms ago", put.key);
        }
        let live = &self.desk.ledger.live;
        match put.key {
            "config" => {
                let known = &self.desk.ledger.publication;
                let landed = known.config.as_ref().map(|l| l.revision);
                let is_bad = |value: &Value| !value.is_ledgers() && known.bad_edit.is_some();
                let config = seen.and_then(|seen| seen.config.as_ref());
                let over_bad = config.is_some_and(is_bad);
                let by_the_clock = landed == Some(live.state.revision);
                assert!(
                    !(over_bad && by_the_clock),
                    "an invalid edit was written over"
                );
                assert_eq!(put.value, live.state.published());
            }
            _ => assert_eq!(put.value, live.state.stop_value()),
        }
    }

    /// What was in memory is gone.
    pub fn crash(&mut self) {
        self.desk = self.desk.reopened();
        self.tried.clear();
    }

    /// The alarm.
    pub fn work(&mut self) {
        self.alarms += 1;
        let now = self.desk.now;
        self.desk.ledger.tick(now).unwrap();
        self.publish();
        while let Some(alert) = self.desk.ledger.begin_delivery(now).unwrap() {
            self.desk.ledger.delivered(&alert, Ok(()), now).unwrap();
        }
    }

    /// A call, with the look before it and, if it is about a stop, the write behind it.
    pub fn call(&mut self, method: &str, path: &str, body: Json) -> u16 {
        self.take_in();
        let before = self.desk.ledger.live.state.stop_value();
        let (status, _) = self.desk.ask(ADMIN, method, path, body);
        if self.desk.ledger.live.state.stop_value() != before {
            self.publish();
        }
        status
    }

    /// Time passes, with every alarm in it.
    pub fn advance(&mut self, millis: u64) {
        let end = self.desk.now.plus_millis(millis);
        let most = 20 + self.alarms + millis / 200;
        loop {
            let wake = self
                .desk
                .ledger
                .wake_at(true, &Busy::default(), self.desk.now)
                .unwrap();
            if wake > end {
                break;
            }
            // An alarm takes some time.
            self.desk.now = wake.max(self.desk.now.plus_millis(5));
            self.work();
            assert!(self.alarms < most, "it does not come to rest");
        }
        self.desk.now = self.desk.now.max(end);
    }
}
