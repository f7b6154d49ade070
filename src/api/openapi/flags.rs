//! The OpenFeature Remote Evaluation Protocol.

use serde_json::json;

use super::{Answer, Operation, Request, of};
use crate::api::outcomes::Counted;
use crate::wire::flag_schema::{EvaluationRequest, OutcomesReport};
use crate::wire::ofrep::{Bulk, Failure, Success};
use crate::wire::schema::Text;

pub(super) fn operations() -> Vec<Operation> {
    let all = Operation {
        parameters: vec![
            "X-Caro-Id",
            "X-Caro-Assignment",
            "If-None-Match",
            "flagConfigEtag",
        ],
        answers: vec![
            Answer::new(200, "Each flag, or why it could not be evaluated.")
                .json(of::<Bulk<'static>>)
                .headers(&["ETag", "X-Caro-Revision"])
                .maybe(&["X-Caro-Reason"]),
            Answer::new(304, "It is what `If-None-Match` names.").headers(&["ETag"]),
            failed(400, "The body or the context cannot be used."),
        ],
        ..post(
            "/ofrep/v1/evaluate/flags",
            "evaluateFlags",
            "Every flag for a requester (OFREP 0.3)",
        )
    };
    let one = Operation {
        parameters: vec!["flagKey", "X-Caro-Id", "X-Caro-Assignment"],
        answers: vec![
            Answer::new(200, "The flag.")
                .json(of::<Success<'static>>)
                .headers(&["X-Caro-Revision"])
                .maybe(&["X-Caro-Reason"]),
            failed(
                400,
                "The body or the context cannot be used, or says not who it is for.",
            ),
            failed(404, "There is no such flag."),
        ],
        ..post(
            "/ofrep/v1/evaluate/flags/{key}",
            "evaluateFlag",
            "One flag for a requester (OFREP 0.3)",
        )
    };
    let mut outcomes = post(
        "/experiments/{name}/outcomes",
        "reportOutcomes",
        "How an experiment goes for a requester",
    );
    outcomes.details = "Told by the client, if it may. Which variant they got is worked out from who \
                        they are, as for features. Nothing of that is stored: only how many there \
                        were, and of how many it was good.";
    outcomes.parameters = vec!["experiment", "X-Caro-Id", "id"];
    if let Some(body) = &mut outcomes.body {
        body.schema = of::<OutcomesReport>;
        body.examples = vec![(
            "how it went",
            json!({"outcomes": {"command_success": true, "latency_ms": 431}}),
        )];
    }
    outcomes.answers = vec![
        Answer::new(202, "What was counted, once for each requester and metric.")
            .json(of::<Counted<'static>>),
    ];
    outcomes.problems = vec![400, 404, 413, 422, 429, 503];
    let events = Operation {
        body: None,
        details: "Server-sent events. `refetchEvaluation` says that something changed; `etag` is the \
                  revision, to be sent as `?flagConfigEtag` with the next evaluation, so that it is \
                  not answered from before that.",
        parameters: vec!["Last-Event-ID"],
        answers: vec![
            Answer::new(200, "Events, as they come.").content("text/event-stream", of::<Text>),
        ],
        problems: vec![429, 503],
        method: "GET",
        ..post(
            "/ofrep/v1/events",
            "flagEvents",
            "Be told when to evaluate again (OFREP 0.3)",
        )
    };
    vec![all, one, events, outcomes]
}

fn failed(status: u16, text: &'static str) -> Answer {
    Answer::new(status, text)
        .json(of::<Failure<'static>>)
        .headers(&["X-Caro-Revision"])
        .maybe(&["X-Caro-Reason"])
}

fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let context =
        json!({"context": {"targetingKey": "alice", "os": "linux", "release": "v1.1.0-beta"}});
    Operation {
        call: None,
        method: "POST",
        path,
        id,
        tag: "features",
        summary,
        details: "Who asks is `targetingKey`, else `X-Caro-Id`; never the network, because most who \
                  ask are servers.",
        parameters: Vec::new(),
        body: Some(Request {
            required: true,
            merge_patch: false,
            schema: of::<EvaluationRequest>,
            examples: vec![("a requester", context)],
        }),
        answers: Vec::new(),
        problems: vec![401, 413, 429],
    }
}
