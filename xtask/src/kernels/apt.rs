//! apt with lists, cache and sources of its own below `target/kernels/apt`: the host's are not touched, and nothing is
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use super::mirror::Mirror;
use super::name::Arch;
use crate::sys;

/// Releases whose kernels and programs are wanted.
const SUITES: [&str; 6] = ["bullseye", "bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid"];
const SECURITY: [&str; 3] = ["bullseye-security", "bookworm-security", "trixie-security"];
/// Lists that are older are fetched again; if that fails, they have to do.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// A private apt.
#[derive(Debug)]
pub(crate) struct Apt {
    config: PathBuf,
}

impl Apt {
    /// All suites, for kernels of both architectures; fetches the lists where there are none of today.
    ///
    /// # Errors
    /// Without apt, without a Debian mirror in its sources, or when no list can be had.
    pub(crate) fn open(top: &Path) -> Result<Self> {
        Self::with(&top.join("apt"), &SUITES, &SECURITY, None)
    }

    /// Programs of one release for `arch` alone, as if nothing were installed.
    ///
    /// # Errors
    /// As [`Apt::open`].
    pub(crate) fn of_release(top: &Path, release: &str, arch: Arch) -> Result<Self> {
        let suites = [release.to_owned(), format!("{release}-backports")];
        let suites = [suites[0].as_str(), suites[1].as_str()];
        Self::with(&top.join(format!("apt-{release}-{}", arch.debian())), &suites, &[], Some(arch))
    }

    fn with(dir: &Path, suites: &[&str], security: &[&str], only: Option<Arch>) -> Result<Self> {
        ensure!(sys::find("apt-get").is_some(), "there is no apt-get here, and kernels come from Debian");
        let mirror = Mirror::of_this_machine().context(
            "apt's sources on this machine (/etc/apt/sources.list, sources.list.d) name no Debian mirror, and kernels \
             come from Debian",
        )?;
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part)).with_context(|| format!("making {}", dir.display()))?;
        }
        let mut sources = String::new();
        for suite in suites {
            sources += &mirror.entry(&mirror.main, suite);
        }
        for suite in security {
            let uri = mirror.security.as_deref().unwrap_or(&mirror.main);
            sources += &mirror.entry(uri, suite);
        }
        let config = dir.join("apt.conf");
        let apt = Self { config: config.clone() };
        let list = dir.join("sources.list");
        let same = fs::read_to_string(&list).is_ok_and(|text| text == sources);
        fs::write(&list, &sources)?;
        fs::write(dir.join("status"), "")?;
        fs::write(&config, configuration(dir, only))?;
        let stamp = dir.join("fetched");
        let age = stamp.metadata().and_then(|meta| meta.modified());
        let age = age.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if !same || age.is_none_or(|age| age > FRESH) {
            let mut update = apt.command("apt-get");
            update.args(["-q", "update"]);
            // A suite that the mirror does not have is no reason to give up.
            if let Err(error) = run_quietly("Fetching Debian's package lists", &mut update, dir) {
                println!("    {error:#}\n    going on with the lists that could be had");
            }
            ensure!(apt.has_lists(dir), "no package list could be had from {}", mirror.main);
            fs::write(stamp, "")?;
        }
        Ok(apt)
    }

    fn has_lists(&self, dir: &Path) -> bool {
        let lists = fs::read_dir(dir.join("lists")).into_iter().flatten().flatten();
        lists.into_iter().any(|entry| entry.file_name().to_string_lossy().contains("_Packages"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = sys::tool(sys::find(program).unwrap_or_else(|| program.into()));
        command.env("APT_CONFIG", &self.config).env("LC_ALL", "C");
        // Images of containers switch these off, in a file that is read after ours; without them every call reads all
        // lists again.
        for cache in ["pkgcache", "srcpkgcache"] {
            command.arg("-o").arg(format!("Dir::Cache::{cache}={cache}.bin"));
        }
        command
    }

    /// Names of all packages that begin with `prefix`, without it.
    ///
    /// # Errors
    /// When apt fails.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = sys::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(text.lines().filter_map(|line| Some(line.trim().strip_prefix(prefix)?.to_owned())).collect())
    }

    /// Downloads packages of `arch` (Debian's names) into `directory`, and returns the files.
    ///
    /// # Errors
    /// When one cannot be had.
    pub(crate) fn download(&self, packages: &[String], arch: Arch, directory: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(directory)?;
        let missing = packages.iter().filter(|package| find_deb(directory, package).is_none());
        let missing: Vec<_> = missing.map(|package| format!("{package}:{}", arch.debian())).collect();
        if !missing.is_empty() {
            let mut download = self.command("apt-get");
            sys::output(download.current_dir(directory).args(["-q", "download"]).args(missing))?;
        }
        let mut files = Vec::new();
        for package in packages {
            let file = find_deb(directory, package);
            files.push(
                file.with_context(|| format!("apt has not left {package} in {}", directory.display()))?,
            );
        }
        Ok(files)
    }

    /// The packages that `package` needs and whose name begins with one of `prefixes`.
    ///
    /// # Errors
    /// When apt does not know the package.
    pub(crate) fn depends(&self, package: &str, arch: Arch, prefixes: &[String]) -> Result<Vec<String>> {
        let name = format!("{package}:{}", arch.debian());
        let text = sys::output(self.command("apt-cache").args(["show", "--no-all-versions", &name]))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
        let names = line.split(',').filter_map(|part| part.split_whitespace().next());
        Ok(names
            .filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
            .map(str::to_owned)
            .collect())
    }

    /// Downloads `packages` with everything that they need, and returns the files.
    ///
    /// # Errors
    /// When apt fails.
    pub(crate) fn download_closure(&self, packages: &[&str]) -> Result<Vec<PathBuf>> {
        let archives = self.config.with_file_name("cache").join("archives");
        let mut install = self.command("apt-get");
        install.args(["-q", "-y", "install", "--download-only", "--no-install-recommends"]).args(packages);
        sys::output(&mut install)?;
        let files = fs::read_dir(&archives)?.flatten().map(|entry| entry.path());
        let files: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "deb")).collect();
        if files.is_empty() {
            bail!("apt has left no package in {}", archives.display());
        }
        Ok(files)
    }
}

/// A package's file: `NAME_VERSION_ARCH.deb`, where apt writes `%2b` for a plus sign at times.
fn find_deb(directory: &Path, package: &str) -> Option<PathBuf> {
    let files = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let is = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().replace("%2b", "+");
        name.ends_with(".deb") && name.split('_').next() == Some(package)
    };
    files.into_iter().find(is)
}

fn configuration(dir: &Path, only: Option<Arch>) -> String {
    let dir = dir.display();
    let mut text = format!(
        "Dir::Etc::sourcelist \"{dir}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\nDir::State::lists \"{dir}/lists\";\nDir::Cache \"{dir}/cache\";\n\
         Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
         Acquire::IndexTargets::deb::Translations::DefaultEnabled \"false\";\nAPT::Sandbox::User \"root\";\n"
    );
    text += &match only {
        None => "APT::Architectures { \"amd64\"; \"arm64\"; };\n".to_owned(),
        Some(arch) => format!(
            "APT::Architecture \"{0}\";\nAPT::Architectures {{ \"{0}\"; }};\nDir::State::status \"{dir}/status\";\n\
             Debug::NoLocking \"true\";\n",
            arch.debian()
        ),
    };
    text
}

/// Runs a talkative program with its words in `apt.log`.
fn run_quietly(title: &str, command: &mut Command, dir: &Path) -> Result<()> {
    sys::announce(title, &sys::show(command));
    let log = dir.join("apt.log");
    let file = fs::File::create(&log)?;
    let status = command.stdout(file.try_clone()?).stderr(file).status().context("starting apt-get")?;
    ensure!(status.success(), "apt-get failed ({status}); its words are in {}", log.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_found_by_its_whole_name() {
        let dir = std::env::temp_dir().join(format!("xtask-apt-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("linux-image-6.12.1%2bdeb13-amd64_6.12.1-1_amd64.deb"), "").unwrap();
        assert!(find_deb(&dir, "linux-image-6.12.1+deb13-amd64").is_some());
        assert!(find_deb(&dir, "linux-image-6.12.1+deb13").is_none());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn the_hosts_own_state_is_never_named() {
        let text = configuration(Path::new("/x"), Some(Arch::Arm64));
        assert!(text.contains("Dir::State::lists \"/x/lists\"") && text.contains("Dir::Cache \"/x/cache\""));
        assert!(text.contains("Dir::State::status \"/x/status\"") && text.contains("\"/dev/null\""));
    }
}
