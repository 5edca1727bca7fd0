//! From what the kernel said to findings.

use std::io;

use super::*;

pub(crate) fn new() -> Kernel {
    Kernel {
        features: Features {
            xdp: Ok(()),
            jit: Some(true),
            frags: Some(true),
            load_bytes: Some(true),
            ring: Some(true),
            mappable: Some(true),
            tail_call: Some(true),
            link: Some(true),
            tcx: Some(true),
            counted_by_cgroup: Some(true),
        },
        program: Some(Ok(Vec::new())),
        jit_enable: Some("1".to_owned()),
        unprivileged: Some("2".to_owned()),
        btf: true,
        lockdown: Some("none".to_owned()),
        bpffs: BpfFs::Mounted,
        clock: Some("tsc".to_owned()),
        marks: Some(true),
    }
}

pub(crate) fn refused(errno: i32) -> Kernel {
    let features = Features {
        xdp: Err(io::Error::from_raw_os_error(errno)),
        jit: None,
        frags: None,
        load_bytes: None,
        ring: None,
        mappable: None,
        tail_call: None,
        link: None,
        tcx: None,
        counted_by_cgroup: None,
    };
    Kernel { features, program: None, ..new() }
}

fn of<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.what == what).expect(what)
}

#[test]
fn a_new_kernel_lacks_nothing() {
    let found = findings(&new(), true);
    assert!(found.iter().all(|finding| finding.level == Level::Ok && finding.fix.is_none()), "{found:?}");
    assert_eq!(new().no_xdp(), None);
    assert_eq!(new().no_pins(), None);
}

#[test]
fn a_refusal_of_bpf_is_told_by_its_kind() {
    for (errno, words) in
        [(libc::EPERM, "seccomp"), (libc::ENOSYS, "there is no bpf(2)"), (libc::ENOMEM, "no memory")]
    {
        let kernel = refused(errno);
        let found = findings(&kernel, true);
        let bpf = of(&found, "bpf");
        assert!(bpf.level == Level::Warn && bpf.text.contains(words) && bpf.fix.is_some(), "{bpf:?}");
        assert_eq!(bpf.lost, lost::WITHOUT_XDP);
        assert_eq!(kernel.no_xdp().expect("none").0, bpf.text);
        assert!(!found.iter().any(|finding| matches!(finding.what, "program" | "helpers" | "links")));
    }
}

#[test]
fn what_an_ordinary_user_is_refused_says_nothing_of_the_daemon() {
    let kernel = Kernel { bpffs: BpfFs::Refused("no".to_owned()), ..refused(libc::EPERM) };
    let found = findings(&kernel, false);
    assert!(found.iter().all(|finding| finding.level <= Level::Note && finding.lost.is_empty()), "{found:?}");
    assert!(of(&found, "bpf").text.starts_with("not found out"));
}

#[test]
fn an_old_kernel_may_load_the_program_without_the_new_helpers() {
    let mut kernel = new();
    kernel.features.load_bytes = Some(false);
    kernel.features.frags = None;
    kernel.program = Some(Ok(vec![Lost::MultiBuffer]));
    let found = findings(&kernel, true);
    assert_eq!(
        of(&found, "helpers").text,
        "there: ring buffer, mapped arrays, tail calls; missing: bpf_xdp_load_bytes; not found out: \
         multi-buffer XDP"
    );
    assert!(found.iter().all(|finding| finding.level <= Level::Note), "{found:?}");
    assert_eq!(of(&found, "program").lost, [Lost::MultiBuffer]);
    kernel.program = Some(Err("R4 min value is negative".to_owned()));
    let found = findings(&kernel, true);
    assert_eq!(of(&found, "program").level, Level::Warn);
    assert_eq!(kernel.no_xdp().expect("none").0, "R4 min value is negative");
}

#[test]
fn an_interpreter_a_slow_clock_and_a_missing_file_system_are_told() {
    let mut kernel = new();
    kernel.features.jit = Some(false);
    kernel.clock = Some("hpet".to_owned());
    kernel.bpffs = BpfFs::Refused("it is not mounted".to_owned());
    kernel.marks = Some(false);
    kernel.lockdown = Some("integrity".to_owned());
    let found = findings(&kernel, true);
    let levels = ["jit", "clock", "bpffs", "marks", "lockdown"].map(|what| of(&found, what).level);
    assert_eq!(levels, [Level::Warn, Level::Note, Level::Warn, Level::Note, Level::Ok]);
    assert_eq!(of(&found, "bpffs").lost, [Lost::FenceAfterDeath]);
    assert!(of(&found, "lockdown").text.contains("integrity"));
    // The probe is believed before the setting, which other network namespaces do not have.
    kernel.features.jit = None;
    kernel.jit_enable = None;
    assert_eq!(of(&findings(&kernel, true), "jit").level, Level::Note);
    kernel.jit_enable = Some("0".to_owned());
    assert_eq!(of(&findings(&kernel, true), "jit").level, Level::Warn);
}
