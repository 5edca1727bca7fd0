//! `cargo xtask`: everything that a developer types.

fn main() {}
