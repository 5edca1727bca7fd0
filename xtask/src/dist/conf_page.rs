//! xvrrp.conf(5): xvrrp's own keywords and what differs from keepalived.conf(5), from docs/keepalived-compat.md, which a
//! test compares with the parser.

use std::fs;

use anyhow::{Context as _, Result};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, roman};

use crate::sys;

/// The page's file.
pub(crate) const NAME: &str = "xvrrp.conf.5";
const SOURCE: &str = "docs/keepalived-compat.md";

/// The page.
///
/// # Errors
/// When the document cannot be read.
pub(crate) fn page() -> Result<String> {
    let path = sys::workspace_root().join(SOURCE);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(head().render() + &Writer::default().write(&text).render())
}

fn head() -> Roff {
    let mut roff = Roff::new();
    roff.control("TH", ["xvrrp.conf", "5", "", concat!("xvrrp ", env!("CARGO_PKG_VERSION")), "xvrrp"]);
    roff.control("SH", ["NAME"]).text([roman("xvrrp.conf - configuration of xvrrp(8)")]);
    roff.control("SH", ["DESCRIPTION"]).text([
        roman("xvrrp reads "),
        bold("/etc/keepalived/keepalived.conf"),
        roman(
            ", whose language and keywords keepalived.conf(5) describes. This page has what xvrrp adds, and what it does \
             otherwise. A keyword that keepalived.conf(5) has and this page has not is supported as it is described there.",
        ),
    ]);
    roff.control("PP", []);
    roff.text([
        roman("Of a file, `"),
        bold("xvrrp check"),
        roman("` says what follows from it, with the place, and `"),
        bold("xvrrp explain"),
        roman("` says more. See also xvrrp(8), xvrrp-check(8), xvrrp-explain(8)."),
    ]);
    roff
}

/// Where a text that is being read stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The document's title, and what stands below it, are said by [`head`].
    #[default]
    Before,
    Paragraph,
    Heading(&'static str),
    Code,
    /// A cell, by its number.
    Cell(usize),
    Nowhere,
}

/// From Markdown to a manual page.
#[derive(Debug, Default)]
struct Writer {
    roff: Roff,
    place: Place,
    /// Of the paragraph, heading or cell that is being read.
    line: Vec<Inline>,
    words: String,
    /// Of the row.
    cells: Vec<String>,
    in_item: bool,
}

impl Writer {
    fn write(mut self, markdown: &str) -> Roff {
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            match event {
                Event::Start(tag) => self.start(&tag),
                Event::End(tag) => self.end(tag),
                Event::Text(text) => self.say(&text, roman),
                Event::Code(text) => self.say(&text, bold),
                Event::SoftBreak | Event::HardBreak => self.say(" ", roman),
                _ => {}
            }
        }
        self.roff
    }

    fn say(&mut self, text: &str, kind: fn(String) -> Inline) {
        match self.place {
            Place::Code => text.lines().for_each(|line| {
                self.roff.text([roman(line)]);
            }),
            Place::Before | Place::Nowhere => {}
            Place::Paragraph => self.line.push(kind(text.to_owned())),
            Place::Heading(_) | Place::Cell(_) => self.words.push_str(text),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                let heading = match level {
                    HeadingLevel::H1 => return,
                    HeadingLevel::H2 => "SH",
                    _ => "SS",
                };
                self.place = Place::Heading(heading);
            }
            Tag::Item => {
                self.in_item = true;
                self.roff.control("IP", ["\\(bu", "2"]);
                self.place = Place::Paragraph;
            }
            Tag::Paragraph if self.place != Place::Before => {
                if !self.in_item {
                    self.roff.control("PP", []);
                }
                self.place = Place::Paragraph;
            }
            Tag::CodeBlock(_) => {
                self.roff.control("PP", []).control("nf", []);
                self.place = Place::Code;
            }
            Tag::TableRow => self.cells.clear(),
            Tag::TableCell => self.place = Place::Cell(self.cells.len()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                if let Place::Heading(heading) = self.place {
                    let words = std::mem::take(&mut self.words);
                    let words = if heading == "SH" { words.to_uppercase() } else { words };
                    self.roff.control(heading, [words.as_str()]);
                    self.place = Place::Nowhere;
                }
            }
            TagEnd::Item => {
                self.flush();
                self.in_item = false;
            }
            TagEnd::Paragraph => self.flush(),
            TagEnd::CodeBlock => {
                self.roff.control("fi", []);
                self.place = Place::Nowhere;
            }
            TagEnd::TableCell => {
                self.cells.push(std::mem::take(&mut self.words));
                self.place = Place::Nowhere;
            }
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    fn flush(&mut self) {
        if self.place == Place::Paragraph {
            self.roff.text(std::mem::take(&mut self.line));
            self.place = Place::Nowhere;
        }
    }

    /// What is as in keepalived.conf(5) is left to it.
    fn row(&mut self) {
        match self.cells.as_slice() {
            [_, status, remark] if status == "supported" && remark.is_empty() => {}
            [word, status, remark] => {
                self.roff.control("TP", []);
                self.roff.text([bold(word.as_str()), roman(format!(" ({status})"))]);
                self.roff.text([roman(remark.as_str())]);
            }
            [what, instead] => {
                self.roff.control("TP", []);
                self.roff.text([bold(what.as_str())]).text([roman(instead.as_str())]);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_of_its_own_is_in_the_page() {
        let page = page().expect("the document is there");
        let text = fs::read_to_string(sys::workspace_root().join(SOURCE)).expect("readable");
        let own = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | own | "));
        let mut number = 0;
        for (word, remark) in own {
            number += 1;
            assert!(page.contains(&format!("\\fB{word}\\fR (own)\n")), "{word}");
            assert!(remark.trim_end_matches(" |").len() > 3, "{word} has no remark");
        }
        assert!(number > 20, "{number} keywords: the table has another form");
    }

    #[test]
    fn markdown_becomes_a_manual_page() {
        let text = "# Title\n\nIntroduction.\n\n## Some words\n\nA `word` and\nanother.\n\n- one\n- two\n\n```\na {\n}\n```\n\n\
                    ### Rows\n\n| keyword | status | remarks |\n|---|---|---|\n| `a` | supported |  |\n| `b` | own | `on` |\n";
        let page = Writer::default().write(text).render();
        let lines: Vec<&str> = page.lines().collect();
        let text =
            lines[lines.iter().position(|line| line.starts_with(".SH")).expect("a heading")..].join("\n");
        let wanted = ".SH \"SOME WORDS\"\n.PP\nA \\fBword\\fR and another.\n.IP \\(bu 2\none\n.IP \\(bu 2\ntwo\n.PP\n.nf\n\
                      a {\n}\n.fi\n.SS Rows\n.TP\n\\fBb\\fR (own)\non";
        assert_eq!(text, wanted);
    }
}
