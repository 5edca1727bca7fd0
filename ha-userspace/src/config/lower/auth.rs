//! `authentication` of an instance: VRRPv2's password or header.

use ha_common::packet::Auth;
use ha_common::types::Version;

use super::context::Context;
use super::draft::Draft;
use super::{secret, value};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::lexer::Word;
use crate::config::source::Span;

/// VRRPv2 authentication. `None` where the instance cannot authenticate as configured.
pub(super) fn finish(
    draft: &Draft,
    version: Version,
    strict: Option<Span>,
    name: &str,
    cx: &mut Context,
) -> Option<Auth> {
    let Some(at) = draft.auth else { return Some(Auth::None) };
    let mut ignored = |label: &str, help: &str| {
        let message = format!("authentication of instance `{name}` is ignored");
        cx.push(Diagnostic::warning(codes::AUTH_IGNORED, at, message).label(label).help(help));
        Some(Auth::None)
    };
    if draft.hmac.is_some() {
        return ignored("there is an auth_hmac, which takes its place, as in keepalived", "remove the block");
    }
    if version == Version::V3 {
        return ignored("VRRP version 3 has none", "remove the block, or use version 2");
    }
    if strict.is_some() {
        return ignored(
            "vrrp_strict does not allow it, in keepalived too",
            "remove the block, or vrrp_strict",
        );
    }
    let Some(kind) = &draft.auth_type else {
        return ignored("auth_type is missing", "add a line auth_type PASS");
    };
    match &*kind.bytes {
        b"PASS" => {}
        b"AH" => {}
        _ => {
            value::bad_word(kind, &["PASS", "AH"], "the instance runs without authentication", cx);
            return Some(Auth::None);
        }
    }
    let Some(pass) = draft.auth_pass.as_ref().filter(|pass| !pass.bytes.is_empty()) else {
        return ignored("auth_pass is missing", "add a line auth_pass with at most eight bytes");
    };
    let written = password_of(pass, name, cx)?;
    let mut password = [0; 8];
    for (to, from) in password.iter_mut().zip(&written) {
        *to = *from;
    }
    if written.len() > password.len() {
        cx.push(
            Diagnostic::warning(codes::ROUNDED, pass.span, "auth_pass is longer than eight bytes")
                .label("only the first eight are sent and compared")
                .help("shorten it to eight bytes; this changes nothing for the peers"),
        );
    }
    Some(if &*kind.bytes == b"AH" { Auth::Header(password) } else { Auth::Password(password) })
}

/// The password, written in the line or in a file. keepalived knows no such files, so only what can be nothing but a path
/// from the root is one. `None` where there is none: a router with another password would be a second master.
fn password_of(word: &Word, name: &str, cx: &mut Context) -> Option<Vec<u8>> {
    let Some(path) = secret::path(word).filter(|path| path.starts_with(b"/")) else {
        return Some(word.bytes.to_vec());
    };
    let found = match secret::read(path, word, cx) {
        Ok(bytes) if bytes.is_empty() => Err("the file is empty".to_owned()),
        found => found,
    };
    found
        .map_err(|why| {
            let message = format!("auth_pass of instance `{name}` cannot be used");
            cx.push(Diagnostic::error(codes::SECRET_UNUSABLE, word.span, message).label(why).help(
                "put the password into that file, for root alone; until then the instance does not run",
            ));
        })
        .ok()
}
