//! The network-namespace lab, the simulated cluster, and what runs inside a virtual machine.

pub mod guest;
pub mod lab;
pub mod rng;
pub mod sim;
