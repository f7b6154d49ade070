//! Who may do what, and who said what: the table of permissions, bearer tokens, signatures. Pure; takes `now`.

pub mod assignment;
pub mod keys;
pub mod permission;
pub mod signature;
pub mod token;
#[cfg(not(target_arch = "wasm32"))]
pub mod verify;
