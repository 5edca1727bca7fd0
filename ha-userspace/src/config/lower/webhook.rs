//! `notify_webhook`, xvrrp's own.

use super::context::Context;
use super::{secret, url, value};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::model::Webhook;
use crate::config::tree::Statement;

/// `notify_webhook URL|file:PATH|off`. `None` after an error, `Some(None)` for `off`.
pub(super) fn lower(stmt: &Statement, cx: &mut Context) -> Option<Option<Webhook>> {
    let word = value::one(stmt, cx)?;
    if *word.bytes == *b"off" {
        return Some(None);
    }
    let text = match secret::path(word) {
        Some(path) => match secret::read(path, word, cx) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(why) => {
                cx.push(Diagnostic::error(codes::SECRET_UNUSABLE, word.span, why).label("nothing is posted"));
                return None;
            }
        },
        None => word.text().into_owned(),
    };
    match url::parse(&text) {
        Ok(url) => Some(Some(Webhook { url, place: cx.place(stmt.keyword().span) })),
        // Without the text: what stands in a file is a secret.
        Err(why) => {
            let message = format!("no URL to post to: {why}");
            cx.push(
                Diagnostic::error(codes::BAD_ADDRESS, word.span, message)
                    .label("nothing is posted")
                    .help("write such as http://127.0.0.1:8080/vrrp or https://hooks.example.com/T0/B0"),
            );
            None
        }
    }
}
