//! `xvrrp doctor` on hosts that lack something: what it finds, what it expects, its exit code, and that it changes
//! nothing.

mod xdp_support;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use serde_json::{Value, json};
use xdp_support::raw::Raw;
use xdp_support::{run, veth};

fn main() -> ExitCode {
    xdp_support::main(&[
        ("a_healthy_host_is_good_and_stays_as_it_was", healthy),
        ("the_program_of_somebody_else_is_named_and_left_alone", occupied),
        ("rules_that_drop_vrrp_are_found", firewall),
        ("without_a_bpf_file_system_the_fence_is_lost", no_bpffs),
        ("missing_rights_are_told_by_what_they_cost", rights),
        ("an_ordinary_user_is_told_what_was_not_found_out", nobody),
        ("what_the_file_switches_off_is_expected", switched_off),
        ("an_interface_that_is_not_there_fails", no_interface),
        ("a_file_that_cannot_be_used_fails", broken_file),
    ])
}

const XVRRP: &str = env!("CARGO_BIN_EXE_xvrrp");
const INSTANCE: &str = "vrrp_instance VI_1 {\n interface ens160\n virtual_router_id 9\n priority 100\n \
                        virtual_ipaddress { 172.16.1.25 }\n}\n";

/// A directory with a configuration, and a binary that everybody may run.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(config: &str) -> Self {
        let place = Self { directory: tempfile::tempdir().expect("a directory") };
        std::fs::set_permissions(place.directory.path(), Permissions::from_mode(0o755)).expect("allowed");
        std::fs::write(place.config(), config).expect("written");
        place
    }

    fn config(&self) -> String {
        self.directory.path().join("keepalived.conf").display().to_string()
    }

    /// Runs doctor on the configuration, behind a command that changes what it may do. Exit code and report.
    fn doctor_behind(&self, command: &[&str], arguments: &[&str]) -> (i32, Value) {
        let done = self.run(command, &[arguments, &["--json"]].concat());
        let code = done.status.code().expect("an exit code");
        let report: Value = serde_json::from_slice(&done.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", text(&done.stdout), text(&done.stderr)));
        assert_eq!(report["exit_code"], code);
        assert_eq!(report["schema"], 1);
        (code, report)
    }

    fn doctor(&self, arguments: &[&str]) -> (i32, Value) {
        self.doctor_behind(&[], arguments)
    }

    /// The same, and people are told the same.
    fn doctor_in_words(&self) -> (i32, Value) {
        let (code, report) = self.doctor(&[]);
        let page = self.run(&[], &[]);
        assert_eq!(page.status.code(), Some(code), "{}", text(&page.stdout));
        let page = text(&page.stdout);
        for finding in list(&report, "findings") {
            let line = page.lines().find(|line| line.contains(word(finding, "text")));
            let line = line.unwrap_or_else(|| panic!("{finding} is not in\n{page}"));
            assert!(line.starts_with(word(finding, "level")), "{line}");
            assert!(line.contains(finding["fix"].as_str().unwrap_or_default()), "{line}");
        }
        let verdict = ["good:", "degraded:", "cannot run"][usize::try_from(code).expect("small")];
        assert!(page.lines().last().is_some_and(|line| line.starts_with(verdict)), "{page}");
        (code, report)
    }

    fn run(&self, command: &[&str], arguments: &[&str]) -> Output {
        let config = self.config();
        output(&[command, &[XVRRP, "doctor", "-f", &config], arguments].concat())
    }
}

fn output(words: &[&str]) -> Output {
    let [program, arguments @ ..] = words else { panic!("no program") };
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().unwrap_or_else(|| panic!("no {name}: {report}"))
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

/// The finding of this word, which must be there.
fn finding<'a>(report: &'a Value, what: &str) -> &'a Value {
    let found = list(report, "findings").iter().filter(|finding| finding["what"] == what);
    // Of several the worst.
    found
        .max_by_key(|finding| {
            ["ok", "note", "warn", "fail"].iter().position(|level| finding["level"] == *level)
        })
        .unwrap_or_else(|| panic!("nothing about {what}: {report:#}"))
}

/// What the kernel shows of everything that doctor touches.
fn state() -> String {
    let pins = std::fs::read_dir("/sys/fs/bpf").map_or(0, Iterator::count);
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("readable");
    format!("{}{}{}{pins}", mounts, run("ip -d addr show"), run("ip route show table all"))
}

fn healthy() {
    veth();
    let place = Place::new(INSTANCE);
    let before = state();
    let (code, report) = place.doctor_in_words();
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(report["configuration"], place.config());
    let expected = &report["interfaces"][0];
    assert_eq!(expected["mode"], "generic", "{expected}");
    assert_eq!((&expected["fence"], &expected["lost"]), (&json!("armed"), &json!([])));
    assert_eq!((&expected["detection_ms"], &expected["rfc_ms"]), (&json!(10.0), &json!(3609.375)));
    for what in ["bpf", "program", "links", "jit", "bpffs", "link", "rules"] {
        assert_eq!(finding(&report, what)["level"], "ok", "{what}");
    }
    assert_eq!(state(), before);
}

fn occupied() {
    let ifindex = veth();
    let other = Raw::empty();
    let link = other.attach(ifindex);
    let place = Place::new(INSTANCE);
    let (code, report) = place.doctor_in_words();
    assert_eq!(code, 0);
    let busy = finding(&report, "busy");
    assert!(busy["level"] == "note" && word(busy, "text").contains("an XDP program with id"), "{busy}");
    assert!(word(busy, "fix").contains("xdp off"), "{busy}");
    let expected = &report["interfaces"][0];
    assert_eq!(expected["mode"], "tc", "{expected}");
    assert_eq!((&expected["fence"], &expected["lost"]), (&json!("armed"), &json!([])));
    assert!(run("ip link show ens160").contains("xdpgeneric"), "it was detached");
    drop(link);
}

fn firewall() {
    veth();
    let place = Place::new(INSTANCE);
    run("nft add table inet lab");
    run("nft add chain inet lab in { type filter hook input priority 0 ; }");
    run("nft add chain inet lab out { type filter hook output priority 0 ; }");
    assert_eq!(finding(&place.doctor(&[]).1, "rules")["level"], "ok");
    run("nft add rule inet lab in ip protocol vrrp drop");
    let (code, report) = place.doctor(&[]);
    let input = finding(&report, "input");
    assert!(input["level"] == "warn" && word(input, "text").contains("inet lab in (handle "), "{input}");
    assert_eq!(code, 1, "XDP sees adverts before the rule does");
    // Without XDP nothing is left.
    let off = Place::new(&format!("global_defs {{\n xdp_mode off\n}}\n{INSTANCE}"));
    let (code, report) = off.doctor(&[]);
    assert_eq!((code, &finding(&report, "input")["level"]), (2, &json!("fail")));
    // A rule before it that accepts.
    run("nft insert rule inet lab in meta l4proto 112 accept");
    assert_eq!(place.doctor(&[]).0, 0);
    // A master that nobody hears.
    run("nft add rule inet lab out meta l4proto 112 drop");
    let (code, report) = place.doctor(&[]);
    assert_eq!((code, &finding(&report, "output")["level"]), (2, &json!("fail")));
}

fn no_bpffs() {
    veth();
    // An empty directory that nothing can be put into.
    run("mount -t tmpfs -o ro,size=4k none /sys/fs");
    let (code, report) = Place::new(INSTANCE).doctor(&[]);
    assert_eq!(code, 1);
    let bpffs = finding(&report, "bpffs");
    assert!(bpffs["level"] == "warn" && word(bpffs, "text").contains("/sys/fs/bpf"), "{bpffs}");
    let expected = &report["interfaces"][0];
    assert_eq!((&expected["mode"], &expected["fence"]), (&json!("generic"), &json!("not pinned")));
    assert_eq!(expected["lost"], json!(["fence_after_death"]));
}

fn rights() {
    veth();
    let place = Place::new(INSTANCE);
    let without =
        |rights: &str| place.doctor_behind(&["setpriv", "--bounding-set", rights, "--inh-caps", rights], &[]);
    let (code, report) = without("-bpf,-sys_admin,-perfmon");
    assert_eq!(code, 1);
    let bpf = finding(&report, "bpf");
    assert!(bpf["level"] == "warn" && word(bpf, "fix").contains("CAP_BPF"), "{bpf}");
    assert_eq!(report["interfaces"][0]["mode"], "raw-socket");
    assert!(word(finding(&report, "capabilities"), "text").contains("CAP_"));
    let (code, report) = without("-net_raw");
    assert_eq!((code, &finding(&report, "capabilities")["level"]), (2, &json!("fail")));
    let (code, report) = without("-sys_nice");
    assert_eq!((code, &finding(&report, "realtime")["level"]), (1, &json!("warn")));
}

fn nobody() {
    veth();
    let place = Place::new(INSTANCE);
    let binary = place.directory.path().join("xvrrp");
    std::fs::copy(XVRRP, &binary).expect("copied");
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let config = place.config();
    let words = [binary.to_str().expect("UTF-8"), "doctor", "-f", &config, "--json"];
    let done = output(&user.into_iter().chain(words).collect::<Vec<_>>());
    let report: Value = serde_json::from_slice(&done.stdout).expect("JSON");
    assert_eq!(done.status.code(), Some(1), "{report:#}");
    assert!(word(finding(&report, "root"), "text").starts_with("not root"), "{report:#}");
    let bpf = finding(&report, "bpf");
    assert!(bpf["level"] == "note" && word(bpf, "text").starts_with("not found out"), "{bpf}");
    assert_eq!(finding(&report, "link")["level"], "ok");
}

fn switched_off() {
    veth();
    let (code, report) = Place::new(&format!("global_defs {{\n xdp_mode off\n}}\n{INSTANCE}")).doctor(&[]);
    assert_eq!(code, 1);
    let expected = &report["interfaces"][0];
    assert_eq!((&expected["mode"], &expected["level"]), (&json!("raw-socket"), &json!("warn")));
    assert!(word(expected, "better").contains("xdp_mode off"), "{expected}");
    // Who does not want fast failover either misses nothing.
    let both = format!("global_defs {{\n xdp_mode off\n fast_failover off\n}}\n{INSTANCE}");
    let (code, report) = Place::new(&both).doctor(&[]);
    assert_eq!((code, &report["interfaces"][0]["lost"]), (0, &json!([])), "{report:#}");
}

fn no_interface() {
    veth();
    let place = Place::new(INSTANCE);
    let (code, report) = place.doctor(&["nosuch0"]);
    assert_eq!(code, 2);
    let link = finding(&report, "link");
    assert!(link["level"] == "fail" && word(link, "text").contains("no interface nosuch0"), "{link}");
    assert_eq!(report["interfaces"][0]["mode"], "none");
    // While another one works, the daemon runs.
    assert_eq!(place.doctor(&["nosuch0", "ens160"]).0, 1);
    let name = "a-name-that-is-longer-than-any-name-of-an-interface";
    assert_eq!(place.doctor(&[name]).0, 2);
}

fn broken_file() {
    veth();
    let (code, report) = Place::new("vrrp_instance VI_1 {\n interface ens160\n").doctor(&[]);
    assert!(matches!(code, 1 | 2), "{report:#}");
    assert!(word(finding(&report, "configuration"), "fix").contains("xvrrp check"), "{report:#}");
    let place = Place::new(INSTANCE);
    std::fs::remove_file(Path::new(&place.config())).expect("removed");
    let (code, report) = place.doctor(&["ens160"]);
    assert_eq!((code, &finding(&report, "configuration")["level"]), (2, &json!("fail")), "{report:#}");
}
