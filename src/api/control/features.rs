//! `GET /admin/features`: every feature as it was written.

use crate::core::json::Json;
use crate::core::ledger::Live;
use crate::wire::control::{DefinedFeature, DefinedFeatures};

use super::Refusal;
use super::read::config;

/// Every feature with its release, in the document's order.
///
/// # Errors
/// When there is no configuration.
pub(super) fn features(live: &Live) -> Result<DefinedFeatures<'_>, Refusal> {
    let killed = &config(live)?.kill_switches.features;
    let Some(Json::Object(scopes)) = live.state.document.at(&["features"]) else {
        return Ok(DefinedFeatures::default());
    };
    let features = scopes.iter().flat_map(|(release, features)| {
        let Json::Object(features) = features else {
            return Vec::new();
        };
        let defined = features.iter().map(|(key, definition)| DefinedFeature {
            release,
            key,
            killed: killed.keys().any(|killed| killed.as_str() == key),
            definition: without_units(definition),
        });
        defined.collect()
    });
    Ok(DefinedFeatures {
        features: features.collect(),
    })
}

/// The definition without the hashes of who is denied: of people only labels are shown.
fn without_units(definition: &Json) -> Json {
    let mut definition = definition.clone();
    if let Json::Object(members) = &mut definition {
        for (_, value) in members.iter_mut().filter(|(name, _)| name == "deny") {
            if let Json::Array(people) = value {
                for person in people {
                    person.remove("unit");
                }
            }
        }
    }
    definition
}
