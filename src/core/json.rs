//! JSON as a tree. Reading keeps duplicate keys and the order of entries, so that a decoder can
//! complain about them; what the ledger makes is sorted, so that one value has one text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::decode::Problem;
use super::ids::Percentage;

/// A JSON value that remembers duplicate keys and the order of entries.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses a text. The one problem it can report is a syntax error, with line and column.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        serde_json::from_str(text).map_err(|e| Problem {
            path: String::new(),
            message: format!("is not valid JSON: {e}"),
        })
    }

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct JsonVisitor;

        impl<'de> Visitor<'de> for JsonVisitor {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E: Error>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E: Error>(self, v: bool) -> Result<Json, E> {
                Ok(Json::Bool(v))
            }
            // Integers above 2^53 lose digits here; no field of ours accepts one that large.
            fn visit_u64<E: Error>(self, v: u64) -> Result<Json, E> {
                Ok(Json::Number(v as f64))
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Json, E> {
                Ok(Json::Number(v as f64))
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Json, E> {
                Ok(Json::Number(v))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Json, E> {
                Ok(Json::String(v.to_owned()))
            }
            fn visit_string<E: Error>(self, v: String) -> Result<Json, E> {
                Ok(Json::String(v))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::Array(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    let Json::String(key) = key else { continue };
                    entries.push((key, map.next_value()?));
                }
                Ok(Json::Object(entries))
            }
        }

        deserializer.deserialize_any(JsonVisitor)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(b) => s.serialize_bool(*b),
            // Whole numbers up to 2^53 are written as such, whatever they were read from.
            Self::Number(n) if n.fract() == 0.0 && n.abs() <= MAX_SAFE => {
                s.serialize_i64(*n as i64)
            }
            Self::Number(n) => s.serialize_f64(*n),
            Self::String(text) => s.serialize_str(text),
            Self::Array(items) => s.collect_seq(items),
            Self::Object(entries) => {
                let mut map = s.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// Whole numbers up to here are exact in a double, and in every JSON reader.
const MAX_SAFE: f64 = 9_007_199_254_740_992.0;

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<u64> for Json {
    /// For numbers below 2^53.
    fn from(value: u64) -> Self {
        Self::Number(value as f64)
    }
}

impl From<Percentage> for Json {
    fn from(value: Percentage) -> Self {
        Self::Number(f64::from(value.thousandths()) / 1000.0)
    }
}

impl Json {
    /// An object of these entries, sorted.
    pub fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value));
        let mut object = Self::Object(entries.collect());
        object.sort();
        object
    }

    /// `value` under nested keys: a merge patch for one place.
    pub fn nested(path: &[&str], value: Self) -> Self {
        let wrap = |inner, key: &&str| Self::Object(vec![((*key).to_owned(), inner)]);
        path.iter().rev().fold(value, wrap)
    }

    /// The first value of a key; `None` if there is none or this is no object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The value below nested keys.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |json, key| json.get(key))
    }

    /// The entries of an object, none of anything else.
    pub fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Object(entries) => entries,
            _ => &[],
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Sets a key of a sorted object; anything else becomes one first.
    pub fn set(&mut self, key: &str, value: Self) {
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        if let Self::Object(entries) = self {
            match entries.binary_search_by(|(k, _)| k.as_str().cmp(key)) {
                Ok(at) => {
                    if let Some(entry) = entries.get_mut(at) {
                        entry.1 = value;
                    }
                }
                Err(at) => entries.insert(at, (key.to_owned(), value)),
            }
        }
    }

    /// Takes a key out of an object.
    pub fn remove(&mut self, key: &str) -> Option<Self> {
        let Self::Object(entries) = self else {
            return None;
        };
        let at = entries.iter().position(|(k, _)| k == key)?;
        Some(entries.remove(at).1)
    }

    /// Applies a merge patch (RFC 7396): objects merge, `null` removes, anything else replaces. A
    /// sorted value stays sorted.
    pub fn merge(&mut self, patch: &Self) {
        let Self::Object(changes) = patch else {
            *self = patch.clone();
            return;
        };
        if !matches!(self, Self::Object(_)) {
            *self = Self::Object(Vec::new());
        }
        for (key, change) in changes {
            if *change == Self::Null {
                self.remove(key);
                continue;
            }
            let mut value = self.remove(key).unwrap_or(Self::Null);
            value.merge(change);
            self.set(key, value);
        }
    }

    /// Sorts the entries of every object, so that equal values have equal texts.
    pub fn sort(&mut self) {
        match self {
            Self::Array(items) => items.iter_mut().for_each(Self::sort),
            Self::Object(entries) => {
                entries.sort_by(|(a, _), (b, _)| a.cmp(b));
                entries.iter_mut().for_each(|(_, value)| value.sort());
            }
            _ => {}
        }
    }

    /// Without blanks.
    pub fn text(&self) -> String {
        // A tree of strings and finite numbers always serializes.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Json;

    fn merged(target: &str, patch: &str) -> String {
        let mut target = Json::parse(target).unwrap();
        target.merge(&Json::parse(patch).unwrap());
        target.sort();
        target.text()
    }

    /// The cases of RFC 7396, appendix A.
    #[test]
    fn merge_patches() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (
                r#"{"a":{"b":"c"}}"#,
                r#"{"a":{"b":"d","c":null}}"#,
                r#"{"a":{"b":"d"}}"#,
            ),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
            (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
            (r#"{"a":"foo"}"#, "null", "null"),
            (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            ("[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(target, patch), result, "{target} {patch}");
        }
    }

    #[test]
    fn one_value_has_one_text() {
        let mut json =
            Json::parse(r#"{"b": 1.0, "a": [{"z": 0.5, "y": 25e0}], "c": -0.001}"#).unwrap();
        json.sort();
        assert_eq!(json.text(), r#"{"a":[{"y":25,"z":0.5}],"b":1,"c":-0.001}"#);
    }
}
