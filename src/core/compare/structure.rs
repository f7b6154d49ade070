//! What two documents say otherwise, place by place.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::core::decode::Path;
use crate::core::json::Json;

/// How a place differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

/// One place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    pub kind: Kind,
    /// What it was. Absent where it was not there, and where nobody is to read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Json>,
    /// Of a list of people: how many come and go. They are named by nothing but hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<People>,
}

/// Changes of a list of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct People {
    pub added: u64,
    pub removed: u64,
}

/// Every place where two configurations differ, in the order of the first. The revision is none: it is the router's own
/// counter. Of the salt it is only said that it is another, of lists of people how many come and go.
pub fn differences(before: &Json, after: &Json) -> Vec<Difference> {
    let mut found = Vec::new();
    walk(&Path::Root, before, after, &mut found);
    found.retain(|difference| difference.pointer != "/revision");
    found
}

fn walk(at: &Path<'_>, before: &Json, after: &Json, found: &mut Vec<Difference>) {
    if same(before, after) {
        return;
    }
    match (before, after) {
        (Json::Object(old), Json::Object(new)) => {
            for (key, value) in old {
                match after.get(key) {
                    Some(other) => walk(&at.key(key), value, other, found),
                    None => found.push(one(&at.key(key), Some(value), None)),
                }
            }
            for (key, value) in new.iter().filter(|(key, _)| before.get(key).is_none()) {
                found.push(one(&at.key(key), None, Some(value)));
            }
        }
        (Json::Array(old), Json::Array(new)) if !is_people(at) => {
            for (index, pair) in old.iter().zip(new).enumerate() {
                walk(&at.index(index), pair.0, pair.1, found);
            }
            let common = old.len().min(new.len());
            for (index, value) in old.iter().enumerate().skip(common) {
                found.push(one(&at.index(index), Some(value), None));
            }
            for (index, value) in new.iter().enumerate().skip(common) {
                found.push(one(&at.index(index), None, Some(value)));
            }
        }
        _ => found.push(one(at, Some(before), Some(after))),
    }
}

/// Whether both say the same: the order of an object's members says nothing.
fn same(before: &Json, after: &Json) -> bool {
    let sorted = |json: &Json| {
        let mut json = json.clone();
        json.sort();
        json
    };
    before == after || sorted(before) == sorted(after)
}

fn one(at: &Path<'_>, from: Option<&Json>, to: Option<&Json>) -> Difference {
    let kind = match (from, to) {
        (None, _) => Kind::Added,
        (_, None) => Kind::Removed,
        _ => Kind::Changed,
    };
    let lists = [from, to].into_iter().flatten();
    let lists = lists.map(|json| matches!(json, Json::Array(_)));
    let people = (is_people(at) && lists.min() == Some(true)).then(|| people(from, to));
    let shown = |json: Option<&Json>| match people {
        Some(_) => None,
        None => json.map(|json| masked(at, json)),
    };
    Difference {
        pointer: at.to_string(),
        kind,
        from: shown(from).filter(|_| !is_salt(at)),
        to: shown(to).filter(|_| !is_salt(at)),
        people,
    }
}

/// What is added or removed as a whole may have people in it, or be a whole document.
fn masked(at: &Path<'_>, json: &Json) -> Json {
    match json {
        _ if is_salt(at) => Json::Null,
        Json::Array(items) if is_people(at) => Json::from(format!("{} people", items.len())),
        Json::Array(items) => {
            let items = items.iter().enumerate();
            Json::Array(items.map(|(i, item)| masked(&at.index(i), item)).collect())
        }
        Json::Object(entries) => {
            let entries = entries.iter();
            Json::object(entries.map(|(key, value)| (key.clone(), masked(&at.key(key), value))))
        }
        other => other.clone(),
    }
}

fn is_salt(at: &Path<'_>) -> bool {
    matches!(at, Path::Key(Path::Root, "salt"))
}

/// Whether there are people's hashes: the allowlist, deny lists, members.
fn is_people(at: &Path<'_>) -> bool {
    matches!(
        at,
        Path::Key(Path::Key(..), "allowlist" | "deny" | "members")
    )
}

fn people(from: Option<&Json>, to: Option<&Json>) -> People {
    let mut balance: BTreeMap<String, i64> = BTreeMap::new();
    for (side, step) in [(from, -1), (to, 1)] {
        if let Some(Json::Array(items)) = side {
            for item in items {
                let mut item = item.clone();
                item.sort();
                *balance.entry(item.text()).or_default() += step;
            }
        }
    }
    let sum = |sign: i64| {
        let some = balance.values().filter(|n| n.signum() == sign);
        some.map(|n| n.unsigned_abs()).sum()
    };
    People {
        added: sum(1),
        removed: sum(-1),
    }
}
