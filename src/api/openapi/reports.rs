//! What installers and clients tell.

use serde_json::{Value, json};

use super::{Answer, Operation, Request, SchemaOf, of};
use crate::wire::evidence::{ClientEvents, InstallReport, Taken};

pub(super) fn operations() -> Vec<Operation> {
    let report = post(
        "/report",
        "reportInstall",
        "How an installation went",
        of::<InstallReport>,
        json!({
            "id": "5f1c9a52c0de4b7e9a6d", "version": "1.1.0-beta.2", "channel": "beta",
            "platform": "linux-amd64", "outcome": 0, "duration_ms": 4200
        }),
    );
    let events = Operation {
        parameters: vec!["X-Caro-Id", "id", "X-Caro-Version"],
        details: "caro's own format. What is not known of an event is passed over; one that cannot be used is \
                  refused without the others. Each `id` of a session is counted once in two days. Who it was is \
                  not kept.",
        ..post(
            "/api/events",
            "reportEvents",
            "What clients tell of their sessions and commands",
            of::<ClientEvents>,
            json!([
                {
                    "id": "e1", "session_id": "s1", "timestamp": "2026-01-15T09:00:00Z",
                    "type": "session_start", "version": "1.1.0-beta.2", "platform": "linux-amd64"
                },
                {
                    "id": "e2", "session_id": "s1", "timestamp": "2026-01-15T09:00:00Z",
                    "type": "command_generation", "success": true, "duration_ms": 431,
                    "backend": "static"
                }
            ]),
        )
    };
    vec![report, events]
}

fn post(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    schema: SchemaOf,
    example: Value,
) -> Operation {
    Operation {
        call: None,
        method: "POST",
        path,
        id,
        tag: "features",
        summary,
        details: "By the installer, where the configuration has `policy.reports` and nobody set DO_NOT_TRACK. \
                  Nothing about the person.",
        parameters: vec!["X-Caro-Id", "id"],
        body: Some(Request {
            required: true,
            merge_patch: false,
            schema,
            examples: vec![("one", example)],
        }),
        answers: vec![
            Answer::new(202, "What became of it. What is accepted is safe.").json(of::<Taken>),
        ],
        problems: vec![400, 413, 422, 429, 503],
    }
}
