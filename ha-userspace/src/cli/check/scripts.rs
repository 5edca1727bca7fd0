//! Notify scripts, and those that run once: would they run, as whom they are to run?
//!
//! `keepalived -t` says nothing about them, so this is a note. The scripts of trackers are the loader's business.

use std::ffi::{OsStr, OsString};

use crate::config::diag::Diagnostic;
use crate::config::model::{Global, NotifyScript};
use crate::config::{Loaded, codes};
use crate::track::exec::{self, Unusable};
use crate::track::security::{self, RealFiles};

/// Looks at the file of each, and at every component of its path.
pub(super) fn check(loaded: &mut Loaded) {
    let Loaded { config, diagnostics, .. } = loaded;
    let global = &config.global;
    let instances = config.instances.iter().flat_map(|instance| instance.notify.scripts());
    let groups = config.sync_groups.iter().flat_map(|group| group.notify.scripts());
    let fifos = [("notify_fifo_script", &global.fifos.all), ("vrrp_notify_fifo_script", &global.fifos.vrrp)];
    let fifos =
        fifos.into_iter().filter_map(|(keyword, fifo)| Some((keyword, fifo.as_ref()?.script.as_ref()?)));
    let once = [("startup_script", &global.startup), ("shutdown_script", &global.shutdown)];
    let once = once.into_iter().filter_map(|(keyword, once)| Some((keyword, &once.as_ref()?.script)));
    for (keyword, script) in instances.chain(groups).chain(fifos).chain(once) {
        let Err(why) = usable(script, global) else { continue };
        let Some(span) = diagnostics.sources.word_at(&script.place) else { continue };
        let refused = super::refused(&why.to_string());
        let message = format!("{keyword} would not run: {}", refused.message);
        diagnostics.push(
            Diagnostic::note(codes::SCRIPT_REFUSED, span, message)
                .cause("nobody is told of the change")
                .maybe_help(refused.help),
        );
    }
    diagnostics.sort();
}

fn usable(script: &NotifyScript, global: &Global) -> Result<(), Unusable> {
    let user = exec::identity(script.user.as_ref().or(global.script_user.as_ref()))?;
    let name = script.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    let path = std::env::var("PATH").unwrap_or_default();
    let program = security::find(&RealFiles, name, &path)?;
    Ok(security::check(&RealFiles, &program, &user, global.script_security)?)
}
