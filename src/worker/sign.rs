//! The signing key, in the runtime's own cryptography: it costs no wasm and is faster there.

use std::cell::RefCell;

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use worker::Env;

use crate::api::signing::{Keys, Signing};
use crate::auth::assignment::AssignmentKey;
use crate::auth::keys::{Block, PublicKey, read};

use super::kv::settled;
use super::variable;

#[wasm_bindgen(inline_js = "
// A private key and its public half.
export async function openKey(der) {
  const key = await crypto.subtle.importKey('pkcs8', der, 'Ed25519', true, ['sign']);
  const { x } = await crypto.subtle.exportKey('jwk', key);
  return [key, x];
}

export function signWith(key, bytes) {
  return crypto.subtle.sign('Ed25519', key, bytes);
}
")]
extern "C" {
    #[wasm_bindgen(catch, js_name = openKey)]
    fn open_key(der: &Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_name = signWith)]
    fn sign_with(key: &JsValue, bytes: &Uint8Array) -> Result<Promise, JsValue>;
}

thread_local! {
    /// The key that signs. It may be kept across requests.
    static KEY: RefCell<JsValue> = const { RefCell::new(JsValue::NULL) };
}

/// Reads the secret `SIGNING_KEYS`.
pub async fn open(env: &Env) -> Signing {
    let Some(secret) = variable(env, "SIGNING_KEYS").filter(|secret| !secret.is_empty()) else {
        return Signing::Off;
    };
    let blocks = match read(&secret) {
        Ok(blocks) => blocks,
        Err(why) => return Signing::Broken(why.to_owned()),
    };
    let (mut signing, mut others, mut assignment) = (None, Vec::new(), Vec::new());
    for block in blocks {
        let der = match block {
            Block::Public(key) => {
                others.push(key);
                continue;
            }
            Block::Private(der) => der,
        };
        assignment.extend(AssignmentKey::of(&der));
        let opened = settled(open_key(&Uint8Array::from(&der[..]))).await;
        let pair = opened.map(|pair| Array::from(&pair)).ok().and_then(|pair| {
            let x = pair.get(1).as_string()?;
            Some((pair.get(0), PublicKey::from_x(&x)?))
        });
        let Some((key, public)) = pair else {
            return Signing::Broken("has a private key that is not Ed25519".to_owned());
        };
        if signing.is_none() {
            KEY.set(key);
            signing = Some(public);
        } else {
            others.push(public);
        }
    }
    Signing::On(Keys {
        public: signing.into_iter().chain(others).collect(),
        assignment,
    })
}

/// Signs.
///
/// # Errors
/// What the runtime says.
pub async fn sign(base: &str) -> Result<Vec<u8>, JsValue> {
    let key = KEY.with_borrow(JsValue::clone);
    let asked = sign_with(&key, &Uint8Array::from(base.as_bytes()));
    Ok(Uint8Array::new(&settled(asked).await?).to_vec())
}
