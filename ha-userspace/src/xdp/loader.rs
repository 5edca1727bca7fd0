//! Loads the embedded object into the kernel. Attaching it is [`super::interface`]'s job.

use std::sync::{Mutex, OnceLock};

use aya::maps::{Array, MapError, PerCpuArray, RingBuf};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use ha_common::layout::{ABI_VERSION, InterfaceConfig};

use super::events::Events;
use super::log::BpfLog;
use super::maps::{Adverts, Counters, Judged};
use super::sys::trim_heap;

/// The object that the build script made.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/ha-ebpf"));

const PROGRAM: &str = "ha_xdp";

/// The maps that an operator may want to look at, by the names that they have in `bpftool`.
pub(super) const PINNED_MAPS: [&str; 5] =
    ["HA_CONFIG", "HA_ADVERTS", "HA_COUNTERS", "HA_JUDGED", "HA_EVENTS"];

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
        let mut loader = loader().lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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
        program.xdp()?.load().map_err(|error| match error {
            ProgramError::LoadError { io_error, .. } if is_permission(&io_error) => LoadError::Permission,
            error => LoadError::Program(error),
        })?;
        Ok(program)
    }

    /// The program itself: to attach it, or to run it on test frames.
    ///
    /// # Errors
    ///
    /// [`LoadError::Missing`] where the object has no such program.
    pub fn xdp(&mut self) -> Result<&mut Xdp, LoadError> {
        let program = self.ebpf.program_mut(PROGRAM).ok_or(LoadError::Missing(PROGRAM))?;
        Ok(program.try_into()?)
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

    fn map(&self, name: &'static str) -> Result<&aya::maps::MapData, LoadError> {
        match self.ebpf.map(name) {
            Some(aya::maps::Map::Array(map)) => Ok(map),
            _ => Err(LoadError::Missing(name)),
        }
    }

    /// The maps to pin, those that have not been taken.
    pub(super) fn maps_to_pin(&self) -> impl Iterator<Item = (&'static str, &aya::maps::Map)> {
        PINNED_MAPS.into_iter().filter_map(|name| Some((name, self.ebpf.map(name)?)))
    }
}

/// The one loader of the process. A new one reads and parses the types of the whole kernel, which takes 20 MB and
/// 50 ms, whether or not they are needed; they are not.
fn loader() -> &'static Mutex<EbpfLoader<'static>> {
    static LOADER: OnceLock<Mutex<EbpfLoader<'static>>> = OnceLock::new();
    LOADER.get_or_init(|| {
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
