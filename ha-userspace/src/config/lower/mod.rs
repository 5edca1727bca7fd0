//! The tree to the typed model: one file per block.
//!
//! `global_defs` and scripts are read first, wherever they stand, because instances refer to them.

mod addresses;
mod bfd;
mod check;
mod command;
mod draft;
mod encap;
mod fast;
mod file;
mod garp;
mod global;
mod group;
mod hmac;
mod instance;
mod keyword;
mod link;
mod mail;
mod names;
mod notify;
mod process;
mod route;
mod rule;
mod script;
mod settings;
mod shell;
mod track;
mod unicast;
mod value;
mod vip;
mod words;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use ha_common::types::{Family, Vrid};

use super::codes;
use super::diag::{Diagnostic, Diagnostics};
use super::keywords::Context;
use super::model::{Config, NotifyScript, Script, SyncGroup};
use super::source::{Sources, Span};
use super::tree::Statement;
use super::{LoadOptions, Refused};

use draft::World;
use group::Members;
use keyword::Action;
use names::Names;
use rule::Preferences;
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

/// Build the model; everything that is wrong goes to `diags`.
pub(super) fn lower(tree: &[Statement], options: &LoadOptions, diags: &mut Diagnostics) -> Config {
    let mut config = Config::default();
    let (mut globals, mut known) = (global::Globals::default(), Known::default());
    let mut garp_interfaces = HashMap::new();
    let mut blocks = Blocks::default();
    for stmt in tree {
        if keyword::check(Context::Top, stmt, diags) == Action::Skip {
            continue;
        }
        match &*stmt.keyword().bytes {
            b"global_defs" => global::lower(stmt, &mut globals, diags),
            b"vrrp_script"
            | b"vrrp_check"
            | b"track_file"
            | b"vrrp_track_file"
            | b"vrrp_track_process"
            | b"bfd_instance" => tracked(stmt, &mut known, diags),
            b"vrrp_instance" => blocks.instances.push(stmt),
            b"vrrp_sync_group" => blocks.sync_groups.push(stmt),
            b"track_group" => blocks.track_groups.push(stmt),
            b"static_ipaddress" => blocks.addresses.push(stmt),
            b"static_routes" => blocks.routes.push(stmt),
            b"static_rules" => blocks.rules.push(stmt),
            b"garp_group" => {
                config.garp_groups.extend(group::garp(stmt, &mut garp_interfaces, diags));
            }
            b"interface_up_down_delays" => group::delays(stmt, &mut config.interface_delays, diags),
            _ => drop(settings::top(stmt, &mut globals.global, diags)),
        }
    }
    let mut notify = globals.scripts();
    globals.finish(diags);
    let (mut names, mut preferences) = (Names::new(&globals.global), Preferences::default());
    let mut world = World { known: &known, names: &mut names, preferences: &mut preferences };
    let (mut lowered, broken) = instances(&blocks.instances, &globals, &mut world, diags);
    let running: BTreeSet<String> = lowered.iter().map(|lowered| lowered.instance.name.clone()).collect();
    let mut members = Members { running: &running, broken: &broken, taken: HashMap::new() };
    let groups = groups(&blocks.sync_groups, &known, &globals, &mut members, &mut notify, diags);
    sync_weights(&mut lowered, &groups, diags);
    for stmt in &blocks.track_groups {
        let Some((group, span)) = group::track(stmt, &members, diags) else { continue };
        if config.track_groups.iter().any(|other| other.name == group.name) {
            duplicate("track_group", &group.name, span, span, diags);
        } else {
            config.track_groups.push(group);
        }
    }
    fixed(&blocks, &mut config, &globals, &mut names, &mut preferences, diags);
    notify.extend(lowered.iter().flat_map(|lowered| lowered.notify.iter().cloned()));
    security(&globals, &known, &notify, options, diags);
    strict(&globals, &lowered, diags);
    shared(&lowered, diags);
    for instance in &lowered {
        existing(instance, options, diags);
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
fn tracked(stmt: &Statement, known: &mut Known, diags: &mut Diagnostics) {
    let keyword = stmt.keyword().text().into_owned();
    let result = match &*keyword {
        "vrrp_script" => script::lower(stmt, diags).map(|lowered| {
            let (name, span) = (lowered.script.name.clone(), lowered.name);
            let taken = known.checks.span(&name);
            (name.clone(), span, taken.map_or_else(|| known.scripts.insert(&name, lowered, span), Err))
        }),
        "vrrp_check" => check::lower(stmt, diags).map(|(check, word)| {
            let name = check.name.clone();
            let taken = known.scripts.span(&name);
            (name.clone(), word.span, taken.map_or_else(|| known.checks.insert(&name, check, word.span), Err))
        }),
        "vrrp_track_process" => process::lower(stmt, diags).map(|(process, word)| {
            let name = process.name.clone();
            (name.clone(), word.span, known.processes.insert(&name, process, word.span))
        }),
        "bfd_instance" => bfd::lower(stmt, diags).map(|(bfd, word)| {
            let name = bfd.name.clone();
            (name.clone(), word.span, known.bfd.insert(&name, bfd, word.span))
        }),
        _ => file::lower(stmt, diags).map(|(file, word)| {
            let name = file.name.clone();
            (name.clone(), word.span, known.files.insert(&name, file, word.span))
        }),
    };
    if let Some((name, span, Err(first))) = result {
        duplicate(&keyword, &name, span, first, diags);
    }
}

/// Instances that run, and the names of those that do not.
fn instances(
    statements: &[&Statement],
    globals: &global::Globals,
    world: &mut World<'_>,
    diags: &mut Diagnostics,
) -> (Vec<instance::Lowered>, HashSet<String>) {
    let mut lowered: Vec<instance::Lowered> = Vec::new();
    let mut broken = HashSet::new();
    let mut names: HashMap<String, Span> = HashMap::new();
    let mut routers: HashMap<(String, Vrid, Family), usize> = HashMap::new();
    for stmt in statements {
        let Some(next) = instance::lower(stmt, globals, world, diags) else {
            broken.extend(stmt.args().first().map(|name| name.text().into_owned()));
            continue;
        };
        let instance = &next.instance;
        if let Some(first) = names.get(&instance.name) {
            duplicate("vrrp_instance", &instance.name, next.name, *first, diags);
            continue;
        }
        let key = (instance.interface.clone(), instance.vrid, instance.family);
        if let Some(first) = routers.get(&key).and_then(|index| lowered.get(*index)) {
            same_router(first, &next, diags);
            broken.insert(instance.name.clone());
            continue;
        }
        names.insert(instance.name.clone(), next.name);
        routers.insert(key, lowered.len());
        lowered.push(next);
    }
    (lowered, broken)
}

fn same_router(first: &instance::Lowered, next: &instance::Lowered, diags: &mut Diagnostics) {
    let cause = if separate(first, next) {
        "this instance does not run: that their unicast peers differ is not supported yet"
    } else {
        "this instance does not run"
    };
    let (instance, other) = (&next.instance, &first.instance.name);
    let message = format!(
        "`{}` and `{other}` both use VRID {} on {} for the same address family",
        instance.name, instance.vrid, instance.interface
    );
    diags.push(
        Diagnostic::error(codes::DUPLICATE_VRID, next.vrid, message)
            .cause(cause)
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
    diags: &mut Diagnostics,
) -> Vec<SyncGroup> {
    let mut names: HashMap<String, Span> = HashMap::new();
    let mut groups = Vec::new();
    for stmt in statements {
        let Some(lowered) = group::sync(stmt, known, globals.notify, members, diags) else { continue };
        if let Some(first) = names.get(&lowered.group.name) {
            duplicate("vrrp_sync_group", &lowered.group.name, lowered.name, *first, diags);
            continue;
        }
        names.insert(lowered.group.name.clone(), lowered.name);
        notify.extend(lowered.notify);
        groups.push(lowered.group);
    }
    groups
}

/// Trackers of members of sync groups.
fn sync_weights(lowered: &mut [instance::Lowered], groups: &[SyncGroup], diags: &mut Diagnostics) {
    let members: HashMap<&str, &SyncGroup> = groups
        .iter()
        .flat_map(|group| group.members.iter().map(move |member| (member.as_str(), group)))
        .collect();
    for lowered in lowered {
        let Some(group) = members.get(lowered.instance.name.as_str()) else { continue };
        group::weights(group, &lowered.instance.name, &mut lowered.trackers, diags);
        lowered.instance.track(lowered.trackers.model());
    }
}

/// Static addresses, routes and rules.
fn fixed(
    blocks: &Blocks<'_>,
    config: &mut Config,
    globals: &global::Globals,
    names: &mut Names,
    preferences: &mut Preferences,
    diags: &mut Diagnostics,
) {
    let device = globals.global.default_interface.clone().unwrap_or_else(|| "eth0".to_owned());
    let known: BTreeSet<String> = config.track_groups.iter().map(|group| group.name.clone()).collect();
    let tracked = |group: &mut Option<String>, span: Span, diags: &mut Diagnostics| {
        if let Some(name) = group.take_if(|name| !known.contains(name)) {
            track::unknown("track_group", &name, span, known.iter().map(String::as_str), diags);
        }
    };
    let lines = |stmts: &[&Statement], diags: &mut Diagnostics| {
        let mut lines: Vec<Statement> = Vec::new();
        for stmt in stmts {
            lines.extend_from_slice(value::bare_block(stmt, diags).unwrap_or_default());
        }
        lines
    };
    for stmt in lines(&blocks.addresses, diags) {
        let Some(mut vip) = vip::lower(&stmt, true, diags) else { continue };
        vip.device.get_or_insert_with(|| device.clone());
        tracked(&mut vip.track_group, stmt.span(), diags);
        config.static_addresses.push(vip);
    }
    for stmt in lines(&blocks.routes, diags) {
        let Some(mut route) = route::lower(&stmt, true, names, diags) else { continue };
        tracked(&mut route.track_group, stmt.span(), diags);
        config.static_routes.push(route);
    }
    for stmt in lines(&blocks.rules, diags) {
        let Some(mut rule) = rule::lower(&stmt, true, names, preferences, diags) else { continue };
        tracked(&mut rule.track_group, stmt.span(), diags);
        config.static_rules.push(rule);
    }
}

/// Interfaces that this host does not have (yet).
fn existing(lowered: &instance::Lowered, options: &LoadOptions, diags: &mut Diagnostics) {
    let Some(exists) = &options.interface_check else { return };
    let instance = &lowered.instance;
    let devices = lowered.devices.iter().map(|(name, span)| (name, *span));
    let tracked = lowered.trackers.interfaces.iter();
    let tracked = tracked.map(|(track, span)| (&track.interface, *span));
    for (name, span) in
        std::iter::once((&instance.interface, lowered.interface)).chain(devices).chain(tracked)
    {
        // An alias was reported as one.
        if !exists(name) && !name.contains(':') {
            let message = format!("interface `{name}` does not exist on this host");
            diags.push(
                Diagnostic::warning(codes::NO_SUCH_INTERFACE, span, message)
                    .cause(format!("`{}` waits until it does", instance.name))
                    .help("`ip link` lists the interfaces"),
            );
        }
    }
}

fn duplicate(what: &str, name: &str, span: Span, first: Span, diags: &mut Diagnostics) {
    diags.push(
        Diagnostic::error(codes::DUPLICATE_NAME, span, format!("{what} `{name}` is defined twice"))
            .cause("this one is ignored")
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

/// Scripts without `enable_script_security`, and what the caller knows about each script's file. What could not run
/// endangers nobody: keepalived does not count it (2.2.7, tried).
fn security(
    globals: &global::Globals,
    known: &Known,
    notify: &[(NotifyScript, Span)],
    options: &LoadOptions,
    diags: &mut Diagnostics,
) {
    let global = &globals.global;
    let refused =
        |script: &Script| options.script_check.as_ref().and_then(|check| check(script, global).err());
    let mut running = None;
    for script in known.scripts.iter() {
        let Some(refused) = refused(&script.script) else {
            running.get_or_insert(script.command);
            continue;
        };
        let message = format!("script `{}` would not run: {}", script.script.name, refused.message);
        diags.push(
            Diagnostic::error(codes::SCRIPT_REFUSED, script.command, message)
                .cause("its trackers do nothing")
                .maybe_help(refused.help),
        );
    }
    for (script, span) in notify {
        let Some(refused) = refused(&script::for_check(script)) else {
            running.get_or_insert(*span);
            continue;
        };
        let program = script.program();
        let message = format!("`{program}` would not run: {}", refused.message);
        diags.push(
            Diagnostic::warning(codes::SCRIPT_REFUSED, *span, message)
                .cause("nobody is told")
                .maybe_help(argument(script, *span, &refused, &diags.sources).or(refused.help)),
        );
    }
    if let Some(span) = running.filter(|_| !global.script_security) {
        diags.set_unprotected_scripts();
        diags.push(
            Diagnostic::warning(codes::SCRIPT_INSECURE, span, "scripts run without enable_script_security")
                .cause("a script that another user can change is run all the same")
                .help(
                    "add to global_defs: enable_script_security, and script_user with an unprivileged user",
                ),
        );
    }
}

/// What to do where the word behind a script names no user: it was meant for an argument.
fn argument(script: &NotifyScript, span: Span, refused: &Refused, sources: &Sources) -> Option<String> {
    let user = script.user.as_ref().filter(|user| refused.message.contains(&format!("'{}'", user.user)))?;
    let keyword = sources.text(span).split_ascii_whitespace().next()?.to_owned();
    let argv = script.argv.iter().map(|word| word.to_string_lossy());
    let words: Vec<_> = argv.chain([user.user.as_str().into()]).collect();
    Some(format!(
        "the word behind the script is the user that runs it; put arguments inside the quotes: {keyword} \"{}\"",
        words.join(" ")
    ))
}

/// Strict mode turns accept mode off, as in keepalived.
fn strict(globals: &global::Globals, lowered: &[instance::Lowered], diags: &mut Diagnostics) {
    for lowered in lowered {
        if let Some(span) = lowered.own_strict.filter(|_| lowered.unasked) {
            unpingable(span, "strict_mode", &[&lowered.instance.name], diags);
        }
    }
    let others = lowered.iter().filter(|lowered| lowered.own_strict.is_none() && lowered.unasked);
    let names: Vec<&str> = others.map(|lowered| &*lowered.instance.name).collect();
    if let Some(span) = globals.strict.filter(|_| !names.is_empty()) {
        unpingable(span, "vrrp_strict", &names, diags);
    }
}

fn unpingable(span: Span, keyword: &str, names: &[&str], diags: &mut Diagnostics) {
    let few: Vec<String> = names.iter().take(4).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > 4 { ", …" } else { "" };
    let message = format!("with {keyword}, packets to the virtual addresses are dropped, pings too");
    diags.push(
        Diagnostic::note(codes::STRICT_UNPINGABLE, span, message)
            .cause(format!("by xvrrp as by keepalived, where accept is not set: {}{more}", few.join(", ")))
            .help("add `accept` to the instance, unless its addresses are gateways and nothing else"),
    );
}

/// One address in two instances: each has a master of its own, which may be on different hosts.
fn shared(lowered: &[instance::Lowered], diags: &mut Diagnostics) {
    let mut first: HashMap<&(IpAddr, String), (&str, Span)> = HashMap::new();
    for next in lowered {
        let name = next.instance.name.as_str();
        for (key, span) in &next.addresses {
            let (address, device) = key;
            match first.get(key) {
                Some((other, at)) if *other != name => diags.push(
                    Diagnostic::warning(
                        codes::DUPLICATE_VIP,
                        *span,
                        format!("{address} is an address of `{other}` as well, on {device}"),
                    )
                    .cause("two virtual routers have it, which may be master on different hosts: both would answer for it")
                    .related(*at, "the other one stands at")
                    .help("leave it in one of them"),
                ),
                Some(_) => {}
                None => drop(first.insert(key, (name, *span))),
            }
        }
    }
}
