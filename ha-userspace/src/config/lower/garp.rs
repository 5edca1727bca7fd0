//! Gratuitous ARP and unsolicited NA settings: the same words in `global_defs` (with `vrrp_`) and in an instance.

use std::time::Duration;

use super::context::Context;
use super::value;
use crate::config::keywords::{Garp, GarpPause};
use crate::config::lexer::Word;
use crate::config::model::{self, GarpExtra};
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

/// Read one keyword.
pub(super) fn setting(keyword: Garp, stmt: &Statement, draft: &mut GarpDraft, cx: &mut Context) {
    let Some(word) = value::one(stmt, cx) else { return };
    match keyword {
        Garp::MasterDelay => draft.delay = whole_seconds(stmt, word, cx).or(draft.delay),
        Garp::MasterRepeat => draft.repeat = count(stmt, word, cx),
        Garp::MasterRefresh => draft.refresh = whole_seconds(stmt, word, cx).or(draft.refresh),
        Garp::MasterRefreshRepeat => draft.refresh_repeat = count(stmt, word, cx),
        Garp::LowerPrioDelay => {
            draft.lower_prio_delay = whole_seconds(stmt, word, cx).or(draft.lower_prio_delay);
        }
        Garp::LowerPrioRepeat => {
            let repeat = value::small(word, &stmt.keyword().text(), 0..=MAX_REPEAT, "ignored", cx);
            draft.lower_prio_repeat = repeat.or(draft.lower_prio_repeat);
        }
    }
}

/// Read a pause between messages of `global_defs`.
pub(super) fn pause(keyword: GarpPause, stmt: &Statement, draft: &mut GarpDraft, cx: &mut Context) {
    let Some(word) = value::one(stmt, cx) else { return };
    let pause = value::seconds(word, &stmt.keyword().text(), 1..=MAX_MICROS, "no pause", cx);
    match keyword {
        GarpPause::Arp => draft.arp_interval = pause,
        GarpPause::Na => draft.na_interval = pause,
    }
}

fn whole_seconds(stmt: &Statement, word: &Word, cx: &mut Context) -> Option<Duration> {
    let seconds = value::small(word, &stmt.keyword().text(), 0..=86_400, "ignored", cx)?;
    Some(Duration::from_secs(seconds))
}

fn count(stmt: &Statement, word: &Word, cx: &mut Context) -> Option<u32> {
    value::small(word, &stmt.keyword().text(), 1..=MAX_REPEAT, "set to 1", cx).or(Some(1))
}

/// `garp_extra_if [all] SECONDS`. Zero turns it off; `None` after an error.
pub(super) fn extra(stmt: &Statement, cx: &mut Context) -> Option<Option<GarpExtra>> {
    value::no_block(stmt, cx);
    let all = stmt.args().first().is_some_and(|word| word.is("all"));
    let Some(word) = stmt.args().get(usize::from(all)) else {
        value::missing(stmt, cx);
        return None;
    };
    value::extra(stmt, 1 + usize::from(all), cx);
    let interval = value::seconds(word, &stmt.keyword().text(), 0..=86_400_000_000, "ignored", cx)?;
    Some((!interval.is_zero()).then_some(GarpExtra { interval, all }))
}

/// The instance's settings over the global ones over keepalived's defaults. What follows a lower-priority advert
/// takes its defaults from the global settings alone, and in strict mode nothing follows, whatever the file says
/// (keepalived 2.2.7, tried).
pub(super) fn finish(instance: &GarpDraft, global: &GarpDraft, strict: bool) -> model::Garp {
    let (delay, repeat) = (global.delay.unwrap_or(Duration::from_secs(5)), global.repeat.unwrap_or(5));
    let zero = Duration::ZERO;
    let contested = (
        instance.lower_prio_delay.or(global.lower_prio_delay).unwrap_or(delay),
        instance.lower_prio_repeat.or(global.lower_prio_repeat).unwrap_or(repeat),
    );
    let (lower_prio_delay, lower_prio_repeat) = if strict { (zero, 0) } else { contested };
    model::Garp {
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
