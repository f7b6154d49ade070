//! Who evaluates how often, in one isolate: only those who do so a lot are worth asking the platform about,
//! which takes an await.

use crate::core::time::Timestamp;

use super::request::Request;

/// So many evaluations a minute are not asked about, for each client and isolate.
pub const FREE: u32 = 100;

/// The clients that are told apart; beyond them everybody is asked about.
const MAX_CLIENTS: usize = 256;

const MINUTE_MS: i64 = 60_000;

/// Counts of this minute.
#[derive(Debug, Default)]
pub struct Asks {
    minute: i64,
    counts: Vec<(u64, u32)>,
}

impl Asks {
    /// Counts one, and says whether that is a lot.
    pub fn is_much(&mut self, request: &impl Request, now: Timestamp) -> bool {
        let minute = now.millis() / MINUTE_MS;
        if minute != self.minute {
            self.minute = minute;
            self.counts.clear();
        }
        let names = ["authorization", "x-api-key", "cf-connecting-ip"];
        let Some(client) = names.iter().find_map(|name| request.header(name)) else {
            return false;
        };
        let client = hash(&client);
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == client) {
            *count = count.saturating_add(1);
            return *count > FREE;
        }
        if self.counts.len() >= MAX_CLIENTS {
            return true;
        }
        self.counts.push((client, 1));
        false
    }
}

/// FNV-1a: for telling apart, not for keeping.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
