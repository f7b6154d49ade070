//! What can be rehearsed without changing anything.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use toml_edit::{DocumentMut, Item};

use super::{Drill, Step, Times};
use crate::cli::Context;
use crate::cli::checklist::Check;
use crate::cli::commands::standing::{named, names};
use crate::cli::failure::failure_of;
use crate::cli::http::{Call, Router, succeeded};
use crate::cli::output::{progress, text_of};
use crate::core::gate::Verdict;

/// The binding that `stop --via-kv` writes to.
const BINDING: &str = "ROLLOUT";

/// Every dry step.
pub fn steps(context: &Context, drill: &Drill) -> Result<Vec<Step>> {
    let router = context.router()?;
    router.need_token()?;
    let status = router.get("/status.json")?;
    let releases: Vec<String> = match &drill.release {
        Some(release) => vec![text_of(named(&status, release)?, "name")],
        None => names(&status),
    };
    let all = "all".to_owned();
    let stopped = drill.release.as_ref().unwrap_or(&all);
    let bar = progress(releases.len() as u64 + 6, "drill");
    let mut steps = Vec::new();
    let mut take = |step: Step| {
        steps.push(step);
        bar.inc(1);
    };
    take(health(router, drill.rounds));
    let stop = format!("/rollout/{stopped}/emergency-stop");
    take(call(router, drill.rounds, "stop", &stop));
    for release in &releases {
        let path = format!("/rollout/{release}/rollback");
        take(call(
            router,
            drill.rounds,
            &format!("rollback {release}"),
            &path,
        ));
    }
    let clear = format!("/rollout/{stopped}/clear-stop");
    take(call(router, drill.rounds, "clear-stop", &clear));
    let ops = router.read("/ops/status.json")?;
    take(publishing(&ops).into());
    take(alerts(&ops).into());
    take(by_kv(Path::new("wrangler.toml"), drill.local).into());
    drop(bar);
    Ok(steps)
}

/// Makes a call so often: how it went the last time, and what it took.
fn measured<T>(rounds: u32, mut call: impl FnMut() -> Result<T>) -> (Result<T>, Option<Times>) {
    let mut times = Vec::new();
    loop {
        let begun = Instant::now();
        let answer = call();
        times.push(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        if answer.is_err() || times.len() >= rounds as usize {
            return (answer, Times::of(times));
        }
    }
}

fn health(router: &Router, rounds: u32) -> Step {
    let (answer, times) = measured(rounds, || {
        router.call(&Call {
            repeatable: false,
            again: None,
            ..Call::get("/health")
        })
    });
    let check = match answer.and_then(|answer| answer.json()) {
        Ok(health) => {
            let status = text_of(&health, "status");
            let failing = health.get("checks").and_then(Value::as_object).into_iter();
            let failing = failing
                .flatten()
                .filter(|(_, check)| check.get("ok") != Some(&json!(true)));
            let why =
                failing.map(|(name, check)| format!("; {name}: {}", text_of(check, "detail")));
            let why: String = why.collect();
            Check::of(
                "health",
                status == "ok" && why.is_empty(),
                format!("{status}{why}"),
            )
        }
        Err(error) => Check::of("health", false, failure_of(&error).message),
    };
    Step { check, times }
}

/// A change as a dry run: whether this token may make it, and what it would do.
fn call(router: &Router, rounds: u32, name: &str, path: &str) -> Step {
    let path = format!("{path}?dry_run=1&reason=drill");
    let body = json!({});
    let (answer, times) = measured(rounds, || {
        succeeded(router.call(&Call::rehearsal(&path, &body))?)?.json()
    });
    let check = match answer {
        Ok(answer) => Check::of(
            name,
            answer.get("dry_run") == Some(&Value::Bool(true)),
            format!("this token may: {}", text_of(&answer, "summary")),
        ),
        Err(error) => {
            let failure = failure_of(&error);
            let hint = failure
                .hint
                .map(|hint| format!("; {hint}"))
                .unwrap_or_default();
            Check::of(name, false, format!("{}{hint}", failure.message))
        }
    };
    Step { check, times }
}

fn publishing(ops: &Value) -> Check {
    let publishing = ops.get("publishing").unwrap_or(&Value::Null);
    let (state, behind) = (text_of(publishing, "state"), text_of(publishing, "behind"));
    let detail = format!("KV is {state}, {behind} revisions behind");
    Check::of("publishing", state == "in_sync", detail)
}

fn alerts(ops: &Value) -> Check {
    let outbox = ops.get("alerts").unwrap_or(&Value::Null);
    let webhook = outbox.get("webhook") == Some(&Value::Bool(true));
    let detail = match webhook {
        true => format!(
            "they go to ALERT_WEBHOOK, {} wait",
            text_of(outbox, "pending")
        ),
        false => "nobody would be told: npx wrangler secret put ALERT_WEBHOOK".to_owned(),
    };
    Check::of("alerts", webhook, detail)
}

/// Whether `stop --via-kv` would find what it needs.
fn by_kv(file: &Path, local: bool) -> Check {
    let fails = |why: String| Check::of("stop --via-kv", false, why);
    let Ok(text) = std::fs::read_to_string(file) else {
        return fails(
            "there is no wrangler.toml here: run the drill where you would stop from".into(),
        );
    };
    if let Err(why) = bound(&text, local) {
        return fails(why);
    }
    let asked = Command::new("npx")
        .args(["--no-install", "wrangler", "--version"])
        .output();
    match asked {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            let version = version
                .lines()
                .map(str::trim)
                .rfind(|line| !line.is_empty());
            let detail = format!("wrangler {}, binding {BINDING}", version.unwrap_or("-"));
            Check::new("stop --via-kv", Verdict::Pass, detail)
        }
        Ok(_) => fails("wrangler is not installed: npm ci".to_owned()),
        Err(error) => fails(format!(
            "npx could not be run ({error}); is Node installed?"
        )),
    }
}

/// Whether a wrangler.toml says which namespace the stop is in.
fn bound(text: &str, local: bool) -> Result<(), String> {
    let document: DocumentMut = text
        .parse()
        .map_err(|error| format!("wrangler.toml cannot be read: {error}"))?;
    let namespaces = document
        .get("kv_namespaces")
        .and_then(Item::as_array_of_tables);
    let text = |table: &toml_edit::Table, name: &str| {
        table.get(name).and_then(Item::as_str).map(str::to_owned)
    };
    let own = namespaces
        .into_iter()
        .flatten()
        .find(|table| text(table, "binding").as_deref() == Some(BINDING));
    let own = own.ok_or_else(|| format!("wrangler.toml has no KV namespace bound as {BINDING}"))?;
    let id = text(own, "id").unwrap_or_default();
    let is_real = id.chars().any(|c| c != '0');
    match is_real || local {
        true => Ok(()),
        false => Err(format!(
            "the id of {BINDING} in wrangler.toml is none: npx wrangler kv namespace list has yours"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::bound;

    #[test]
    fn the_namespace_is_looked_for_where_wrangler_does() {
        let check = |text: &str, local: bool, expected: Option<&str>| {
            let said = bound(text, local).err();
            match expected {
                None => assert_eq!(said, None, "{text}"),
                Some(part) => assert!(said.is_some_and(|said| said.contains(part)), "{text}"),
            }
        };
        let with = |id: &str| {
            format!(
                "name = \"x\"\n[[kv_namespaces]]\nbinding = \"OTHER\"\nid = \"1\"\n\n[[kv_namespaces]]\nbinding = \"ROLLOUT\"\nid = \"{id}\"\n"
            )
        };
        check(&with("7f00"), false, None);
        check(&with("0000"), false, Some("is none"));
        check(&with("0000"), true, None);
        check(
            "name = \"x\"\n",
            true,
            Some("no KV namespace bound as ROLLOUT"),
        );
        check("name = ", true, Some("cannot be read"));
    }
}
