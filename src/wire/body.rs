//! Reading request bodies. [`body!`] makes a type, its decoder and its schema from one list of
//! fields, so that what is documented is what is read.

use crate::core::config::State;
use crate::core::decode::{Decoder, Path, Problem};
use crate::core::ids::{CohortName, FlagKey, Percentage, Version};
use crate::core::json::Json;
use crate::core::role::Role;
use crate::core::table::Table;

/// A value that a request's body may hold.
pub trait Field: Sized {
    /// Reads it, or reports why not.
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self>;
}

/// A request's body.
pub trait Body: Sized {
    fn read_body(d: &mut Decoder, json: &Json) -> Option<Self>;

    /// Reads a body.
    ///
    /// # Errors
    /// Everything wrong with it, each with its place.
    fn decode(json: &Json) -> Result<Self, Vec<Problem>> {
        let mut d = Decoder::default();
        let body = Self::read_body(&mut d, json);
        // A body that is not there was reported.
        match (d.finish(()), body) {
            (Ok(()), Some(body)) => Ok(body),
            (Err(problems), _) => Err(problems),
            (Ok(()), None) => Err(Vec::new()),
        }
    }
}

/// A type of a request's body: fields that are `required` are there, the others may be.
macro_rules! body {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $need:ident $field:ident: $type:ty,)* }) => {
        #[derive(Debug, Clone, PartialEq)]
        #[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
        #[cfg_attr(not(target_arch = "wasm32"), schemars(deny_unknown_fields))]
        $(#[$doc])*
        pub struct $name {
            $($(#[$field_doc])* pub $field: body!(@type $need $type),)*
        }

        impl $crate::wire::body::Field for $name {
            fn read(
                d: &mut $crate::core::decode::Decoder,
                json: &$crate::core::json::Json,
                at: &$crate::core::decode::Path<'_>,
            ) -> Option<Self> {
                let mut o = d.object(json, at)?;
                $(let $field = o.$need(d, stringify!($field), |d, json, at| {
                    <$type as $crate::wire::body::Field>::read(d, json, at)
                });)*
                o.finish(d);
                Some(Self { $($field: body!(@value $need $field),)* })
            }
        }

        impl $crate::wire::body::Body for $name {
            fn read_body(
                d: &mut $crate::core::decode::Decoder,
                json: &$crate::core::json::Json,
            ) -> Option<Self> {
                <Self as $crate::wire::body::Field>::read(d, json, &$crate::core::decode::Path::Root)
            }
        }
    };
    (@type required $type:ty) => { $type };
    (@type optional $type:ty) => { Option<$type> };
    (@value required $field:ident) => { $field? };
    (@value optional $field:ident) => { $field };
}
pub(super) use body;

/// Why a change is made: up to 500 characters on one line. What looks like a token or an address is
/// masked, because reasons are alerted and kept for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(pub String);

/// A short name that people read: up to 64 bytes on one line, masked like a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(pub String);

/// A whole number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds<const MIN: u64, const MAX: u64>(pub u64);

/// Any JSON; what it may be is checked with the configuration that it becomes a part of.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw(pub Json);

/// Longest reason, in bytes.
const MAX_REASON_BYTES: usize = 500;

impl Reason {
    /// Reads a reason from wherever it was given.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > MAX_REASON_BYTES {
            return Err(format!("must be at most {MAX_REASON_BYTES} bytes long"));
        }
        if text.chars().any(char::is_control) {
            return Err("must be one line of printable text".to_owned());
        }
        Ok(Self(masked(text)))
    }
}

/// The text without the words that are a secret or name a network: it is alerted, and kept for good.
fn masked(text: &str) -> String {
    let mask = |word| {
        if names_token(word) {
            "[token]"
        } else if names_address(word) {
            "[address]"
        } else {
            word
        }
    };
    text.split(' ').map(mask).collect::<Vec<_>>().join(" ")
}

fn names_token(word: &str) -> bool {
    let prefix = crate::core::role::TOKEN_PREFIX;
    word.split_once(prefix)
        .is_some_and(|(_, rest)| rest.len() > 15)
}

/// Whether an address is in a word, perhaps with a port, a prefix length or punctuation.
fn names_address(word: &str) -> bool {
    let parts = word.split(|c: char| !c.is_ascii_alphanumeric() && c != ':' && c != '.');
    let is_address = |text: &str| crate::core::identity::Unit::from_address(text).is_some();
    parts.filter(|part| part.len() > 2).any(|part| {
        let bare = part.trim_end_matches(['.', ':']);
        let host = part.split(':').next().unwrap_or_default();
        is_address(part) || is_address(bare) || is_address(host)
    })
}

impl Field for Reason {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        let text = d.string(json, at)?;
        Self::parse(text).map_err(|e| d.report(at, e)).ok()
    }
}

impl Field for Label {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        let text = d.string(json, at)?.trim();
        if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
            d.report(at, "must be 1 to 64 printable bytes on one line");
            return None;
        }
        Some(Self(masked(text)))
    }
}

impl<const MIN: u64, const MAX: u64> Field for Seconds<MIN, MAX> {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        d.integer(json, at, MIN, MAX).map(Self)
    }
}

impl Field for Raw {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        d.no_duplicates(json, at);
        Some(Self(json.clone()))
    }
}

impl Field for bool {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        d.bool(json, at)
    }
}

impl Field for String {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        d.string(json, at).map(str::to_owned)
    }
}

impl Field for Percentage {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        d.percentage(json, at)
    }
}

macro_rules! parsed {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
                d.parse(json, at)
            }
        }
    )*};
}
parsed!(Version, State, Role, CohortName, FlagKey);

impl<T: Field> Field for Vec<T> {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        d.array(json, at)?;
        Some(d.list(json, at, T::read))
    }
}

impl<K: std::str::FromStr<Err: std::fmt::Display> + Ord, V: Field> Field for Table<K, V> {
    fn read(d: &mut Decoder, json: &Json, at: &Path<'_>) -> Option<Self> {
        d.table(json, at, |d, _, json, at| V::read(d, json, at))
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn reasons_name_nobody() {
        let show = |text: &str| Reason::parse(text).map(|r| r.0);
        let token = format!("caro_{}", "0".repeat(64));
        assert_eq!(
            show(&format!(
                "crash for 192.0.2.7, seen with {token} (2001:db8::1)"
            )),
            Ok("crash for [address] seen with [token] [address]".to_owned())
        );
        assert_eq!(
            show(
                "192.0.2.7:80, ip=192.0.2.7; [2001:db8::1]:443 192.0.2.0/24. std::net 10:15:00 v1.2.3"
            ),
            Ok("[address] [address] [address] [address] std::net 10:15:00 v1.2.3".to_owned())
        );
        assert_eq!(
            show(" 1.1.0-beta.2 crashes "),
            Ok("1.1.0-beta.2 crashes".to_owned())
        );
        assert!(show("two\nlines").is_err());
        assert!(show(&"x".repeat(501)).is_err());
    }
}
