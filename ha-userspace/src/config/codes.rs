//! The stable names of all findings. A code is never given a second meaning.
//!
//! 01 files, 02 syntax, 03 keywords, 04 values, 05 instances, 06 scripts and tracking, 07 analysis of the
//! file alone, 08 this host, 09 the other router's file, 10 what is heard on the link.

/// Name of a kind of finding, such as `XV0101`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(pub &'static str);

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! codes {
    ($($name:ident = $text:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: Code = Code($text);)*
        /// All codes with their meaning, in order.
        pub const ALL: &[(Code, &str)] = &[$(($name, $doc)),*];
    };
}

codes! {
    FILE_UNREADABLE = "XV0101", "A file cannot be read.";
    FILE_NOT_TEXT = "XV0102", "A file is not a text file.";
    FILE_TOO_BIG = "XV0103", "The files hold more than a configuration can.";
    FILE_EMPTY = "XV0104", "The configuration says nothing.";
    INCLUDE_NOTHING = "XV0105", "An include matches no file.";
    INCLUDE_RECURSIVE = "XV0106", "A file includes itself.";
    INCLUDE_TOO_DEEP = "XV0107", "Includes are nested too deeply.";
    INCLUDE_BAD = "XV0108", "An include line is malformed.";
    QUOTE_OPEN = "XV0201", "A quote is not closed on its line.";
    BLOCK_OPEN = "XV0202", "A block is never closed.";
    BRACE_EXTRA = "XV0203", "A brace has no counterpart.";
    TOO_DEEP = "XV0204", "Blocks are nested too deeply.";
    MERGE_CONFLICT = "XV0205", "A merge conflict was left in the file.";
    DEFINITION_BAD = "XV0206", "A definition is malformed or expands without end.";
    SEQUENCE_BAD = "XV0207", "A ~SEQ or ~LST is malformed.";
    ENV_MISSING = "XV0208", "An environment variable is not set.";
    LOOKALIKE = "XV0209", "A character that cannot be seen, or that looks like another.";
    UNKNOWN_KEYWORD = "XV0301", "A keyword is unknown.";
    NOT_IMPLEMENTED = "XV0302", "A keyword of keepalived that is not implemented yet.";
    LVS = "XV0303", "Load balancing is out of scope.";
    MISPLACED_KEYWORD = "XV0304", "A keyword that belongs in another block.";
    MISSING_PARAMETER = "XV0305", "A keyword lacks its parameter.";
    EXTRA_WORDS = "XV0306", "Words are left on the line.";
    BLOCK_MISSING = "XV0307", "A keyword lacks its block, or has one that it cannot have.";
    NOT_NEEDED = "XV0308", "A keyword that has no effect here.";
    NAME_MISSING = "XV0309", "A block lacks its name.";
    BAD_NUMBER = "XV0401", "Not a number, or out of range.";
    BAD_BOOLEAN = "XV0402", "Not a boolean.";
    BAD_ADDRESS = "XV0403", "Not an address, or not of the right family.";
    BAD_PREFIX = "XV0404", "Not a prefix length.";
    BAD_WORD = "XV0405", "Not one of the words that may stand here.";
    ROUNDED = "XV0406", "A value was rounded or cut.";
    NAME_TOO_LONG = "XV0407", "A name is longer than the kernel allows.";
    REALTIME_PRIORITY = "XV0408", "A real-time priority has its price.";
    NO_INTERFACE = "XV0501", "An instance has no interface.";
    NO_VRID = "XV0502", "An instance has no virtual router id.";
    NO_VIP = "XV0503", "An instance has no virtual address.";
    DUPLICATE_VRID = "XV0504", "Two instances use one VRID on one interface.";
    DUPLICATE_NAME = "XV0505", "A name is used twice.";
    DUPLICATE_VIP = "XV0506", "An address stands twice.";
    MIXED_FAMILIES = "XV0507", "IPv4 and IPv6 in one list.";
    TOO_MANY_VIPS = "XV0508", "More addresses than an advert holds.";
    AUTH_IGNORED = "XV0510", "Authentication is ignored.";
    PREEMPT_CONFLICT = "XV0511", "Preemption settings contradict each other.";
    UNICAST_WITHOUT_PEER = "XV0512", "A unicast keyword without peers.";
    OWNER_PRIORITY = "XV0513", "Priority 255 is for the address owner.";
    NO_SUCH_INTERFACE = "XV0516", "An interface does not exist on this host.";
    STRICT_RESETS = "XV0517", "vrrp_strict overrides a setting.";
    OTHER_GROUP = "XV0518", "A multicast group other than VRRP's own.";
    REPEATED_KEYWORD = "XV0515", "A keyword stands twice; the last one counts.";
    BAD_ROUTE = "XV0519", "A route or a rule that cannot be.";
    NO_PREFERENCE = "XV0520", "A rule has no preference.";
    GROUP_MEMBER = "XV0521", "A group and its members do not fit.";
    LINK_CONFLICT = "XV0522", "Virtual MAC or ipvlan settings that do not fit.";
    NOT_TRACKED = "XV0523", "A route, a rule or an interface is not tracked as written.";
    HMAC_UNUSABLE = "XV0541", "auth_hmac cannot be used as it is written.";
    KEY_FILE_OPEN = "XV0542", "Others than the daemon can read or change a key file.";
    SECRET_UNUSABLE = "XV0543", "A secret in a file of its own cannot be used.";
    SCRIPT_INCOMPLETE = "XV0601", "A script block names no script.";
    SCRIPT_UNKNOWN = "XV0602", "A tracker names an unknown script.";
    SCRIPT_INSECURE = "XV0603", "Scripts without enable_script_security.";
    SCRIPT_REFUSED = "XV0604", "A script may not or cannot be run.";
    TRACKER_TWICE = "XV0605", "A tracker stands twice.";
    TRACKER_UNKNOWN = "XV0606", "Something that is named is not defined.";
    TRACKER_INCOMPLETE = "XV0607", "A block lacks what it needs.";
    GROUP_WEIGHT = "XV0608", "A weight that a sync group does not allow.";
    SCRIPT_SHELL = "XV0609", "A script is written for a shell, and none reads it.";
    WEIGHT_CANNOT_DECIDE = "XV0701", "A weight can hardly or never change the master.";
    STRICT_UNPINGABLE = "XV0702", "vrrp_strict makes the addresses unreachable.";
    SCRIPT_OVERLAPS = "XV0703", "A check may take longer than its interval.";
    OWN_PEER = "XV0704", "A unicast peer is the instance's own address.";
    VIP_UNFENCED = "XV0705", "A virtual address is on an interface without a fence.";
    STANDBY_SEEN = "XV0706", "Virtual addresses are on the backup as well.";
    STANDBY_IMPOSSIBLE = "XV0707", "An instance cannot have hot standby.";
    VIP_OFF_LINK = "XV0801", "A virtual address lies in no network of its interface.";
    TIMER_TOO_SHORT = "XV0802", "This host cannot hold a timer.";
    NO_REALTIME = "XV0803", "Short timers without real-time scheduling.";
    NO_SOURCE_ADDRESS = "XV0804", "The interface has no address to send from.";
    SOURCE_NOT_HERE = "XV0805", "A source address is not on this host.";
    INTERFACE_DOWN = "XV0806", "An interface is down.";
    PEER_IS_HERE = "XV0807", "A unicast peer is this host itself.";
    VIP_IS_ORDINARY = "XV0808", "A virtual address is an ordinary address of the interface.";
    FAST_PATH = "XV0809", "XDP could be better on an interface.";
    FIREWALL = "XV0810", "The firewall drops adverts.";
    TWIN_ALONE = "XV0901", "Only one of two routers has an instance.";
    TWIN_VRID = "XV0902", "Two routers use different VRIDs for one service.";
    TWIN_VERSION = "XV0903", "Two routers use different VRRP versions.";
    TWIN_AUTH = "XV0904", "Two routers authenticate differently.";
    TWIN_INTERVAL = "XV0905", "Two routers have different advert intervals.";
    TWIN_ADDRESSES = "XV0906", "Two routers have different virtual addresses.";
    TWIN_PRIORITY = "XV0907", "Two routers have the same priority.";
    TWIN_UNICAST = "XV0908", "Two routers do not send to each other.";
    TWIN_KEY = "XV0909", "Two routers authenticate probes differently.";
    TWIN_CHECKSUM = "XV0910", "Two routers compute VRRPv3 checksums differently.";
    TWIN_WEIGHT = "XV0911", "A failed check does not change the master.";
    TWIN_UNREADABLE = "XV0912", "The other router's configuration cannot run.";
    WIRE_CLASH = "XV1001", "Somebody else uses this VRID on the link.";
    WIRE_REJECTED = "XV1002", "Adverts are heard that this instance would drop.";
    WIRE_PRIORITY = "XV1003", "A router with the same priority is heard.";
    WIRE_HEARD = "XV1004", "Another router of this instance is heard.";
    WIRE_SILENT = "XV1005", "Nobody is heard for an instance.";
}

/// What a code means, in one sentence.
#[must_use]
pub fn title(code: Code) -> &'static str {
    ALL.iter().find(|(known, _)| *known == code).map_or("", |(_, title)| title)
}
