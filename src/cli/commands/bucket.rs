//! `bucket`: which arm somebody gets, and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::configuration;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, bold, dim, good, items, progress, text_of};
use crate::client::address::escaped;
use crate::core::explain::explain;
use crate::core::identity::Unit;
use crate::core::snapshot::Snapshot;
use crate::core::stop::Stop;

/// Which arm somebody gets, and why.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  caro-rollout bucket user123\n  caro-rollout bucket --ip 192.0.2.7 --release v1.1.0-beta\n  caro-rollout bucket user123 --at 41                        # as it was at revision 41\n  caro-rollout bucket --file users.txt --config new.json     # no router needed\n\nWith --json:\n  {\"requesters\": [{\"id\" or \"ip\", \"arm\", \"version\", \"reason\", \"bucket\", \"threshold\",\n    \"explanation\": as GET /admin/explain answers; null with --file}],\n   \"arms\": [{\"arm\", \"version\", \"count\", \"share\": 0 to 1}]}"
)]
pub struct Bucket {
    /// Ids, as X-Caro-Id has them
    #[arg(required_unless_present_any = ["ip", "file"])]
    ids: Vec<String>,
    /// Addresses as well. Of an IPv6 address the /64 counts
    #[arg(long)]
    ip: Vec<String>,
    /// A file of ids as well, one a line; - is standard input
    #[arg(long)]
    file: Option<PathBuf>,
    /// Of this release alone, and its flags
    #[arg(long)]
    release: Option<String>,
    /// As it was at this revision
    #[arg(long, value_name = "REVISION", conflicts_with = "config")]
    at: Option<u64>,
    /// Decide here, by the configuration in this file (- is standard input), with no stop
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
}

/// Somebody who is asked about.
struct Who {
    kind: &'static str,
    name: String,
}

/// Who explains.
enum By<'a> {
    Router(&'a Context),
    File(Box<(configuration::Configuration, Snapshot)>),
}

impl Bucket {
    pub fn run(self, context: &Context) -> Result<Exit> {
        let named = |kind| {
            move |name: &String| Who {
                kind,
                name: name.clone(),
            }
        };
        let mut who: Vec<Who> = self.ids.iter().map(named("id")).collect();
        who.extend(self.ip.iter().map(named("ip")));
        if let Some(file) = &self.file {
            if self.config.as_deref() == Some("-") && file.as_os_str() == "-" {
                return Err(Failure::usage("standard input can be read once").into());
            }
            who.extend(configuration::ids(file)?.iter().map(named("id")));
        }
        let by = self.by(context)?;
        let bar = progress(who.len() as u64, "asking");
        let mut requesters = Vec::new();
        for who in &who {
            let explanation = self.explained(&by, who)?;
            requesters.push(self.row(who, explanation));
            bar.inc(1);
        }
        drop(bar);
        let arms = arms(&requesters);
        let answer = json!({ "requesters": requesters, "arms": arms });
        context
            .out
            .answer(&answer, |out| match requesters.as_slice() {
                [one] if self.file.is_none() => show(out, one),
                all => {
                    let head = ["ID", "ARM", "VERSION", "REASON", "BUCKET", "THRESHOLD"];
                    out.table(&head, &all.iter().map(cells).collect::<Vec<_>>());
                    if self.file.is_some() {
                        if out.is_terminal() {
                            out.line("");
                        }
                        let rows = arms.iter().map(|arm| {
                            let share = arm.get("share").and_then(Value::as_f64).unwrap_or(0.0);
                            let part = |name| text_of(arm, name);
                            let share = format!("{:.1} %", share * 100.0);
                            vec![part("arm"), part("version"), part("count"), share]
                        });
                        let head = ["ARM", "VERSION", "COUNT", "SHARE"];
                        out.table(&head, &rows.collect::<Vec<_>>());
                    }
                }
            });
        Ok(Exit::Ok)
    }

    fn by<'a>(&self, context: &'a Context) -> Result<By<'a>> {
        let Some(source) = &self.config else {
            context.router()?.need_token()?;
            return Ok(By::Router(context));
        };
        let read = configuration::read(context, source)?;
        let snapshot = Snapshot::new(&read.config, Stop::None, &configuration::defaults()?);
        if let Some(name) = &self.release
            && snapshot.release(name).is_none()
        {
            let names = read.config.releases.keys().map(ToString::to_string);
            let names: Vec<String> = names.collect();
            let failure = Failure::missing(format!("{source} has no release {name}"));
            return Err(failure
                .hint(format!("there are: {}", names.join(", ")))
                .into());
        }
        Ok(By::File(Box::new((read, snapshot))))
    }

    fn explained(&self, by: &By<'_>, who: &Who) -> Result<Value> {
        match by {
            By::Router(context) => {
                let mut path = format!("/admin/explain?{}={}", who.kind, escaped(&who.name));
                if let Some(release) = &self.release {
                    path.push_str(&format!("&release={}", escaped(release)));
                }
                if let Some(at) = self.at {
                    path.push_str(&format!("&at={at}"));
                }
                context.router()?.read(&path)
            }
            By::File(read) => {
                let (read, snapshot) = read.as_ref();
                let unit = match who.kind {
                    "ip" => Unit::from_address(&who.name).ok_or_else(|| {
                        Failure::usage(format!("{} is no IPv4 or IPv6 address", who.name))
                    })?,
                    _ => Unit::from_id(&who.name)
                        .map_err(|e| Failure::usage(format!("{:?}: {e}", who.name)))?
                        .ok_or_else(|| Failure::usage("an empty id is nobody's"))?,
                };
                let release = self.release.as_deref();
                let now = configuration::now();
                let config = Some(&read.config);
                Ok(json!(explain(snapshot, config, Some(&unit), release, now)))
            }
        }
    }

    /// One requester in short. Of the many in a file that is all that is kept.
    fn row(&self, who: &Who, explanation: Value) -> Value {
        let releases = items(&explanation, "releases");
        let admits = |r: &&Value| r.get("admitted") == Some(&Value::Bool(true));
        let decides = releases.iter().find(admits).or(releases.first());
        let of = |name| {
            decides
                .and_then(|d| d.get(name))
                .cloned()
                .unwrap_or_default()
        };
        let (arm, reason) = match &self.release {
            None => (
                text_of(&explanation, "channel"),
                text_of(&explanation, "reason"),
            ),
            Some(_) => {
                let steps = decides.map_or(&[][..], |d| items(d, "steps"));
                let rule = steps.iter().find(|s| text_of(s, "outcome") == "decides");
                let arm = if of("admitted") == true { "in" } else { "out" };
                (
                    arm.to_owned(),
                    rule.map_or_else(String::new, |s| text_of(s, "rule")),
                )
            }
        };
        let version = explanation.get("version").cloned();
        let mut row = json!({
            "arm": arm,
            "version": version,
            "reason": reason,
            "bucket": of("bucket"),
            "threshold": of("threshold"),
            "explanation": self.file.is_none().then_some(explanation),
        });
        if let Value::Object(members) = &mut row {
            members.insert(who.kind.to_owned(), json!(who.name));
        }
        row
    }
}

fn name(row: &Value) -> String {
    text_of(row, if row.get("ip").is_some() { "ip" } else { "id" })
}

fn arm(row: &Value) -> String {
    match text_of(row, "arm").as_str() {
        arm @ ("beta" | "in") => good(arm),
        arm => arm.to_owned(),
    }
}

fn cells(row: &Value) -> Vec<String> {
    let part = |name| text_of(row, name);
    vec![
        name(row),
        arm(row),
        part("version"),
        part("reason"),
        part("bucket"),
        part("threshold"),
    ]
}

/// How many get which.
fn arms(requesters: &[Value]) -> Vec<Value> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in requesters {
        let key = (text_of(row, "arm"), text_of(row, "version"));
        *counts.entry(key).or_default() += 1;
    }
    let all = requesters.len().max(1) as f64;
    let arm = |((arm, version), count): (&(String, String), &u64)| json!({ "arm": arm, "version": version, "count": count, "share": *count as f64 / all });
    counts.iter().map(arm).collect()
}

/// One requester, with every step.
fn show(out: &Output, row: &Value) {
    let explanation = row.get("explanation").unwrap_or(&Value::Null);
    out.line(format!(
        "{} gets {} ({}), because of {}, at revision {}",
        bold(&name(row)),
        bold(&text_of(explanation, "version")),
        text_of(explanation, "channel"),
        text_of(explanation, "reason"),
        text_of(explanation, "revision"),
    ));
    for release in items(explanation, "releases") {
        let part = |name| text_of(release, name);
        out.line(format!(
            "\n{} ({}, {}): bucket {} %, threshold {} %",
            bold(&part("release")),
            part("version"),
            part("state"),
            part("bucket"),
            part("threshold"),
        ));
        let rows = items(release, "steps").iter().map(|step| {
            let outcome = text_of(step, "outcome");
            let cells = [
                text_of(step, "rule"),
                outcome.clone(),
                text_of(step, "detail"),
            ];
            cells.map(|cell| match outcome.as_str() {
                "decides" => bold(&cell),
                "not_reached" => dim(&cell),
                _ => cell,
            })
        });
        let rows: Vec<Vec<String>> = rows.map(Vec::from).collect();
        out.table(&["RULE", "", "BECAUSE"], &rows);
    }
    let rows = items(explanation, "features").iter().map(|feature| {
        let part = |name| text_of(feature, name);
        vec![part("key"), part("value"), part("variant"), part("detail")]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        out.line("");
        out.table(&["FLAG", "VALUE", "VARIANT", "BECAUSE"], &rows);
    }
}
