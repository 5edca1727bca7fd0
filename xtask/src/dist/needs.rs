//! What a finished binary needs of the system that it runs on, read from its ELF headers.

use std::fmt;

use anyhow::{Context as _, Result, bail};
use object::LittleEndian;
use object::elf::{EM_AARCH64, EM_X86_64, FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

use super::target::Processor;

/// A version of glibc, as its symbols have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u16,
    minor: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What must be there for a program to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// A kernel.
    Nothing,
    /// glibc of this version or later.
    Glibc(Version),
    /// Shared libraries that carry no version of glibc.
    Libraries,
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("static"),
            Self::Glibc(version) => write!(f, "needs glibc {version} or later"),
            Self::Libraries => f.write_str("needs shared libraries"),
        }
    }
}

/// `GLIBC_2.34`; anything else is no version of glibc's (`GLIBC_PRIVATE`, `GCC_3.0`).
pub(crate) fn version(symbol: &[u8]) -> Option<Version> {
    let text = std::str::from_utf8(symbol).ok()?.strip_prefix("GLIBC_")?;
    let mut numbers = text.split('.').map(str::parse);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return None };
    Some(Version { major, minor })
}

/// Reads it.
///
/// # Errors
/// When the file is no program for `processor`, or is damaged.
pub(crate) fn of(file: &[u8], processor: Processor) -> Result<Needs> {
    let header = FileHeader64::<LittleEndian>::parse(file).context("no ELF file")?;
    let endian = header.endian()?;
    let machine = match processor {
        Processor::X86 => EM_X86_64,
        Processor::Arm => EM_AARCH64,
    };
    if header.e_machine(endian) != machine {
        bail!("a program for another processor (ELF machine {})", header.e_machine(endian));
    }
    let programs = header.program_headers(endian, file)?;
    if !programs.iter().any(|segment| segment.p_type(endian) == PT_INTERP) {
        return Ok(Needs::Nothing);
    }
    let sections = header.sections(endian, file)?;
    let mut newest = None;
    if let Some((mut files, strings)) = sections.gnu_verneed(endian, file)? {
        let strings = sections.strings(endian, file, strings)?;
        while let Some((_, mut symbols)) = files.next()? {
            while let Some(symbol) = symbols.next()? {
                newest = newest.max(version(symbol.name(endian, strings)?));
            }
        }
    }
    Ok(newest.map_or(Needs::Libraries, Needs::Glibc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_not_words() {
        assert_eq!(version(b"GLIBC_2.34"), Some(Version { major: 2, minor: 34 }));
        assert_eq!(version(b"GLIBC_2.2.5"), Some(Version { major: 2, minor: 2 }));
        for other in [&b"GLIBC_PRIVATE"[..], b"GCC_3.0", b"GLIBC_2", b"", b"\xff"] {
            assert_eq!(version(other), None);
        }
        assert!(version(b"GLIBC_2.9") < version(b"GLIBC_2.34"));
    }

    #[test]
    fn this_program_needs_this_machines_library() {
        let (Ok(exe), Some(here)) = (std::env::current_exe(), Processor::here()) else { return };
        let file = std::fs::read(exe).expect("readable");
        let needs = of(&file, here).expect("a program");
        assert_eq!(matches!(needs, Needs::Glibc(_)), cfg!(target_env = "gnu"), "{needs}");
        let other = if here == Processor::X86 { Processor::Arm } else { Processor::X86 };
        let error = of(&file, other).expect_err("it runs here").to_string();
        assert!(error.contains("another processor"), "{error}");
        // Damaged in any place: an error or another answer, but an answer.
        for length in [0, 1, 16, 63, 64, 100, file.len() / 2, file.len() - 1] {
            let _ = of(&file[..length], here);
        }
        assert!(of(&file[..64], here).is_err());
    }
}
