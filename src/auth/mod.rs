//! Who may do what: roles, the table of permissions, and bearer tokens. Pure; takes `now`.

pub mod permission;
pub mod token;
