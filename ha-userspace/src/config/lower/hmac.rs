//! `auth_hmac`: keys, from the file or from files of their own, and how they are used.
//!
//! What keepalived 2.4 does with a wrong line was tried; where no key is left to sign with, it runs the instance without
//! the extension, and so does this. A key is never repeated in a message.

use ha_common::packet::hmac::{AntiReplay, Key, MAX_KEY, MIN_KEY, Mode, Numbered};
use ha_common::types::Centis;

use super::context::Context;
use super::draft::Placed;
use super::keyword;
use super::secret;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::AuthHmac as Keyword;
use crate::config::lexer::Word;
use crate::config::model::{Hmac, HmacSetting};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Least default of `time_window` in seconds.
const WINDOW: u16 = 5;

/// What was written.
#[derive(Debug)]
pub(super) struct HmacDraft {
    at: Span,
    keys: Vec<Placed<Numbered>>,
    /// Numbers of keys that were written and cannot be used.
    bad: Vec<u8>,
    active: Option<Placed<u8>>,
    monotonic: bool,
    window: Option<Placed<u16>>,
    mode: Option<Placed<Mode>>,
}

/// Read a block. A second one adds to the first, as in keepalived.
pub(super) fn block(stmt: &Statement, draft: &mut Option<HmacDraft>, cx: &mut Context) {
    value::extra(stmt, 0, cx);
    let Some(statements) = value::block(stmt, cx) else { return };
    let draft = draft.get_or_insert_with(|| HmacDraft {
        at: stmt.keyword().span,
        keys: Vec::new(),
        bad: Vec::new(),
        active: None,
        monotonic: false,
        window: None,
        mode: None,
    });
    for stmt in statements {
        if let Some(keyword) = keyword::known(stmt, cx) {
            line(keyword, stmt, draft, cx);
        }
    }
}

fn line(keyword: Keyword, stmt: &Statement, draft: &mut HmacDraft, cx: &mut Context) {
    match keyword {
        Keyword::Key => key(stmt, draft, cx),
        Keyword::ActiveKey => {
            let Some(word) = value::one(stmt, cx) else { return };
            let id = value::small(word, "active_key", 1..=255, "ignored", cx);
            draft.active = id.map(|id| (id, word.span)).or(draft.active);
        }
        Keyword::AntiReplay => {
            let Some(word) = value::one(stmt, cx) else { return };
            match &*word.bytes {
                b"time" => draft.monotonic = false,
                b"monotonic" => draft.monotonic = true,
                _ => value::bad_word(word, &["time", "monotonic"], "time is used", cx),
            }
        }
        Keyword::TimeWindow => {
            let Some(word) = value::one(stmt, cx) else { return };
            let window = value::small(word, "time_window", 1..=300, "the default is used", cx);
            draft.window = window.map(|window| (window, word.span)).or(draft.window);
        }
        Keyword::Mode => {
            let Some(word) = value::one(stmt, cx) else { return };
            let modes = [Mode::Enforce, Mode::Permissive, Mode::ReceiveOnly];
            match modes.into_iter().find(|mode| mode.word().as_bytes() == &*word.bytes) {
                Some(mode) => draft.mode = Some((mode, word.span)),
                None => value::bad_word(word, &modes.map(Mode::word), "enforce is used", cx),
            }
        }
    }
}

/// `key NUMBER hex:… | file:PATH | TEXT`.
fn key(stmt: &Statement, draft: &mut HmacDraft, cx: &mut Context) {
    value::no_block(stmt, cx);
    let [number, word, ..] = stmt.args() else { return value::missing(stmt, cx) };
    value::extra(stmt, 2, cx);
    let Some(id) = value::small::<u8>(number, "the key's number", 1..=255, "the key is ignored", cx) else {
        return;
    };
    if let Some((_, first)) = draft.keys.iter().find(|((other, _), _)| *other == id) {
        let message = format!("key {id} stands twice");
        cx.push(
            Diagnostic::error(codes::HMAC_UNUSABLE, number.span, message)
                .label("the first one counts")
                .related(*first, "the first one stands at")
                .help("give every key a number of its own"),
        );
        return;
    }
    match read(word, cx) {
        Ok(key) => draft.keys.push(((id, key), number.span)),
        Err(why) => {
            draft.bad.push(id);
            cx.push(
                Diagnostic::error(codes::HMAC_UNUSABLE, word.span, format!("key {id} cannot be used"))
                    .label(why)
                    .help(format!(
                        "write {MIN_KEY} to {MAX_KEY} bytes, such as hex: with what `openssl rand -hex 32` prints, or \
                         file: with the path of a file that holds them"
                    )),
            );
        }
    }
}

fn read(word: &Word, cx: &mut Context) -> Result<Key, String> {
    let Some(path) = secret::path(word) else { return parse(&word.bytes) };
    let bytes = secret::read(path, word, cx)?;
    parse(&bytes).map_err(|why| format!("in the key file {}, {why}", String::from_utf8_lossy(path)))
}

/// The value, or what a file holds: digits behind `hex:`, or the bytes themselves.
fn parse(value: &[u8]) -> Result<Key, String> {
    let bytes = match value.strip_prefix(b"hex:") {
        None => value.to_vec(),
        Some(digits) => {
            let (pairs, rest) = digits.as_chunks::<2>();
            if !rest.is_empty() {
                return Err("the number of hexadecimal digits is odd".to_owned());
            }
            let pair = |[high, low]: &[u8; 2]| {
                let digit =
                    |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                Some(digit(high)? << 4 | digit(low)?)
            };
            let bytes: Option<Vec<u8>> = pairs.iter().map(pair).collect();
            bytes.ok_or_else(|| "something behind hex: is no hexadecimal digit".to_owned())?
        }
    };
    let many = bytes.len();
    Key::new(&bytes).ok_or_else(|| format!("the key has {many} bytes, and {MIN_KEY} to {MAX_KEY} are wanted"))
}

/// What the block comes to.
pub(super) fn finish(
    draft: Option<HmacDraft>,
    interval: Centis,
    strict: Option<Span>,
    name: &str,
    cx: &mut Context,
) -> HmacSetting {
    let Some(draft) = draft else { return HmacSetting::Off };
    let keys: Vec<Numbered> = draft.keys.iter().map(|(key, _)| *key).collect();
    let named = draft.active.and_then(|(id, _)| keys.iter().find(|(other, _)| *other == id));
    let Some(&active) = named else {
        let (at, message) = match draft.active {
            None => (draft.at, "auth_hmac names no active_key".to_owned()),
            Some((id, at)) if draft.bad.contains(&id) => (at, format!("active_key {id} cannot be used")),
            Some((id, at)) => (at, format!("there is no key {id} for active_key")),
        };
        cx.push(
            Diagnostic::error(codes::HMAC_UNUSABLE, at, message)
                .label(format!("instance `{name}` runs without authentication, as in keepalived"))
                .help("write a line key NUMBER VALUE, and the same number behind active_key"),
        );
        return HmacSetting::Unusable;
    };
    if draft.monotonic
        && let Some((_, at)) = draft.window
    {
        let message = "time_window means nothing with anti_replay monotonic";
        cx.push(Diagnostic::note(codes::NOT_NEEDED, at, message).label("no clock is looked at"));
    }
    let mut mode = draft.mode.map(|(mode, _)| mode).unwrap_or_default();
    if let Some(strict) = strict
        && let Some((_, at)) = draft.mode.filter(|_| mode != Mode::Enforce)
    {
        let message = format!("mode {} is reset to enforce by strict mode", mode.word());
        cx.push(
            Diagnostic::warning(codes::STRICT_RESETS, at, message)
                .label("adverts without a trailer are dropped")
                .related(strict, "strict mode is set at"),
        );
        mode = Mode::Enforce;
    }
    // keepalived.conf(5): max(3 x advert_int, 5).
    let three = u16::try_from((u32::from(interval.get()) * 3).div_ceil(100)).unwrap_or(u16::MAX);
    let window = draft.window.map_or(three.max(WINDOW), |(window, _)| window);
    let anti_replay = if draft.monotonic { AntiReplay::Monotonic } else { AntiReplay::Time(window) };
    HmacSetting::On(Hmac { keys, active, anti_replay, mode })
}
