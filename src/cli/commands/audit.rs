//! The audit log.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::Context;
use crate::cli::failure::{Exit, Failure, failure_of};
use crate::cli::http::{Call, succeeded};
use crate::cli::output::{bad, good, items, note, print, progress, shown, text_of, warn};
use crate::cli::when;
use crate::client::address::escaped;
use crate::core::decode::to_hex;

/// Rows of one page of an export.
const PAGE: u64 = 10_000;

/// How often `--follow` looks, in seconds.
const LOOK_S: u64 = 2;

/// What stands before the first row (the ledger's `GENESIS`).
const GENESIS: &str = crate::core::ledger::event::GENESIS;

/// The audit log: who changed what, when and why.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout audit\n  caro-rollout audit --target v1.1.0-beta --since 2026-01-15T00:00:00Z\n  caro-rollout audit --follow\n  caro-rollout audit --verify\n  caro-rollout audit --export audit.ndjson    # checks the chain as it comes"
)]
pub struct Audit {
    /// By whom: a token's id
    #[arg(long)]
    actor: Option<String>,
    /// What was done, such as release.set
    #[arg(long)]
    action: Option<String>,
    /// To what: a release, all, …
    #[arg(long)]
    target: Option<String>,
    /// From this time on (RFC 3339)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// So many, the newest
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=500))]
    limit: u64,
    /// Wait for new rows, until Ctrl-C
    #[arg(long, conflicts_with_all = ["verify", "export", "until"])]
    follow: bool,
    /// Have the router compute every hash again, and what the rows add up to
    #[arg(long, conflicts_with_all = ["export", "actor", "action", "target", "since", "until"])]
    verify: bool,
    /// Write every row to a file as NDJSON, oldest first; - is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["actor", "action", "target", "since", "until"])]
    export: Option<PathBuf>,
}

impl Audit {
    pub fn run(self, context: &Context) -> Result<Exit> {
        if self.verify {
            return verify(context);
        }
        if let Some(file) = &self.export {
            return export(context, file);
        }
        let page = self.page(context, self.limit)?;
        if !self.follow {
            context.out.answer(&page, |out| {
                let rows: Vec<Vec<String>> = items(&page, "rows").iter().map(cells).collect();
                out.table(&["ROW", "AT", "BY", "WHAT", "WHY"], &rows);
            });
            return Ok(Exit::Ok);
        }
        self.watch(context, &page)
    }

    fn page(&self, context: &Context, limit: u64) -> Result<Value> {
        let mut path = format!("/admin/audit?limit={limit}");
        let filters = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("target", &self.target),
            ("since", &self.since),
            ("until", &self.until),
        ];
        for (name, value) in filters {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", escaped(value)));
            }
        }
        context.router()?.read(&path)
    }

    /// Rows as they come, oldest first: each a line, with `--json` NDJSON.
    fn watch(&self, context: &Context, first: &Value) -> Result<Exit> {
        let mut last = 0;
        let mut page = first.clone();
        loop {
            let fresh: VecDeque<&Value> = items(&page, "rows")
                .iter()
                .filter(|row| row.get("seq").and_then(Value::as_u64) > Some(last))
                .collect();
            for row in fresh.iter().rev() {
                match context.out.json {
                    true => print(&format!("{row}\n")),
                    false => print(&format!("{}\n", cells(row).join("  "))),
                }
            }
            let newest = fresh.front().and_then(|row| row.get("seq")?.as_u64());
            last = newest.unwrap_or(last);
            loop {
                sleep(Duration::from_secs(LOOK_S));
                match self.page(context, 500) {
                    Ok(next) => {
                        page = next;
                        break;
                    }
                    // Whoever watches wants to go on watching.
                    Err(error) if failure_of(&error).exit == Exit::Unreachable => {
                        note(warn(&format!("{error:#}; trying again")));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

fn cells(row: &Value) -> Vec<String> {
    let by = row
        .pointer("/actor/label")
        .map_or_else(|| "-".to_owned(), shown);
    let approved = row.pointer("/approved_by/label").map(shown);
    let by = approved.map_or(by.clone(), |second| format!("{by} + {second}"));
    vec![
        text_of(row, "seq"),
        when::time(&text_of(row, "at")),
        by,
        text_of(row, "summary"),
        text_of(row, "reason"),
    ]
}

fn verify(context: &Context) -> Result<Exit> {
    let verified = context.router()?.read("/admin/audit/verify")?;
    let ok = verified.get("ok") == Some(&Value::Bool(true));
    context.out.answer(&verified, |out| {
        let detail = text_of(&verified, "detail");
        if ok {
            out.line(format!(
                "{} {} rows. {detail}",
                good("intact:"),
                text_of(&verified, "rows")
            ));
            out.line(format!("head {}", text_of(&verified, "head")));
        } else {
            out.line(format!(
                "{} at row {}. {detail}",
                bad("BROKEN"),
                text_of(&verified, "broken_at")
            ));
        }
    });
    Ok(if ok { Exit::Ok } else { Exit::No })
}

/// Fetches every row, checks that each holds the hash of the one before, and writes them oldest first. The file is
/// there whole or not at all.
fn export(context: &Context, file: &Path) -> Result<Exit> {
    let router = context.router()?;
    router.need_token()?;
    let mut pages: Vec<String> = Vec::new();
    let mut before = None;
    let bar = progress(0, "rows");
    loop {
        let mut path = format!("/admin/audit?format=ndjson&limit={PAGE}");
        if let Some(before) = before {
            path.push_str(&format!("&before={before}"));
        }
        let text = succeeded(router.call(&Call::get(&path))?)?.text;
        let Some(last) = text.lines().last() else {
            break;
        };
        let row: Value = serde_json::from_str(last).context("a row of the audit log")?;
        let oldest = row.get("seq").and_then(Value::as_u64).unwrap_or(1);
        if before.is_none() {
            bar.set_length(
                serde_json::from_str::<Value>(text.lines().next().unwrap_or_default())?
                    .get("seq")
                    .and_then(Value::as_u64)
                    .unwrap_or(0),
            );
        }
        bar.inc(text.lines().count() as u64);
        pages.push(text);
        if oldest <= 1 {
            break;
        }
        before = Some(oldest);
    }
    drop(bar);
    let rows: Vec<&str> = pages.iter().flat_map(|page| page.lines()).collect();
    let rows: Vec<&str> = rows.into_iter().rev().collect();
    let head = chained(&rows)?;
    let text: String = rows.iter().flat_map(|row| [*row, "\n"]).collect();
    if file == Path::new("-") {
        print(&text);
        return Ok(Exit::Ok);
    }
    super::write_file(file, text.as_bytes())?;
    let answer = json!({ "file": file, "rows": rows.len(), "head": head });
    context.out.answer(&answer, |out| {
        out.line(format!(
            "{} rows written to {}, the chain holds",
            rows.len(),
            file.display()
        ));
        out.line(format!(
            "head {head}: note it elsewhere, and compare it next time"
        ));
    });
    Ok(Exit::Ok)
}

/// Checks the chain and gives its head. A row's hash is that of its line without the last member, `hash`.
fn chained(rows: &[&str]) -> Result<String> {
    let mut prev = GENESIS.to_owned();
    for line in rows {
        let row: Value = serde_json::from_str(line).context("a row of the audit log")?;
        let broken = |why: &str| {
            let message = format!(
                "row {} of the audit log {why}; nothing was written",
                text_of(&row, "seq")
            );
            Failure::new(Exit::No, message)
                .hint("`caro-rollout audit --verify` has the router look")
        };
        let hash = text_of(&row, "hash");
        let end = format!(",\"hash\":\"{hash}\"}}");
        let text = line
            .strip_suffix(&end)
            .ok_or_else(|| broken("has no hash"))?;
        let computed = to_hex(
            &Sha256::new()
                .chain_update(text)
                .chain_update("}")
                .finalize(),
        );
        if computed != hash {
            return Err(broken("is not what was written").into());
        }
        if text_of(&row, "prev") != prev {
            return Err(broken("does not follow from the one before").into());
        }
        prev = hash;
    }
    Ok(prev)
}
