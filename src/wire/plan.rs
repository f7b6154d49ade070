//! Bodies of plans, asked and answered.

use serde::Serialize;

use super::body::{Field, Label, Raw, Reason, body};
use crate::core::decode::{Decoder, Path};
use crate::core::ids::{FlagKey, Percentage};
use crate::core::json::Json;
use crate::core::lint::Finding;
use crate::core::plan::report::{Daily, Moment};
use crate::core::plan::{Circuit, Decision, Entry, Given, Pending, Status};
use crate::core::table::Table;
use crate::core::time::Timestamp;

body! {
    /// `POST /rollout/{release}/plan`: gives a plan, begins it, or both.
    SetPlan {
        /// The name of a preset: `caro`, `standard`, `accelerated`, `cautious`, `web4`, `canary` or `boring-green`.
        optional preset: String,
        /// A plan of one's own.
        #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<PlanDocument>"))]
        optional plan: Raw,
        /// Begins it: the first stage is entered at once.
        optional start: bool,
        optional reason: Reason,
        optional confirm: bool,
    }
}

body! {
    /// `POST /rollout/{release}/promote`.
    Promote {
        /// Although gates do not pass or the soak is not over. Wants a reason.
        optional force: bool,
        optional reason: Reason,
        optional confirm: bool,
    }
}

body! {
    /// `POST /rollout/{release}/signals`: at least one of the first two.
    Signals {
        /// By name, such as `p0_open`, `satisfaction`, `awu`.
        optional numbers: Table<FlagKey, Signal>,
        /// By name, such as `health`: whether it went well.
        optional checks: Table<FlagKey, bool>,
        optional reason: Reason,
    }
}

/// A number: bare, or with when it was so (now, if left out) and where it is from.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub value: f64,
    pub at: Option<Timestamp>,
    pub source: Option<Label>,
}

impl Field for Signal {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        let number = |d: &mut Decoder, json: &Json, at: &Path<'_>| match json {
            Json::Number(value) if value.is_finite() && value.abs() <= 1e15 => Some(*value),
            _ => {
                d.report(at, "must be a number between -1e15 and 1e15");
                None
            }
        };
        if matches!(json, Json::Number(_)) {
            return Some(Self {
                value: number(d, json, at)?,
                at: None,
                source: None,
            });
        }
        let mut o = d.object(json, at)?;
        let value = o.required(d, "value", number);
        let when = o.optional(d, "at", Decoder::parse);
        let source = o.optional(d, "source", Label::read);
        o.finish(d);
        Some(Self {
            value: value?,
            at: when,
            source,
        })
    }
}

/// Where a plan stands in a stage.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct StageLook<'a> {
    pub id: &'a str,
    pub percentage: Percentage,
    pub entered: Timestamp,
    /// Time at the stage, pauses not counted.
    pub soaked_seconds: u64,
    pub soak_min_seconds: u64,
}

/// `GET /rollout/{release}/plan`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct PlanLook<'a> {
    pub release: &'a str,
    pub name: &'a str,
    pub status: Status,
    /// Why it is so, in a sentence.
    pub why: &'a str,
    pub stage: Option<StageLook<'a>>,
    /// What the plan set last.
    pub percentage: Percentage,
    /// What was announced.
    pub pending: Option<&'a Pending>,
    pub approvals: &'a [Given],
    pub circuit: Circuit,
    /// When each stage begins at the earliest.
    pub calendar: Vec<Entry>,
    /// When the plan is complete at the earliest.
    pub complete: Option<Timestamp>,
    /// The last decision, with all of its reasons.
    pub last: Option<&'a Decision>,
    /// What cannot work in it, with as much traffic as there was in the last day.
    pub warnings: Vec<Finding>,
    /// The revision that the plan was set with.
    pub plan_revision: u64,
    pub plan: &'a Json,
}

#[cfg(not(target_arch = "wasm32"))]
impl schemars::JsonSchema for Signal {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Signal".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let number = serde_json::json!({ "type": "number", "minimum": -1e15, "maximum": 1e15 });
        schemars::json_schema!({
            "description": "A number, or one with when it was so and where it is from.",
            "anyOf": [number, {
                "type": "object",
                "required": ["value"],
                "additionalProperties": false,
                "properties": {
                    "value": number,
                    "at": generator.subschema_for::<Timestamp>(),
                    "source": generator.subschema_for::<Label>()
                }
            }]
        })
    }
}

/// `GET /rollout/{release}/report`.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Report {
    pub release: String,
    /// `status`, `announcement` or `post-mortem`.
    pub kind: &'static str,
    /// As it can be sent.
    pub text: String,
    /// The figures of a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daily: Option<Daily>,
    /// Of an announcement.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calendar: Vec<Entry>,
    /// Of a post-mortem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<Moment>,
}

impl Report {
    pub fn new(kind: &'static str, text: String) -> Self {
        Self {
            release: String::new(),
            kind,
            text,
            daily: None,
            calendar: Vec::new(),
            timeline: Vec::new(),
        }
    }

    pub fn with_daily(mut self, daily: Daily) -> Self {
        self.daily = Some(daily);
        self
    }

    pub fn with_calendar(mut self, calendar: Vec<Entry>) -> Self {
        self.calendar = calendar;
        self
    }

    pub fn with_timeline(mut self, timeline: Vec<Moment>) -> Self {
        self.timeline = timeline;
        self
    }
}

/// A plan as people write it. README and the presets say what it may hold.
#[cfg(not(target_arch = "wasm32"))]
pub struct PlanDocument;

#[cfg(not(target_arch = "wasm32"))]
impl schemars::JsonSchema for PlanDocument {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Plan".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let percentage = generator.subschema_for::<Percentage>();
        schemars::json_schema!({
            "description": "Stages, gates, halts and policy; src/core/plan/presets has seven.",
            "type": "object",
            "required": ["name", "stages"],
            "properties": {
                "name": { "type": "string" },
                "description": { "type": "string" },
                "stages": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["id", "percentage"],
                        "properties": {
                            "id": { "type": "string" },
                            "percentage": percentage,
                            "soak": { "type": "object" },
                            "audience": { "type": "object" },
                            "gates": { "type": "array", "items": { "type": "object" } },
                            "approval": { "type": "object" }
                        }
                    }
                },
                "gates": { "type": "array", "items": { "type": "object" } },
                "watch_hours": { "type": "number", "minimum": 0 },
                "halts": { "type": "array", "items": { "type": "object" } },
                "breaker": { "type": "object" },
                "policy": { "type": "object" }
            }
        })
    }
}
