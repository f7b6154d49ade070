//! Headers and parameters, by name.

use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::of;
use crate::api::ports::KEEP_DELIVERED;
use crate::core::ids::{CohortName, FlagKey, ReleaseName, Version};
use crate::wire::body::Reason;
use crate::wire::schema::{Address, Id};

pub(super) fn header(name: &str, always: bool) -> Value {
    let (schema, text) = match name {
        "ETag" => (
            json!({ "type": "string" }),
            "For `If-Match` or `If-None-Match`.",
        ),
        "X-Caro-Revision" => (
            json!({ "type": "integer", "minimum": 0 }),
            "The revision that this was answered from.",
        ),
        "X-Caro-Version" => (
            json!({ "type": "string" }),
            "The version that is installed.",
        ),
        "X-Caro-Channel" => (json!({ "enum": ["stable", "beta"] }), "Its channel."),
        "X-Caro-Reason" => (json!({ "type": "string" }), "Why it is this one."),
        "Idempotent-Replayed" => (
            json!({ "const": "true" }),
            "The answer that this `Idempotency-Key` got before.",
        ),
        "Retry-After" => (json!({ "type": "integer", "minimum": 1 }), "Seconds."),
        "WWW-Authenticate" => (json!({ "type": "string" }), "What is wrong with the token."),
        "Link" => (json!({ "type": "string" }), "The next page."),
        _ => (json!({ "type": "string" }), ""),
    };
    let mut header = json!({ "schema": schema, "required": always });
    if !text.is_empty() {
        header["description"] = text.into();
    }
    header
}

/// Everything that is asked for outside of bodies, by the name that operations use.
pub(super) fn parameters(g: &mut SchemaGenerator) -> Value {
    let flag = json!({ "type": "string", "enum": ["1", "0", "true", "false", ""] });
    let text = json!({ "type": "string" });
    let name = json!({ "type": "string", "minLength": 1, "maxLength": 64 });
    let time = json!({
        "type": "string",
        "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,3})?Z$",
        "examples": ["2026-01-15T09:00:00Z"],
    });
    let release = json!(of::<ReleaseName>(g));
    // An empty one is none.
    let mut given = json!(Id::json_schema(g));
    given["minLength"] = 0.into();
    let reason = json!(of::<Reason>(g));
    let mut version = json!(Version::json_schema(g));
    if let Some(pattern) = version["pattern"].as_str() {
        version["pattern"] = pattern.replacen('^', "^v?", 1).into();
    }
    // Bytes that are no ASCII reach nobody as they were meant, so these two say less than in a body.
    let header = |most: u64| json!({ "type": "string", "maxLength": most });
    let all = json!({ "anyOf": [{ "const": "*" }, release] });
    let mut parameters = Map::new();
    for (key, place, named, schema, text) in [
        (
            "release",
            "path",
            "release",
            release.clone(),
            "The release's name.",
        ),
        (
            "scope",
            "path",
            "release",
            release.clone(),
            "The release's name, or `all`.",
        ),
        (
            "featureScope",
            "path",
            "release",
            all,
            "The release's name, or `*` (also `all`).",
        ),
        (
            "cohort",
            "path",
            "name",
            json!(of::<CohortName>(g)),
            "The cohort's name.",
        ),
        (
            "tokenId",
            "path",
            "id",
            name.clone(),
            "The token's id, which is no secret.",
        ),
        (
            "experiment",
            "path",
            "name",
            json!(of::<FlagKey>(g)),
            "The experiment.",
        ),
        ("approvalId", "path", "id", name, "The approval's id."),
        (
            "version",
            "path",
            "version",
            version,
            "A version, with or without a `v`. `1.1.0-beta` means the highest `1.1.0-beta.N`.",
        ),
        (
            "id",
            "query",
            "id",
            given.clone(),
            "Who asks, if `X-Caro-Id` does not say so.",
        ),
        (
            "X-Caro-Id",
            "header",
            "X-Caro-Id",
            header(256),
            "Who asks. Else their network counts.",
        ),
        (
            "X-Caro-Assignment",
            "header",
            "X-Caro-Assignment",
            text.clone(),
            "`new`, or what the last answer said: to stay where one is when a percentage goes down.",
        ),
        (
            "X-Caro-Version",
            "header",
            "X-Caro-Version",
            text.clone(),
            "What the client is, where its events do not say so.",
        ),
        (
            "Accept",
            "header",
            "Accept",
            text.clone(),
            "`text/html` for the page.",
        ),
        (
            "If-None-Match",
            "header",
            "If-None-Match",
            text.clone(),
            "An ETag that the client has.",
        ),
        (
            "flagConfigEtag",
            "query",
            "flagConfigEtag",
            text.clone(),
            "The `etag` of the event that the client was told by.",
        ),
        (
            "Last-Event-ID",
            "header",
            "Last-Event-ID",
            text.clone(),
            "Of the last event, after a broken connection.",
        ),
        (
            "flagKey",
            "path",
            "key",
            json!(of::<FlagKey>(g)),
            "The flag.",
        ),
        (
            "detail",
            "query",
            "detail",
            flag.clone(),
            "`1`: each feature as an object of `value`, `variant` and `reason`.",
        ),
        (
            "os",
            "query",
            "os",
            text.clone(),
            "For rules: the requester's system.",
        ),
        (
            "arch",
            "query",
            "arch",
            text.clone(),
            "For rules: the requester's processor.",
        ),
        (
            "locale",
            "query",
            "locale",
            text.clone(),
            "For rules: the requester's language.",
        ),
        (
            "dry_run",
            "query",
            "dry_run",
            flag.clone(),
            "`1`: say what would change.",
        ),
        (
            "confirm",
            "query",
            "confirm",
            flag,
            "`1`: as `confirm` in the body.",
        ),
        (
            "reason",
            "query",
            "reason",
            reason.clone(),
            "Why, if the body does not say so.",
        ),
        ("X-Reason", "header", "X-Reason", header(500), "The same."),
        (
            "If-Match",
            "header",
            "If-Match",
            json!({ "type": "string", "pattern": "^(\\*|\"[0-9]+\")$", "examples": ["*"] }),
            "The revision that the change was made for, as `ETag` has it.",
        ),
        (
            "Idempotency-Key",
            "header",
            "Idempotency-Key",
            json!({ "type": "string", "minLength": 1, "maxLength": 128 }),
            "The same request with the same key is carried out once, and answered again for a day.",
        ),
        (
            "limit",
            "query",
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": 10_000 }),
            "Rows: 50 if left out, at most 500; as NDJSON at most 10000, which is usual.",
        ),
        (
            "alertLimit",
            "query",
            "limit",
            json!({ "type": "integer", "minimum": 1, "maximum": KEEP_DELIVERED }),
            "How many; 50 if left out.",
        ),
        (
            "before",
            "query",
            "before",
            json!({ "type": "integer", "minimum": 0 }),
            "Rows before this number: `next_before` of the page before.",
        ),
        (
            "actor",
            "query",
            "actor",
            text.clone(),
            "By this actor's id.",
        ),
        (
            "action",
            "query",
            "action",
            text.clone(),
            "Of this kind, such as `release.set`.",
        ),
        (
            "target",
            "query",
            "target",
            text,
            "Of this target, such as a release.",
        ),
        (
            "since",
            "query",
            "since",
            time.clone(),
            "Not before this time.",
        ),
        ("until", "query", "until", time, "Not after this time."),
        (
            "format",
            "query",
            "format",
            json!({ "type": "string", "enum": ["json", "ndjson"] }),
            "Or `Accept: application/x-ndjson`.",
        ),
        (
            "kind",
            "query",
            "kind",
            json!({ "type": "string", "enum": ["status", "announcement", "post-mortem"] }),
            "Which text; `status` if left out.",
        ),
        (
            "textFormat",
            "query",
            "format",
            json!({ "type": "string", "enum": ["json", "text"] }),
            "`json` if left out.",
        ),
        (
            "seconds",
            "query",
            "seconds",
            json!({ "type": "integer", "minimum": 300, "maximum": 604_800 }),
            "The span until now; a day if left out.",
        ),
        (
            "points",
            "query",
            "points",
            json!({ "type": "integer", "minimum": 1, "maximum": 48 }),
            "Its parts; 24 if left out.",
        ),
        (
            "by",
            "query",
            "by",
            json!({ "type": "string", "enum": ["arm", "platform", "cohort"] }),
            "What the arms are parted by; `arm`, which is not at all, if left out.",
        ),
        (
            "cohortFilter",
            "query",
            "cohort",
            json!(of::<CohortName>(g)),
            "Of the release, this cohort alone. The stable version is no cohort's, and stays whole.",
        ),
        (
            "platformFilter",
            "query",
            "platform",
            json!({ "type": "string", "enum": [
                "linux", "linux-amd64", "linux-arm64", "macos", "macos-intel", "macos-silicon",
                "windows", "windows-amd64", "windows-arm64",
            ] }),
            "This platform alone, or all of a system.",
        ),
        ("explainId", "query", "id", given, "The requester's id."),
        (
            "ip",
            "query",
            "ip",
            json!(of::<Address>(g)),
            "The requester's address.",
        ),
        (
            "explainRelease",
            "query",
            "release",
            release,
            "One release alone.",
        ),
        (
            "at",
            "query",
            "at",
            json!({ "type": "integer", "minimum": 1 }),
            "As of this revision.",
        ),
    ] {
        let mut parameter = json!({
            "in": place, "name": named, "schema": schema, "description": text,
        });
        if place == "path" {
            parameter["required"] = true.into();
        }
        parameters.insert(key.to_owned(), parameter);
    }
    Value::Object(parameters)
}
