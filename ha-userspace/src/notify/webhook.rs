//! `notify_webhook`: a JSON document for each event, posted to a URL (docs/webhook.md).
//!
//! Every URL has a task that posts one document after the other, in the order of the events, so that one which hangs
//! holds up its own documents and nothing else. A document has some attempts, each with a deadline; what cannot be
//! delivered is lost, and that is counted, said once, and told by the next document that arrives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use super::post::{Poster, Refusal};
use super::{Event, Subject, What};
use crate::config::model::{Global, Url, Webhook};
use crate::logging::clock;

/// Version of the form of a document.
const FORMAT: u32 = 1;
/// Documents that wait for one URL: a host with 255 instances has them all change at once.
const WAITING: usize = 2_048;
/// As many of them are kept for changes of state: others can come with every packet of a stranger.
const FOR_CHANGES: usize = 1_024;
/// How long it is tried to deliver a document.
const PATIENCE: Patience =
    Patience { attempt: Duration::from_secs(5), pauses: [Duration::from_secs(1), Duration::from_secs(4)] };
/// How long a stop waits for documents that are on their way.
const LAST_DOCUMENTS: Duration = Duration::from_millis(1_500);

/// How long it is tried to deliver a document.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// An attempt that takes longer has failed.
    attempt: Duration,
    /// Between attempts.
    pauses: [Duration; 2],
}

/// What `notify_webhook` posts. Fields that say nothing about an event are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Document {
    /// Version of this form: 1.
    pub format: u32,
    /// The same in each attempt to deliver this document, and in no other document.
    pub id: String,
    /// When it happened, RFC 3339, in the host's time zone.
    pub time: String,
    /// Name of the host.
    pub host: String,
    /// `router_id` of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,
    /// What happened, in keepalived's words: `MASTER`, `BACKUP`, `FAULT`, `STOP`, `DELETED`, `MASTER_RX_LOWER_PRI`,
    /// `MASTER_PRIORITY`, `BACKUP_PRIORITY`; or `STANDBY_NONE`, `STANDBY_READY`.
    pub event: String,
    /// To which instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// To which sync group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// On which interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// VRID of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrid: Option<u8>,
    /// State before, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// State since, where it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Why, in a fixed word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, in a sentence with figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Effective priority of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Virtual addresses of the instance, with prefix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Documents that could not be delivered since the latest one that was.
    pub lost: u64,
}

/// More about an instance and what happened to it, for documents only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// On which interface.
    pub interface: String,
    /// Its VRID.
    pub vrid: u8,
    /// Virtual addresses with prefix.
    pub addresses: Vec<String>,
    /// States before and since, where they differ.
    pub moved: Option<(&'static str, &'static str)>,
    /// Why, in a fixed word.
    pub reason: Option<&'static str>,
    /// Why, in a sentence.
    pub why: Option<String>,
}

impl Document {
    fn of(event: &Event, id: String, global: &Global) -> Self {
        let details = event.details.as_deref();
        let is_instance = event.kind == Subject::Instance;
        let name = |wanted: bool| wanted.then(|| event.name.clone());
        let moved = details.and_then(|details| details.moved);
        let word = event.what.word();
        Self {
            format: FORMAT,
            id,
            time: clock::rfc3339(event.at),
            host: super::mail::host_name(),
            router_id: global.router_id.clone(),
            event: if let What::Standby(_) = event.what {
                format!("STANDBY_{word}")
            } else {
                word.to_owned()
            },
            instance: name(is_instance),
            group: name(!is_instance),
            interface: details.map(|details| details.interface.clone()),
            vrid: details.map(|details| details.vrid),
            from: moved.map(|(from, _)| from.to_owned()),
            to: moved.map(|(_, to)| to.to_owned()),
            reason: details.and_then(|details| details.reason).map(str::to_owned),
            why: details.and_then(|details| details.why.clone()),
            priority: is_instance.then_some(event.priority),
            addresses: details.map(|details| details.addresses.clone()).unwrap_or_default(),
            lost: 0,
        }
    }
}

/// What every URL has lost, for whoever asks.
pub(super) type Complaints = Arc<Mutex<HashMap<Url, Losses>>>;

/// Documents that one URL did not get since the latest one that it got.
#[derive(Debug)]
pub(super) struct Losses {
    count: u64,
    why: String,
}

/// A line for each URL that does not get its documents.
pub(super) fn lines(complaints: &Complaints) -> Vec<String> {
    let complaints = complaints.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lines: Vec<_> = complaints
        .iter()
        .map(|(url, Losses { count, why })| format!("notify_webhook {url}: {count} not delivered: {why}"))
        .collect();
    lines.sort();
    lines
}

/// Posts documents.
#[derive(Debug)]
pub(super) struct Webhooks {
    urls: HashMap<Url, Sender<Document>>,
    tasks: JoinSet<()>,
    complaints: Complaints,
    patience: Patience,
    /// When this began, which tells the documents of two runs apart.
    run: u128,
    posted: u64,
}

impl Webhooks {
    pub(super) fn new(complaints: Complaints) -> Self {
        let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self { urls: HashMap::new(), tasks: JoinSet::new(), complaints, patience: PATIENCE, run, posted: 0 }
    }

    /// Lets go of URLs that are not `used` any more; what waits for them is still posted.
    pub(super) fn keep(&mut self, used: impl Fn(&Url) -> bool) {
        self.urls.retain(|url, _| used(url));
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).retain(|url, _| used(url));
    }

    /// Posts an event, soon.
    pub(super) fn tell(&mut self, webhook: &Webhook, event: &Event, global: &Global) {
        while self.tasks.try_join_next().is_some() {}
        let Self { urls, tasks, complaints, patience, run, posted } = self;
        *posted += 1;
        let document = Document::of(event, format!("{run:x}-{posted}"), global);
        let queue = urls.entry(webhook.url.clone()).or_insert_with(|| {
            let (queue, documents) = channel(WAITING);
            let url = webhook.url.clone();
            let ledger = Ledger(url.clone(), Arc::clone(complaints));
            tasks.spawn(deliver(Poster::new(url), documents, ledger, *patience));
            queue
        });
        let room = if is_change(event.what) { 0 } else { FOR_CHANGES };
        if queue.capacity() <= room || queue.try_send(document).is_err() {
            Ledger(webhook.url.clone(), Arc::clone(complaints)).lost("too many wait");
        }
    }

    /// Gives documents that are on their way a moment.
    pub(super) async fn finish(mut self) {
        self.urls.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_DOCUMENTS, all).await;
    }
}

/// Whether it is the news that nobody may miss.
fn is_change(what: What) -> bool {
    !matches!(what, What::MasterRxLowerPri | What::MasterPriority | What::BackupPriority)
}

async fn deliver(mut poster: Poster, mut documents: Receiver<Document>, ledger: Ledger, patience: Patience) {
    while let Some(mut document) = documents.recv().await {
        document.lost = ledger.count();
        let Ok(json) = serde_json::to_string(&document) else { continue };
        match attempts(&mut poster, &json, patience).await {
            Ok(()) => ledger.delivered(document.lost),
            Err(why) => ledger.lost(&why),
        }
    }
}

async fn attempts(poster: &mut Poster, json: &str, patience: Patience) -> Result<(), String> {
    let Patience { attempt, pauses } = patience;
    let mut pauses = pauses.into_iter();
    loop {
        let late = |_| Refusal::passing(format!("no answer within {attempt:?}"));
        let answer = tokio::time::timeout(attempt, poster.post(json)).await;
        let Err(Refusal { why, passing }) = answer.map_err(late).flatten() else { return Ok(()) };
        match pauses.next() {
            Some(pause) if passing => tokio::time::sleep(pause).await,
            _ => return Err(why),
        }
    }
}

/// What one URL has lost.
#[derive(Debug)]
struct Ledger(Url, Complaints);

impl Ledger {
    fn count(&self) -> u64 {
        let complaints = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        complaints.get(&self.0).map_or(0, |losses| losses.count)
    }

    fn lost(&self, why: &str) {
        let Self(url, complaints) = self;
        let mut complaints = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let losses = complaints.entry(url.clone()).or_insert_with(|| {
            tracing::error!("notify_webhook {url}: not delivered: {why}; further ones are counted");
            Losses { count: 0, why: String::new() }
        });
        losses.count += 1;
        why.clone_into(&mut losses.why);
    }

    /// `told` of those that were lost stand in the document that arrived.
    fn delivered(&self, told: u64) {
        let Self(url, complaints) = self;
        let mut complaints = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(losses) = complaints.get_mut(url) else { return };
        losses.count = losses.count.saturating_sub(told);
        if losses.count == 0 {
            complaints.remove(url);
            tracing::warn!("notify_webhook {url}: delivered again; {told} were lost");
        }
    }
}

#[cfg(test)]
mod tests;
