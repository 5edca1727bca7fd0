//! The text of every file that was read, and the place of every word in it.
//!
//! A [`Span`] is a byte range of one file; [`Sources::place`] turns it into file:line:column. Nothing here opens a
//! file (that is `reader`'s job) or knows the language.

use std::path::{Path, PathBuf};

use super::model::Place;

/// Index of a file in [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// A byte range of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// File.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range from the start of `self` to the end of `other`, or `self` where they lie in different files.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.file != other.file || other.end < self.start {
            return self;
        }
        Self { end: other.end, ..self }
    }
}

/// What the spans of [absorbed](Sources::absorb) files have become.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shift(u32);

impl Shift {
    /// The span in the files of now.
    #[must_use]
    pub fn span(self, span: Span) -> Span {
        Span { file: FileId(span.file.0.saturating_add(self.0)), ..span }
    }
}

/// One file.
#[derive(Debug)]
pub struct SourceFile {
    /// Name, as given by the user or by an include.
    pub name: PathBuf,
    /// Content.
    pub bytes: Vec<u8>,
    /// The include line that named it; `None` for the file that the user named.
    pub included_from: Option<Span>,
    /// Offset of the first byte of each line.
    line_starts: Vec<u32>,
}

/// All files of one load.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

impl Sources {
    /// Add a file. Its content must be shorter than 4 GiB; `reader` allows far less.
    pub fn add(&mut self, name: PathBuf, bytes: Vec<u8>, included_from: Option<Span>) -> FileId {
        let mut line_starts = vec![0];
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        line_starts.extend(ends.filter_map(|(at, _)| u32::try_from(at + 1).ok()));
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(SourceFile { name, bytes, included_from, line_starts });
        id
    }

    /// Take over the files of another load, whose spans then have to be [shifted](Shift::span).
    pub fn absorb(&mut self, other: Self) -> Shift {
        let shift = Shift(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.extend(other.files.into_iter().map(|mut file| {
            file.included_from = file.included_from.map(|span| shift.span(span));
            file
        }));
        shift
    }

    /// The word at a place of the model; the whole line is no word.
    #[must_use]
    pub fn word_at(&self, place: &Place) -> Option<Span> {
        let index = self.files.iter().position(|file| file.name == place.file)?;
        let file = self.files.get(index)?;
        let line = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let start = file.line_starts.get(line).copied()?;
        let (_, from, to) = file.line_at(start);
        let text = file.bytes.get(from..to)?;
        let before = usize::try_from(place.column).ok()?.checked_sub(1)?;
        let skipped: usize = String::from_utf8_lossy(text).chars().take(before).map(char::len_utf8).sum();
        let rest = text.get(skipped..)?;
        let length = rest.iter().position(|byte| byte.is_ascii_whitespace() || b"{}".contains(byte));
        let start = start.checked_add(u32::try_from(skipped).ok()?)?;
        let end = start.checked_add(u32::try_from(length.unwrap_or(rest.len())).ok()?)?;
        Some(Span { file: FileId(u32::try_from(index).ok()?), start, end })
    }

    /// A file, where `id` came from [`Self::add`] of the same object.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(usize::try_from(id.0).ok()?)
    }

    /// What stands at a place of the files.
    #[must_use]
    pub fn text(&self, span: Span) -> std::borrow::Cow<'_, str> {
        let file = self.file(span.file).map_or([].as_slice(), |file| &file.bytes);
        String::from_utf8_lossy(file.get(to_usize(span.start)..to_usize(span.end)).unwrap_or_default())
    }

    /// The file that the user named.
    #[must_use]
    pub fn first(&self) -> Option<FileId> {
        (!self.files.is_empty()).then_some(FileId(0))
    }

    /// Name of a file.
    #[must_use]
    pub fn name(&self, id: FileId) -> &Path {
        self.file(id).map_or(Path::new(""), |file| &file.name)
    }

    /// file:line:column of the start of a span.
    #[must_use]
    pub fn place(&self, span: Span) -> Place {
        let Some(file) = self.file(span.file) else { return Place::default() };
        let (line, start, _) = file.line_at(span.start);
        let before = file.bytes.get(start..to_usize(span.start)).unwrap_or_default();
        let column = String::from_utf8_lossy(before).chars().count() + 1;
        let column = u32::try_from(column).unwrap_or(u32::MAX);
        Place { file: file.name.clone(), line: u32::try_from(line + 1).unwrap_or(u32::MAX), column }
    }

    /// The include lines that led to a file, innermost first.
    #[must_use]
    pub fn include_chain(&self, id: FileId) -> Vec<Span> {
        let mut chain = Vec::new();
        let mut next = self.file(id).and_then(|file| file.included_from);
        while let Some(span) = next {
            chain.push(span);
            next = self.file(span.file).and_then(|file| file.included_from);
        }
        chain
    }
}

impl SourceFile {
    /// Zero-based line that holds byte `at`, and the byte range of that line without its line feed.
    #[must_use]
    pub fn line_at(&self, at: u32) -> (usize, usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= at).saturating_sub(1);
        let start = self.line_starts.get(line).copied().map_or(0, to_usize);
        let end = match self.line_starts.get(line + 1) {
            Some(next) => to_usize(*next).saturating_sub(1),
            None => self.bytes.len(),
        };
        (line, start, end.max(start))
    }
}

/// Offsets are kept in 32 bits to make words small; a host with narrower `usize` could not have read the file.
#[must_use]
pub fn to_usize(offset: u32) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
