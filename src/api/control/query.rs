//! Parameters of queries. One that is not known is refused: `?dryrun=1` is not meant to change
//! anything.

use crate::api::request::{Request, query_value};
use crate::auth::permission::Call;
use crate::core::time::Timestamp;
use crate::wire::problem::ProblemType;

use super::{Refusal, is_read};

/// What a call's query may name.
pub fn names(call: Call) -> &'static [&'static str] {
    match call {
        Call::ReadAudit => &[
            "format", "limit", "before", "actor", "action", "target", "since", "until",
        ],
        Call::ReadReport => &["kind", "format"],
        Call::ReadEvidence => &["seconds", "points", "by", "cohort", "platform"],
        Call::ReadAlerts => &["limit"],
        Call::Explain => &["id", "ip", "release", "at"],
        call if is_read(call) => &[],
        _ => &["dry_run", "confirm", "reason"],
    }
}

/// # Errors
/// When a query names what the call does not know.
pub(super) fn check(request: &impl Request, call: Call) -> Result<(), Refusal> {
    let known = names(call);
    let query = request.url().split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let name = |pair: &'_ str| pair.split('=').next().unwrap_or_default().to_owned();
    let mut given = query.split('&').map(name);
    let Some(unknown) = given.find(|name| !name.is_empty() && !known.contains(&name.as_str()))
    else {
        return Ok(());
    };
    // As it was sent, which is printable.
    let takes = match known {
        [] => "This call takes none.".to_owned(),
        known => format!("This call takes {}.", known.join(", ")),
    };
    let detail = format!("?{unknown} is not known, and nothing was done. {takes}");
    Err(Refusal::new(ProblemType::BadQuery, detail))
}

/// `?dry_run` says the same as `?dry_run=1`.
pub(super) fn flag(request: &impl Request, name: &str) -> Result<bool, Refusal> {
    let query = request.url().split_once('?').map_or("", |(_, query)| query);
    if query.split('&').any(|pair| pair == name) {
        return Ok(true);
    }
    match query_value(request, name).as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("" | "1" | "true") => Ok(true),
        Some(_) => {
            let detail = format!("?{name} is 1 or 0.");
            Err(Refusal::new(ProblemType::BadQuery, detail))
        }
    }
}

pub(super) fn number(request: &impl Request, name: &str) -> Result<Option<u64>, Refusal> {
    let wrong = || {
        let detail = format!("?{name} must be a whole number.");
        Refusal::new(ProblemType::BadQuery, detail)
    };
    query_value(request, name)
        .map(|text| text.parse().map_err(|_| wrong()))
        .transpose()
}

/// A number of rows, 1 to `most`.
pub(super) fn limit(request: &impl Request, usual: u64, most: u64) -> Result<u64, Refusal> {
    let limit = number(request, "limit")?.unwrap_or(usual);
    if !(1..=most).contains(&limit) {
        let detail = format!("?limit is 1 to {most}.");
        return Err(Refusal::new(ProblemType::BadQuery, detail));
    }
    Ok(limit)
}

pub(super) fn time(request: &impl Request, name: &str) -> Result<Option<Timestamp>, Refusal> {
    query_value(request, name)
        .map(|text| text.parse::<Timestamp>())
        .transpose()
        .map_err(|e| Refusal::new(ProblemType::BadQuery, format!("?{name} {e}.")))
}
