//! The network-namespace lab and the simulated cluster.

pub mod sim;
pub mod lab;
