//! How a decision of a plan is shown.

use serde_json::Value;

use crate::cli::output::{Output, bad, good, items, text_of, warn};

/// A verdict in its colour.
pub fn verdict(text: &str) -> String {
    match text {
        "PASS" => good(text),
        "FAIL" | "ERROR" => bad(text),
        _ => warn(text),
    }
}

/// The decision with all of its reasons.
pub fn show(out: &Output, decision: &Value) {
    let stage = text_of(decision, "stage");
    out.line(format!(
        "{} at stage {stage} ({} %): {}",
        verdict(&text_of(decision, "verdict")),
        text_of(decision, "percentage"),
        text_of(decision, "why"),
    ));
    let gates = items(decision, "gates");
    if !gates.is_empty() {
        let rows: Vec<Vec<String>> = gates.iter().map(gate).collect();
        out.table(
            &[
                "GATE", "VERDICT", "SEEN", "LIMIT", "SAMPLES", "MISSING", "WHY",
            ],
            &rows,
        );
    }
    for halt in items(decision, "halts") {
        let (name, action) = (text_of(halt, "halt"), text_of(halt, "action"));
        out.line(format!(
            "{} {name} ({action}): {}",
            bad("halt"),
            text_of(halt, "why")
        ));
    }
    let (asked, done) = (text_of(decision, "asked"), text_of(decision, "done"));
    out.line(match asked == done {
        true => format!("decided: {done}"),
        false => format!("decided: {done} (the evidence asks for {asked})"),
    });
    let suggestion = text_of(decision, "suggestion");
    if suggestion != "-" {
        out.line(format!("{} {suggestion}", warn("for a person:")));
    }
}

fn gate(gate: &Value) -> Vec<String> {
    let seen = gate.get("observed").and_then(Value::as_f64);
    vec![
        text_of(gate, "gate"),
        verdict(&text_of(gate, "verdict")),
        seen.map_or_else(|| "-".to_owned(), short),
        gate.get("threshold")
            .and_then(Value::as_f64)
            .map_or_else(|| "-".to_owned(), short),
        text_of(gate, "samples"),
        text_of(gate, "missing"),
        text_of(gate, "why"),
    ]
}

/// A number with at most three decimals.
pub fn short(number: f64) -> String {
    let text = format!("{number:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}
