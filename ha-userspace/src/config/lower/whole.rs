//! What only the whole file shows: scripts without protection, strict mode, addresses of two instances, interfaces that
//! are not there.

use std::collections::HashMap;
use std::net::IpAddr;

use super::context::Context;
use super::global::Globals;
use super::instance::Lowered;
use super::script;
use super::track::Known;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::model::{NotifyScript, Script};
use crate::config::source::{Sources, Span};
use crate::config::{LoadOptions, Refused};

/// Scripts without `enable_script_security`, and what the caller knows about each script's file. What could not run
/// endangers nobody: keepalived does not count it (2.2.7, tried).
pub(super) fn security(
    globals: &Globals,
    known: &Known,
    notify: &[(NotifyScript, Span)],
    options: &LoadOptions,
    cx: &mut Context,
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
        cx.push(
            Diagnostic::error(codes::SCRIPT_REFUSED, script.command, message)
                .label("its trackers do nothing")
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
        cx.push(
            Diagnostic::warning(codes::SCRIPT_REFUSED, *span, message)
                .label("nobody is told")
                .maybe_help(argument(script, *span, &refused, &cx.diags.sources).or(refused.help)),
        );
    }
    if let Some(span) = running.filter(|_| !global.script_security) {
        cx.diags.set_unprotected_scripts();
        cx.push(
            Diagnostic::warning(codes::SCRIPT_INSECURE, span, "scripts run without enable_script_security")
                .label("a script that another user can change is run all the same")
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
pub(super) fn strict(globals: &Globals, lowered: &[Lowered], cx: &mut Context) {
    for lowered in lowered {
        if let Some(span) = lowered.own_strict.filter(|_| lowered.unasked) {
            unpingable(span, "strict_mode", &[&lowered.instance.name], cx);
        }
    }
    let others = lowered.iter().filter(|lowered| lowered.own_strict.is_none() && lowered.unasked);
    let names: Vec<&str> = others.map(|lowered| &*lowered.instance.name).collect();
    if let Some(span) = globals.strict.filter(|_| !names.is_empty()) {
        unpingable(span, "vrrp_strict", &names, cx);
    }
}

fn unpingable(span: Span, keyword: &str, names: &[&str], cx: &mut Context) {
    let few: Vec<String> = names.iter().take(4).map(|name| format!("`{name}`")).collect();
    let more = if names.len() > 4 { ", …" } else { "" };
    let message = format!("with {keyword}, packets to the virtual addresses are dropped, pings too");
    cx.push(
        Diagnostic::note(codes::STRICT_UNPINGABLE, span, message)
            .label(format!("by xvrrp as by keepalived, where accept is not set: {}{more}", few.join(", ")))
            .help("add `accept` to the instance, unless its addresses are gateways and nothing else"),
    );
}

/// One address in two instances: each has a master of its own, which may be on different hosts.
pub(super) fn shared(lowered: &[Lowered], cx: &mut Context) {
    let mut first: HashMap<&(IpAddr, String), (&str, Span)> = HashMap::new();
    for next in lowered {
        let name = next.instance.name.as_str();
        for (key, span) in &next.addresses {
            let (address, device) = key;
            match first.get(key) {
                Some((other, at)) if *other != name => cx.push(
                    Diagnostic::warning(
                        codes::DUPLICATE_VIP,
                        *span,
                        format!("{address} is an address of `{other}` as well, on {device}"),
                    )
                    .label("two virtual routers have it, which may be master on different hosts: both would answer for it")
                    .related(*at, "the other one stands at")
                    .help("leave it in one of them"),
                ),
                Some(_) => {}
                None => drop(first.insert(key, (name, *span))),
            }
        }
    }
}

/// Interfaces that this host does not have (yet).
pub(super) fn existing(lowered: &Lowered, options: &LoadOptions, cx: &mut Context) {
    let Some(look) = &options.interface_check else { return };
    let instance = &lowered.instance;
    let devices = lowered.devices.iter().map(|(name, span)| (name, *span));
    let tracked = lowered.trackers.interfaces.iter();
    let tracked = tracked.map(|(track, span)| (&track.interface, *span));
    for (name, span) in
        std::iter::once((&instance.interface, lowered.interface)).chain(devices).chain(tracked)
    {
        // An alias was reported as one.
        if let Err(instead) = look(name)
            && !name.contains(':')
        {
            let message = format!("interface `{name}` does not exist on this host");
            cx.push(
                Diagnostic::warning(codes::NO_SUCH_INTERFACE, span, message)
                    .label(format!("`{}` waits until it does", instance.name))
                    .help(instead),
            );
        }
    }
}
