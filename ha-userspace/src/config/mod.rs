//! Not written yet.
pub mod model;
