//! The page that the night is told on.

use std::fmt::Write as _;

use anyhow::Result;

/// What a command printed.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// With its prompt.
    pub(super) command: String,
    pub(super) text: String,
}

/// One thing that went wrong, and what both routers say of it.
#[derive(Clone, Debug)]
pub(super) struct Chapter {
    title: String,
    /// When each router changed its state last, in time order of the chapters; the same as before where it did not.
    moves: [Option<String>; 2],
    told: Vec<Told>,
}

impl Chapter {
    pub(super) fn new(title: &str, r1: Option<String>, r2: Option<String>) -> Self {
        Self { title: title.to_owned(), moves: [r1, r2], told: Vec::new() }
    }

    pub(super) fn with(mut self, told: impl IntoIterator<Item = Told>) -> Self {
        self.told.extend(told);
        self
    }

    /// Asks both routers.
    pub(super) fn tell(&mut self, why: impl Fn(&str, &str) -> Result<Told>) -> Result<()> {
        for (host, at) in ["r1", "r2"].into_iter().zip(&self.moves) {
            if let Some(at) = at {
                self.told.push(why(host, at)?);
            }
        }
        Ok(())
    }
}

/// A router whose state did not change has nothing to tell.
pub(super) fn keep_news(chapters: &mut [Chapter]) {
    let mut known: [Option<String>; 2] = [None, None];
    for chapter in chapters {
        for (at, known) in chapter.moves.iter_mut().zip(&mut known) {
            if at == known {
                *at = None;
            } else {
                known.clone_from(at);
            }
        }
    }
}

const BEGINNING: &str = "\
# Operating

What a command's output means, and what to do about each WARNING and CRITICAL, is in [status.md](status.md); what is
recorded, in [events.md](events.md). This page is about the order of things.

## At 03:12

1. `xvrrp status` on both routers. The first line says whether all is well; what it names is in [status.md](status.md).
2. `xvrrp why VI_1` on both routers: why the addresses moved last, what each router knew, and how long clients were in the
   dark. `--at 03:12` asks for another change. This works without a daemon, from files.
3. `xvrrp events --since 1h` for what led there: scripts, links, verdicts, reloads.
4. `xvrrp ready`: would the other router take over now?

## Before work on a router

```sh
xvrrp ready                        # is there somebody to take over?
xvrrp resign --all --for 30m       # the other router has the addresses now; no packet is lost between two of ours
# … the work; a restart or a reload changes nothing about it …
xvrrp release --all                # they come back, unless nopreempt says otherwise
```

Where nobody takes over, `resign` says so and the addresses stay: nobody is left without an answer. `xvrrp freeze --all
--for 2h` on both routers keeps roles where they are while scripts fail or priorities change (a switch is being replaced,
say); a death is still one. `xvrrp status` shows what is held and until when, and each ends by itself.

A new version: install the package, or `xvrrp restart` after the program file was replaced. Roles and addresses stay.

## Before a change of the configuration

```sh
xvrrp check /etc/keepalived/keepalived.conf
xvrrp reload --dry-run             # what would change, and whether an address might move
systemctl reload xvrrp             # fails, and changes nothing, where an error would stop something that runs
```

## A bad night, as it is told in the morning

`cargo xtask night` plays it in a lab: the tutorial's two routers (VRRPv2, an advert a second, a password, a script that asks
nginx), five things that go wrong, and then, with both daemons stopped, what the files on each router say. The lab is one
machine with two processors; the figures are those of that run.
";

/// The whole page.
pub(super) fn render(chapters: &[Chapter]) -> String {
    let mut out = BEGINNING.to_owned();
    for Chapter { title, told, .. } in chapters {
        let _ = write!(out, "\n### {}\n", capital(title));
        for Told { command, text } in told {
            let _ = write!(out, "\n```\n{command}\n{}\n```\n", text.trim_end());
        }
    }
    out
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
