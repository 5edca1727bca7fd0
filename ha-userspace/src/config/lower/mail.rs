//! Mail settings of `global_defs`.

use std::time::Duration;

use super::context::Context;
use super::value;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::Mail as Keyword;
use crate::config::lexer::Word;
use crate::config::model::{Mail, MailServer};
use crate::config::tree::Statement;

/// More recipients are a mailing list.
const MAX_RECIPIENTS: usize = 100;

/// Read one keyword.
pub(super) fn setting(keyword: Keyword, stmt: &Statement, mail: &mut Mail, cx: &mut Context) {
    match keyword {
        Keyword::SmtpServer => mail.server = server(stmt, cx).or(mail.server.take()),
        Keyword::SmtpHeloName => mail.helo = text(stmt, cx).or(mail.helo.take()),
        Keyword::SmtpConnectTimeout => {
            if let Some(word) = value::one(stmt, cx) {
                let range = 1_000..=4_294_000_000;
                let time = value::seconds(word, "smtp_connect_timeout", range, "30 s are used", cx);
                mail.timeout = time.unwrap_or(Duration::from_secs(30));
            }
        }
        Keyword::NotificationEmailFrom => {
            if let Some(word) = value::one(stmt, cx) {
                mail.from = address(word, cx).or(mail.from.take());
            }
        }
        Keyword::NotificationEmail => recipients(stmt, mail, cx),
        Keyword::NoEmailFaults => {
            value::flag(stmt, cx);
            mail.faults = false;
        }
        Keyword::EmailFaults => {
            value::flag(stmt, cx);
            mail.faults = true;
        }
    }
}

fn text(stmt: &Statement, cx: &mut Context) -> Option<String> {
    value::one(stmt, cx).and_then(|word| plain(word, cx)).map(str::to_owned)
}

/// Text that can stand in a line of SMTP.
fn plain<'a>(word: &'a Word, cx: &mut Context) -> Option<&'a str> {
    let text = std::str::from_utf8(&word.bytes).ok();
    let good = text.filter(|text| !text.is_empty() && !text.chars().any(|c| c.is_control() || c == ' '));
    if good.is_none() {
        let message = format!("`{}` cannot stand in a mail", word.text());
        cx.push(Diagnostic::error(codes::BAD_WORD, word.span, message).label("ignored"));
    }
    good
}

fn address(word: &Word, cx: &mut Context) -> Option<String> {
    let text = plain(word, cx)?;
    if text.contains(['<', '>']) {
        let message = format!("`{text}` is not a mail address");
        cx.push(
            Diagnostic::error(codes::BAD_WORD, word.span, message)
                .label("ignored")
                .help("write the bare address, such as admin@example.com"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn recipients(stmt: &Statement, mail: &mut Mail, cx: &mut Context) {
    let Some(statements) = value::bare_block(stmt, cx) else { return };
    for stmt in statements {
        value::no_block(stmt, cx);
        // keepalived reads one address of a line (tried); several are surely all meant.
        for word in &stmt.words {
            let Some(to) = address(word, cx) else { continue };
            if mail.to.len() == MAX_RECIPIENTS {
                let message = format!("more than {MAX_RECIPIENTS} recipients");
                cx.push(Diagnostic::error(codes::BAD_WORD, word.span, message).label("the rest is ignored"));
                return;
            }
            if !mail.to.contains(&to) {
                mail.to.push(to);
            }
        }
    }
}

/// `smtp_server HOST [PORT]`.
fn server(stmt: &Statement, cx: &mut Context) -> Option<MailServer> {
    value::no_block(stmt, cx);
    let Some(word) = stmt.args().first() else {
        value::missing(stmt, cx);
        return None;
    };
    value::extra(stmt, 2, cx);
    let host = plain(word, cx)?.to_owned();
    let port = match stmt.args().get(1) {
        Some(word) => value::small(word, "port", 1..=65_535, "port 25 is used", cx).unwrap_or(25),
        None => 25,
    };
    Some(MailServer { host, port, place: cx.place(stmt.keyword().span) })
}
