//! Which role may make which call (seed 001, "Access Control").

use serde::Serialize;

use crate::core::role::Role;

/// A call of the control API, as far as permission goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    SetRelease,
    PutRelease,
    DeleteRelease,
    EmergencyStop,
    ClearStop,
    Pause,
    Resume,
    Rollback,
    Approve,
    ReadPlan,
    SetPlan,
    DeletePlan,
    Promote,
    Evaluate,
    Signal,
    ReadReport,
    ReadEvidence,
    SetFeatures,
    ReadExperiments,
    SetExperiments,
    ReadKillSwitches,
    SetKillSwitches,
    ReadCanary,
    SetCanary,
    ReadCohorts,
    PutCohort,
    DeleteCohort,
    SetMembers,
    ReadApprovals,
    WithdrawApproval,
    ReadTokens,
    MintToken,
    RevokeToken,
    ReadAudit,
    VerifyAudit,
    Explain,
    ReadConfig,
    PutConfig,
    ReadOps,
    ReadAlerts,
    ReadReleases,
    ReadFeatures,
    WhoAmI,
    Lint,
}

/// Every call with the roles that may make it, the least of them last. A release manager may make
/// each.
pub const PERMISSIONS: [(Call, &[Role]); 44] = {
    use Role::{Bot, Engineer, EngineeringLead, ReleaseManager, Viewer};
    const MANAGER: &[Role] = &[ReleaseManager];
    const LEAD: &[Role] = &[ReleaseManager, EngineeringLead];
    const FEATURES: &[Role] = &[ReleaseManager, EngineeringLead, Engineer];
    const BOT: &[Role] = &[ReleaseManager, Bot];
    const SIGNALS: &[Role] = &[ReleaseManager, EngineeringLead, Bot];
    const EVERYBODY: &[Role] = &[ReleaseManager, EngineeringLead, Engineer, Bot, Viewer];
    [
        (Call::SetRelease, MANAGER),
        (Call::PutRelease, MANAGER),
        (Call::DeleteRelease, MANAGER),
        (Call::EmergencyStop, MANAGER),
        (Call::ClearStop, MANAGER),
        (Call::Pause, MANAGER),
        (Call::Resume, MANAGER),
        (Call::Rollback, MANAGER),
        // A change that waits is approved by a release manager: `api::control::approval`. A stage, by whom its plan
        // names.
        (Call::Approve, LEAD),
        (Call::ReadPlan, EVERYBODY),
        (Call::SetPlan, MANAGER),
        (Call::DeletePlan, MANAGER),
        (Call::Promote, MANAGER),
        (Call::Evaluate, BOT),
        (Call::Signal, SIGNALS),
        (Call::ReadReport, EVERYBODY),
        (Call::ReadEvidence, EVERYBODY),
        // An engineer's are checked one by one: `core::ledger::features`.
        (Call::SetFeatures, FEATURES),
        (Call::ReadExperiments, EVERYBODY),
        (Call::SetExperiments, LEAD),
        (Call::ReadKillSwitches, EVERYBODY),
        (Call::SetKillSwitches, MANAGER),
        (Call::ReadCanary, EVERYBODY),
        (Call::SetCanary, MANAGER),
        (Call::ReadCohorts, EVERYBODY),
        (Call::PutCohort, MANAGER),
        (Call::DeleteCohort, MANAGER),
        (Call::SetMembers, MANAGER),
        (Call::ReadApprovals, EVERYBODY),
        (Call::WithdrawApproval, MANAGER),
        (Call::ReadTokens, MANAGER),
        (Call::MintToken, MANAGER),
        (Call::RevokeToken, MANAGER),
        (Call::ReadAudit, EVERYBODY),
        (Call::VerifyAudit, EVERYBODY),
        (Call::Explain, EVERYBODY),
        // It holds the salt and the members' hashes.
        (Call::ReadConfig, MANAGER),
        (Call::PutConfig, MANAGER),
        (Call::ReadOps, EVERYBODY),
        (Call::ReadAlerts, EVERYBODY),
        (Call::ReadReleases, EVERYBODY),
        (Call::ReadFeatures, EVERYBODY),
        (Call::WhoAmI, EVERYBODY),
        (Call::Lint, EVERYBODY),
    ]
};

impl Call {
    /// The roles that may make this call.
    pub fn roles(self) -> &'static [Role] {
        PERMISSIONS
            .iter()
            .find(|(call, _)| *call == self)
            .map_or(&[], |(_, roles)| roles)
    }

    pub fn allows(self, role: Role) -> bool {
        self.roles().contains(&role)
    }

    /// The least of the roles that may make it, for an answer that says what is missing.
    pub fn least(self) -> Role {
        self.roles().last().copied().unwrap_or(Role::ReleaseManager)
    }
}
