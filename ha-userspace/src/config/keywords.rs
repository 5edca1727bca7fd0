//! Every word of keepalived's manual page (up to 2.4) on the VRRP side, and xvrrp's own: one declaration for each.
//!
//! The tables say which block a word stands in, what follows it, which field of the model it lands in, and what becomes
//! of it. Those that are lowered are variants of enums, which the lowering files match without a wildcard: a word that
//! nobody lowers does not compile, nor does one that is lowered and not declared. A test gives every word what must not
//! follow it, and so shows that it is lowered as it is declared. docs/keepalived-compat.md is compared with the tables.

mod declare;
mod global;
mod instance;
mod options;
mod reasons;
mod trackers;

use std::sync::LazyLock;

use declare::blocks;
pub use global::*;
pub use instance::*;
pub use options::*;
pub use trackers::*;

blocks! {
    /// Outside all blocks.
    Top = "the top level";
    /// `global_defs`.
    Global = "global_defs";
    /// `vrrp_script`.
    Script = "vrrp_script";
    /// `vrrp_instance`.
    Instance = "vrrp_instance";
    /// `authentication` of an instance.
    Authentication = "authentication";
    /// `auth_hmac` of an instance.
    AuthHmac = "auth_hmac";
    /// `vrrp_sync_group`.
    SyncGroup = "vrrp_sync_group";
    /// `track_file` at the top.
    TrackFile = "track_file";
    /// `vrrp_track_process`.
    TrackProcess = "vrrp_track_process";
    /// `bfd_instance`.
    Bfd = "bfd_instance";
    /// `garp_group`.
    GarpGroup = "garp_group";
    /// `track_group`.
    TrackGroup = "track_group";
    /// `vrrp_check`.
    Check = "vrrp_check";
}

/// What follows a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Nothing.
    Flag,
    /// `on`, `off` or their like, or nothing, which means on.
    Boolean,
    /// A number, or numbers written as one word.
    Number,
    /// A time.
    Time,
    /// An address.
    Address,
    /// The name of an interface.
    Interface,
    /// A path from the root.
    Path,
    /// Another word.
    Text,
    /// Words, at least one.
    Several,
    /// Words or nothing.
    Optional,
    /// A program with its arguments in one word, and whom it runs as.
    Command,
    /// A block.
    Block,
    /// A name and a block.
    Named,
    /// Whatever the reader wants, which has acted on it before there are blocks.
    Reader,
}

/// What becomes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is done.
    Implemented(ValueKind),
    /// It is understood and carried in the model, but nothing in this build acts on it; the text says what that means.
    /// Each use is reported with its place, at every load.
    NotYet(ValueKind, &'static str),
    /// It does nothing, and VRRP runs the same without it; the text says why.
    NoEffect(&'static str),
    /// Load balancing: out of scope.
    Lvs,
}

/// A word of the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The word.
    pub word: String,
    /// What becomes of it.
    pub status: Status,
}

/// A set of words, made by the macro in `declare`.
pub trait Words: Copy {
    /// The variant that `word` is, where it is one of those that are lowered.
    fn parse(word: &str) -> Option<Self>;

    /// All words of the set, in no order.
    fn rows() -> Vec<Row>;
}

/// The words of a block.
pub trait Keywords: Words {
    /// The block.
    const BLOCK: Block;
}

/// [`Words::rows`] of a set.
type Rows = fn() -> Vec<Row>;

/// The rows of a set: those of other sets, with something before each word, and its own.
fn gather(families: &[(&str, Rows)], own: &[(&str, Status)]) -> Vec<Row> {
    let of_families = families.iter().flat_map(|(prefix, rows)| {
        rows().into_iter().map(move |row| Row { word: format!("{prefix}{}", row.word), ..row })
    });
    let own = own.iter().map(|(word, status)| Row { word: (*word).to_owned(), status: *status });
    of_families.chain(own).collect()
}

fn sorted<Set: Words>() -> Vec<Row> {
    let mut rows = Set::rows();
    rows.sort_by(|a, b| a.word.cmp(&b.word));
    rows
}

/// Options of an address line, sorted.
pub static ADDRESS_OPTIONS: LazyLock<Vec<Row>> = LazyLock::new(sorted::<Address>);

/// Words of a route line, sorted.
pub static ROUTE_OPTIONS: LazyLock<Vec<Row>> = LazyLock::new(sorted::<Route>);

/// Words of a rule line, sorted.
pub static RULE_OPTIONS: LazyLock<Vec<Row>> = LazyLock::new(sorted::<Rule>);

/// The words of every block, sorted.
#[must_use]
pub fn blocks() -> &'static [(Block, Vec<Row>)] {
    &BLOCKS
}

fn table(block: Block) -> &'static [Row] {
    blocks().iter().find(|(of, _)| *of == block).map_or(&[], |(_, table)| table)
}

/// What becomes of `word` in `block`; `None` where it is unknown there.
#[must_use]
pub fn status(block: Block, word: &[u8]) -> Option<Status> {
    let table = table(block);
    let index = table.binary_search_by(|row| row.word.as_bytes().cmp(word)).ok()?;
    table.get(index).map(|row| row.status)
}

/// The blocks in which `word` is known.
#[must_use]
pub fn homes(word: &[u8]) -> Vec<Block> {
    blocks().iter().map(|(block, _)| *block).filter(|block| status(*block, word).is_some()).collect()
}

/// The known word that was probably meant.
#[must_use]
pub fn nearest(block: Block, word: &str) -> Option<&'static str> {
    closest(word, table(block).iter().map(|row| row.word.as_str()))
}

/// The candidate that is most like `word`, where one is like it at all.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words are no misspelt keywords, and the distance takes time in proportion to the length.
    if word.len() > 64 {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let most = word.chars().count().max(3) / 3;
    // The distance is at least the difference of the lengths: most candidates need no closer look.
    let near = candidates.filter(|name| name.len().abs_diff(word.len()) <= most);
    let scored = near.map(|name| (strsim::damerau_levenshtein(&word, &name.to_ascii_lowercase()), name));
    scored
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
