//! Every change, one way: what it would do, whether that is meant, and then for good.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, IsTerminal, Write};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::failure::{Exit, Failure};
use super::http::{Answer, Call, succeeded};
use super::output::{bold, good, items, note, text_of, warn};
use crate::client::address::escaped;

/// What every change takes.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Change options")]
pub struct ChangeArgs {
    /// Why: it goes into the audit log for good, and into alerts
    #[arg(short = 'm', long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Show what would change, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not ask: for scripts
    #[arg(short, long)]
    pub yes: bool,
}

/// When somebody is asked whether they mean it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// What takes away and can be given back: a stop, a kill, a pause. Time counts more than doubt.
    Never,
    /// Where requesters would get, lose or switch something.
    Effect,
    /// What cannot be undone, or gives something back that was taken away for good reason.
    Always,
}

/// A change that is wanted.
pub struct Change<'a> {
    pub method: &'static str,
    /// Without a query.
    pub path: String,
    pub body: Value,
    pub ask: Ask,
    pub args: &'a ChangeArgs,
    /// The reason if none was given.
    pub because: Option<String>,
    /// Told before the call is tried again.
    pub again: Option<&'a dyn Fn()>,
    /// The revision that it was made for. `None`: the one at which it was looked at.
    pub revision: Option<u64>,
}

impl<'a> Change<'a> {
    pub fn new(
        method: &'static str,
        path: impl Into<String>,
        body: Value,
        ask: Ask,
        args: &'a ChangeArgs,
    ) -> Self {
        Self {
            method,
            path: path.into(),
            body,
            ask,
            args,
            because: None,
            again: None,
            revision: None,
        }
    }

    fn call(&self, context: &Context, query: &str, headers: Headers) -> Result<Answer> {
        let router = context.router()?;
        router.need_token()?;
        let mut path = format!("{}?{query}", self.path);
        if let Some(reason) = self.args.reason.as_ref().or(self.because.as_ref()) {
            path.push_str(&format!("&reason={}", escaped(reason)));
        }
        let call = Call {
            method: self.method,
            path: path.trim_end_matches('?'),
            body: (self.method != "DELETE").then_some(&self.body),
            headers,
            repeatable: true,
            again: self.again,
        };
        router.call(&call)
    }
}

type Header = (&'static str, String);
type Headers = Vec<Header>;

/// Nothing is done at any other revision.
fn if_match(revision: u64) -> Header {
    ("if-match", format!("\"{revision}\""))
}

/// What came of a change.
pub struct Done {
    pub exit: Exit,
    /// The router's answer.
    pub body: Value,
}

/// Makes a change and shows what came of it.
///
/// # Errors
/// When it is refused, or was not meant.
pub fn make(context: &Context, change: &Change<'_>) -> Result<Exit> {
    let done = carry_out(context, change)?;
    context
        .out
        .answer(&done.body, |_| show(context, &done.body));
    Ok(done.exit)
}

/// Makes a change, after asking where that is due.
///
/// # Errors
/// When it is refused, or was not meant.
pub fn carry_out(context: &Context, change: &Change<'_>) -> Result<Done> {
    let mut headers = vec![("idempotency-key", key())];
    let mut confirmed = change.args.yes;
    if change.args.dry_run || change.ask != Ask::Never {
        let plan = look_ahead(context, change)?;
        if change.args.dry_run {
            return Ok(Done {
                exit: Exit::Ok,
                body: plan.body,
            });
        }
        if let Some(revision) = plan.revision {
            // What was agreed to is what happens, or nothing.
            headers.push(if_match(revision));
        }
        let asks = plan.doubted || change.ask == Ask::Always || has_effect(&plan.body);
        if asks && !confirmed && !is_unchanged(&plan.body) {
            confirm(&plan.lines)?;
            confirmed = true;
        }
    }
    let query = if confirmed { "confirm=1" } else { "" };
    let answer = succeeded(change.call(context, query, headers)?)?;
    let exit = match answer.status {
        202 => Exit::Waiting,
        _ => Exit::Ok,
    };
    Ok(Done {
        exit,
        body: answer.json()?,
    })
}

/// What a change would do.
struct Ahead {
    body: Value,
    revision: Option<u64>,
    lines: Vec<String>,
    /// Whether the router thinks that it is a mistake.
    doubted: bool,
}

fn look_ahead(context: &Context, change: &Change<'_>) -> Result<Ahead> {
    let headers = change.revision.map(if_match).into_iter().collect();
    let answer = change.call(context, "dry_run=1", headers)?;
    let problem = answer.json().unwrap_or_default();
    let is_doubt = answer.status == 409
        && text_of(&problem, "type").ends_with(":confirmation-required")
        && !items(&problem, "errors").is_empty();
    if is_doubt && !change.args.dry_run {
        let mut lines = vec![warn(&text_of(&problem, "detail"))];
        lines.extend(items(&problem, "errors").iter().map(|error| {
            format!(
                "  {} {}",
                text_of(error, "pointer"),
                text_of(error, "detail")
            )
        }));
        return Ok(Ahead {
            body: Value::Null,
            revision: answer.revision,
            lines,
            doubted: true,
        });
    }
    let answer = succeeded(answer)?;
    let body = answer.json()?;
    Ok(Ahead {
        revision: body.get("revision").and_then(Value::as_u64),
        lines: consequence(&body),
        body,
        doubted: false,
    })
}

fn is_unchanged(body: &Value) -> bool {
    body.get("changed") == Some(&Value::Bool(false)) && body.get("approval").is_none()
}

/// Whether anybody gets, loses or switches something.
fn has_effect(body: &Value) -> bool {
    let some = |value: Option<&Value>| value.and_then(Value::as_f64).is_some_and(|n| n > 0.0);
    let impact = body.get("impact");
    let of = |part: &str| impact.and_then(|i| i.pointer(part));
    let moved = ["enter", "leave", "switch"]
        .iter()
        .any(|name| some(of(&format!("/{name}"))) || some(of(&format!("/listed/{name}"))));
    // What turns off for people is a kill or a narrowing: it can be given back.
    moved || items(body, "features").iter().any(|f| some(f.get("on")))
}

/// What a change does, in lines.
pub fn consequence(body: &Value) -> Vec<String> {
    let mut lines = vec![bold(&text_of(body, "summary"))];
    if let Some(impact) = body.get("impact").filter(|i| i.is_object()) {
        lines.push(format!(
            "  {} % of requesters enter, {} % leave, {} % switch builds, {} % stay",
            text_of(impact, "enter"),
            text_of(impact, "leave"),
            text_of(impact, "switch"),
            text_of(impact, "stay"),
        ));
        lines.extend(items(impact, "moves").iter().take(10).map(|step| {
            let part = |name| text_of(step, name);
            format!(
                "  {} % go from {} to {}",
                part("share"),
                part("from"),
                part("to")
            )
        }));
        if let Some(listed) = impact.get("listed")
            && listed.get("people").and_then(Value::as_u64).unwrap_or(0) > 0
        {
            let part = |name| text_of(listed, name);
            lines.push(format!(
                "  of {} on lists {} enter, {} leave, {} switch",
                part("people"),
                part("enter"),
                part("leave"),
                part("switch"),
            ));
        }
    }
    lines.extend(items(body, "features").iter().map(|feature| {
        let part = |name| text_of(feature, name);
        format!(
            "  {}: on for {} % more, off for {} % more",
            part("key"),
            part("on"),
            part("off")
        )
    }));
    lines
}

/// Shows what came of a change.
pub fn show(context: &Context, body: &Value) {
    let out = &context.out;
    let is = |name: &str| body.get(name) == Some(&Value::Bool(true));
    let revision = text_of(body, "revision");
    if let Some(approval) = body.get("approval") {
        let id = text_of(approval, "id");
        let target = text_of(approval, "target");
        out.line(format!(
            "{} {}",
            warn("waits for a second person:"),
            text_of(body, "summary")
        ));
        out.line(format!(
            "  they say: caro-rollout approve {target} --approval {id}"
        ));
    } else if is("dry_run") {
        for line in consequence(body) {
            out.line(line);
        }
        out.line("nothing was changed: this was a dry run");
    } else if is_unchanged(body) {
        out.line(format!("nothing to do: {}", text_of(body, "summary")));
    } else {
        out.line(format!("{} {}", good("done:"), text_of(body, "summary")));
        match body.get("published") {
            Some(Value::Bool(true)) => out.line(format!("revision {revision}; KV has it, edges follow within seconds")),
            Some(Value::Bool(false)) => out.line(warn(&format!(
                "revision {revision}; KV does not have it yet, and the ledger goes on trying. To be sure: caro-rollout stop --via-kv"
            ))),
            _ => out.line(format!("revision {revision}; edges follow within seconds")),
        }
    }
    if let Some(decision) = body.get("decision").filter(|d| d.is_object()) {
        super::commands::decision::show(out, decision);
    }
}

/// Asks whether that is meant.
///
/// # Errors
/// When it is not, or nobody can be asked.
pub fn confirm(lines: &[String]) -> Result<()> {
    for line in lines {
        note(line);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("nobody can be asked here, and nothing was changed")
                .hint("add --yes to go on without a question, or --dry-run to look only")
                .into(),
        );
    }
    eprint!("Go on? [y/N] ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    match line.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Refused, "nothing was changed").into()),
    }
}

/// A key that makes a repeated call harmless. Made of the process's random hash keys: it has to be new, not secret.
fn key() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("cli-{:016x}{:016x}", half(), half())
}

/// A body with those members that are there.
pub fn body<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect())
}

/// A percentage as a person writes it: `25`, `0.5`, `25%`.
///
/// # Errors
/// When it is none.
pub fn percentage(text: &str) -> Result<Value, Failure> {
    let number = text.trim().trim_end_matches('%').trim_end();
    let wrong = |why: String| Failure::usage(format!("{text:?} is no percentage: {why}"));
    let value: f64 = number
        .parse()
        .map_err(|_| wrong("write it as 25, 0.5 or 25%".to_owned()))?;
    crate::core::ids::Percentage::try_from(value).map_err(|e| wrong(e.to_string()))?;
    // As it was written: 25 and not 25.0.
    Ok(serde_json::from_str(number).unwrap_or_else(|_| json!(value)))
}
