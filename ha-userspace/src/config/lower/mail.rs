//! Mail settings of `global_defs`.

use std::time::Duration;

use super::value;
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords::Mail as Keyword;
use crate::config::lexer::Word;
use crate::config::model::{Mail, MailServer};
use crate::config::tree::Statement;

/// More recipients are a mailing list.
const MAX_RECIPIENTS: usize = 100;

/// Read one keyword.
pub(super) fn setting(keyword: Keyword, stmt: &Statement, mail: &mut Mail, diags: &mut Diagnostics) {
    match keyword {
        Keyword::SmtpServer => mail.server = server(stmt, diags).or(mail.server.take()),
        Keyword::SmtpHeloName => mail.helo = text(stmt, diags).or(mail.helo.take()),
        Keyword::SmtpConnectTimeout => {
            if let Some(word) = value::one(stmt, diags) {
                let range = 1_000..=4_294_000_000;
                let time = value::seconds(word, "smtp_connect_timeout", range, "30 s are used", diags);
                mail.timeout = time.unwrap_or(Duration::from_secs(30));
            }
        }
        Keyword::NotificationEmailFrom => {
            if let Some(word) = value::one(stmt, diags) {
                mail.from = address(word, diags).or(mail.from.take());
            }
        }
        Keyword::NotificationEmail => recipients(stmt, mail, diags),
        Keyword::NoEmailFaults => {
            value::flag(stmt, diags);
            mail.faults = false;
        }
        Keyword::EmailFaults => {
            value::flag(stmt, diags);
            mail.faults = true;
        }
    }
}

fn text(stmt: &Statement, diags: &mut Diagnostics) -> Option<String> {
    value::one(stmt, diags).and_then(|word| plain(word, diags)).map(str::to_owned)
}

/// Text that can stand in a line of SMTP.
fn plain<'a>(word: &'a Word, diags: &mut Diagnostics) -> Option<&'a str> {
    let text = std::str::from_utf8(&word.bytes).ok();
    let good = text.filter(|text| !text.is_empty() && !text.chars().any(|c| c.is_control() || c == ' '));
    if good.is_none() {
        let message = format!("`{}` cannot stand in a mail", word.text());
        diags.push(Diagnostic::error(codes::BAD_WORD, word.span, message).cause("ignored"));
    }
    good
}

fn address(word: &Word, diags: &mut Diagnostics) -> Option<String> {
    let text = plain(word, diags)?;
    if text.contains(['<', '>']) {
        let message = format!("`{text}` is not a mail address");
        diags.push(
            Diagnostic::error(codes::BAD_WORD, word.span, message)
                .cause("ignored")
                .help("write the bare address, such as admin@example.com"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn recipients(stmt: &Statement, mail: &mut Mail, diags: &mut Diagnostics) {
    let Some(statements) = value::bare_block(stmt, diags) else { return };
    for stmt in statements {
        value::no_block(stmt, diags);
        // keepalived reads one address of a line (tried); several are surely all meant.
        for word in &stmt.words {
            let Some(to) = address(word, diags) else { continue };
            if mail.to.len() == MAX_RECIPIENTS {
                let message = format!("more than {MAX_RECIPIENTS} recipients");
                diags.push(
                    Diagnostic::error(codes::BAD_WORD, word.span, message).cause("the rest is ignored"),
                );
                return;
            }
            if !mail.to.contains(&to) {
                mail.to.push(to);
            }
        }
    }
}

/// `smtp_server HOST [PORT]`.
fn server(stmt: &Statement, diags: &mut Diagnostics) -> Option<MailServer> {
    value::no_block(stmt, diags);
    let Some(word) = stmt.args().first() else {
        value::missing(stmt, diags);
        return None;
    };
    value::extra(stmt, 2, diags);
    let host = plain(word, diags)?.to_owned();
    let port = match stmt.args().get(1) {
        Some(word) => value::small(word, "port", 1..=65_535, "port 25 is used", diags).unwrap_or(25),
        None => 25,
    };
    Some(MailServer { host, port, place: diags.sources.place(stmt.keyword().span) })
}
