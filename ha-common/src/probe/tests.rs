//! Fixed bytes, round trips, and what must not pass.
