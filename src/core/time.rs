//! Points in time as whole milliseconds, written as RFC 3339.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds (POSIX time).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// This long after `self`.
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add_unsigned(millis))
    }

    /// Milliseconds from `earlier` to `self`; 0 if the clock went backwards.
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Milliseconds between two, whichever comes first: a clock may have been set back.
    pub fn apart(self, other: Self) -> u64 {
        self.millis_since(other).max(other.millis_since(self))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with milliseconds where there are any. Days to civil date after Howard Hinnant,
    /// "chrono-Compatible Low-Level Date Algorithms" (`civil_from_days`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(1000);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let z = days + 719_468;
        let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        match self.0.rem_euclid(1000) {
            0 => f.write_str("Z"),
            millis => write!(f, ".{millis:03}Z"),
        }
    }
}

/// A text that is not a point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a time in UTC such as 2026-01-15T09:00:00Z (RFC 3339)")]
pub struct TimeError;

impl FromStr for Timestamp {
    type Err = TimeError;

    /// RFC 3339 in UTC (`Z`), to the second or with one to three decimals. Civil date to days after
    /// Howard Hinnant (`days_from_civil`).
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let number = |from: usize, to: usize| -> Result<i64, TimeError> {
            let digits = text.get(from..to).ok_or(TimeError)?;
            let all = digits.bytes().all(|b| b.is_ascii_digit());
            all.then(|| digits.parse().ok()).flatten().ok_or(TimeError)
        };
        let sign = |at: usize, wanted: &str| text.get(at..=at) == Some(wanted);
        let separators = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
        if !separators.iter().all(|(at, wanted)| sign(*at, wanted)) {
            return Err(TimeError);
        }
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let millis = match text.get(19..) {
            Some("Z") => 0,
            Some(rest) if rest.starts_with('.') && rest.ends_with('Z') => {
                let end = text.len() - 1;
                let scale = match end {
                    21 => 100,
                    22 => 10,
                    23 => 1,
                    _ => return Err(TimeError),
                };
                number(20, end)? * scale
            }
            _ => return Err(TimeError),
        };
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
        let time = Self(seconds * 1000 + millis);
        // A date that does not exist comes back as another one.
        let exists = text
            .get(..19)
            .is_some_and(|head| time.to_string().starts_with(head));
        if exists { Ok(time) } else { Err(TimeError) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn rfc_3339() {
        let show = |s: i64| Timestamp::from_millis(s * 1000).to_string();
        assert_eq!(show(0), "1970-01-01T00:00:00Z");
        assert_eq!(show(951_826_154), "2000-02-29T12:09:14Z");
        assert_eq!(show(1_768_467_600), "2026-01-15T09:00:00Z");
        assert_eq!(show(-1), "1969-12-31T23:59:59Z");
        assert_eq!(show(4_107_542_399), "2100-02-28T23:59:59Z");
    }

    #[test]
    fn times_are_read_back() {
        for millis in [
            0,
            1,
            951_826_154_120,
            1_768_467_600_007,
            4_107_542_399_999,
            -1,
        ] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        let parse = |text: &str| text.parse::<Timestamp>().map(Timestamp::millis);
        assert_eq!(parse("2026-01-15T09:00:00.5Z"), Ok(1_768_467_600_500));
        for bad in [
            "",
            "2026-01-15",
            "2026-02-30T00:00:00Z",
            "2026-01-15T09:00:00",
            "2026-01-15T09:00:00+01:00",
            "2026-01-15T24:00:00Z",
            "2026-01-15T09:00:00.1234Z",
            "2026-01-15T09:00:00.Z",
            "2026-13-01T00:00:00Z",
            "+026-01-15T09:00:00Z",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_clock_that_goes_backwards_is_no_time() {
        let (a, b) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(b.millis_since(a), 4);
        assert_eq!(a.millis_since(b), 0);
    }
}
