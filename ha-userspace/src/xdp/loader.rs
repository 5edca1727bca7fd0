//! Loads the embedded object into the kernel. Attaching it is [`super::interface`]'s job.

use std::path::Path;
use std::sync::{Mutex, OnceLock};

use aya::maps::{Array, HashMap, MapData, MapError, MapType, PerCpuArray, ProgramArray, RingBuf};
use aya::programs::{ProgramError, Xdp};
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

/// Runs on every frame.
pub(super) const PROGRAM: &str = "ha_xdp";
/// The half that belongs to a live daemon.
const LIVE_PROGRAM: &str = "ha_live";

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
}

/// The program cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not root, or a container without CAP_BPF and CAP_NET_ADMIN.
    #[error("no permission to load BPF programs; run as root or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")]
    Permission,
    /// The object or a map was refused.
    #[error("cannot load the XDP program: {0}")]
    Object(#[from] EbpfError),
    /// The kernel's verifier refused the program.
    #[error("cannot load the XDP program (it needs a kernel of 5.18 or later): {0}")]
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
        Self::load_pinned(vlan, key, log, None)
    }

    /// The same, with the maps pinned in `pins`: maps that are there are used, what is missing is made.
    pub(super) fn load_pinned(
        vlan: u16,
        key: [u64; 2],
        log: Option<aya_log::Level>,
        pins: Option<&Path>,
    ) -> Result<Self, LoadError> {
        // A signal makes the verifier give up with EAGAIN. aya then tries once more and passes room for a log without
        // asking for one, which the kernel refuses. Signals can wait for these milliseconds.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK);
        let loaded = Self::load_undisturbed(vlan, key, log, pins);
        if let Ok(before) = before {
            let _ = before.thread_set_mask();
        }
        loaded
    }

    fn load_undisturbed(
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
        // The verifier's own log makes loading many times slower; it is for those who work on the program.
        loader.verifier_log_level(if log.is_some() {
            VerifierLogLevel::DEBUG
        } else {
            VerifierLogLevel::DISABLE
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

        let mut program = Self { ebpf };
        for name in [PROGRAM, LIVE_PROGRAM] {
            program.program(name)?.load().map_err(|error| match error {
                ProgramError::LoadError { io_error, .. } if is_permission(&io_error) => LoadError::Permission,
                error => LoadError::Program(error),
            })?;
        }
        Ok(program)
    }

    /// Connects the two halves, for as long as the result lives. Can be had once.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] the second time, [`LoadError::Map`] where the kernel refuses.
    pub fn alive(&mut self) -> Result<Alive, LoadError> {
        let map = self.ebpf.take_map("HA_ALIVE").ok_or(LoadError::Missing("HA_ALIVE"))?;
        let live = self.program(LIVE_PROGRAM)?.fd()?;
        ProgramArray::try_from(map)
            .and_then(|mut map| {
                map.set(0, live, 0)?;
                Ok(Alive { _map: map })
            })
            .map_err(|source| LoadError::Map { name: "HA_ALIVE", source })
    }

    fn program(&mut self, name: &'static str) -> Result<&mut Xdp, LoadError> {
        Ok(self.ebpf.program_mut(name).ok_or(LoadError::Missing(name))?.try_into()?)
    }

    /// The program that is attached: to attach it, or to run it on test frames.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] where the object has no such program.
    pub fn xdp(&mut self) -> Result<&mut Xdp, LoadError> {
        self.program(PROGRAM)
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

/// The level as the program's global has it.
fn log_level(log: Option<aya_log::Level>) -> &'static u8 {
    static LEVELS: [u8; 6] = [0, 1, 2, 3, 4, 5];
    &LEVELS[log.map_or(0, |level| usize::from(level as u8)) % LEVELS.len()]
}

/// (EACCES is what the verifier says to a program that it refuses.)
fn is_permission(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPERM)
}
