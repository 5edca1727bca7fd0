//! One host of the lab: run programs, read and write files, open sockets inside it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

use super::namespace::{Kind, LAB_DIR, Namespace};
use super::process::Process;
use super::topology::HostSpec;

/// A host: own network, mounts, processes, `/sys`, bpffs, `/run`, `/tmp`, and a copy of `/etc`.
#[derive(Debug)]
pub struct Host {
    spec: HostSpec,
    interface: String,
    namespace: Namespace,
    detached: bool,
}

impl Host {
    pub(super) fn create(spec: HostSpec, interface: &str, detached: bool) -> Result<Self> {
        let namespace = Namespace::create(Kind::Host, detached)
            .with_context(|| format!("creating host {}", spec.name))?;
        Ok(Self { spec, interface: interface.to_owned(), namespace, detached })
    }

    pub(super) fn attach(spec: HostSpec, interface: &str, holder_pid: u32) -> Result<Self> {
        let namespace = Namespace::attach(Kind::Host, holder_pid)?;
        Ok(Self { spec, interface: interface.to_owned(), namespace, detached: true })
    }

    /// Name, as in the topology.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Addresses of the host.
    #[must_use]
    pub fn spec(&self) -> &HostSpec {
        &self.spec
    }

    /// Name of its interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Pid of the process that holds the namespaces; `nsenter --target PID --net --mount --pid` enters them.
    #[must_use]
    pub fn holder_pid(&self) -> u32 {
        self.namespace.holder_pid()
    }

    /// Runs `job` on the thread that lives inside the host and returns its result. For opening sockets and
    /// other quick work; a job must not block.
    pub fn inside<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.namespace.inside(job)
    }

    /// Starts a program inside the host. In an attached lab it is killed when the [`Process`] is dropped.
    pub fn spawn(&self, command: Command) -> Result<Process> {
        Ok(Process::new(self.namespace.spawn(command)?, self.detached))
    }

    /// Runs a program to its end; its output, whatever its exit status.
    pub fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<Output> {
        let (program, arguments) = words.split_first().context("empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.namespace.spawn(command)?;
        child.wait_with_output().context("waiting for a program")
    }

    /// Runs a program; its standard output. An error if it fails, with what it wrote to standard error.
    pub fn output<S: AsRef<OsStr>>(&self, words: &[S]) -> Result<String> {
        let output = self.run(words)?;
        if !output.status.success() {
            let line: Vec<_> = words.iter().map(|word| word.as_ref().to_string_lossy()).collect();
            bail!(
                "`{}` in {}: {}: {}",
                line.join(" "),
                self.name(),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Where a file of the host is reached from outside it.
    #[must_use]
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.namespace.outside_path(inside.as_ref())
    }

    /// Where a file of the machine is seen from inside the host; differs below `/tmp` only.
    #[must_use]
    pub fn path_of_machine(&self, outside: impl AsRef<Path>) -> PathBuf {
        match outside.as_ref().strip_prefix("/tmp") {
            Ok(rest) => Path::new(LAB_DIR).join("tmp").join(rest),
            Err(_) => outside.as_ref().to_owned(),
        }
    }

    /// Writes a file inside the host, with its directories; `mode` as for chmod.
    pub fn write(&self, inside: impl AsRef<Path>, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let path = self.path(inside.as_ref());
        let context = || format!("writing {} in {}", inside.as_ref().display(), self.name());
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).with_context(context)?;
        }
        if mode & 0o111 != 0 {
            return install(content.as_ref(), &path, mode).with_context(context);
        }
        fs::write(&path, content).with_context(context)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).with_context(context)
    }

    /// Copies a program of the machine into the host, where everybody may run it.
    pub fn install(&self, outside: &Path, inside: &str) -> Result<()> {
        let content = fs::read(outside).with_context(|| format!("reading {}", outside.display()))?;
        self.write(inside, content, 0o755)
    }

    /// Reads a text file of the host; bytes that are not UTF-8 are replaced.
    pub fn read(&self, inside: impl AsRef<Path>) -> Result<String> {
        let path = self.path(inside.as_ref());
        let bytes = fs::read(&path)
            .with_context(|| format!("reading {} in {}", inside.as_ref().display(), self.name()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// An open log file inside the host, for use as the output of a program.
    pub(super) fn log_file(&self, inside: &str) -> Result<File> {
        let path = self.path(inside);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        File::options().create(true).append(true).open(&path).with_context(|| format!("creating {inside}"))
    }

    pub(super) fn persist(&mut self) {
        self.namespace.persist();
    }

    /// All addresses on all interfaces of the host now.
    pub fn addresses(&self) -> Result<Vec<IpAddr>> {
        let list: serde_json::Value = serde_json::from_str(&self.output(&["ip", "-j", "addr"])?)?;
        let interfaces = list.as_array().into_iter().flatten();
        let entries = interfaces.flat_map(|link| link["addr_info"].as_array().into_iter().flatten());
        Ok(entries.filter_map(|info| info["local"].as_str()?.parse().ok()).collect())
    }

    /// Whether the host has `address` now.
    pub fn holds(&self, address: IpAddr) -> Result<bool> {
        Ok(self.addresses()?.contains(&address))
    }

    /// Sets a kernel parameter of the host's network, such as `net.ipv4.ip_forward`.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        set_sysctl(&self.namespace, name, value).with_context(|| format!("in {}", self.name()))
    }
}

/// `/proc/sys/net` shows the network namespace of the thread that opens it.
pub(super) fn set_sysctl(namespace: &Namespace, name: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    let value = value.to_owned();
    namespace.inside(move || fs::write(&path, value).with_context(|| format!("setting {path}")))?
}

/// Writes a program by a process of its own. What this process has open for writing, a program that another test starts
/// at that moment has open as well until it runs, and what somebody has open for writing cannot be run (`ETXTBSY`).
fn install(content: &[u8], path: &Path, mode: u32) -> Result<()> {
    let mut command = Command::new("install");
    command.arg("-m").arg(format!("{mode:o}")).arg("/dev/stdin").arg(path);
    let mut child = command.stdin(Stdio::piped()).spawn().context("cannot start install")?;
    child.stdin.take().context("no pipe")?.write_all(content)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("install: {status}");
    }
    Ok(())
}
