//! `global_defs`.

use std::net::IpAddr;
use std::time::Duration;

use ha_common::types::{MULTICAST_V4, MULTICAST_V6, Version};

use super::context::Context;
use super::fast::{self, FastDraft};
use super::garp::{self, GarpDraft};
use super::keyword;
use super::notify::{FifoDraft, NotifyDefaults, OnceDraft};
use super::{mail, settings, value, webhook};
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::keywords::{Defaults, Global as Keyword};
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
pub(super) fn lower(stmt: &Statement, globals: &mut Globals, cx: &mut Context) {
    let Some(statements) = value::bare_block(stmt, cx) else { return };
    for stmt in statements {
        if let Some(keyword) = keyword::known(stmt, cx) {
            setting(keyword, stmt, globals, cx);
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
    pub(super) fn finish(&mut self, cx: &mut Context) {
        self.global.fifos = std::mem::take(&mut self.fifos).finish(cx);
        self.global.startup = std::mem::take(&mut self.startup).finish();
        self.global.shutdown = std::mem::take(&mut self.shutdown).finish();
    }
}

fn setting(keyword: Keyword, stmt: &Statement, globals: &mut Globals, cx: &mut Context) {
    let global = &mut globals.global;
    match keyword {
        Keyword::Anywhere(keyword) => settings::anywhere(keyword, stmt, global, cx),
        Keyword::Daemon(keyword) => settings::daemon(keyword, stmt, global, cx),
        Keyword::Defaults(keyword) => default(keyword, stmt, globals, cx),
        Keyword::Dumps(keyword) => settings::dumps(keyword, stmt, &mut global.dump, cx),
        Keyword::Fast(keyword) => fast::setting(keyword, stmt, &mut globals.fast, cx),
        Keyword::Fifo(keyword) => globals.fifos.setting(keyword, stmt, cx),
        Keyword::Garp(keyword) => garp::setting(keyword, stmt, &mut globals.garp, cx),
        Keyword::GarpPause(keyword) => garp::pause(keyword, stmt, &mut globals.garp, cx),
        Keyword::Mail(keyword) => mail::setting(keyword, stmt, &mut global.mail, cx),
        Keyword::Nftables(keyword) => settings::nftables(keyword, stmt, &mut global.firewall, cx),
        Keyword::Process(keyword) => settings::process(keyword, stmt, &mut global.process, cx),
        Keyword::EnableScriptSecurity => {
            value::flag(stmt, cx);
            global.script_security = true;
        }
        Keyword::FastKey => fast::key(stmt, &mut globals.fast, cx),
        Keyword::FastLease => fast::lease(stmt, &mut globals.fast, cx),
        Keyword::MaxAutoPriority => max_auto_priority(stmt, cx),
        Keyword::Metrics => global.metrics = settings::metrics(stmt, cx).or(global.metrics.take()),
        // The reader has done it.
        Keyword::RandomSeed => {}
        Keyword::RouterId => {
            // keepalived ignores the line and runs.
            if stmt.args().is_empty() {
                let span = stmt.keyword().span;
                cx.push(Diagnostic::warning(codes::MISSING_PARAMETER, span, "router_id lacks its name"));
            } else if let Some(word) = value::one(stmt, cx) {
                global.router_id = Some(word.text().into_owned());
            }
        }
        Keyword::ScriptUser => global.script_user = script_user(stmt, cx).or(global.script_user.take()),
        Keyword::StandbyWarn => global.standby_warn = standby_warn(stmt, cx).or(global.standby_warn),
        Keyword::StartupScript => globals.startup.script(stmt, cx),
        Keyword::StartupScriptTimeout => globals.startup.timeout(stmt, cx),
        Keyword::ShutdownScript => globals.shutdown.script(stmt, cx),
        Keyword::ShutdownScriptTimeout => globals.shutdown.timeout(stmt, cx),
    }
}

/// What instances have where they say nothing of their own.
fn default(keyword: Defaults, stmt: &Statement, globals: &mut Globals, cx: &mut Context) {
    let notify = &mut globals.notify;
    match keyword {
        Defaults::NotifyWebhook => notify.webhook = webhook::lower(stmt, cx).unwrap_or(notify.webhook.take()),
        Defaults::VrrpVersion => globals.version = version(stmt, cx).or(globals.version),
        Defaults::VrrpLowerPrioNoAdvert => {
            globals.lower_prio_no_advert = value::boolean(stmt, cx).or(globals.lower_prio_no_advert);
        }
        Defaults::VrrpHigherPrioSendAdvert => {
            globals.higher_prio_send_advert =
                value::boolean(stmt, cx).unwrap_or(globals.higher_prio_send_advert);
        }
        Defaults::VrrpDownTimerAdverts => {
            let Some(word) = value::one(stmt, cx) else { return };
            globals.down_timer_adverts = value::small(word, "down_timer_adverts", 1..=100, "ignored", cx);
        }
        Defaults::VrrpCheckUnicastSrc => {
            value::flag(stmt, cx);
            globals.check_unicast_src = true;
        }
        Defaults::VrrpStrict => {
            value::flag(stmt, cx);
            globals.strict = Some(stmt.keyword().span);
        }
        Defaults::VrrpSkipCheckAdvAddr => {
            globals.skip_check_adv_addr = value::boolean(stmt, cx).unwrap_or(true);
        }
        Defaults::VrrpOwnerIgnoreAdverts => {
            globals.owner_ignore_adverts = value::boolean(stmt, cx).unwrap_or(false);
        }
        Defaults::VrrpGarpExtraIf => {
            globals.garp_extra = garp::extra(stmt, cx).unwrap_or(globals.garp_extra);
        }
        Defaults::VrrpMinGarp => {
            if value::boolean(stmt, cx) == Some(true) {
                globals.garp.repeat = Some(1);
                globals.garp.delay = Some(Duration::ZERO);
            }
        }
        Defaults::VrrpNotifyPriorityChanges => {
            notify.priority_changes = value::boolean(stmt, cx).unwrap_or(notify.priority_changes);
        }
        Defaults::SmtpAlert => notify.smtp_alert = value::boolean(stmt, cx).or(notify.smtp_alert),
        Defaults::SmtpAlertVrrp => {
            notify.smtp_alert_vrrp = value::boolean(stmt, cx).or(notify.smtp_alert_vrrp);
        }
        Defaults::VrrpMcastGroup4 => globals.group4 = other_group(stmt, cx),
        Defaults::VrrpMcastGroup6 => globals.group6 = other_group(stmt, cx),
        Defaults::XdpMode => {
            globals.global.xdp_mode = xdp_mode(stmt, cx).unwrap_or(globals.global.xdp_mode);
        }
    }
}

/// Seconds, to a day; 0 for never.
fn standby_warn(stmt: &Statement, cx: &mut Context) -> Option<Duration> {
    let word = value::one(stmt, cx)?;
    let seconds = value::number(word, "standby_warn", 0..=86_400, "ignored", cx)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// `USER [GROUP]`.
pub(super) fn script_user(stmt: &Statement, cx: &mut Context) -> Option<ScriptUser> {
    value::no_block(stmt, cx);
    let Some(user) = stmt.args().first() else {
        value::missing(stmt, cx);
        return None;
    };
    value::extra(stmt, 2, cx);
    let group = stmt.args().get(1).map(|word| word.text().into_owned());
    Some(ScriptUser { user: user.text().into_owned(), group })
}

/// The place of a multicast group that is not VRRP's own; `None` where it is.
pub(super) fn other_group(stmt: &Statement, cx: &mut Context) -> Option<Span> {
    let word = value::one(stmt, cx)?;
    let group = value::host(word, "the standard group is used", cx)?;
    let standard = group == IpAddr::from(MULTICAST_V4) || group == IpAddr::from(MULTICAST_V6);
    (!standard).then_some(word.span)
}

/// `2` or `3`.
pub(super) fn version(stmt: &Statement, cx: &mut Context) -> Option<Version> {
    let word = value::one(stmt, cx)?;
    match value::number(word, "version", 2..=3, "ignored", cx)? {
        2 => Some(Version::V2),
        _ => Some(Version::V3),
    }
}

/// `auto|native|generic|tc|off`.
pub(super) fn xdp_mode(stmt: &Statement, cx: &mut Context) -> Option<XdpMode> {
    let word = value::one(stmt, cx)?;
    Some(match &*word.bytes {
        b"auto" => XdpMode::Auto,
        b"native" => XdpMode::Native,
        b"generic" => XdpMode::Generic,
        b"tc" => XdpMode::Tc,
        b"off" => XdpMode::Off,
        _ => {
            value::bad_word(word, &["auto", "native", "generic", "tc", "off"], "xdp_mode is ignored", cx);
            return None;
        }
    })
}

fn max_auto_priority(stmt: &Statement, cx: &mut Context) {
    value::no_block(stmt, cx);
    value::extra(stmt, 1, cx);
    if let Some(word) = stmt.args().first()
        && value::number(word, "max_auto_priority", -1..=99, "ignored", cx).is_none()
    {
        return;
    }
    cx.push(
        Diagnostic::note(
            codes::NOT_NEEDED,
            stmt.keyword().span,
            "max_auto_priority does not bound VRRP priorities",
        )
        .label("it limits keepalived's real-time scheduling priority, which xvrrp does not need")
        .help("to bound what trackers do, give them smaller weights"),
    );
}
