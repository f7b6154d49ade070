//! What a handler may ask of a request. Headers are read one by one, because each crossing from
//! JavaScript costs.

use crate::core::identity::{IdentityError, Unit};

/// A request, seen lazily.
pub trait Request {
    fn method(&self) -> &str;
    /// Scheme, authority, path and query.
    fn url(&self) -> &str;
    fn header(&self, name: &str) -> Option<String>;

    /// The path, still percent-encoded.
    fn path(&self) -> &str {
        split(self.url()).0
    }
}

/// The path and the query of an absolute URL.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| rest.split_at(at).1);
    let path = path.split('#').next().unwrap_or(path);
    path.split_once('?').unwrap_or((path, ""))
}

/// The text of the identity, owned, from which the [`Unit`] borrows.
pub enum Identity {
    Id(String),
    Address(String),
    None,
}

impl Identity {
    /// First that exists: `X-Caro-Id`, `?id=`, the address that Cloudflare saw. Anything the
    /// client could put into `X-Forwarded-For` is not looked at.
    pub fn of(request: &impl Request) -> Self {
        let given = |id: &String| !id.is_empty();
        if let Some(id) = request.header("x-caro-id").filter(given) {
            return Self::Id(id);
        }
        if let Some(id) = query_value(request, "id").filter(given) {
            return Self::Id(id);
        }
        match request.header("cf-connecting-ip") {
            Some(address) => Self::Address(address),
            None => Self::None,
        }
    }

    /// An address that cannot be read is no unit; an id that cannot be used is an error, because
    /// whoever set it relies on it.
    pub fn unit(&self) -> Result<Option<Unit<'_>>, IdentityError> {
        match self {
            Self::Id(id) => Unit::from_id(id),
            Self::Address(address) => Ok(Unit::from_address(address)),
            Self::None => Ok(None),
        }
    }
}

/// The first value of a request's query parameter.
pub fn query_value(request: &impl Request, name: &str) -> Option<String> {
    value_in(split(request.url()).1, name)
}

/// The first value of a query parameter, decoded as a form is: `+` is a blank, and bytes that are
/// not UTF-8 become U+FFFD.
fn value_in(query: &str, name: &str) -> Option<String> {
    let raw = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)?
        .1;
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |b: &u8| char::from(*b).to_digit(16);
        let decoded = match rest {
            [b'%', high, low, tail @ ..] => digit(high)
                .zip(digit(low))
                .map(|(high, low)| ((high << 4 | low) as u8, tail)),
            _ => None,
        };
        let (byte, tail) = match (decoded, first) {
            (Some(pair), _) => pair,
            (None, b'+') => (b' ', tail),
            (None, other) => (*other, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        assert_eq!(split("https://get.caro.sh"), ("/", ""));
        assert_eq!(split("https://get.caro.sh/"), ("/", ""));
        assert_eq!(split("http://h:1/a/b?id=x?y#z"), ("/a/b", "id=x?y"));
    }

    #[test]
    fn queries() {
        let id = |q| value_in(q, "id");
        assert_eq!(id("id=alice"), Some("alice".into()));
        assert_eq!(id("x=1&id=a%20b+c&id=no"), Some("a b c".into()));
        assert_eq!(id("id=%C3%A9%zz%4"), Some("é%zz%4".into()));
        assert_eq!(id("id=%ff"), Some("\u{fffd}".into()));
        assert_eq!(id("id="), Some(String::new()));
        assert_eq!(id("idx=1&id"), None);
    }
}
