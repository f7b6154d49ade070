//! The calls of the control API: what they have in common, and those of releases and features.

use serde_json::{Value, json};

use super::{Answer, Operation, Request, admin, of};
use crate::auth::permission::Call;
use crate::core::experiment::Analysis;
use crate::wire::control::{Approve, Because, Changed, Pending, PutRollout, Rollback, SetRollout};
use crate::wire::experiment::Experiments;
use crate::wire::schema::{ExperimentsPatch, FeaturesPatch};

/// On every answer of the control API that is no error.
pub(super) const REVISION: [&str; 2] = ["ETag", "X-Caro-Revision"];

/// What every write may say besides its body.
const WRITE: [&str; 6] = [
    "dry_run",
    "confirm",
    "reason",
    "X-Reason",
    "If-Match",
    "Idempotency-Key",
];

/// What can go wrong with every write.
const WRITE_PROBLEMS: [u16; 8] = [400, 401, 412, 413, 415, 422, 429, 503];

fn of_call(
    call: Call,
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        call: Some(call),
        method,
        path,
        id,
        tag: match path.split('/').nth(1) {
            Some("rollout") => "releases",
            Some("features") => "features",
            Some("ops") => "looks",
            _ => path.split('/').nth(2).unwrap_or_default(),
        },
        summary,
        details: "",
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        problems: Vec::new(),
    }
}

pub(super) fn read(
    call: Call,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        problems: vec![401, 429, 503],
        ..of_call(call, "GET", path, id, summary)
    }
}

/// A write that answers what it changed.
pub(super) fn write(
    call: Call,
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        parameters: WRITE.to_vec(),
        answers: vec![changed(200, "What it changed, or would change.")],
        problems: WRITE_PROBLEMS.to_vec(),
        ..of_call(call, method, path, id, summary)
    }
}

pub(super) fn changed(status: u16, text: &'static str) -> Answer {
    Answer::new(status, text)
        .json(of::<Changed<'static>>)
        .headers(&REVISION)
        .maybe(&["Idempotent-Replayed"])
}

impl Operation {
    fn by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(super) fn about(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    pub(super) fn with(mut self, parameters: &[&'static str]) -> Self {
        self.parameters.splice(0..0, parameters.iter().copied());
        self
    }

    pub(super) fn takes<T: schemars::JsonSchema>(
        mut self,
        required: bool,
        examples: &[(&'static str, Value)],
    ) -> Self {
        self.body = Some(Request {
            required,
            merge_patch: false,
            schema: of::<T>,
            examples: examples.to_vec(),
        });
        self
    }

    pub(super) fn gives<T: schemars::JsonSchema>(mut self, text: &'static str) -> Self {
        let answer = Answer::new(200, text).json(of::<T>).headers(&REVISION);
        self.answers.push(answer);
        self
    }

    pub(super) fn fails(mut self, problems: &[u16]) -> Self {
        self.problems.extend(problems);
        self
    }

    /// The two-person rule may hold it up.
    pub(super) fn held(mut self) -> Self {
        let text = "It waits for another release manager: `policy.approvals` of the configuration.";
        let answer = Answer::new(202, text)
            .json(of::<Pending>)
            .headers(&REVISION);
        self.answers.push(answer);
        self
    }
}

pub(super) fn operations() -> Vec<Operation> {
    [releases(), experiments(), admin::operations()].concat()
}

fn releases() -> Vec<Operation> {
    let action = |call, path, id, summary| {
        write(call, "POST", path, id, summary)
            .with(&["release"])
            .takes::<Because>(
                false,
                &[("why", json!({ "reason": "a platform misses its asset" }))],
            )
            .fails(&[404, 409])
    };
    vec![
        write(
            Call::SetRelease,
            "POST",
            "/rollout/{release}",
            "setRelease",
            "Change a release",
        )
        .about("A release that is under an emergency stop or paused is not raised.")
        .with(&["release"])
        .takes::<SetRollout>(
            true,
            &[
                ("raise", json!({ "percentage": 50 })),
                (
                    "down",
                    json!({ "percentage": 10, "confirm": true, "reason": "slow at scale" }),
                ),
            ],
        )
        .held()
        .fails(&[404, 409]),
        write(
            Call::PutRelease,
            "PUT",
            "/rollout/{release}",
            "putRelease",
            "Make or replace a release",
        )
        .about("Who is denied stays denied, and the buckets stay where they are.")
        .with(&["release"])
        .takes::<PutRollout>(
            true,
            &[(
                "small",
                json!({ "version": "1.1.0-beta.2", "percentage": 5, "cohorts": ["internal_test"] }),
            )],
        )
        .held()
        .fails(&[404, 409]),
        action(
            Call::DeleteRelease,
            "/rollout/{release}",
            "deleteRelease",
            "Delete a release and its features",
        )
        .by("DELETE"),
        write(
            Call::EmergencyStop,
            "POST",
            "/rollout/{release}/emergency-stop",
            "emergencyStop",
            "Stop a release, or `all` of them, at once",
        )
        .about(
            "0 %, and every feature off that is not kept. Needs a reason. Stopping what is stopped \
             changes nothing. `published` says whether KV has it.",
        )
        .with(&["scope"])
        .takes::<Because>(false, &[("why", json!({ "reason": "it deletes files" }))])
        .fails(&[404, 409]),
        write(
            Call::ClearStop,
            "POST",
            "/rollout/{release}/clear-stop",
            "clearStop",
            "Lift an emergency stop",
        )
        .about(
            "Features come back; releases stay at 0 % until somebody raises them. Needs a reason.",
        )
        .with(&["scope"])
        .takes::<Because>(false, &[("why", json!({ "reason": "beta.3 mends it" }))])
        .held()
        .fails(&[404, 409]),
        action(
            Call::Pause,
            "/rollout/{release}/pause",
            "pause",
            "Hold a release where it is",
        ),
        action(
            Call::Resume,
            "/rollout/{release}/resume",
            "resume",
            "Let a paused release go on",
        ),
        write(
            Call::Rollback,
            "POST",
            "/rollout/{release}/rollback",
            "rollback",
            "Bring a release down, at once or evenly over some time",
        )
        .about("Then it is paused.")
        .with(&["release"])
        .takes::<Rollback>(
            false,
            &[
                (
                    "at_once",
                    json!({ "percentage": 10, "reason": "macOS crashes" }),
                ),
                ("drained", json!({ "percentage": 0, "over_seconds": 3600 })),
            ],
        )
        .fails(&[404, 409]),
        write(
            Call::Approve,
            "POST",
            "/rollout/{release}/approve",
            "approve",
            "Agree to a change that somebody else asked for",
        )
        .about("It is carried out as it was asked, with both names in the audit log.")
        .with(&["scope"])
        .takes::<Approve>(false, &[("only", json!({}))])
        .fails(&[404, 409]),
        features(),
    ]
}

/// Experiments: what a team needs to run one.
fn experiments() -> Vec<Operation> {
    let example = json!({
        "confidence_threshold": {
            "variants": { "control": 0.8, "aggressive": 0.85 },
            "control": "control",
            "metrics": ["command_success", { "name": "latency_ms", "at_most": 2000 }],
            "end": "2026-12-01T00:00:00Z"
        },
        "reason": "seed 000, test 1"
    });
    let mut set = write(
        Call::SetExperiments,
        "POST",
        "/admin/experiments",
        "setExperiments",
        "Begin, change or end experiments",
    )
    .takes::<ExperimentsPatch>(true, &[("begin", example)])
    .fails(&[409]);
    if let Some(body) = &mut set.body {
        body.merge_patch = true;
    }
    vec![
        read(
            Call::ReadExperiments,
            "/admin/experiments",
            "listExperiments",
            "Every experiment",
        )
        .gives::<Experiments<'static>>("The experiments.")
        .fails(&[409]),
        set,
        read(
            Call::ReadExperiments,
            "/admin/experiments/{name}",
            "getExperiment",
            "What an experiment shows: ship, keep or undecided, with the numbers",
        )
        .about("The evidence may be looked at any time; 1/alpha of it is proof.")
        .with(&["experiment"])
        .gives::<Analysis>("What it shows.")
        .fails(&[404, 409]),
    ]
}

fn features() -> Operation {
    let mut operation = write(
        Call::SetFeatures,
        "POST",
        "/features/{release}",
        "setFeatures",
        "Change features of a release, or of `*`: all of them",
    )
    .about("An engineer reaches those alone whose `stage` is `development`.")
    .with(&["featureScope"])
    .takes::<FeaturesPatch>(
        true,
        &[
            ("off", json!({ "confidence_refinement": false })),
            (
                "ramp",
                json!({ "static_matcher": { "percentage": 10 }, "reason": "first look" }),
            ),
        ],
    )
    .fails(&[404, 409]);
    if let Some(body) = &mut operation.body {
        body.merge_patch = true;
    }
    operation
}
