//! What anyone may ask: scripts, flags, looks.

use super::{Answer, Operation, of};
use crate::auth::keys::Directory;
use crate::wire::history::History;
use crate::wire::looks::{Health, Rollout, Status};
use crate::wire::schema::{Features, Text};

const SCRIPT: &str = "text/plain; charset=utf-8";

/// What says who asks.
const IDENTITY: [&str; 3] = ["id", "X-Caro-Id", "X-Caro-Assignment"];

/// Headers of a script.
const CHOSEN: [&str; 4] = [
    "X-Caro-Version",
    "X-Caro-Channel",
    "X-Caro-Reason",
    "X-Caro-Revision",
];

fn get(
    path: &'static str,
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        call: None,
        method: "GET",
        path,
        id,
        tag,
        summary,
        details: "",
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        problems: Vec::new(),
    }
}

/// A script, whatever happens: somebody may be piping it into an interpreter.
fn script(status: u16, text: &'static str) -> Answer {
    Answer::new(status, text).content(SCRIPT, of::<Text>)
}

/// Nothing, because the client has it.
fn known() -> Answer {
    Answer::new(304, "It is what `If-None-Match` names.").headers(&["ETag"])
}

fn by_rollout(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation {
        parameters: IDENTITY.to_vec(),
        answers: vec![
            script(200, "The installer.").headers(&CHOSEN),
            script(
                400,
                "The id cannot be used. A script that says so and fails.",
            ),
        ],
        ..get(path, id, "install", summary)
    }
}

fn by_name(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    let mut answers = vec![
        script(200, "The installer.")
            .headers(&CHOSEN)
            .maybe(&["ETag"]),
        known().headers(&CHOSEN),
        script(
            404,
            "There is no such version. A script that says so and fails.",
        ),
        script(
            410,
            "The version was stopped. A script that says so and fails.",
        ),
        script(
            503,
            "No configuration can be read. A script that says so and fails.",
        )
        .headers(&["Retry-After"]),
    ];
    let mut parameters = vec!["If-None-Match"];
    if path.contains("{version}") {
        parameters.push("version");
        answers.push(script(
            400,
            "This is no version. A script that says so and fails.",
        ));
    }
    Operation {
        parameters,
        answers,
        ..get(path, id, "install", summary)
    }
}

pub(super) fn operations() -> Vec<Operation> {
    let mut root = by_rollout(
        "/",
        "install",
        "The installer, by rollout; a browser gets the page",
    );
    root.parameters.push("Accept");
    root.answers = vec![
        script(
            200,
            "The installer, or the page where `Accept` has `text/html`.",
        )
        .content("text/html", of::<Text>)
        .maybe(&CHOSEN),
        script(
            400,
            "The id cannot be used. A script that says so and fails.",
        ),
    ];
    let json = |text| Answer::new(200, text);
    vec![
        root,
        by_rollout(
            "/install.sh",
            "installSh",
            "The installer for sh, by rollout",
        ),
        by_rollout(
            "/install.ps1",
            "installPs1",
            "The installer for PowerShell, by rollout",
        ),
        by_name(
            "/stable",
            "installStable",
            "The installer of the stable version",
        ),
        by_name(
            "/beta",
            "installBeta",
            "The installer of the newest release that is offered",
        ),
        by_name(
            "/{version}",
            "installVersion",
            "The installer of one version",
        ),
        by_name(
            "/{version}/install.sh",
            "installVersionSh",
            "The installer of one version, for sh",
        ),
        by_name(
            "/{version}/install.ps1",
            "installVersionPs1",
            "The installer of one version, for PowerShell",
        ),
        Operation {
            parameters: vec!["release"],
            answers: vec![
                json("How far it is.")
                    .json(of::<Rollout<'static>>)
                    .headers(&["X-Caro-Revision"]),
            ],
            problems: vec![404],
            ..get(
                "/rollout/{release}",
                "getRelease",
                "releases",
                "How far a release is",
            )
        },
        Operation {
            parameters: [
                &["release", "If-None-Match", "detail", "os", "arch", "locale"],
                &IDENTITY[..],
            ]
            .concat(),
            details: "Asked by each caro process when it starts and every hour. For rules the \
                      requester is known by `os`, `arch` and `locale`, by `country` as Cloudflare \
                      sees it, and by `release`.",
            answers: vec![
                json("The requester's features.")
                    .json(of::<Features>)
                    .headers(&["ETag", "X-Caro-Revision"])
                    .maybe(&["X-Caro-Reason"]),
                known()
                    .headers(&["X-Caro-Revision"])
                    .maybe(&["X-Caro-Reason"]),
            ],
            problems: vec![400, 404],
            ..get(
                "/features/{release}",
                "getFeatures",
                "features",
                "A requester's features",
            )
        },
        Operation {
            answers: vec![json("The status.").json(of::<Status<'static>>)],
            ..get(
                "/status.json",
                "getStatus",
                "looks",
                "Releases, stops and revision, for anyone",
            )
        },
        Operation {
            parameters: vec!["If-None-Match"],
            details: "It may be up to half a minute old. Nothing in it is of people: no reasons, no names, no members.",
            answers: vec![
                json("The history.")
                    .json(of::<History<'static>>)
                    .headers(&["ETag", "X-Caro-Revision"]),
                known().headers(&["X-Caro-Revision"]),
            ],
            problems: vec![503],
            ..get(
                "/history.json",
                "getHistory",
                "looks",
                "What happened to each release, and where its plan stands, for anyone",
            )
        },
        Operation {
            parameters: vec!["If-None-Match"],
            answers: vec![
                json("An Atom feed (RFC 4287) of the last changes.")
                    .content("application/atom+xml; charset=utf-8", of::<Text>)
                    .headers(&["ETag", "X-Caro-Revision"]),
                known().headers(&["X-Caro-Revision"]),
            ],
            problems: vec![503],
            ..get(
                "/feed.atom",
                "getFeed",
                "looks",
                "What changed lately, for feed readers",
            )
        },
        Operation {
            details: "503 only when nothing but the compiled-in defaults can be served.",
            answers: vec![
                json("It serves as it should, or from the last good configuration.")
                    .json(of::<Health>),
                Answer::new(503, "It has no configuration.").json(of::<Health>),
            ],
            ..get(
                "/health",
                "getHealth",
                "looks",
                "Whether the router works, check by check",
            )
        },
        Operation {
            details: "Answers of flags and installers are signed (RFC 9421, label `caro`) where the \
                      router has a key. The key that signs comes first; the others signed before or \
                      will. No keys: answers are not signed.",
            answers: vec![json("The public keys.").content(
                "application/http-message-signatures-directory+json",
                of::<Directory>,
            )],
            ..get(
                "/.well-known/http-message-signatures-directory",
                "getKeys",
                "looks",
                "The public keys that answers are signed with",
            )
        },
        Operation {
            answers: vec![json("A PEM block.").content("application/x-pem-file", of::<Text>)],
            problems: vec![404],
            ..get(
                "/.well-known/signing-key.pem",
                "getKeyPem",
                "looks",
                "The public key that signs now, for openssl",
            )
        },
        Operation {
            answers: vec![
                json("In the Prometheus text format.")
                    .content("text/plain; version=0.0.4; charset=utf-8", of::<Text>),
            ],
            ..get("/metrics", "getMetrics", "looks", "Metrics for Prometheus")
        },
        Operation {
            parameters: vec!["If-None-Match"],
            answers: vec![
                json("An OpenAPI 3.1 document.")
                    .content(
                        "application/json",
                        |_| schemars::json_schema!({ "type": "object" }),
                    )
                    .headers(&["ETag"]),
                known(),
            ],
            ..get("/openapi.json", "getOpenapi", "looks", "This document")
        },
    ]
}
