//! `auth_hmac`: with keepalived 2.4 in both roles, changes of keys and the way there without a pause, and strangers.

use std::io::Read;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, Moment, wait_for};

use crate::harness::Test;
use crate::hostile::counters;
use crate::notify::advert;
use crate::pair::{Conf, VIP, instance, ms, reload, stdout, until, xvrrp};

/// Key 1 is in the file, key 2 in a file of its own.
const KEY_1: &str = "key 1 hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const KEY_2: &str = "key 2 file:/run/lab/key";
const SECRET: &str = "correct horse battery staple nail";
const VIP6: &str = "fd00:16::25";

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, daemons, form) in [
        ("keepalived_backup", [Daemon::Xvrrp, Daemon::Keepalived24], Form::V2),
        ("keepalived_master", [Daemon::Keepalived24, Daemon::Xvrrp], Form::V3),
        ("keepalived_master_sockets", [Daemon::Keepalived24, Daemon::Xvrrp], Form::Sockets),
        ("keepalived_backup_ipv6", [Daemon::Xvrrp, Daemon::Keepalived24], Form::V6),
        ("keepalived_master_ipv6", [Daemon::Keepalived24, Daemon::Xvrrp], Form::V6),
        ("keepalived_backup_unicast", [Daemon::Xvrrp, Daemon::Keepalived24], Form::Unicast),
        ("xvrrp_and_xvrrp_ipv6", [Daemon::Xvrrp, Daemon::Xvrrp], Form::V6),
        ("xvrrp_and_xvrrp_sockets", [Daemon::Xvrrp, Daemon::Xvrrp], Form::Sockets),
    ] {
        let body = move |lab: &Lab| both_roles(lab, daemons, form);
        tests.push(Test::new(format!("hmac::{name}"), body).needs(daemons).long());
    }
    let test = |name, body: fn(&Lab) -> Result<()>| Test::new(name, body).needs([Daemon::Xvrrp]);
    // Not a packet may be late, of a stream of one in 10 ms.
    tests.push(test("hmac::keys_change_by_reload", rotation).timing());
    tests.push(test("hmac::a_cluster_begins_to_sign", migration).timing());
    tests.push(test("hmac::strangers_and_replays", strangers));
    // It fills the queues of the processors, which the labs beside it share.
    tests.push(test("hmac::a_flood_under_other_addresses_hides_no_advert", flood).timing());
    tests.push(test("hmac::a_restart_keeps_the_role", restart));
    tests
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    V2,
    V3,
    V6,
    Unicast,
    Sockets,
}

fn block(lines: &str) -> String {
    format!("auth_hmac {{\n        {}\n    }}", lines.replace('\n', "\n        "))
}

fn config(lab: &Lab, which: usize, daemon: Daemon, priority: u8, form: Form, keys: &str) -> Result<String> {
    let mut text = String::new();
    if form == Form::Sockets && daemon == Daemon::Xvrrp {
        text += "global_defs {\n    xdp_mode off\n}\n";
    }
    let (version, vip) = match form {
        Form::V2 => (2, VIP.to_string()),
        Form::V6 => (3, VIP6.to_owned()),
        _ => (3, VIP.to_string()),
    };
    let hosts = ["r1", "r2"];
    let unicast = if form == Form::Unicast {
        let [own, peer] =
            [hosts[which], hosts[1 - which]].map(|name| lab.host(name).map(|host| host.spec().v4));
        format!("unicast_src_ip {}\n    unicast_peer {{\n        {}\n    }}", own?, peer?)
    } else {
        String::new()
    };
    text += &format!(
        "vrrp_instance VI_1 {{\n    version {version}\n    interface ens160\n    virtual_router_id 25\n    \
         priority {priority}\n    advert_int 1\n    {unicast}\n    {}\n    virtual_ipaddress {{\n        {vip}\n    }}\n}}\n",
        block(keys)
    );
    Ok(text)
}

/// Each believes the other, in the role of the master and in that of the backup.
fn both_roles(lab: &Lab, daemons: [Daemon; 2], form: Form) -> Result<()> {
    let hosts = [lab.host("r1")?, lab.host("r2")?];
    let addresses = lab.watch_addresses()?;
    let vip: IpAddr = if form == Form::V6 { VIP6.parse()? } else { VIP.into() };
    let holds = |host: &str| {
        wait_for(ms(9_000), || (addresses.holders(vip) == [host]).then_some(()))
            .with_context(|| format!("not on {host}: {:?}", addresses.holders(vip)))
    };
    // The second sends under a key that the first has as well, in a file.
    let keys = [1, 2].map(|active| format!("{KEY_1}\n{KEY_2}\nactive_key {active}"));
    let start = |which: usize| {
        hosts[which].write("/run/lab/key", format!("{SECRET}\n"), 0o600)?;
        let text = config(lab, which, daemons[which], [150, 100][which], form, &keys[which])?;
        hosts[which].start(daemons[which], &text)
    };
    let mut routers = [start(0)?, start(1)?];
    holds("r1")?;
    // More than a backup's patience: its adverts are accepted.
    let quiet = Moment::now();
    std::thread::sleep(ms(5_000));
    let moved: Vec<_> = addresses.history().into_iter().filter(|change| change.at > quiet).collect();
    ensure!(moved.is_empty(), "r2 does not believe r1: {moved:?}");
    routers[0].stop()?.context("killed")?;
    holds("r2").context("after the stop of r1")?;
    // It has to believe r2 to preempt it, and be believed.
    routers[0] = start(0)?;
    holds("r1").context("after the return of r1")?;
    let quiet = Moment::now();
    std::thread::sleep(ms(4_500));
    let moved: Vec<_> = addresses.history().into_iter().filter(|change| change.at > quiet).collect();
    ensure!(moved.is_empty(), "after the return of r1: {moved:?}");
    for (router, daemon) in routers.iter_mut().zip(daemons) {
        router.check_alive()?;
        let log = router.log();
        for word in [
            "hmac_",
            "invalid authentication",
            "stale",
            "replayed",
            "malformed",
            "panicked",
            "Unknown keyword",
        ] {
            let found = log.lines().find(|line| line.contains(word));
            ensure!(found.is_none(), "{daemon:?} says {found:?}\n{log}");
        }
    }
    Ok(())
}

/// A pair that advertises every 100 ms, its clients, and what must not happen to them.
struct Pair<'a> {
    hosts: [&'a Host; 2],
    priorities: [u8; 2],
}

impl<'a> Pair<'a> {
    fn new(lab: &'a Lab) -> Result<Self> {
        Ok(Self { hosts: [lab.host("r1")?, lab.host("r2")?], priorities: [150, 100] })
    }

    fn text(&self, which: usize, keys: &str) -> String {
        let conf = Conf::new(self.priorities[which]).with("garp_master_delay 0");
        if keys.is_empty() { conf.text() } else { conf.with(&block(keys)).text() }
    }

    fn reload(&self, which: usize, keys: &str) -> Result<String> {
        reload(self.hosts[which], &self.text(which, keys)).with_context(|| format!("r{}: {keys}", which + 1))
    }
}

/// New keys on both routers, one router after the other, in three steps: nobody notices.
fn rotation(lab: &Lab) -> Result<()> {
    let pair = Pair::new(lab)?;
    let addresses = lab.watch_addresses()?;
    let old = format!("{KEY_1}\nactive_key 1");
    for host in pair.hosts {
        host.write("/run/lab/key", SECRET, 0o600)?;
    }
    let mut routers = [
        pair.hosts[0].start(Daemon::Xvrrp, &pair.text(0, &old))?,
        pair.hosts[1].start(Daemon::Xvrrp, &pair.text(1, &old))?,
    ];
    until(pair.hosts[0], "VI_1", "MASTER", ms(5_000))?;
    until(pair.hosts[1], "VI_1", "BACKUP", ms(5_000))?;
    wait_for(ms(3_000), || instance(pair.hosts[1], "VI_1").ok()?.master).context("r2 hears no master")?;
    let pings = lab.host("client")?.ping(VIP.into(), ms(10), ms(60_000))?;
    let from = Moment::now();
    let steps = [
        (format!("{KEY_1}\n{KEY_2}\nactive_key 1"), "(VI_1) auth_hmac: keys", 1),
        (format!("{KEY_1}\n{KEY_2}\nactive_key 2"), "(VI_1) auth_hmac: active_key 1 -> 2", 2),
        (format!("{KEY_2}\nactive_key 2"), "(VI_1) auth_hmac: keys", 2),
    ];
    for (keys, said, active) in &steps {
        for which in [1, 0] {
            let answer = pair.reload(which, keys)?;
            ensure!(answer.contains(said), "{answer}");
            // More than the patience of a backup that does not understand its master.
            std::thread::sleep(ms(600));
            let hmac = instance(pair.hosts[which], "VI_1")?.hmac.context("no auth_hmac in the status")?;
            ensure!(hmac.active_key == *active && hmac.mode == "enforce", "{hmac:?}");
        }
    }
    // A key file that is gone leaves the keys that are in use.
    pair.hosts[0].write("/run/lab/key", "short", 0o600)?;
    let answer = pair.reload(0, &steps[2].0)?;
    ensure!(answer.contains("the keys before stay"), "{answer}");
    std::thread::sleep(ms(600));
    let moved: Vec<_> = addresses.history().into_iter().filter(|change| change.at > from).collect();
    ensure!(moved.is_empty(), "{moved:?}");
    let report = pings.stop();
    ensure!(report.sent() > 300 && report.lost() == 0, "{} of {} lost", report.lost(), report.sent());
    let page = stdout(&xvrrp(pair.hosts[1], &["status", "--run-dir", ha_tests::lab::RUN_DIR])?);
    ensure!(page.contains("enforce, signs with key 2 of 2") && page.contains("refused 0\n"), "{page}");
    for router in &mut routers {
        router.check_alive()?;
        ensure!(!router.log().contains(SECRET) && !router.log().contains("000102"), "a key is in the log");
    }
    Ok(())
}

/// From no authentication to `enforce` in three sweeps, and back: nobody notices.
fn migration(lab: &Lab) -> Result<()> {
    let pair = Pair::new(lab)?;
    let addresses = lab.watch_addresses()?;
    let _routers = [
        pair.hosts[0].start(Daemon::Xvrrp, &pair.text(0, ""))?,
        pair.hosts[1].start(Daemon::Xvrrp, &pair.text(1, ""))?,
    ];
    until(pair.hosts[0], "VI_1", "MASTER", ms(5_000))?;
    wait_for(ms(3_000), || instance(pair.hosts[1], "VI_1").ok()?.master).context("r2 hears no master")?;
    let pings = lab.host("client")?.ping(VIP.into(), ms(10), ms(60_000))?;
    let from = Moment::now();
    let mode = |mode: &str| format!("{KEY_1}\nactive_key 1\nmode {mode}");
    let sweeps =
        [mode("receive-only"), mode("permissive"), mode("enforce"), mode("permissive"), mode("receive-only")];
    for (number, keys) in sweeps.iter().enumerate() {
        for which in [number % 2, 1 - number % 2] {
            pair.reload(which, keys)?;
            std::thread::sleep(ms(500));
        }
        let hmac = instance(pair.hosts[1], "VI_1")?.hmac.context("no auth_hmac in the status")?;
        ensure!(hmac.unsigned > 0, "the first sweep takes unsigned adverts: {hmac:?}");
    }
    pair.reload(0, "")?;
    pair.reload(1, "")?;
    std::thread::sleep(ms(500));
    let moved: Vec<_> = addresses.history().into_iter().filter(|change| change.at > from).collect();
    ensure!(moved.is_empty(), "{moved:?}");
    let report = pings.stop();
    ensure!(report.sent() > 300 && report.lost() == 0, "{} of {} lost", report.lost(), report.sent());
    Ok(())
}

/// Who has no key, or another one, or repeats what was said, takes nothing over, alive or dead master alike.
/// Strangers are told from their trailers, not from the address that they have instead of ours.
fn any_addresses(text: &str) -> String {
    text.replacen("    advert_int", "    skip_check_adv_addr\n    advert_int", 1)
}

fn strangers(lab: &Lab) -> Result<()> {
    let pair = Pair::new(lab)?;
    let client = lab.host("client")?;
    let addresses = lab.watch_addresses()?;
    let keys = format!("{KEY_1}\nactive_key 1");
    let mut routers = [
        pair.hosts[0].start(Daemon::Xvrrp, &any_addresses(&pair.text(0, &keys)))?,
        pair.hosts[1].start(Daemon::Xvrrp, &any_addresses(&pair.text(1, &keys)))?,
    ];
    until(pair.hosts[0], "VI_1", "MASTER", ms(5_000))?;
    wait_for(ms(3_000), || instance(pair.hosts[1], "VI_1").ok()?.master).context("r2 hears no master")?;
    let moved = |from: Moment| -> Vec<_> {
        let ours = |change: &ha_tests::lab::ChangeAt| change.at > from && change.host != "client";
        addresses.history().into_iter().filter(ours).collect()
    };
    for (strange, reason) in [
        ("", "hmac_missing"),
        (
            "key 1 hex:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\nactive_key 1",
            "hmac_invalid",
        ),
        (
            "key 9 hex:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\nactive_key 9",
            "hmac_unknown_key",
        ),
    ] {
        let from = Moment::now();
        let conf = Conf::new(250).vips(["172.16.1.99"]);
        let conf = if strange.is_empty() { conf } else { conf.with(&block(strange)) };
        let mut stranger = client.start(Daemon::Xvrrp, &conf.text())?;
        for host in pair.hosts {
            counted(host, reason).with_context(|| format!("{reason} on {}", host.name()))?;
        }
        stranger.stop()?.context("killed")?;
        ensure!(moved(from).is_empty(), "{reason}: {:?}", moved(from));
    }
    // The backup hears its master's adverts again, while it lives and after it died. Older ones than these are stale.
    let recorded = record(client, 5)?;
    ensure!(recorded.iter().all(|frame| frame.len() == 14 + 20 + 12 + 28), "{recorded:?}");
    let injector = client.injector()?;
    let replay = |frames: &[Vec<u8>]| frames.iter().try_for_each(|frame| injector.send(frame));
    wait_for(ms(5_000), || {
        replay(&recorded).ok()?;
        std::thread::sleep(ms(50));
        counters(pair.hosts[1]).ok()?.get("hmac_replay").copied().filter(|count| *count > 0)
    })
    .context("no replay was counted on r2")?;
    // The very last one too, which the backup has just accepted.
    let recorded = record(client, 2)?;
    let died = Moment::now();
    lab.switch().silence("r1")?;
    let taken = wait_for(ms(5_000), || {
        let _ = replay(&recorded);
        std::thread::sleep(ms(20));
        addresses.first("r2", ha_tests::lab::Change::Added(VIP.into()), died)
    });
    taken.context("replayed adverts keep a dead master alive")?;
    lab.switch().restore("r1")?;
    wait_for(ms(8_000), || (addresses.holders(VIP.into()) == ["r1"]).then_some(())).context("r1 is back")?;
    routers.iter_mut().try_for_each(ha_tests::lab::Running::check_alive)
}

/// What cannot be told from an advert before it is judged has a budget, and the master's adverts another one.
fn flood(lab: &Lab) -> Result<()> {
    let pair = Pair::new(lab)?;
    let client = lab.host("client")?;
    let addresses = lab.watch_addresses()?;
    let keys = format!("{KEY_1}\nactive_key 1");
    let _routers = [
        pair.hosts[0].start(Daemon::Xvrrp, &pair.text(0, &keys))?,
        pair.hosts[1].start(Daemon::Xvrrp, &pair.text(1, &keys))?,
    ];
    until(pair.hosts[0], "VI_1", "MASTER", ms(5_000))?;
    wait_for(ms(3_000), || instance(pair.hosts[1], "VI_1").ok()?.master).context("r2 hears no master")?;
    let forged = advert(client.spec(), 25, 250, VIP.into())?;
    let from = Moment::now();
    let flood = client.injector()?.flood(vec![forged], 2_000)?;
    counted(pair.hosts[1], "rate_limited")?;
    std::thread::sleep(ms(3_000));
    drop(flood);
    let moved: Vec<_> = addresses.history().into_iter().filter(|change| change.at > from).collect();
    ensure!(moved.is_empty(), "{moved:?}");
    Ok(())
}

/// A planned restart: the run before, the herald and the next run sign, and the backup waits.
fn restart(lab: &Lab) -> Result<()> {
    let pair = Pair::new(lab)?;
    let addresses = lab.watch_addresses()?;
    let keys = format!("{KEY_1}\nactive_key 1");
    let mut master = pair.hosts[0].start(Daemon::XvrrpRfc, &pair.text(0, &keys))?;
    let _backup = pair.hosts[1].start(Daemon::XvrrpRfc, &pair.text(1, &keys))?;
    until(pair.hosts[0], "VI_1", "MASTER", ms(5_000))?;
    wait_for(ms(3_000), || instance(pair.hosts[1], "VI_1").ok()?.master).context("r2 hears no master")?;
    let from = Moment::now();
    let output = xvrrp(pair.hosts[0], &["restart", "--run-dir", ha_tests::lab::RUN_DIR])?;
    ensure!(output.status.success(), "{}", crate::pair::stderr(&output));
    until(pair.hosts[0], "VI_1", "MASTER", ms(5_000))?;
    std::thread::sleep(ms(1_000));
    let moved: Vec<_> = addresses.history().into_iter().filter(|change| change.at > from).collect();
    ensure!(moved.is_empty(), "{moved:?}");
    master.check_alive()
}

/// The next frames with an advert that `host` sees.
fn record(host: &Host, count: usize) -> Result<Vec<Vec<u8>>> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = host.inside(|| Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0x0300))))??;
    socket.set_read_timeout(Some(ms(500)))?;
    let (mut frames, begin) = (Vec::new(), Moment::now());
    while frames.len() < count {
        ensure!(Moment::now().since(begin) < ms(5_000), "{} adverts", frames.len());
        let mut frame = vec![0; 2_000];
        let Ok(len) = (&socket).read(&mut frame) else { continue };
        frame.truncate(len);
        if frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&112) {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Waits until a host has counted adverts for this reason.
fn counted(host: &Host, reason: &str) -> Result<()> {
    let found = wait_for(ms(5_000), || {
        std::thread::sleep(ms(50));
        counters(host).ok()?.get(reason).copied().filter(|count| *count > 0)
    });
    found.with_context(|| format!("no {reason} was counted on {}", host.name()))?;
    Ok(())
}
