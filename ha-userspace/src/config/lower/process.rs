//! `vrrp_track_process`.

use std::time::Duration;

use super::context::Context;
use super::keyword;
use super::{track, value};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::TrackProcess as Keyword;
use crate::config::lexer::Word;
use crate::config::model::{ParamMatch, TrackProcess, Weight};
use crate::config::tree::Statement;

/// Longest delay: an hour in microseconds.
const MAX_DELAY: u64 = 3_600_000_000;
/// More processes than a kernel has numbers for.
const MAX_QUORUM: i64 = 1 << 22;

/// A block that is being read.
struct Draft {
    process: TrackProcess,
    /// `param_match` as it is written.
    matching: Option<ParamMatch>,
}

/// Read one block; `None` where it names no process.
pub(super) fn lower<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<(TrackProcess, &'a Word)> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let process = TrackProcess {
        name: name.text().into_owned(),
        process: String::new(),
        parameters: Vec::new(),
        param_match: ParamMatch::Exact,
        full_command: false,
        weight: Weight { value: 1, reverse: false },
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
        place: cx.place(name.span),
    };
    let mut draft = Draft { process, matching: None };
    for stmt in statements {
        if let Some(keyword) = keyword::known(stmt, cx) {
            draft.line(keyword, stmt, cx);
        }
    }
    Some((draft.finish(name, cx)?, name))
}

impl Draft {
    fn line(&mut self, keyword: Keyword, stmt: &Statement, cx: &mut Context) {
        let process = &mut self.process;
        match keyword {
            Keyword::Process => {
                value::no_block(stmt, cx);
                let Some((name, rest)) = stmt.args().split_first() else { return value::missing(stmt, cx) };
                process.process = name.text().into_owned();
                process.parameters = rest.iter().map(|word| word.text().into_owned()).collect();
            }
            Keyword::ParamMatch => self.matching = param_match(stmt, cx).or(self.matching),
            Keyword::FullCommand => {
                value::flag(stmt, cx);
                process.full_command = true;
            }
            Keyword::Weight => {
                process.weight = track::weight_within(stmt, 254, cx).unwrap_or(process.weight);
            }
            Keyword::Quorum => {
                let Some(word) = value::one(stmt, cx) else { return };
                process.quorum = value::small(word, "quorum", 1..=MAX_QUORUM, "1 is used", cx).unwrap_or(1);
            }
            Keyword::QuorumMax => {
                let Some(word) = value::one(stmt, cx) else { return };
                process.quorum_max = value::small(word, "quorum_max", 0..=MAX_QUORUM, "ignored", cx);
            }
            Keyword::Delay => {
                let Some(delay) = delay(stmt, cx) else { return };
                (process.fork_delay, process.terminate_delay) = (delay, delay);
            }
            Keyword::ForkDelay => process.fork_delay = delay(stmt, cx).unwrap_or(process.fork_delay),
            Keyword::TerminateDelay => {
                process.terminate_delay = delay(stmt, cx).unwrap_or(process.terminate_delay);
            }
        }
    }

    fn finish(self, name: &Word, cx: &mut Context) -> Option<TrackProcess> {
        let Self { mut process, matching } = self;
        if process.process.is_empty() {
            let message = format!("vrrp_track_process `{}` names no process", process.name);
            cx.push(
                Diagnostic::error(codes::TRACKER_INCOMPLETE, name.span, message)
                    .label("the block is skipped")
                    .help("add a line such as: process nginx"),
            );
            return None;
        }
        match process.quorum_max {
            // None at all may run.
            Some(0) => process.quorum = 0,
            Some(most) if most < process.quorum => {
                let message = format!("quorum_max {most} is below quorum {}", process.quorum);
                cx.push(
                    Diagnostic::error(codes::BAD_NUMBER, name.span, message)
                        .label("no number of processes would be right; quorum_max is ignored"),
                );
                process.quorum_max = None;
            }
            _ => {}
        }
        process.param_match = match matching {
            Some(_) if process.parameters.is_empty() => ParamMatch::None,
            Some(matching) => matching,
            None => ParamMatch::Exact,
        };
        process.full_command |= matching.is_some() || !process.parameters.is_empty();
        Some(process)
    }
}

fn delay(stmt: &Statement, cx: &mut Context) -> Option<Duration> {
    let word = value::one(stmt, cx)?;
    value::seconds(word, &stmt.keyword().text(), 1..=MAX_DELAY, "ignored", cx)
}

fn param_match(stmt: &Statement, cx: &mut Context) -> Option<ParamMatch> {
    value::no_block(stmt, cx);
    value::extra(stmt, 1, cx);
    let Some(word) = stmt.args().first() else { return Some(ParamMatch::None) };
    match &*word.bytes {
        b"initial" => Some(ParamMatch::Initial),
        b"partial" => Some(ParamMatch::Partial),
        b"exact" => Some(ParamMatch::Exact),
        _ => {
            value::bad_word(word, &["initial", "partial"], "ignored", cx);
            None
        }
    }
}
