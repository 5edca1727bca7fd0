//! Whom changes are told to: `notify…` of instances and groups, FIFOs, scripts at start and end.

use std::path::PathBuf;
use std::time::Duration;

use super::{command, value};
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::model::{Fifo, Fifos, Notify, NotifyScript, OnceScript, ScriptUser};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// What an instance or a group said, without the global defaults.
#[derive(Debug, Default)]
pub(super) struct NotifyDraft {
    notify: Notify,
    priority_changes: Option<bool>,
    smtp_alert: Option<bool>,
    /// All scripts with their lines, for the question whether they are protected and could run.
    pub(super) scripts: Vec<(NotifyScript, Span)>,
}

/// Defaults from `global_defs`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NotifyDefaults {
    pub(super) priority_changes: bool,
    pub(super) smtp_alert: Option<bool>,
    pub(super) smtp_alert_vrrp: Option<bool>,
}

impl NotifyDraft {
    /// Read one keyword; false where it is another's.
    pub(super) fn setting(&mut self, stmt: &Statement, diags: &mut Diagnostics) -> bool {
        let notify = &mut self.notify;
        let slot = match &*stmt.keyword().bytes {
            b"notify_master" => &mut notify.master,
            b"notify_backup" => &mut notify.backup,
            b"notify_fault" => &mut notify.fault,
            b"notify_stop" => &mut notify.stop,
            b"notify_deleted" => {
                notify.tells_deleted = true;
                if stmt.args().is_empty() {
                    value::no_block(stmt, diags);
                    return true;
                }
                &mut notify.deleted
            }
            b"notify_master_rx_lower_pri" => &mut notify.master_rx_lower_pri,
            b"notify" => &mut notify.any,
            b"notify_priority_changes" => {
                self.priority_changes = value::boolean(stmt, diags).or(self.priority_changes);
                return true;
            }
            b"smtp_alert" => {
                self.smtp_alert = value::boolean(stmt, diags).or(self.smtp_alert);
                return true;
            }
            _ => return false,
        };
        if slot.is_some() {
            let message = format!("`{}` stands twice", stmt.keyword().text());
            diags.push(
                Diagnostic::warning(codes::REPEATED_KEYWORD, stmt.keyword().span, message)
                    .cause("the first one counts, as in keepalived; this one is ignored"),
            );
        } else if let Some(script) = script(stmt, diags) {
            self.scripts.push((script.clone(), stmt.span()));
            *slot = Some(script);
        }
        true
    }

    pub(super) fn finish(self, defaults: NotifyDefaults) -> Notify {
        Notify {
            priority_changes: self.priority_changes.unwrap_or(defaults.priority_changes),
            smtp_alert: self.smtp_alert.or(defaults.smtp_alert_vrrp).or(defaults.smtp_alert).unwrap_or(false),
            ..self.notify
        }
    }
}

/// `KEYWORD COMMAND [USER [GROUP]]`. The command is one word, quoted where it has arguments.
pub(super) fn script(stmt: &Statement, diags: &mut Diagnostics) -> Option<NotifyScript> {
    value::no_block(stmt, diags);
    let Some(word) = stmt.args().first() else {
        value::missing(stmt, diags);
        return None;
    };
    value::extra(stmt, 3, diags);
    let Some((argv, _)) = command::read(stmt, diags)? else {
        let message = format!("`{}` names no program", stmt.keyword().text());
        diags.push(Diagnostic::error(codes::SCRIPT_INCOMPLETE, word.span, message).cause("ignored"));
        return None;
    };
    Some(NotifyScript { argv, user: user(stmt), place: diags.sources.place(stmt.keyword().span) })
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
    /// Read one keyword; false where it is another's.
    pub(super) fn setting(&mut self, stmt: &Statement, diags: &mut Diagnostics) -> bool {
        match &*stmt.keyword().bytes {
            b"notify_fifo" => self.all.path(stmt, diags),
            b"vrrp_notify_fifo" => self.vrrp.path(stmt, diags),
            b"notify_fifo_script" => self.all.script(stmt, diags),
            b"vrrp_notify_fifo_script" => self.vrrp.script(stmt, diags),
            b"fifo_write_vrrp_states_on_reload" => {
                value::flag(stmt, diags);
                self.states_on_reload = true;
            }
            _ => return false,
        }
        true
    }

    /// The scripts with their lines.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &(NotifyScript, Span)> {
        self.all.script.iter().chain(&self.vrrp.script)
    }

    pub(super) fn finish(self, diags: &mut Diagnostics) -> Fifos {
        if let (Some((all, first)), Some((vrrp, span))) = (&self.all.fifo, &self.vrrp.fifo)
            && all.path == vrrp.path
        {
            let message = format!("both FIFOs are {}", vrrp.path.display());
            diags.push(
                Diagnostic::error(codes::DUPLICATE_NAME, *span, message)
                    .cause("vrrp_notify_fifo is ignored")
                    .related(*first, "the other one stands at")
                    .help("give each FIFO its own path"),
            );
            let vrrp = OneFifo::default();
            return Self { vrrp, ..self }.finish(diags);
        }
        Fifos {
            all: self.all.finish("notify_fifo", diags),
            vrrp: self.vrrp.finish("vrrp_notify_fifo", diags),
            states_on_reload: self.states_on_reload,
        }
    }
}

impl OneFifo {
    fn path(&mut self, stmt: &Statement, diags: &mut Diagnostics) {
        value::no_block(stmt, diags);
        let Some(word) = stmt.args().first() else { return value::missing(stmt, diags) };
        value::extra(stmt, 3, diags);
        let Some(path) = value::absolute(word, "nothing is written", diags) else { return };
        if let Some((_, first)) = &self.fifo {
            return value::repeated(&stmt.keyword().text(), stmt.keyword().span, *first, diags);
        }
        let place = diags.sources.place(stmt.keyword().span);
        self.fifo = Some((Fifo { path, user: user(stmt), script: None, place }, stmt.span()));
    }

    fn script(&mut self, stmt: &Statement, diags: &mut Diagnostics) {
        if let Some(script) = script(stmt, diags) {
            self.script = Some((script, stmt.span()));
        }
    }

    fn finish(self, keyword: &str, diags: &mut Diagnostics) -> Option<Fifo> {
        let Some((fifo, _)) = self.fifo else {
            if let Some((_, span)) = self.script {
                let message = format!("`{keyword}_script` without `{keyword}`");
                diags.push(
                    Diagnostic::note(codes::NOT_NEEDED, span, message)
                        .cause("the script is not run: there is no FIFO for it to read")
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
    pub(super) fn script(&mut self, stmt: &Statement, diags: &mut Diagnostics) {
        if let Some(script) = script(stmt, diags) {
            self.script = Some((script, stmt.span()));
        }
    }

    pub(super) fn timeout(&mut self, stmt: &Statement, diags: &mut Diagnostics) {
        let Some(word) = value::one(stmt, diags) else { return };
        let what = stmt.keyword().text();
        let seconds: Option<u64> = value::small(word, &what, 1..=1000, "10 s is used", diags);
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
pub(super) fn path(stmt: &Statement, diags: &mut Diagnostics) -> Option<PathBuf> {
    let word = value::one(stmt, diags)?;
    value::absolute(word, "ignored", diags)
}
