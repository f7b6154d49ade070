//! JSON schemas of the core's own types, for the OpenAPI document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::core::config::State;
use crate::core::ids::{CohortName, FlagKey, Percentage, ReleaseName, Version};
use crate::core::impact::Share;
use crate::core::json::Json;
use crate::core::ledger::event::Actor;
use crate::core::role::Role;
use crate::core::table::Table;
use crate::core::time::Timestamp;

use super::body::{Label, Raw, Reason, Seconds};
use super::flag_schema::{experiment, feature, members};

/// A state that a release is set to in passing.
pub enum SteerableState {}

/// An explicit id of a requester.
pub enum Id {}

/// An IP address.
pub enum Address {}

/// A requester's features.
pub enum Features {}

/// A merge patch of features.
pub enum FeaturesPatch {}

/// A merge patch of experiments.
pub enum ExperimentsPatch {}

/// The document in KV.
pub enum ConfigDocument {}

/// What is text in the answer.
pub enum Text {}

/// No control characters.
pub(super) const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

macro_rules! schemas {
    ($($type:ty, $name:literal: $schema:tt;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

schemas! {
    Percentage, "Percentage": {
        "type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.001,
        "description": "0 to 100, at most three decimals."
    };
    Version, "Version": {
        "type": "string", "maxLength": 64, "examples": ["1.1.0-beta.2"],
        // semver.org's own, without build metadata.
        "pattern": "^(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)\\.(0|[1-9][0-9]*)(-(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*)?$",
        "description": "A semantic version without build metadata."
    };
    ReleaseName, "ReleaseName": {
        "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$", "examples": ["v1.1.0-beta"]
    };
    FlagKey, "FlagKey": {
        "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$",
        "examples": ["validation_retry"]
    };
    CohortName, "CohortName": {
        "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$", "examples": ["internal_test"]
    };
    Timestamp, "Timestamp": {
        "type": "string", "format": "date-time", "examples": ["2026-01-15T09:00:00Z"],
        "description": "RFC 3339 in UTC."
    };
    State, "ReleaseState": {
        "type": "string", "enum": ["draft", "active", "paused", "stopped", "complete"]
    };
    SteerableState, "SteerableState": {
        "type": "string", "enum": ["draft", "active", "complete"]
    };
    Role, "Role": {
        "type": "string",
        "enum": ["release_manager", "engineering_lead", "engineer", "bot", "viewer"]
    };
    Reason, "Reason": {
        "type": "string", "maxLength": 500, "pattern": PRINTABLE,
        "description": "Why, on one line. What looks like a token or an address is masked."
    };
    Label, "Label": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": PRINTABLE };
    Id, "Id": {
        "type": "string", "minLength": 1, "maxLength": 256, "pattern": PRINTABLE,
        "examples": ["6f1ed002-ab55-4b0c-8b3f-4a8e1a5d2d3e"]
    };
    Address, "Address": {
        "type": "string", "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }],
        "examples": ["192.0.2.7"]
    };
    Share, "Share": {
        "type": "number", "minimum": 0, "maximum": 100, "description": "Percent of all requesters."
    };
    Json, "Json": true;
    Text, "Text": { "type": "string" };
}

/// As an entry of `versions` in the configuration.
impl JsonSchema for Raw {
    fn schema_name() -> Cow<'static, str> {
        "Build".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let platform = json_schema!({
            "type": "string",
            "enum": ["linux-amd64", "linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"]
        });
        json_schema!({
            "type": "object",
            "description": "What an installer must get. Every platform has an asset or is excluded.",
            "required": ["assets"],
            "additionalProperties": false,
            "properties": {
                "assets": {
                    "type": "object",
                    "propertyNames": platform,
                    "additionalProperties": {
                        "type": "object",
                        "required": ["size", "sha256"],
                        "additionalProperties": false,
                        "properties": {
                            "url": {
                                "type": "string", "maxLength": 2048,
                                "pattern": "^https?://[A-Za-z0-9._~/:%?&=+,@\\[\\]-]+$",
                                "description": "ASSET_URL_TEMPLATE of the Worker if left out."
                            },
                            "size": {
                                "type": "integer", "minimum": 1, "maximum": 4_294_967_296_u64,
                                "description": "Bytes."
                            },
                            "sha256": { "type": "string", "pattern": "^[0-9a-f]{64}$" }
                        }
                    }
                },
                "excluded_platforms": { "type": "array", "items": platform }
            }
        })
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Seconds<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Seconds_{MIN}_{MAX}").into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

/// As a request's body has it: an object by name.
impl<K: JsonSchema, V: JsonSchema> JsonSchema for Table<K, V> {
    fn schema_name() -> Cow<'static, str> {
        format!("TableOf_{}", V::schema_name()).into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        table(
            generator.subschema_for::<K>(),
            generator.subschema_for::<V>(),
        )
    }
}

fn table(names: Schema, values: Schema) -> Schema {
    json_schema!({ "type": "object", "propertyNames": names, "additionalProperties": values })
}

impl JsonSchema for Features {
    fn schema_name() -> Cow<'static, str> {
        "Features".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = table(
            generator.subschema_for::<FlagKey>(),
            json_schema!({ "description": "Any JSON but `null`.", "not": { "type": "null" } }),
        );
        let text = "What the requester gets of every feature of the release, and the kill switches \
                    that are on. With `?detail=1` each is an object of `value`, `variant` and `reason`.";
        schema.insert("description".to_owned(), text.into());
        schema
    }
}

impl JsonSchema for FeaturesPatch {
    fn schema_name() -> Cow<'static, str> {
        "FeaturesPatch".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let change = json_schema!({ "anyOf": [
            { "type": ["boolean", "null"] },
            feature(generator, true),
        ] });
        let reason = generator.subschema_for::<Reason>();
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "description": "A merge patch (RFC 7396) by feature: `false` kills it and keeps its \
                            rollout, `true` restores it, an object changes its rollout, `null` takes \
                            away what was said about it here. A `reason` that is a string is why.",
            "properties": { "reason": { "anyOf": [reason, change] } },
            "propertyNames": generator.subschema_for::<FlagKey>(),
            "additionalProperties": change
        })
    }
}

impl JsonSchema for ExperimentsPatch {
    fn schema_name() -> Cow<'static, str> {
        "ExperimentsPatch".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let change = json_schema!({ "anyOf": [
            { "type": ["boolean", "null"] },
            experiment(generator, true),
        ] });
        let reason = generator.subschema_for::<Reason>();
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "description": "A merge patch (RFC 7396) by experiment: an object begins or changes one, \
                            `false` and `true` switch it off and on, `null` takes it away. A `reason` \
                            that is a string is why.",
            "properties": { "reason": { "anyOf": [reason, change] } },
            "propertyNames": generator.subschema_for::<FlagKey>(),
            "additionalProperties": change
        })
    }
}

impl JsonSchema for ConfigDocument {
    fn schema_name() -> Cow<'static, str> {
        "Configuration".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let g = generator;
        let (version, release, key) = (
            g.subschema_for::<Version>(),
            g.subschema_for::<ReleaseName>(),
            g.subschema_for::<FlagKey>(),
        );
        let cohorts = g.subschema_for::<Vec<CohortName>>();
        let percentage = g.subschema_for::<Percentage>();
        let switch = json_schema!({ "type": "boolean" });
        let members = members();
        let releases = table(
            release.clone(),
            json_schema!({
                "type": "object",
                "required": ["version", "percentage", "state"],
                "additionalProperties": false,
                "properties": {
                    "version": version,
                    "percentage": percentage,
                    "state": g.subschema_for::<State>(),
                    "rollout_id": release,
                    "cohorts": cohorts,
                    "phase": key,
                    "mode": { "enum": ["or", "and"], "description": "Whether the percentage is one of everybody beside the cohorts, or one of the cohorts' people." },
                    "deny": members
                }
            }),
        );
        let feature = json_schema!({ "anyOf": [{ "type": "boolean" }, feature(g, false)] });
        let mut experiment = experiment(g, false);
        experiment.insert(
            "required".to_owned(),
            serde_json::json!(["variants", "control", "metrics"]),
        );
        let scopes = json_schema!({ "anyOf": [{ "const": "*" }, release] });
        let cohort = json_schema!({
            "type": "object",
            "required": ["enabled"],
            "additionalProperties": false,
            "properties": {
                "enabled": switch,
                "percentage": percentage,
                "members": members,
                "features": { "type": "array", "items": key }
            }
        });
        json_schema!({
            "type": "object",
            "description": "Everything that the edge decides from. What it names has to be in it.",
            "required": ["schema", "revision", "salt", "stable", "versions"],
            "additionalProperties": false,
            "properties": {
                "schema": { "const": 1 },
                "algorithm": { "const": 1 },
                "revision": {
                    "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64
                },
                "salt": {
                    "type": "string", "pattern": "^[0-9a-f]{32}$",
                    "description": "What buckets are drawn with. A new one moves everybody."
                },
                "stable": version,
                "versions": table(version.clone(), g.subschema_for::<Raw>()),
                "releases": releases,
                "features": table(scopes, table(key.clone(), feature)),
                "cohorts": table(g.subschema_for::<CohortName>(), cohort),
                "holdouts": table(key.clone(), percentage.clone()),
                "canary": {
                    "type": "object",
                    "required": ["enabled"],
                    "additionalProperties": false,
                    "properties": { "enabled": switch, "allowlist": members }
                },
                "kill_switches": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "telemetry_disabled": switch,
                        "llm_backends_disabled": switch,
                        "command_execution_disabled": switch,
                        "canary": switch,
                        "features": { "type": "array", "items": key },
                        "cohorts": cohorts
                    }
                },
                "experiments": {
                    "type": "object", "propertyNames": key, "additionalProperties": experiment
                },
                "policy": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": { "approvals": {
                        "type": "object",
                        "additionalProperties": false,
                        "properties": { "full_rollout": switch, "clear_stop": switch }
                    }, "lint": { "type": "string", "enum": ["report", "block"] }, "sticky": switch, "reports": switch, "ofrep": {
                        "type": "object",
                        "required": ["keys"],
                        "additionalProperties": false,
                        "properties": { "keys": {
                            "type": "object", "propertyNames": key,
                            "additionalProperties": { "type": "string", "pattern": "^[0-9a-f]{64}$" }
                        } }
                    } }
                }
            }
        })
    }
}

/// A page of the audit log.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "rows are answered as they are stored")]
pub struct AuditPage {
    /// The newest first.
    pub rows: Vec<AuditRow>,
    /// `?before` of the next page; `null` on the last.
    pub next_before: Option<u64>,
}

/// A row of the audit log. Its hash is that of its text without `hash`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "rows are answered as they are stored")]
pub struct AuditRow {
    pub seq: u64,
    /// The revision that it made.
    pub revision: u64,
    pub at: Timestamp,
    pub actor: Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<Actor>,
    /// What was done, such as `release.set`.
    pub action: String,
    /// What it was done to.
    pub target: String,
    pub reason: String,
    /// In a sentence.
    pub summary: String,
    /// From which the state is made anew: each an object of one member, the kind of change.
    #[schemars(extend("items" = { "type": "object", "minProperties": 1, "maxProperties": 1 }))]
    pub changes: Vec<Json>,
    /// The hash of the row before.
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    pub prev: String,
    #[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
    pub hash: String,
}
