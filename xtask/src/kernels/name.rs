//! Which kernels can be asked for: aliases such as `6.12-rt`, and Debian's full names.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use anyhow::{Error, bail};

use crate::dist::{Processor, Target};

/// What a kernel is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// Debian's configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// For virtual machines: small, no drivers of real cards.
    Cloud,
    /// Everything.
    Generic,
    /// `PREEMPT_RT`.
    Rt,
}

/// A kernel as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest of a series, or of all.
    Newest { series: Option<(u32, u32)>, flavour: Flavour, arch: Arch },
    /// Exactly this one.
    Exact(Kernel),
}

/// A kernel by Debian's name, such as `6.12.117+deb12-cloud-amd64`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernel {
    name: String,
}

impl Arch {
    /// Debian's word for it.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The one that a target is for.
    pub(crate) const fn of(target: Target) -> Self {
        match target.processor() {
            Processor::X86 => Self::Amd64,
            Processor::Arm => Self::Arm64,
        }
    }

    /// This machine's; none where neither kind of guest has this machine's programs.
    pub(crate) fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl Kernel {
    /// Debian's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it is built for.
    pub(crate) fn arch(&self) -> Arch {
        if self.name.ends_with("arm64") { Arch::Arm64 } else { Arch::Amd64 }
    }

    fn flavour(&self) -> Flavour {
        if self.name.contains("-cloud-") {
            Flavour::Cloud
        } else if self.name.contains("-rt-") {
            Flavour::Rt
        } else {
            Flavour::Generic
        }
    }

    /// Version and release number of the series.
    fn series(&self) -> Option<(u32, u32)> {
        let mut numbers = self.numbers();
        Some((numbers.next()?, numbers.next()?))
    }

    /// The name of one image; others, such as `6.12-amd64`, name a series or hold debugging symbols.
    fn parse(name: &str) -> Option<Self> {
        let kernel = Self { name: name.to_owned() };
        let (version, kind) = name.split_once('-')?;
        let dots = version.split('+').next()?.split('.').count();
        let known = ["amd64", "arm64"].iter().any(|arch| name.ends_with(arch));
        let odd = ["unsigned", "dbg", "16k"].iter().any(|word| kind.contains(word));
        (known && !odd && dots >= 3 && kernel.series().is_some()).then_some(kernel)
    }

    /// All images for `arch`, the newest first.
    pub(crate) fn all(packages: &[String], arch: Arch) -> Vec<Self> {
        let parsed = packages.iter().filter_map(|name| Self::parse(name));
        let mut found: Vec<_> = parsed.filter(|kernel| kernel.arch() == arch).collect();
        found.sort_by(|a, b| b.compare(a));
        found.dedup();
        found
    }

    fn numbers(&self) -> impl Iterator<Item = u32> {
        let digits = |c: char| !c.is_ascii_digit();
        let version = self.name.rsplit_once(['a', 'A']).map_or(self.name.as_str(), |(version, _)| version);
        version.split(digits).filter_map(|number| number.parse().ok()).collect::<Vec<_>>().into_iter()
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.numbers().cmp(other.numbers())
    }
}

impl Wanted {
    /// Where it runs.
    pub(crate) fn arch(&self) -> Arch {
        match self {
            Self::Newest { arch, .. } => *arch,
            Self::Exact(kernel) => kernel.arch(),
        }
    }

    /// What its programs are built for: static ones where the C library of its distribution is older than any that
    /// binaries are built with today.
    pub(crate) fn target(&self) -> Target {
        let series = match self {
            Self::Newest { series, .. } => *series,
            Self::Exact(kernel) => kernel.series(),
        };
        match self.arch() {
            Arch::Arm64 => Target::ArmGnu,
            Arch::Amd64 if series.is_some_and(|series| series < (6, 1)) => Target::X86Musl,
            Arch::Amd64 => Target::X86Gnu,
        }
    }

    /// The same with the drivers of real cards.
    pub(crate) fn with_cards(self) -> Self {
        match self {
            Self::Newest { series, flavour: Flavour::Cloud, arch } => {
                Self::Newest { series, flavour: Flavour::Generic, arch }
            }
            other => other,
        }
    }

    /// Those of `packages` (names behind `linux-image-`) that fit, the newest first.
    pub(crate) fn choose(&self, packages: &[String]) -> Vec<Kernel> {
        let fits = |kernel: &Kernel| match self {
            Self::Newest { series, flavour, .. } => {
                kernel.flavour() == *flavour && series.is_none_or(|series| kernel.series() == Some(series))
            }
            Self::Exact(exact) => kernel == exact,
        };
        Kernel::all(packages, self.arch()).into_iter().filter(fits).collect()
    }
}

impl FromStr for Wanted {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(kernel) = Kernel::parse(text) {
            return Ok(Self::Exact(kernel));
        }
        let mut words = text.split('-');
        let series = match words.next() {
            Some("newest") => None,
            Some(series) => {
                let numbers = series.split_once('.');
                let parsed = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                if parsed.is_none() {
                    bail!(
                        "`{text}`: a kernel is called 6.12, 6.12-generic, 6.12-rt, newest-arm64 or by Debian's full name"
                    );
                }
                parsed
            }
            None => None,
        };
        let (mut flavour, mut arch) = (Flavour::Cloud, Arch::Amd64);
        for word in words {
            match word {
                "cloud" => flavour = Flavour::Cloud,
                "generic" => flavour = Flavour::Generic,
                "rt" => flavour = Flavour::Rt,
                "amd64" => arch = Arch::Amd64,
                "arm64" => arch = Arch::Arm64,
                other => bail!("`{text}`: `{other}` is none of cloud, generic, rt, amd64, arm64"),
            }
        }
        Ok(Self::Newest { series, flavour, arch })
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(kernel) => f.write_str(&kernel.name),
            Self::Newest { series, flavour, arch } => {
                match series {
                    Some((major, minor)) => write!(f, "{major}.{minor}")?,
                    None => f.write_str("newest")?,
                }
                match flavour {
                    Flavour::Cloud => {}
                    Flavour::Generic => f.write_str("-generic")?,
                    Flavour::Rt => f.write_str("-rt")?,
                }
                match arch {
                    Arch::Amd64 => Ok(()),
                    Arch::Arm64 => f.write_str("-arm64"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKAGES: [&str; 12] = [
        "5.10.0-46-cloud-amd64",
        "6.1.0-0.deb11.52-cloud-amd64",
        "6.1.0-56-cloud-amd64",
        "6.1.0-56-rt-amd64",
        "6.12-cloud-amd64",
        "6.12.90+deb12.1-cloud-amd64",
        "6.12.117+deb12-cloud-amd64",
        "6.12.117+deb13-cloud-amd64",
        "6.12.117+deb13-amd64",
        "6.12.117+deb13-amd64-dbg",
        "7.3.4+deb13-cloud-amd64",
        "7.3.4+deb13-cloud-arm64",
    ];

    fn chosen(text: &str) -> Vec<String> {
        let packages = PACKAGES.map(str::to_owned);
        let wanted: Wanted = text.parse().unwrap();
        wanted.choose(&packages).into_iter().map(|kernel| kernel.name).collect()
    }

    #[test]
    fn an_alias_is_the_newest_of_its_kind() {
        assert_eq!(chosen("6.1"), ["6.1.0-56-cloud-amd64", "6.1.0-0.deb11.52-cloud-amd64"]);
        assert_eq!(chosen("6.1-rt"), ["6.1.0-56-rt-amd64"]);
        assert_eq!(chosen("6.12")[0], "6.12.117+deb13-cloud-amd64");
        assert_eq!(chosen("6.12").last().unwrap(), "6.12.90+deb12.1-cloud-amd64");
        assert_eq!(chosen("6.12-generic"), ["6.12.117+deb13-amd64"]);
        assert_eq!(chosen("newest")[0], chosen("7.3")[0]);
        assert_eq!(chosen("newest-arm64"), ["7.3.4+deb13-cloud-arm64"]);
        assert!(chosen("6.13").is_empty());
    }

    #[test]
    fn a_full_name_is_that_kernel() {
        assert_eq!(chosen("6.12.90+deb12.1-cloud-amd64"), ["6.12.90+deb12.1-cloud-amd64"]);
        assert_eq!("5.10.0-46-cloud-amd64".parse::<Wanted>().unwrap().to_string(), "5.10.0-46-cloud-amd64");
    }

    #[test]
    fn what_cannot_be_a_kernel_is_refused() {
        for text in ["", "six", "6", "6.12-fast", "6.12-amd64-dbg", "newest-"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
        assert_eq!("newest-arm64".parse::<Wanted>().unwrap().to_string(), "newest-arm64");
        assert_eq!("6.12".parse::<Wanted>().unwrap().with_cards().to_string(), "6.12-generic");
    }

    #[test]
    fn old_kernels_get_static_programs() {
        let target = |text: &str| text.parse::<Wanted>().unwrap().target();
        assert_eq!(target("5.10"), Target::X86Musl);
        assert_eq!(target("5.10.0-46-cloud-amd64"), Target::X86Musl);
        assert_eq!(target("6.1"), Target::X86Gnu);
        assert_eq!(target("newest"), Target::X86Gnu);
        assert_eq!(target("newest-arm64"), Target::ArmGnu);
    }
}
