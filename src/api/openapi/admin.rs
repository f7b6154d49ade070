//! The calls below `/admin` and `/ops`.

use serde_json::json;

use super::calls::{REVISION, changed, read, write};
use super::{Answer, Operation, of};
use crate::auth::permission::Call;
use crate::core::explain::Explanation;
use crate::wire::console::{Definitions, Releases, WhoAmI};
use crate::wire::control::{
    Alerts, Approvals, Because, Canary, Cohort, Cohorts, KillSwitches, Linted, Members, MintToken,
    Ops, PutCohort, SetCanary, SetKillSwitches, SetMembers, Tokens, Verified,
};
use crate::wire::schema::{AuditPage, ConfigDocument, Text};

pub(super) fn operations() -> Vec<Operation> {
    [switches(), people(), whole()].concat()
}

fn switches() -> Vec<Operation> {
    let members = |call, path, id, summary| {
        write(call, "POST", path, id, summary)
            .about("Ids and addresses are hashed with the salt and forgotten.")
            .takes::<SetMembers>(
                true,
                &[(
                    "add",
                    json!({ "add": [{ "ip": "192.0.2.7", "label": "build machine" }] }),
                )],
            )
    };
    vec![
        read(
            Call::ReadKillSwitches,
            "/admin/kill-switches",
            "getKillSwitches",
            "Kill switches, with why, by whom and since when",
        )
        .gives::<KillSwitches<'static>>("The switches."),
        write(
            Call::SetKillSwitches,
            "POST",
            "/admin/kill-switches",
            "setKillSwitches",
            "Turn things off at once, or on again",
        )
        .about("Needs a reason. What is not named stays.")
        .takes::<SetKillSwitches>(
            true,
            &[(
                "telemetry",
                json!({ "telemetry_disabled": true, "reason": "it sends too much" }),
            )],
        )
        .fails(&[409]),
        read(
            Call::ReadCanary,
            "/admin/canary",
            "getCanary",
            "Canary mode",
        )
        .gives::<Canary>("Canary mode.")
        .fails(&[409]),
        write(
            Call::SetCanary,
            "POST",
            "/admin/canary",
            "setCanary",
            "Turn canary mode on or off",
        )
        .takes::<SetCanary>(true, &[("on", json!({ "enabled": true }))])
        .fails(&[409]),
        read(
            Call::ReadCohorts,
            "/admin/canary/members",
            "getCanaryMembers",
            "Who always gets the newest release in canary mode",
        )
        .gives::<Members<'static>>("The members, by label."),
        members(
            Call::SetMembers,
            "/admin/canary/members",
            "setCanaryMembers",
            "Add or remove members of canary mode",
        )
        .fails(&[409]),
        read(
            Call::ReadCohorts,
            "/admin/cohorts",
            "getCohorts",
            "Every cohort",
        )
        .gives::<Cohorts<'static>>("The cohorts.")
        .fails(&[409]),
        read(
            Call::ReadCohorts,
            "/admin/cohorts/{name}",
            "getCohort",
            "One cohort",
        )
        .with(&["cohort"])
        .gives::<Cohort<'static>>("The cohort.")
        .fails(&[404, 409]),
        write(
            Call::PutCohort,
            "PUT",
            "/admin/cohorts/{name}",
            "putCohort",
            "Make or replace a cohort",
        )
        .about("Its members stay.")
        .with(&["cohort"])
        .takes::<PutCohort>(
            false,
            &[(
                "internal",
                json!({ "percentage": 0.5, "features": ["all"] }),
            )],
        )
        .fails(&[404, 409]),
        write(
            Call::DeleteCohort,
            "DELETE",
            "/admin/cohorts/{name}",
            "deleteCohort",
            "Delete a cohort",
        )
        .about("One that a release or a feature names stays.")
        .with(&["cohort"])
        .takes::<Because>(false, &[])
        .fails(&[404, 409]),
        read(
            Call::ReadCohorts,
            "/admin/cohorts/{name}/members",
            "getCohortMembers",
            "Who is in a cohort",
        )
        .with(&["cohort"])
        .gives::<Members<'static>>("The members, by label.")
        .fails(&[404, 409]),
        members(
            Call::SetMembers,
            "/admin/cohorts/{name}/members",
            "setCohortMembers",
            "Add or remove members of a cohort",
        )
        .with(&["cohort"])
        .fails(&[404, 409]),
    ]
}

fn people() -> Vec<Operation> {
    let mint = Operation {
        answers: vec![
            changed(200, "A dry run: what it would do."),
            changed(201, "The token, shown this once."),
        ],
        ..write(
            Call::MintToken,
            "POST",
            "/admin/tokens",
            "mintToken",
            "Make a token",
        )
    };
    vec![
        read(
            Call::ReadApprovals,
            "/admin/approvals",
            "getApprovals",
            "Changes that wait for somebody else",
        )
        .gives::<Approvals>("Those that wait."),
        write(
            Call::WithdrawApproval,
            "DELETE",
            "/admin/approvals/{id}",
            "withdrawApproval",
            "Withdraw a change that waits",
        )
        .with(&["approvalId"])
        .takes::<Because>(false, &[])
        .fails(&[404]),
        read(
            Call::ReadTokens,
            "/admin/tokens",
            "getTokens",
            "Every token, without its secret",
        )
        .gives::<Tokens<'static>>("The tokens."),
        mint.takes::<MintToken>(
            true,
            &[(
                "bot",
                json!({ "role": "bot", "label": "rollout bot", "kind": "standard" }),
            )],
        ),
        write(
            Call::RevokeToken,
            "DELETE",
            "/admin/tokens/{id}",
            "revokeToken",
            "Revoke a token",
        )
        .with(&["tokenId"])
        .takes::<Because>(false, &[])
        .fails(&[404]),
        audit(),
        read(
            Call::VerifyAudit,
            "/admin/audit/verify",
            "verifyAudit",
            "Whether the audit log is what was written",
        )
        .gives::<Verified>("What was found."),
        read(
            Call::Explain,
            "/admin/explain",
            "explain",
            "What a requester gets and why, now or at a past revision",
        )
        .about("By `id` or by `ip`, not both. Neither is kept.")
        .with(&["explainId", "ip", "explainRelease", "at"])
        .gives::<Explanation>("Step by step.")
        .fails(&[400, 404]),
    ]
}

fn audit() -> Operation {
    let answer = Answer::new(200, "The newest first. NDJSON has a row to a line.")
        .json(of::<AuditPage>)
        .content("application/x-ndjson", of::<Text>)
        .headers(&REVISION)
        .maybe(&["Link"]);
    Operation {
        answers: vec![answer],
        ..read(
            Call::ReadAudit,
            "/admin/audit",
            "getAudit",
            "Who changed what, when and why",
        )
        .with(&[
            "limit", "before", "actor", "action", "target", "since", "until", "format",
        ])
        .fails(&[400])
    }
}

fn whole() -> Vec<Operation> {
    vec![
        read(
            Call::ReadConfig,
            "/admin/config",
            "getConfig",
            "The configuration, with its salt",
        )
        .gives::<ConfigDocument>("The configuration.")
        .fails(&[409]),
        write(
            Call::PutConfig,
            "PUT",
            "/admin/config",
            "putConfig",
            "Import a configuration",
        )
        .about("Its revision is set by the ledger. What is under an emergency stop stays so.")
        .takes::<ConfigDocument>(true, &[])
        .fails(&[409]),
        read(
            Call::Lint,
            "/admin/lint",
            "lint",
            "What is wrong with features beyond what breaks",
        )
        .gives::<Linted>("Names, papers, age, and rules that do nothing; the worst first.")
        .fails(&[409]),
        read(
            Call::ReadAlerts,
            "/admin/alerts",
            "getAlerts",
            "What people were told, and what waits to be",
        )
        .about("Of those that were delivered the newest 200 are kept.")
        .with(&["alertLimit"])
        .gives::<Alerts>("The newest first.")
        .fails(&[400]),
        read(
            Call::ReadReleases,
            "/admin/releases",
            "getReleases",
            "Every release as the ledger has it",
        )
        .gives::<Releases<'static>>("The releases, the newest first.")
        .fails(&[409]),
        read(
            Call::ReadFeatures,
            "/admin/features",
            "getDefinitions",
            "Every feature as it is written",
        )
        .gives::<Definitions<'static>>("The features, by release."),
        read(
            Call::WhoAmI,
            "/admin/whoami",
            "whoAmI",
            "Whose token it is, and what it may be used for",
        )
        .gives::<WhoAmI<'static, Call>>("The token's holder."),
        read(
            Call::ReadOps,
            "/ops/status.json",
            "getOps",
            "Publishing, stops, switches, drains, approvals, alerts and counts",
        )
        .gives::<Ops<'static>>("How things are."),
    ]
}
