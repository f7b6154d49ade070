//! The header by which a requester asks to stay where they are, and by which they are told what to send
//! next time. Who does not send it is not given it.

use crate::auth::assignment::{open, seal};
use crate::core::bucket::UnitHash;
use crate::core::identity::Unit;
use crate::core::sticky::Held;
use crate::core::time::Timestamp;

use super::edge::Edge;
use super::reply::{Answer, Reply};
use super::request::Request;
use super::signing::Signing;

/// With anything in it: the wish. With a token: what they had.
pub const HEADER: &str = "X-Caro-Assignment";

/// A requester who wants to stay where they are.
pub struct Sticky {
    unit: UnitHash,
    pub held: Held,
}

impl Sticky {
    /// `None`: nobody asked for it, or there is no key, or the policy does not want it.
    pub fn of(
        edge: &Edge,
        request: &impl Request,
        unit: Option<&Unit<'_>>,
        now: Timestamp,
    ) -> Option<Self> {
        let Signing::On(keys) = &edge.signing else {
            return None;
        };
        let token = request.header(HEADER)?;
        let config = edge.config().filter(|config| config.policy.sticky)?;
        let unit = UnitHash::of(&config.salt, unit?);
        let held = open(token.trim(), &unit, &keys.assignment, now);
        Some(Self {
            unit,
            held: held.unwrap_or_default(),
        })
    }

    /// The answer with a token for what it gives.
    pub fn seal(&self, edge: &Edge, answer: Answer, held: &Held, now: Timestamp) -> Answer {
        let mut reply = match answer {
            Answer::Kept(id) => match edge.kept.reply(id) {
                Some(reply) => reply.clone(),
                None => return Answer::Kept(id),
            },
            Answer::Fresh(reply) => reply,
            other => return other,
        };
        self.add(edge, &mut reply, held, now);
        Answer::Fresh(reply)
    }

    /// The same for a reply in hand.
    pub fn add(&self, edge: &Edge, reply: &mut Reply, held: &Held, now: Timestamp) {
        let Signing::On(keys) = &edge.signing else {
            return;
        };
        let key = keys.assignment.first();
        if let Some(token) = key.and_then(|key| seal(held, &self.unit, key, now)) {
            reply.headers.push((HEADER, token));
            let exposed = reply.header("Access-Control-Expose-Headers");
            let exposed = exposed.map_or_else(|| HEADER.to_owned(), |e| format!("{e}, {HEADER}"));
            reply.set("Access-Control-Expose-Headers", exposed);
        }
    }
}
