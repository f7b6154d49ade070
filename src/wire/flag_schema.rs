//! The JSON schema of a feature, for the OpenAPI document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::core::config::{KINDS, STAGES};
use crate::core::flags::Value;
use crate::core::ids::{CohortName, FlagKey, Percentage, ReleaseName};
use crate::core::time::Timestamp;

use super::schema::PRINTABLE;

/// A condition of a rule.
pub enum Condition {}

/// A variant's name, or a split.
pub enum Serve {}

/// The members of a list, by their hashes.
pub(super) fn members() -> Schema {
    let unit = json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" });
    json_schema!({
        "type": "array",
        "description": "The first 32 hexadecimal digits of each one's hash, never an id.",
        "items": { "anyOf": [unit, {
            "type": "object",
            "required": ["unit"],
            "additionalProperties": false,
            "properties": { "unit": unit, "label": { "type": "string", "maxLength": 64 } }
        }] }
    })
}

/// The body of an evaluation.
pub enum EvaluationRequest {}

impl JsonSchema for EvaluationRequest {
    fn schema_name() -> Cow<'static, str> {
        "EvaluationRequest".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "properties": { "context": {
                "type": "object",
                "description": "What the requester is known by: `targetingKey` is who they are, \
                                `release` whose features are asked for, the rest is for rules.",
                "properties": {
                    "targetingKey": { "type": "string", "maxLength": 256, "pattern": PRINTABLE },
                    "release": { "type": "string" }
                }
            } }
        })
    }
}

impl JsonSchema for Value<'_> {
    fn schema_name() -> Cow<'static, str> {
        "FlagValue".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Any JSON but `null`.", "not": { "type": "null" } })
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let own = generator.subschema_for::<Self>();
        let cohort = generator.subschema_for::<CohortName>();
        let many = json_schema!({ "type": "array", "minItems": 1, "maxItems": 100, "items": own });
        let text = json_schema!({ "type": "string", "minLength": 1, "maxLength": 256 });
        let operand = json_schema!({ "anyOf": [text, { "type": ["number", "boolean"] }] });
        let one = |name: &str, schema: &Schema| {
            json_schema!({
                "type": "object", "required": [name], "additionalProperties": false,
                "properties": { name: schema }
            })
        };
        let mut tests = vec![
            ("is", operand.clone()),
            (
                "in",
                json_schema!({ "type": "array", "minItems": 1, "maxItems": 100, "items": operand }),
            ),
        ];
        tests.extend(["prefix", "suffix", "contains"].map(|name| (name, text.clone())));
        let number = json_schema!({ "type": "number" });
        let numbers = ["less", "at_most", "greater", "at_least"];
        tests.extend(numbers.map(|name| (name, number.clone())));
        let range = "A range of versions in Cargo's notation, such as `>=1.1.0-beta.1, <2`.";
        tests.push((
            "semver",
            json_schema!({ "type": "string", "description": range }),
        ));
        tests.push(("exists", json_schema!({ "type": "boolean" })));
        let mut forms: Vec<Schema> = vec![
            one("all", &many),
            one("any", &many),
            one("not", &own),
            one("cohort", &cohort),
        ];
        forms.extend(tests.iter().map(|(name, schema)| {
            json_schema!({
                "type": "object", "required": ["attribute", name], "additionalProperties": false,
                "properties": {
                    "attribute": { "type": "string", "minLength": 1, "maxLength": 64 },
                    *name: schema
                }
            })
        }));
        json_schema!({
            "description": "What has to hold of what a requester says of themselves. One that is \
                            about something they do not say does not hold.",
            "anyOf": forms
        })
    }
}

impl JsonSchema for Serve {
    fn schema_name() -> Cow<'static, str> {
        "Serve".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let key = generator.subschema_for::<FlagKey>();
        let percentage = generator.subschema_for::<Percentage>();
        json_schema!({
            "description": "A variant, or several by a bucket of the feature's own. Each keeps the \
                            place where it begins while its weight is changed, so nobody moves \
                            between two that both keep them.",
            "anyOf": [key, {
                "type": "array", "minItems": 1, "maxItems": 64,
                "items": {
                    "type": "object",
                    "required": ["variant", "weight"],
                    "additionalProperties": false,
                    "properties": { "variant": key, "from": percentage, "weight": percentage }
                }
            }]
        })
    }
}

/// Everything that a patch may take away.
fn settings(fields: Vec<(&str, Schema)>, in_patch: bool) -> Schema {
    let mut properties = serde_json::Map::new();
    for (name, schema) in fields {
        let schema = match in_patch {
            true => json_schema!({ "anyOf": [schema, { "type": "null" }] }),
            false => schema,
        };
        properties.insert(name.to_owned(), schema.to_value());
    }
    json_schema!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties
    })
}

fn papers() -> Vec<(&'static str, Schema)> {
    let paper = json_schema!({ "type": "string", "maxLength": 1000 });
    let papers = json_schema!({ "type": "array", "items": paper });
    let date = json_schema!({ "type": "string", "description": "A date or a time." });
    vec![
        ("stage", json_schema!({ "type": "string", "enum": STAGES })),
        ("kind", json_schema!({ "type": "string", "enum": KINDS })),
        ("description", paper.clone()),
        ("owner", paper.clone()),
        ("tracking", paper.clone()),
        ("rollback_plan", paper),
        ("risks", papers.clone()),
        ("metrics", papers),
        ("added", date.clone()),
        ("expires", date),
    ]
}

fn variants(key: &Schema) -> Schema {
    json_schema!({
        "type": "object", "minProperties": 1, "maxProperties": 64,
        "description": "What it can answer, by name; all of one JSON type. A feature without: `on` \
                        and `off`, which are `true` and `false`.",
        "propertyNames": key,
        "additionalProperties": { "not": { "type": "null" } }
    })
}

fn layer(key: &Schema, percentage: &Schema) -> Schema {
    json_schema!({
        "type": "object", "required": ["name", "from", "to"],
        "additionalProperties": false,
        "properties": { "name": key, "from": percentage, "to": percentage }
    })
}

/// An experiment's settings.
pub(super) fn experiment(g: &mut SchemaGenerator, in_patch: bool) -> Schema {
    let key = g.subschema_for::<FlagKey>();
    let percentage = g.subschema_for::<Percentage>();
    let time = g.subschema_for::<Timestamp>();
    let number = json_schema!({ "type": "number" });
    let one_goal = |goal: &str, schema: Schema| {
        json_schema!({
            "type": "object", "required": ["name"], "additionalProperties": false,
            "properties": { "name": key, goal: schema }
        })
    };
    let metric = json_schema!({ "anyOf": [
        key,
        one_goal("good", json_schema!({ "type": "boolean" })),
        one_goal("at_most", number.clone()),
        one_goal("at_least", number),
    ] });
    let fields = vec![
        ("enabled", json_schema!({ "type": "boolean" })),
        ("variants", variants(&key)),
        ("control", key.clone()),
        ("simpler", key.clone()),
        (
            "allocation",
            json_schema!({
                "type": "object", "propertyNames": key, "additionalProperties": percentage,
                "description": "The share of each variant, 100 together; without, the same for each."
            }),
        ),
        (
            "metrics",
            json_schema!({
                "type": "array", "minItems": 1, "maxItems": 10, "items": metric,
                "description": "What is told of requesters, and what of it is good; the first decides."
            }),
        ),
        ("release", g.subschema_for::<ReleaseName>()),
        ("traffic", percentage.clone()),
        ("if", g.subschema_for::<Condition>()),
        ("start", time.clone()),
        ("end", time),
        ("layer", layer(&key, &percentage)),
        ("holdout", key.clone()),
        ("rollout_id", key),
        (
            "min_samples",
            json_schema!({ "type": "integer", "minimum": 1, "maximum": 4_294_967_296_u64 }),
        ),
        (
            "threshold_percent",
            json_schema!({ "type": "number", "minimum": 0, "maximum": 100 }),
        ),
        (
            "alpha",
            json_schema!({ "type": "number", "minimum": 1e-6, "maximum": 0.5 }),
        ),
    ];
    let papers = papers().into_iter().filter(|(name, _)| *name != "metrics");
    settings(fields.into_iter().chain(papers).collect(), in_patch)
}

/// A feature's settings, as the configuration has them; in a patch `null` takes one away.
pub(super) fn feature(g: &mut SchemaGenerator, in_patch: bool) -> Schema {
    let key = g.subschema_for::<FlagKey>();
    let percentage = g.subschema_for::<Percentage>();
    let time = g.subschema_for::<Timestamp>();
    let serve = g.subschema_for::<Serve>();
    let switch =
        json_schema!({ "type": "boolean", "description": "`false` kills it for everybody." });
    let rule = json_schema!({
        "type": "object",
        "required": ["if"],
        "additionalProperties": false,
        "properties": {
            "if": g.subschema_for::<Condition>(),
            "serve": serve,
            "percentage": percentage,
            "description": { "type": "string" }
        }
    });
    let wanted = json_schema!({ "anyOf": [key, { "type": "array", "items": key }] });
    let mut fields = vec![
        ("enabled", switch),
        ("variants", variants(&key)),
        ("off", key.clone()),
        ("serve", serve),
        ("percentage", percentage.clone()),
        ("cohorts", g.subschema_for::<Vec<CohortName>>()),
        ("deny", members()),
        (
            "rules",
            json_schema!({ "type": "array", "maxItems": 50, "items": rule }),
        ),
        (
            "prerequisites",
            json_schema!({
                "type": "object", "maxProperties": 10,
                "propertyNames": key, "additionalProperties": wanted
            }),
        ),
        (
            "schedule",
            json_schema!({
                "type": "object", "additionalProperties": false,
                "properties": { "start": time, "end": time }
            }),
        ),
        ("layer", layer(&key, &percentage)),
        ("holdout", key.clone()),
        ("fallback", key.clone()),
        (
            "title",
            json_schema!({
                "type": "string", "minLength": 1, "maxLength": 80, "pattern": PRINTABLE,
                "description": "What it is called to people, in the banner."
            }),
        ),
        ("rollout_id", key),
        (
            "on_emergency",
            json_schema!({ "type": "string", "enum": ["off", "keep"] }),
        ),
    ];
    fields.extend(papers());
    settings(fields, in_patch)
}

/// What a client tells of an experiment.
pub enum OutcomesReport {}

impl JsonSchema for OutcomesReport {
    fn schema_name() -> Cow<'static, str> {
        "OutcomesReport".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "required": ["outcomes"],
            "additionalProperties": false,
            "properties": {
                "outcomes": {
                    "type": "object", "minProperties": 1,
                    "description": "How it went, by metric: true or false, or a number where the \
                                    metric has a limit. The first of each requester counts.",
                    "propertyNames": generator.subschema_for::<FlagKey>(),
                    "additionalProperties": { "type": ["boolean", "number"] }
                },
                "release": { "type": "string", "description": "As in an evaluation's context." },
                "context": { "type": "object", "description": "What the experiment's `if` asks for." }
            }
        })
    }
}
