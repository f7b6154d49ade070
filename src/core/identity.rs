//! Who is bucketed: from what a request says about itself to the unit that is hashed.

use std::net::IpAddr;

/// The unit of a rollout: the thing that keeps its arm. Borrowed, because it is hashed once and
/// never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit<'a> {
    /// An id that the requester chose: `X-Caro-Id`, `?id=`, an OFREP `targetingKey`.
    Id(&'a str),
    /// A whole IPv4 address. Behind a carrier's NAT hundreds of people share one.
    V4([u8; 4]),
    /// The /64 of an IPv6 address: the part that one network keeps while its hosts change.
    V6([u8; 8]),
}

/// Longest accepted explicit id, in bytes.
pub const MAX_ID_BYTES: usize = 256;

/// Why an explicit id was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("the id is longer than {MAX_ID_BYTES} bytes; send a shorter one, such as a UUID")]
    TooLong,
    #[error("the id holds a control character; send a printable one, such as a UUID")]
    ControlCharacter,
}

impl<'a> Unit<'a> {
    /// An explicit id. An empty one is no id at all: `?id=$UNSET` must not put everyone who
    /// forgot to set it into one bucket.
    pub fn from_id(id: &'a str) -> Result<Option<Self>, IdentityError> {
        if id.is_empty() {
            return Ok(None);
        }
        if id.len() > MAX_ID_BYTES {
            return Err(IdentityError::TooLong);
        }
        if id.chars().any(char::is_control) {
            return Err(IdentityError::ControlCharacter);
        }
        Ok(Some(Self::Id(id)))
    }

    /// The network of a textual IP address; `None` if it is not one.
    pub fn from_address(address: &str) -> Option<Self> {
        Some(
            match address.trim().parse::<IpAddr>().ok()?.to_canonical() {
                IpAddr::V4(v4) => Self::V4(v4.octets()),
                IpAddr::V6(v6) => {
                    let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                    Self::V6([a, b, c, d, e, f, g, h])
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let v6 = Unit::V6([0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 2]);
        assert_eq!(
            Unit::from_address("192.0.2.7"),
            Some(Unit::V4([192, 0, 2, 7]))
        );
        assert_eq!(
            Unit::from_address("::ffff:192.0.2.7"),
            Some(Unit::V4([192, 0, 2, 7]))
        );
        assert_eq!(Unit::from_address("2001:db8:1:2:3:4:5:6"), Some(v6));
        assert_eq!(Unit::from_address("2001:DB8:1:2::"), Some(v6));
        for bad in [
            "",
            "unknown",
            "192.0.2",
            "192.0.2.7:80",
            "[::1]",
            "1.2.3.4, 5.6.7.8",
        ] {
            assert_eq!(Unit::from_address(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids() {
        assert_eq!(Unit::from_id(""), Ok(None));
        assert_eq!(Unit::from_id("alice"), Ok(Some(Unit::Id("alice"))));
        assert_eq!(Unit::from_id("a\nb"), Err(IdentityError::ControlCharacter));
        let long = "é".repeat(129);
        assert_eq!(Unit::from_id(&long), Err(IdentityError::TooLong));
        assert!(Unit::from_id(&long[..256]).is_ok());
    }
}
