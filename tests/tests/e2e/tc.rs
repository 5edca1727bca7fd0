//! Another XDP program has the interface: adverts, probes and the fence go through traffic control.

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Change, Daemon, Host, Lab, Moment, Running, wait_for};
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use crate::degraded::{config, settled};
use crate::harness::Test;
use crate::hostile::{VIP, json, ms, reach, sound, state};
use crate::pair;

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    for (kind, arguments) in [("tcx", &[][..]), ("clsact", &["--no-tcx"][..])] {
        let mut add = |name: &str, body: fn(&Lab, &'static [&'static str]) -> Result<()>| {
            let test = Test::new(format!("tc::{kind}_{name}"), move |lab| body(lab, arguments));
            tests.push(test.needs([Daemon::Xvrrp]).needs_tool("bpftool").needs_tool("tc"));
        };
        add("takeover_and_fence", takeover);
    }
    tests
}

/// `r0 = XDP_PASS; exit`.
const PASS: &[u8] = &[0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// Attaches an XDP program of these instructions, called `other`, as anybody would.
fn occupy(host: &Host, instructions: &[u8]) -> Result<()> {
    let mut elf = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let section = elf.add_section(Vec::new(), b"xdp".to_vec(), SectionKind::Text);
    elf.append_section_data(section, instructions, 8);
    elf.add_symbol(Symbol {
        name: b"other".to_vec(),
        value: 0,
        size: instructions.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    let license = elf.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    elf.append_section_data(license, b"GPL\0", 1);
    host.write("/run/lab/other.o", elf.write()?, 0o644)?;
    host.output(&["ip", "link", "set", "ens160", "xdpgeneric", "obj", "/run/lab/other.o", "sec", "xdp"])
        .map(drop)
}

/// What is attached to the interfaces.
fn programs(host: &Host) -> Result<String> {
    host.output(&["bpftool", "net", "show", "dev", "ens160"])
}

/// How an interface receives, and why not better.
fn receives(host: &Host) -> Result<(String, String)> {
    let status = json(host, "status")?;
    let word = |key: &str| status["interfaces"][0][key].as_str().unwrap_or_default().to_owned();
    Ok((word("xdp"), word("xdp_reason")))
}

fn through(host: &Host, mode: &str) -> Result<()> {
    wait_for(ms(4_000), || receives(host).is_ok_and(|(now, _)| now == mode).then_some(()))
        .with_context(|| format!("{} does not receive through {mode}: {:?}", host.name(), receives(host)))
}

/// r1 as master and r2 as backup that probes it.
fn routers(lab: &Lab, arguments: &[&str]) -> Result<[Running; 2]> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    for host in [r1, r2] {
        occupy(host, PASS)?;
    }
    let start = |host: &Host, priority| host.start_with(Daemon::Xvrrp, &config(priority), arguments);
    let running = [start(r1, 200)?, start(r2, 100)?];
    settled(r1, r2)?;
    through(r1, "tc")?;
    through(r2, "tc")?;
    probing(&running[1], 1)?;
    Ok(running)
}

/// Waits until the backup's probes are answered for the `times`th time.
fn probing(backup: &Running, times: usize) -> Result<()> {
    let answered = || (backup.log().matches("answers probes").count() >= times).then_some(());
    wait_for(ms(5_000), answered).with_context(|| format!("no probe is answered:\n{}", backup.log()))
}

/// The daemon of the master dies: its program says so, and answers no question for the address any more.
fn takeover(lab: &Lab, arguments: &[&str]) -> Result<()> {
    let (r1, r2) = (lab.host("r1")?, lab.host("r2")?);
    let [mut master, mut backup] = routers(lab, arguments)?;
    let (_, why) = receives(r1)?;
    ensure!(why.contains("the XDP program other (id "), "{why}");
    let addresses = lab.watch_addresses()?;
    let census = lab.arp_census("client", pair::VIP, ms(2))?;
    let died = Moment::now();
    master.kill9()?;
    let taken = wait_for(ms(3_000), || addresses.first("r2", Change::Added(VIP), died))
        .with_context(|| format!("nobody takes over:\n{}", backup.log()))?;
    println!("taken over {:.1} ms after kill -9", taken.ms_after(died));
    ensure!(backup.log().contains("orphaned") || backup.log().contains("no daemon"), "{}", backup.log());
    ensure!(r1.holds(VIP)?, "the killed router does not have its address any more");
    std::thread::sleep(ms(1_500));
    let doubles = census.double_answers(taken.plus(ms(20)));
    ensure!(doubles.is_empty(), "{} questions with two answers: {:?}", doubles.len(), doubles[0]);
    // The next run takes the program over.
    let mut master = r1.start_with(Daemon::Xvrrp, &config(200), arguments)?;
    settled(r1, r2)?;
    through(r1, "tc")?;
    master.stop()?;
    reach(r2, "VI_1", "MASTER", ms(3_000))?;
    ensure!(!programs(r1)?.contains("ha_tc"), "{}", programs(r1)?);
    ensure!(state(r2, "VI_1") == "MASTER");
    sound(&mut backup, 60)
}
