//! Why words do nothing; shown at the word.

pub(super) const LVS: &str = "load balancing (LVS) is not done; run `keepalived --check` beside xvrrp for it";
pub(super) const WAIT: &str = "there is one process, and a stop waits for what it has to";
pub(super) const BFD_PROC: &str = "BFD runs inside the daemon; the vrrp_ setting of the same name counts";
pub(super) const BUFFERS: &str =
    "the daemon sizes its socket buffers itself and never loses its view of the links";
pub(super) const AUTO: &str = "the daemon is real-time from the start, where the system lets it";
pub(super) const RTTIME: &str = "a daemon that is killed for running long hands nothing over; one whose loop hangs loses its lease instead";
pub(super) const SNMP: &str =
    "SNMP is not done; `xvrrp status --json` and `xvrrp counters --json` have the numbers";
pub(super) const DBUS: &str = "D-Bus is not done; use notify scripts, a FIFO or `xvrrp status --json`";
pub(super) const IPTABLES: &str =
    "no iptables chain or ipset is needed: no_accept works in XDP, else through nftables";
pub(super) const IFINDEX: &str = "nftables rules name interfaces by index where that is safe";
pub(super) const DYN: &str = "interfaces may always come and go";
pub(super) const FILES: &str = "the configuration is read once and kept in memory";
pub(super) const CHECKED: &str = "a file that cannot run never replaces the running one";
pub(super) const LINK: &str = "link state is always read from netlink";
pub(super) const CSUM: &str = "both checksum forms are always accepted";
pub(super) const LATE: &str =
    "a router that runs late judges first what it missed, and steps down where another has taken over";
pub(super) const DEBUG: &str = "keepalived ignores it too";
