//! The first line and the exit code of `xvrrp status`, and `xvrrp ready`: what an operator is told of a pair that is not
//! well.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab, RUN_DIR, Running, wait_for};
use serde_json::Value;

use crate::degraded::start_without;
use crate::harness::Test;
use crate::pair::{Conf, VIP, ms, reload, script, stdout, until, xvrrp};

pub(crate) fn tests() -> Vec<Test> {
    let new = |name: &str, body: fn(&Lab) -> Result<()>| {
        Test::new(format!("verdict::{name}"), body).needs([Daemon::Xvrrp])
    };
    vec![
        new("passwords_differ", passwords),
        new("versions_and_intervals_differ", versions),
        new("a_foreign_vrid_has_our_address", foreign),
        new("the_other_family_has_our_address", family),
        new("an_address_is_left_on_a_backup", held),
        new("an_address_that_could_not_be_added", missing),
        new("a_standby_dies_and_comes_back", standby),
        new("cables_are_pulled_three_times", failback),
        new("figures_outlive_a_restart", restarted),
        new("a_frozen_daemon", frozen),
        new("instances_brief_and_watched", brief),
    ]
}

/// Exit code and text of `xvrrp status`.
fn status(host: &Host, arguments: &[&str]) -> Result<(i32, String)> {
    ask(host, &[&["status", "--run-dir", RUN_DIR], arguments].concat())
}

fn ready(host: &Host) -> Result<(i32, String)> {
    ask(host, &["ready", "--run-dir", RUN_DIR])
}

fn ask(host: &Host, arguments: &[&str]) -> Result<(i32, String)> {
    let output = xvrrp(host, arguments)?;
    Ok((output.status.code().context("it was killed")?, stdout(&output)))
}

/// Waits until an answer is as wanted; else it is told.
fn comes(mut ask: impl FnMut() -> Result<(i32, String)>, code: i32, words: &[&str]) -> Result<String> {
    let mut last = None;
    let found = wait_for(ms(12_000), || {
        let answer = ask();
        let wanted = answer
            .as_ref()
            .is_ok_and(|(exit, text)| *exit == code && words.iter().all(|word| text.contains(word)));
        let text = answer.as_ref().map(|(_, text)| text.clone()).unwrap_or_default();
        last = Some(answer);
        if !wanted {
            std::thread::sleep(ms(50));
        }
        wanted.then_some(text)
    });
    found.with_context(|| format!("wanted {code} and {words:?}, not {last:?}"))
}

fn code_of(host: &Host, code: &str) -> Result<Value> {
    let (_, text) = status(host, &["--json"])?;
    let value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let findings = value["verdict"]["findings"].as_array().context("no findings")?;
    let found = findings.iter().find(|finding| finding["code"] == code);
    found.cloned().with_context(|| format!("{}: no {code} in {findings:?}", host.name()))
}

/// A pair of which both are master, because of what differs.
fn both_critical(lab: &Lab, files: [&str; 2], words: [&str; 2], code: &str) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let mut daemons = [r1.start(Daemon::Xvrrp, files[0])?, r2.start(Daemon::Xvrrp, files[1])?];
    for (host, word) in [r1, r2].into_iter().zip(words) {
        let text = comes(|| status(host, &[]), 2, &[word])?;
        let first = text.lines().next().unwrap_or_default();
        ensure!(first.starts_with("CRITICAL VI_1: ") && first.contains(word), "{text}");
        ensure!(code_of(host, code)?["severity"] == "CRITICAL");
    }
    daemons.iter_mut().try_for_each(Running::check_alive)?;
    Ok(daemons)
}

fn with_password(password: &str) -> String {
    let auth = format!("authentication {{\n auth_type PASS\n auth_pass {password}\n }}");
    Conf::new(100).every("1").with(&auth).text().replace("version 3", "version 2")
}

fn passwords(lab: &Lab) -> Result<()> {
    let files = [&*with_password("secret1"), &*with_password("secret2")];
    let words = [
        "172.16.1.2 is master too (its password differs: ",
        "172.16.1.1 is master too (its password differs: ",
    ];
    let _daemons = both_critical(lab, files, words, "competing_master")?;
    // What is mended is forgotten.
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    reload(r1, files[1])?;
    let well = |host: &Host| comes(|| status(host, &[]), 0, &["OK: 1 instance, 1 "]);
    let (first, second) = (well(r1)?, well(r2)?);
    ensure!(first.contains("1 MASTER") != second.contains("1 MASTER"), "{first}{second}");
    Ok(())
}

fn versions(lab: &Lab) -> Result<()> {
    let three = Conf::new(100).every("1").text();
    let two = three.replace("version 3", "version 2");
    let version = "its VRRP version differs";
    let _daemons = both_critical(lab, [&two, &three], [version; 2], "competing_master")?;
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    reload(r1, &two)?;
    reload(r2, &two.replace("advert_int 1", "advert_int 2"))?;
    for host in [r1, r2] {
        comes(|| status(host, &[]), 2, &["is master too (its interval differs"])?;
    }
    Ok(())
}

fn foreign(lab: &Lab) -> Result<()> {
    let files = [Conf::new(100).text(), Conf::new(99).named("VI_1", 26).text()];
    let words = [
        "172.16.1.2 advertises 172.16.1.25 as VRID 26, which is not configured here",
        "172.16.1.1 advertises 172.16.1.25 as VRID 25, which is not configured here",
    ];
    both_critical(lab, [&files[0], &files[1]], words, "foreign_vrid").map(drop)
}

/// The first address decides over the family; the other one is served by both.
fn family(lab: &Lab) -> Result<()> {
    let both = ["172.16.1.25", "fd00::25"];
    let file = |order: [&str; 2]| {
        let [first, second] = order;
        let excluded = format!("virtual_ipaddress_excluded {{\n        {second}\n    }}");
        Conf::new(100).with(&excluded).vips([first]).text()
    };
    let files = [file(both), file([both[1], both[0]])];
    let words = ["advertises fd00::25 as VRID 25 over ipv6", "advertises 172.16.1.25 as VRID 25 over ipv4"];
    both_critical(lab, [&files[0], &files[1]], words, "foreign_vrid").map(drop)
}

fn pair(lab: &Lab, more: &str) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let first = r1.start(Daemon::Xvrrp, &format!("{more}{}", Conf::new(101).text()))?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    let second = r2.start(Daemon::Xvrrp, &Conf::new(99).text())?;
    until(r2, "VI_1", "BACKUP", ms(8_000))?;
    Ok([first, second])
}

fn held(lab: &Lab) -> Result<()> {
    let r2 = lab.host("r2")?;
    let _daemons = pair(lab, "")?;
    comes(|| status(r2, &[]), 0, &["OK: 1 instance, 1 BACKUP"])?;
    r2.output(&["ip", "addr", "add", &format!("{VIP}/32"), "dev", r2.interface()])?;
    comes(
        || status(r2, &[]),
        2,
        &["CRITICAL VI_1: is not master, and still there: 172.16.1.25/32 on ens160"],
    )?;
    comes(|| ready(r2), 1, &["could NOT take over", "is on this host already"])?;
    r2.output(&["ip", "addr", "del", &format!("{VIP}/32"), "dev", r2.interface()])?;
    comes(|| ready(r2), 0, &["VI_1: BACKUP here, this host would take over within "])?;
    Ok(())
}

/// The daemon may not add addresses: it is in FAULT, and says which right is missing.
fn missing(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    r1.write(crate::pair::FILE, Conf::new(100).text(), 0o644)?;
    let _daemon = start_without(r1, "-net_admin", &["--run-dir", RUN_DIR], "/run/lab/xvrrp.log")?;
    let words = ["CRITICAL VI_1: in FAULT: CAP_NET_ADMIN is missing, so no address can be added"];
    comes(|| status(r1, &[]), 2, &words).map(drop)
}

fn standby(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let heard = "/run/standby";
    let tells = format!("#!/bin/sh\necho \"$@\" >> {heard}\n");
    r1.write("/etc/keepalived/standby", &tells, 0o755)?;
    let global = "global_defs {\n script_user root\n enable_script_security\n standby_warn 1\n}\n";
    let file = |priority| Conf::new(priority).with("notify_standby /etc/keepalived/standby").text();
    let _first = r1.start(Daemon::Xvrrp, &(global.to_owned() + &file(101)))?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    let mut second = r2.start(Daemon::Xvrrp, &Conf::new(99).text())?;
    comes(|| ready(r1), 0, &["VI_1: MASTER here, 172.16.1.2 would take over within "])?;
    comes(|| status(r1, &[]), 0, &["OK: 1 instance, 1 MASTER", "172.16.1.2 priority 99, probed "])?;
    comes(|| ready(r2), 0, &["VI_1: BACKUP here, this host would take over within "])?;

    second.kill9()?;
    comes(|| ready(r1), 1, &["VI_1: MASTER here, NOBODY would take over since ", " ago)"])?;
    comes(|| status(r1, &[]), 1, &["WARNING VI_1: nobody would take over, for ", "[no_standby]"])?;
    let lines = |wanted: &str| {
        let seen = wait_for(ms(5_000), || {
            let text = r1.read(heard).unwrap_or_default();
            text.lines().last().is_some_and(|line| line == wanted).then_some(text)
        });
        seen.with_context(|| format!("{wanted} is not the last of {:?}", r1.read(heard)))
    };
    lines("INSTANCE VI_1 NONE 101")?;
    let _second = r2.start(Daemon::Xvrrp, &Conf::new(99).text())?;
    comes(|| ready(r1), 0, &["172.16.1.2 would take over within "])?;
    let all = lines("INSTANCE VI_1 READY 101")?;
    // At its start it had none either, and that is said in this file.
    ensure!(all.matches("NONE").count() <= 2, "{all}");
    Ok(())
}

/// What one router thinks of the other is over when that has come back.
fn failback(lab: &Lab) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let _daemons = pair(lab, "")?;
    for n in 1..=3 {
        comes(|| ready(r1), 0, &["172.16.1.2 would take over"])?;
        lab.switch().unplug("r1")?;
        until(r2, "VI_1", "MASTER", ms(8_000))?;
        lab.switch().plug("r1")?;
        until(r1, "VI_1", "MASTER", ms(8_000))?;
        until(r2, "VI_1", "BACKUP", ms(8_000))?;
        let peers = |host: &Host| {
            let (_, text) = status(host, &["--json"])?;
            let value: Value = serde_json::from_str(&text)?;
            Ok::<_, anyhow::Error>(value["interfaces"][0]["peers"].clone())
        };
        comes(|| ready(r2), 0, &["this host would take over within "])?;
        for host in [r1, r2] {
            let well =
                || peers(host).ok()?.as_array()?.iter().all(|peer| peer["verdict"].is_null()).then_some(());
            wait_for(ms(2_000), well).with_context(|| {
                format!(
                    "{}: after pull {n} a healthy peer is {}",
                    host.name(),
                    peers(host).unwrap_or_default()
                )
            })?;
        }
        let verdicts = peers(r2)?[0]["verdicts"].clone();
        ensure!(verdicts == n, "{verdicts} verdicts for {n} cables");
    }
    for host in [r1, r2] {
        comes(|| status(host, &[]), 0, &["OK: 1 instance"])?;
    }
    Ok(())
}

/// Counters, and since when roles are what they are: nothing has changed for those who look at them.
fn restarted(lab: &Lab) -> Result<()> {
    let hosts = [lab.host("r1")?, lab.host("r2")?];
    let _daemons = pair(lab, "")?;
    comes(|| ready(hosts[0]), 0, &["172.16.1.2 would take over"])?;
    let look = |host: &Host| {
        let (_, text) = status(host, &["--json"])?;
        let value: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        Ok::<_, anyhow::Error>((
            value["pid"].clone(),
            value["instances"][0].clone(),
            value["started"].clone(),
        ))
    };
    for (host, counter) in hosts.into_iter().zip(["advert_sent", "advert_rcvd"]) {
        std::thread::sleep(ms(1_500));
        let (_, before, started) = look(host)?;
        let output = xvrrp(host, &["restart", "--run-dir", RUN_DIR])?;
        ensure!(output.status.success(), "{output:?}");
        let again = || {
            let (_, after, again) = look(host).ok()?;
            (again != started && after["state"] == before["state"]).then_some(after)
        };
        let after = wait_for(ms(8_000), again).with_context(|| format!("{}: no restart", host.name()))?;
        let number = |of: &Value, path: &str| of.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        for path in ["/since_ms", &format!("/stats/{counter}")] {
            let (before, after) = (number(&before, path), number(&after, path));
            ensure!(before > 0 && after >= before, "{}: {path} was {before} and is {after}", host.name());
        }
        ensure!(before["stats"]["become_master"] == after["stats"]["become_master"], "{before} {after}");
    }
    Ok(())
}

fn frozen(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let daemon = r1.start(Daemon::Xvrrp, &Conf::new(100).text())?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    daemon.freeze()?;
    for command in ["status", "ready"] {
        let (code, text) = ask(r1, &[command, "--run-dir", RUN_DIR, "--timeout", "0.3"])?;
        ensure!(
            code == 3
                && text.starts_with("UNKNOWN: ")
                && text.contains("not answered for 300ms: it is frozen"),
            "{code}: {text}"
        );
    }
    let (code, text) = status(r1, &["--timeout", "0.3", "--json"])?;
    let value: Value = serde_json::from_str(&text)?;
    ensure!(code == 3 && value["verdict"]["findings"][0]["code"] == "frozen", "{code}: {text}");
    daemon.thaw()?;
    comes(|| status(r1, &[]), 0, &["OK: 1 instance, 1 MASTER"])?;
    Ok(())
}

fn brief(lab: &Lab) -> Result<()> {
    let r1 = lab.host("r1")?;
    let other = Conf::new(100).named("VI_2", 26).vips(["172.16.1.26"]).with("track_script {\n chk\n }");
    let file = script("") + &Conf::new(100).text() + &other.text();
    r1.write("/run/bad", "", 0o644)?;
    let _daemon = r1.start(Daemon::Xvrrp, &file)?;
    until(r1, "VI_1", "MASTER", ms(8_000))?;
    until(r1, "VI_2", "FAULT", ms(8_000))?;
    let (code, text) = status(r1, &["--brief"])?;
    let starts: Vec<_> =
        text.lines().map(|line| line.split_whitespace().take(3).collect::<Vec<_>>()).collect();
    ensure!(code == 2, "{code}: {text}");
    ensure!(starts == [["OK", "VI_1", "MASTER"], ["CRITICAL", "VI_2", "FAULT"]], "{text}");
    let (code, text) = status(r1, &["VI_1", "--brief"])?;
    ensure!(code == 1 && text.lines().count() == 1, "the script fails: {code}: {text}");
    let (code, text) = status(r1, &["VI_l"])?;
    let wanted = "UNKNOWN: there is no instance VI_l; did you mean VI_1? There are: VI_1, VI_2\n";
    ensure!((code, &*text) == (3, wanted), "{code}: {text}");
    // Without a terminal there are no colours and no cleared screens.
    let binary = r1.path_of_machine(ha_tests::lab::xvrrp_binary()?);
    let binary = binary.to_str().context("the path of xvrrp is not UTF-8")?;
    let watched = r1.run(&["timeout", "1.5", binary, "status", "--brief", "--watch", "0.2"])?;
    let text = stdout(&watched);
    ensure!(text.matches("CRITICAL").count() >= 2 && !text.contains('\u{1b}'), "{text}");
    Ok(())
}
