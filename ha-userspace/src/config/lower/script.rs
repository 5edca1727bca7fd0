//! `vrrp_script`.

use std::ffi::OsString;
use std::time::Duration;

use super::context::Context;
use super::keyword;
use super::{command, global, track, value};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::Script as Keyword;
use crate::config::model::{NotifyScript, Script, Weight};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// Longest interval and timeout in seconds; keepalived keeps microseconds in 32 bits.
const MAX_SECONDS: i64 = 4294;
/// Intervals and timeouts with a fraction, in microseconds.
const FRACTIONS: std::ops::RangeInclusive<u64> = 10_000..=4_294_000_000;

/// A script, and where its parts stand.
#[derive(Debug)]
pub(super) struct Lowered {
    pub(super) script: Script,
    /// The block's name.
    pub(super) name: Span,
    /// The `script` line's command.
    pub(super) command: Span,
}

/// Read one block; `None` where it names no usable script.
pub(super) fn lower(stmt: &Statement, cx: &mut Context) -> Option<Lowered> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let mut script = Script {
        name: name.text().into_owned(),
        argv: Vec::new(),
        interval: Duration::from_secs(1),
        timeout: Duration::ZERO,
        weight: Weight::default(),
        rise: 1,
        fall: 1,
        user: None,
        init_fail: false,
        place: cx.place(name.span),
    };
    let (mut timeout, mut command, mut reported) = (None, None, false);
    for stmt in statements {
        let Some(keyword) = keyword::known(stmt, cx) else { continue };
        match keyword {
            Keyword::Script => {
                let read = argv(stmt, cx);
                reported |= read.is_none();
                if let Some((argv, span)) = read.flatten() {
                    script.argv = argv;
                    command = Some(span);
                }
            }
            Keyword::Interval => script.interval = seconds(stmt, cx).unwrap_or(Duration::from_secs(1)),
            Keyword::Timeout => timeout = Some(seconds(stmt, cx).unwrap_or(Duration::from_secs(1))),
            Keyword::Weight => {
                if let Some(value) = track::weight(stmt, cx) {
                    script.weight = value;
                }
            }
            Keyword::Rise => script.rise = count(stmt, cx),
            Keyword::Fall => script.fall = count(stmt, cx),
            Keyword::User => script.user = global::script_user(stmt, cx),
            Keyword::InitFail => {
                value::flag(stmt, cx);
                script.init_fail = true;
            }
        }
    }
    let Some(command) = command else {
        if reported {
            return None;
        }
        let message = format!("vrrp_script `{}` names no script", name.text());
        cx.push(
            Diagnostic::error(codes::SCRIPT_INCOMPLETE, name.span, message)
                .label("the block is skipped")
                .help("add a line such as: script \"/usr/bin/pgrep nginx\""),
        );
        return None;
    };
    script.timeout = timeout.unwrap_or(script.interval);
    Some(Lowered { script, name: name.span, command })
}

/// A notification's script in the shape that [`crate::config::ScriptCheck`] looks at.
pub(super) fn for_check(notify: &NotifyScript) -> Script {
    Script {
        name: notify.program().into_owned(),
        argv: notify.argv.clone(),
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        weight: Weight::default(),
        rise: 1,
        fall: 1,
        user: notify.user.clone(),
        init_fail: false,
        place: notify.place.clone(),
    }
}

/// Program and arguments. Only the first word counts, quoted or not: keepalived 2.2.7 ignores the rest (tried).
/// `Some(None)` where there is none: keepalived goes on without the script.
fn argv(stmt: &Statement, cx: &mut Context) -> Option<Option<(Vec<OsString>, Span)>> {
    value::no_block(stmt, cx);
    let Some(word) = stmt.args().first() else { return Some(None) };
    if let (Some(first), Some(last)) = (stmt.args().get(1), stmt.args().last()) {
        let message = "words are left behind the script";
        let help = match value::several(stmt.args().get(1..).unwrap_or_default()) {
            Some(several) => several,
            None if word.quoted => {
                "write `#` before a comment; arguments belong inside the quotes".to_owned()
            }
            None => "put quotes round script and arguments: script \"/path/to/script argument\"".to_owned(),
        };
        cx.push(
            Diagnostic::warning(codes::EXTRA_WORDS, first.span.to(last.span), message)
                .label("ignored: the script gets no such arguments")
                .help(help),
        );
    }
    command::read(stmt, cx)
}

/// Whole seconds as keepalived has them, or a fraction of at least 10 ms, which only xvrrp takes.
fn seconds(stmt: &Statement, cx: &mut Context) -> Option<Duration> {
    let word = value::one(stmt, cx)?;
    let what = stmt.keyword().text();
    let micros = value::parse_micros(&word.bytes).filter(|micros| FRACTIONS.contains(micros));
    if let Some(micros) = micros.filter(|_| value::parse_number(&word.bytes).is_none()) {
        let message = format!("{what} {} is a fraction, which keepalived does not take", word.text());
        cx.push(
            Diagnostic::warning(codes::BAD_NUMBER, word.span, message)
                .label("xvrrp does as it says; keepalived would use 1"),
        );
        return Some(Duration::from_micros(micros));
    }
    let seconds: u64 = value::small(word, &what, 1..=MAX_SECONDS, "set to 1", cx)?;
    Some(Duration::from_secs(seconds))
}

fn count(stmt: &Statement, cx: &mut Context) -> u32 {
    let what = stmt.keyword().text().into_owned();
    value::one(stmt, cx)
        .and_then(|word| value::small(word, &what, 1..=i64::from(i32::MAX), "set to 1", cx))
        .unwrap_or(1)
}
