//! `track_file` at the top, and its older name `vrrp_track_file`.

use super::context::Context;
use super::keyword;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::TrackFile as Keyword;
use crate::config::lexer::Word;
use crate::config::model::{FileWeight, InitFile, TrackFile};
use crate::config::tree::Statement;

/// Largest weight. The manual has 2147483647 for a block; keepalived 2.2.7 takes no more than this (tried).
const MAX_WEIGHT: i64 = 254;

/// Read one block; `None` where it names no file.
pub(super) fn lower<'a>(stmt: &'a Statement, cx: &mut Context) -> Option<(TrackFile, &'a Word)> {
    let name = value::name(stmt, cx)?;
    let statements = value::block(stmt, cx)?;
    let (mut path, mut weight, mut init) = (None, FileWeight::default(), None);
    for stmt in statements {
        let Some(keyword) = keyword::known(stmt, cx) else { continue };
        match keyword {
            Keyword::File => {
                if let Some(word) = value::one(stmt, cx) {
                    path = value::absolute(word, "ignored", cx).or(path);
                }
            }
            Keyword::Weight => weight = block_weight(stmt, cx).unwrap_or(weight),
            Keyword::InitFile => init = Some(init_file(stmt, cx)),
        }
    }
    let Some(path) = path else {
        let message = format!("track_file `{}` names no file", name.text());
        cx.push(
            Diagnostic::error(codes::TRACKER_INCOMPLETE, name.span, message)
                .label("the block is skipped")
                .help("add a line such as: file \"/run/keepalived/maintenance\""),
        );
        return None;
    };
    let place = cx.place(name.span);
    Some((TrackFile { name: name.text().into_owned(), path, weight, init, place }, name))
}

fn block_weight(stmt: &Statement, cx: &mut Context) -> Option<FileWeight> {
    value::no_block(stmt, cx);
    let Some(word) = stmt.args().first() else {
        value::missing(stmt, cx);
        return None;
    };
    let value = value::small(word, "weight", -MAX_WEIGHT..=MAX_WEIGHT, "ignored", cx)?;
    let reverse = stmt.args().get(1).is_some_and(|word| word.is("reverse"));
    value::extra(stmt, 1 + usize::from(reverse), cx);
    Some(FileWeight { value, reverse })
}

fn init_file(stmt: &Statement, cx: &mut Context) -> InitFile {
    value::no_block(stmt, cx);
    let mut init = InitFile::default();
    for word in stmt.args() {
        if word.is("overwrite") {
            init.overwrite = true;
        } else if let Some(value) =
            value::number(word, "init_file", i64::from(i32::MIN)..=i64::from(i32::MAX), "ignored", cx)
        {
            init.value = value;
        }
    }
    init
}
