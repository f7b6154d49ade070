//! Times as people read them: their own and UTC.

use anyhow::Result;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::failure::Failure;

/// A time in RFC 3339 as `2026-01-15 10:00:00 CET (09:00 UTC)`; anything else as it is.
pub fn time(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(at) => local(at, &TimeZone::system()),
        Err(_) => super::output::plain(text),
    }
}

fn local(at: Timestamp, zone: &TimeZone) -> String {
    let here = at.to_zoned(zone.clone());
    let utc = at.to_zoned(TimeZone::UTC);
    if here.offset().is_zero() {
        return utc.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    }
    let format = match here.date() == utc.date() {
        true => "%H:%M UTC",
        false => "%m-%d %H:%M UTC",
    };
    format!(
        "{} ({})",
        here.strftime("%Y-%m-%d %H:%M:%S %Z"),
        utc.strftime(format)
    )
}

/// So many seconds in words: `2 d 3 h`, `5 min`.
pub fn span(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(n, _)| *n > 0);
    let parts = parts.iter().skip(first.unwrap_or(3)).take(2);
    let parts = parts.filter(|(n, unit)| *n > 0 || (*unit == "s" && seconds == 0));
    let parts: Vec<String> = parts.map(|(n, unit)| format!("{n} {unit}")).collect();
    parts.join(" ")
}

/// Reads a duration such as `90s`, `5m`, `1h30m`, `2d`: seconds.
///
/// # Errors
/// When it is none, or longer than a year.
pub fn seconds(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::usage(format!(
            "{text:?} is not a duration: write it as 90s, 5m, 1h30m or 2d"
        ))
    };
    // Days are 24 hours here: jiff alone would ask for a calendar.
    let (days, rest) = match text.split_once('d') {
        Some((days, rest)) => (days.parse::<u64>().map_err(|_| wrong())?, rest),
        None => (0, text),
    };
    let rest: SignedDuration = match rest {
        "" if text.contains('d') => SignedDuration::ZERO,
        rest => rest.parse().map_err(|_| wrong())?,
    };
    let rest = u64::try_from(rest.as_secs()).map_err(|_| wrong())?;
    let total = days.saturating_mul(86_400).saturating_add(rest);
    if total > 366 * 86_400 {
        return Err(wrong());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_here_and_in_utc() {
        let zone = TimeZone::get("Europe/Zurich").unwrap();
        let check = |at: &str, expected: &str| {
            assert_eq!(local(at.parse().unwrap(), &zone), expected);
        };
        check(
            "2026-01-15T09:00:00Z",
            "2026-01-15 10:00:00 CET (09:00 UTC)",
        );
        check(
            "2026-07-14T23:30:00Z",
            "2026-07-15 01:30:00 CEST (07-14 23:30 UTC)",
        );
        let utc = local("2026-01-15T09:00:00Z".parse().unwrap(), &TimeZone::UTC);
        assert_eq!(utc, "2026-01-15 09:00:00 UTC");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(seconds(text).ok(), expected, "{text}");
        };
        check("90s", Some(90));
        check("5m", Some(300));
        check("1h30m", Some(5400));
        check("2d", Some(172_800));
        check("1d12h", Some(129_600));
        check("", None);
        check("5", None);
        check("-5m", None);
        check("400d", None);
        check("d", None);
    }

    #[test]
    fn spans_have_their_two_largest_parts() {
        assert_eq!(span(0), "0 s");
        assert_eq!(span(59), "59 s");
        assert_eq!(span(300), "5 min");
        assert_eq!(span(90_061), "1 d 1 h");
        assert_eq!(span(86_400), "1 d");
    }
}
