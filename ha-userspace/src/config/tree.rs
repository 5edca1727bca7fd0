//! Words to statements and blocks.
//!
//! The language is line oriented: a statement ends with its line, at `{` or at `}`. A `{` alone on a line belongs
//! to the statement before it.

use super::codes;
use super::diag::{Diagnostic, Diagnostics};
use super::lexer::{Token, Word};
use super::source::Span;

/// A line, with the block that belongs to it. `words` is never empty.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Keyword and parameters.
    pub words: Vec<Word>,
    /// The block.
    pub block: Option<Block>,
}

/// What stands between braces.
#[derive(Clone, Debug)]
pub struct Block {
    /// Statements.
    pub statements: Vec<Statement>,
    /// The opening brace.
    pub open: Span,
}

impl Statement {
    /// The first word.
    #[must_use]
    pub fn keyword(&self) -> &Word {
        // A statement is only made from at least one word.
        self.words.first().unwrap_or_else(|| unreachable!("a statement has a word"))
    }

    /// The words behind the keyword.
    #[must_use]
    pub fn args(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The whole line.
    #[must_use]
    pub fn span(&self) -> Span {
        let first = self.keyword().span;
        self.words.last().map_or(first, |last| first.to(last.span))
    }
}

/// Deeper nesting has no meaning in the language.
const MAX_DEPTH: usize = 16;

/// Builds the tree from one line of tokens after the other.
#[derive(Debug, Default)]
pub struct Builder {
    /// Finished statements of the innermost open block.
    list: Vec<Statement>,
    /// Blocks that are open: the outer list, the header and the brace.
    open: Vec<(Vec<Statement>, Vec<Word>, Span)>,
    /// Braces opened beyond [`MAX_DEPTH`].
    buried: usize,
}

impl Builder {
    /// Take one line.
    pub fn line(&mut self, tokens: Vec<Token>, diags: &mut Diagnostics) {
        let mut words = Vec::new();
        for token in tokens {
            match token {
                Token::Word(word) => {
                    if self.buried == 0 {
                        words.push(word);
                    }
                }
                Token::Open(span) => self.open(std::mem::take(&mut words), span, diags),
                Token::Close(span) => {
                    self.finish(std::mem::take(&mut words));
                    self.close(span, diags);
                }
            }
        }
        self.finish(words);
    }

    fn finish(&mut self, words: Vec<Word>) {
        if !words.is_empty() {
            self.list.push(Statement { words, block: None });
        }
    }

    fn open(&mut self, words: Vec<Word>, span: Span, diags: &mut Diagnostics) {
        if self.buried > 0 || self.open.len() >= MAX_DEPTH {
            if self.buried == 0 {
                diags.push(
                    Diagnostic::error(codes::TOO_DEEP, span, "blocks are nested too deeply")
                        .label(format!("more than {MAX_DEPTH} levels; the inner block is skipped")),
                );
            }
            self.buried += 1;
            return;
        }
        let header = if words.is_empty() {
            match self.list.pop() {
                Some(Statement { words, block: None }) => words,
                other => {
                    self.list.extend(other);
                    diags.push(
                        Diagnostic::error(codes::BRACE_EXTRA, span, "`{` without a keyword before it")
                            .label("the block is ignored"),
                    );
                    Vec::new()
                }
            }
        } else {
            words
        };
        self.open.push((std::mem::take(&mut self.list), header, span));
    }

    fn close(&mut self, span: Span, diags: &mut Diagnostics) {
        if self.buried > 0 {
            self.buried -= 1;
            return;
        }
        let Some((outer, words, open)) = self.open.pop() else {
            diags.push(
                Diagnostic::error(codes::BRACE_EXTRA, span, "`}` without a `{`")
                    .label("no block is open here")
                    .help("remove it, or look for a block above that was closed too early"),
            );
            return;
        };
        let statements = std::mem::replace(&mut self.list, outer);
        if !words.is_empty() {
            self.list.push(Statement { words, block: Some(Block { statements, open }) });
        }
    }

    /// The end of all input: the statements at the top.
    #[must_use]
    pub fn end(mut self, diags: &mut Diagnostics) -> Vec<Statement> {
        self.buried = 0;
        while let Some((_, words, open)) = self.open.last() {
            let span = *open;
            let name = words.first().map_or_else(|| "block".to_owned(), |word| format!("`{}`", word.text()));
            diags.push(
                Diagnostic::error(codes::BLOCK_OPEN, span, format!("the {name} block is never closed"))
                    .label("opened here")
                    .help("add a `}`; what follows was read as part of this block"),
            );
            self.close(span, diags);
        }
        self.list
    }
}
