//! Telling others what happened: notify scripts, FIFOs, mail and webhooks, on a thread of their own.
//!
//! The main loop calls [`Notifier::tell`], which never waits. The thread looks up users, checks and starts scripts
//! ([`script`]), writes FIFOs ([`fifo`]), sends mail ([`mail`]) and posts documents ([`webhook`]); whatever of that hangs, hangs there. [`once`] has
//! the scripts that run before and after everything. Which event follows from which transition is decided by the
//! runtime.
//!
//! Arguments, order, lines and texts are keepalived's (keepalived.conf(5); 2.2.7 was watched). For one event the FIFOs
//! are written first, then `notify_*` is started, then `notify`, then the mail is sent; scripts run side by side.

pub mod fifo;
pub mod mail;
pub mod once;
mod post;
pub mod script;
pub mod webhook;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::config::model::{Config, Global, Notify, NotifyScript, ScriptUser, Url};
use crate::worker::Worker;
use fifo::Fifos;
use mail::Mailer;
use script::Scripts;
use webhook::{Complaints, Details, Webhooks};

/// Events that the thread has not looked at yet; further ones are dropped, and counted.
const WAITING: usize = 16_384;
/// How long a stop waits for what is still to be told.
const STOP_PATIENCE: Duration = Duration::from_millis(2_000);

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A virtual router.
    Instance,
    /// A sync group.
    Group,
}

impl Subject {
    /// The word in arguments and lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Instance => "INSTANCE",
            Self::Group => "GROUP",
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It is master.
    Master,
    /// It is backup.
    Backup,
    /// It cannot run.
    Fault,
    /// It was stopped.
    Stop,
    /// A reload took it out of the configuration; a fault, to who has not asked for `notify_deleted`.
    Deleted,
    /// A master heard somebody who must yield.
    MasterRxLowerPri,
    /// A master's priority changed.
    MasterPriority,
    /// The priority of one that is not master changed.
    BackupPriority,
    /// A master has had no standby for some time (false), or has one again (true): told to its own script alone.
    Standby(bool),
    /// Only told to FIFOs, without scripts and mail: the state after a reload.
    Still(State),
}

/// A state that a reload repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "keepalived's words")]
pub enum State {
    Master,
    Backup,
    Fault,
}

impl What {
    /// The word in arguments and lines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Master | Self::Still(State::Master) => "MASTER",
            Self::Backup | Self::Still(State::Backup) => "BACKUP",
            Self::Fault | Self::Still(State::Fault) => "FAULT",
            Self::Stop => "STOP",
            Self::Deleted => "DELETED",
            Self::MasterRxLowerPri => "MASTER_RX_LOWER_PRI",
            Self::MasterPriority => "MASTER_PRIORITY",
            Self::BackupPriority => "BACKUP_PRIORITY",
            Self::Standby(false) => "NONE",
            Self::Standby(true) => "READY",
        }
    }
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of what.
    pub kind: Subject,
    /// Its name.
    pub name: String,
    /// What happened to it.
    pub what: What,
    /// Effective priority; 0 for groups.
    pub priority: u8,
    /// When.
    pub at: SystemTime,
    /// More, where it is to be posted.
    pub details: Option<Box<Details>>,
}

impl Event {
    /// An instance's, now.
    #[must_use]
    pub fn of_instance(name: String, what: What, priority: u8) -> Self {
        Self { kind: Subject::Instance, name, what, priority, at: SystemTime::now(), details: None }
    }

    /// A sync group's, now.
    #[must_use]
    pub fn of_group(name: String, what: What) -> Self {
        Self { kind: Subject::Group, name, what, priority: 0, at: SystemTime::now(), details: None }
    }

    /// The line for a FIFO.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} \"{}\" {} {}\n", self.kind.word(), self.name, self.what.word(), self.priority)
    }
}

/// What the thread is told.
enum Message {
    Apply(Box<Settings>),
    Event(Event),
}

/// The part of a configuration that matters here.
#[derive(Clone, Debug, Default)]
struct Settings {
    global: Global,
    notify: HashMap<(Subject, String), Notify>,
    /// Those before the latest reload: what it took away has its end told.
    before: HashMap<(Subject, String), Notify>,
}

impl Settings {
    fn of(config: &Config) -> Self {
        let instances =
            config.instances.iter().map(|of| ((Subject::Instance, of.name.clone()), of.notify.clone()));
        let groups =
            config.sync_groups.iter().map(|of| ((Subject::Group, of.name.clone()), of.notify.clone()));
        Self {
            global: config.global.clone(),
            notify: instances.chain(groups).collect(),
            before: HashMap::new(),
        }
    }

    /// What is to be told of an event.
    fn of_event(&self, event: &Event) -> &Notify {
        static NOTHING: LazyLock<Notify> = LazyLock::new(Notify::default);
        let key = (event.kind, event.name.clone());
        self.notify.get(&key).or_else(|| self.before.get(&key)).unwrap_or(&NOTHING)
    }

    /// Whether anybody has this webhook, or had it until the latest reload.
    fn posts_to(&self, url: &Url) -> bool {
        let all = self.notify.values().chain(self.before.values());
        all.filter_map(|notify| notify.webhook.as_ref()).any(|webhook| webhook.url == *url)
    }

    fn user<'a>(&'a self, script: &'a NotifyScript) -> Option<&'a ScriptUser> {
        script.user.as_ref().or(self.global.script_user.as_ref())
    }
}

/// Handle of the thread. Dropping it ends what the thread keeps running.
#[derive(Debug)]
pub struct Notifier {
    worker: Worker<Message>,
    waiting: Arc<AtomicUsize>,
    dropped: usize,
    complaints: Complaints,
}

impl Notifier {
    /// Starts the thread; nobody is told anything yet.
    ///
    /// # Errors
    /// The thread or its event loop could not be made.
    pub fn start() -> io::Result<Self> {
        let waiting = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waiting);
        let complaints = Complaints::default();
        let webhooks = Webhooks::new(Arc::clone(&complaints));
        let worker = Worker::start_tasks("xvrrp-notify", move |messages| serve(messages, counted, webhooks))?;
        Ok(Self { worker, waiting, dropped: 0, complaints })
    }

    /// Webhooks that do not get their documents, for another thread to find out.
    pub fn complaints(&self) -> impl Fn() -> Vec<String> + Send + Sync + use<> {
        let complaints = Arc::clone(&self.complaints);
        move || webhook::lines(&complaints)
    }

    /// Settings for all events that follow: at start and at each reload.
    pub fn apply(&self, config: &Config) {
        self.worker.tell(Message::Apply(Box::new(Settings::of(config))));
    }

    /// Hands an event over. Never waits; with a thread that hangs, events are dropped once very many wait.
    pub fn tell(&mut self, event: Event) {
        if self.waiting.load(Ordering::Relaxed) >= WAITING {
            self.dropped += 1;
            if self.dropped.is_power_of_two() {
                tracing::error!("{} notifications were dropped: earlier ones hang", self.dropped);
            }
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.worker.tell(Message::Event(event));
    }

    /// Ends the thread after it has told everything, within about two seconds; scripts may go on.
    ///
    /// Blocks: call it last, when no advert is left to send.
    pub fn stop(mut self) {
        self.worker.stop(STOP_PATIENCE);
    }
}

async fn serve(mut messages: UnboundedReceiver<Message>, waiting: Arc<AtomicUsize>, mut webhooks: Webhooks) {
    let mut settings = Settings::default();
    let (mut fifos, scripts, mut mailer) = (Fifos::default(), Scripts::new(), Mailer::default());
    while let Some(message) = messages.recv().await {
        match message {
            Message::Apply(new) => {
                let before = std::mem::replace(&mut settings, *new).notify;
                settings.before = before;
                fifos.apply(&settings.global);
                mailer.apply(&settings.global);
                webhooks.keep(|url| settings.posts_to(url));
                complain(&settings);
            }
            Message::Event(event) => {
                waiting.fetch_sub(1, Ordering::Relaxed);
                let notify = settings.of_event(&event);
                if let Some(webhook) = &notify.webhook
                    && is_posted(&event, notify)
                {
                    webhooks.tell(webhook, &event, &settings.global);
                }
                tell(&event, &settings, &fifos, &scripts, &mailer);
            }
        }
    }
    tokio::join!(fifos.finish(), mailer.finish(), webhooks.finish());
}

/// What a reload repeats is no news, and changed priorities are told where that is wanted.
fn is_posted(event: &Event, notify: &Notify) -> bool {
    match event.what {
        What::Still(_) => false,
        What::MasterPriority | What::BackupPriority => notify.priority_changes,
        _ => true,
    }
}

fn tell(event: &Event, settings: &Settings, fifos: &Fifos, scripts: &Scripts, mailer: &Mailer) {
    let notify = settings.of_event(event);
    let mut event = event.clone();
    if event.what == What::Deleted && !notify.tells_deleted {
        event.what = What::Fault;
    }
    if matches!(event.what, What::Standby(_)) {
        if let Some(script) = &notify.standby {
            run_with(script, &event, settings, scripts);
        }
        return;
    }
    match event.what {
        What::MasterPriority | What::BackupPriority if !notify.priority_changes => return,
        _ => fifos.write(&event.line()),
    }
    let (own, any) = match event.what {
        What::Master => (&notify.master, &notify.any),
        What::Backup => (&notify.backup, &notify.any),
        What::Fault => (&notify.fault, &notify.any),
        What::Stop => (&notify.stop, &notify.any),
        What::Deleted => (&notify.deleted, &notify.any),
        What::MasterRxLowerPri => (&notify.master_rx_lower_pri, &None),
        What::MasterPriority | What::BackupPriority | What::Standby(_) | What::Still(_) => return,
    };
    let global = &settings.global;
    if let Some(script) = own {
        scripts.run(&script.argv, settings.user(script), global, &script.place);
    }
    if let Some(script) = any {
        run_with(script, &event, settings, scripts);
    }
    if notify.smtp_alert {
        mailer.send(&event);
    }
}

/// A script that is told by its arguments what has happened.
fn run_with(script: &NotifyScript, event: &Event, settings: &Settings, scripts: &Scripts) {
    let mut argv = script.argv.clone();
    let priority = event.priority.to_string();
    argv.extend([event.kind.word(), &event.name, event.what.word(), &priority].map(OsString::from));
    scripts.run(&argv, settings.user(script), &settings.global, &script.place);
}

/// Says at once which scripts cannot be run, so that nobody learns of it in a takeover.
fn complain(settings: &Settings) {
    for ((kind, name), notify) in &settings.notify {
        for (keyword, script) in notify.scripts() {
            let user = settings.user(script);
            if let Err(why) = crate::program::prepare(&script.argv, user, settings.global.script_security) {
                tracing::error!("{keyword} of {} {name} ({}) is not run: {why}", noun(*kind), script.place);
            }
        }
    }
}

fn noun(kind: Subject) -> &'static str {
    match kind {
        Subject::Instance => "instance",
        Subject::Group => "group",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keepalived_s() {
        let event = |kind, what, priority| {
            Event { kind, ..Event::of_instance("VI_1".to_owned(), what, priority) }.line()
        };
        assert_eq!(event(Subject::Instance, What::Master, 100), "INSTANCE \"VI_1\" MASTER 100\n");
        assert_eq!(event(Subject::Group, What::Still(State::Fault), 0), "GROUP \"VI_1\" FAULT 0\n");
        let lower = event(Subject::Instance, What::MasterRxLowerPri, 7);
        assert_eq!(lower, "INSTANCE \"VI_1\" MASTER_RX_LOWER_PRI 7\n");
    }
}
