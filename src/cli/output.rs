//! What people and scripts see: tables and colour on a terminal, tab-separated rows elsewhere, JSON with `--json`.

use std::io::{ErrorKind, Write};
use std::ops::Deref;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use console::{Style, Term, measure_text_width};
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
        let width = usize::from(Term::stdout().size().1);
        let widths = longest_words(head, rows);
        let gaps = GAP * widths.len().saturating_sub(1);
        if widths.iter().sum::<usize>() + gaps <= width {
            let head: Vec<String> = head.iter().map(|h| bold(h)).collect();
            print(&arranged(&head, rows, &widths, width));
            return;
        }
        // Columns so narrow that words break cannot be read: each row becomes lines of its own.
        for (at, row) in rows.iter().enumerate() {
            let cells = head.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            let cells = cells.map(|(name, cell)| vec![bold(name), cell.clone()]);
            let cells: Vec<Vec<String>> = cells.collect();
            let name = head.iter().map(|name| name.len()).max().unwrap_or(0);
            let gap = if at > 0 { "\n" } else { "" };
            print(&format!("{gap}{}", arranged(&[], &cells, &[name], width)));
        }
    }
}

/// Blanks between two columns.
const GAP: usize = 2;

/// The longest word of each column, in what is seen of it: it should not get narrower.
fn longest_words(head: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let longest = |text: &str| {
        let words = text.split_whitespace();
        words.map(measure_text_width).max().unwrap_or(0)
    };
    let column = |(at, head): (usize, &&str)| {
        let cells = rows.iter().filter_map(|row| row.get(at));
        let cells = cells.map(|cell| longest(cell));
        cells.chain([longest(head)]).max().unwrap_or(0)
    };
    head.iter().enumerate().map(column).collect()
}

/// Rows in columns that are together at most so wide, each at least as wide as is said of it.
fn arranged(head: &[String], rows: &[Vec<String>], widths: &[usize], width: usize) -> String {
    let narrow = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(narrow(width))
        .add_rows(rows);
    if !head.is_empty() {
        table.set_header(head);
    }
    let columns = table.column_count();
    for (at, column) in table.column_iter_mut().enumerate() {
        let gap = if at + 1 < columns { GAP } else { 0 };
        column.set_padding((0, narrow(gap)));
        if let Some(least) = widths.get(at) {
            let least = Width::Fixed(narrow(least + gap));
            column.set_constraint(ColumnConstraint::LowerBoundary(least));
        }
    }
    format!("{}\n", table.trim_fmt())
}

/// What a shell calls an end because nobody reads.
const UNREAD: i32 = 141;

/// Writes to standard output. A reader that has gone, such as `head`, ends it without a word, and never as a success: what
/// was asked may not have been answered yet.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let Err(error) = written else {
        return;
    };
    if error.kind() != ErrorKind::BrokenPipe {
        note(format!("error: the answer cannot be written: {error}"));
    }
    std::process::exit(UNREAD);
}

/// Writes a line to standard error. That nobody reads it is no reason to end halfway: what was stopped is put back then.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
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

/// Before it has taken so long, what is done shows no bar.
const SOON: Duration = Duration::from_secs(1);

/// A bar, as long as it is kept.
pub struct Progress {
    bar: ProgressBar,
    /// Its end ends who waits to show it.
    _kept: Sender<()>,
}

impl Deref for Progress {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.bar
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar on standard error, where that is a terminal, for what takes more than a second. It shows nothing before that.
pub fn progress(steps: u64, what: &'static str) -> Progress {
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(what);
    let (kept, gone) = channel::<()>();
    let own = bar.clone();
    std::thread::spawn(move || {
        // Also where a single step takes so long.
        let late = gone.recv_timeout(SOON) == Err(RecvTimeoutError::Timeout);
        if late && !own.is_finished() {
            own.set_draw_target(ProgressDrawTarget::stderr());
            own.tick();
        }
    });
    Progress { bar, _kept: kept }
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
