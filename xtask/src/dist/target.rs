//! For whom a binary is built: processor and C library, and which C compiler and linker that takes.
//!
//! The linker is needed for everything that is not this machine's, the C compiler for `ring`, which TLS uses. Both are
//! told to cargo by environment, so that nobody's configuration has to be changed.

use clap::ValueEnum;

/// What a binary runs on, by the names of Rust's targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Target {
    /// x86-64 with glibc
    #[value(name = "x86_64-unknown-linux-gnu")]
    X86Gnu,
    /// x86-64, static
    #[value(name = "x86_64-unknown-linux-musl")]
    X86Musl,
    /// arm64 with glibc
    #[value(name = "aarch64-unknown-linux-gnu")]
    ArmGnu,
    /// arm64, static
    #[value(name = "aarch64-unknown-linux-musl")]
    ArmMusl,
}

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    /// x86-64.
    X86,
    /// arm64.
    Arm,
}

impl Processor {
    /// This machine's.
    pub(crate) const fn here() -> Option<Self> {
        if cfg!(target_arch = "x86_64") {
            Some(Self::X86)
        } else if cfg!(target_arch = "aarch64") {
            Some(Self::Arm)
        } else {
            None
        }
    }

    /// The C compiler for this processor with glibc on a machine with another one.
    const fn cross_compiler(self) -> &'static str {
        match self {
            Self::X86 => "x86_64-linux-gnu-gcc",
            Self::Arm => "aarch64-linux-gnu-gcc",
        }
    }

    /// Debian's packages of that compiler and of glibc's headers and start files.
    const fn cross_packages(self) -> &'static [&'static str] {
        match self {
            Self::X86 => &["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"],
            Self::Arm => &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"],
        }
    }
}

/// A C compiler, and what Debian calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// The program.
    pub(crate) program: &'static str,
    /// Debian's packages.
    pub(crate) packages: &'static [&'static str],
}

impl Target {
    /// The target of programs that run here, glibc's.
    pub(crate) fn host() -> Option<Self> {
        Processor::here().map(|processor| match processor {
            Processor::X86 => Self::X86Gnu,
            Processor::Arm => Self::ArmGnu,
        })
    }

    /// Its name in Rust, which is that of its directories too.
    pub(crate) const fn triple(self) -> &'static str {
        match self {
            Self::X86Gnu => "x86_64-unknown-linux-gnu",
            Self::X86Musl => "x86_64-unknown-linux-musl",
            Self::ArmGnu => "aarch64-unknown-linux-gnu",
            Self::ArmMusl => "aarch64-unknown-linux-musl",
        }
    }

    /// The same processor with glibc.
    pub(crate) const fn with_glibc(self) -> Self {
        match self {
            Self::X86Gnu | Self::X86Musl => Self::X86Gnu,
            Self::ArmGnu | Self::ArmMusl => Self::ArmGnu,
        }
    }

    /// Whose instructions.
    pub(crate) const fn processor(self) -> Processor {
        match self {
            Self::X86Gnu | Self::X86Musl => Processor::X86,
            Self::ArmGnu | Self::ArmMusl => Processor::Arm,
        }
    }

    /// Whether it is linked with musl, and static.
    pub(crate) const fn is_static(self) -> bool {
        matches!(self, Self::X86Musl | Self::ArmMusl)
    }

    /// The compiler that a machine with the processor `here` needs besides its own.
    ///
    /// For a foreign processor with musl it is glibc's: what is compiled with it calls nothing of a C library but
    /// memcpy and its like, and Rust's target brings musl itself.
    pub(crate) fn compiler(self, here: Option<Processor>) -> Option<Compiler> {
        let foreign = here != Some(self.processor());
        match (foreign, self.is_static()) {
            (true, _) => Some(Compiler {
                program: self.processor().cross_compiler(),
                packages: self.processor().cross_packages(),
            }),
            (false, true) => Some(Compiler { program: "musl-gcc", packages: &["musl-tools"] }),
            (false, false) => None,
        }
    }

    /// The environment in which cargo builds it on a machine with the processor `here`.
    pub(crate) fn environment(self, here: Option<Processor>) -> Vec<(String, &'static str)> {
        let Some(compiler) = self.compiler(here) else { return Vec::new() };
        let name = self.triple().replace('-', "_");
        let mut environment = vec![(format!("CC_{name}"), compiler.program)];
        // musl-gcc is no linker for Rust: both bring musl's start files.
        if here != Some(self.processor()) {
            environment.push((format!("CARGO_TARGET_{}_LINKER", name.to_uppercase()), compiler.program));
        }
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Target; 4] = [Target::X86Gnu, Target::X86Musl, Target::ArmGnu, Target::ArmMusl];

    #[test]
    fn the_names_of_the_command_line_are_those_of_rust() {
        for target in ALL {
            let name = target.to_possible_value().expect("none is hidden");
            assert_eq!(name.get_name(), target.triple());
        }
        assert_eq!(Target::value_variants(), ALL);
    }

    #[test]
    fn this_machines_own_target_needs_nothing() {
        assert_eq!(Target::X86Gnu.compiler(Some(Processor::X86)), None);
        assert_eq!(Target::X86Gnu.environment(Some(Processor::X86)), []);
        assert_eq!(Target::ArmGnu.environment(Some(Processor::Arm)), []);
    }

    #[test]
    fn a_foreign_processor_has_a_compiler_and_a_linker() {
        let environment = Target::ArmGnu.environment(Some(Processor::X86));
        let expected = [
            ("CC_aarch64_unknown_linux_gnu".to_owned(), "aarch64-linux-gnu-gcc"),
            ("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER".to_owned(), "aarch64-linux-gnu-gcc"),
        ];
        assert_eq!(environment, expected);
        // Also where nobody knows what this machine is.
        assert_eq!(Target::ArmGnu.environment(None), expected);
    }

    #[test]
    fn a_static_binary_is_linked_with_rusts_own_musl() {
        let environment = Target::X86Musl.environment(Some(Processor::X86));
        assert_eq!(environment, [("CC_x86_64_unknown_linux_musl".to_owned(), "musl-gcc")]);
        let environment = Target::ArmMusl.environment(Some(Processor::X86));
        assert!(environment.iter().all(|(_, program)| *program == "aarch64-linux-gnu-gcc"));
    }
}
