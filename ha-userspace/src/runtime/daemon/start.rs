//! The first and the last thing of a run: the configuration comes into force and what an earlier run left is cleared away;
//! and, after a stop, everything that was put on the host is taken away.

use std::time::Duration;

use super::Daemon;
use crate::config::model::{Config, Global};
use crate::net::clock;
use crate::notify::once;
use crate::realtime;
use crate::runtime::timeline::Timeline;
use crate::runtime::{reload_file, warn};

impl Daemon {
    /// Puts the first configuration into force. Roles of an earlier run go on, and what else it left is removed.
    pub(in crate::runtime) fn begin(&mut self, config: Config, timeline: &mut Timeline) {
        self.delay_start(&config.global, Duration::from_nanos(clock::boottime().0));
        self.configure(config);
        self.take_figures();
        timeline.mark("XDP programs, and the roles of the run before");
        let Self { host, routers, node, configuration, .. } = self;
        host.remove_leftover_links();
        host.remove_leftovers(routers, node, &configuration.in_force);
        host.remove_leftover_routes(routers, node, &configuration.in_force);
        self.end_restart_windows();
        self.life.end_start(timeline.total(), clock::now());
        timeline.mark("leftovers");
        self.update_fences();
        tracing::info!(
            kind = "start",
            "xvrrp {} runs {} of {}",
            env!("CARGO_PKG_VERSION"),
            if self.routers.len() == 1 {
                "1 instance".to_owned()
            } else {
                format!("{} instances", self.routers.len())
            },
            self.configuration.file.display()
        );
        reload_file::remove_leftover(&self.configuration.in_force.global);
        // Start-up is over: what it left in the allocator goes back first.
        if let Err(refusal) = realtime::lock_memory() {
            warn(&mut self.configuration.warnings, refusal.to_string());
        }
        timeline.mark("memory locked");
    }

    /// `vrrp_startup_delay` and `vrrp_delay_after_boot`, the longer of them: nothing starts sooner, except what goes on
    /// from an earlier run. `uptime` is that of the machine.
    fn delay_start(&mut self, global: &Global, uptime: Duration) {
        let (delay, keyword) = global.start_delay(uptime);
        if !delay.is_zero() {
            tracing::info!("{keyword}: instances start in {delay:.1?}");
            self.node.delay_start(self.life.started.after(delay.into()));
        }
    }

    /// Takes everything away after a graceful stop.
    pub(in crate::runtime) fn close(self) {
        let Self { mut host, mut notes, routers, node, interfaces, fast, workers, configuration, .. } = self;
        host.remove_statics(&routers, &node, &mut notes);
        host.virtual_links.remove_all();
        host.firewall.stop();
        drop(fast);
        // It ends once it has detached what it was told to.
        let _loader = interfaces.stop();
        workers.stop();
        let global = &configuration.in_force.global;
        if let Some(script) = &global.shutdown {
            once::run("shutdown_script", script, global);
        }
    }
}
