//! `vrrp_rt_priority`, `vrrp_priority` and `vrrp_cpu_affinity`, at start and at a reload.
//!
//! The main loop's thread gets the priority, BFD the same, and those that probe and vouch one more: a lease must not
//! run out because the main loop is busy. All threads share the processors. Scripts get nothing of it. Whatever is
//! refused is a warning that says what to do.

use super::warn;
use crate::config::model::Process;
use crate::realtime;

/// Binds all threads to the processors of `vrrp_cpu_affinity`.
pub(super) fn bind(process: &Process, warnings: &mut Vec<String>) {
    if let Err(refusal) = realtime::bind_threads(&process.cpus) {
        warn_once(warnings, refusal.to_string());
    }
}

/// Gives the calling thread, which is the main loop's, its priorities.
pub(super) fn prefer_this_thread(process: &Process, warnings: &mut Vec<String>) {
    // The nice value is what counts where the other is refused.
    for refusal in [realtime::set_nice(process.nice), realtime::set_priority(process.loop_priority())] {
        if let Err(refusal) = refusal {
            warn_once(warnings, refusal.to_string());
        }
    }
}

/// SCHED_FIFO priority of the threads that probe and vouch.
pub(super) fn above(process: &Process) -> u8 {
    process.loop_priority().saturating_add(1)
}

/// Before another program takes this one's place: it must not take for the system's what was this one's choice.
pub(super) fn undo() {
    // Whatever is refused was not there before either.
    let _ = realtime::bind_threads(&[]);
    let _ = realtime::set_nice(None);
}

fn warn_once(warnings: &mut Vec<String>, text: String) {
    if !warnings.contains(&text) {
        warn(warnings, text);
    }
}
