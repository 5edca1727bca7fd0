//! Real network cards in place of the pair of virtual ones: inside a virtual machine, whose cards are wired outside.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{Host, Lab, Switch};

impl Lab {
    /// Gives `host` the card `card` of this machine as its interface, and the switch the card `port` for it, which must
    /// be joined with it outside. Names are those of the machine's own network.
    pub fn use_cards(&mut self, host: &str, card: &str, port: &str) -> Result<()> {
        self.switch.output(&["ip", "link", "del", host])?;
        self.host(host)?.use_card(card)?;
        self.add_port(host, port)
    }

    /// Makes the card `port` of this machine a port of the switch that is called `name`; what is on its other end is
    /// not this lab's.
    pub fn add_port(&mut self, name: &str, port: &str) -> Result<()> {
        move_card(port, self.switch.holder_pid(), name)?;
        self.switch.output(&["ip", "link", "set", name, "master", "br0", "up"])?;
        self.switch.find_ports()
    }
}

impl Host {
    /// Gives the host the card `card` of this machine as its interface, with its addresses.
    pub fn use_card(&self, card: &str) -> Result<()> {
        let (interface, spec) = (self.interface(), self.spec());
        move_card(card, self.holder_pid(), interface)?;
        self.batch(format!(
            "link set lo up\naddr add {}/24 dev {interface}\naddr add {}/64 dev {interface} nodad\n\
             link set {interface} up\n",
            spec.v4, spec.v6
        ))
    }
}

fn move_card(card: &str, holder: u32, name: &str) -> Result<()> {
    let holder = holder.to_string();
    for words in [vec![card, "down"], vec![card, "netns", &holder, "name", name]] {
        let output = Command::new("ip").args(["link", "set"]).args(&words).output().context("starting ip")?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ip link set {}: {}", words.join(" "), why.trim());
    }
    Ok(())
}

impl Switch {
    /// The name of the interface with this MAC address in the network of this process.
    #[must_use]
    pub fn card_of_machine(mac: &str) -> Option<String> {
        let cards = std::fs::read_dir("/sys/class/net").ok()?.flatten();
        let is = |path: &std::path::Path| {
            std::fs::read_to_string(path.join("address")).is_ok_and(|address| address.trim() == mac)
        };
        let found = cards.map(|entry| entry.path()).find(|path| is(path))?;
        Some(found.file_name()?.to_string_lossy().into_owned())
    }
}
