//! Gratuitous ARP and unsolicited NA settings: the same words in `global_defs` (with `vrrp_`) and in an instance.

use std::time::Duration;

use super::value;
use crate::config::diag::Diagnostics;
use crate::config::model::{Garp, GarpExtra};
use crate::config::tree::Statement;

/// What was written; defaults come last because they depend on each other.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GarpDraft {
    pub(super) delay: Option<Duration>,
    pub(super) repeat: Option<u32>,
    refresh: Option<Duration>,
    refresh_repeat: Option<u32>,
    lower_prio_delay: Option<Duration>,
    lower_prio_repeat: Option<u32>,
    arp_interval: Option<Duration>,
    na_interval: Option<Duration>,
}

/// keepalived keeps these in 32 bits of microseconds.
const MAX_MICROS: u64 = 4_294_967_295;
/// A burst of more than this would flood the network.
const MAX_REPEAT: i64 = 1000;

/// Read one keyword; `prefix` is `vrrp_` in `global_defs`.
pub(super) fn setting(stmt: &Statement, prefix: &str, draft: &mut GarpDraft, diags: &mut Diagnostics) {
    let keyword = stmt.keyword().text().into_owned();
    let Some(word) = value::one(stmt, diags) else { return };
    let short = keyword.strip_prefix(prefix).unwrap_or(&keyword);
    let whole_seconds = |diags: &mut Diagnostics| {
        value::number(word, &keyword, 0..=86_400, "ignored", diags)
            .and_then(|value| u64::try_from(value).ok())
            .map(Duration::from_secs)
    };
    let count = |diags: &mut Diagnostics| {
        value::small::<u32>(word, &keyword, 1..=MAX_REPEAT, "set to 1", diags).or(Some(1))
    };
    match short {
        "garp_master_delay" => draft.delay = whole_seconds(diags).or(draft.delay),
        "garp_master_repeat" => draft.repeat = count(diags),
        "garp_master_refresh" => draft.refresh = whole_seconds(diags).or(draft.refresh),
        "garp_master_refresh_repeat" => draft.refresh_repeat = count(diags),
        "garp_lower_prio_delay" => draft.lower_prio_delay = whole_seconds(diags).or(draft.lower_prio_delay),
        "garp_lower_prio_repeat" => {
            draft.lower_prio_repeat =
                value::small(word, &keyword, 0..=MAX_REPEAT, "ignored", diags).or(draft.lower_prio_repeat);
        }
        "garp_interval" => {
            draft.arp_interval = value::seconds(word, &keyword, 1..=MAX_MICROS, "no pause", diags);
        }
        "gna_interval" => {
            draft.na_interval = value::seconds(word, &keyword, 1..=MAX_MICROS, "no pause", diags)
        }
        _ => {}
    }
}

/// `garp_extra_if [all] SECONDS`. Zero turns it off; `None` after an error.
pub(super) fn extra(stmt: &Statement, diags: &mut Diagnostics) -> Option<Option<GarpExtra>> {
    value::no_block(stmt, diags);
    let all = stmt.args().first().is_some_and(|word| word.is("all"));
    let Some(word) = stmt.args().get(usize::from(all)) else {
        value::missing(stmt, diags);
        return None;
    };
    value::extra(stmt, 1 + usize::from(all), diags);
    let interval = value::seconds(word, &stmt.keyword().text(), 0..=86_400_000_000, "ignored", diags)?;
    Some((!interval.is_zero()).then_some(GarpExtra { interval, all }))
}

/// The instance's settings over the global ones over keepalived's defaults. What follows a lower-priority advert
/// takes its defaults from the global settings alone, and in strict mode nothing follows, whatever the file says
/// (keepalived 2.2.7, tried).
pub(super) fn finish(instance: &GarpDraft, global: &GarpDraft, strict: bool) -> Garp {
    let (delay, repeat) = (global.delay.unwrap_or(Duration::from_secs(5)), global.repeat.unwrap_or(5));
    let zero = Duration::ZERO;
    let contested = (
        instance.lower_prio_delay.or(global.lower_prio_delay).unwrap_or(delay),
        instance.lower_prio_repeat.or(global.lower_prio_repeat).unwrap_or(repeat),
    );
    let (lower_prio_delay, lower_prio_repeat) = if strict { (zero, 0) } else { contested };
    Garp {
        delay: instance.delay.unwrap_or(delay),
        repeat: instance.repeat.unwrap_or(repeat),
        refresh: instance.refresh.or(global.refresh).unwrap_or(zero),
        refresh_repeat: instance.refresh_repeat.or(global.refresh_repeat).unwrap_or(1),
        lower_prio_delay,
        lower_prio_repeat,
        arp_interval: instance.arp_interval.or(global.arp_interval).unwrap_or(zero),
        na_interval: instance.na_interval.or(global.na_interval).unwrap_or(zero),
    }
}
