//! nginx on a host: a service that is checked, and that can die in several ways.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};

use super::clock::wait_for;
use super::host::Host;
use super::process::Process;
use super::sys;

impl Host {
    /// Starts an nginx called `name` that listens on `port` and does what `location` says, such as
    /// `return 200 "fine\n";`. It returns once the port is open.
    pub fn nginx(&self, name: &str, port: u16, location: &str) -> Result<Process> {
        self.nginx_server(name, port, &format!("listen {port};\n  location / {{ {location} }}"))
    }

    /// The same with all of the `server` block, which listens on `port` in whatever way.
    pub fn nginx_server(&self, name: &str, port: u16, server: &str) -> Result<Process> {
        let dir = format!("/run/nginx-{name}");
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let paths: String =
            temporary.iter().map(|kind| format!(" {kind}_temp_path {dir}/{kind};\n")).collect();
        let config = format!(
            "user root;\nworker_processes 1;\ndaemon off;\npid {dir}/pid;\nerror_log {dir}/error.log;\nevents {{}}\n\
             http {{\n access_log off;\n{paths} server {{\n  {server}\n }}\n}}\n"
        );
        self.write(format!("{dir}/nginx.conf"), config, 0o644)?;
        let log = self.log_file(&format!("/run/lab/nginx-{name}.log"))?;
        let mut command = Command::new("nginx");
        command.args(["-c", &format!("{dir}/nginx.conf"), "-e", &format!("{dir}/error.log")]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        sys::realtime_child(&mut command);
        let mut process = self.spawn(command)?;
        let listens = format!(":{port} ");
        let open = || {
            let sockets = self.output(&["ss", "-Hltn"]).ok()?;
            sockets.contains(&listens).then_some(())
        };
        if wait_for(Duration::from_secs(5), open).is_none() {
            bail!(
                "nginx {name} did not start ({:?}): {}{}",
                process.try_wait()?,
                self.read(format!("{dir}/error.log")).unwrap_or_default(),
                self.read(format!("/run/lab/nginx-{name}.log")).unwrap_or_default()
            );
        }
        Ok(process)
    }
}
