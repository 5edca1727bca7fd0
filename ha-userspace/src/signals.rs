//! Real-time signals by their numbers, which must be the same in every build.
//!
//! `kill -RTMIN+2` and a unit's `RestartKillSignal=` count from glibc's first one. A build with musl counts from the
//! next: musl keeps glibc's first for itself and refuses a handler for it.

use libc::c_int;

/// What `SIGRTMIN` is for `kill` and for systemd.
const RTMIN: c_int = 34;

/// Leave for a restart: `RTMIN+1`, as packaging/xvrrp.service has it; `RTMIN` too where that can be heard.
pub(crate) const LEAVE: &[c_int] = if cfg!(target_env = "musl") { &[RTMIN + 1] } else { &[RTMIN + 1, RTMIN] };

/// `RTMIN+2`: what `keepalived --signum=JSON` prints.
pub(crate) const JSON: c_int = RTMIN + 2;

/// What `keepalived --signum=STATS_CLEAR` prints.
pub(crate) fn clear() -> c_int {
    libc::SIGRTMAX() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_c_library_leaves_these_to_programs() {
        for number in LEAVE.iter().copied().chain([JSON, clear()]) {
            assert!((libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number), "{number}");
        }
        assert!(!LEAVE.contains(&JSON));
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn they_are_counted_as_others_count() {
        assert_eq!(RTMIN, libc::SIGRTMIN());
    }
}
