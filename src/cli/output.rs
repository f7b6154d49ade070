//! What people and scripts see: tables and colour on a terminal, tab-separated rows elsewhere, JSON with `--json`.

use std::cell::Cell;
use std::time::{Duration, Instant};

use comfy_table::{ContentArrangement, Table, presets};
use console::{Style, Term};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

/// Where things are shown.
#[derive(Clone)]
pub struct Output {
    pub json: bool,
    /// Whether standard output is a terminal.
    terminal: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self {
            json,
            terminal: Term::stdout().is_term(),
        }
    }

    /// Whether somebody sits there and sees colours.
    pub const fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// The answer: as JSON if that was asked for, else as `people` show it.
    pub fn answer(&self, json: &Value, people: impl FnOnce(&Self)) {
        if self.json {
            print(&format!("{json:#}\n"));
        } else {
            people(self);
        }
    }

    /// A line for people.
    pub fn line(&self, text: impl AsRef<str>) {
        print(&format!("{}\n", text.as_ref()));
    }

    /// Rows under headings; on anything but a terminal tab-separated and without the headings.
    pub fn table(&self, head: &[&str], rows: &[Vec<String>]) {
        if !self.terminal {
            for row in rows {
                let cells: Vec<String> = row
                    .iter()
                    .map(|c| console::strip_ansi_codes(c).replace(['\t', '\n'], " "))
                    .collect();
                print(&format!("{}\n", cells.join("\t")));
            }
            return;
        }
        let mut table = Table::new();
        let width = Term::stdout().size().1;
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width)
            .set_header(head.iter().map(|h| bold(h)))
            .add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        print(&format!("{}\n", table.trim_fmt()));
    }
}

/// Writes to standard output. A reader that has gone, such as `head`, is no error.
pub fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Writes a line to standard error.
pub fn note(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

pub fn bold(text: &str) -> String {
    Style::new().bold().apply_to(text).to_string()
}

pub fn good(text: &str) -> String {
    Style::new().green().apply_to(text).to_string()
}

pub fn warn(text: &str) -> String {
    Style::new().yellow().apply_to(text).to_string()
}

pub fn bad(text: &str) -> String {
    Style::new().red().bold().apply_to(text).to_string()
}

pub fn dim(text: &str) -> String {
    Style::new().dim().apply_to(text).to_string()
}

/// A bar on standard error, where that is a terminal. It shows nothing in the first second.
pub struct Progress {
    bar: ProgressBar,
    since: Instant,
    shown: Cell<bool>,
}

impl Progress {
    /// So many steps more are done.
    pub fn inc(&self, steps: u64) {
        self.bar.inc(steps);
        if !self.shown.get() && self.since.elapsed() >= Duration::from_secs(1) {
            self.shown.set(true);
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// There are so many steps more than was known.
    pub fn inc_length(&self, steps: u64) {
        self.bar.inc_length(steps);
    }

    /// There are so many steps in all.
    pub fn set_length(&self, steps: u64) {
        self.bar.set_length(steps);
    }

    /// Leaves nothing of it.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A bar for what may take more than a second.
pub fn progress(steps: u64, what: &'static str) -> Progress {
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what);
    Progress {
        bar,
        since: Instant::now(),
        shown: Cell::new(false),
    }
}

/// Text from a router without what could steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A member of a JSON object as people read it; `-` where there is none.
pub fn text_of(value: &Value, name: &str) -> String {
    shown(value.get(name).unwrap_or(&Value::Null))
}

/// A value as people read it.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            items.join(", ")
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// The items of a member that is a list.
pub fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
