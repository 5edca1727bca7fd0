//! Verdicts, pacing, pauses.
