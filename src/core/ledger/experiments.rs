//! Experiments: a merge patch (RFC 7396).

use crate::core::ids::FlagKey;
use crate::core::json::Json;

use super::event::Change;
use super::{Live, Outcome, Rejection};

/// `POST /admin/experiments`: an object begins an experiment or changes it, `false` and `true` switch it
/// off and on, `null` takes it away.
pub fn set_experiments(live: &Live, patch: &Json) -> Result<Outcome, Rejection> {
    let config = live.config()?;
    let Json::Object(entries) = patch else {
        let message = "must be an object from experiments to what they become";
        return Err(Rejection::at("", message));
    };
    let (mut merged, mut said) = (Vec::new(), Vec::new());
    for (key, change) in entries {
        let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        let parsed = key.parse::<FlagKey>();
        let parsed = parsed.map_err(|e| Rejection::at(&at, e.to_string()))?;
        let known = config.experiments.contains(&parsed);
        if !known && !matches!(change, Json::Object(_)) {
            let message = "is no experiment; give an object to begin one";
            return Err(Rejection::at(&at, message));
        }
        said.push(match (known, change) {
            (_, Json::Null) => format!("{key} taken away"),
            (_, Json::Bool(true)) => format!("{key} on"),
            (_, Json::Bool(false)) => format!("{key} off"),
            (true, _) => format!("{key} changed"),
            (false, _) => format!("{key} begun"),
        });
        let change = match change {
            Json::Bool(on) => Json::object([("enabled", Json::Bool(*on))]),
            change => change.clone(),
        };
        merged.push((key.clone(), change));
    }
    let summary = format!("experiments: {}", said.join(", "));
    let patch = Json::nested(&["experiments"], Json::object(merged));
    Ok(Outcome::new("experiments.set", "experiments", summary).with(Change::Merge(patch)))
}
