//! tcpdump as an independent judge: what it prints of the frames at a host, and whether it finds a bad
//! checksum.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::Host;
use super::clock::wait_for;
use super::process::Process;

/// A running tcpdump.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    text: PathBuf,
    messages: PathBuf,
}

impl Host {
    /// Starts `tcpdump -vv` on the host's interface with `filter`, such as `"vrrp or arp"`, and returns
    /// when it listens.
    ///
    /// It runs with `-Q in` unless `both_ways`: a veth computes checksums late, so tcpdump may call those of
    /// outgoing packets bad. Capture at the receiver to judge them.
    pub fn capture(&self, filter: &str, both_ways: bool) -> Result<Capture> {
        let (text, messages) = ("/run/lab/tcpdump.txt", "/run/lab/tcpdump.messages");
        for path in [text, messages] {
            let _from_an_earlier_capture = fs::remove_file(self.path(path));
        }
        let mut command = Command::new("tcpdump");
        command.args(["-n", "-l", "-e", "-vv", "-i", self.interface(), "-Z", "root"]);
        if !both_ways {
            command.args(["-Q", "in"]);
        }
        command.arg(filter).stdin(Stdio::null());
        command.stdout(self.log_file(text)?).stderr(self.log_file(messages)?);
        let mut process = self.spawn(command)?;
        let messages = self.path(messages);
        let listens = || fs::read_to_string(&messages).ok().filter(|text| text.contains("listening on"));
        if wait_for(Duration::from_secs(5), listens).is_none() {
            let ended = process.try_wait()?;
            bail!("tcpdump does not listen ({ended:?}): {}", fs::read_to_string(&messages)?);
        }
        Ok(Capture { process, text: self.path(text), messages })
    }
}

impl Capture {
    /// Ends it and returns what it printed.
    pub fn stop(mut self) -> Result<String> {
        self.process.signal(Signal::SIGINT)?;
        if self.process.wait(Duration::from_secs(5))?.is_none() {
            bail!("tcpdump does not end: {}", fs::read_to_string(&self.messages)?);
        }
        let bytes = fs::read(&self.text).context("reading what tcpdump printed")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The lines in which tcpdump complains about a checksum, a length or a truncation.
#[must_use]
pub fn tcpdump_complaints(text: &str) -> Vec<&str> {
    const WORDS: [&str; 7] =
        ["bad cksum", "bad vrrp cksum", "bad icmp6 cksum", "incorrect", "wrong", "[|", "invalid"];
    text.lines().filter(|line| WORDS.iter().any(|word| line.contains(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_found_and_good_lines_are_not() {
        let text = "172.16.1.1 > 224.0.0.18: vrrp 172.16.1.1 > 224.0.0.18: VRRPv2, Advertisement, vrid 9, \
                    prio 101, authtype simple, intvl 1s, length 20, addrs: 172.16.1.25 auth \"1111\"\n\
                    x (tos 0xc0, ttl 255, id 1, bad cksum 1 (->2)!)\n\
                    y VRRPv3, Advertisement, (bad vrrp cksum 1234!), vrid 9\n";
        assert_eq!(tcpdump_complaints(text).len(), 2);
    }
}
