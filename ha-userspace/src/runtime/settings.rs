//! From the configuration of a virtual router to what the node wants to know of it.

use ha_common::announce;
use ha_common::machine::{FAST_HANDOVER, Params};
use ha_common::node::Settings;

use super::devices;
use super::router::interface_id;
use crate::config::model::{Garp, Instance};
use crate::liveness;

/// Settings of its state machine.
pub(super) fn params(config: &Instance) -> Params {
    let defaults = Params::new(config.vrid, config.family, config.version);
    // The switch sends packets for a virtual MAC address to whoever has sent from it last: once the successor has
    // advertised, an answer from here takes them away from it.
    let virtual_mac = devices::advert_mac(config).is_some();
    let handover = if virtual_mac { FAST_HANDOVER } else { defaults.handover };
    Params {
        handover,
        interval: config.interval.span(),
        preempt: config.preempt,
        preempt_delay: config.preempt_delay.into(),
        lower_prio_no_advert: config.lower_prio_no_advert,
        // Hosts have learned our MAC address, and the winner may not know: it announces when it hears of us. Where the MAC
        // address is the virtual one, they have learned nothing, and an answer would turn the switch back to us.
        higher_prio_send_advert: config.higher_prio_send_advert || !virtual_mac,
        down_timer_adverts: config.down_timer_adverts,
        ..defaults
    }
}

/// What the node needs of the configuration of a virtual router on an interface.
pub(super) fn settings(config: &Instance, interface: usize) -> Settings {
    let Garp { lower_prio_delay, lower_prio_repeat, .. } = config.garp;
    Settings {
        interface: interface_id(interface),
        params: params(config),
        priority: config.priority,
        fast: config.fast.enabled,
        judge: liveness::judge_settings(&config.fast),
        lease: config.fast.lease.into(),
        announce: burst_settings(&config.garp),
        again: (lower_prio_delay.into(), lower_prio_repeat),
        virtual_mac: devices::advert_mac(config).is_some(),
        hot_standby: config.hot_standby,
        owner_ignores_adverts: config.owner_ignore_adverts,
    }
}

fn burst_settings(garp: &Garp) -> announce::Settings {
    announce::Settings {
        repeat: garp.repeat,
        delay: garp.delay.into(),
        refresh: garp.refresh.into(),
        refresh_repeat: garp.refresh_repeat,
    }
}
