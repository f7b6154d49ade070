//! The log: one row for each change, chained by hashes.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::decode::to_hex;
use crate::core::ids::{CohortName, Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::plan::{Decision, Run, Seen};
use crate::core::role::Role;
use crate::core::table::Table;
use crate::core::time::Timestamp;

/// The `prev` of the first row.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Actor {
    /// A token's public id, `admin` for the Worker's secret, `kv` for a person's edit of KV,
    /// `ledger` for what the ledger does by itself.
    pub id: String,
    /// Whom the token belongs to, as written when it was minted.
    pub label: String,
    /// `None` for `kv` and `ledger`.
    pub role: Option<Role>,
}

impl Actor {
    pub fn new(id: &str, label: &str, role: Option<Role>) -> Self {
        Self {
            id: id.to_owned(),
            label: label.to_owned(),
            role,
        }
    }

    /// A person's edit of KV.
    pub fn kv() -> Self {
        Self::new("kv", "edit of KV", None)
    }

    /// The ledger itself: a drain's steps, reminders.
    pub fn ledger() -> Self {
        Self::new("ledger", "ledger", None)
    }
}

/// What an emergency stop covers: everything, or one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    All,
    Release(ReleaseName),
}

impl Scope {
    /// `all`, or the release's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "all",
            Self::Release(name) => name.as_str(),
        }
    }
}

/// Whose members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberList {
    /// Those of canary mode.
    Allowlist,
    Cohort(CohortName),
}

/// A member as the document holds it: never an id or an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// 32 hexadecimal digits: the first 16 bytes of the keyed hash.
    pub unit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A token as it is kept: by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: String,
    /// SHA-256 of the token, hexadecimal.
    pub hash: String,
    pub role: Role,
    pub label: String,
    /// `standard`, `development` or `debug`.
    pub kind: String,
    pub created: Timestamp,
    pub expires: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
}

/// A percentage on its way down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Drain {
    pub release: ReleaseName,
    pub from: Percentage,
    pub to: Percentage,
    pub start: Timestamp,
    pub end: Timestamp,
}

/// A write that waits for another person's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    pub id: String,
    /// Whose approval it waits for is anyone's but this one's.
    pub by: Actor,
    pub target: String,
    pub summary: String,
    pub reason: String,
    pub created: Timestamp,
    pub expires: Timestamp,
    /// The request's path and body, to be carried out when it is approved.
    pub path: String,
    pub body: String,
}

/// A number that somebody told of a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "ToldNumber"))]
pub struct Told {
    pub value: f64,
    /// When it was so.
    pub at: Timestamp,
    /// Where it is from, such as `github`.
    pub source: String,
}

/// One step from a state to the next. Folding never fails and never asks anything: what had to be
/// checked was checked before the row was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A merge patch (RFC 7396) of the document.
    Merge(Json),
    /// The whole document, without its revision.
    Document(Json),
    Members {
        list: MemberList,
        add: Vec<Member>,
        /// Hashes.
        remove: Vec<String>,
    },
    /// An emergency stop, of `all` or a release.
    Stop(String),
    ClearStop(String),
    MintToken(Token),
    RevokeToken(String),
    StartDrain(Drain),
    EndDrain(ReleaseName),
    Propose(Proposal),
    /// The proposal was approved, withdrawn or ran out.
    EndProposal(String),
    /// Somebody was reminded that this kill switch is still on.
    Remind(String),
    /// A release's plan, and where it stands.
    Plan {
        release: ReleaseName,
        document: Json,
        run: Box<Run>,
    },
    Run {
        release: ReleaseName,
        run: Box<Run>,
    },
    EndPlan(ReleaseName),
    /// A decision, and everything that it was made from: so it can be made again.
    Decide {
        release: ReleaseName,
        seen: Box<Seen>,
        decision: Box<Decision>,
    },
    /// Numbers and checks that were told of a release.
    Signals {
        release: ReleaseName,
        numbers: Table<String, Told>,
        /// Whether each went well.
        checks: Table<String, bool>,
    },
}

/// One row of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// From 1, without gaps.
    pub seq: u64,
    /// The revision that this row made. One higher than the last, except after a person's edit
    /// that names a higher one itself.
    pub revision: u64,
    pub at: Timestamp,
    pub actor: Actor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<Actor>,
    /// What was done, such as `release.set`.
    pub action: String,
    /// What it was done to, such as a release's name.
    pub target: String,
    pub reason: String,
    /// In a sentence.
    pub summary: String,
    pub changes: Vec<Change>,
    /// The hash of the row before.
    pub prev: String,
}

impl Row {
    /// The text that is stored, hashed and exported.
    pub fn text(&self) -> String {
        // Strings, integers and trees of them always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored row.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// SHA-256 of a row's text, which holds the hash of the row before.
    pub fn hash(text: &str) -> String {
        to_hex(&Sha256::digest(text.as_bytes()))
    }
}
