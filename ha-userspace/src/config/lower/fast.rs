//! Liveness probes and the fence: xvrrp's own words, the same in `global_defs` and in an instance (`fast_lease` and
//! `fast_key` in `global_defs` only, since one program serves an interface). docs/liveness.md says what they do.

use std::time::Duration;

use super::context::Context;
use super::secret;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::Fast;
use crate::config::lexer::Word;
use crate::config::model::{self, FastKey};
use crate::config::tree::Statement;

/// Shorter secrets can be guessed.
const SHORTEST_KEY: usize = 16;
/// Longer ones are more likely a mistake.
const LONGEST_KEY: usize = 128;

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FastDraft {
    enabled: Option<bool>,
    interval: Option<Duration>,
    misses: Option<u8>,
    window: Option<(Duration, bool)>,
    lease: Option<Duration>,
    key: Option<FastKey>,
}

/// Read one keyword.
pub(super) fn setting(keyword: Fast, stmt: &Statement, draft: &mut FastDraft, cx: &mut Context) {
    match keyword {
        Fast::Failover => draft.enabled = value::boolean(stmt, cx).or(draft.enabled),
        Fast::ProbeInterval => draft.interval = time(stmt, 100, 1_000_000, cx).or(draft.interval),
        Fast::ProbeMisses => {
            let Some(word) = value::one(stmt, cx) else { return };
            draft.misses = value::small(word, "fast_probe_misses", 1..=20, "ignored", cx).or(draft.misses);
        }
        Fast::Window => draft.window = window(stmt, cx).or(draft.window),
    }
}

/// `fast_lease`.
pub(super) fn lease(stmt: &Statement, draft: &mut FastDraft, cx: &mut Context) {
    draft.lease = time(stmt, 10_000, 10_000_000, cx).or(draft.lease);
}

/// `fast_key`.
pub(super) fn key(stmt: &Statement, draft: &mut FastDraft, cx: &mut Context) {
    let Some(word) = value::one(stmt, cx) else { return };
    draft.key = key_of(word, cx).or(draft.key);
}

/// The instance's settings, else the global ones, else the defaults.
pub(super) fn finish(instance: &FastDraft, global: &FastDraft) -> model::Fast {
    let default = model::Fast::default();
    let (window, window_fixed) =
        instance.window.or(global.window).unwrap_or((default.window, default.window_fixed));
    model::Fast {
        enabled: instance.enabled.or(global.enabled).unwrap_or(default.enabled),
        probe_interval: instance.interval.or(global.interval).unwrap_or(default.probe_interval),
        probe_misses: instance.misses.or(global.misses).unwrap_or(default.probe_misses),
        window,
        window_fixed,
        lease: global.lease.unwrap_or(default.lease),
        key: global.key.or(default.key),
    }
}

/// `fast_window`: the most that it may be, and whether it is always that.
fn window(stmt: &Statement, cx: &mut Context) -> Option<(Duration, bool)> {
    value::no_block(stmt, cx);
    let [most, rest @ ..] = stmt.args() else {
        value::missing(stmt, cx);
        return None;
    };
    let fixed = match rest {
        [] => false,
        [word, ..] if word.text() == "fixed" => {
            value::extra(stmt, 2, cx);
            true
        }
        [word, ..] => {
            let message = format!("fast_window has no option `{}`", word.text());
            let help = "write `fixed` where the window is always the same; without it, this is the most that it may be";
            cx.push(Diagnostic::error(codes::BAD_WORD, word.span, message).label("ignored").help(help));
            false
        }
    };
    Some((time_of(most, stmt, 200, 10_000_000, cx)?, fixed))
}

/// A time with its unit: `250us`, `1ms`, `2s`. A bare number is refused, because it could mean any of them.
fn time(stmt: &Statement, least: u64, most: u64, cx: &mut Context) -> Option<Duration> {
    let word = value::one(stmt, cx)?;
    time_of(word, stmt, least, most, cx)
}

fn time_of(word: &Word, stmt: &Statement, least: u64, most: u64, cx: &mut Context) -> Option<Duration> {
    let keyword = stmt.keyword().text();
    let text = word.text();
    let units: [(&str, u64); 3] = [("us", 1), ("ms", 1_000), ("s", 1_000_000)];
    let parsed = units.iter().find_map(|(unit, micros)| {
        let number = value::parse_micros(text.strip_suffix(unit)?.as_bytes())?;
        // `parse_micros` reads a number of seconds; its millionths are scaled to the unit.
        number.checked_mul(*micros).map(|scaled| scaled / 1_000_000)
    });
    match parsed {
        Some(micros) if (least..=most).contains(&micros) => return Some(Duration::from_micros(micros)),
        _ => {}
    }
    let message = match parsed {
        Some(_) => format!("{keyword} {text} is out of range"),
        None => format!("{keyword} `{text}` is not a time with its unit"),
    };
    let help = format!(
        "write {:?} to {:?}, such as 500us, 1ms or 1s",
        Duration::from_micros(least),
        Duration::from_micros(most)
    );
    cx.push(Diagnostic::error(codes::BAD_NUMBER, word.span, message).label("ignored").help(help));
    None
}

/// A secret of some length, written here or in a file.
fn key_of(word: &Word, cx: &mut Context) -> Option<FastKey> {
    let bytes = match secret::path(word) {
        None => word.bytes.to_vec(),
        Some(path) => match secret::read(path, word, cx) {
            Ok(bytes) => bytes,
            Err(why) => {
                cx.push(
                    Diagnostic::error(codes::SECRET_UNUSABLE, word.span, "fast_key cannot be used")
                        .label(why)
                        .help("probes are not authenticated; put the key into that file, for root alone"),
                );
                return None;
            }
        },
    };
    if (SHORTEST_KEY..=LONGEST_KEY).contains(&bytes.len()) {
        return Some(FastKey(ha_common::probe::key(&bytes)));
    }
    // The word is a secret that was mistyped, so it is not repeated.
    let message = format!("fast_key has {} characters", bytes.len());
    cx.push(
        Diagnostic::error(codes::BAD_WORD, word.span, message).label("probes are not authenticated").help(format!(
            "write {SHORTEST_KEY} to {LONGEST_KEY}, such as `openssl rand -hex 16` prints, the same on all routers"
        )),
    );
    None
}
