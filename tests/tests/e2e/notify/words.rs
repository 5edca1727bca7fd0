//! The words of commands: many generated lines, given to keepalived and to xvrrp; what the scripts were called with is
//! compared.
//!
//! `XVRRP_SEED` chooses other lines. `XVRRP_RECORD=FILE` writes lines and words, which the parser's own tests read
//! (`ha-userspace/src/config/tests/commands.txt`).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ha_tests::lab::{Daemon, Host, Lab};

use crate::harness::Test;
use crate::hostile::ms;

/// Lines of `script`, and further ones of `notify_backup`.
const SCRIPTS: usize = 560;
const NOTIFIED: usize = 60;

/// Writes what it was called with into a file of its own. Its name says which line it was.
const RECORD: &str =
    "#!/bin/sh\nout=/run/lab/words/$$\nprintf '%s\\0' \"$0\" \"$@\" > $out.tmp\nmv $out.tmp $out\n";
const DIR: &str = "/etc/keepalived/words";

pub(super) fn tests() -> Vec<Test> {
    let both = [Daemon::Keepalived, Daemon::XvrrpRfc];
    vec![Test::new("notify::scripts_get_word_for_word_what_keepalived_passes", equal).needs(both).timing()]
}

fn equal(lab: &Lab) -> Result<()> {
    let seed = std::env::var("XVRRP_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(9);
    println!("seed {seed}");
    let mut random = Random(seed);
    let lines: Vec<String> = std::iter::repeat_with(|| random.line()).take(SCRIPTS + NOTIFIED).collect();
    let host = lab.host("r1")?;
    host.write(format!("{DIR}/record"), RECORD, 0o755)?;
    for index in 0..lines.len() {
        fs::hard_link(host.path(format!("{DIR}/record")), host.path(program(index)))?;
    }
    let theirs = called(host, Daemon::Keepalived, &lines)?;
    let ours = called(host, Daemon::XvrrpRfc, &lines)?;
    let mut differences = String::new();
    for (index, line) in lines.iter().enumerate() {
        let (theirs, ours) = (theirs.get(&index), ours.get(&index));
        if theirs != ours {
            let _ =
                writeln!(differences, "{line}\n keepalived {}\n xvrrp      {}", shown(theirs), shown(ours));
        }
    }
    if let Ok(file) = std::env::var("XVRRP_RECORD") {
        record(&file, &lines, &theirs)?;
    }
    ensure!(differences.is_empty(), "of {} lines these differ:\n{differences}", lines.len());
    println!("{} lines, of which keepalived ran {}", lines.len(), theirs.len());
    ensure!(theirs.len() > lines.len() / 2, "keepalived ran only {} of {}", theirs.len(), lines.len());
    Ok(())
}

fn program(index: usize) -> String {
    format!("{DIR}/{index}")
}

type Calls = BTreeMap<usize, Vec<Vec<u8>>>;

/// Starts the daemon with all lines, and collects what its scripts say.
fn called(host: &Host, daemon: Daemon, lines: &[String]) -> Result<Calls> {
    host.output(&["sh", "-c", "rm -rf /run/lab/words; mkdir -p /run/lab/words"])?;
    let mut text = "global_defs {\n script_user root\n}\n".to_owned();
    let mut tracked = String::new();
    for (index, line) in lines.iter().enumerate() {
        let line = line.replace('@', &program(index));
        if index < SCRIPTS {
            let _ = writeln!(text, "vrrp_script s{index} {{\n script {line}\n interval 600\n}}");
            let _ = writeln!(tracked, "s{index} weight 1");
        } else {
            text += &instance(index - SCRIPTS, &format!("notify_backup {line}"));
        }
    }
    text += &instance(NOTIFIED, &format!("track_script {{\n{tracked}}}"));
    let mut running = host.start(daemon, &text)?;
    let mut seen = (0, Instant::now());
    // All are started at once; those that run nothing do not say so.
    while seen.1.elapsed() < Duration::from_secs(if seen.0 == 0 { 20 } else { 2 }) {
        std::thread::sleep(ms(100));
        let count = fs::read_dir(host.path("/run/lab/words"))?.count();
        if count != seen.0 {
            seen = (count, Instant::now());
        }
    }
    let log = running.log();
    running.stop()?;
    let mut calls = Calls::new();
    for entry in fs::read_dir(host.path("/run/lab/words"))? {
        let content = fs::read(entry?.path())?;
        let mut words = content.split(|byte| *byte == 0).map(<[u8]>::to_vec);
        let name = String::from_utf8(words.next().unwrap_or_default())?;
        let index = name.rsplit('/').next().and_then(|name| name.parse().ok()).context(name.clone())?;
        let mut words: Vec<_> = words.collect();
        words.pop();
        ensure!(calls.insert(index, words).is_none(), "line {index} was run twice; {log}");
    }
    Ok(calls)
}

fn instance(number: usize, lines: &str) -> String {
    format!(
        "vrrp_instance v{number} {{\n interface ens160\n virtual_router_id {}\n priority 100\n advert_int 9\n \
         virtual_ipaddress {{\n 172.16.1.{}\n }}\n {lines}\n}}\n",
        number + 1,
        number + 100
    )
}

fn shown(words: Option<&Vec<Vec<u8>>>) -> String {
    let Some(words) = words else { return "runs nothing".to_owned() };
    words.iter().map(|word| format!("[{}]", word.escape_ascii())).collect::<Vec<_>>().join(" ")
}

fn record(file: &str, lines: &[String], calls: &Calls) -> Result<()> {
    let mut text = "# LINE<tab>WORDS as keepalived 2.2.7 passed them, or - where it ran nothing; written by \
                    notify::words\n"
        .to_owned();
    for (index, line) in lines.iter().enumerate() {
        let mut fields = vec![line.replace('@', "/bin/s").as_bytes().escape_ascii().to_string()];
        match calls.get(&index) {
            Some(words) => {
                fields.push("/bin/s".to_owned());
                fields.extend(words.iter().map(|word| word.escape_ascii().to_string()));
            }
            None => fields.push("-".to_owned()),
        }
        let _ = writeln!(text, "{}", fields.join("\t"));
    }
    Ok(fs::write(file, text)?)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let end = u64::try_from(end).unwrap_or(1).max(1);
        usize::try_from((z ^ (z >> 31)) % end).unwrap_or_default()
    }

    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list.get(self.below(list.len())).copied().unwrap_or_default()
    }

    /// What stands behind `script`; `@` is the program.
    fn line(&mut self) -> String {
        loop {
            let line = if self.below(3) > 0 { self.sensible() } else { self.noise() };
            if is_read(&line) {
                return line;
            }
        }
    }

    /// A command that somebody could mean: arguments, each quoted in one of the ways there are, and the whole once more.
    fn sensible(&mut self) -> String {
        let mut command = "@".to_owned();
        for _ in 0..self.below(5) {
            let argument: String = (0..self.below(7)).map(|_| self.character()).collect();
            command += self.of(&[" ", "  ", "\t"]);
            command += &self.quoted(&argument);
        }
        let line = self.quoted(&command);
        line + self.of(&["", "", "", "", " ", "\t", " # a comment", " ! it's one"])
    }

    fn character(&mut self) -> char {
        let all: Vec<char> = "aabcxnt012 //-=  ''\"\"\\\\$|;&<>*~?[](){}#!%ä`,:.".chars().collect();
        all.get(self.below(all.len())).copied().unwrap_or('a')
    }

    /// Text that one reading turns back into `text`.
    fn quoted(&mut self, text: &str) -> String {
        let quote = self.of(&["\"", "\"", "'", ""]);
        let mut out = quote.to_owned();
        for character in text.chars() {
            let must = match character {
                '\\' => true,
                '"' | '\'' if quote.is_empty() => true,
                '"' | '\'' => quote.starts_with(character),
                ' ' | '\t' => quote.is_empty(),
                _ => false,
            };
            let byte = u32::from(character);
            match self.below(24) {
                _ if character == '@' => out.push(character),
                0 if byte < 0x80 => out += &format!("\\x{byte:02x}"),
                1 if byte < 0x80 => out += &format!("\\{byte:03o}"),
                2 if must || !character.is_alphanumeric() => out.extend(['\\', character]),
                _ if must => out.extend(['\\', character]),
                _ => out.push(character),
            }
        }
        if text.is_empty() && quote.is_empty() { "''".to_owned() } else { out + quote }
    }

    /// Anything that ends with its line.
    fn noise(&mut self) -> String {
        let quote = self.of(&["\"", "'"]);
        let mut line = format!("{quote}@ ");
        for _ in 0..self.below(12) {
            line += self.of(&[
                "a", "b", " ", " ", "\\\\", "\\\"", "\\'", "\\ ", "\\t", "\\n", "\\x41", "\\x4", "\\x",
                "\\101", "\\7", "\\cA", "\\q", "\\E", "\\e", "\\b", "$HOME", "|", ">", "\t", "-c", "ö",
                "\\0", "\\\\\\\"", "\\\\\\'", "~", "%s", "\\777", "\\x20",
            ]);
            line += match (quote, self.below(12)) {
                ("\"", 0) => "'",
                ("'", 0) => "\"",
                ("\"", 1) => "#",
                ("\"", 2) => "!",
                ("\"", 3) => "{",
                _ => "",
            };
        }
        line += quote;
        match self.below(12) {
            0 => line + "b\"c d\"",
            1 => line + "'e f'",
            _ => line,
        }
    }
}

/// Whether keepalived 2.2.7 can read the line. It takes a `#` or `!` outside `"` for a comment, and a brace for a block
/// wherever an even number of `"` stands before it, escaped or not. Where that leaves a `'` open, or a backslash last, it
/// dies.
fn is_read(line: &str) -> bool {
    let code = line.split(" # a comment").next().unwrap_or_default();
    let code = code.split(" ! it's one").next().unwrap_or_default();
    if code.trim_end().ends_with('\\') {
        return false;
    }
    let (mut inside, mut marks, mut escaped) = (false, 0, false);
    for character in code.chars() {
        match character {
            '"' => {
                inside ^= !escaped;
                marks += 1;
            }
            '#' | '!' if !inside => return false,
            '{' | '}' if marks % 2 == 0 => return false,
            _ => {}
        }
        escaped = character == '\\' && !escaped;
    }
    // What opens a string hides the comment.
    !inside || code.len() == line.len()
}
