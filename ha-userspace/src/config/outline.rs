//! Where things stand: from the names that the operator wrote to places in the files.
//!
//! The model says what a configuration means, and has no places but those of whole blocks. Findings that come after
//! it (`analysis`) point at a line through the outline. Built from the tree, so that it needs nothing of `lower`.

use super::source::{Shift, Span};
use super::tree::Statement;

/// All named blocks of a configuration, with their lines.
#[derive(Debug, Default)]
pub struct Outline {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    kind: String,
    name: String,
    span: Span,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    /// The block inside the block, where the line stands in one.
    inside: Option<String>,
    keyword: String,
    span: Span,
}

impl Outline {
    /// Move all places, as the files were.
    pub fn shift(&mut self, shift: Shift) {
        for block in &mut self.blocks {
            block.span = shift.span(block.span);
            for line in &mut block.lines {
                line.span = shift.span(line.span);
            }
        }
    }

    /// The outline of a tree.
    #[must_use]
    pub(super) fn of(tree: &[Statement]) -> Self {
        let text = |stmt: &Statement| stmt.keyword().text().into_owned();
        let blocks = tree.iter().filter_map(|stmt| {
            let block = stmt.block.as_ref()?;
            let name = stmt.args().first();
            let mut lines = Vec::new();
            for stmt in &block.statements {
                lines.push(Line { inside: None, keyword: text(stmt), span: stmt.span() });
                let inner = stmt.block.iter().flat_map(|block| &block.statements);
                lines.extend(inner.map(|inner| Line {
                    inside: Some(text(stmt)),
                    keyword: text(inner),
                    span: inner.span(),
                }));
            }
            Some(Block {
                kind: text(stmt),
                name: name.map(|name| name.text().into_owned()).unwrap_or_default(),
                span: name.map_or(stmt.span(), |name| name.span),
                lines,
            })
        });
        Self { blocks: blocks.collect() }
    }

    fn block(&self, kind: &str, name: &str) -> Option<&Block> {
        self.blocks.iter().find(|block| block.kind == kind && block.name == name)
    }

    /// The name of a block, such as `vrrp_instance VI_1`; `global_defs` has an empty one.
    #[must_use]
    pub fn block_span(&self, kind: &str, name: &str) -> Option<Span> {
        self.block(kind, name).map(|block| block.span)
    }

    /// The last line with `keyword` in a block: the one that counts.
    #[must_use]
    pub fn line(&self, kind: &str, name: &str, keyword: &str) -> Option<Span> {
        let lines = self.block(kind, name)?.lines.iter().rev();
        let mut lines = lines.filter(|line| line.inside.is_none() && line.keyword == keyword);
        lines.next().map(|line| line.span)
    }

    /// The first line that starts with `keyword` in the block `inside` of a block, such as the line of one address
    /// in `virtual_ipaddress`.
    #[must_use]
    pub fn inner(&self, kind: &str, name: &str, inside: &str, keyword: &str) -> Option<Span> {
        let mut lines = self.block(kind, name)?.lines.iter();
        lines
            .find(|line| line.inside.as_deref() == Some(inside) && line.keyword == keyword)
            .map(|line| line.span)
    }

    /// The first of `keywords` that a `vrrp_instance` has, or else its name.
    #[must_use]
    pub fn instance(&self, name: &str, keywords: &[&str]) -> Option<Span> {
        let line = |keyword: &&str| self.line("vrrp_instance", name, keyword);
        keywords.iter().find_map(line).or_else(|| self.block_span("vrrp_instance", name))
    }
}
