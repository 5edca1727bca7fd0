//! `keepalived -t` on the same files. It is a black box here: exit codes only.

use std::collections::HashMap;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use super::{directory, files, header};

/// Runs in a network namespace of its own, with the interfaces of the corpus.
const SCRIPT: &str = "
    ip link set lo up
    for name in ens160 eth0 eth1; do
        ip link add $name type veth peer name p$name && ip link set $name up && ip link set p$name up || exit 99
    done
    for file in *.conf; do
        timeout -s KILL 3 keepalived --config-test -f $file -i host >/dev/null 2>&1
        echo $file $?
    done
";

pub(super) fn trials() -> Vec<Trial> {
    let able = nix::unistd::geteuid().is_root() && Command::new("keepalived").arg("-v").output().is_ok();
    let name = if able { "keepalived_agrees" } else { "keepalived_agrees (needs root and keepalived)" };
    vec![Trial::test(name, agrees).with_ignored_flag(!able)]
}

/// The code in each file's header is what keepalived says; where `expect` differs from it, `differs` says why.
fn agrees() -> Result<(), Failed> {
    let output =
        Command::new("unshare").args(["--net", "sh", "-c", SCRIPT]).current_dir(directory()).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once(' ')).collect();
    let mut problems = Vec::new();
    for path in files() {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(&path)?;
        let Some(recorded) = header(&bytes, "keepalived") else { continue };
        // Exit code 2: it gave up on the file, which is what 4 means here.
        let says = match said.get(name.as_str()) {
            Some(&"2") => "4",
            // It runs in circles until it has no stack any more, or goes on, as the C library has it.
            Some(&("137" | "139")) => "hangs",
            Some(code) => code,
            None => {
                return Err(
                    format!("keepalived did not run: {}", String::from_utf8_lossy(&output.stderr)).into()
                );
            }
        };
        if says != recorded {
            problems.push(format!("{name}: keepalived says {says}, the file says {recorded}"));
        }
        let expected = header(&bytes, "expect").unwrap_or_default();
        let same = expected.split(' ').next() == Some(recorded.as_str());
        if same == header(&bytes, "differs").is_some() {
            problems
                .push(format!("{name}: keepalived {recorded}, here {expected}, but `differs` does not fit"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}
