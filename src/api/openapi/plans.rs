//! The calls of plans.

use serde_json::json;

use super::calls::{read, write};
use super::{Answer, Operation, of};
use crate::auth::permission::Call;
use crate::wire::control::Because;
use crate::wire::evidence::EvidenceLook;
use crate::wire::plan::{PlanLook, Promote, Report, SetPlan, Signals};
use crate::wire::schema::Text;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        read(
            Call::ReadPlan,
            "/rollout/{release}/plan",
            "getPlan",
            "A release's plan, where it stands, and the last decision",
        )
        .with(&["release"])
        .gives::<PlanLook<'static>>("The plan.")
        .fails(&[404, 409, 422]),
        write(
            Call::SetPlan,
            "POST",
            "/rollout/{release}/plan",
            "setPlan",
            "Give a release a plan, begin it, or both",
        )
        .about(
            "Beginning enters the first stage at once, or the last one that the release has reached already. What the \
             stable version did in the week before is kept as the baseline.",
        )
        .with(&["release"])
        .takes::<SetPlan>(
            true,
            &[
                ("preset", json!({ "preset": "caro", "start": true })),
                (
                    "own",
                    json!({ "plan": { "name": "two-steps", "stages": [
                        { "id": "some", "percentage": 10, "soak": { "min_hours": 24 },
                          "gates": [{ "rate": "install_success", "at_least": 90, "floor": 80 }] },
                        { "id": "all", "percentage": 100 }
                    ] } }),
                ),
            ],
        )
        .fails(&[404, 409]),
        write(
            Call::DeletePlan,
            "DELETE",
            "/rollout/{release}/plan",
            "deletePlan",
            "Take a release's plan away",
        )
        .about("The release stays as it is.")
        .with(&["release"])
        .takes::<Because>(false, &[("why", json!({ "reason": "by hand from here" }))])
        .fails(&[404, 409]),
        write(
            Call::Evaluate,
            "POST",
            "/rollout/{release}/evaluate",
            "evaluate",
            "Decide now about a release's plan, with all of the reasons",
        )
        .about("What the loops do each hour. As a dry run it says what would be done.")
        .with(&["release"])
        .takes::<Because>(false, &[("now", json!({}))])
        .fails(&[404, 409]),
        write(
            Call::Promote,
            "POST",
            "/rollout/{release}/promote",
            "promote",
            "Bring a release to the next stage of its plan",
        )
        .about(
            "The call is the approval. `force` does it although gates do not pass or the soak is not over, and needs a \
             reason. It never lifts a stop.",
        )
        .with(&["release"])
        .takes::<Promote>(
            false,
            &[
                ("next", json!({})),
                ("force", json!({ "force": true, "reason": "mends a leak" })),
            ],
        )
        .held()
        .fails(&[404, 409]),
        write(
            Call::Signal,
            "POST",
            "/rollout/{release}/signals",
            "signal",
            "Tell numbers and checks that the router cannot count itself",
        )
        .about("Such as open P0 bugs, satisfaction, active users. An older number than the last changes nothing.")
        .with(&["release"])
        .takes::<Signals>(
            true,
            &[(
                "several",
                json!({
                    "numbers": { "p0_open": 0, "awu": { "value": 120, "source": "telemetry" } },
                    "checks": { "health": true }
                }),
            )],
        )
        .fails(&[404, 409]),
        report(),
        read(
            Call::ReadEvidence,
            "/rollout/{release}/evidence",
            "getEvidence",
            "What was counted of a release, in parts of a span until now",
        )
        .about(
            "Parts are whole minutes, in spans of more than six hours whole hours, so there may be fewer than were asked \
             for, and the last is not over yet. Where the counters cannot be read, `error` says why.",
        )
        .with(&["release", "seconds", "points", "by", "cohortFilter", "platformFilter"])
        .gives::<EvidenceLook<'static>>("The counts of both arms.")
        .fails(&[400, 404, 409]),
    ]
}

fn report() -> Operation {
    let text = "The text and its figures; with `format=text` the text alone.";
    let answer = Answer::new(200, text)
        .json(of::<Report>)
        .content("text/plain; charset=utf-8", of::<Text>)
        .headers(&["X-Caro-Revision"])
        .maybe(&["ETag"]);
    Operation {
        answers: vec![answer],
        ..read(
            Call::ReadReport,
            "/rollout/{release}/report",
            "report",
            "A text about a rollout: status, announcement or post-mortem",
        )
        .with(&["release", "kind", "textFormat"])
        .fails(&[400, 404, 409, 422])
    }
}
