//! The paths of the control API.

use crate::auth::permission::Call;
use crate::core::config::FeatureScope;
use crate::core::ids::{CohortName, FlagKey, ReleaseName};
use crate::core::ledger::event::{MemberList, Scope};

/// What a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Release(ReleaseName),
    /// Everything, or a release.
    Scope(Scope),
    Features(FeatureScope),
    Cohort(CohortName),
    Experiment(FlagKey),
    Members(MemberList),
    /// A token's or an approval's id.
    Id(String),
    None,
}

/// What a method and a path mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Call(Call, Target),
    /// The path is there and takes these methods.
    Method(&'static str),
    /// A name in the path cannot be one; why.
    Name(String),
    Nothing,
}

/// Whether a request is the control plane's, by its method and path. What anyone may read is
/// answered at the edge.
pub fn is_control(method: &str, path: &str) -> bool {
    let parts: Vec<&str> = segments(path);
    let reads = matches!(method, "GET" | "HEAD" | "OPTIONS");
    match *parts {
        ["rollout" | "features", _] => !reads,
        ["rollout", _, _] | ["admin", ..] | ["ops", ..] => find(method, path) != Found::Nothing,
        _ => false,
    }
}

fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    path.strip_suffix('/')
        .unwrap_or(path)
        .splitn(6, '/')
        .collect()
}

/// Parses a method and a path. Names need no percent-encoding.
pub fn find(method: &str, path: &str) -> Found {
    let parts = segments(path);
    match try_find(method, &parts) {
        Ok(found) => found,
        Err(why) => Found::Name(why),
    }
}

fn try_find(method: &str, parts: &[&str]) -> Result<Found, String> {
    let release = |name: &str| -> Result<Target, String> {
        let name = name.parse::<ReleaseName>();
        name.map(Target::Release)
            .map_err(|e| format!("the release {e}"))
    };
    let scope = |name: &str| -> Result<Target, String> {
        Ok(match name {
            "all" => Target::Scope(Scope::All),
            name => Target::Scope(Scope::Release(
                name.parse().map_err(|e| format!("the release {e}"))?,
            )),
        })
    };
    let cohort = |name: &str| {
        name.parse::<CohortName>()
            .map_err(|e| format!("the cohort {e}"))
    };
    let calls: (&'static str, Vec<(&str, Call)>, Target) = match *parts {
        ["rollout", name] => (
            "GET, HEAD, POST, PUT, DELETE, OPTIONS",
            vec![
                ("POST", Call::SetRelease),
                ("PUT", Call::PutRelease),
                ("DELETE", Call::DeleteRelease),
            ],
            release(name)?,
        ),
        ["rollout", name, "plan"] => (
            "GET, HEAD, POST, DELETE, OPTIONS",
            vec![
                ("GET", Call::ReadPlan),
                ("POST", Call::SetPlan),
                ("DELETE", Call::DeletePlan),
            ],
            release(name)?,
        ),
        ["rollout", name, "report"] => read(Call::ReadReport, release(name)?),
        ["rollout", name, "evidence"] => read(Call::ReadEvidence, release(name)?),
        ["rollout", name, action] => {
            let (call, target) = match action {
                "emergency-stop" => (Call::EmergencyStop, scope(name)?),
                "clear-stop" => (Call::ClearStop, scope(name)?),
                "approve" => (Call::Approve, scope(name)?),
                "pause" => (Call::Pause, release(name)?),
                "resume" => (Call::Resume, release(name)?),
                "rollback" => (Call::Rollback, release(name)?),
                "promote" => (Call::Promote, release(name)?),
                "evaluate" => (Call::Evaluate, release(name)?),
                "signals" => (Call::Signal, release(name)?),
                _ => return Ok(Found::Nothing),
            };
            ("POST, OPTIONS", vec![("POST", call)], target)
        }
        ["features", name] => (
            "GET, HEAD, POST, OPTIONS",
            vec![("POST", Call::SetFeatures)],
            Target::Features(match name {
                "*" | "all" => FeatureScope::All,
                name => {
                    FeatureScope::Release(name.parse().map_err(|e| format!("the release {e}"))?)
                }
            }),
        ),
        ["ops", "status.json"] => read(Call::ReadOps, Target::None),
        ["admin", "kill-switches"] => {
            read_post(Call::ReadKillSwitches, Call::SetKillSwitches, Target::None)
        }
        ["admin", "canary"] => read_post(Call::ReadCanary, Call::SetCanary, Target::None),
        ["admin", "canary", "members"] => read_post(
            Call::ReadCohorts,
            Call::SetMembers,
            Target::Members(MemberList::Allowlist),
        ),
        ["admin", "cohorts"] => read(Call::ReadCohorts, Target::None),
        ["admin", "cohorts", name] => (
            "GET, HEAD, PUT, DELETE, OPTIONS",
            vec![
                ("GET", Call::ReadCohorts),
                ("PUT", Call::PutCohort),
                ("DELETE", Call::DeleteCohort),
            ],
            Target::Cohort(cohort(name)?),
        ),
        ["admin", "cohorts", name, "members"] => read_post(
            Call::ReadCohorts,
            Call::SetMembers,
            Target::Members(MemberList::Cohort(cohort(name)?)),
        ),
        ["admin", "experiments"] => {
            read_post(Call::ReadExperiments, Call::SetExperiments, Target::None)
        }
        ["admin", "experiments", name] => {
            let name = name.parse::<FlagKey>();
            let name = name.map_err(|e| format!("the experiment {e}"))?;
            read(Call::ReadExperiments, Target::Experiment(name))
        }
        ["admin", "approvals"] => read(Call::ReadApprovals, Target::None),
        ["admin", "approvals", id] => (
            "DELETE, OPTIONS",
            vec![("DELETE", Call::WithdrawApproval)],
            Target::Id(id.to_owned()),
        ),
        ["admin", "tokens"] => read_post(Call::ReadTokens, Call::MintToken, Target::None),
        ["admin", "tokens", id] => (
            "DELETE, OPTIONS",
            vec![("DELETE", Call::RevokeToken)],
            Target::Id(id.to_owned()),
        ),
        ["admin", "audit"] => read(Call::ReadAudit, Target::None),
        ["admin", "audit", "verify"] => read(Call::VerifyAudit, Target::None),
        ["admin", "explain"] => read(Call::Explain, Target::None),
        ["admin", "alerts"] => read(Call::ReadAlerts, Target::None),
        ["admin", "releases"] => read(Call::ReadReleases, Target::None),
        ["admin", "features"] => read(Call::ReadFeatures, Target::None),
        ["admin", "whoami"] => read(Call::WhoAmI, Target::None),
        ["admin", "lint"] => read(Call::Lint, Target::None),
        ["admin", "config"] => (
            "GET, HEAD, PUT, OPTIONS",
            vec![("GET", Call::ReadConfig), ("PUT", Call::PutConfig)],
            Target::None,
        ),
        _ => return Ok(Found::Nothing),
    };
    let (allow, calls, target) = calls;
    let method = if method == "HEAD" { "GET" } else { method };
    Ok(match calls.into_iter().find(|(m, _)| *m == method) {
        Some((_, call)) => Found::Call(call, target),
        None => Found::Method(allow),
    })
}

type Calls = (&'static str, Vec<(&'static str, Call)>, Target);

fn read(call: Call, target: Target) -> Calls {
    ("GET, HEAD, OPTIONS", vec![("GET", call)], target)
}

fn read_post(get: Call, post: Call, target: Target) -> Calls {
    (
        "GET, HEAD, POST, OPTIONS",
        vec![("GET", get), ("POST", post)],
        target,
    )
}
