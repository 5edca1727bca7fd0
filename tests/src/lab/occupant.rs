//! Programs of somebody else on an interface.

use anyhow::Result;
use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};

use super::Host;

/// `r0 = XDP_PASS; exit`.
pub const XDP_PASS: &[u8] = &[0xb7, 0, 0, 0, 2, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

/// An object with a program of these instructions in a section of this name, called `other`.
///
/// # Errors
/// When it cannot be written.
pub fn bpf_object(section: &str, instructions: &[u8]) -> Result<Vec<u8>> {
    let mut elf = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let section = elf.add_section(Vec::new(), section.as_bytes().to_vec(), SectionKind::Text);
    elf.append_section_data(section, instructions, 8);
    elf.add_symbol(Symbol {
        name: b"other".to_vec(),
        value: 0,
        size: instructions.len() as u64,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    });
    let license = elf.add_section(Vec::new(), b"license".to_vec(), SectionKind::Data);
    elf.append_section_data(license, b"GPL\0", 1);
    Ok(elf.write()?)
}

impl Host {
    /// Attaches an XDP program of these instructions to its interface, as anybody would.
    ///
    /// # Errors
    /// When ip(8) refuses.
    pub fn occupy_xdp(&self, instructions: &[u8]) -> Result<()> {
        self.write("/run/lab/other.o", bpf_object("xdp", instructions)?, 0o644)?;
        self.output(&["ip", "link", "set", "ens160", "xdpgeneric", "obj", "/run/lab/other.o", "sec", "xdp"])
            .map(drop)
    }
}
