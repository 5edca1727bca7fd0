//! What kind of frame is this, and which virtual router is it for?
//!
//! The XDP program and the host run the same function over the same bytes; the test suite compares the verdicts.
