//! Features: a merge patch of one scope's (RFC 7396).

use crate::core::config::FeatureScope;
use crate::core::defaults::Defaults;
use crate::core::ids::FlagKey;
use crate::core::json::Json;
use crate::core::role::Role;

use super::event::Change;
use super::{Live, Outcome, Rejection};

/// `POST /features/{release}`: `false` kills a feature and keeps its rollout, `true` restores it, an
/// object changes its rollout, `null` takes away what was said about it here. An engineer reaches
/// those only whose stage is `development`.
pub fn set_features(
    live: &Live,
    defaults: &Defaults,
    role: Option<Role>,
    scope: &FeatureScope,
    patch: &Json,
) -> Result<Outcome, Rejection> {
    let config = live.config()?;
    let name = match scope {
        FeatureScope::All => "*",
        FeatureScope::Release(name) => {
            if !config.releases.contains(name) {
                return Err(Rejection::UnknownRelease(name.to_string()));
            }
            name.as_str()
        }
    };
    let Json::Object(entries) = patch else {
        return Err(Rejection::at(
            "",
            "must be an object from features to what they become",
        ));
    };
    let mut merged = Vec::new();
    let mut said = Vec::new();
    for (key, change) in entries {
        let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        let parsed = key.parse::<FlagKey>();
        let parsed = parsed.map_err(|e| Rejection::at(&at, e.to_string()))?;
        let given = live.state.document.at(&["features", name, key]);
        let known = defaults.features.contains(&parsed)
            || config.features.values().any(|f| f.contains(&parsed));
        if !known && matches!(change, Json::Bool(false) | Json::Null) {
            return Err(Rejection::at(&at, unknown(config, defaults)));
        }
        if role == Some(Role::Engineer) {
            // One that is there under another name's roof would be shadowed.
            let elsewhere = known && given.is_none() && !is_development_elsewhere(live, key);
            development_only(given, change, &at, elsewhere)?;
        }
        said.push(match change {
            Json::Bool(true) => format!("{key} on"),
            Json::Bool(false) => format!("{key} off"),
            Json::Null => format!("{key} as by default"),
            _ => format!("{key} changed"),
        });
        merged.push((key.clone(), normal(given, change)));
    }
    let summary = format!("features of {name}: {}", said.join(", "));
    let patch = Json::nested(&["features", name], Json::object(merged));
    Ok(Outcome::new("features.set", name, summary).with(Change::Merge(patch)))
}

/// A change as a patch of what is there: a switch keeps the rollout beside it, and a rollout keeps
/// the switch.
fn normal(given: Option<&Json>, change: &Json) -> Json {
    match (given, change) {
        (Some(Json::Object(_)), Json::Bool(on)) => Json::object([("enabled", Json::Bool(*on))]),
        (Some(Json::Bool(on)), Json::Object(_)) => {
            let mut object = Json::object([("enabled", Json::Bool(*on))]);
            object.merge(change);
            object
        }
        _ => change.clone(),
    }
}

/// Whether a feature is in development wherever the document has it, and it has it.
fn is_development_elsewhere(live: &Live, key: &str) -> bool {
    let scopes = live.state.document.get("features");
    let scopes = scopes.map(Json::entries).unwrap_or_default();
    let mut found = scopes
        .iter()
        .filter_map(|(_, flags)| flags.get(key))
        .peekable();
    let is = |flag: &Json| flag.get("stage").and_then(Json::as_str) == Some("development");
    found.peek().is_some() && found.all(is)
}

fn development_only(
    given: Option<&Json>,
    change: &Json,
    at: &str,
    elsewhere: bool,
) -> Result<(), Rejection> {
    let stage = |json: &Json| json.get("stage").and_then(Json::as_str).map(str::to_owned);
    let is = |stage: Option<String>| stage.as_deref() == Some("development");
    let before = match given {
        None => !elsewhere,
        Some(given) => is(stage(given)),
    };
    let after = match change {
        // Only what is there already can be switched or taken away.
        Json::Bool(_) | Json::Null => given.is_some(),
        _ => change.get("stage").is_none() && given.is_some() || is(stage(change)),
    };
    if before && after {
        return Ok(());
    }
    Err(Rejection::Forbidden(format!(
        "an engineer may change only features whose stage is \"development\", and {at} is not one; \
         ask an engineering_lead"
    )))
}

fn unknown(config: &crate::core::config::Config, defaults: &Defaults) -> String {
    let mut keys: Vec<&str> = config
        .features
        .values()
        .flat_map(|features| features.keys())
        .chain(defaults.features.keys())
        .map(FlagKey::as_str)
        .collect();
    keys.sort_unstable();
    keys.dedup();
    format!(
        "is not a feature, so there is nothing to turn off; the features are {}",
        keys.join(", ")
    )
}
