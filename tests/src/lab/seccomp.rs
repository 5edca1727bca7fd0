//! A system call filter that refuses bpf(2), as those of containers and hardened services do.

use std::process::Command;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use super::sys;

/// Number of bpf(2)'s command that loads a program, at which the verifier says no.
pub const BPF_PROG_LOAD: u32 = 5;

/// Makes bpf(2) fail with `errno` in what `command` starts: all of it, or `only` one of its commands.
pub fn refuse_bpf(command: &mut Command, only: Option<u32>, errno: Errno) -> Result<()> {
    let rule = |number: u32| {
        let first = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, number.into())?;
        SeccompRule::new(vec![first])
    };
    let rules = only.map(rule).into_iter().collect::<Result<Vec<_>, _>>()?;
    let refused = SeccompAction::Errno((errno as i32).unsigned_abs());
    let here = std::env::consts::ARCH.try_into().context("no filter for this processor")?;
    let calls = [(libc::SYS_bpf, rules)].into();
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refused, here)?;
    sys::filter_calls(command, BpfProgram::try_from(filter)?);
    Ok(())
}
