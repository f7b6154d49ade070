//! The OpenAPI document, made from the types that are read and written. `tests/openapi.rs` compares
//! it with `www/openapi.json`. Never in the Worker, which serves the file.

#![allow(
    clippy::indexing_slicing,
    reason = "`value[key] = …` is how serde_json writes a member"
)]

mod admin;
mod calls;
mod flags;
mod parts;
mod plans;
mod public;
mod reports;

use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::auth::permission::Call;
use crate::core::role::Role;

use crate::wire::problem::{Problem, ProblemType};

use parts::{header, parameters};

/// Names a type's schema, and has it put among the components.
type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One method of one path.
#[derive(Clone)]
pub struct Operation {
    /// `None`: anyone may ask.
    pub call: Option<Call>,
    pub method: &'static str,
    pub path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    details: &'static str,
    /// Names of [`parameters`].
    parameters: Vec<&'static str>,
    body: Option<Request>,
    answers: Vec<Answer>,
    /// Statuses that are answered with a problem.
    problems: Vec<u16>,
}

#[derive(Clone)]
struct Request {
    required: bool,
    merge_patch: bool,
    schema: SchemaOf,
    examples: Vec<(&'static str, Value)>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    text: &'static str,
    content: Vec<(&'static str, SchemaOf)>,
    /// Names of [`headers`], and whether each is always there.
    headers: Vec<(&'static str, bool)>,
}

impl Answer {
    fn new(status: u16, text: &'static str) -> Self {
        Self {
            status,
            text,
            content: Vec::new(),
            headers: Vec::new(),
        }
    }

    fn content(mut self, kind: &'static str, schema: SchemaOf) -> Self {
        self.content.push((kind, schema));
        self
    }

    fn json(self, schema: SchemaOf) -> Self {
        self.content("application/json", schema)
    }

    fn headers(mut self, names: &[&'static str]) -> Self {
        self.headers.extend(names.iter().map(|name| (*name, true)));
        self
    }

    fn maybe(mut self, names: &[&'static str]) -> Self {
        self.headers.extend(names.iter().map(|name| (*name, false)));
        self
    }

    fn document(&self, generator: &mut SchemaGenerator) -> Value {
        let mut answer = json!({ "description": self.text });
        let headers: Map<_, _> = self
            .headers
            .iter()
            .map(|(name, always)| ((*name).to_owned(), header(name, *always)))
            .collect();
        put(&mut answer, "headers", headers);
        let content: Map<_, _> = self
            .content
            .iter()
            .map(|(kind, schema)| ((*kind).to_owned(), json!({ "schema": schema(generator) })))
            .collect();
        put(&mut answer, "content", content);
        answer
    }
}

/// Sets a member unless it would be empty.
fn put(object: &mut Value, key: &str, value: Map<String, Value>) {
    if let (Some(object), false) = (object.as_object_mut(), value.is_empty()) {
        object.insert(key.to_owned(), Value::Object(value));
    }
}

/// Every method of every path.
pub fn operations() -> Vec<Operation> {
    [
        public::operations(),
        flags::operations(),
        reports::operations(),
        calls::operations(),
        plans::operations(),
    ]
    .concat()
}

/// Types as they are asked for, or as they are answered.
fn generator(contract: Contract) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|s| {
        s.definitions_path = "/components/schemas".into();
        s.meta_schema = None;
        s.contract = contract;
    });
    settings.into_generator()
}

/// A field that may be left out may not be `null`: `body!` reads it so.
#[derive(Clone)]
struct NoNull;

impl Transform for NoNull {
    fn transform(&mut self, schema: &mut Schema) {
        let is_optional = |schema: &Schema| schema.get("properties").is_some();
        if is_optional(schema)
            && schema.get("additionalProperties") == Some(&Value::Bool(false))
            && let Some(Value::Object(fields)) = schema.get_mut("properties")
        {
            fields.values_mut().for_each(without_null);
        }
        transform_subschemas(self, schema);
    }
}

fn without_null(field: &mut Value) {
    let Value::Object(field) = field else { return };
    if let Some(Value::Array(types)) = field.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            field.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(choices)) = field.get_mut("anyOf") {
        choices.retain(|choice| choice["type"] != "null");
        if let [Value::Object(one)] = choices.as_slice() {
            let one = one.clone();
            field.remove("anyOf");
            field.extend(one);
        }
    }
}

/// The document.
pub fn document() -> Value {
    let mut asked = generator(Contract::Deserialize);
    let mut answered = generator(Contract::Serialize);
    let parameters = parameters(&mut asked);
    let problem = answered.subschema_for::<Problem>();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        let key = operation.method.to_ascii_lowercase();
        path[key] = operation.document(&mut asked, &mut answered);
    }
    let mut schemas = asked.take_definitions(true);
    for (name, schema) in &mut schemas {
        if name != "FeaturesPatch"
            && let Ok(schema) = <&mut Schema>::try_from(schema)
        {
            NoNull.transform(schema);
        }
    }
    schemas.extend(answered.take_definitions(true));
    if let Some(kinds) = schemas
        .get_mut("Problem")
        .and_then(|p| p.pointer_mut("/properties/type"))
    {
        let urns = ProblemType::ALL.iter().map(|kind| kind.urn());
        kinds["enum"] = urns.collect();
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "caro-edge",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT", "identifier": "MIT" },
            "description": INTRODUCTION,
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": parameters,
            "responses": problems(&problem),
            "securitySchemes": { "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "The Worker's secret ADMIN_TOKEN, or a token of POST /admin/tokens.",
            } },
        },
    })
}

const INTRODUCTION: &str = "\
Install scripts and feature flags, decided per requester at the edge, and the calls that steer them.

Bodies are JSON, also where `curl -d` calls them a form; at most 64 kB, a report 256, a configuration 1 MiB. Errors are \
problem+json (RFC 9457) with a `type` that never changes; on an install path they are scripts that say what is \
wrong and fail. HEAD is taken wherever GET is.

Every write takes `reason` (in the body, `?reason` or `X-Reason`), `If-Match` with the revision that it was made \
for, `Idempotency-Key`, and `?dry_run=1`, which answers what it would do and to what share of requesters.";

impl Operation {
    fn document(&self, asked: &mut SchemaGenerator, answered: &mut SchemaGenerator) -> Value {
        let mut answers = Map::new();
        for answer in &self.answers {
            answers.insert(answer.status.to_string(), answer.document(answered));
        }
        let problem =
            |status: u16| json!({ "$ref": format!("#/components/responses/Problem{status}") });
        for status in &self.problems {
            answers.insert(status.to_string(), problem(*status));
        }
        let mut document = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
        });
        let mut details = vec![self.details.to_owned()];
        if let Some(call) = self.call {
            let roles: Vec<_> = call.roles().iter().map(|role| role.as_str()).collect();
            if roles.len() == Role::ALL.len() {
                details.push("For every role.".to_owned());
            } else {
                details.push(format!("For: {}.", roles.join(", ")));
                answers.insert("403".to_owned(), problem(403));
            }
            document["x-roles"] = json!(roles);
            document["security"] = json!([{ "bearer": [] }]);
        }
        document["responses"] = Value::Object(answers);
        details.retain(|text| !text.is_empty());
        if !details.is_empty() {
            document["description"] = details.join(" ").into();
        }
        if !self.parameters.is_empty() {
            let reference =
                |name: &&str| json!({ "$ref": format!("#/components/parameters/{name}") });
            document["parameters"] = self.parameters.iter().map(reference).collect();
        }
        if let Some(body) = &self.body {
            let mut content = json!({ "schema": (body.schema)(asked) });
            let examples: Map<_, _> = body
                .examples
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!({ "value": value })))
                .collect();
            put(&mut content, "examples", examples);
            let mut kinds = json!({ "application/json": content });
            if body.merge_patch {
                kinds["application/merge-patch+json"] = content;
            }
            document["requestBody"] = json!({ "required": body.required, "content": kinds });
        }
        document
    }
}

/// The errors, by status.
fn problems(schema: &Schema) -> Value {
    let mut responses = Map::new();
    for kind in ProblemType::ALL {
        let status = kind.status();
        let same = ProblemType::ALL.iter().filter(|k| k.status() == status);
        let urns: Vec<_> = same.map(|k| k.urn()).collect();
        let names: &[&str] = match status {
            401 => &["WWW-Authenticate"],
            412 => &["ETag"],
            429 | 503 => &["Retry-After"],
            _ => &[],
        };
        let headers: Map<_, _> = names
            .iter()
            .map(|name| ((*name).to_owned(), header(name, true)))
            .collect();
        let mut response = json!({
            "description": kind.text(),
            "content": { "application/problem+json": { "schema": {
                "allOf": [schema, { "properties": {
                    "type": { "enum": urns },
                    "status": { "const": status },
                } }],
            } } },
        });
        put(&mut response, "headers", headers);
        responses.insert(format!("Problem{status}"), response);
    }
    Value::Object(responses)
}

impl ProblemType {
    /// A status in a sentence.
    const fn text(self) -> &'static str {
        match self.status() {
            400 => "The id, a parameter or a header cannot be used, or the body is not JSON.",
            401 => "A valid token is needed.",
            403 => "The token's role does not allow this; `required_role` would.",
            404 => "There is no such thing.",
            405 => "This path does not take that method.",
            409 => "The present state does not allow this, or it needs a confirmation.",
            412 => "Somebody else was faster; `revision` is what there is.",
            413 => "The body is too large.",
            415 => "The body is of another type than JSON.",
            422 => "The body says something that cannot be done; `errors` says what and where.",
            429 => "Too many changes with this token, or too many failed attempts.",
            503 => "The ledger does not answer. Nothing was changed, or it says so.",
            _ => "The router failed.",
        }
    }
}
