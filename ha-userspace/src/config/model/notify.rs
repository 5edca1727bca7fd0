//! Whom changes of state are told to: scripts, FIFOs, mail.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::{HostPort, Place, ScriptUser};

/// What an instance or a sync group tells, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Notify {
    /// `notify_master`.
    pub master: Option<NotifyScript>,
    /// `notify_backup`.
    pub backup: Option<NotifyScript>,
    /// `notify_fault`.
    pub fault: Option<NotifyScript>,
    /// `notify_stop`.
    pub stop: Option<NotifyScript>,
    /// `notify_deleted`.
    pub deleted: Option<NotifyScript>,
    /// `notify_deleted`, with or without a script: the state told of a deleted instance is DELETED instead of FAULT.
    pub tells_deleted: bool,
    /// `notify_master_rx_lower_pri`; instances only.
    pub master_rx_lower_pri: Option<NotifyScript>,
    /// `notify_standby`: the node is master, and has had no standby for `standby_warn`; or has one again. Its arguments are
    /// followed by `INSTANCE NAME NONE|READY PRIORITY`. Instances only.
    pub standby: Option<NotifyScript>,
    /// `notify`: run after the others, with `INSTANCE|GROUP NAME STATE PRIORITY` added to its arguments.
    pub any: Option<NotifyScript>,
    /// `notify_priority_changes`, or else `vrrp_notify_priority_changes`: changed priorities go to the FIFOs.
    pub priority_changes: bool,
    /// `smtp_alert`, or else `smtp_alert_vrrp`, or else the global `smtp_alert`.
    pub smtp_alert: bool,
    /// `notify_webhook`, or else that of `global_defs`: where a JSON document is posted for each event.
    pub webhook: Option<Webhook>,
}

impl Notify {
    /// All scripts, with their keywords.
    pub fn scripts(&self) -> impl Iterator<Item = (&'static str, &NotifyScript)> {
        [
            ("notify_master", &self.master),
            ("notify_backup", &self.backup),
            ("notify_fault", &self.fault),
            ("notify_stop", &self.stop),
            ("notify_deleted", &self.deleted),
            ("notify_master_rx_lower_pri", &self.master_rx_lower_pri),
            ("notify_standby", &self.standby),
            ("notify", &self.any),
        ]
        .into_iter()
        .filter_map(|(keyword, script)| Some((keyword, script.as_ref()?)))
    }
}

/// `notify_webhook URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where.
    pub url: Url,
    /// Where it was written, for messages.
    pub place: Place,
}

/// An absolute URL of HTTP. Path and query of a webhook are often its secret: they are never printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    /// `https`.
    pub secure: bool,
    /// Where to connect to.
    pub server: HostPort,
    /// Host and port as they were written, for `Host:`.
    pub authority: String,
    /// Path with the query, starting with `/`.
    pub path: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)?;
        if self.path == "/" { Ok(()) } else { f.write_str("/…") }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A script that is told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyScript {
    /// Program and arguments, never empty.
    pub argv: Vec<OsString>,
    /// Whom it runs as; the global `script_user` where absent.
    pub user: Option<ScriptUser>,
    /// Where it was written, for messages.
    pub place: Place,
}

impl NotifyScript {
    /// The program's name, for messages.
    #[must_use]
    pub fn program(&self) -> Cow<'_, str> {
        self.argv.first().map_or(Cow::Borrowed(""), |program| program.to_string_lossy())
    }
}

/// The FIFOs of `global_defs`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fifos {
    /// `notify_fifo` and `notify_fifo_script`.
    pub all: Option<Fifo>,
    /// `vrrp_notify_fifo` and `vrrp_notify_fifo_script`; another path than `all`.
    pub vrrp: Option<Fifo>,
    /// `fifo_write_vrrp_states_on_reload`: a reload writes all states.
    pub states_on_reload: bool,
}

/// A FIFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fifo {
    /// Its path.
    pub path: PathBuf,
    /// Its owner; the global `script_user` where absent.
    pub user: Option<ScriptUser>,
    /// A script that the daemon keeps running; the path becomes its last argument.
    pub script: Option<NotifyScript>,
    /// Where it was written, for messages.
    pub place: Place,
}

/// `startup_script` or `shutdown_script`: run once, before everything and after everything.
#[derive(Clone, Debug, PartialEq)]
pub struct OnceScript {
    /// The script.
    pub script: NotifyScript,
    /// After this it is killed; 1 to 1000 s, default 10 s.
    pub timeout: Duration,
}

/// Mail settings of `global_defs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// `smtp_server`: host by name or address; without one, no mail is sent.
    pub server: Option<MailServer>,
    /// `smtp_helo_name`: the host's name where absent.
    pub helo: Option<String>,
    /// `smtp_connect_timeout`, default 30 s.
    pub timeout: Duration,
    /// `notification_email_from`: `keepalived@HOST` where absent.
    pub from: Option<String>,
    /// `notification_email`: recipients.
    pub to: Vec<String>,
    /// False for `no_email_faults`: FAULT is not mailed.
    pub faults: bool,
}

impl Default for Mail {
    fn default() -> Self {
        Self {
            server: None,
            helo: None,
            timeout: Duration::from_secs(30),
            from: None,
            to: Vec::new(),
            faults: true,
        }
    }
}

/// `smtp_server HOST [PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailServer {
    /// Address, or a name that has yet to be resolved.
    pub host: String,
    /// Port, default 25.
    pub port: u16,
    /// Where it was written, for messages.
    pub place: Place,
}
