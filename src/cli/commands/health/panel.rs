//! How a look is shown: a panel that is drawn again and again, or a row.

use std::time::Duration;

use console::{Term, measure_text_width, truncate_str};
use serde_json::Value;

use super::look::{Halting, Look, Watched};
use crate::cli::commands::decision::{short, verdict};
use crate::cli::output::{bad, bold, dim, good, items, plain, shown, text_of, warn};
use crate::cli::when;
use crate::core::gate::{Known, METRICS, Says};
use crate::core::stats::wilson;

/// The panel's place on the terminal.
pub struct Screen {
    term: Term,
    /// Lines that stand there.
    lines: usize,
}

impl Screen {
    pub fn open() -> Self {
        let term = Term::buffered_stdout();
        // A terminal that cannot do it shows the cursor: no harm.
        let _ = term.hide_cursor().and_then(|()| term.flush());
        Self { term, lines: 0 }
    }

    /// Draws over what stood there, as one write. What does not fit is cut, since lines that wrap could not be found again.
    pub fn draw(&mut self, lines: &[String]) {
        let (height, width) = self.term.size();
        let most = usize::from(height).saturating_sub(2).max(1);
        let _ = self.term.clear_last_lines(self.lines);
        self.lines = 0;
        for line in lines.iter().take(most) {
            self.put(line, width);
        }
        let _ = self.term.flush();
    }

    /// Adds a line below.
    pub fn add(&mut self, line: &str) {
        let (_, width) = self.term.size();
        self.put(line, width);
        let _ = self.term.flush();
    }

    fn put(&mut self, line: &str, width: u16) {
        let width = usize::from(width).saturating_sub(1);
        let _ = self.term.write_line(&truncate_str(line, width, "…"));
        self.lines += 1;
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.term.show_cursor().and_then(|()| self.term.flush());
    }
}

/// A look as cells: time, status, stage, percentage, verdict, errors, p95, halts.
pub fn row(look: &Look) -> Vec<String> {
    let canary = look.group("canary");
    let of = |list: &str, metric: &str| {
        let mut list = items(canary?, list).iter();
        list.find(|own| text_of(own, "metric") == metric)
    };
    let errors = of("rates", "errors").and_then(|rate| rate.get("rate")?.as_f64());
    let none = || "-".to_owned();
    let alarming = look
        .halts
        .iter()
        .filter(|halt| halt.state != Halting::Quiet);
    let alarming: Vec<String> = alarming
        .map(|halt| format!("{} {}: {}", halt.halt, word(halt.state), plain(&halt.why)))
        .collect();
    vec![
        look.at.clone(),
        status(look),
        look.stage
            .as_ref()
            .map_or_else(none, |stage| text_of(stage, "id")),
        shown(&look.percentage),
        look.decision
            .as_ref()
            .map_or_else(none, |decision| text_of(decision, "verdict")),
        errors.map_or_else(none, |rate| short(100.0 - rate)),
        of("latencies", "command_latency").map_or_else(none, |own| text_of(own, "p95_ms")),
        match alarming.is_empty() {
            true => "none".to_owned(),
            false => alarming.join("; "),
        },
    ]
}

fn status(look: &Look) -> String {
    match look.stopped {
        true => "stopped".to_owned(),
        false => look.status.clone().unwrap_or_else(|| look.state.clone()),
    }
}

const fn word(state: Halting) -> &'static str {
    match state {
        Halting::Quiet => "quiet",
        Halting::Near => "near",
        Halting::Fired => "FIRED",
    }
}

/// The panel.
pub fn lines(look: &Look, watched: &Watched, elapsed: Duration, duration: Duration) -> Vec<String> {
    let who = match &look.cohort {
        Some(cohort) => format!("{}, {}", look.release, plain(cohort)),
        None => look.release.clone(),
    };
    let gone = when::span(elapsed.as_secs());
    let of = when::span(duration.as_secs());
    let mut lines = vec![
        format!(
            "{}  {}",
            bold(&who),
            dim(&format!("{gone} of {of}; Ctrl-C ends"))
        ),
        standing(look),
    ];
    if let Some(decision) = &look.decision {
        lines.push(format!(
            "{} {}",
            verdict(&text_of(decision, "verdict")),
            text_of(decision, "why")
        ));
    }
    lines.push(String::new());
    if let Some(error) = &look.error {
        lines.push(warn(&format!("evidence: {}", plain(error))));
    }
    let window = when::span(watched.window);
    rates(look, &window, &mut lines);
    latencies(look, &window, &mut lines);
    if look.groups.is_empty() && look.error.is_none() {
        lines.push(dim(&format!("nothing was told of it in the last {window}")));
    }
    halts(look, &mut lines);
    lines
}

fn standing(look: &Look) -> String {
    let status = match status(look) {
        status if status == "running" => good(&status),
        status if status == "stopped" => bad(&status),
        status => warn(&status),
    };
    let mut line = format!("{status} at {} %", shown(&look.percentage));
    if let Some(stage) = &look.stage {
        let seconds = stage.get("soaked_seconds").and_then(Value::as_u64);
        let soaked = when::span(seconds.unwrap_or(0));
        line.push_str(&format!(
            ", stage {}, soaked {soaked}",
            text_of(stage, "id")
        ));
    }
    match look.circuit.as_deref() {
        None => {}
        Some("closed") => line.push_str(", breaker closed"),
        Some(state) => line.push_str(&format!(", {}", bad(&format!("breaker {state}")))),
    }
    if look.status.is_none() {
        line.push_str(", no plan: nothing halts it");
    }
    line
}

/// Rows of one table, each column as wide as its widest cell.
fn aligned(rows: &[Vec<String>], lines: &mut Vec<String>) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| measure_text_width(cell))
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    lines.extend(rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let blanks = width.saturating_sub(measure_text_width(cell));
            format!("{cell}{}", " ".repeat(blanks))
        });
        cells
            .collect::<Vec<String>>()
            .join("  ")
            .trim_end()
            .to_owned()
    }));
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| bold(name)).collect()
}

fn rates(look: &Look, window: &str, lines: &mut Vec<String>) {
    let list = |arm: &str| {
        look.group(arm)
            .map_or(&[][..], |group| items(group, "rates"))
    };
    let mut rows = vec![heads(&[
        "RATE",
        "RELEASE",
        "STABLE",
        "SAMPLES",
        &format!("WRONG, LAST {window}"),
        "",
    ])];
    for rate in list("canary") {
        let name = text_of(rate, "metric");
        let Some(known) = Known::of(&METRICS, &name) else {
            continue;
        };
        let mut stable = list("control").iter();
        let stable = stable.find(|own| text_of(own, "metric") == name);
        let bars = parts(rate, |part| {
            let (total, good) = (part.get("total")?.as_u64()?, part.get("good")?.as_u64()?);
            (total > 0).then(|| 100.0 - 100.0 * good as f64 / total as f64)
        });
        rows.push(vec![
            name.clone(),
            share(known.says, rate, true),
            stable.map_or_else(|| "-".to_owned(), |own| share(known.says, own, false)),
            text_of(rate, "total"),
            sparkline(&bars),
            trend(rate),
        ]);
    }
    if rows.len() > 1 {
        aligned(&rows, lines);
        lines.push(String::new());
    }
}

/// What a metric's name counts: what went well, or what went wrong.
fn side(says: Says, good: f64) -> f64 {
    match says {
        Says::Good => good,
        Says::Bad => 100.0 - good,
    }
}

fn share(says: Says, rate: &Value, interval: bool) -> String {
    let number = |name: &str| {
        rate.get(name)
            .and_then(Value::as_f64)
            .map(|n| side(says, n))
    };
    let Some(own) = number("rate") else {
        return "-".to_owned();
    };
    match (number("low"), number("high")) {
        (Some(low), Some(high)) if interval => {
            let (low, high) = (low.min(high), low.max(high));
            format!("{own:.2} % ({low:.2} to {high:.2})")
        }
        _ => format!("{own:.2} %"),
    }
}

fn latencies(look: &Look, window: &str, lines: &mut Vec<String>) {
    let list = |arm: &str| {
        look.group(arm)
            .map_or(&[][..], |group| items(group, "latencies"))
    };
    let mut rows = vec![heads(&[
        "MILLISECONDS",
        "P50",
        "P75",
        "P95",
        "P99",
        "STABLE P95",
        "SAMPLES",
        &format!("P95, LAST {window}"),
    ])];
    for latency in list("canary") {
        let name = text_of(latency, "metric");
        let mut stable = list("control").iter();
        let stable = stable.find(|own| text_of(own, "metric") == name);
        let bars = parts(latency, |part| part.get("p95_ms")?.as_f64());
        let part = |name| text_of(latency, name);
        rows.push(vec![
            name.clone(),
            part("p50_ms"),
            part("p75_ms"),
            part("p95_ms"),
            part("p99_ms"),
            stable.map_or_else(|| "-".to_owned(), |own| text_of(own, "p95_ms")),
            part("total"),
            sparkline(&bars),
        ]);
    }
    if rows.len() > 1 {
        aligned(&rows, lines);
        lines.push(String::new());
    }
}

fn halts(look: &Look, lines: &mut Vec<String>) {
    let (quiet, loud): (Vec<_>, Vec<_>) = look
        .halts
        .iter()
        .partition(|halt| halt.state == Halting::Quiet);
    lines.extend(loud.iter().map(|halt| {
        let state = match halt.state {
            Halting::Fired => bad(word(halt.state)),
            _ => warn(word(halt.state)),
        };
        format!("halt {} {state}: {}", halt.halt, plain(&halt.why))
    }));
    if !quiet.is_empty() {
        let names: Vec<&str> = quiet.iter().map(|halt| halt.halt.as_str()).collect();
        lines.push(dim(&format!("quiet halts: {}", names.join(", "))));
    }
}

fn parts(value: &Value, of: impl Fn(&Value) -> Option<f64>) -> Vec<Option<f64>> {
    items(value, "series").iter().map(of).collect()
}

/// Bars from nothing to the highest; a blank where nothing was counted.
fn sparkline(values: &[Option<f64>]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let bar = |value: &Option<f64>| match value {
        None => ' ',
        Some(value) => {
            let place = if most > 0.0 { value / most * 7.0 } else { 0.0 };
            BARS.get(place.round() as usize).copied().unwrap_or(' ')
        }
    };
    values.iter().map(bar).collect()
}

/// Whether the second half of the span went surely better or worse than the first.
fn trend(rate: &Value) -> String {
    let series = items(rate, "series");
    let (before, after) = series.split_at(series.len() / 2);
    let sum = |parts: &[Value], name: &str| -> u64 {
        let parts = parts.iter().filter_map(|part| part.get(name)?.as_u64());
        parts.sum()
    };
    let interval = |parts: &[Value]| wilson(sum(parts, "good"), sum(parts, "total"));
    if sum(before, "total") == 0 || sum(after, "total") == 0 {
        return String::new();
    }
    let ((low, high), (new_low, new_high)) = (interval(before), interval(after));
    if new_high < low {
        bad("worse")
    } else if new_low > high {
        good("better")
    } else {
        dim("steady")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bars_show_how_values_compare() {
        let check = |values: &[Option<f64>], expected: &str| {
            assert_eq!(sparkline(values), expected, "{values:?}");
        };
        check(&[Some(0.0), Some(50.0), Some(100.0)], "▁▅█");
        check(&[None, Some(3.0), None], " █ ");
        check(&[Some(0.0), Some(0.0)], "▁▁");
        check(&[], "");
    }

    #[test]
    fn a_trend_is_said_only_where_the_halves_surely_differ() {
        let check = |series: &[(u64, u64)], expected: &str| {
            let series: Vec<Value> = series
                .iter()
                .map(|(total, good)| json!({ "total": total, "good": good }))
                .collect();
            let said = trend(&json!({ "series": series }));
            assert_eq!(console::strip_ansi_codes(&said), expected, "{series:?}");
        };
        check(&[(1000, 990), (1000, 900)], "worse");
        check(&[(1000, 900), (1000, 990)], "better");
        check(&[(100, 98), (100, 95)], "steady");
        check(&[(0, 0), (100, 95)], "");
        check(&[], "");
    }

    #[test]
    fn rows_are_aligned_by_what_is_seen_of_them() {
        let rows = [
            vec!["a".to_owned(), "12".to_owned()],
            vec!["\u{1b}[1mlong\u{1b}[0m".to_owned(), "3".to_owned()],
        ];
        let mut lines = Vec::new();
        aligned(&rows, &mut lines);
        assert_eq!(lines, ["a     12", "\u{1b}[1mlong\u{1b}[0m  3"]);
    }
}
