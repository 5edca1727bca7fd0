//! The modules that a guest loads, with what they depend on, in the order in which they can be loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::cpio::Archive;

/// What the lab and the cards need. A kernel may have one built in, or not at all.
const WANTED: [&str; 23] = [
    // Asked for by alias, and named in no dependency.
    "crc32c_generic",
    "crc32c_cryptoapi",
    "libcrc32c",
    "virtio_pci",
    "virtio_mmio",
    "virtio_net",
    "veth",
    "bridge",
    "macvlan",
    "8021q",
    "bonding",
    "tun",
    "overlay",
    "e1000",
    "e1000e",
    "igb",
    "vmxnet3",
    "nf_tables",
    "nft_compat",
    "nft_chain_nat",
    "unix_diag",
    "inet_diag",
    "packet_diag",
];

/// A word for the choice of modules, so that a change of it is noticed.
pub(crate) fn choice() -> String {
    WANTED.join(" ")
}

/// Writes the modules below `top` (`lib/modules/VERSION`) to `/modules` of an archive, and their order to
/// `/modules.order`. Returns how many there are.
///
/// # Errors
/// When one cannot be read or unpacked.
pub(crate) fn archive(top: &Path) -> Result<(Vec<u8>, usize)> {
    let mut files = BTreeMap::new();
    collect(top, &mut files).with_context(|| format!("reading {}", top.display()))?;
    let builtin = fs::read_to_string(top.join("modules.builtin")).unwrap_or_default();
    let builtin: BTreeSet<_> = builtin.lines().filter_map(|line| module_name(Path::new(line))).collect();
    let mut packed = Packed { files, builtin, archive: Archive::default(), order: Vec::new() };
    for name in WANTED {
        packed.add(name)?;
    }
    let count = packed.order.len();
    packed.archive.file("modules.order", 0o644, (packed.order.join("\n") + "\n").as_bytes());
    Ok((packed.archive.finish(), count))
}

struct Packed {
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    archive: Archive,
    order: Vec<String>,
}

impl Packed {
    fn add(&mut self, name: &str) -> Result<()> {
        let name = name.replace('-', "_");
        if self.builtin.contains(&name) || self.order.contains(&name) {
            return Ok(());
        }
        // What this kernel does not have, the guest does not get; a test that needs it says so.
        let Some(file) = self.files.get(&name).cloned() else { return Ok(()) };
        let content = unpack(&file).with_context(|| format!("reading {}", file.display()))?;
        for needed in depends(&content) {
            self.add(&needed)?;
        }
        self.archive.file(&format!("modules/{name}.ko"), 0o644, &content);
        self.order.push(name);
        Ok(())
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)?.flatten() {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            collect(&path, files)?;
        } else if kind.is_file()
            && let Some(name) = module_name(&path)
        {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `8021q` of `…/8021q.ko.xz`.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let (name, packing) = name.rsplit_once(".ko")?;
    matches!(packing, "" | ".xz" | ".zst").then(|| name.replace('-', "_"))
}

fn unpack(file: &Path) -> Result<Vec<u8>> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => Ok(fs::read(file)?),
        Some("xz") => {
            let mut content = Vec::new();
            lzma_rs::xz_decompress(&mut BufReader::new(fs::File::open(file)?), &mut content)?;
            Ok(content)
        }
        _ => bail!("packed in a way that is not understood here (Debian packs modules with xz)"),
    }
}

/// The names behind `depends=` in the section that modinfo shows.
fn depends(module: &[u8]) -> Vec<String> {
    const KEY: &[u8] = b"\0depends=";
    let Some(at) = module.windows(KEY.len()).position(|window| window == KEY) else { return Vec::new() };
    let value: Vec<u8> = module[at + KEY.len()..].iter().copied().take_while(|byte| *byte != 0).collect();
    let names = String::from_utf8_lossy(&value).into_owned();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_the_module() {
        assert_eq!(depends(b"ELF\0license=GPL\0depends=stp,llc\0name=bridge\0"), ["stp", "llc"]);
        assert!(depends(b"ELF\0depends=\0name=llc\0").is_empty());
        assert!(depends(b"nothing").is_empty());
    }

    #[test]
    fn module_names_are_those_of_the_kernel() {
        assert_eq!(module_name(Path::new("kernel/net/8021q/8021q.ko.xz")).as_deref(), Some("8021q"));
        assert_eq!(module_name(Path::new("ne2k-pci.ko")).as_deref(), Some("ne2k_pci"));
        assert_eq!(module_name(Path::new("modules.order")), None);
    }

    #[test]
    fn modules_come_after_what_they_need() {
        let top = std::env::temp_dir().join(format!("xtask-modules-{}", std::process::id()));
        fs::create_dir_all(top.join("kernel")).unwrap();
        let module = |name: &str, depends: &str| {
            fs::write(top.join(format!("kernel/{name}.ko")), format!("\0depends={depends}\0")).unwrap();
        };
        module("bridge", "stp,llc");
        module("stp", "llc");
        module("llc", "");
        fs::write(top.join("modules.builtin"), "kernel/drivers/net/veth.ko\n").unwrap();
        module("veth", "");
        let (bytes, count) = archive(&top).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(count, 3);
        assert!(text.contains("llc\nstp\nbridge\n") && !text.contains("veth"), "{text}");
        fs::remove_dir_all(top).unwrap();
    }
}
