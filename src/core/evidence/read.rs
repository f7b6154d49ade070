//! From what installers and clients send to observations.
//!
//! Clients are of every age: fields that are not known are passed over, and one bad event spoils no other. An event
//! whose known fields are not what they should be is refused, because half of it would count.

use super::{Cell, Observation, Of, id, metric, minute};
use crate::core::json::Json;
use crate::core::time::Timestamp;

/// The most events in one report.
pub const MAX_EVENTS: usize = 500;

/// An event may be so far ahead: clocks differ.
const AHEAD_MS: u64 = 5 * 60_000;

/// And so old: clients without a network keep theirs.
const LATE_MS: u64 = 48 * 3_600_000;

/// The longest that anything takes.
const LONGEST_MS: f64 = 86_400_000.0;

/// The longest id of an event, a session or a report.
const MAX_ID: usize = 128;

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A field is missing, or not what it should be.
    Malformed,
    /// Dated in the future.
    Future,
    /// Too old.
    Late,
    /// A number that cannot be.
    Absurd,
}

impl Refusal {
    pub const ALL: [Self; 4] = [Self::Malformed, Self::Future, Self::Late, Self::Absurd];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Future => "future",
            Self::Late => "late",
            Self::Absurd => "absurd",
        }
    }
}

/// Something refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Place in the report.
    pub index: usize,
    pub why: Refusal,
    pub detail: String,
}

/// What was understood of a report.
#[derive(Debug, Default)]
pub struct Batch {
    pub observations: Vec<Observation>,
    pub refused: Vec<Refused>,
    /// Of versions that are neither a release's nor the stable one.
    pub ignored: usize,
}

/// In which light a report is read.
pub struct Setting<'a> {
    pub now: Timestamp,
    /// The snapshot's.
    pub revision: u64,
    /// What a version is of, by its name.
    pub of: &'a dyn Fn(&str) -> Option<Of>,
    /// What the client says that it is, if it does.
    pub version: Option<&'a str>,
}

type Read<T> = Result<T, (Refusal, String)>;

fn malformed<T>(key: &str, what: &str) -> Read<T> {
    Err((Refusal::Malformed, format!("{key} {what}")))
}

/// A member that is there. Clients write `null` for what they do not know.
fn given<'j>(json: &'j Json, key: &str) -> Option<&'j Json> {
    json.get(key).filter(|value| **value != Json::Null)
}

fn text<'j>(json: &'j Json, key: &str) -> Read<Option<&'j str>> {
    match given(json, key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => malformed(key, "must be a string"),
    }
}

fn switch(json: &Json, key: &str) -> Read<Option<bool>> {
    match given(json, key) {
        None => Ok(None),
        Some(Json::Bool(value)) => Ok(Some(*value)),
        Some(_) => malformed(key, "must be true or false"),
    }
}

fn number(json: &Json, key: &str, most: f64) -> Read<Option<f64>> {
    match given(json, key) {
        None => Ok(None),
        Some(Json::Number(value)) if (0.0..=most).contains(value) => Ok(Some(*value)),
        Some(Json::Number(_)) => Err((Refusal::Absurd, format!("{key} is no number that can be"))),
        Some(_) => malformed(key, "must be a number"),
    }
}

fn needed<T>(key: &str, value: Read<Option<T>>) -> Read<T> {
    value?.map_or_else(|| malformed(key, "is missing"), Ok)
}

fn name<'j>(json: &'j Json, key: &str) -> Read<&'j str> {
    let text = needed(key, text(json, key))?;
    let is_name = (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    match is_name {
        true => Ok(text),
        false => malformed(key, "must be 1 to 128 letters, digits and signs"),
    }
}

/// A platform by the name that builds have, or a system alone. What is neither is nothing: whatever a client writes
/// there must not become a counter of its own.
pub fn platform(platform: &str, arch: &str) -> &'static str {
    const SYSTEMS: [(&str, &str); 6] = [
        ("linux", "linux"),
        ("macos", "macos"),
        ("darwin", "macos"),
        ("windows", "windows"),
        ("mingw", "windows"),
        ("msys", "windows"),
    ];
    let (platform, arch) = (platform.to_ascii_lowercase(), arch.to_ascii_lowercase());
    let mut systems = SYSTEMS.iter();
    let system = systems.find(|(prefix, _)| platform.starts_with(prefix));
    let has = |names: &[&str]| names.iter().any(|n| arch == *n || platform.ends_with(n));
    let is_arm = has(&["arm64", "aarch64", "silicon"]);
    let is_intel = has(&["amd64", "x86_64", "x64", "intel"]);
    match (system.map(|(_, name)| *name), is_arm, is_intel) {
        (Some("linux"), true, _) => "linux-arm64",
        (Some("linux"), _, true) => "linux-amd64",
        (Some("macos"), true, _) => "macos-silicon",
        (Some("macos"), _, true) => "macos-intel",
        (Some("windows"), true, _) => "windows-arm64",
        (Some("windows"), _, true) => "windows-amd64",
        (Some(system), ..) => system,
        (None, ..) => "",
    }
}

/// RFC 3339 with any offset and any number of decimals, as clients write it.
fn time(text: &str) -> Option<Timestamp> {
    let (seconds, rest) = text.split_at_checked(19)?;
    let digits = rest.strip_prefix('.').map_or(0, |rest| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    let (fraction, zone) = match digits {
        0 => ("", rest),
        _ => rest.split_at_checked(digits + 1)?,
    };
    let fraction = fraction.get(..4.min(fraction.len()))?;
    let utc: Timestamp = format!("{}{fraction}Z", seconds.replace(['t', ' '], "T"))
        .parse()
        .ok()?;
    let sign = match zone.as_bytes().first()? {
        b'Z' | b'z' if zone.len() == 1 => return Some(utc),
        b'+' => -1,
        b'-' => 1,
        _ => return None,
    };
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let part = |text: &str, most: i64| {
        let value = (text.len() == 2).then(|| text.parse::<u8>().ok())??;
        (i64::from(value) <= most).then_some(i64::from(value))
    };
    let offset = (part(hours, 23)? * 60 + part(minutes, 59)?) * 60_000;
    Some(Timestamp::from_millis(utc.millis() + sign * offset))
}

/// The version that a client names, with or without a `v`.
fn of(setting: &Setting<'_>, version: &str, platform: &str) -> Option<Of> {
    let of = (setting.of)(version.strip_prefix('v').unwrap_or(version))?;
    let platform = platform.to_owned();
    Some(Of { platform, ..of })
}

/// Reads one installation's outcome.
///
/// # Errors
/// Each thing wrong with it. Installers are ours: they say nothing that is not known here.
pub fn install(json: &Json, setting: &Setting<'_>) -> Result<Batch, Vec<(Refusal, String)>> {
    const FIELDS: [&str; 8] = [
        "id",
        "version",
        "channel",
        "os",
        "arch",
        "platform",
        "outcome",
        "duration_ms",
    ];
    let mut wrong = Vec::new();
    for (i, (key, _)) in json.entries().iter().enumerate() {
        if !FIELDS.contains(&key.as_str()) {
            let what = format!("is not known here; the fields are {}", FIELDS.join(", "));
            wrong.extend(malformed::<()>(key, &what).err());
        } else if json.entries().iter().take(i).any(|(other, _)| other == key) {
            wrong.extend(malformed::<()>(key, "is there twice").err());
        }
    }
    let mut check = |read: Read<()>| wrong.extend(read.err());
    check(name(json, "id").map(drop));
    check(name(json, "version").map(drop));
    check(match text(json, "channel") {
        Ok(None | Some("stable" | "beta")) => Ok(()),
        Ok(_) => malformed("channel", "must be stable or beta"),
        Err(e) => Err(e),
    });
    for key in ["os", "arch", "platform"] {
        check(text(json, key).map(drop));
    }
    check(outcome(json).map(drop));
    check(number(json, "duration_ms", LONGEST_MS).map(drop));
    if !wrong.is_empty() {
        return Err(wrong);
    }
    // Everything was read before.
    let read = |key| text(json, key).ok().flatten().unwrap_or_default();
    let system = read(if given(json, "platform").is_some() {
        "platform"
    } else {
        "os"
    });
    let Some(of) = of(setting, read("version"), platform(system, read("arch"))) else {
        return Ok(Batch {
            ignored: 1,
            ..Batch::default()
        });
    };
    let (code, class) = outcome(json).unwrap_or_default();
    let mut cells = vec![metric::one(class, true)];
    // A wrong option is nobody's failure.
    if code != 2 {
        cells.push(metric::one(metric::INSTALL_SUCCESS, code == 0));
    }
    if let (0, Ok(Some(ms))) = (code, number(json, "duration_ms", LONGEST_MS)) {
        cells.push(metric::latency(metric::INSTALL_LATENCY, ms));
    }
    let key = id("install", &[read("id")]);
    let observation = Observation {
        id: key,
        key,
        of: Some(of),
        begins: false,
        revision: setting.revision,
        at: minute(setting.now),
        cells,
        derived: false,
    };
    let mut observations = vec![observation.clone()];
    if code == 0 {
        observations.extend(metric::RETENTION.map(|(days, metric)| Observation {
            id: id(metric, &[read("id")]),
            at: minute(setting.now.plus_millis(days * 86_400_000)),
            cells: vec![Cell::new(metric, metric::NO_EDGE, 1, 0)],
            derived: true,
            ..observation.clone()
        }));
    }
    Ok(Batch {
        observations,
        ..Batch::default()
    })
}

/// The exit code, and the metric that counts it.
fn outcome(json: &Json) -> Read<(usize, &'static str)> {
    let place = match given(json, "outcome") {
        None => return malformed("outcome", "is missing"),
        Some(Json::Number(n)) if n.fract() == 0.0 && (0.0..=8.0).contains(n) => Some(*n as usize),
        Some(Json::String(class)) => metric::OUTCOMES.iter().position(|(name, _)| name == class),
        Some(_) => None,
    };
    let found = place.and_then(|place| Some((place, metric::OUTCOMES.get(place)?.1)));
    let names = || metric::OUTCOMES.map(|(name, _)| name).join(", ");
    found.map_or_else(
        || malformed("outcome", &format!("must be 0 to 8, or {}", names())),
        Ok,
    )
}

/// Reads a client's events.
pub fn events(list: &[Json], setting: &Setting<'_>) -> Batch {
    let mut batch = Batch::default();
    let read: Vec<_> = list.iter().map(|json| event(json, setting.now)).collect();
    // What a session runs it says when it begins, and each of its other events goes without saying. One that was
    // updated in between begins twice: the last beginning before an event is its own.
    let begun = |session: &str, index: usize| {
        let (before, after) = read.split_at((index + 1).min(read.len()));
        let mut all = before.iter().rev().chain(after).flatten();
        all.find_map(|event| event.begins(session))
    };
    for (index, read) in read.iter().enumerate() {
        let event = match read {
            Ok(event) => event,
            Err((why, detail)) => {
                let (why, detail) = (*why, detail.clone());
                batch.refused.push(Refused { index, why, detail });
                continue;
            }
        };
        let said = begun(event.session, index);
        let version = said.map(|begins| begins.version).or(setting.version);
        let platform = said.map_or("", |begins| begins.platform);
        let of = version.map(|version| of(setting, version, platform));
        match of {
            Some(None) => batch.ignored += 1,
            Some(of) => event.observe(of, setting, &mut batch.observations),
            None => event.observe(None, setting, &mut batch.observations),
        }
    }
    batch
}

/// An event that was understood.
struct Event<'j> {
    id: &'j str,
    session: &'j str,
    at: Timestamp,
    says: Says<'j>,
}

enum Says<'j> {
    Begins(Begins<'j>),
    Other(Vec<Cell>),
}

/// What a session says when it begins.
struct Begins<'j> {
    version: &'j str,
    platform: &'static str,
    first_of_week: bool,
    /// Of the install, in days.
    age: Option<f64>,
}

fn event<'j>(json: &'j Json, now: Timestamp) -> Read<Event<'j>> {
    let Json::Object(_) = json else {
        return malformed("An event", "must be an object");
    };
    let at = needed("timestamp", text(json, "timestamp"))?;
    let Some(at) = time(at) else {
        return malformed("timestamp", "must be a time such as 2026-01-15T09:00:00Z");
    };
    let event = Event {
        id: name(json, "id")?,
        session: name(json, "session_id")?,
        at: at.min(now),
        says: says(json)?,
    };
    let refuse = |why, what: &str| Err((why, format!("timestamp is {what}")));
    if at.millis_since(now) > AHEAD_MS {
        refuse(Refusal::Future, "more than five minutes ahead")
    } else if now.millis_since(at) > LATE_MS {
        refuse(Refusal::Late, "more than two days ago")
    } else {
        Ok(event)
    }
}

fn says<'j>(json: &'j Json) -> Read<Says<'j>> {
    let kind = needed("type", text(json, "type"))?;
    let cells = match kind {
        "session_start" => {
            return Ok(Says::Begins(Begins {
                version: name(json, "version")?,
                platform: platform(
                    text(json, "platform")?.unwrap_or_default(),
                    text(json, "arch")?.unwrap_or_default(),
                ),
                first_of_week: switch(json, "first_of_week")?.unwrap_or(false),
                age: number(json, "install_age_days", 36_500.0)?,
            }));
        }
        "session_end" => {
            let crashed = switch(json, "crashed")?.unwrap_or(false);
            vec![metric::one(metric::CRASHES, !crashed)]
        }
        "command_generation" => command(json)?,
        "backend_error" => vec![metric::one(metric::ERRORS, false)],
        "safety_validation" => match text(json, "action_taken")? {
            Some(action) => {
                let denied = matches!(action, "blocked" | "denied" | "rejected");
                vec![metric::one(metric::DENIALS, !denied)]
            }
            None => Vec::new(),
        },
        _ => {
            let known = "must be session_start, session_end, command_generation, \
                         safety_validation or backend_error";
            return malformed("type", known);
        }
    };
    Ok(Says::Other(cells))
}

fn command(json: &Json) -> Read<Vec<Cell>> {
    let success = needed("success", switch(json, "success"))?;
    let ms = needed("duration_ms", number(json, "duration_ms", LONGEST_MS))?;
    text(json, "backend")?;
    let failed = text(json, "error_category")?.is_some() || !success;
    let repaired = switch(json, "repaired")?.unwrap_or(false);
    let helped = switch(json, "repair_success")?.unwrap_or(success);
    let refined = switch(json, "refined")?.unwrap_or(false);
    let mut cells = vec![
        metric::one(metric::COMMAND_SUCCESS, success),
        metric::one(metric::ERRORS, !failed),
        metric::latency(metric::COMMAND_LATENCY, ms),
        metric::one(metric::REPAIRS, !repaired),
        metric::one(metric::REFINEMENTS, !refined),
    ];
    if repaired {
        cells.push(metric::one(metric::REPAIR_SUCCESS, helped));
    }
    Ok(cells)
}

impl<'j> Event<'j> {
    /// What it says of a session that it begins.
    fn begins(&self, session: &str) -> Option<&Begins<'j>> {
        match &self.says {
            Says::Begins(begins) if self.session == session => Some(begins),
            _ => None,
        }
    }

    fn observe(&self, of: Option<Of>, setting: &Setting<'_>, into: &mut Vec<Observation>) {
        let own = |cells, begins| Observation {
            id: id("event", &[self.session, self.id]),
            key: id("session", &[self.session]),
            of: of.clone(),
            begins,
            revision: setting.revision,
            at: minute(self.at),
            cells,
            derived: false,
        };
        let begins = match &self.says {
            Says::Other(cells) => return into.push(own(cells.clone(), false)),
            Says::Begins(begins) => begins,
        };
        into.push(own(Vec::new(), true));
        // Once for each session, however often it says that it began.
        let mut once = |metric, cell| {
            into.push(Observation {
                id: id(metric, &[self.session]),
                derived: true,
                ..own(vec![cell], false)
            });
        };
        let counted = |metric| metric::one(metric, true);
        once(metric::SESSIONS, counted(metric::SESSIONS));
        if begins.first_of_week {
            once(metric::ACTIVE_WEEKLY, counted(metric::ACTIVE_WEEKLY));
        }
        for (days, metric) in metric::RETENTION {
            if begins.age == Some(days as f64) {
                once(metric, Cell::new(metric, metric::NO_EDGE, 0, 1));
            }
        }
    }
}
