//! A configuration with one release and the plan's cohorts, to play with.

use super::NAME;
use crate::core::json::Json;
use crate::core::ledger::Rejection;
use crate::core::plan::Plan;

pub(super) fn configuration(plan: &Plan) -> Result<Json, Rejection> {
    let cohorts = plan
        .stages
        .iter()
        .filter_map(|stage| stage.audience.as_ref());
    let cohorts = cohorts.flat_map(|audience| &audience.cohorts);
    let mut document = Json::parse(
        r#"{"schema": 1, "salt": "000102030405060708090a0b0c0d0e0f", "stable": "1.0.0", "versions": {"1.0.0": {
            "assets": {}, "excluded_platforms":
            ["linux-amd64", "linux-arm64", "macos-intel", "macos-silicon", "windows-amd64"]}}}"#,
    )
    .map_err(|problem| Rejection::Invalid(vec![problem]))?;
    for name in cohorts {
        let on = Json::Bool(true);
        document.merge(&Json::nested(&["cohorts", name.as_str(), "enabled"], on));
    }
    let release = [
        ("version", Json::from("1.0.0")),
        ("percentage", Json::from(0)),
        ("state", Json::from("active")),
    ];
    document.merge(&Json::nested(&["releases", NAME], Json::object(release)));
    Ok(document)
}
