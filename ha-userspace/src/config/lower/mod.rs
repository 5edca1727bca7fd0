//! The tree to the typed model: one file per block.
//!
//! `global_defs` and scripts are read first, wherever they stand, because instances refer to them.

mod addresses;
mod draft;
mod fast;
mod garp;
mod global;
mod instance;
mod keyword;
mod script;
mod track;
mod unicast;
mod value;
mod vip;

use std::collections::{HashMap, HashSet};

use ha_common::types::{Family, Vrid};

use super::LoadOptions;
use super::codes;
use super::diag::{Diagnostic, Diagnostics};
use super::keywords::Context;
use super::model::Config;
use super::source::Span;
use super::tree::Statement;

use keyword::Action;

/// Build the model; everything that is wrong goes to `diags`.
pub(super) fn lower(tree: &[Statement], options: &LoadOptions, diags: &mut Diagnostics) -> Config {
    let mut globals = global::Globals::default();
    let (mut scripts, mut instances) = (Vec::new(), Vec::new());
    let mut notify = None;
    for stmt in tree {
        if keyword::check(Context::Top, stmt, diags) == Action::Skip {
            notify = notify.or(first_notify(stmt));
            continue;
        }
        match &*stmt.keyword().bytes {
            b"global_defs" => global::lower(stmt, &mut globals, diags),
            b"vrrp_script" => scripts.push(stmt),
            b"vrrp_instance" => {
                notify = notify.or(first_notify(stmt));
                instances.push(stmt);
            }
            _ => {}
        }
    }
    let mut known = HashMap::new();
    let mut order = Vec::new();
    for stmt in scripts {
        let Some(lowered) = script::lower(stmt, diags) else { continue };
        let name = lowered.script.name.clone();
        if let Some(first) = known.get(&name).map(|first: &script::Lowered| first.name) {
            duplicate("vrrp_script", &name, lowered.name, first, diags);
            continue;
        }
        order.push(name.clone());
        known.insert(name, lowered);
    }
    let mut lowered: Vec<instance::Lowered> = Vec::new();
    let mut names: HashMap<String, Span> = HashMap::new();
    let mut routers: HashMap<(String, Vrid, Family), usize> = HashMap::new();
    for stmt in instances {
        let Some(next) = instance::lower(stmt, &globals, &known, diags) else { continue };
        let instance = &next.instance;
        if let Some(first) = names.get(&instance.name) {
            duplicate("vrrp_instance", &instance.name, next.name, *first, diags);
            continue;
        }
        let key = (instance.interface.clone(), instance.vrid, instance.family);
        if let Some(first) = routers.get(&key).and_then(|index| lowered.get(*index)) {
            let cause = if separate(first, &next) {
                "this instance does not run: that their unicast peers differ is not supported yet"
            } else {
                "this instance does not run"
            };
            let other = &first.instance.name;
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
            continue;
        }
        names.insert(instance.name.clone(), next.name);
        routers.insert(key, lowered.len());
        lowered.push(next);
    }
    security(&globals, &known, &order, notify, options, diags);
    strict(&globals, diags);
    for instance in &lowered {
        existing(instance, options, diags);
    }
    let scripts = order.iter().filter_map(|name| known.remove(name)).map(|script| script.script).collect();
    let instances = lowered.into_iter().map(|lowered| lowered.instance).collect();
    Config { global: globals.global, scripts, instances }
}

/// Interfaces that this host does not have (yet).
fn existing(lowered: &instance::Lowered, options: &LoadOptions, diags: &mut Diagnostics) {
    let Some(exists) = &options.interface_check else { return };
    let instance = &lowered.instance;
    let devices = lowered.devices.iter().map(|(name, span)| (name, *span));
    let tracked = instance.track_interfaces.iter().zip(&lowered.interfaces);
    let tracked = tracked.map(|(track, span)| (&track.interface, *span));
    for (name, span) in
        std::iter::once((&instance.interface, lowered.interface)).chain(devices).chain(tracked)
    {
        if !exists(name) {
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

/// The first notify script of a block: keepalived counts it among the scripts that need security.
fn first_notify(stmt: &Statement) -> Option<Span> {
    let statements = &stmt.block.as_ref()?.statements;
    let notify = statements.iter().find(|stmt| stmt.keyword().bytes.starts_with(b"notify"))?;
    (!notify.args().is_empty() && !notify.keyword().is("notify_priority_changes")).then(|| notify.span())
}

/// Scripts without `enable_script_security`, and what the caller knows about each script's file.
fn security(
    globals: &global::Globals,
    known: &HashMap<String, script::Lowered>,
    order: &[String],
    notify: Option<Span>,
    options: &LoadOptions,
    diags: &mut Diagnostics,
) {
    let scripts = || order.iter().filter_map(|name| known.get(name));
    if !globals.global.script_security
        && let Some(span) = scripts().next().map(|script| script.command).or(notify)
    {
        diags.set_unprotected_scripts();
        diags.push(
            Diagnostic::warning(codes::SCRIPT_INSECURE, span, "scripts run without enable_script_security")
                .cause("a script that another user can change is run all the same")
                .help(
                    "add to global_defs: enable_script_security, and script_user with an unprivileged user",
                ),
        );
    }
    let Some(check) = &options.script_check else { return };
    for script in scripts() {
        if let Err(refused) = check(&script.script, &globals.global) {
            let message = format!("script `{}` would not run: {}", script.script.name, refused.message);
            diags.push(
                Diagnostic::error(codes::SCRIPT_REFUSED, script.command, message)
                    .cause("its trackers do nothing")
                    .maybe_help(refused.help),
            );
        }
    }
}

fn strict(globals: &global::Globals, diags: &mut Diagnostics) {
    let Some(span) = globals.strict else { return };
    diags.push(
        Diagnostic::note(
            codes::STRICT_UNPINGABLE,
            span,
            "with vrrp_strict, keepalived drops all packets to the virtual addresses, pings too",
        )
        .cause("xvrrp takes only its protocol rules: no authentication, no answer to lower priorities")
        .help("remove it unless the virtual address is only a gateway"),
    );
}
