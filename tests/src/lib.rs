//! The network-namespace lab and the simulated cluster.
