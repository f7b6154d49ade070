//! Cohorts, the canary's allowlist, and tokens.

use crate::core::ids::{CohortName, Percentage};
use crate::core::json::Json;
use crate::core::role::Role;
use crate::core::time::Timestamp;

use super::event::{Change, Member, MemberList, Token};
use super::state::member_unit;
use super::{Live, Outcome, Rejection};

/// `POST /admin/canary`.
pub fn set_canary(live: &Live, enabled: bool) -> Result<Outcome, Rejection> {
    live.config()?;
    let summary = format!("canary mode {}", if enabled { "on" } else { "off" });
    let patch = Json::nested(&["canary", "enabled"], Json::Bool(enabled));
    Ok(Outcome::new("canary.set", "canary", summary)
        .with(Change::Merge(patch))
        .careful())
}

/// `PUT /admin/cohorts/{name}`: makes it, or replaces its settings; members stay.
pub fn put_cohort(
    live: &Live,
    name: &CohortName,
    enabled: bool,
    percentage: Percentage,
    features: &Json,
) -> Result<Outcome, Rejection> {
    live.config()?;
    let summary = format!(
        "cohort {name}: {} % {}",
        percentage,
        if enabled { "on" } else { "off" }
    );
    let patch = Json::object([
        ("enabled", Json::Bool(enabled)),
        ("percentage", Json::from(percentage)),
        ("features", features.clone()),
    ]);
    Ok(Outcome::new("cohort.put", name.as_str(), summary)
        .with(Change::Merge(Json::nested(
            &["cohorts", name.as_str()],
            patch,
        )))
        .careful())
}

/// `DELETE /admin/cohorts/{name}`. One that something names stays: the document would not hold.
pub fn delete_cohort(live: &Live, name: &CohortName) -> Result<Outcome, Rejection> {
    if !live.config()?.cohorts.contains(name) {
        return Err(Rejection::Unknown("cohort", name.to_string()));
    }
    let patch = Json::nested(&["cohorts", name.as_str()], Json::Null);
    Ok(Outcome::new(
        "cohort.delete",
        name.as_str(),
        format!("cohort {name}: deleted"),
    )
    .with(Change::Merge(patch))
    .careful())
}

/// How a member to remove is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberRef {
    /// By the keyed hash of their id or network.
    Unit(String),
    Label(String),
}

/// `POST …/members`: adds and removes. Adding who is there changes their label.
pub fn set_members(
    live: &Live,
    list: MemberList,
    mut add: Vec<Member>,
    remove: &[MemberRef],
) -> Result<Outcome, Rejection> {
    let config = live.config()?;
    // The same person twice is one; what was said last counts.
    add.reverse();
    let mut seen: Vec<String> = Vec::new();
    add.retain(|member| {
        let is_new = !seen.contains(&member.unit);
        seen.push(member.unit.clone());
        is_new
    });
    let (target, path) = match &list {
        MemberList::Allowlist => ("canary", ["canary", "allowlist"].to_vec()),
        MemberList::Cohort(name) => {
            if !config.cohorts.contains(name) {
                return Err(Rejection::Unknown("cohort", name.to_string()));
            }
            (
                name.as_str(),
                ["cohorts", name.as_str(), "members"].to_vec(),
            )
        }
    };
    let items = match live.state.document.at(&path) {
        Some(Json::Array(items)) => items.as_slice(),
        _ => &[],
    };
    let mut gone = Vec::new();
    for member in remove {
        let matches = |item: &&Json| match member {
            MemberRef::Unit(unit) => member_unit(item) == Some(unit),
            MemberRef::Label(label) => item.get("label").and_then(Json::as_str) == Some(label),
        };
        gone.extend(
            items
                .iter()
                .filter(matches)
                .filter_map(member_unit)
                .map(str::to_owned),
        );
    }
    let summary = format!("{target}: {} added, {} removed", add.len(), gone.len());
    let target = target.to_owned();
    Ok(Outcome::new("members.set", target, summary)
        .with(Change::Members {
            list,
            add,
            remove: gone,
        })
        .careful())
}

/// A token to be minted, with its hash made already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    pub id: String,
    pub hash: String,
    pub role: Role,
    pub label: String,
    pub kind: &'static str,
    pub lifetime_ms: u64,
}

/// `POST /admin/tokens`.
pub fn mint(new: NewToken, now: Timestamp) -> Outcome {
    let token = Token {
        id: new.id,
        hash: new.hash,
        role: new.role,
        label: new.label,
        kind: new.kind.to_owned(),
        created: now,
        expires: now.plus_millis(new.lifetime_ms),
        revoked: None,
    };
    let summary = format!(
        "token {} for {}: {}, until {}",
        token.id, token.label, token.role, token.expires
    );
    Outcome::new("token.mint", token.id.clone(), summary).with(Change::MintToken(token))
}

/// `DELETE /admin/tokens/{id}`.
pub fn revoke(live: &Live, id: &str) -> Result<Outcome, Rejection> {
    let Some(token) = live.state.tokens.get(id) else {
        return Err(Rejection::Unknown("token", id.to_owned()));
    };
    let outcome = Outcome::new(
        "token.revoke",
        id,
        format!("token of {} revoked", token.label),
    );
    Ok(match token.revoked {
        Some(_) => outcome,
        None => outcome.with(Change::RevokeToken(id.to_owned())),
    })
}
