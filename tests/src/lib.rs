//! The network-namespace lab and the simulated cluster.

pub mod lab;
pub mod sim;
