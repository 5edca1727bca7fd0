//! Pins of the link and the maps below `<bpffs>/xvrrp/v<ABI>/<interface>/`.
//!
//! They are what outlives the daemon: the program stays attached, and its fence and its answers with it. Without a
//! BPF file system the daemon works all the same, but leaves nothing when it dies.
//!
//! `bpftool link show` lists the link (type xdp, the interface's index), `bpftool link show pinned PATH/link` shows
//! it; removing `PATH/link` (and the rest of the directory) detaches the program once no daemon runs, and
//! [`detach_everything`] does so at once. A filter of traffic control cannot be pinned and needs no pin to stay; the
//! empty directory `filter:<index>` says that there is one, and `clsact` that its qdisc is ours.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use aya::maps::{HashMap, Map, MapData, MapInfo};
use aya::pin::PinError as AyaPinError;
use aya::programs::links::{FdLink, PinnedLink as AyaPinnedLink};
use ha_common::layout::ABI_VERSION;
use ha_common::time::Time;
use nix::mount::{MsFlags, mount};
use nix::net::if_::if_nametoindex;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use super::bpf::{LinkInfo, PinnedLink};
use super::claim::Claim;
use super::fence::{Lease, Vips};
use super::loader::PINNED_MAPS;
use super::{occupant, tc};
use crate::trust::{self, Distrust};

/// Bytes of the part of `HA_LEASE` that is the same in every version: incarnation, lease, restart window.
const LEASE_HEAD: u32 = 24;

/// Directory of everything that is pinned.
const ROOT: &str = "xvrrp";
/// Name of the link's pin.
const LINK: &str = "link";
/// Name of a link's pin until it takes the place of another.
const NEXT_LINK: &str = "link:next";
/// What comes before the interface's index in the name of the mark for a filter.
const FILTER: &str = "filter:";
/// Name of the mark for a qdisc that we made.
const QDISC: &str = "clsact";
/// The map by which a program is known as one of a directory's.
const LEASE: &str = "HA_LEASE";

/// Nothing is pinned, so nothing is left when the daemon dies.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// There is no BPF file system and it cannot be mounted.
    #[error(
        "cannot mount the BPF file system on {path}: {source}; mount it before the daemon starts (`mount -t bpf bpf \
         {path}`), or name another one with --bpffs"
    )]
    Mount {
        /// Where.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A directory cannot be made, or an old pin not removed.
    #[error("cannot use {path}: {source}{}", hint(source))]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Somebody other than root could make the path lead elsewhere.
    #[error("{0}; or name another BPF file system with --bpffs")]
    Distrusted(#[from] Distrust),
    /// Something that this program does not make is among the pins. It is left alone, and so is what it is in.
    #[error("{path} is nothing that xvrrp makes: remove it")]
    Unknown {
        /// What.
        path: PathBuf,
    },
    /// The pins are those of an interface of the same name in another network namespace.
    #[error(
        "{path} belongs to another network namespace (interface index {ifindex}); give this one a BPF file system of \
         its own with --bpffs"
    )]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The other interface.
        ifindex: u32,
    },
    /// Something else's link is in the place of ours. It is left alone.
    #[error("{path} is the link of {program}; remove it, or name another BPF file system with --bpffs")]
    Stranger {
        /// The pin.
        path: PathBuf,
        /// Whose it is.
        program: String,
    },
    /// The kernel does not pin the link.
    #[error("cannot pin {path}: {source}")]
    Link {
        /// Where.
        path: PathBuf,
        /// What aya says.
        source: AyaPinError,
    },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; something else is in the place of a directory: remove it"
        }
        _ => "",
    }
}

/// What an earlier run left attached.
#[derive(Debug)]
pub(super) enum Leftover {
    /// An XDP link.
    Xdp(FdLink),
    /// A tcx link.
    Tcx(FdLink),
    /// A filter of clsact.
    Filter {
        /// The qdisc is ours too.
        made_qdisc: bool,
    },
}

/// What an earlier run left of an interface.
#[derive(Debug)]
pub(super) struct Left {
    /// What is attached.
    pub(super) attached: Leftover,
    /// Until when peers wait for a restart, where that run's maps were of another version: they are not taken over, and
    /// their program is replaced by one with maps of this version.
    pub(super) of_other_version: Option<Time>,
}

/// The pins of one interface. Removed when dropped.
#[derive(Debug)]
pub(super) struct Pins {
    directory: PathBuf,
}

impl Pins {
    /// Makes the interface's directory below `bpffs`, which is mounted where it is not. What an earlier run left
    /// there is returned where it can be taken over: what is attached, while its maps stay where they are. The link of
    /// another version moves here, so that an upgrade has no moment without a program. Otherwise it is detached and
    /// removed.
    ///
    /// # Errors
    ///
    /// See [`PinError`].
    pub(super) fn prepare(
        bpffs: &Path,
        interface: &str,
        ifindex: u32,
    ) -> Result<(Self, Option<Left>), PinError> {
        trust::way(bpffs)?;
        mount_bpffs(bpffs)?;
        let root = bpffs.join(ROOT);
        trusted(&root)?;
        let name = file_name(interface);
        let directory = root.join(version()).join(&name);
        let mut others = Vec::new();
        for old in interfaces(&root).filter(|path| path.ends_with(&name) && *path != directory) {
            match owner(&old) {
                Owner::Foreign(other) => return Err(PinError::Foreign { path: old, ifindex: other }),
                Owner::Stranger(_) => {}
                Owner::Ours(at) if at == ifindex => others.push(old),
                Owner::Ours(_) | Owner::Nobody => remove(&old)?,
            }
        }
        let left = match owner(&directory) {
            Owner::Ours(at) if at == ifindex && maps_fit(&directory) => {
                leftover(&directory).map(|attached| Left { attached, of_other_version: None })
            }
            Owner::Foreign(other) => return Err(PinError::Foreign { path: directory, ifindex: other }),
            Owner::Stranger(program) => {
                return Err(PinError::Stranger { path: directory.join(LINK), program });
            }
            Owner::Ours(_) | Owner::Nobody => None,
        };
        if left.is_none() {
            remove(&directory)?;
        }
        make_directory(&directory)?;
        let left = left.or_else(|| others.iter().find_map(|old| move_link(old, &directory)));
        for old in others {
            remove(&old)?;
        }
        Ok((Self { directory }, left))
    }

    /// Pins the link of a program that has just been attached, in the place of what an earlier run left, which goes
    /// then.
    ///
    /// # Errors
    ///
    /// [`PinError::Link`], [`PinError::Directory`]. The program is detached then.
    pub(super) fn pin(&self, link: FdLink) -> Result<FdLink, PinError> {
        pin(&self.directory, link)
    }

    /// Marks that the program is in a filter of the interface with this index.
    ///
    /// # Errors
    ///
    /// [`PinError::Directory`].
    pub(super) fn mark(&self, ifindex: u32, made_qdisc: bool) -> Result<(), PinError> {
        let names = [Some(format!("{FILTER}{ifindex}")), made_qdisc.then(|| QDISC.to_owned())];
        for path in names.iter().flatten().map(|name| self.directory.join(name)) {
            make_directory(&path)?;
        }
        if let Ok(old) = self.link() {
            let _ = old.detach();
            let _ = fs::remove_file(self.directory.join(LINK));
        }
        Ok(())
    }

    /// Removes everything, and makes the empty directory again.
    ///
    /// # Errors
    ///
    /// [`PinError::Directory`].
    pub(super) fn clear(&self) -> Result<(), PinError> {
        remove(&self.directory)?;
        make_directory(&self.directory)
    }

    /// The link, to ask whether it is attached.
    pub(super) fn link(&self) -> io::Result<PinnedLink> {
        PinnedLink::open(&self.directory.join(LINK))
    }

    /// Whether the link is still pinned.
    pub(super) fn has_link(&self) -> bool {
        self.directory.join(LINK).exists()
    }

    /// Leaves the pins where they are.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }

    /// The directory that holds the pins.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        // The next run replaces what cannot be removed now.
        let _ = remove(&self.directory);
    }
}

/// `HA_LEASE` of the program that an earlier run of this version left on an interface, without taking it over.
#[must_use]
pub fn left_lease(bpffs: &Path, interface: &str) -> Option<Lease> {
    let directory = bpffs.join(ROOT).join(version()).join(file_name(interface));
    if !is_bpffs(bpffs) || trusted(&bpffs.join(ROOT)).is_err() || !maps_fit(&directory) {
        return None;
    }
    let map = MapData::from_pin(directory.join("HA_LEASE")).ok()?;
    Lease::map(map.fd()).ok()
}

/// `HA_VIPS` of the same.
pub(super) fn left_vips(bpffs: &Path, interface: &str) -> Option<Vips> {
    let directory = bpffs.join(ROOT).join(version()).join(file_name(interface));
    if !is_bpffs(bpffs) || trusted(&bpffs.join(ROOT)).is_err() || !maps_fit(&directory) {
        return None;
    }
    let map = MapData::from_pin(directory.join("HA_VIPS")).ok()?;
    Vips::new(HashMap::try_from(Map::HashMap(map)).ok()?).ok()
}

/// The interfaces that this version has pins for.
pub(super) fn pinned(bpffs: &Path) -> Vec<String> {
    let root = bpffs.join(ROOT);
    if !is_bpffs(bpffs) || trusted(&root).is_err() {
        return Vec::new();
    }
    let entries = fs::read_dir(root.join(version())).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| name.replace(':', "."))
        .collect()
}

/// Takes the link of another version's directory into an empty one, and what its lease says of a restart.
fn move_link(old: &Path, directory: &Path) -> Option<Left> {
    let lease = MapData::from_pin(old.join("HA_LEASE")).ok().filter(|map| {
        // Every version begins with the same words.
        map.info().is_ok_and(|info| info.max_entries() == 1 && info.value_size() >= LEASE_HEAD)
    });
    let until =
        lease.and_then(|map| Lease::map(map.fd()).ok()).map_or(Time(0), |lease| lease.restart_until());
    fs::rename(old.join(LINK), directory.join(LINK)).ok()?;
    Some(Left { attached: leftover(directory)?, of_other_version: Some(until) })
}

/// See [`Pins::pin`].
pub(super) fn pin(directory: &Path, link: FdLink) -> Result<FdLink, PinError> {
    let (path, next) = (directory.join(LINK), directory.join(NEXT_LINK));
    // Of a run that died right here.
    let _ = fs::remove_file(&next);
    let old = PinnedLink::open(&path);
    let link = link.pin(&next).map_err(|source| PinError::Link { path: next.clone(), source })?;
    fs::rename(&next, &path).map_err(|source| PinError::Directory { path, source })?;
    if let Ok(old) = old {
        let _ = old.detach();
    }
    remove_filter(directory);
    Ok(link.into())
}

/// Removes what an earlier run left for one interface, of whatever version, unless it belongs to another network
/// namespace.
pub(super) fn discard(bpffs: &Path, interface: &str) {
    let name = file_name(interface);
    let root = bpffs.join(ROOT);
    if trusted(&root).is_err() {
        return;
    }
    for directory in interfaces(&root).filter(|path| path.ends_with(&name)) {
        if !matches!(owner(&directory), Owner::Foreign(_) | Owner::Stranger(_)) {
            let _ = remove(&directory);
        }
    }
}

/// Removes what an earlier run left below `bpffs` for interfaces that are not in use any more, programs included.
/// For the start of the daemon, when it is known to be the only one in its network namespace; what belongs to
/// another namespace stays, and so does what cannot be removed.
pub fn remove_leftovers(bpffs: &Path, in_use: &[&str]) {
    let root = bpffs.join(ROOT);
    // What it is that cannot be trusted is said where something is to be pinned.
    if !is_bpffs(bpffs) || trusted(&root).is_err() {
        return;
    }
    let in_use: Vec<_> = in_use.iter().map(|name| file_name(name)).collect();
    for directory in interfaces(&root) {
        let used = in_use.iter().any(|name| directory.ends_with(name));
        if used || matches!(owner(&directory), Owner::Foreign(_) | Owner::Stranger(_)) {
            continue;
        }
        // Another daemon may use it.
        let name = directory.file_name().unwrap_or_default().to_string_lossy().replace(':', ".");
        if let Ok(Some(_claim)) = Claim::of(&name) {
            let _ = remove(&directory);
        }
    }
}

/// Detaches every program of this or another version that is pinned below `bpffs`, in whatever network namespace,
/// and removes the pins: for `xvrrp detach`. A daemon that still runs does not receive through XDP any more. Returns
/// the directories that are gone.
///
/// # Errors
///
/// The first thing that cannot be removed; the rest is removed all the same.
pub fn detach_everything(bpffs: &Path) -> Result<Vec<PathBuf>, PinError> {
    let mut gone = Vec::new();
    let mut failure = None;
    if is_bpffs(bpffs) {
        let root = bpffs.join(ROOT);
        trusted(&root)?;
        for directory in interfaces(&root) {
            let removed = match owner(&directory) {
                Owner::Stranger(program) => Err(PinError::Stranger { path: directory.join(LINK), program }),
                // A link can be detached from anywhere; a filter only where it is.
                Owner::Foreign(ifindex) if marked(&directory).is_some() => {
                    Err(PinError::Foreign { path: directory.clone(), ifindex })
                }
                Owner::Ours(_) | Owner::Foreign(_) | Owner::Nobody => {
                    detach(&directory, |_| true);
                    remove(&directory)
                }
            };
            match removed {
                Ok(()) => gone.push(directory),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
    }
    failure.map_or(Ok(gone), Err)
}

/// Whose program is it that is pinned in a directory?
enum Owner {
    /// It is attached to the interface with this index in our network namespace.
    Ours(u32),
    /// It is attached to one with this index in another namespace.
    Foreign(u32),
    /// It is no program of ours, nor its like.
    Stranger(String),
    /// It is not attached, or not there.
    Nobody,
}

fn owner(directory: &Path) -> Owner {
    // What is no link may go: nothing is taken off any interface with it.
    let Ok(link) = PinnedLink::open(&directory.join(LINK)) else { return filter_owner(directory) };
    let Ok(LinkInfo { tcx, program, ifindex }) = link.info() else {
        return Owner::Stranger("a program that is none of XDP".to_owned());
    };
    if let Some(name) = occupant::name(program).filter(|name| !occupant::is_ours(name)) {
        return Owner::Stranger(format!("the XDP program {name} (id {program})"));
    }
    let is_here = |ifindex| {
        if tcx {
            tc::has_tcx(ifindex, program)
        } else {
            occupant::program(ifindex).is_some_and(|(id, _)| id == program)
        }
    };
    match ifindex {
        0 => Owner::Nobody,
        _ if is_here(ifindex) => Owner::Ours(ifindex),
        _ => Owner::Foreign(ifindex),
    }
}

/// Takes the program off its interface, if that has one of the indexes that are meant.
fn detach(directory: &Path, meant: impl FnOnce(u32) -> bool) {
    if let Ok(link) = PinnedLink::open(&directory.join(LINK))
        && link.info().is_ok_and(|info| meant(info.ifindex))
    {
        let _ = link.detach();
    }
}

/// The same for a filter: its program is one of those that use the pinned maps.
fn filter_owner(directory: &Path) -> Owner {
    let (Some(ifindex), Ok(lease)) = (marked(directory), MapInfo::from_pin(directory.join(LEASE))) else {
        return Owner::Nobody;
    };
    let users = tc::users(lease.id());
    match tc::find(ifindex) {
        Some(found) if users.contains(&found.program) => Owner::Ours(ifindex),
        _ if users.is_empty() => Owner::Nobody,
        _ => Owner::Foreign(ifindex),
    }
}

/// The index of the interface whose filter a directory is about.
fn marked(directory: &Path) -> Option<u32> {
    let names = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.strip_prefix(FILTER)?.parse().ok()).next()
}

/// What is attached and belongs to the pins of a directory.
fn leftover(directory: &Path) -> Option<Leftover> {
    let path = directory.join(LINK);
    match PinnedLink::open(&path).and_then(|link| link.info()) {
        Ok(info) => {
            let link = AyaPinnedLink::from_pin(path).ok().map(FdLink::from)?;
            Some(if info.tcx { Leftover::Tcx(link) } else { Leftover::Xdp(link) })
        }
        Err(_) => {
            marked(directory)?;
            Some(Leftover::Filter { made_qdisc: directory.join(QDISC).exists() })
        }
    }
}

/// Removes the filter that a directory is about, where it is in this network namespace, and its marks.
fn remove_filter(directory: &Path) {
    let Some(ifindex) = marked(directory) else { return };
    if matches!(filter_owner(directory), Owner::Ours(_)) || tc::find(ifindex).is_none() {
        tc::remove(ifindex, directory.join(QDISC).exists());
    }
    let _ = fs::remove_dir(directory.join(format!("{FILTER}{ifindex}")));
    let _ = fs::remove_dir(directory.join(QDISC));
}

/// Whether all maps are there and laid out as this build lays them out, whatever the directory's name says.
fn maps_fit(directory: &Path) -> bool {
    PINNED_MAPS.iter().all(|spec| {
        MapInfo::from_pin(directory.join(spec.name)).is_ok_and(|info| {
            info.map_type().is_ok_and(|kind| kind == spec.kind)
                && (info.key_size(), info.value_size(), info.max_entries()) == spec.sizes
        })
    })
}

/// The directories of interfaces, of all versions.
fn interfaces(root: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let directories = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        // A link is none.
        entries.filter(|path| matches!(trust::directory(path), Ok(Some(()))))
    };
    directories(root)
        .filter(|version| version.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"v")))
        .flat_map(move |version| directories(&version).collect::<Vec<_>>())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Removes an interface's directory, and its parents where they are empty then.
fn remove(directory: &Path) -> Result<(), PinError> {
    // The kernel gives up a link some time after its last pin has gone, and not while somebody holds it; until then
    // nothing else can be attached. A link to another interface, which somebody has put here, may be in use there.
    let name = directory.file_name().unwrap_or_default().to_string_lossy().replace(':', ".");
    detach(directory, |ifindex| if_nametoindex(name.as_str()) == Ok(ifindex));
    remove_filter(directory);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| PinError::Directory { path, source }
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed(directory))?,
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if !entry.file_name().to_str().is_some_and(is_known) {
            return Err(PinError::Unknown { path });
        }
        // Neither follows a link.
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(failed(&path))?;
    }
    fs::remove_dir(directory).map_err(failed(directory))?;
    for parent in directory.ancestors().skip(1).take(2) {
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

/// Whether this or another version makes something of this name in an interface's directory.
fn is_known(name: &str) -> bool {
    let filter = |name: &str| name.strip_prefix(FILTER).is_some_and(|index| index.parse::<u32>().is_ok());
    [LINK, NEXT_LINK, QDISC].contains(&name) || name.starts_with("HA_") || filter(name)
}

/// Whether nobody but root can have put anything below this directory, which need not exist.
fn trusted(root: &Path) -> Result<(), PinError> {
    trust::way(root)?;
    trust::directory(root)?;
    Ok(())
}

/// Makes a directory, and those above it, for root alone.
fn make_directory(path: &Path) -> Result<(), PinError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| PinError::Directory { path: path.to_owned(), source })
}

/// This build's part of the path.
fn version() -> String {
    format!("v{ABI_VERSION}")
}

/// The interface's name as a file name: the BPF file system refuses dots, and no interface name has a colon.
fn file_name(interface: &str) -> String {
    interface.replace('.', ":")
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|status| status.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts the BPF file system as bpftool does, where there is none yet.
fn mount_bpffs(path: &Path) -> Result<(), PinError> {
    if is_bpffs(path) {
        return Ok(());
    }
    let failed = |source| PinError::Mount { path: path.to_owned(), source };
    fs::create_dir_all(path).map_err(failed)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), path, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|error| failed(io::Error::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_have_no_dots_and_stay_distinct() {
        assert_eq!(file_name("ens160"), "ens160");
        assert_eq!(file_name("eth0.100"), "eth0:100");
    }

    #[test]
    fn only_what_a_version_makes_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (pins, victim) = (dir.path().join("xvrrp/v3/ens160"), dir.path().join("victim"));
        make_directory(&pins).unwrap();
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join("file"), "precious").unwrap();
        for name in ["link", "link:next", "HA_LEASE", "HA_OF_LATER"] {
            fs::write(pins.join(name), "").unwrap();
        }
        fs::create_dir_all(pins.join("filter:7")).unwrap();
        std::os::unix::fs::symlink(&victim, pins.join("HA_VIPS")).unwrap();
        fs::write(pins.join("somebody's"), "").unwrap();
        let text = remove(&pins).unwrap_err().to_string();
        assert!(text.contains("somebody's is nothing that xvrrp makes"), "{text}");
        assert!(pins.join("somebody's").exists());
        fs::remove_file(pins.join("somebody's")).unwrap();
        remove(&pins).unwrap();
        assert!(!dir.path().join("xvrrp").exists(), "empty directories above go too");
        assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "precious");
    }

    #[test]
    fn links_are_no_directories_of_interfaces() {
        let dir = tempfile::tempdir().unwrap();
        let (root, victim) = (dir.path().join("xvrrp"), dir.path().join("victim"));
        make_directory(&root.join("v3/ens160")).unwrap();
        fs::create_dir_all(victim.join("www/data")).unwrap();
        std::os::unix::fs::symlink(&victim, root.join("v5")).unwrap();
        std::os::unix::fs::symlink(victim.join("www"), root.join("v3/ens161")).unwrap();
        assert_eq!(interfaces(&root).collect::<Vec<_>>(), [root.join("v3/ens160")]);
        std::os::unix::fs::symlink(&victim, dir.path().join("link")).unwrap();
        assert!(trusted(&root).is_ok());
        assert!(matches!(trusted(&dir.path().join("link")), Err(PinError::Distrusted(_))));
    }
}
