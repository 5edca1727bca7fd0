//! `global_defs`.

use std::net::IpAddr;
use std::time::Duration;

use ha_common::types::{MULTICAST_V4, MULTICAST_V6, Version};

use super::fast::{self, FastDraft};
use super::garp::{self, GarpDraft};
use super::keyword::{self, Action};
use super::notify::{FifoDraft, NotifyDefaults, OnceDraft};
use super::{mail, notify, settings, value};
use crate::config::codes;
use crate::config::diag::{Diagnostic, Diagnostics};
use crate::config::keywords::Context;
use crate::config::model::{GarpExtra, Global, NotifyScript, ScriptUser, XdpMode};
use crate::config::source::Span;
use crate::config::tree::Statement;

/// `global_defs`, and the defaults that it gives to instances.
#[derive(Debug, Default)]
pub(super) struct Globals {
    pub(super) global: Global,
    pub(super) version: Option<Version>,
    pub(super) garp: GarpDraft,
    pub(super) fast: FastDraft,
    pub(super) lower_prio_no_advert: Option<bool>,
    pub(super) higher_prio_send_advert: bool,
    pub(super) down_timer_adverts: Option<u8>,
    pub(super) check_unicast_src: bool,
    pub(super) strict: Option<Span>,
    pub(super) notify: NotifyDefaults,
    pub(super) fifos: FifoDraft,
    pub(super) startup: OnceDraft,
    pub(super) shutdown: OnceDraft,
    pub(super) garp_extra: Option<GarpExtra>,
    pub(super) owner_ignore_adverts: bool,
    pub(super) skip_check_adv_addr: bool,
    /// A group other than VRRP's own, IPv4 and IPv6.
    pub(super) group4: Option<Span>,
    pub(super) group6: Option<Span>,
}

/// Read one `global_defs` block. A file may have several; later values count.
pub(super) fn lower(stmt: &Statement, globals: &mut Globals, diags: &mut Diagnostics) {
    let Some(statements) = value::bare_block(stmt, diags) else { return };
    for stmt in statements {
        if keyword::check(Context::Global, stmt, diags) == Action::Lower {
            setting(stmt, globals, diags);
        }
    }
}

impl Globals {
    /// The scripts of `global_defs` with their lines.
    pub(super) fn scripts(&self) -> Vec<(NotifyScript, Span)> {
        let once = self.startup.scripts().chain(self.shutdown.scripts());
        once.chain(self.fifos.scripts()).cloned().collect()
    }

    /// What is known only at the end of all blocks.
    pub(super) fn finish(&mut self, diags: &mut Diagnostics) {
        self.global.fifos = std::mem::take(&mut self.fifos).finish(diags);
        self.global.startup = std::mem::take(&mut self.startup).finish();
        self.global.shutdown = std::mem::take(&mut self.shutdown).finish();
    }
}

fn setting(stmt: &Statement, globals: &mut Globals, diags: &mut Diagnostics) {
    let global = &mut globals.global;
    if mail::setting(stmt, &mut global.mail, diags)
        || globals.fifos.setting(stmt, diags)
        || settings::setting(stmt, global, diags)
    {
        return;
    }
    match &*stmt.keyword().bytes {
        b"router_id" => {
            // keepalived ignores the line and runs.
            if stmt.args().is_empty() {
                let span = stmt.keyword().span;
                diags.push(Diagnostic::warning(codes::MISSING_PARAMETER, span, "router_id lacks its name"));
            } else if let Some(word) = value::one(stmt, diags) {
                global.router_id = Some(word.text().into_owned());
            }
        }
        b"script_user" => global.script_user = script_user(stmt, diags).or(global.script_user.take()),
        b"enable_script_security" => {
            value::flag(stmt, diags);
            global.script_security = true;
        }
        b"vrrp_version" => globals.version = version(stmt, diags).or(globals.version),
        b"vrrp_lower_prio_no_advert" => {
            globals.lower_prio_no_advert = value::boolean(stmt, diags).or(globals.lower_prio_no_advert);
        }
        b"vrrp_higher_prio_send_advert" => {
            globals.higher_prio_send_advert =
                value::boolean(stmt, diags).unwrap_or(globals.higher_prio_send_advert);
        }
        b"vrrp_down_timer_adverts" => {
            if let Some(word) = value::one(stmt, diags) {
                globals.down_timer_adverts =
                    value::small(word, "down_timer_adverts", 1..=100, "ignored", diags);
            }
        }
        b"vrrp_check_unicast_src" => {
            value::flag(stmt, diags);
            globals.check_unicast_src = true;
        }
        b"vrrp_strict" => {
            value::flag(stmt, diags);
            globals.strict = Some(stmt.keyword().span);
        }
        b"vrrp_skip_check_adv_addr" => {
            globals.skip_check_adv_addr = value::boolean(stmt, diags).unwrap_or(true);
        }
        b"vrrp_owner_ignore_adverts" => {
            globals.owner_ignore_adverts = value::boolean(stmt, diags).unwrap_or(false);
        }
        b"vrrp_garp_extra_if" => {
            globals.garp_extra = garp::extra(stmt, diags).unwrap_or(globals.garp_extra);
        }
        b"vrrp_notify_priority_changes" => {
            globals.notify.priority_changes =
                value::boolean(stmt, diags).unwrap_or(globals.notify.priority_changes);
        }
        b"smtp_alert" => {
            globals.notify.smtp_alert = value::boolean(stmt, diags).or(globals.notify.smtp_alert);
        }
        b"smtp_alert_vrrp" => {
            globals.notify.smtp_alert_vrrp = value::boolean(stmt, diags).or(globals.notify.smtp_alert_vrrp);
        }
        b"startup_script" => globals.startup.script(stmt, diags),
        b"startup_script_timeout" => globals.startup.timeout(stmt, diags),
        b"shutdown_script" => globals.shutdown.script(stmt, diags),
        b"shutdown_script_timeout" => globals.shutdown.timeout(stmt, diags),
        b"reload_time_file" => global.reload.time_file = notify::path(stmt, diags),
        b"vrrp_mcast_group4" => globals.group4 = other_group(stmt, diags),
        b"vrrp_mcast_group6" => globals.group6 = other_group(stmt, diags),
        b"xdp_mode" => global.xdp_mode = xdp_mode(stmt, diags).unwrap_or(global.xdp_mode),
        word if word.starts_with(b"fast_") => fast::setting(stmt, &mut globals.fast, diags),
        b"max_auto_priority" => max_auto_priority(stmt, diags),
        // The reader has done it.
        b"include_check" => {}
        b"vrrp_min_garp" => {
            if value::boolean(stmt, diags) == Some(true) {
                globals.garp.repeat = Some(1);
                globals.garp.delay = Some(Duration::ZERO);
            }
        }
        _ => garp::setting(stmt, "vrrp_", &mut globals.garp, diags),
    }
}

/// `USER [GROUP]`.
pub(super) fn script_user(stmt: &Statement, diags: &mut Diagnostics) -> Option<ScriptUser> {
    value::no_block(stmt, diags);
    let Some(user) = stmt.args().first() else {
        value::missing(stmt, diags);
        return None;
    };
    value::extra(stmt, 2, diags);
    let group = stmt.args().get(1).map(|word| word.text().into_owned());
    Some(ScriptUser { user: user.text().into_owned(), group })
}

/// The place of a multicast group that is not VRRP's own; `None` where it is.
pub(super) fn other_group(stmt: &Statement, diags: &mut Diagnostics) -> Option<Span> {
    let word = value::one(stmt, diags)?;
    let group = value::host(word, "the standard group is used", diags)?;
    let standard = group == IpAddr::from(MULTICAST_V4) || group == IpAddr::from(MULTICAST_V6);
    (!standard).then_some(word.span)
}

/// `2` or `3`.
pub(super) fn version(stmt: &Statement, diags: &mut Diagnostics) -> Option<Version> {
    let word = value::one(stmt, diags)?;
    match value::number(word, "version", 2..=3, "ignored", diags)? {
        2 => Some(Version::V2),
        _ => Some(Version::V3),
    }
}

/// `auto|native|generic|tc|off`.
pub(super) fn xdp_mode(stmt: &Statement, diags: &mut Diagnostics) -> Option<XdpMode> {
    let word = value::one(stmt, diags)?;
    Some(match &*word.bytes {
        b"auto" => XdpMode::Auto,
        b"native" => XdpMode::Native,
        b"generic" => XdpMode::Generic,
        b"tc" => XdpMode::Tc,
        b"off" => XdpMode::Off,
        _ => {
            value::bad_word(word, &["auto", "native", "generic", "tc", "off"], "xdp_mode is ignored", diags);
            return None;
        }
    })
}

fn max_auto_priority(stmt: &Statement, diags: &mut Diagnostics) {
    value::no_block(stmt, diags);
    value::extra(stmt, 1, diags);
    if let Some(word) = stmt.args().first()
        && value::number(word, "max_auto_priority", -1..=99, "ignored", diags).is_none()
    {
        return;
    }
    diags.push(
        Diagnostic::note(
            codes::NOT_NEEDED,
            stmt.keyword().span,
            "max_auto_priority does not bound VRRP priorities",
        )
        .cause("it limits keepalived's real-time scheduling priority, which xvrrp does not need")
        .help("to bound what trackers do, give them smaller weights"),
    );
}
