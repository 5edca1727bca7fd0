//! Files to a tree: comments, includes, `@id` lines, definitions and repetitions are gone afterwards.
//!
//! A stack of frames holds what is still to be read: files, lines that a definition expanded to, and repetitions.
//! Nothing here knows a keyword except the include family.

mod include;
mod line;

use std::path::{Path, PathBuf};

use super::LoadOptions;
use super::codes;
use super::define::Definitions;
use super::diag::{Diagnostic, Diagnostics};
use super::files::{self, FileError, MAX_BYTES};
use super::include::Checks;
use super::lexer;
use super::lookalike;
use super::source::{FileId, Span, to_usize};
use super::text::{Text, is_space};
use super::tree::{Builder, Statement};

/// Includes inside includes.
const MAX_INCLUDES: usize = 16;
/// Frames of any kind: also bounds definitions inside definitions.
const MAX_FRAMES: usize = 64;
/// Words of the whole configuration; about 60,000 instances.
const MAX_WORDS: usize = 1_000_000;
/// Replacements in one line: `$A=$A` must end.
const MAX_REPLACEMENTS: usize = 200;
/// Length of a line, also after replacement.
const MAX_LINE: usize = 1 << 16;
/// Work that definitions and repetitions may cause in all, in bytes copied.
const MAX_COPIED: usize = 24 << 20;
/// Work of a line beside its bytes.
const LINE_COST: usize = 64;

enum Frame {
    File { id: FileId, at: u32, directory: PathBuf, checks: Checks, canonical: Option<PathBuf> },
    Includes { files: std::vec::IntoIter<PathBuf>, span: Span, checks: Checks },
    Lines { lines: std::vec::IntoIter<Text> },
    Repeat { names: Vec<Vec<u8>>, rows: std::vec::IntoIter<Vec<Vec<u8>>>, rest: Text },
}

/// Reads files into a [`Builder`].
pub(super) struct Reader<'a> {
    diags: &'a mut Diagnostics,
    options: &'a LoadOptions,
    definitions: Definitions,
    frames: Vec<Frame>,
    tree: Builder,
    bytes_left: u64,
    words: usize,
    copied: usize,
    conflict: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(diags: &'a mut Diagnostics, options: &'a LoadOptions) -> Self {
        let definitions = Definitions::new(&options.config_id, options.random_seed);
        Self {
            diags,
            options,
            definitions,
            frames: Vec::new(),
            tree: Builder::default(),
            bytes_left: MAX_BYTES,
            words: 0,
            copied: 0,
            conflict: false,
        }
    }

    /// Read the file that the user named, and all that it includes.
    pub(super) fn file(mut self, path: &Path) -> Vec<Statement> {
        match files::read(path, self.bytes_left) {
            Ok(bytes) => {
                let canonical = path.canonicalize().ok();
                self.push_file(path.to_owned(), canonical, bytes, Checks::default(), None);
            }
            Err(error) => {
                let id = self.diags.sources.add(path.to_owned(), Vec::new(), None);
                let span = Span { file: id, start: 0, end: 0 };
                let help = match &error {
                    FileError::Io(io) if io.kind() == std::io::ErrorKind::NotFound => {
                        "name the right file with -f FILE"
                    }
                    FileError::Io(_) => "check who may read the file and its directories",
                    _ => "name a configuration file with -f FILE",
                };
                let message = format!("{} cannot be read", path.display());
                let finding = Diagnostic::error(file_code(&error), span, message);
                self.diags.push_fatal(finding.label(error.to_string()).help(help));
            }
        }
        self.run()
    }

    /// Read text from memory. Includes are read from disk where `name` has a directory that exists.
    pub(super) fn bytes(mut self, name: &Path, bytes: &[u8]) -> Vec<Statement> {
        let id_span = |id| Span { file: id, start: 0, end: 0 };
        let too_big = u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES;
        let checked = if too_big { Err(FileError::TooBig) } else { files::check_text(bytes) };
        if let Err(error) = checked {
            let id = self.diags.sources.add(name.to_owned(), Vec::new(), None);
            let message = format!("{} cannot be read", name.display());
            let finding = Diagnostic::error(file_code(&error), id_span(id), message);
            self.diags.push_fatal(finding.label(error.to_string()));
            return Vec::new();
        }
        self.push_file(name.to_owned(), None, bytes.to_vec(), Checks::default(), None);
        self.run()
    }

    fn push_file(
        &mut self,
        name: PathBuf,
        canonical: Option<PathBuf>,
        bytes: Vec<u8>,
        checks: Checks,
        from: Option<Span>,
    ) {
        self.bytes_left = self.bytes_left.saturating_sub(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let real = canonical.as_deref().unwrap_or(&name);
        let directory = real.parent().map(Path::to_owned).unwrap_or_default();
        let id = self.diags.sources.add(name, bytes, from);
        self.frames.push(Frame::File { id, at: 0, directory, checks, canonical });
    }

    fn run(mut self) -> Vec<Statement> {
        while let Some(frame) = self.frames.last_mut() {
            match frame {
                Frame::File { id, at, .. } => {
                    let (id, from) = (*id, *at);
                    let Some((line, next)) = physical(&self.diags.sources, id, from) else {
                        self.frames.pop();
                        continue;
                    };
                    *at = next;
                    let line = if from == 0 { self.without_mark(line) } else { line };
                    self.physical_line(&line);
                }
                Frame::Includes { files, span, checks } => match (files.next(), *span, *checks) {
                    (Some(path), span, checks) => self.include_file(&path, span, checks),
                    (None, ..) => drop(self.frames.pop()),
                },
                Frame::Lines { lines } => match lines.next() {
                    Some(line) => {
                        self.copied = self.copied.saturating_add(line.cost() + LINE_COST);
                        self.line(line);
                    }
                    None => drop(self.frames.pop()),
                },
                Frame::Repeat { names, rows, rest } => match rows.next() {
                    Some(row) => {
                        for (name, value) in names.iter().zip(row) {
                            self.definitions.set(name, value);
                        }
                        let line = rest.clone();
                        self.copied = self.copied.saturating_add(line.cost() + LINE_COST);
                        self.line(line);
                    }
                    None => drop(self.frames.pop()),
                },
            }
            if self.words > MAX_WORDS {
                self.give_up(format!("more than {MAX_WORDS} words"));
            } else if self.copied > MAX_COPIED {
                self.give_up("definitions expand to too much text".to_owned());
            }
        }
        self.tree.end(self.diags)
    }

    /// Stop reading, with an error at the line that was read last.
    fn give_up(&mut self, label: String) {
        let place = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::File { id, at, .. } => {
                Some(Span { file: *id, start: at.saturating_sub(1), end: at.saturating_sub(1) })
            }
            _ => None,
        });
        if let Some(span) = place {
            let message = "the configuration is too large";
            self.diags.push_fatal(Diagnostic::error(codes::FILE_TOO_BIG, span, message).label(label));
        }
        self.frames.clear();
    }

    /// A line as it stands in a file: take the comment off, then process it.
    fn physical_line(&mut self, line: &Text) {
        if self.is_conflict_marker(line) {
            return;
        }
        let (length, quote) = lexer::code_length(line.bytes());
        if length > MAX_LINE {
            let span = line.span(0..1);
            self.diags.push_fatal(
                Diagnostic::error(codes::FILE_TOO_BIG, span, "the line is too long for a configuration")
                    .label(format!("{length} bytes; the limit is {MAX_LINE}")),
            );
            return;
        }
        if let Some(quote) = quote {
            let span = line.span(quote..quote + 1);
            self.diags.push(
                Diagnostic::error(codes::QUOTE_OPEN, span, "a quote is not closed on its line")
                    .label("opened here; the string ends with the line")
                    .help("close it with `\"`"),
            );
        }
        let line = line.slice(0..length).trimmed();
        if let Some((at, character)) = lookalike::first(line.bytes()) {
            self.lookalike(&line, at, character);
        }
        if !line.bytes().is_empty() {
            self.line(line);
        }
    }

    /// Name a character that nobody sees.
    fn lookalike(&mut self, line: &Text, at: usize, character: char) {
        let name = lookalike::name(character).unwrap_or_default();
        let bytes = line.bytes();
        let start = bytes.iter().take(at).rposition(|byte| is_space(*byte)).map_or(0, |space| space + 1);
        let rest = bytes.get(at..).unwrap_or_default();
        let end = rest.iter().position(|byte| is_space(*byte)).map_or(bytes.len(), |length| at + length);
        let word: String =
            String::from_utf8_lossy(bytes.get(start..end).unwrap_or_default()).chars().take(60).collect();
        let message = format!("a {name} (U+{:04X}) stands in `{word}`", u32::from(character));
        self.diags.push(
            Diagnostic::note(codes::LOOKALIKE, line.span(at..at + character.len_utf8()), message)
                .label("it is a letter to xvrrp and to keepalived: part of the word around it")
                .help(format!("type {} in its place", lookalike::instead(character))),
        );
    }

    /// The first line of a file without a byte order mark. keepalived takes it for a part of the first word, and so
    /// does not know the first block.
    fn without_mark(&mut self, line: Text) -> Text {
        const MARK: &str = "\u{feff}";
        if !line.bytes().starts_with(MARK.as_bytes()) {
            return line;
        }
        let message = "the file begins with a byte order mark (U+FEFF)";
        self.diags.push(
            Diagnostic::warning(codes::LOOKALIKE, line.span(0..MARK.len()), message)
                .label("passed over here; to keepalived it is part of the first word, which it then does not know")
                .help("save the file as UTF-8 without a byte order mark"),
        );
        line.slice(MARK.len()..line.bytes().len())
    }

    fn is_conflict_marker(&mut self, line: &Text) -> bool {
        let bytes = line.bytes();
        let is = |mark: &[u8]| {
            bytes.strip_prefix(mark).is_some_and(|rest| rest.first().is_none_or(|byte| is_space(*byte)))
        };
        let starts = is(b"<<<<<<<");
        if !starts && !(self.conflict && (is(b"=======") || is(b">>>>>>>") || is(b"|||||||"))) {
            return false;
        }
        if starts {
            self.diags.push(
                Diagnostic::error(
                    codes::MERGE_CONFLICT,
                    line.whole(),
                    "a merge conflict was left in the file",
                )
                .label("both versions are read, the last value of each keyword counts")
                .help("decide for one version and remove the marker lines"),
            );
        }
        self.conflict = !is(b">>>>>>>");
        true
    }

    /// `random_seed NUMBER`: `${_RANDOM}` below it repeats itself from one load to the next.
    fn random_seed(&mut self, argument: &Text) {
        let text = String::from_utf8_lossy(argument.bytes()).into_owned();
        match text.parse::<u32>() {
            Ok(seed) => self.definitions.seed(seed.into()),
            Err(_) => {
                let message = format!("random_seed `{text}` is not a number");
                self.diags.push(
                    Diagnostic::error(codes::BAD_NUMBER, argument.whole(), message)
                        .label("${_RANDOM} stays random")
                        .help("write a whole number from 0 to 4294967295"),
                );
            }
        }
    }

    /// Words of a finished line, unless it is an include.
    fn words(&mut self, line: &Text) {
        let bytes = line.bytes();
        let end = bytes.iter().position(|byte| is_space(*byte)).unwrap_or(bytes.len());
        let keyword = bytes.get(..end).unwrap_or_default();
        if let Some(checks) = checks(&self.frames).of_keyword(keyword) {
            let argument = line.slice(end..bytes.len()).trimmed();
            return self.include(&argument, line.whole(), checks);
        }
        if keyword == b"include_check" {
            self.include_check(&line.slice(end..bytes.len()));
        }
        if keyword == b"random_seed" {
            self.random_seed(&line.slice(end..bytes.len()).trimmed());
        }
        let tokens = lexer::tokens(line);
        self.words = self.words.saturating_add(tokens.len());
        self.tree.line(tokens, self.diags);
    }
}

/// The line of file `id` that starts at `from`, and the start of the next; `None` at the end.
fn physical(sources: &super::source::Sources, id: FileId, from: u32) -> Option<(Text, u32)> {
    let bytes = &sources.file(id)?.bytes;
    let rest = bytes.get(to_usize(from)..).filter(|rest| !rest.is_empty())?;
    let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let end = from.saturating_add(u32::try_from(length).ok()?);
    Some((Text::from_file(id, bytes, from..end), end.saturating_add(1)))
}

fn directory(frames: &[Frame]) -> &Path {
    let innermost = frames.iter().rev().find_map(|frame| match frame {
        Frame::File { directory, .. } => Some(directory.as_path()),
        _ => None,
    });
    innermost.unwrap_or(Path::new(""))
}

fn checks(frames: &[Frame]) -> Checks {
    let innermost = frames.iter().rev().find_map(|frame| match frame {
        Frame::File { checks, .. } => Some(*checks),
        _ => None,
    });
    innermost.unwrap_or_default()
}

fn file_code(error: &FileError) -> codes::Code {
    match error {
        FileError::Io(_) | FileError::Kind(_) => codes::FILE_UNREADABLE,
        FileError::Binary(_) => codes::FILE_NOT_TEXT,
        FileError::TooBig | FileError::NoKey => codes::FILE_TOO_BIG,
    }
}

/// Say that the configuration holds nothing but comments.
pub(super) fn note_empty(diags: &mut Diagnostics) {
    if let Some(id) = diags.sources.first() {
        let span = Span { file: id, start: 0, end: 0 };
        let message = format!("{} says nothing", diags.sources.name(id).display());
        diags.push(
            Diagnostic::note(codes::FILE_EMPTY, span, message)
                .label("no virtual router runs")
                .help("add a vrrp_instance block"),
        );
    }
}
