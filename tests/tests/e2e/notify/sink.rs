//! A little SMTP server on a host of the lab: takes every letter, or answers nothing at all, or nonsense.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use ha_tests::lab::Host;

/// How it behaves.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Manner {
    Proper,
    /// Takes connections and says nothing.
    Silent,
    /// Says a line that never ends.
    Babbling,
}

/// Letters that came in: the lines behind DATA.
#[derive(Clone, Default)]
pub(super) struct Sink {
    letters: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Sink {
    /// Listens on `port` of `host`, until the test's process ends.
    pub(super) fn start(host: &Host, port: u16, manner: Manner) -> Result<Self> {
        let listener = host.inside(move || TcpListener::bind(("0.0.0.0", port)))??;
        let sink = Self::default();
        let letters = Arc::clone(&sink.letters);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let letters = Arc::clone(&letters);
                std::thread::spawn(move || serve(stream, manner, &letters));
            }
        });
        Ok(sink)
    }

    /// Subject and body of each letter, sorted.
    pub(super) fn letters(&self) -> Vec<(String, String)> {
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<(String, String)> = letters
            .iter()
            .map(|lines| {
                let subject = lines.iter().find_map(|line| line.strip_prefix("Subject: "));
                let body = lines.iter().skip_while(|line| !line.is_empty()).skip(1);
                (subject.unwrap_or_default().to_owned(), body.cloned().collect::<Vec<_>>().join("\n"))
            })
            .collect();
        list.sort();
        list
    }

    /// Headers of the first letter, without their values.
    pub(super) fn headers(&self) -> Vec<String> {
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = letters.first().into_iter().flatten().take_while(|line| !line.is_empty());
        lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    }
}

fn serve(mut stream: TcpStream, manner: Manner, letters: &Mutex<Vec<Vec<String>>>) {
    if manner == Manner::Silent {
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    if manner == Manner::Babbling {
        while stream.write_all(&[b'2'; 4096]).is_ok() {}
        return;
    }
    let Ok(input) = stream.try_clone() else { return };
    let mut say = |text: &str| stream.write_all(format!("{text}\r\n").as_bytes()).is_ok();
    let (mut data, mut letter) = (false, Vec::new());
    say("220 sink ESMTP");
    for line in BufReader::new(input).lines().map_while(Result::ok) {
        let line = line.trim_end_matches('\r').to_owned();
        if data && line == "." {
            data = false;
            letters.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut letter));
            say("250 taken");
        } else if data {
            letter.push(line);
        } else if line.eq_ignore_ascii_case("DATA") {
            data = true;
            say("354 go on");
        } else if line.to_ascii_uppercase().starts_with("QUIT") {
            say("221 goodbye");
            return;
        } else {
            say("250 fine");
        }
    }
}
