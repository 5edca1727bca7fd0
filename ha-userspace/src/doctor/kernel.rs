//! What the kernel is able to do. Pure: [`super::look`] asks it.

use crate::lost::{self, Lost};
use crate::xdp::Features;

use super::{Finding, Group, Level};

/// What was found out about the kernel.
#[derive(Debug)]
pub struct Kernel {
    /// What BPF can do.
    pub features: Features,
    /// What came of loading the XDP program of this build: what it lacks, or why it was refused. `None`: not tried,
    /// because not even the simplest program can be loaded.
    pub program: Option<Result<Vec<Lost>, String>>,
    /// `net.core.bpf_jit_enable`; `None` where it cannot be read, as in other network namespaces than the first.
    pub jit_enable: Option<String>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub unprivileged: Option<String>,
    /// The kernel has its types in /sys/kernel/btf/vmlinux.
    pub btf: bool,
    /// The chosen mode of lockdown; `None` where the kernel has none, or does not say.
    pub lockdown: Option<String>,
    /// The BPF file system.
    pub bpffs: BpfFs,
    /// The clock source in use.
    pub clock: Option<String>,
    /// Addresses keep the mark of who added them; `None` where that could not be found out.
    pub marks: Option<bool>,
}

/// Whether the BPF file system can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BpfFs {
    /// It is mounted, and may be written to.
    Mounted,
    /// It is mounted, and may not be written to.
    ReadOnly(String),
    /// It is not, but the daemon can mount it.
    Mountable,
    /// It is not, and this is why it cannot be mounted.
    Refused(String),
}

impl Kernel {
    /// Why there can be no XDP on any interface, and what to do.
    #[must_use]
    pub fn no_xdp(&self) -> Option<(String, Option<String>)> {
        match (&self.features.xdp, &self.program) {
            (Err(error), _) => Some(refusal(error)),
            (Ok(()), Some(Err(reason))) => Some((reason.clone(), None)),
            (Ok(()), _) if self.features.link == Some(false) => Some((
                "the kernel has no BPF links for XDP".to_owned(),
                Some("Linux 5.9 has them".to_owned()),
            )),
            (Ok(()), _) => None,
        }
    }

    /// Why nothing can be pinned.
    #[must_use]
    pub fn no_pins(&self) -> Option<&str> {
        match &self.bpffs {
            BpfFs::Mounted | BpfFs::Mountable => None,
            BpfFs::ReadOnly(reason) | BpfFs::Refused(reason) => Some(reason),
        }
    }
}

/// Why the simplest program cannot be loaded.
fn refusal(error: &std::io::Error) -> (String, Option<String>) {
    match error.raw_os_error() {
        Some(libc::EPERM) => (
            "bpf(2) is refused: a capability is missing, or a seccomp filter or the kernel's lockdown forbids it"
                .to_owned(),
            Some("run as root or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; of a container, allow bpf".to_owned()),
        ),
        Some(libc::ENOSYS) => (
            "there is no bpf(2): the kernel was built without it, or a seccomp filter hides it".to_owned(),
            Some("a kernel with CONFIG_BPF_SYSCALL; of a container, allow bpf".to_owned()),
        ),
        Some(libc::ENOMEM) => (
            "no memory may be locked for BPF".to_owned(),
            Some("`ulimit -l unlimited`, or LimitMEMLOCK=infinity of the service".to_owned()),
        ),
        _ => (format!("no XDP program can be loaded: {error}"), None),
    }
}

/// The findings.
#[must_use]
pub fn findings(kernel: &Kernel, privileged: bool) -> Vec<Finding> {
    let mut findings = vec![bpf(kernel, privileged)];
    if let Some(program) = program(kernel) {
        findings.push(program);
    }
    if kernel.features.xdp.is_ok() {
        findings.extend([helpers(&kernel.features), links(&kernel.features), tc(&kernel.features)]);
    }
    findings.push(jit(kernel));
    findings.push(bpffs(kernel, privileged));
    findings.push(btf(kernel));
    findings.extend(settings(kernel));
    findings.extend(clock(kernel));
    findings.extend(marks(kernel));
    findings
}

fn line(level: Level, what: &'static str, text: impl Into<String>) -> Finding {
    Finding::new(Group::Kernel, level, what, text)
}

fn bpf(kernel: &Kernel, privileged: bool) -> Finding {
    match &kernel.features.xdp {
        Ok(()) => line(Level::Ok, "bpf", "XDP programs may be loaded"),
        Err(error) if !privileged => {
            line(Level::Note, "bpf", format!("not found out: {error}")).fix("run this as root")
        }
        Err(error) => {
            let (text, fix) = refusal(error);
            let finding = line(Level::Warn, "bpf", text).losing(&lost::WITHOUT_XDP);
            Finding { fix, ..finding }
        }
    }
}

fn program(kernel: &Kernel) -> Option<Finding> {
    Some(match kernel.program.as_ref()? {
        Ok(lost) if lost.is_empty() => line(Level::Ok, "program", "the XDP program of this build loads"),
        Ok(lost) => {
            let text = format!("the XDP program of this build loads: {}", lost::list(lost));
            line(Level::Note, "program", text).losing(lost)
        }
        Err(reason) => {
            line(Level::Warn, "program", format!("the XDP program of this build does not load: {reason}"))
                .losing(&lost::WITHOUT_XDP)
        }
    })
}

/// What the program is made of. Whether it loads says the line before, so what is missing here is only the reason.
fn helpers(features: &Features) -> Finding {
    let all = [
        ("multi-buffer XDP", features.frags),
        ("bpf_xdp_load_bytes", features.load_bytes),
        ("ring buffer", features.ring),
        ("mapped arrays", features.mappable),
        ("tail calls", features.tail_call),
    ];
    let those = |answer: Option<bool>| {
        let names = all.iter().filter(|(_, has)| *has == answer).map(|(name, _)| *name);
        names.collect::<Vec<_>>().join(", ")
    };
    let (has, lacks, unknown) = (those(Some(true)), those(Some(false)), those(None));
    let mut parts = Vec::new();
    for (words, list) in [("there: ", has), ("missing: ", lacks.clone()), ("not found out: ", unknown)] {
        if !list.is_empty() {
            parts.push(format!("{words}{list}"));
        }
    }
    line(if lacks.is_empty() { Level::Ok } else { Level::Note }, "helpers", parts.join("; "))
}

fn links(features: &Features) -> Finding {
    match features.link {
        Some(true) => line(Level::Ok, "links", "XDP programs are attached by links, which can be pinned"),
        Some(false) => line(Level::Warn, "links", "the kernel has no BPF links for XDP")
            .fix("Linux 5.9 has them")
            .losing(&lost::WITHOUT_XDP),
        None => line(Level::Note, "links", "whether the kernel has BPF links for XDP was not found out"),
    }
}

fn tc(features: &Features) -> Finding {
    match features.tcx {
        Some(true) => line(Level::Ok, "tc", "TC programs can be attached by links (tcx)"),
        Some(false) => line(Level::Note, "tc", "the kernel has no tcx: TC programs need a clsact qdisc"),
        None => line(Level::Note, "tc", "whether the kernel has tcx was not found out"),
    }
}

fn jit(kernel: &Kernel) -> Finding {
    match (kernel.features.jit, kernel.jit_enable.as_deref()) {
        (Some(true), _) | (None, Some("1" | "2")) => {
            line(Level::Ok, "jit", "BPF programs become machine code")
        }
        (Some(false), _) | (None, Some("0")) => line(
            Level::Warn,
            "jit",
            "BPF programs are interpreted, which costs several times the processor time",
        )
        .fix("`sysctl net.core.bpf_jit_enable=1`"),
        (None, _) => line(Level::Note, "jit", "whether BPF programs become machine code was not found out"),
    }
}

fn bpffs(kernel: &Kernel, privileged: bool) -> Finding {
    match &kernel.bpffs {
        BpfFs::Mounted => line(Level::Ok, "bpffs", "the BPF file system is mounted"),
        BpfFs::Mountable => {
            line(Level::Ok, "bpffs", "the BPF file system is not mounted, and the daemon can mount it")
        }
        BpfFs::ReadOnly(reason) | BpfFs::Refused(reason) if !privileged => {
            line(Level::Note, "bpffs", format!("not found out: {reason}")).fix("run this as root")
        }
        BpfFs::ReadOnly(reason) | BpfFs::Refused(reason) => line(Level::Warn, "bpffs", reason.clone())
            .fix("`mount -t bpf bpf /sys/fs/bpf`, before the daemon or the container is started")
            .losing(&[Lost::FenceAfterDeath]),
    }
}

fn btf(kernel: &Kernel) -> Finding {
    if kernel.btf {
        line(Level::Ok, "btf", "the kernel has its types, which xvrrp does not need")
    } else {
        line(
            Level::Ok,
            "btf",
            "the kernel does not have its types; xvrrp needs none, and bpftool takes the names of its maps' fields \
             from the maps",
        )
    }
}

fn settings(kernel: &Kernel) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(value) = &kernel.unprivileged {
        let text = match value.as_str() {
            "0" => "users without rights may use bpf(2), which xvrrp does not need",
            "1" => "only privileged users may use bpf(2), until the next start of the machine",
            _ => "only privileged users may use bpf(2)",
        };
        findings.push(line(Level::Ok, "unprivileged", text));
    }
    if let Some(mode) = &kernel.lockdown {
        let text = match mode.as_str() {
            "none" => "the kernel is not locked down".to_owned(),
            mode => format!("the kernel is locked down ({mode}), which does not concern XDP programs"),
        };
        findings.push(line(Level::Ok, "lockdown", text));
    }
    findings
}

fn clock(kernel: &Kernel) -> Option<Finding> {
    let name = kernel.clock.as_deref()?;
    let slow = ["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"].contains(&name);
    Some(if slow {
        line(
            Level::Note,
            "clock",
            format!("the clock is {name}, which takes a microsecond or more to read, once for each probe and advert"),
        )
        .fix("find out in the kernel's log why it does not use tsc")
    } else {
        line(Level::Ok, "clock", format!("the clock is {name}"))
    })
}

fn marks(kernel: &Kernel) -> Option<Finding> {
    Some(match kernel.marks? {
        true => line(Level::Ok, "marks", "addresses keep the mark of who added them"),
        false => line(
            Level::Note,
            "marks",
            "addresses do not keep the mark of who added them: what a killed daemon leaves is remembered in its run \
             directory",
        ),
    })
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
pub(super) mod tests;
