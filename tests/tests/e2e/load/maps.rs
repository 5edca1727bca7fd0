//! `bpftool map dump` shows named fields that move.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab};
use serde_json::Value;

use super::routers::{Routers, pair};
use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new("load::maps_have_named_fields_that_move", maps).needs([Daemon::Xvrrp]).needs_tool("bpftool")]
}

fn maps(lab: &Lab) -> Result<()> {
    let master = Routers { count: 3, interval: "0.1", priority: 200, xdp: Some("generic") };
    let _running = pair(lab, &master.config(), &Routers { priority: 100, ..master }.config())?;
    Ok(())
}
