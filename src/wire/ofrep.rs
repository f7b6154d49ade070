//! The bodies of the OpenFeature Remote Evaluation Protocol 0.3 (github.com/open-feature/protocol).

use serde::Serialize;

use crate::core::flags::Value;

/// A flag that could be evaluated. `value` and `variant` are always there: some clients cannot do
/// without.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "FlagEvaluation"))]
pub struct Success<'a> {
    pub key: &'a str,
    pub value: Value<'a>,
    pub variant: &'a str,
    /// `STATIC`, `TARGETING_MATCH`, `SPLIT` or `DISABLED`.
    pub reason: &'static str,
    pub metadata: Metadata<'a>,
}

/// What is known of an evaluation beyond the protocol.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "FlagMetadata"))]
pub struct Metadata<'a> {
    /// The configuration's; 0 for the compiled-in defaults.
    pub revision: u64,
    /// The reason in the words of `GET /features/{release}?detail=1`.
    pub why: &'static str,
    /// The flag that whoever does not get this one gets instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<&'a str>,
    /// What to tell whoever has it, while it is being rolled out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
}

/// Why something could not be evaluated.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvaluationFailure"))]
pub struct Failure<'a> {
    /// The flag, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    #[serde(rename = "errorCode")]
    pub code: ErrorCode,
    /// In a sentence that says what to do.
    #[serde(rename = "errorDetails")]
    pub details: String,
}

/// The protocol's error codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EvaluationErrorCode"))]
pub enum ErrorCode {
    ParseError,
    TargetingKeyMissing,
    InvalidContext,
    FlagNotFound,
}

/// One flag among all.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "FlagOutcome"))]
#[serde(untagged)]
pub enum Outcome<'a> {
    Success(Success<'a>),
    Failure(Failure<'a>),
}

/// Every flag.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "BulkEvaluation"))]
pub struct Bulk<'a> {
    pub flags: Vec<Outcome<'a>>,
    pub metadata: BulkMetadata,
    /// Where to be told of changes.
    #[serde(rename = "eventStreams", skip_serializing_if = "<[_]>::is_empty")]
    pub event_streams: &'a [EventStream],
}

/// A stream of events that tell a client to ask again.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct EventStream {
    /// `sse`: server-sent events.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub endpoint: Endpoint,
    /// How long a client may keep it while nobody looks, in seconds.
    #[serde(rename = "inactivityDelaySec")]
    pub inactivity_delay_sec: u32,
}

/// At the origin that was asked.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "EventStreamEndpoint"))]
pub struct Endpoint {
    #[serde(rename = "requestUri")]
    pub request_uri: &'static str,
}

/// What is known of all.
#[derive(Debug, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "BulkMetadata"))]
pub struct BulkMetadata {
    /// The configuration's; 0 for the compiled-in defaults.
    pub revision: u64,
}
