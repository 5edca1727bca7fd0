//! Archives in the format of the kernel's initramfs ("newc"), written without root and without cpio.

use std::collections::BTreeSet;

/// An archive in memory. Several may follow each other in one initramfs.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inode: u32,
    directories: BTreeSet<String>,
}

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;
/// Archives in a row are padded like tape blocks.
const BLOCK: usize = 512;

impl Archive {
    /// A directory with those above it; nothing where it is there already.
    pub(crate) fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if path.is_empty() || self.directories.contains(path) {
            return;
        }
        self.parents(path);
        self.directories.insert(path.to_owned());
        self.entry(path, DIRECTORY, &[]);
    }

    /// A file; `mode` is its permissions.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        let path = path.trim_start_matches('/');
        self.parents(path);
        self.entry(path, FILE | (mode & 0o7777), content);
    }

    /// A symbolic link at `path`.
    pub(crate) fn link(&mut self, path: &str, to: &str) {
        let path = path.trim_start_matches('/');
        self.parents(path);
        self.entry(path, LINK, to.as_bytes());
    }

    /// The archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.inode += 1;
        let length = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        // Inode, mode, owner, group, links, time, size, device (2), device of a node (2), length of the name, checksum.
        let numbers =
            [self.inode, mode, 0, 0, 1, 0, length(content.len()), 0, 0, 0, 0, length(name.len() + 1), 0];
        self.bytes.extend_from_slice(b"070701");
        for number in numbers {
            self.bytes.extend_from_slice(format!("{number:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_the_fixed_header_and_is_padded() {
        let mut archive = Archive::default();
        archive.file("a/b", 0o755, b"hello");
        archive.directory("a");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % BLOCK, 0);
        // The directory comes first, once.
        assert_eq!(&bytes[..22], b"07070100000001000041ED");
        assert_eq!(bytes.windows(2).filter(|window| window == b"a\0").count(), 1);
        assert_eq!(&bytes[112..134], b"07070100000002000081ED");
        // Header and name make 114 bytes: two of padding, then the content.
        assert_eq!(&bytes[112 + 116..112 + 121], b"hello");
        assert!(bytes.windows(11).any(|window| window == b"TRAILER!!!\0"));
    }
}
