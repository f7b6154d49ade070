//! What becomes of reports, as it is answered.

use serde::Serialize;

use crate::core::evidence::series::{By, Group};
use crate::core::time::Timestamp;

/// `GET /rollout/{release}/evidence`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct EvidenceLook<'a> {
    pub release: &'a str,
    /// The beginning of the first part, and the end of the last one, which is not over yet.
    pub from: Timestamp,
    pub to: Timestamp,
    /// How long each part is: whole minutes, in spans of more than six hours whole hours.
    pub step_seconds: u32,
    pub by: By,
    /// Why the evidence could not be read: then there are no groups.
    pub error: Option<&'a str>,
    /// Of the requesters that only the bucket decides, the percentage that should get the release.
    pub share: f64,
    /// The release's first, then those of the stable version.
    pub groups: Vec<Group>,
}

/// What was taken of a report.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Taken {
    /// Counted, and safe.
    pub accepted: usize,
    /// Counted before.
    pub duplicates: usize,
    /// Of a version that is neither a release's nor the stable one, or that nobody knows.
    pub ignored: usize,
    pub refused: usize,
    /// Of what was refused, the first hundred.
    pub errors: Vec<EventError>,
}

/// Why one event was refused.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct EventError {
    /// Its place in the report, from 0.
    pub index: usize,
    pub detail: String,
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use schema::{ClientEvents, InstallReport};

#[cfg(not(target_arch = "wasm32"))]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use crate::core::evidence::{MAX_EVENTS, metric};

    /// How an installation went.
    pub enum InstallReport {}

    /// What a client tells of itself.
    pub enum ClientEvents {}

    const NAME: &str = "^[!-~]{1,128}$";

    impl JsonSchema for InstallReport {
        fn schema_name() -> Cow<'static, str> {
            "InstallReport".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let classes = metric::OUTCOMES.map(|(name, _)| name);
            let text = |about: &str| json_schema!({ "type": "string", "description": about });
            json_schema!({
                "type": "object",
                "required": ["id", "version", "outcome"],
                "additionalProperties": false,
                "properties": {
                    "id": {
                        "type": "string", "pattern": NAME,
                        "description": "Made up for this installation, so that it is counted once."
                    },
                    "version": {
                        "type": "string", "pattern": NAME,
                        "description": "What was installed, or was to be."
                    },
                    "channel": { "type": "string", "enum": ["stable", "beta"] },
                    "platform": text("As builds are named: `linux-amd64`."),
                    "os": text("Instead of the platform: as `uname -s` says it."),
                    "arch": text("Instead of the platform: as `uname -m` says it."),
                    "outcome": {
                        "description": "The installer's exit code, or what that is called.",
                        "anyOf": [
                            { "type": "integer", "minimum": 0, "maximum": 8 },
                            { "type": "string", "enum": classes }
                        ]
                    },
                    "duration_ms": { "type": "number", "minimum": 0, "maximum": 86_400_000 }
                }
            })
        }
    }

    impl JsonSchema for ClientEvents {
        fn schema_name() -> Cow<'static, str> {
            "ClientEvents".into()
        }
        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            let common = |kind: &str, required: &[&str], more: serde_json::Value| {
                let mut properties = serde_json::json!({
                    "id": { "type": "string", "pattern": NAME },
                    "session_id": { "type": "string", "pattern": NAME },
                    "timestamp": {
                        "type": "string", "format": "date-time",
                        "description": "At most five minutes ahead, and two days ago."
                    },
                    "type": { "const": kind }
                });
                if let (Some(all), Some(more)) = (properties.as_object_mut(), more.as_object()) {
                    all.extend(more.clone());
                }
                let required = [&["id", "session_id", "timestamp", "type"], required].concat();
                serde_json::json!({
                    "type": "object", "required": required, "properties": properties
                })
            };
            let switch = serde_json::json!({ "type": ["boolean", "null"] });
            let text = serde_json::json!({ "type": ["string", "null"] });
            let start = serde_json::json!({
                "version": { "type": "string", "pattern": NAME },
                "platform": text, "arch": text, "first_of_week": switch,
                "install_age_days": { "type": ["number", "null"], "minimum": 0, "maximum": 36_500 }
            });
            let command = serde_json::json!({
                "success": { "type": "boolean" },
                "duration_ms": { "type": "number", "minimum": 0, "maximum": 86_400_000 },
                "backend": text, "error_category": text,
                "repaired": switch, "repair_success": switch, "refined": switch
            });
            let end = serde_json::json!({ "crashed": switch });
            json_schema!({
                "type": "array", "minItems": 1, "maxItems": MAX_EVENTS,
                "items": { "anyOf": [
                    common("session_start", &["version"], start),
                    common("session_end", &[], end),
                    common("command_generation", &["success", "duration_ms"], command),
                    common("safety_validation", &[], serde_json::Value::Null),
                    common("backend_error", &[], serde_json::Value::Null),
                ] }
            })
        }
    }
}
