//! The keys that answers are signed with: read from the Worker's secret, shown to everybody.
//!
//! The secret is a text of PEM blocks (RFC 7468), as `openssl genpkey -algorithm ed25519` writes them.
//! The first private key signs. Every other block, private or public, is only shown, so that clients
//! know a key before it is used and for a while after.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What comes before the 32 bytes of a public key in its `SubjectPublicKeyInfo` (RFC 8410, 4).
const SPKI: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// id-Ed25519 (RFC 8410, 3) in DER.
const OID: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];

/// The most blocks that are read.
const MAX_KEYS: usize = 8;

/// An Ed25519 public key (RFC 8032).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A key as JSON (RFC 8037, 2), with what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub struct Jwk {
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("const" = "OKP")))]
    pub kty: &'static str,
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("const" = "Ed25519")))]
    pub crv: &'static str,
    /// The key's bytes, in base64url.
    pub x: String,
    /// Its thumbprint (RFC 7638), which signatures name as `keyid`.
    pub kid: String,
    #[serde(rename = "use")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("const" = "sig")))]
    pub usage: &'static str,
}

/// Every key that is shown, the one that signs first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[cfg_attr(not(target_arch = "wasm32"), schemars(rename = "KeyDirectory"))]
pub struct Directory {
    pub keys: Vec<Jwk>,
}

impl PublicKey {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From base64url, as a JWK's `x` has it.
    pub fn from_x(x: &str) -> Option<Self> {
        let bytes = Base64UrlUnpadded::decode_vec(x).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    fn x(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.0)
    }

    /// The name of the key: SHA-256 of its required members (RFC 7638 and RFC 8037, appendix A.3).
    pub fn thumbprint(&self) -> String {
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, self.x());
        Base64UrlUnpadded::encode_string(&Sha256::digest(members))
    }

    pub fn jwk(&self) -> Jwk {
        Jwk {
            kty: "OKP",
            crv: "Ed25519",
            x: self.x(),
            kid: self.thumbprint(),
            usage: "sig",
        }
    }

    /// As `openssl pkey -pubin` reads it.
    pub fn pem(&self) -> String {
        let der: Vec<u8> = SPKI.iter().chain(&self.0).copied().collect();
        let text = Base64::encode_string(&der);
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }
}

/// One block of the secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Block {
    /// A private key, as PKCS #8. Without `Debug`: it is printed nowhere.
    Private(Vec<u8>),
    Public(PublicKey),
}

/// Reads the secret: at least one block is a private key.
///
/// # Errors
/// What is wrong with it, in words that show nothing of it.
pub fn read(secret: &str) -> Result<Vec<Block>, &'static str> {
    let blocks = blocks(secret)?;
    if !blocks
        .iter()
        .any(|block| matches!(block, Block::Private(_)))
    {
        return Err("has no private key; `openssl genpkey -algorithm ed25519` writes one");
    }
    if blocks.len() > MAX_KEYS {
        return Err("has more than 8 keys");
    }
    Ok(blocks)
}

/// The PEM blocks of a text.
///
/// # Errors
/// What is wrong with one.
pub fn blocks(text: &str) -> Result<Vec<Block>, &'static str> {
    const BEGIN: &str = "-----BEGIN ";
    const DASHES: &str = "-----";
    let mut blocks = Vec::new();
    for part in text.split(BEGIN).skip(1) {
        let (label, rest) = part.split_once(DASHES).ok_or("has a cut PEM block")?;
        let (body, _) = rest.split_once("-----END ").ok_or("has a cut PEM block")?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = Base64::decode_vec(&body).map_err(|_| "has a PEM block that is not base64")?;
        blocks.push(match label {
            "PRIVATE KEY" if der.windows(OID.len()).any(|w| w == OID) => Block::Private(der),
            "PRIVATE KEY" => return Err("has a private key that is not Ed25519"),
            "PUBLIC KEY" => {
                let key = der.strip_prefix(&SPKI).and_then(|key| key.try_into().ok());
                Block::Public(PublicKey(
                    key.ok_or("has a public key that is not Ed25519")?,
                ))
            }
            _ => return Err("has a PEM block that is neither PRIVATE KEY nor PUBLIC KEY"),
        });
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendix A.
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn the_rfcs_thumbprint() {
        let key = PublicKey::from_x(X).unwrap();
        assert_eq!(
            key.thumbprint(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        assert_eq!(key.jwk().x, X);
    }

    #[test]
    fn a_secret_of_several_blocks() {
        let public = PublicKey::from_x(X).unwrap();
        // `openssl genpkey` of RFC 8410, 10.3.
        let private = "-----BEGIN PRIVATE KEY-----\n\
                       MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                       -----END PRIVATE KEY-----\n";
        let blocks = read(&format!("new:\n{private}old:\n{}", public.pem())).unwrap();
        assert!(matches!(&blocks[0], Block::Private(der) if der.len() == 48));
        assert!(blocks[1] == Block::Public(public));
        // One line, as some shells hand it over.
        assert!(read(&private.replace('\n', " ")).is_ok());
        for bad in [
            "",
            "secret",
            &public.pem(),
            &private.replace("-----END", ""),
            &private.replace("MC4", "M*4"),
            &private.replace("PRIVATE", "EC PRIVATE"),
            &format!("{private}{}", public.pem().replace("MCow", "MCoy")),
        ] {
            let problem = read(bad).err().unwrap_or_else(|| panic!("{bad}"));
            assert!(!problem.contains("MC4"), "{problem}");
        }
    }
}
