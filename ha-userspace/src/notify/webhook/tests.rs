//! Documents, and what becomes of them at servers of several manners.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use serde_json::{Value, json};

use super::*;
use crate::config::model::{HostPort, Place};

/// Short ones, so that a test does not wait.
const SHORT: Patience = Patience {
    attempt: Duration::from_millis(500),
    pauses: [Duration::from_millis(1), Duration::from_millis(2)],
};

fn webhook(at: SocketAddr) -> Webhook {
    let server = HostPort { host: at.ip().to_string(), port: at.port() };
    let (authority, path) = (at.to_string(), "/T0/B0".to_owned());
    let url = Url { secure: false, server, authority, path };
    Webhook { url, place: Place { file: "a.conf".into(), line: 1, column: 1 } }
}

fn webhooks() -> (Webhooks, Complaints) {
    let complaints = Complaints::default();
    let mut webhooks = Webhooks::new(Arc::clone(&complaints));
    webhooks.patience = SHORT;
    (webhooks, complaints)
}

fn event(what: What) -> Event {
    Event::of_instance("VI_1".to_owned(), what, 101)
}

/// A server on a thread that answers requests with these status lines, one connection after the other.
fn server(answers: &'static [&'static str]) -> (SocketAddr, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let (heard, hear) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().expect("a connection");
            let _ = heard.send(serve(stream, answer));
        }
    });
    (at, hear)
}

/// The head of a request and its body, after an answer.
fn serve(mut stream: TcpStream, answer: &str) -> (String, Value) {
    let (mut text, mut part) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).expect("a request");
        text += std::str::from_utf8(&part[..read]).expect("text");
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if let Ok(body) = serde_json::from_str(body) {
            let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes());
            return (head.to_owned(), body);
        }
    }
}

#[test]
fn a_document_says_who_what_and_why() {
    let details = Details {
        interface: "ens160".to_owned(),
        vrid: 25,
        addresses: vec!["172.16.1.25/24".to_owned()],
        moved: Some(("BACKUP", "MASTER")),
        reason: Some("master unreachable"),
        why: Some("172.16.1.1 is unreachable: 3 probes unanswered".to_owned()),
    };
    let event = Event { details: Some(Box::new(details)), ..event(What::Master) };
    let global = Global { router_id: Some("west".to_owned()), ..Global::default() };
    let document = Document::of(&event, "1f-2".to_owned(), &global);
    let host = super::super::mail::host_name();
    let wanted = json!({
        "format": 1, "id": "1f-2", "time": clock::rfc3339(event.at), "host": host, "router_id": "west",
        "event": "MASTER", "instance": "VI_1", "interface": "ens160", "vrid": 25, "from": "BACKUP", "to": "MASTER",
        "reason": "master unreachable", "why": "172.16.1.1 is unreachable: 3 probes unanswered", "priority": 101,
        "addresses": ["172.16.1.25/24"], "lost": 0
    });
    assert_eq!(serde_json::to_value(&document).expect("JSON"), wanted);
}

#[test]
fn a_group_and_a_standby_have_their_own_words() {
    let of = |event: &Event| {
        let document = Document::of(event, String::new(), &Global::default());
        (document.event, document.instance, document.group, document.priority)
    };
    let group = Event::of_group("G1".to_owned(), What::Fault);
    assert_eq!(of(&group), ("FAULT".to_owned(), None, Some("G1".to_owned()), None));
    assert_eq!(of(&event(What::Standby(false))).0, "STANDBY_NONE");
    assert_eq!(of(&event(What::Standby(true))).0, "STANDBY_READY");
}

#[tokio::test]
async fn documents_come_in_order_and_a_server_that_fails_is_asked_again() {
    let answers = &["200 OK", "500 No", "503 No", "204 Good", "404 No", "202 Good"];
    let (at, heard) = server(answers);
    let (mut webhooks, complaints) = webhooks();
    let to = webhook(at);
    for what in [What::Master, What::Backup, What::Fault, What::Stop] {
        webhooks.tell(&to, &event(what), &Global::default());
    }
    webhooks.finish().await;
    let heard: Vec<_> = heard.iter().collect();
    let seen: Vec<_> = heard.iter().map(|(_, body)| body["event"].as_str().unwrap_or_default()).collect();
    assert_eq!(seen, ["MASTER", "BACKUP", "BACKUP", "BACKUP", "FAULT", "STOP"]);
    // The attempts of one document have one name; what was refused for good is told by the next one.
    let ids: Vec<_> = heard.iter().map(|(_, body)| body["id"].to_string()).collect();
    assert!(ids[1] == ids[2] && ids[2] == ids[3] && ids[0] != ids[1] && ids[3] != ids[4], "{ids:?}");
    let lost: Vec<_> = heard.iter().map(|(_, body)| body["lost"].as_u64()).collect();
    assert_eq!(lost, [0, 0, 0, 0, 0, 1].map(Some));
    let (head, _) = &heard[0];
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /t0/b0 http/1.1\r\n"), "{head}");
    for line in [format!("host: {at}"), "content-type: application/json".to_owned()] {
        assert!(head.lines().any(|given| given == line), "{line} is not in {head}");
    }
    assert_eq!(lines(&complaints), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_refused_is_counted_and_its_path_not_shown() {
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let (mut webhooks, complaints) = webhooks();
    for _ in 0..3 {
        webhooks.tell(&webhook(closed), &event(What::Master), &Global::default());
    }
    webhooks.finish().await;
    let [line] = &lines(&complaints)[..] else { panic!("not one line") };
    let start = format!("notify_webhook http://{closed}/…: 3 not delivered: ");
    assert!(line.starts_with(&start) && line.contains("refused"), "{line}");
}

#[tokio::test]
async fn a_server_that_hangs_costs_its_own_documents_and_a_flood_leaves_room_for_changes() {
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = hangs.local_addr().expect("an address");
    let (other, heard) = server(&["200 OK"]);
    let (mut webhooks, complaints) = webhooks();
    let to = webhook(at);
    for _ in 0..WAITING {
        webhooks.tell(&to, &event(What::MasterRxLowerPri), &Global::default());
    }
    let count = || Ledger(to.url.clone(), Arc::clone(&complaints)).count();
    assert_eq!(count(), (WAITING - FOR_CHANGES) as u64);
    for _ in 0..FOR_CHANGES {
        webhooks.tell(&to, &event(What::Master), &Global::default());
    }
    assert_eq!(count(), (WAITING - FOR_CHANGES) as u64, "a change found no room");
    webhooks.tell(&to, &event(What::Master), &Global::default());
    assert_eq!(count(), (WAITING - FOR_CHANGES + 1) as u64);
    // Others get theirs meanwhile.
    webhooks.tell(&webhook(other), &event(What::Master), &Global::default());
    webhooks.finish().await;
    assert_eq!(heard.iter().count(), 1);
}

#[tokio::test]
async fn an_answer_that_never_ends_is_none() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while (&stream).write_all(&[b'2'; 4096]).is_ok() {});
        }
    });
    let (mut webhooks, complaints) = webhooks();
    webhooks.tell(&webhook(at), &event(What::Master), &Global::default());
    webhooks.finish().await;
    assert_eq!(lines(&complaints).len(), 1, "{complaints:?}");
}
