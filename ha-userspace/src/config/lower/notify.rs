//! Whom changes are told to: `notify…` of instances and groups, FIFOs, scripts at start and end.

use std::path::PathBuf;
use std::time::Duration;

use super::context::Context;
use super::{command, value, webhook};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{self, Notify as Keyword};
use crate::config::model::{Fifo, Fifos, Notify, NotifyScript, OnceScript, ScriptUser, Webhook};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// What an instance or a group said, without the global defaults.
#[derive(Debug, Default)]
pub(super) struct NotifyDraft {
    notify: Notify,
    priority_changes: Option<bool>,
    smtp_alert: Option<bool>,
    /// `Some(None)` after `off`.
    webhook: Option<Option<Webhook>>,
    /// All scripts with their lines, for the question whether they are protected and could run.
    pub(super) scripts: Vec<(NotifyScript, Span)>,
}

/// Defaults from `global_defs`.
#[derive(Clone, Debug, Default)]
pub(super) struct NotifyDefaults {
    pub(super) priority_changes: bool,
    pub(super) smtp_alert: Option<bool>,
    pub(super) smtp_alert_vrrp: Option<bool>,
    pub(super) webhook: Option<Webhook>,
}

impl NotifyDraft {
    /// Read one keyword.
    pub(super) fn setting(&mut self, keyword: Keyword, stmt: &Statement, cx: &mut Context) {
        let notify = &mut self.notify;
        let slot = match keyword {
            Keyword::Master => &mut notify.master,
            Keyword::Backup => &mut notify.backup,
            Keyword::Fault => &mut notify.fault,
            Keyword::Stop => &mut notify.stop,
            Keyword::Deleted => {
                notify.tells_deleted = true;
                if stmt.args().is_empty() {
                    return value::no_block(stmt, cx);
                }
                &mut notify.deleted
            }
            Keyword::Any => &mut notify.any,
            Keyword::PriorityChanges => {
                self.priority_changes = value::boolean(stmt, cx).or(self.priority_changes);
                return;
            }
            Keyword::SmtpAlert => {
                self.smtp_alert = value::boolean(stmt, cx).or(self.smtp_alert);
                return;
            }
            Keyword::Webhook => {
                self.webhook = webhook::lower(stmt, cx).or(self.webhook.take());
                return;
            }
        };
        self.scripts.extend(first(slot, stmt, cx));
    }

    /// `notify_master_rx_lower_pri`, which only an instance has.
    pub(super) fn master_rx_lower_pri(&mut self, stmt: &Statement, cx: &mut Context) {
        self.scripts.extend(first(&mut self.notify.master_rx_lower_pri, stmt, cx));
    }

    /// `notify_standby`, xvrrp's own, which only an instance has.
    pub(super) fn standby(&mut self, stmt: &Statement, cx: &mut Context) {
        self.scripts.extend(first(&mut self.notify.standby, stmt, cx));
    }

    pub(super) fn finish(self, defaults: &NotifyDefaults) -> Notify {
        Notify {
            priority_changes: self.priority_changes.unwrap_or(defaults.priority_changes),
            smtp_alert: self.smtp_alert.or(defaults.smtp_alert_vrrp).or(defaults.smtp_alert).unwrap_or(false),
            webhook: self.webhook.unwrap_or_else(|| defaults.webhook.clone()),
            ..self.notify
        }
    }
}

/// Put a script into its slot, unless one is there. It comes back with its line.
fn first(
    slot: &mut Option<NotifyScript>,
    stmt: &Statement,
    cx: &mut Context,
) -> Option<(NotifyScript, Span)> {
    if slot.is_some() {
        let message = format!("`{}` stands twice", stmt.keyword().text());
        cx.push(
            Diagnostic::warning(codes::REPEATED_KEYWORD, stmt.keyword().span, message)
                .label("the first one counts, as in keepalived; this one is ignored"),
        );
        return None;
    }
    let script = script(stmt, cx)?;
    *slot = Some(script.clone());
    Some((script, stmt.span()))
}

/// `KEYWORD COMMAND [USER [GROUP]]`. The command is one word, quoted where it has arguments.
pub(super) fn script(stmt: &Statement, cx: &mut Context) -> Option<NotifyScript> {
    value::no_block(stmt, cx);
    let Some(word) = stmt.args().first() else {
        value::missing(stmt, cx);
        return None;
    };
    value::extra(stmt, 3, cx);
    let Some((argv, _)) = command::read(stmt, cx)? else {
        let message = format!("`{}` names no program", stmt.keyword().text());
        cx.push(Diagnostic::error(codes::SCRIPT_INCOMPLETE, word.span, message).label("ignored"));
        return None;
    };
    Some(NotifyScript { argv, user: user(stmt), place: cx.place(stmt.keyword().span) })
}

/// The second and third parameter.
fn user(stmt: &Statement) -> Option<ScriptUser> {
    let user = stmt.args().get(1)?;
    let group = stmt.args().get(2).map(|word| word.text().into_owned());
    Some(ScriptUser { user: user.text().into_owned(), group })
}

/// FIFOs and the scripts behind them, which may stand in any order.
#[derive(Debug, Default)]
pub(super) struct FifoDraft {
    all: OneFifo,
    vrrp: OneFifo,
    pub(super) states_on_reload: bool,
}

#[derive(Debug, Default)]
struct OneFifo {
    fifo: Option<(Fifo, Span)>,
    script: Option<(NotifyScript, Span)>,
}

impl FifoDraft {
    /// Read one keyword.
    pub(super) fn setting(&mut self, keyword: keywords::Fifo, stmt: &Statement, cx: &mut Context) {
        match keyword {
            keywords::Fifo::NotifyFifo => self.all.path(stmt, cx),
            keywords::Fifo::VrrpNotifyFifo => self.vrrp.path(stmt, cx),
            keywords::Fifo::NotifyFifoScript => self.all.script(stmt, cx),
            keywords::Fifo::VrrpNotifyFifoScript => self.vrrp.script(stmt, cx),
            keywords::Fifo::FifoWriteVrrpStatesOnReload => {
                value::flag(stmt, cx);
                self.states_on_reload = true;
            }
        }
    }

    /// The scripts with their lines.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &(NotifyScript, Span)> {
        self.all.script.iter().chain(&self.vrrp.script)
    }

    pub(super) fn finish(self, cx: &mut Context) -> Fifos {
        if let (Some((all, first)), Some((vrrp, span))) = (&self.all.fifo, &self.vrrp.fifo)
            && all.path == vrrp.path
        {
            let message = format!("both FIFOs are {}", vrrp.path.display());
            cx.push(
                Diagnostic::error(codes::DUPLICATE_NAME, *span, message)
                    .label("vrrp_notify_fifo is ignored")
                    .related(*first, "the other one stands at")
                    .help("give each FIFO its own path"),
            );
            let vrrp = OneFifo::default();
            return Self { vrrp, ..self }.finish(cx);
        }
        Fifos {
            all: self.all.finish("notify_fifo", cx),
            vrrp: self.vrrp.finish("vrrp_notify_fifo", cx),
            states_on_reload: self.states_on_reload,
        }
    }
}

impl OneFifo {
    fn path(&mut self, stmt: &Statement, cx: &mut Context) {
        value::no_block(stmt, cx);
        let Some(word) = stmt.args().first() else { return value::missing(stmt, cx) };
        value::extra(stmt, 3, cx);
        let Some(path) = value::absolute(word, "nothing is written", cx) else { return };
        if let Some((_, first)) = &self.fifo {
            return value::repeated(&stmt.keyword().text(), stmt.keyword().span, *first, cx);
        }
        let place = cx.place(stmt.keyword().span);
        self.fifo = Some((Fifo { path, user: user(stmt), script: None, place }, stmt.span()));
    }

    fn script(&mut self, stmt: &Statement, cx: &mut Context) {
        if let Some(script) = script(stmt, cx) {
            self.script = Some((script, stmt.span()));
        }
    }

    fn finish(self, keyword: &str, cx: &mut Context) -> Option<Fifo> {
        let Some((fifo, _)) = self.fifo else {
            if let Some((_, span)) = self.script {
                let message = format!("`{keyword}_script` without `{keyword}`");
                cx.push(
                    Diagnostic::note(codes::NOT_NEEDED, span, message)
                        .label("the script is not run: there is no FIFO for it to read")
                        .help(format!("add {keyword} with the path of a FIFO")),
                );
            }
            return None;
        };
        Some(Fifo { script: self.script.map(|(script, _)| script), ..fifo })
    }
}

/// `startup_script` or `shutdown_script` with its timeout.
#[derive(Debug, Default)]
pub(super) struct OnceDraft {
    script: Option<(NotifyScript, Span)>,
    timeout: Option<Duration>,
}

impl OnceDraft {
    pub(super) fn script(&mut self, stmt: &Statement, cx: &mut Context) {
        if let Some(script) = script(stmt, cx) {
            self.script = Some((script, stmt.span()));
        }
    }

    pub(super) fn timeout(&mut self, stmt: &Statement, cx: &mut Context) {
        let Some(word) = value::one(stmt, cx) else { return };
        let what = stmt.keyword().text();
        let seconds: Option<u64> = value::small(word, &what, 1..=1000, "10 s is used", cx);
        self.timeout = seconds.map(Duration::from_secs).or(self.timeout);
    }

    /// The script with its line.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &(NotifyScript, Span)> {
        self.script.iter()
    }

    pub(super) fn finish(self) -> Option<OnceScript> {
        let (script, _) = self.script?;
        Some(OnceScript { script, timeout: self.timeout.unwrap_or(Duration::from_secs(10)) })
    }
}

/// A path parameter of a keyword that has exactly one.
pub(super) fn path(stmt: &Statement, cx: &mut Context) -> Option<PathBuf> {
    let word = value::one(stmt, cx)?;
    value::absolute(word, "ignored", cx)
}
