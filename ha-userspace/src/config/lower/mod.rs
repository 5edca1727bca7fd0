//! The tree to the typed model: one file per block.
//!
//! `global_defs` and scripts are read first, wherever they stand, because instances refer to them.

mod addresses;
mod auth;
mod bfd;
mod check;
mod command;
mod context;
mod draft;
mod encap;
mod fast;
mod file;
mod garp;
mod global;
mod group;
mod hmac;
mod instance;
mod iproute;
mod keyword;
mod link;
mod mail;
mod names;
mod notify;
mod process;
mod route;
mod rule;
mod script;
mod secret;
mod settings;
mod shell;
mod track;
mod unicast;
mod unsigned;
mod url;
mod value;
mod vip;
mod webhook;
mod whole;
mod words;

use std::collections::{BTreeSet, HashMap, HashSet};

use ha_common::types::{Family, Vrid};

use super::LoadOptions;
use super::codes;
use super::diag::{Diagnostic, Diagnostics};
use super::keywords::{Top, Tracked};
use super::model::{Config, NotifyScript, SyncGroup};
use super::source::Span;
use super::tree::Statement;

use context::Context;
use group::Members;
use names::Names;
use track::Known;

/// The blocks of a file, sorted by what has to be known first.
#[derive(Default)]
struct Blocks<'a> {
    instances: Vec<&'a Statement>,
    sync_groups: Vec<&'a Statement>,
    track_groups: Vec<&'a Statement>,
    addresses: Vec<&'a Statement>,
    routes: Vec<&'a Statement>,
    rules: Vec<&'a Statement>,
}

/// Build the model; everything that is wrong is added to `diags`.
pub(super) fn lower(tree: &[Statement], options: &LoadOptions, diags: &mut Diagnostics) -> Config {
    let mut cx = Context { diags: std::mem::take(diags), ..Context::default() };
    let config = model(tree, options, &mut cx);
    *diags = cx.diags;
    config
}

fn model(tree: &[Statement], options: &LoadOptions, cx: &mut Context) -> Config {
    let mut config = Config::default();
    let (mut globals, mut known) = (global::Globals::default(), Known::default());
    let mut garp_interfaces = HashMap::new();
    let mut blocks = Blocks::default();
    for stmt in tree {
        let Some(keyword) = keyword::known(stmt, cx) else { continue };
        match keyword {
            Top::GlobalDefs => global::lower(stmt, &mut globals, cx),
            Top::Tracked(keyword) => tracked(keyword, stmt, &mut known, cx),
            Top::VrrpInstance => blocks.instances.push(stmt),
            Top::VrrpSyncGroup => blocks.sync_groups.push(stmt),
            Top::TrackGroup => blocks.track_groups.push(stmt),
            Top::StaticIpaddress => blocks.addresses.push(stmt),
            Top::StaticRoutes => blocks.routes.push(stmt),
            Top::StaticRules => blocks.rules.push(stmt),
            Top::GarpGroup => {
                config.garp_groups.extend(group::garp(stmt, &mut garp_interfaces, cx));
            }
            Top::InterfaceUpDownDelays => group::delays(stmt, &mut config.interface_delays, cx),
            Top::NetNamespace => settings::net_namespace(stmt, &mut globals.global, cx),
            Top::Anywhere(keyword) => settings::anywhere(keyword, stmt, &mut globals.global, cx),
        }
    }
    let mut notify = globals.scripts();
    globals.finish(cx);
    cx.names = Names::new(&globals.global);
    let (mut lowered, broken) = instances(&blocks.instances, &globals, &known, cx);
    let running: BTreeSet<String> = lowered.iter().map(|lowered| lowered.instance.name.clone()).collect();
    let mut members = Members { running: &running, broken: &broken, taken: HashMap::new() };
    let groups = groups(&blocks.sync_groups, &known, &globals, &mut members, &mut notify, cx);
    sync_weights(&mut lowered, &groups, cx);
    for stmt in &blocks.track_groups {
        let Some((group, span)) = group::track(stmt, &members, cx) else { continue };
        if config.track_groups.iter().any(|other| other.name == group.name) {
            duplicate("track_group", &group.name, span, span, cx);
        } else {
            config.track_groups.push(group);
        }
    }
    fixed(&blocks, &mut config, &globals, cx);
    notify.extend(lowered.iter().flat_map(|lowered| lowered.notify.iter().cloned()));
    whole::security(&globals, &known, &notify, options, cx);
    whole::strict(&globals, &lowered, cx);
    whole::shared(&lowered, cx);
    for instance in &lowered {
        whole::existing(instance, options, cx);
    }
    config.scripts = known.scripts.into_vec().into_iter().map(|script| script.script).collect();
    config.checks = known.checks.into_vec();
    config.track_files = known.files.into_vec();
    config.track_processes = known.processes.into_vec();
    config.bfd = known.bfd.into_vec();
    config.instances = lowered.into_iter().map(|lowered| lowered.instance).collect();
    config.sync_groups = groups;
    config.global = globals.global;
    config
}

/// Blocks that trackers refer to.
fn tracked(keyword: Tracked, stmt: &Statement, known: &mut Known, cx: &mut Context) {
    let result = match keyword {
        Tracked::VrrpScript => script::lower(stmt, cx).map(|lowered| {
            let (name, span) = (lowered.script.name.clone(), lowered.name);
            let taken = known.checks.span(&name);
            (name.clone(), span, taken.map_or_else(|| known.scripts.insert(&name, lowered, span), Err))
        }),
        Tracked::VrrpCheck => check::lower(stmt, cx).map(|(check, word)| {
            let name = check.name.clone();
            let taken = known.scripts.span(&name);
            (name.clone(), word.span, taken.map_or_else(|| known.checks.insert(&name, check, word.span), Err))
        }),
        Tracked::VrrpTrackProcess => process::lower(stmt, cx).map(|(process, word)| {
            let name = process.name.clone();
            (name.clone(), word.span, known.processes.insert(&name, process, word.span))
        }),
        Tracked::BfdInstance => bfd::lower(stmt, cx).map(|(bfd, word)| {
            let name = bfd.name.clone();
            (name.clone(), word.span, known.bfd.insert(&name, bfd, word.span))
        }),
        Tracked::TrackFile | Tracked::VrrpTrackFile => file::lower(stmt, cx).map(|(file, word)| {
            let name = file.name.clone();
            (name.clone(), word.span, known.files.insert(&name, file, word.span))
        }),
    };
    if let Some((name, span, Err(first))) = result {
        duplicate(&stmt.keyword().text(), &name, span, first, cx);
    }
}

/// Instances that run, and the names of those that do not.
fn instances(
    statements: &[&Statement],
    globals: &global::Globals,
    known: &Known,
    cx: &mut Context,
) -> (Vec<instance::Lowered>, HashSet<String>) {
    let mut lowered: Vec<instance::Lowered> = Vec::new();
    let mut broken = HashSet::new();
    let mut names: HashMap<String, Span> = HashMap::new();
    let mut routers: HashMap<(String, Vrid, Family), usize> = HashMap::new();
    for stmt in statements {
        let Some(next) = instance::lower(stmt, globals, known, cx) else {
            broken.extend(stmt.args().first().map(|name| name.text().into_owned()));
            continue;
        };
        let instance = &next.instance;
        if let Some(first) = names.get(&instance.name) {
            duplicate("vrrp_instance", &instance.name, next.name, *first, cx);
            continue;
        }
        let key = (instance.interface.clone(), instance.vrid, instance.family);
        if let Some(first) = routers.get(&key).and_then(|index| lowered.get(*index)) {
            same_router(first, &next, cx);
            broken.insert(instance.name.clone());
            continue;
        }
        names.insert(instance.name.clone(), next.name);
        routers.insert(key, lowered.len());
        lowered.push(next);
    }
    (lowered, broken)
}

fn same_router(first: &instance::Lowered, next: &instance::Lowered, cx: &mut Context) {
    let label = if separate(first, next) {
        "this instance does not run: that their unicast peers differ is not supported yet"
    } else {
        "this instance does not run"
    };
    let (instance, other) = (&next.instance, &first.instance.name);
    let message = format!(
        "`{}` and `{other}` both use VRID {} on {} for the same address family",
        instance.name, instance.vrid, instance.interface
    );
    cx.push(
        Diagnostic::error(codes::DUPLICATE_VRID, next.vrid, message)
            .label(label)
            .related(first.vrid, "the other one stands at")
            .help("give each virtual router on an interface its own virtual_router_id"),
    );
}

fn groups(
    statements: &[&Statement],
    known: &Known,
    globals: &global::Globals,
    members: &mut Members<'_>,
    notify: &mut Vec<(NotifyScript, Span)>,
    cx: &mut Context,
) -> Vec<SyncGroup> {
    let mut names: HashMap<String, Span> = HashMap::new();
    let mut groups = Vec::new();
    for stmt in statements {
        let Some(lowered) = group::sync(stmt, known, &globals.notify, members, cx) else { continue };
        if let Some(first) = names.get(&lowered.group.name) {
            duplicate("vrrp_sync_group", &lowered.group.name, lowered.name, *first, cx);
            continue;
        }
        names.insert(lowered.group.name.clone(), lowered.name);
        notify.extend(lowered.notify);
        groups.push(lowered.group);
    }
    groups
}

/// Trackers of members of sync groups.
fn sync_weights(lowered: &mut [instance::Lowered], groups: &[SyncGroup], cx: &mut Context) {
    let members: HashMap<&str, &SyncGroup> = groups
        .iter()
        .flat_map(|group| group.members.iter().map(move |member| (member.as_str(), group)))
        .collect();
    for lowered in lowered {
        let Some(group) = members.get(lowered.instance.name.as_str()) else { continue };
        group::weights(group, &lowered.instance.name, &mut lowered.trackers, cx);
        lowered.instance.track(lowered.trackers.model());
    }
}

/// Static addresses, routes and rules.
fn fixed(blocks: &Blocks<'_>, config: &mut Config, globals: &global::Globals, cx: &mut Context) {
    let device = globals.global.default_interface.clone().unwrap_or_else(|| "eth0".to_owned());
    let known: BTreeSet<String> = config.track_groups.iter().map(|group| group.name.clone()).collect();
    let tracked = |group: &mut Option<String>, span: Span, cx: &mut Context| {
        if let Some(name) = group.take_if(|name| !known.contains(name)) {
            track::unknown("track_group", &name, span, known.iter().map(String::as_str), cx);
        }
    };
    let lines = |stmts: &[&Statement], cx: &mut Context| {
        let mut lines: Vec<Statement> = Vec::new();
        for stmt in stmts {
            lines.extend_from_slice(value::bare_block(stmt, cx).unwrap_or_default());
        }
        lines
    };
    for stmt in lines(&blocks.addresses, cx) {
        let Some(mut vip) = vip::lower(&stmt, true, cx) else { continue };
        vip.device.get_or_insert_with(|| device.clone());
        tracked(&mut vip.track_group, stmt.span(), cx);
        config.static_addresses.push(vip);
    }
    for stmt in lines(&blocks.routes, cx) {
        let Some(mut route) = route::lower(&stmt, true, cx) else { continue };
        tracked(&mut route.track_group, stmt.span(), cx);
        config.static_routes.push(route);
    }
    for stmt in lines(&blocks.rules, cx) {
        let Some(mut rule) = rule::lower(&stmt, true, cx) else { continue };
        tracked(&mut rule.track_group, stmt.span(), cx);
        config.static_rules.push(rule);
    }
}

fn duplicate(what: &str, name: &str, span: Span, first: Span, cx: &mut Context) {
    cx.push(
        Diagnostic::error(codes::DUPLICATE_NAME, span, format!("{what} `{name}` is defined twice"))
            .label("this one is ignored")
            .related(first, "the first one stands at"),
    );
}

/// Unicast instances whose peers do not overlap: in keepalived they may share a VRID (keepalived.conf(5),
/// virtual_router_id). Here the XDP program has one slot for each VRID.
fn separate(first: &instance::Lowered, next: &instance::Lowered) -> bool {
    let (Some(a), Some(b)) = (first.instance.unicast.as_ref(), next.instance.unicast.as_ref()) else {
        return false;
    };
    let peers: HashSet<_> = a.peers.iter().map(|peer| peer.address).collect();
    !b.peers.iter().any(|peer| peers.contains(&peer.address))
}
