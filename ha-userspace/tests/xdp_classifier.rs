//! x
mod xdp_support;
fn main() {}
