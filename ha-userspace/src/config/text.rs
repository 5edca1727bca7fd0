//! One line of text that remembers where each of its bytes was written.
//!
//! A line straight from a file maps byte for byte; text that a definition put there maps as a whole to the place
//! where the definition was used, which is the line that the operator has to look at.

use std::ops::Range;

use super::source::{FileId, Span, to_usize};

/// A line, or several where it came from a definition of several lines (then they are parted by line feeds).
#[derive(Clone, Debug)]
pub struct Text {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
}

/// The bytes from `at` up to the next piece.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: usize,
    origin: Span,
    verbatim: bool,
}

impl Text {
    /// The bytes `range` of a file.
    #[must_use]
    pub fn from_file(file: FileId, bytes: &[u8], range: Range<u32>) -> Self {
        let slice = bytes.get(to_usize(range.start)..to_usize(range.end)).unwrap_or_default();
        let origin = Span { file, start: range.start, end: range.end };
        Self { bytes: slice.to_vec(), pieces: vec![Piece { at: 0, origin, verbatim: true }] }
    }

    /// Text that stands for the place `origin`.
    #[must_use]
    pub fn made(bytes: &[u8], origin: Span) -> Self {
        Self { bytes: bytes.to_vec(), pieces: vec![Piece { at: 0, origin, verbatim: false }] }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it costs to copy this text, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.bytes.len() + self.pieces.len() * size_of::<Piece>()
    }

    /// Where the bytes `range` were written.
    #[must_use]
    pub fn span(&self, range: Range<usize>) -> Span {
        let first = self.point(range.start);
        let last = self.point(range.end.saturating_sub(1).max(range.start));
        if range.is_empty() { Span { end: first.start, ..first } } else { first.to(last) }
    }

    /// Where the whole line was written.
    #[must_use]
    pub fn whole(&self) -> Span {
        self.span(0..self.bytes.len())
    }

    fn point(&self, at: usize) -> Span {
        let index = self.pieces.partition_point(|piece| piece.at <= at).saturating_sub(1);
        let Some(piece) = self.pieces.get(index) else { return self.fallback() };
        if !piece.verbatim {
            return piece.origin;
        }
        let offset = u32::try_from(at - piece.at.min(at)).unwrap_or(u32::MAX);
        let start = piece.origin.start.saturating_add(offset);
        Span { start, end: start.saturating_add(1), ..piece.origin }
    }

    fn fallback(&self) -> Span {
        // `pieces` is never empty: every constructor puts one in and no operation takes the last one out.
        self.pieces.first().map_or_else(|| unreachable!("a text has a piece"), |piece| piece.origin)
    }

    /// The part `range` of this text.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.bytes.len());
        let start = range.start.min(end);
        let first = self.pieces.partition_point(|piece| piece.at <= start).saturating_sub(1);
        let mut pieces = Vec::new();
        for piece in self.pieces.get(first..).unwrap_or_default() {
            if piece.at >= end && !pieces.is_empty() {
                break;
            }
            let mut piece = *piece;
            if piece.at < start {
                if piece.verbatim {
                    let skipped = u32::try_from(start - piece.at).unwrap_or(u32::MAX);
                    piece.origin.start = piece.origin.start.saturating_add(skipped);
                }
                piece.at = start;
            }
            piece.at -= start;
            pieces.push(piece);
        }
        Self { bytes: self.bytes.get(start..end).unwrap_or_default().to_vec(), pieces }
    }

    /// Append another text.
    pub fn append(&mut self, other: &Self) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        self.pieces.extend(other.pieces.iter().map(|piece| Piece { at: piece.at + base, ..*piece }));
    }

    /// This text with the part `range` replaced by `value`, which then stands for that part's place.
    #[must_use]
    pub fn replaced(&self, range: Range<usize>, value: &[u8]) -> Self {
        let origin = self.span(range.clone());
        let mut out = self.slice(0..range.start);
        out.append(&Self::made(value, origin));
        out.append(&self.slice(range.end..self.bytes.len()));
        out
    }

    /// Without white space at both ends.
    #[must_use]
    pub fn trimmed(&self) -> Self {
        let start = self.bytes.iter().take_while(|byte| is_space(**byte)).count();
        let tail = self.bytes.iter().rev().take_while(|byte| is_space(**byte)).count();
        self.slice(start..self.bytes.len().saturating_sub(tail).max(start))
    }
}

/// White space inside a line. A carriage return counts: files written on Windows load.
#[must_use]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}
