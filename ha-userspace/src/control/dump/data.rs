//! The data dump: configuration and state for people, with keepalived's headings and labels where it has them.
//!
//! keepalived's manual says that the format is not fixed. What is shown here are the lines that say something about
//! this daemon; its sockets, timers and buffers are its own (`xvrrp status` has the equivalent).

use std::fmt::{Display, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ha_common::packet::Auth;
use ha_common::types::Centis;

use super::Content;
use super::json::quoted;
use crate::config::model::{Fifo, Instance, Notify, Script, ScriptUser, Vip, VirtualLink};
use crate::control::protocol::InstanceStatus;
use crate::logging::clock;

/// Lines with labels.
struct Lines(String);

impl Lines {
    fn heading(&mut self, text: &str) {
        let _ = writeln!(self.0, "------< {text} >------");
    }

    fn line(&mut self, indent: usize, label: &str, value: impl Display) {
        let _ = writeln!(self.0, "{:indent$}{label} = {value}", "");
    }

    fn text(&mut self, indent: usize, text: impl Display) {
        let _ = writeln!(self.0, "{:indent$}{text}", "");
    }
}

/// The text of `keepalived.data`.
#[must_use]
pub fn text(content: &Content) -> String {
    let mut lines = Lines(String::new());
    global(&mut lines, content);
    lines.heading("VRRP Topology");
    for (status, source) in content.status.instances.iter().zip(&content.sources) {
        let instances = &content.config.instances;
        if let Some(instance) = instances.iter().find(|instance| instance.name == status.name) {
            topology(&mut lines, content, instance, status);
            if let Some(source) = source {
                lines.line(3, "Using src_ip", source);
            }
            notify(&mut lines, &instance.notify);
        }
    }
    groups(&mut lines, content);
    lines.heading("VRRP Scripts");
    content.config.scripts.iter().for_each(|script| scripts(&mut lines, content, script));
    lines.heading("Interfaces");
    for interface in &content.status.interfaces {
        lines.line(1, "Name", &interface.name);
        lines.line(3, "index", interface.index);
        lines.line(3, "State", if interface.up { "UP, RUNNING" } else { "DOWN" });
        lines.line(3, "XDP", &interface.xdp);
    }
    lines.0
}

fn global(lines: &mut Lines, content: &Content) {
    let global = &content.config.global;
    lines.heading("Global definitions");
    lines.line(1, "Network namespace", global.net_namespace.as_deref().unwrap_or("(default)"));
    if let Some(name) = &global.router_id {
        lines.line(1, "Router ID", name);
    }
    let mail = &global.mail;
    if let Some(server) = &mail.server {
        lines.line(1, "Smtp server", &server.host);
        lines.line(1, "Smtp server port", server.port);
        lines.line(1, "Smtp server connection timeout", mail.timeout.as_secs());
    }
    if let Some(helo) = &mail.helo {
        lines.line(1, "Smtp HELO name", helo);
    }
    if let Some(from) = &mail.from {
        lines.line(1, "Email notification from", from);
    }
    if !mail.to.is_empty() {
        lines.text(1, "Email notification to:");
        mail.to.iter().for_each(|to| lines.text(3, to));
    }
    let fifo = |lines: &mut Lines, label: &str, fifo: &Option<Fifo>| {
        if let Some(fifo) = fifo {
            lines.line(1, label, fifo.path.display());
        }
    };
    fifo(lines, "Global notify fifo", &global.fifos.all);
    fifo(lines, "VRRP notify fifo", &global.fifos.vrrp);
    lines.line(1, "FIFO write vrrp states on reload", global.fifos.states_on_reload);
    lines.line(1, "Script security", if global.script_security { "enabled" } else { "disabled" });
    if let Some(user) = &global.script_user {
        lines.line(1, "Default script user", owner(user));
    }
}

fn topology(lines: &mut Lines, content: &Content, instance: &Instance, status: &InstanceStatus) {
    lines.line(1, "VRRP Instance", &instance.name);
    lines.line(3, "VRRP Version", instance.version.number());
    let groups = &content.config.sync_groups;
    if let Some(group) = groups.iter().find(|group| group.members.contains(&instance.name)) {
        lines.line(3, "Sync group", &group.name);
    }
    lines.line(3, "State", &status.state);
    lines.line(3, "Wantstate", &status.state);
    for fault in &status.fault {
        lines.line(3, "Fault", fault);
    }
    lines.line(3, "Last transition", last_transition(content, status).0);
    if let Some(master) = &status.master {
        lines.line(3, "Master router", &master.address);
        lines.line(3, "Master priority", master.priority);
        lines.line(3, "Master advert int", format_args!("{} sec", millis(master.interval_ms)));
    }
    match vmac(instance) {
        Some(name) => lines.line(3, "Interface", format_args!("{name}, vmac on {}", instance.interface)),
        None => lines.line(3, "Interface", &instance.interface),
    }
    announcements(lines, instance);
    election(lines, instance, status);
    authentication(lines, instance, status);
    let count = format!("Virtual IP ({})", instance.vips.len());
    addresses(lines, &count, &instance.vips, instance, status);
    addresses(lines, "Virtual IP Excluded ", &instance.excluded, instance, status);
    trackers(lines, instance);
}

fn announcements(lines: &mut Lines, instance: &Instance) {
    let garp = &instance.garp;
    lines.line(3, "Gratuitous ARP delay", garp.delay.as_secs());
    lines.line(3, "Gratuitous ARP repeat", garp.repeat);
    lines.line(3, "Gratuitous ARP refresh", garp.refresh.as_secs());
    lines.line(3, "Gratuitous ARP refresh repeat", garp.refresh_repeat);
    lines.line(3, "Gratuitous ARP lower priority delay", garp.lower_prio_delay.as_secs());
    lines.line(3, "Gratuitous ARP lower priority repeat", garp.lower_prio_repeat);
}

fn election(lines: &mut Lines, instance: &Instance, status: &InstanceStatus) {
    lines.line(3, "Down timer adverts", instance.down_timer_adverts);
    lines.line(3, "Send advert after receive lower priority advert", !instance.lower_prio_no_advert);
    lines.line(3, "Send advert after receive higher priority advert", instance.higher_prio_send_advert);
    lines.line(3, "Virtual Router ID", instance.vrid.get());
    lines.line(3, "Priority", instance.priority.get());
    lines.line(3, "Effective priority", status.priority.effective);
    let (centis, whole) = (instance.interval.get(), instance.interval.get().is_multiple_of(100));
    let (number, unit) = if whole { (centis / 100, "sec") } else { (centis * 10, "milli-sec") };
    lines.line(3, "Advert interval", format_args!("{number} {unit}"));
    lines.line(3, "Accept", enabled(instance.accept));
    lines.line(3, "Preempt", enabled(instance.preempt));
    lines.line(3, "Promote_secondaries", enabled(instance.promote_secondaries));
}

fn authentication(lines: &mut Lines, instance: &Instance, status: &InstanceStatus) {
    // Never the password: the file may be mailed to somebody.
    lines.line(
        3,
        "Authentication type",
        match instance.auth {
            Auth::None => "none",
            Auth::Password(_) => "SIMPLE_PASSWORD",
            Auth::Header(_) => "IPSEC_AH",
        },
    );
    if let Some(hmac) = &status.hmac {
        lines.line(3, "Authentication extension", "HMAC-SHA256-128");
        lines.text(5, format_args!("Keys = {}, active key id = {}", hmac.keys.len(), hmac.active_key));
        lines.line(5, "Mode", &hmac.mode);
        match hmac.time_window_s {
            Some(window) => lines.text(5, format_args!("Anti replay = time, window = {window} sec")),
            None => lines.line(5, "Anti replay", &hmac.anti_replay),
        }
    }
}

fn trackers(lines: &mut Lines, instance: &Instance) {
    if !instance.track_interfaces.is_empty() {
        lines.text(3, "Tracked interfaces :");
        for tracker in &instance.track_interfaces {
            let reverse = if tracker.weight.reverse { " reverse" } else { "" };
            lines.text(5, format_args!("{} weight {}{reverse}", tracker.interface, tracker.weight.value));
        }
    }
    if !instance.track_scripts.is_empty() {
        lines.text(3, "Tracked scripts :");
        for tracker in &instance.track_scripts {
            lines.text(5, format_args!("{} weight {}", tracker.script, tracker.weight.value));
        }
    }
}

fn addresses(lines: &mut Lines, label: &str, vips: &[Vip], instance: &Instance, status: &InstanceStatus) {
    if !vips.is_empty() {
        lines.text(3, format_args!("{label}:"));
        vips.iter().for_each(|of| lines.text(5, vip(of, instance, status)));
    }
}

/// The virtual MAC interface of an instance.
pub(super) fn vmac(instance: &Instance) -> Option<&str> {
    match &instance.link {
        Some(VirtualLink::Vmac(vmac)) => vmac.name.as_deref(),
        _ => None,
    }
}

/// An address as keepalived shows it: `172.16.1.25/24 brd 172.16.1.255 dev ens160 scope global label ens160:1 set`.
pub(super) fn vip(vip: &Vip, instance: &Instance, status: &InstanceStatus) -> String {
    let full = if vip.address.is_ipv4() { 32 } else { 128 };
    let mut text = vip.address.to_string();
    if vip.prefix != full && vip.peer.is_none() {
        let _ = write!(text, "/{}", vip.prefix);
    }
    if let Some(broadcast) = vip.broadcast {
        let _ = write!(text, " brd {broadcast}");
    }
    let device = instance.device_of(vip);
    let base =
        if vmac(instance) == Some(device) { format!("@{}", instance.interface) } else { String::new() };
    let scope = match vip.scope {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        other => other.to_string(),
    };
    let _ = write!(text, " dev {device}{base} scope {scope}");
    if let Some(label) = &vip.label {
        let _ = write!(text, " label {label}");
    }
    if let Some((peer, length)) = vip.peer {
        let _ = write!(text, " peer {peer}/{length}");
    }
    for (set, word) in [
        (vip.home, "home"),
        (vip.noprefixroute, "noprefixroute"),
        (vip.no_track, "no_track"),
        (vip.address.is_ipv6() && vip.preferred_lft.is_none(), "preferred_lft forever"),
        (vip.address.is_ipv6() && vip.preferred_lft == Some(0), "deprecated"),
    ] {
        if set {
            let _ = write!(text, " {word}");
        }
    }
    if let Some(seconds) = vip.preferred_lft.filter(|seconds| *seconds > 0 && vip.address.is_ipv6()) {
        let _ = write!(text, " preferred_lft {seconds}");
    }
    if matches!(status.state.as_str(), "MASTER" | "LEAVING") {
        text.push_str(" set");
    }
    text
}

fn notify(lines: &mut Lines, notify: &Notify) {
    lines.line(3, "Using smtp notification", if notify.smtp_alert { "yes" } else { "no" });
    lines.line(3, "Notify deleted", if notify.tells_deleted { "Deleted" } else { "Fault" });
    let scripts = [
        ("Backup", &notify.backup),
        ("Master", &notify.master),
        ("Fault", &notify.fault),
        ("Stop", &notify.stop),
        ("Deleted", &notify.deleted),
        ("Generic", &notify.any),
        ("Master rx lower pri", &notify.master_rx_lower_pri),
    ];
    for (label, script) in scripts {
        if let Some(script) = script {
            lines.line(3, &format!("{label} state transition script"), quoted(&script.argv));
        }
    }
    lines.line(3, "Notify priority changes", notify.priority_changes);
}

fn groups(lines: &mut Lines, content: &Content) {
    if content.config.sync_groups.is_empty() {
        return;
    }
    lines.heading("VRRP Sync groups");
    for (group, state) in content.config.sync_groups.iter().zip(&content.groups) {
        lines.line(1, "VRRP Sync Group", format_args!("{}, {state}", group.name));
        lines.text(3, "VRRP member instances :");
        group.members.iter().for_each(|member| lines.text(5, member));
        notify(lines, &group.notify);
    }
}

fn scripts(lines: &mut Lines, content: &Content, script: &Script) {
    lines.line(1, "VRRP Script", &script.name);
    lines.line(3, "Command", quoted(&script.argv));
    lines.line(3, "Interval", format_args!("{} sec", script.interval.as_secs_f64()));
    lines.line(3, "Timeout", format_args!("{} sec", script.timeout.as_secs_f64()));
    lines.line(3, "Weight", script.weight.value);
    lines.line(3, "Rise", script.rise);
    lines.line(3, "Fall", script.fall);
    if let Some(status) = content.status.scripts.iter().find(|status| status.name == script.name) {
        lines.line(3, "Status", status.state.to_uppercase());
        lines.text(3, "Tracking instances :");
        for instance in &content.config.instances {
            for tracker in instance.track_scripts.iter().filter(|tracker| tracker.script == script.name) {
                lines.text(5, format_args!("{}, weight {}", instance.name, tracker.weight.value));
            }
        }
        lines.line(3, "State", if status.running { "running" } else { "idle" });
    }
}

/// When a state was entered: as `1795510813.742878 (Tue Nov 24 09:00:13.742878 2026)`, and in seconds.
pub(super) fn last_transition(content: &Content, status: &InstanceStatus) -> (String, f64) {
    let at = content.at.checked_sub(Duration::from_millis(status.since_ms)).unwrap_or(SystemTime::UNIX_EPOCH);
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = format!("{}.{:06} ({})", since.as_secs(), since.subsec_micros(), clock::ctime(at));
    (text, since.as_secs_f64())
}

/// Seconds of an interval.
pub(super) fn seconds(interval: Centis) -> f64 {
    f64::from(interval.get()) / 100.0
}

fn millis(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

fn enabled(on: bool) -> &'static str {
    if on { "enabled" } else { "disabled" }
}

fn owner(user: &ScriptUser) -> String {
    user.group.as_ref().map_or_else(|| user.user.clone(), |group| format!("{}:{group}", user.user))
}
