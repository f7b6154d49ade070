//! `GET /rollout/{release}/report`: texts for people, from live state.

use crate::api::ports::{Search, Store};
use crate::api::reply::Reply;
use crate::api::request::{Request, query_value};
use crate::core::gate::Evidence;
use crate::core::ids::{Percentage, ReleaseName};
use crate::core::json::Json;
use crate::core::ledger::event::{Change, Row};
use crate::core::ledger::{self, Rejection};
use crate::core::plan::calendar;
use crate::core::plan::report::{About, Moment, announcement, daily, post_mortem};
use crate::wire::plan::Report;
use crate::wire::problem::ProblemType;

use super::ledger::Ledger;
use super::plans::{day, seen};
use super::{Environment, Refusal, answer};

/// Rows of a post-mortem, the newest.
const MAX_ROWS: u64 = 200;

pub(super) fn report<S: Store>(
    ledger: &Ledger<S>,
    request: &impl Request,
    name: &ReleaseName,
    environment: &Environment,
) -> Result<Reply, Refusal> {
    let live = &ledger.live;
    let bad = |detail: &str| Refusal::new(ProblemType::BadQuery, detail);
    let as_text = match query_value(request, "format").as_deref() {
        None | Some("json") => false,
        Some("text") => true,
        Some(_) => return Err(bad("?format is json or text.")),
    };
    let config = live.config.as_ref().ok_or(Rejection::NoConfiguration)?;
    let release = config.releases.get(name);
    let release = release.ok_or_else(|| Rejection::UnknownRelease(name.to_string()))?;
    let (version, stable) = (release.version.to_string(), config.stable.to_string());
    let about = About {
        release: name.as_str(),
        version: &version,
        stable: &stable,
        origin: &ledger.defaults.origin,
        product: &ledger.defaults.product,
        now: environment.now,
    };
    let mut body = match query_value(request, "kind").as_deref() {
        None | Some("status") => {
            let looked = ledger::looked(live, name, environment.now)?;
            let asked = environment.evidence.as_ref();
            let seen = seen(live, name, asked);
            let none = Evidence::default();
            let daily = daily(
                &looked.plan,
                &looked.planned.run,
                looked.planned.last.as_ref(),
                day(asked).unwrap_or(&none),
                &seen.stage.numbers,
                environment.now,
            );
            let mut text = daily.text(&about);
            if let Some(error) = &seen.error {
                text.push_str(&format!("The last 24 hours are not known: {error}\n"));
            }
            Report::new("status", text).with_daily(daily)
        }
        Some("announcement") => {
            let looked = ledger::looked(live, name, environment.now)?;
            let (calendar, _) = calendar(&looked.plan, &looked.planned.run, environment.now);
            Report::new("announcement", announcement(&about, &calendar)).with_calendar(calendar)
        }
        Some("post-mortem") => {
            let (moments, highest) = moments(ledger, name)?;
            let highest = highest.max(release.percentage);
            Report::new("post-mortem", post_mortem(&about, highest, &moments))
                .with_timeline(moments)
        }
        Some(_) => return Err(bad("?kind is status, announcement or post-mortem.")),
    };
    body.release = name.to_string();
    if as_text {
        return Ok(
            Reply::new(200, "text/plain; charset=utf-8", "no-store", body.text)
                .with("X-Caro-Revision", live.state.revision.to_string()),
        );
    }
    Ok(answer(200, live.state.revision, &body))
}

/// What happened to a release, oldest first, and the highest percentage that it had.
fn moments<S: Store>(
    ledger: &Ledger<S>,
    name: &ReleaseName,
) -> Result<(Vec<Moment>, Percentage), Refusal> {
    let search = |target: &str| {
        ledger.store.search(&Search {
            target: Some(target.to_owned()),
            limit: MAX_ROWS,
            ..Search::default()
        })
    };
    let mut stored = search(name.as_str())?;
    stored.extend(search("all")?);
    stored.sort_by_key(|row| row.seq);
    let rows: Vec<Row> = stored
        .iter()
        .filter_map(|row| Row::parse(&row.text))
        .collect();
    let changes = rows.iter().flat_map(|row| &row.changes);
    let set = changes.filter_map(|change| match change {
        Change::Merge(patch) => patch.at(&["releases", name.as_str(), "percentage"]),
        _ => None,
    });
    let set = set.filter_map(|json| match json {
        Json::Number(number) => Percentage::try_from(*number).ok(),
        _ => None,
    });
    let highest = set.max().unwrap_or_default();
    // Hourly decisions that held, and signals, are in the audit log; here is what happened.
    let shown = rows.into_iter().filter(|row| {
        let moves = row
            .changes
            .iter()
            .any(|c| matches!(c, Change::Merge(_) | Change::Stop(_)));
        moves
            || !matches!(
                row.action.as_str(),
                "plan.decide" | "plan.guard" | "plan.signals"
            )
    });
    let moments = shown.map(|row| Moment {
        at: row.at,
        by: row.actor.label,
        what: row.summary,
        reason: row.reason,
    });
    Ok((moments.collect(), highest))
}
