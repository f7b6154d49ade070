//! The control API over memory: a ledger, a clock that stands still until it is moved, and tokens.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code)]

use caro_edge::api::control::evidence::{Charted, wanted_chart};
use caro_edge::api::control::ledger::Ledger;
use caro_edge::api::control::plans::{Asked, Query, wanted_evidence};
use caro_edge::api::control::{Environment, handle};
use caro_edge::api::reply::Reply;
use caro_edge::auth::token::TokenHash;
use caro_edge::core::defaults::Defaults;
use caro_edge::core::evidence::series::Bar;
use caro_edge::core::gate::Evidence;
use caro_edge::core::time::Timestamp;
use serde_json::{Value, json};

use crate::memory::Memory;
use crate::support::{Incoming, NOW, document};

/// The first release manager's token, as `tests/support/router.mjs` has it.
pub const ADMIN: &str = "local-admin-token-0123456789";

/// Where the control API is asked.
#[derive(Debug)]
pub struct Desk {
    pub ledger: Ledger<Memory>,
    pub now: Timestamp,
    /// What each span of time has seen, or why it cannot be said.
    pub evidence: Result<Evidence, String>,
    /// The same for a chart, whatever its span is.
    pub bars: Result<Vec<Bar>, String>,
    asked: u64,
}

impl Desk {
    /// A ledger without a configuration.
    pub fn empty() -> Self {
        Self::open(Memory::default())
    }

    /// The ledger that a store holds.
    pub fn open(store: Memory) -> Self {
        Self {
            ledger: Ledger::open(store, Defaults::default()).unwrap(),
            now: NOW,
            evidence: Ok(Evidence::default()),
            bars: Ok(Vec::new()),
            asked: 0,
        }
    }

    /// A ledger that has imported the golden document with a patch.
    pub fn with(patch: &Value) -> Self {
        let mut desk = Self::empty();
        let reply = desk.put_config(&document(patch));
        assert_eq!(reply.status, 200, "{}", reply.body);
        desk
    }

    pub fn put_config(&mut self, text: &str) -> Reply {
        let path = "/admin/config?confirm=1&reason=import";
        self.send(Some(ADMIN), "PUT", path, &[], text.as_bytes())
    }

    /// The same store, opened anew: what a crash leaves.
    pub fn reopened(&self) -> Self {
        let store = self.ledger.store.clone();
        Self {
            ledger: Ledger::open(store, self.ledger.defaults.clone()).unwrap(),
            now: self.now,
            evidence: self.evidence.clone(),
            bars: self.bars.clone(),
            asked: self.asked,
        }
    }

    /// Whether `ADMIN_TOKEN` is set, the time and fresh randomness.
    fn environment(&mut self) -> Environment {
        self.asked += 1;
        let mut random = [7; 48];
        random[..6].copy_from_slice(&self.asked.to_be_bytes()[2..]);
        random[32..38].copy_from_slice(&self.asked.to_be_bytes()[2..]);
        Environment {
            now: self.now,
            admin: Some(TokenHash::of(ADMIN)),
            random,
            counts: Ok(Default::default()),
            evidence: None,
            chart: None,
            webhook: true,
        }
    }

    pub fn send(
        &mut self,
        token: Option<&str>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut request = Incoming::get(path);
        request.method = method.to_owned();
        if let Some(token) = token {
            request = request.with("Authorization", &format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.with(name, value);
        }
        let mut environment = self.environment();
        let query = wanted_evidence(&self.ledger, &request, &environment);
        environment.evidence = query.map(|query| self.asked(query));
        let chart = wanted_chart(&self.ledger, &request, &environment);
        environment.chart = chart.map(|chart| Charted {
            chart,
            answer: self.bars.clone(),
        });
        handle(&mut self.ledger, &request, body, &environment)
    }

    fn asked(&self, query: Query) -> Asked {
        let spans = query.spans.len();
        let answer = self.evidence.clone();
        Asked {
            answer: answer.map(|evidence| vec![evidence; spans]),
            query,
        }
    }

    /// What the clock brings: the plans that are due.
    pub fn guard(&mut self) {
        for query in self.ledger.plans_due(self.now) {
            let asked = self.asked(query);
            self.ledger.guard_plan(&asked, self.now).unwrap();
        }
    }

    /// Asks with a JSON body, or none if it is null; gives the status and the answer's JSON.
    pub fn ask(&mut self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let bytes = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let reply = self.send(Some(token), method, path, &[], bytes.as_bytes());
        let json = serde_json::from_str(&reply.body).unwrap_or(Value::Null);
        (reply.status, json)
    }

    /// As the admin, and it has to work.
    pub fn admin(&mut self, method: &str, path: &str, body: Value) -> Value {
        let (status, json) = self.ask(ADMIN, method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {json}");
        json
    }

    /// A new token of a role.
    pub fn mint(&mut self, role: &str) -> String {
        let body = json!({"role": role, "label": format!("a {role}")});
        let json = self.admin("POST", "/admin/tokens", body);
        json["token"]["secret"].as_str().unwrap().to_owned()
    }

    pub fn verify(&mut self) -> Value {
        self.admin("GET", "/admin/audit/verify", Value::Null)
    }
}
