//! The configuration as one document.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::Context;
use crate::cli::assets::{self, Place};
use crate::cli::change::{Ask, Change, ChangeArgs, consequence, make};
use crate::cli::configuration::{self, LIVE};
use crate::cli::failure::{Exit, Failure, failure_of};
use crate::cli::output::{bad, dim, good, items, plain, print, shown, text_of, warn};
use crate::core::compare::differences;
use crate::core::config::{Config, Platform};
use crate::core::decode::to_hex;
use crate::core::ids::{IdError, Version};
use crate::core::impact::{between, features};
use crate::core::json::Json;
use crate::core::lint::{Finding, Severity, lint};
use crate::core::snapshot::Snapshot;
use crate::core::table::Table;

/// What stands for a salt in a configuration to be filled in.
const PLACEHOLDER: &str = "REPLACE";

/// The configuration as one document: get, put, diff, validate, fill.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the whole configuration. It holds the salt: keep it to yourself
    #[command(
        after_help = "Examples:\n  caro-rollout config get --output config.json    # mode 0600\n  caro-rollout config get | jq .releases"
    )]
    Get(Get),
    /// Replace the whole configuration
    ///
    /// What a file was made from is its revision: when the router has gone on since, nothing is replaced.
    #[command(
        after_help = "Examples:\n  caro-rollout config put config.json --dry-run\n  caro-rollout config put config.json -m 'autumn releases'"
    )]
    Put(Put),
    /// What a file says otherwise than the router, place by place, and what that does. Exit code 1 if it does
    #[command(
        after_help = "Examples:\n  caro-rollout config diff config.json\n\nWith --json:\n  {\"from\", \"to\": revisions, \"same\": true | false,\n   \"differences\": [{\"pointer\", \"kind\": \"added\" | \"removed\" | \"changed\",\n     \"from\", \"to\", \"people\": {\"added\", \"removed\"}}],\n   \"impact\", \"features\": as a dry run answers; null when the file cannot be used,\n   \"problems\": [{\"path\", \"message\"}]}\nOf the salt and of people on lists nothing is shown but that and how many."
    )]
    Diff(DiffFile),
    /// Whether a file can be used, and what lint says. Needs no router
    #[command(
        after_help = "Examples:\n  caro-rollout config validate config.json\n  caro-rollout config validate - --strict < config.json    # warnings fail, too\n\nWith --json:\n  {\"valid\": true | false, \"problems\": [{\"path\", \"message\"}],\n   \"findings\": [{\"severity\", \"rule\", \"pointer\", \"message\"}]}"
    )]
    Validate(Validate),
    /// Complete a file: sizes and hashes of its assets, checked against the published .sha256 files, and a salt
    #[command(
        after_help = "Examples:\n  caro-rollout config fill examples/caro.config.json > config.json\n\nAssets without a url are looked for where ASSET_URL_TEMPLATE says [default: caro's releases]."
    )]
    Fill(Fill),
}

#[derive(Debug, Args)]
pub struct Get {
    /// Into this file, which nobody else can read
    #[arg(short, long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Put {
    /// A file, or - for standard input
    file: String,
    /// Also if the router has gone on since the file was made
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Args)]
pub struct DiffFile {
    /// A file, or - for standard input
    file: String,
}

#[derive(Debug, Args)]
pub struct Validate {
    /// A file, or - for standard input
    file: String,
    /// Warnings fail, too
    #[arg(long)]
    strict: bool,
}

#[derive(Debug, Args)]
pub struct Fill {
    /// A file, or - for standard input
    file: String,
}

impl ConfigCommand {
    pub fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Get(args) => args.run(context),
            Self::Put(args) => args.run(context),
            Self::Diff(args) => args.run(context),
            Self::Validate(args) => args.run(context),
            Self::Fill(args) => args.run(context),
        }
    }
}

impl Get {
    fn run(&self, context: &Context) -> Result<Exit> {
        let config: Value = serde_json::from_str(&configuration::text(context, LIVE)?)?;
        let text = format!("{config:#}\n");
        let Some(file) = &self.output else {
            // It is JSON, asked for or not.
            print(&text);
            return Ok(Exit::Ok);
        };
        super::write_file(file, text.as_bytes())?;
        let revision = text_of(&config, "revision");
        let answer = json!({ "file": file, "revision": config.get("revision") });
        context.out.answer(&answer, |out| {
            let name = file.display();
            out.line(format!(
                "revision {revision} is in {name}; it holds the salt, so keep it to yourself"
            ));
        });
        Ok(Exit::Ok)
    }
}

impl Put {
    fn run(&self, context: &Context) -> Result<Exit> {
        let text = configuration::text(context, &self.file)?;
        // Read once as it is: a map would lose what stands there twice.
        let json = configuration::json(&self.file, &text)?;
        let body: Value = serde_json::from_str(&json.text())?;
        let mut change = Change::new("PUT", "/admin/config", body, Ask::Effect, &self.change);
        if !self.overwrite {
            change.revision = self.made_from(context, &change.body)?;
        }
        let revision = change.revision;
        make(context, &change).map_err(|error| self.behind(error, revision))
    }

    /// The revision that the file was made from, unless there is nothing yet that could be lost.
    fn made_from(&self, context: &Context, body: &Value) -> Result<Option<u64>> {
        let status = context.router()?.get("/status.json")?;
        let own = body.get("revision").and_then(Value::as_u64);
        Ok(own.filter(|_| status.get("revision").is_some_and(Value::is_u64)))
    }

    /// A refusal because of the file's revision, with what to do.
    fn behind(&self, error: anyhow::Error, revision: Option<u64>) -> anyhow::Error {
        let mut failure = failure_of(&error);
        let problem = failure.problem.as_ref();
        let kind = problem.map_or_else(String::new, |problem| text_of(problem, "type"));
        let Some(revision) = revision.filter(|_| kind.ends_with(":precondition-failed")) else {
            return error;
        };
        let now = problem.map_or_else(String::new, |problem| text_of(problem, "revision"));
        let file = &self.file;
        failure.message = format!(
            "{file} was made from revision {revision}, and the router is at {now}; nothing was changed"
        );
        let hint = format!(
            "`caro-rollout config diff {file}` shows what would be undone; --overwrite if that is meant"
        );
        failure.hint(hint).into()
    }
}

impl DiffFile {
    fn run(&self, context: &Context) -> Result<Exit> {
        let text = configuration::text(context, &self.file)?;
        let live = configuration::text(context, LIVE)?;
        let (old, new) = (
            configuration::json(LIVE, &live)?,
            configuration::json(&self.file, &text)?,
        );
        let found = differences(&old, &new);
        let before = Config::parse(&live).map_err(|p| configuration::unusable(LIVE, &p))?;
        let (after, problems) = match Config::parse(&text) {
            Ok(after) => (Some(after), Vec::new()),
            Err(problems) => (None, problems),
        };
        let status = context.router()?.get("/status.json")?;
        let defaults = configuration::defaults()?;
        let resolved = |config: &Config| {
            Snapshot::new(config, configuration::stop(&status, config), &defaults)
        };
        let both = after
            .as_ref()
            .map(|after| (resolved(&before), resolved(after)));
        let impact = both.as_ref().map(|(old, new)| between(old, new));
        let flags = both.as_ref().map(|(old, new)| turned(old, new));
        let revision = |json: &Json| json.get("revision").map(|revision| json!(revision));
        let answer = json!({
            "from": revision(&old),
            "to": revision(&new),
            "same": found.is_empty(),
            "differences": found,
            "impact": impact,
            "features": flags,
            "problems": problems,
        });
        context.out.answer(&answer, |out| {
            let (from, to) = (text_of(&answer, "from"), text_of(&answer, "to"));
            if from != to {
                out.line(dim(&format!(
                    "the router is at revision {from}, {} was made from {to}",
                    plain(&self.file)
                )));
            }
            let rows = items(&answer, "differences").iter().map(difference);
            let rows: Vec<Vec<String>> = rows.collect();
            match rows.is_empty() {
                true => out.line("both say the same"),
                false => out.table(&["", "WHERE", "FROM", "TO"], &rows),
            }
            if !rows.is_empty() {
                // What a dry run would say, but for its summary.
                for line in consequence(&answer).iter().skip(1) {
                    out.line(line);
                }
            }
            for problem in &problems {
                out.line(bad(&plain(&problem.to_string())));
            }
        });
        let same = found.is_empty() && problems.is_empty();
        Ok(if same { Exit::Ok } else { Exit::No })
    }
}

/// For whom flags turn, of everybody and by release.
fn turned(old: &Snapshot, new: &Snapshot) -> Vec<Value> {
    let of = |release: Option<&str>| {
        let name = release.unwrap_or("*").to_owned();
        let turned = features(old, new, release).into_iter();
        turned.map(move |flag| {
            let key = format!("{} of {name}", flag.key);
            json!({ "key": key, "on": flag.on, "off": flag.off })
        })
    };
    let releases = old.releases.iter().map(|release| release.name.as_str());
    let both = releases.filter(|name| new.release(name).is_some());
    let scopes = std::iter::once(None).chain(both.map(Some));
    scopes.flat_map(of).collect()
}

fn difference(difference: &Value) -> Vec<String> {
    let kind = text_of(difference, "kind");
    let mark = match kind.as_str() {
        "added" => good("+"),
        "removed" => bad("-"),
        _ => warn("~"),
    };
    let side = |name: &str| match (difference.get("people"), difference.get(name)) {
        (Some(people), _) if name == "to" => {
            let part = |name| text_of(people, name);
            format!("{} more, {} fewer people", part("added"), part("removed"))
        }
        (None, None) if kind == "changed" && name == "to" => "changed".to_owned(),
        (_, value) => value.map_or_else(|| "-".to_owned(), shown),
    };
    let pointer = text_of(difference, "pointer");
    vec![mark, pointer, side("from"), side("to")]
}

impl Validate {
    fn run(&self, context: &Context) -> Result<Exit> {
        let text = configuration::text(context, &self.file)?;
        let (problems, findings) = match (Json::parse(&text), Config::parse(&text)) {
            (Ok(json), Ok(config)) => {
                // How long a flag has been for everybody is known to the router alone.
                let since = Table::default();
                let findings = lint(&json, &config, &since, configuration::now());
                (Vec::new(), findings)
            }
            (Err(problem), _) => (vec![problem], Vec::new()),
            (_, Err(problems)) => (problems, Vec::new()),
        };
        let answer = json!({
            "valid": problems.is_empty(),
            "problems": problems,
            "findings": findings,
        });
        context.out.answer(&answer, |out| {
            for problem in &problems {
                out.line(format!("{} {}", bad("error"), plain(&problem.to_string())));
            }
            super::findings(out, items(&answer, "findings"));
            let file = plain(&self.file);
            match (problems.len(), findings.len()) {
                (0, 0) => out.line(format!("{} {file} can be used", good("ok:"))),
                (0, n) => out.line(format!("{file} can be used; lint has {n} remarks")),
                (n, _) => out.line(format!("{file} cannot be used: {n} problems")),
            }
        });
        let error = |finding: &Finding| finding.severity == Severity::Error;
        let fails = !problems.is_empty()
            || findings.iter().any(error)
            || self.strict && !findings.is_empty();
        Ok(if fails { Exit::No } else { Exit::Ok })
    }
}

impl Fill {
    fn run(&self, context: &Context) -> Result<Exit> {
        let text = configuration::text(context, &self.file)?;
        let mut json = configuration::json(&self.file, &text)?;
        if json.get("salt").and_then(Json::as_str) == Some(PLACEHOLDER) {
            let mut salt = [0; 16];
            getrandom::fill(&mut salt)?;
            json.set("salt", Json::from(to_hex(&salt)));
        }
        let template = configuration::defaults()?.assets;
        let missing = missing(&json, |version, platform| template.url(version, platform))?;
        let places: Vec<Place> = missing.iter().map(|m| Place::Url(m.url.clone())).collect();
        for (asset, measured) in missing.iter().zip(assets::measure(&places)?) {
            let patch = Json::object([
                ("size", Json::from(measured.size)),
                ("sha256", Json::from(measured.sha256)),
            ]);
            let path = [
                "versions",
                &asset.version,
                "assets",
                asset.platform.as_str(),
            ];
            json.merge(&Json::nested(&path, patch));
        }
        // It is JSON, asked for or not.
        print(&format!("{:#}\n", json!(json)));
        Ok(Exit::Ok)
    }
}

/// An asset without a digest.
struct Missing {
    version: String,
    platform: Platform,
    url: String,
}

fn missing(json: &Json, url: impl Fn(&Version, Platform) -> String) -> Result<Vec<Missing>> {
    let mut missing = Vec::new();
    let versions = json.get("versions").map_or(&[][..], Json::entries);
    for (name, build) in versions {
        let assets = build.get("assets").map_or(&[][..], Json::entries);
        for (platform, asset) in assets.iter().filter(|(_, a)| a.get("sha256").is_none()) {
            let at = format!("/versions/{name}/assets/{platform}");
            let wrong = |why: String| Failure::new(Exit::No, format!("{at}: {why}"));
            let version: Version = name.parse().map_err(|e: IdError| wrong(e.to_string()))?;
            let platform: Platform = platform.parse().map_err(wrong)?;
            let given = asset.get("url").and_then(Json::as_str);
            missing.push(Missing {
                url: given.map_or_else(|| url(&version, platform), str::to_owned),
                version: name.clone(),
                platform,
            });
        }
    }
    Ok(missing)
}
