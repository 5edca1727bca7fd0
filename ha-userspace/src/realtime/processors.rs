//! `vrrp_cpu_affinity`: the processors that the daemon's threads may use.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::{Refusal, original};

/// Binds every thread of the process to these processors; to those that it was started with where there are none.
///
/// # Errors
/// Some are not there, and the others are used; or all are refused. The text says which.
pub fn bind_threads(wanted: &[u16]) -> Result<(), Refusal> {
    let Some(allowed) = original().processors else { return Ok(()) };
    let (set, complaint) = choose(wanted, &allowed);
    bind_all(&set).map_err(|source| Refusal::Affinity { source })?;
    complaint.map_or(Ok(()), Err)
}

/// Those of `wanted` that are allowed, all where none is; and what to say of the rest.
fn choose(wanted: &[u16], allowed: &CpuSet) -> (CpuSet, Option<Refusal>) {
    let has = |cpu: u16| allowed.is_set(usize::from(cpu)).unwrap_or(false);
    let (there, missing): (Vec<u16>, Vec<u16>) = wanted.iter().partition(|cpu| has(**cpu));
    let left = !there.is_empty();
    let mut set = if left { CpuSet::new() } else { *allowed };
    for cpu in there {
        // It is in range, since the other set has it.
        let _ = set.set(usize::from(cpu));
    }
    let count = u16::try_from(CpuSet::count()).unwrap_or(u16::MAX);
    let complaint = (!missing.is_empty()).then(|| {
        let allowed = (0..count).filter(|cpu| has(*cpu)).collect();
        Refusal::Processors { missing, allowed, left }
    });
    (set, complaint)
}

fn bind_all(set: &CpuSet) -> nix::Result<()> {
    // The calling thread first: what it starts from now on inherits the set.
    sched_setaffinity(Pid::from_raw(0), set)?;
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()) {
        // A thread may have ended meanwhile.
        let _ = sched_setaffinity(Pid::from_raw(thread), set);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_that_are_not_there_are_named_and_the_others_used() {
        let of = |numbers: &[usize]| {
            let mut set = CpuSet::new();
            numbers.iter().for_each(|cpu| set.set(*cpu).expect("in range"));
            set
        };
        let allowed = of(&[0, 2, 3]);
        let chosen = |wanted: &[u16]| {
            let (set, complaint) = choose(wanted, &allowed);
            (set, complaint.map(|complaint| complaint.to_string()).unwrap_or_default())
        };
        assert_eq!(chosen(&[]), (allowed, String::new()));
        assert_eq!(chosen(&[2, 0]), (of(&[0, 2]), String::new()));
        let wanted = "processor 1, 4095 of vrrp_cpu_affinity cannot be used; allowed here are 0, 2, 3. The others are used";
        assert_eq!(chosen(&[1, 2, 4095]), (of(&[2]), wanted.to_owned()));
        let (set, text) = chosen(&[1]);
        assert!(set == allowed && text.contains("All of these are used"), "{text}");
    }
}
