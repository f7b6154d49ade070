//! The install scripts: two static files that linters read, and the few quoted lines that make
//! each served copy about one version.

pub mod render;
