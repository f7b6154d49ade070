//! The audit log: paged, exported, verified.

use crate::api::ports::{Search, Store, Stored};
use crate::api::reply::Reply;
use crate::api::request::{Request, query_value};
use crate::core::ledger::State;
use crate::core::ledger::event::{GENESIS, Row};
use crate::wire::control::Verified;
use crate::wire::problem::ProblemType;

use super::Refusal;
use super::ledger::{Ledger, head};
use super::query::{limit, number, time};

/// Rows of a page of the audit log, if not said, and at most; and of one export.
const PAGE: u64 = 50;
const MAX_PAGE: u64 = 500;
const MAX_EXPORT: u64 = 10_000;

/// Pages newest first as JSON, or everything oldest last as NDJSON.
pub(super) fn audit<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
) -> Result<Reply, Refusal> {
    let ndjson = match query_value(request, "format").as_deref() {
        None => request
            .header("accept")
            .is_some_and(|accept| accept.contains("ndjson")),
        Some("ndjson") => true,
        Some("json") => false,
        Some(_) => {
            let detail = "?format is json or ndjson.";
            return Err(Refusal::new(ProblemType::BadQuery, detail));
        }
    };
    let (usual, most) = if ndjson {
        (MAX_EXPORT, MAX_EXPORT)
    } else {
        (PAGE, MAX_PAGE)
    };
    let limit = limit(request, usual, most)?;
    let search = Search {
        before: number(request, "before")?,
        actor: query_value(request, "actor"),
        action: query_value(request, "action"),
        target: query_value(request, "target"),
        since: time(request, "since")?,
        until: time(request, "until")?,
        limit,
    };
    let rows = ledger.store.search(&search)?;
    let next = match rows.last() {
        Some(last) if rows.len() as u64 == limit && last.seq > 1 => Some(last.seq),
        _ => None,
    };
    let mut body = String::new();
    if !ndjson {
        body.push_str("{\"rows\":[");
    }
    for (i, row) in rows.iter().enumerate() {
        match (ndjson, i) {
            (true, 0) | (false, 0) => {}
            (true, _) => body.push('\n'),
            (false, _) => body.push(','),
        }
        body.push_str(&with_hash(row));
    }
    if ndjson {
        if !rows.is_empty() {
            body.push('\n');
        }
    } else {
        let next = next.map_or("null".to_owned(), |seq| seq.to_string());
        body.push_str(&format!("],\"next_before\":{next}}}"));
    }
    let kind = if ndjson {
        "application/x-ndjson"
    } else {
        "application/json"
    };
    let revision = ledger.live.state.revision;
    let reply = Reply::new(200, kind, "no-store", body)
        .with("ETag", format!("\"{revision}\""))
        .with("X-Caro-Revision", revision.to_string());
    Ok(match next {
        Some(seq) => reply.with(
            "Link",
            format!(
                "<?{}before={seq}&limit={limit}>; rel=\"next\"",
                filters(request)
            ),
        ),
        None => reply,
    })
}

/// What a query filters by, to be asked again of the next page. No quotes: the URL standard has
/// them percent-encoded.
fn filters(request: &impl Request) -> String {
    let query = request.url().split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let place = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        !["", "before", "limit"].contains(&name) && !pair.contains(['<', '>', '"'])
    };
    let kept: Vec<&str> = query.split('&').filter(place).collect();
    kept.iter().map(|pair| format!("{pair}&")).collect()
}

/// The row's text with its hash as the last member: without it, the text is what was hashed.
fn with_hash(row: &Stored) -> String {
    let text = row.text.strip_suffix('}').unwrap_or(&row.text);
    format!("{text},\"hash\":\"{}\"}}", row.hash)
}

/// Hashes everything again, and folds it again: a row, its place and what came of it must agree.
pub(super) fn verify<S: Store>(ledger: &Ledger<S>) -> Result<Verified, Refusal> {
    let state = &ledger.live.state;
    let mut folded = State::default();
    let mut prev = GENESIS.to_owned();
    let mut shortcuts = shortcuts(&ledger.store)?;
    let broken = |seq: u64, detail: &str| Verified {
        ok: false,
        rows: state.seq,
        head: state.head.clone(),
        broken_at: Some(seq),
        detail: detail.to_owned(),
    };
    loop {
        let rows = ledger.store.rows(folded.seq, MAX_PAGE)?;
        if rows.is_empty() {
            break;
        }
        for stored in rows {
            let expected = folded.seq + 1;
            if stored.seq != expected {
                return Ok(broken(expected, "The row is missing."));
            }
            let hash = Row::hash(&stored.text);
            let Some(row) = Row::parse(&stored.text) else {
                return Ok(broken(expected, "The row cannot be read."));
            };
            let columns = row.seq == stored.seq
                && row.revision == stored.revision
                && row.at == stored.at
                && row.actor.id == stored.actor
                && row.action == stored.action
                && row.target == stored.target;
            if hash != stored.hash || row.prev != prev || !columns {
                return Ok(broken(expected, "The row is not what was written."));
            }
            prev.clone_from(&hash);
            folded.fold(&row, hash);
            // A checkpoint is a shortcut; it must lead to the same place.
            if shortcuts.last().is_some_and(|(at, _)| *at == folded.seq)
                && let Some((at, text)) = shortcuts.pop()
                && Row::hash(&folded.text()) != text
            {
                return Ok(broken(at, "The checkpoint here is not what was written."));
            }
        }
    }
    if head(&ledger.store)?.is_some_and(|head| head.seq > folded.seq) {
        return Ok(broken(folded.seq + 1, "The row is missing."));
    }
    if let Some((at, _)) = shortcuts.last() {
        return Ok(broken(*at, "There is a checkpoint here, and no row."));
    }
    if folded.text() != state.text() {
        let detail = "The rows do not add up to the present state; the last ones may be missing.";
        return Ok(broken(folded.seq + 1, detail));
    }
    Ok(Verified {
        ok: true,
        rows: folded.seq,
        head: folded.head,
        broken_at: None,
        detail: "Every row is what was written, and they add up to the present state.".to_owned(),
    })
}

/// Every checkpoint by its row, the last first, with the hash of its text.
fn shortcuts<S: Store>(store: &S) -> Result<Vec<(u64, String)>, Refusal> {
    let mut found = Vec::new();
    let mut before = u64::MAX;
    while let Some((at, text)) = store.checkpoint(before)? {
        found.push((at, Row::hash(&text)));
        match at.checked_sub(1) {
            Some(earlier) => before = earlier,
            None => break,
        }
    }
    Ok(found)
}
