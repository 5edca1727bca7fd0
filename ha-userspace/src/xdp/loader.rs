//! Loads the embedded object into the kernel. Attaching it is [`super::interface`]'s job.

use std::path::Path;
use std::sync::{Mutex, OnceLock};

use aya::maps::{Array, HashMap, MapData, MapError, MapType, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::Program::{SchedClassifier, Xdp};
use aya::programs::{self, ProgramError};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use ha_common::counter::{JudgedCounters, XdpCounters};
use ha_common::layout::{
    ABI_VERSION, ADVERT_SLOTS, AddressKey, AdvertSlot, EVENT_RING_BYTES, InterfaceConfig, LeaseSlot,
    PEER_SLOTS, PROBER_SLOTS, PeerSlot, ProberSlot, VIP_SLOTS, VipSlot,
};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::events::Events;
use super::fence::{Lease, Vips};
use super::log::BpfLog;
use super::maps::{Adverts, Counters, Judged};
use super::peers::{Peers, Probers};
use super::sys::trim_heap;

/// The object that the build script made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ha-ebpf"));

/// The builds of the program in the object. They do the same, each with what its place in the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// XDP, frames in one or more buffers: Linux 5.18.
    MultiBuffer,
    /// XDP, frames in one buffer; the kernel keeps it from interfaces that receive others.
    Linear,
    /// Traffic control, where another XDP program has the interface.
    Tc,
}

impl Variant {
    /// Those for XDP, the best first.
    pub const XDP: &[Self] = &[Self::MultiBuffer, Self::Linear];
    /// All of them.
    pub const ALL: &[Self] = &[Self::MultiBuffer, Self::Linear, Self::Tc];

    /// The word for logs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::MultiBuffer => "multi_buffer",
            Self::Linear => "linear",
            Self::Tc => "tc",
        }
    }

    /// What runs on every frame.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::MultiBuffer => "ha_xdp",
            Self::Linear => "ha_xdp_linear",
            Self::Tc => "ha_tc",
        }
    }

    /// The half that belongs to a live daemon.
    const fn live_program(self) -> &'static str {
        match self {
            Self::MultiBuffer => "ha_live",
            Self::Linear => "ha_live_linear",
            Self::Tc => "ha_live_tc",
        }
    }
}

/// The maps that are pinned, by the names that they have in `bpftool`. `HA_ALIVE` must not be: its last descriptor
/// has to go with the daemon.
pub(super) const PINNED_MAPS: [MapSpec; 9] = [
    spec::<u32, InterfaceConfig>("HA_CONFIG", MapType::Array, 1),
    spec::<u32, AdvertSlot>("HA_ADVERTS", MapType::Array, ADVERT_SLOTS),
    spec::<u32, XdpCounters>("HA_COUNTERS", MapType::PerCpuArray, 1),
    spec::<u32, JudgedCounters>("HA_JUDGED", MapType::Array, 1),
    spec::<(), ()>("HA_EVENTS", MapType::RingBuf, EVENT_RING_BYTES),
    spec::<u32, LeaseSlot>("HA_LEASE", MapType::Array, 1),
    spec::<AddressKey, VipSlot>("HA_VIPS", MapType::Hash, VIP_SLOTS),
    spec::<u32, PeerSlot>("HA_PEERS", MapType::Array, PEER_SLOTS as u32),
    spec::<AddressKey, ProberSlot>("HA_PROBERS", MapType::LruHash, PROBER_SLOTS),
];

/// What a pinned map must be to be used by this build.
pub(super) struct MapSpec {
    /// Name.
    pub(super) name: &'static str,
    /// Type.
    pub(super) kind: MapType,
    /// Bytes of a key, bytes of a value, entries.
    pub(super) sizes: (u32, u32, u32),
}

const fn spec<K, V>(name: &'static str, kind: MapType, entries: u32) -> MapSpec {
    #[expect(clippy::cast_possible_truncation, reason = "these types are small")]
    let sizes = (size_of::<K>() as u32, size_of::<V>() as u32, entries);
    MapSpec { name, kind, sizes }
}

/// A loaded program with maps of its own.
#[derive(Debug)]
pub struct Program {
    ebpf: Ebpf,
    variant: Variant,
}

/// The program cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not root, a container without CAP_BPF and CAP_NET_ADMIN, or a filter of system calls.
    #[error(
        "no permission to load BPF programs; run as root or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, and where a \
         container or a unit filters system calls, let bpf(2) through"
    )]
    Permission,
    /// The object or a map was refused.
    #[error("cannot load the XDP program: {}", chain(.0))]
    Object(#[from] EbpfError),
    /// The kernel refused the program.
    #[error("the kernel refuses the XDP program: {reason}")]
    Refused {
        /// What its verifier says last, or the system call.
        reason: String,
    },
    /// The program cannot be used.
    #[error("cannot use the XDP program: {0}")]
    Program(#[from] ProgramError),
    /// A map cannot be used.
    #[error("cannot use the map {name}: {source}")]
    Map {
        /// Name of the map.
        name: &'static str,
        /// What aya says.
        source: MapError,
    },
    /// A map cannot be mapped into memory or watched.
    #[error("cannot use the map {name}: {source}")]
    Memory {
        /// Name of the map.
        name: &'static str,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// A map or the program is not in the object: the build is broken.
    #[error("the embedded object has no {0}")]
    Missing(&'static str),
}

impl Program {
    /// Loads the program for an interface whose frames carry the VLAN tag `vlan` (0: none), with fingerprints under
    /// `key`. `log` is the level of the program's own messages; without it they are not even in the program.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load(vlan: u16, key: [u64; 2], log: Option<aya_log::Level>) -> Result<Self, LoadError> {
        Self::load_pinned(Variant::XDP, vlan, key, log, None)
    }

    /// The same for one of the variants.
    ///
    /// # Errors
    ///
    /// See [`LoadError`].
    pub fn load_variant(variant: Variant, vlan: u16, key: [u64; 2]) -> Result<Self, LoadError> {
        Self::load_pinned(&[variant], vlan, key, None, None)
    }

    /// The first of `variants` that the kernel takes, with the maps pinned in `pins`: maps that are there are used, what is
    /// missing is made. What the kernel can do is found out by trying: its version says little, because distributions
    /// bring features back and forbid others.
    pub(super) fn load_pinned(
        variants: &[Variant],
        vlan: u16,
        key: [u64; 2],
        log: Option<aya_log::Level>,
        pins: Option<&Path>,
    ) -> Result<Self, LoadError> {
        // A signal makes the verifier give up with EAGAIN. aya then tries once more and passes room for a log without
        // asking for one, which the kernel refuses. Signals can wait for these milliseconds.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let mut loaded = Err(LoadError::Missing("variants"));
        for &variant in variants {
            loaded = Self::load_undisturbed(variant, vlan, key, log, pins);
            match &loaded {
                Err(LoadError::Refused { reason }) => {
                    tracing::debug!("{} is refused: {reason}", variant.program());
                }
                _ => break,
            }
        }
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
        loaded
    }

    fn load_undisturbed(
        variant: Variant,
        vlan: u16,
        key: [u64; 2],
        log: Option<aya_log::Level>,
        pins: Option<&Path>,
    ) -> Result<Self, LoadError> {
        let mut loader = loader(pins.is_some()).lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(directory) = pins {
            for MapSpec { name, .. } in PINNED_MAPS {
                loader.map_pin_path(name, directory.join(name));
            }
        }
        loader.override_global(aya_log::LEVEL, log_level(log), true);
        // One page is the smallest ring.
        loader.map_max_entries("AYA_LOGS", if log.is_some() { 128 * 1024 } else { 4096 });
        // The verifier's whole log makes loading many times slower; it is for those who work on the program. With its
        // statistics comes the reason of a refusal.
        loader.verifier_log_level(if log.is_some() {
            VerifierLogLevel::DEBUG
        } else {
            VerifierLogLevel::STATS
        });
        let mut ebpf = loader.load(OBJECT).map_err(|error| match error {
            EbpfError::MapError(MapError::CreateError { io_error, .. }) if is_permission(&io_error) => {
                LoadError::Permission
            }
            error => LoadError::Object(error),
        })?;

        let config =
            InterfaceConfig { fingerprint_key: key, vlan: u32::from(vlan), abi_version: ABI_VERSION };
        let map = ebpf.map_mut("HA_CONFIG").ok_or(LoadError::Missing("HA_CONFIG"))?;
        Array::<_, InterfaceConfig>::try_from(map)
            .and_then(|mut map| map.set(0, config, 0))
            .map_err(|source| LoadError::Map { name: "HA_CONFIG", source })?;

        let mut program = Self { ebpf, variant };
        for name in [variant.program(), variant.live_program()] {
            let loaded = match program.ebpf.program_mut(name) {
                Some(Xdp(xdp)) => xdp.load(),
                Some(SchedClassifier(classifier)) => classifier.load(),
                _ => return Err(LoadError::Missing(name)),
            };
            loaded.map_err(|error| refused(name, error))?;
        }
        Ok(program)
    }

    /// Which of the builds it is.
    #[must_use]
    pub const fn variant(&self) -> Variant {
        self.variant
    }

    /// Connects the two halves, for as long as the result lives. Can be had once.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] the second time, [`LoadError::Map`] where the kernel refuses.
    pub fn alive(&mut self) -> Result<Alive, LoadError> {
        let map = self.ebpf.take_map("HA_ALIVE").ok_or(LoadError::Missing("HA_ALIVE"))?;
        let name = self.variant.live_program();
        let live = match self.ebpf.program(name) {
            Some(Xdp(xdp)) => xdp.fd()?,
            Some(SchedClassifier(classifier)) => classifier.fd()?,
            _ => return Err(LoadError::Missing(name)),
        };
        ProgramArray::try_from(map)
            .and_then(|mut map| {
                map.set(0, live, 0)?;
                Ok(Alive { _map: map })
            })
            .map_err(|source| LoadError::Map { name: "HA_ALIVE", source })
    }

    /// The XDP program that is attached: to attach it, or to run it on test frames.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] where it is one of traffic control.
    pub fn xdp(&mut self) -> Result<&mut programs::Xdp, LoadError> {
        match self.ebpf.program_mut(self.variant.program()) {
            Some(Xdp(xdp)) => Ok(xdp),
            _ => Err(LoadError::Missing(self.variant.program())),
        }
    }

    /// The program of traffic control that is attached.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] where it is one of XDP.
    pub fn tc(&mut self) -> Result<&mut programs::SchedClassifier, LoadError> {
        match self.ebpf.program_mut(self.variant.program()) {
            Some(SchedClassifier(classifier)) => Ok(classifier),
            _ => Err(LoadError::Missing(self.variant.program())),
        }
    }

    /// The virtual routers' slots, mapped.
    ///
    /// # Errors
    ///
    /// [`LoadError::Memory`] where the kernel does not map it.
    pub fn adverts(&self) -> Result<Adverts, LoadError> {
        Adverts::map(self.map("HA_ADVERTS")?.fd())
            .map_err(|source| LoadError::Memory { name: "HA_ADVERTS", source })
    }

    /// The counters of what user space judged, mapped.
    ///
    /// # Errors
    ///
    /// [`LoadError::Memory`] where the kernel does not map it.
    pub fn judged(&self) -> Result<Judged, LoadError> {
        Judged::map(self.map("HA_JUDGED")?.fd())
            .map_err(|source| LoadError::Memory { name: "HA_JUDGED", source })
    }

    /// The lease and what replies say, mapped.
    ///
    /// # Errors
    ///
    /// [`LoadError::Memory`] where the kernel does not map it.
    pub fn lease(&self) -> Result<Lease, LoadError> {
        Lease::map(self.map("HA_LEASE")?.fd())
            .map_err(|source| LoadError::Memory { name: "HA_LEASE", source })
    }

    /// The routers that are probed, mapped.
    ///
    /// # Errors
    ///
    /// [`LoadError::Memory`] where the kernel does not map it.
    pub fn peers(&self) -> Result<Peers, LoadError> {
        Peers::map(self.map("HA_PEERS")?.fd())
            .map_err(|source| LoadError::Memory { name: "HA_PEERS", source })
    }

    /// The addresses that the fence is about. Can be had once.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] the second time.
    pub fn vips(&mut self) -> Result<Vips, LoadError> {
        let map = self.ebpf.take_map("HA_VIPS").ok_or(LoadError::Missing("HA_VIPS"))?;
        HashMap::try_from(map)
            .and_then(Vips::new)
            .map_err(|source| LoadError::Map { name: "HA_VIPS", source })
    }

    /// The routers that probe us. Can be had once.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] the second time.
    pub fn probers(&mut self) -> Result<Probers, LoadError> {
        let map = self.ebpf.take_map("HA_PROBERS").ok_or(LoadError::Missing("HA_PROBERS"))?;
        HashMap::try_from(map)
            .map(Probers::new)
            .map_err(|source| LoadError::Map { name: "HA_PROBERS", source })
    }

    /// The counters of the XDP program. Can be had once.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] the second time.
    pub fn counters(&mut self) -> Result<Counters, LoadError> {
        let map = self.ebpf.take_map("HA_COUNTERS").ok_or(LoadError::Missing("HA_COUNTERS"))?;
        PerCpuArray::try_from(map)
            .map(Counters::new)
            .map_err(|source| LoadError::Map { name: "HA_COUNTERS", source })
    }

    /// The ring of frames to be judged. Can be had once, and only inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] the second time.
    pub fn events(&mut self) -> Result<Events, LoadError> {
        let map = self.ebpf.take_map("HA_EVENTS").ok_or(LoadError::Missing("HA_EVENTS"))?;
        let ring = RingBuf::try_from(map).map_err(|source| LoadError::Map { name: "HA_EVENTS", source })?;
        Events::new(ring).map_err(|source| LoadError::Memory { name: "HA_EVENTS", source })
    }

    /// The program's own messages. Can be had once, and only inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] the second time.
    pub fn log(&mut self) -> Result<BpfLog, LoadError> {
        let logger = aya_log::EbpfLogger::init(&mut self.ebpf).map_err(|_| LoadError::Missing("AYA_LOGS"))?;
        BpfLog::new(logger).map_err(|source| LoadError::Memory { name: "AYA_LOGS", source })
    }

    fn map(&self, name: &'static str) -> Result<&MapData, LoadError> {
        match self.ebpf.map(name) {
            Some(aya::maps::Map::Array(map)) => Ok(map),
            _ => Err(LoadError::Missing(name)),
        }
    }
}

/// Keeps the program's two halves connected: the one descriptor of `HA_ALIVE`. When it goes, however it goes, the
/// kernel empties the map, and the program is orphaned some milliseconds later.
pub struct Alive {
    _map: ProgramArray<MapData>,
}

impl std::fmt::Debug for Alive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HA_ALIVE")
    }
}

/// The loaders of the process: one that pins maps, and one that does not. A new one reads and parses the types of
/// the whole kernel, which takes 20 MB and 50 ms, whether or not they are needed; they are not.
fn loader(pins: bool) -> &'static Mutex<EbpfLoader<'static>> {
    static LOADERS: [OnceLock<Mutex<EbpfLoader<'static>>>; 2] = [const { OnceLock::new() }; 2];
    LOADERS[usize::from(pins)].get_or_init(|| {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        trim_heap();
        Mutex::new(loader)
    })
}

/// A refusal in one line. The end of the verifier's log goes to ours, for those who work on the program.
fn refused(name: &str, error: ProgramError) -> LoadError {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return LoadError::Program(error) };
    if is_permission(&io_error) {
        return LoadError::Permission;
    }
    let log = verifier_log.to_string();
    for line in log.lines().rev().take(LOG_LINES).collect::<Vec<_>>().into_iter().rev() {
        tracing::debug!("verifier, {name}: {line}");
    }
    let reason = match last_words(&log) {
        Some(words) => format!("{words} ({io_error})"),
        None => io_error.to_string(),
    };
    LoadError::Refused { reason }
}

/// An error with all that led to it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // Some print their cause themselves.
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

/// Lines of the verifier's log that are kept.
const LOG_LINES: usize = 20;

/// What the verifier said last that is no statistics.
fn last_words(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 4] = ["processed ", "verification time ", "stack depth ", "max_states"];
    let mut lines = log.lines().rev().map(str::trim);
    lines.find(|line| !line.is_empty() && !STATISTICS.iter().any(|words| line.starts_with(words)))
}

/// The level as the program's global has it.
fn log_level(log: Option<aya_log::Level>) -> &'static u8 {
    static LEVELS: [u8; 6] = [0, 1, 2, 3, 4, 5];
    &LEVELS[log.map_or(0, |level| usize::from(level as u8)) % LEVELS.len()]
}

/// (EACCES is what the verifier says to a program that it refuses.)
fn is_permission(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_the_verifier_said_before_its_statistics() {
        let log = "; Some(unsafe { *start }) @ frame.rs:57\n1084: (71) r1 = *(u8 *)(r4 +5)\nR4 invalid mem access \
                   'scalar'\nverification time 1234 usec\nstack depth 256\nprocessed 3900 insns (limit 1000000)\n";
        assert_eq!(last_words(log), Some("R4 invalid mem access 'scalar'"));
        assert_eq!(last_words("processed 3900 insns\n\n"), None);
        assert_eq!(last_words(""), None);
    }
}
