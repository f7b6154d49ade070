//! Configurations that commands work with themselves: from a file, standard input or the router.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Context;
use super::commands::read_file;
use super::failure::{Exit, Failure};
use super::http::{Call, succeeded};
use super::output::{items, text_of};
use crate::core::config::Config;
use crate::core::decode::Problem;
use crate::core::defaults::Defaults;
use crate::core::identity::Unit;
use crate::core::json::Json;
use crate::core::stop::Stop;
use crate::core::table::Set;
use crate::core::time::Timestamp;

/// The name of the router's own configuration.
pub const LIVE: &str = "live";

/// A configuration that can be used.
pub struct Configuration {
    /// Where it is from.
    pub name: String,
    pub config: Config,
}

/// Reads one: `live` is the router's, `-` standard input, anything else a file.
///
/// # Errors
/// When it cannot be read, or what is wrong with it, place by place.
pub fn read(context: &Context, source: &str) -> Result<Configuration> {
    let text = text(context, source)?;
    let config = Config::parse(&text).map_err(|problems| unusable(source, &problems))?;
    Ok(Configuration {
        name: source.to_owned(),
        config,
    })
}

/// The text of one, as [`read`] finds it.
///
/// # Errors
/// When there is none.
pub fn text(context: &Context, source: &str) -> Result<String> {
    if source == LIVE {
        let router = context.router()?;
        router.need_token()?;
        return Ok(succeeded(router.call(&Call::get("/admin/config"))?)?.text);
    }
    read_file(Path::new(source))
}

/// One that is JSON with each key once: what becomes of the rest is for others to say.
///
/// # Errors
/// Where it is not.
pub fn json(source: &str, text: &str) -> Result<Json> {
    let json = Json::parse(text).map_err(|problem| unusable(source, &[problem]))?;
    let mut decoder = crate::core::decode::Decoder::default();
    decoder.no_duplicates(&json, &crate::core::decode::Path::Root);
    let found = decoder.finish(());
    found.map_err(|problems| unusable(source, &problems))?;
    Ok(json)
}

/// What is wrong with a document.
pub fn unusable(source: &str, problems: &[Problem]) -> Failure {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let message = format!("{source} cannot be used:\n  {}", lines.join("\n  "));
    Failure::new(Exit::No, message)
}

/// The emergency stop that is on at the router, by its `/status.json`, as far as it concerns releases of `config`.
pub fn stop(status: &Value, config: &Config) -> Stop {
    let stop = status.get("emergency_stop").unwrap_or(&Value::Null);
    match text_of(stop, "scope").as_str() {
        "all" => Stop::All { unread: false },
        "releases" => {
            let mut names = Set::default();
            for name in items(stop, "releases").iter().filter_map(Value::as_str) {
                if let Some((name, _)) = config.releases.iter().find(|(n, _)| n.as_str() == name) {
                    names.insert(name.clone(), ());
                }
            }
            match names.is_empty() {
                true => Stop::None,
                false => Stop::Releases(names),
            }
        }
        _ => Stop::None,
    }
}

/// What a router knows before it reads a configuration: caro's values, or those of the same variables in the
/// environment as in `[vars]` of wrangler.toml.
///
/// # Errors
/// When one of them cannot be used.
pub fn defaults() -> Result<Defaults> {
    // The others mean something else in many environments, and nothing here asks for them.
    const NAMES: [&str; 3] = ["STABLE_VERSION", "ASSET_URL_TEMPLATE", "FEATURE_DEFAULTS"];
    let own = |name: &str| NAMES.contains(&name).then(|| std::env::var(name).ok())?;
    let (defaults, problems) = Defaults::from_vars(own);
    match problems.is_empty() {
        true => Ok(defaults),
        false => Err(unusable("the environment", &problems).into()),
    }
}

/// The time.
pub fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// Ids from a file, one a line, empty ones left out; `-` is standard input.
///
/// # Errors
/// When it cannot be read, or holds what no router takes as an id.
pub fn ids(file: &Path) -> Result<Vec<String>> {
    let name = file.display();
    let lines: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(file).with_context(|| format!("reading {name}"))?;
        Box::new(BufReader::new(file))
    };
    let mut ids = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        let line = line.with_context(|| format!("reading {name}"))?;
        let id = line.trim();
        let unit = Unit::from_id(id);
        let unit = unit.map_err(|e| Failure::usage(format!("{name}, line {}: {e}", number + 1)))?;
        if unit.is_some() {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}
