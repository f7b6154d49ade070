//! Checks with a verdict each: what `validate`, `health` and `drill` answer.

use serde::Serialize;
use serde_json::Value;

use super::commands::decision;
use super::failure::Exit;
use super::output::{Output, bad, good, plain, shown};
use crate::core::gate::Verdict;

/// One line of a list.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub check: String,
    pub verdict: Verdict,
    /// In a sentence.
    pub detail: String,
}

impl Check {
    pub fn new(check: impl Into<String>, verdict: Verdict, detail: impl Into<String>) -> Self {
        Self {
            check: check.into(),
            verdict,
            detail: detail.into(),
        }
    }

    /// One that went well, or did not.
    pub fn of(check: impl Into<String>, ok: bool, detail: impl Into<String>) -> Self {
        let verdict = if ok { Verdict::Pass } else { Verdict::Fail };
        Self::new(check, verdict, detail)
    }

    /// As rows show it.
    pub fn cells(&self) -> Vec<String> {
        let name = serde_json::to_value(self.verdict).unwrap_or_default();
        vec![
            plain(&self.check),
            decision::verdict(&shown(&name)),
            plain(&self.detail),
        ]
    }
}

/// Whether nothing is wrong and nothing is unknown.
pub fn passes<'c>(checks: impl IntoIterator<Item = &'c Check>) -> bool {
    let mut checks = checks.into_iter();
    checks.all(|check| check.verdict == Verdict::Pass)
}

/// The list, and in a word what it comes to.
pub fn show(out: &Output, checks: &[Check], yes: &str, no: &str) {
    let rows: Vec<Vec<String>> = checks.iter().map(Check::cells).collect();
    out.table(&["CHECK", "VERDICT", "WHY"], &rows);
    out.line(match passes(checks) {
        true => good(yes),
        false => bad(no),
    });
}

/// The exit code of a list.
pub fn exit(ok: bool) -> Exit {
    if ok { Exit::Ok } else { Exit::No }
}

/// A verdict as the router says it. One that a newer router says is no pass.
pub fn verdict(value: &Value) -> Verdict {
    serde_json::from_value(value.clone()).unwrap_or(Verdict::Error)
}
