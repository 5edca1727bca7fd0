//! Every keyword of keepalived's manual page (up to 2.4) on the VRRP side, with its block and what becomes of it.
//!
//! The lowering files match on the words that are [`Status::Implemented`]; a test keeps the two in step.

mod tables;

pub use tables::{ADDRESS_OPTIONS, CONTEXTS, ROUTE_OPTIONS, RULE_OPTIONS};

/// The block that a keyword stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Outside all blocks.
    Top,
    /// `global_defs`.
    Global,
    /// `vrrp_script`.
    Script,
    /// `vrrp_instance`.
    Instance,
    /// `authentication` of an instance.
    Authentication,
    /// `auth_hmac` of an instance.
    AuthHmac,
    /// `vrrp_sync_group`.
    SyncGroup,
    /// `track_file` at the top.
    TrackFile,
    /// `vrrp_track_process`.
    TrackProcess,
    /// `bfd_instance`.
    Bfd,
    /// `garp_group`.
    GarpGroup,
    /// `track_group`.
    TrackGroup,
    /// `vrrp_check`.
    Check,
}

impl Context {
    /// The block's name, as the operator writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "the top level",
            Self::Global => "global_defs",
            Self::Script => "vrrp_script",
            Self::Instance => "vrrp_instance",
            Self::Authentication => "authentication",
            Self::AuthHmac => "auth_hmac",
            Self::SyncGroup => "vrrp_sync_group",
            Self::TrackFile => "track_file",
            Self::TrackProcess => "vrrp_track_process",
            Self::Bfd => "bfd_instance",
            Self::GarpGroup => "garp_group",
            Self::TrackGroup => "track_group",
            Self::Check => "vrrp_check",
        }
    }
}

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is understood; what this build does not do with it is in [`super::pending`].
    Implemented,
    /// It does nothing, and VRRP runs the same without it; the text says why.
    NoEffect(&'static str),
    /// Load balancing: out of scope.
    Lvs,
}

fn table(context: Context) -> &'static [(&'static str, Status)] {
    CONTEXTS.iter().find(|(of, _)| *of == context).map_or(&[], |(_, table)| table)
}

/// What becomes of `word` in `context`; `None` where it is unknown there.
#[must_use]
pub fn status(context: Context, word: &[u8]) -> Option<Status> {
    let table = table(context);
    let index = table.binary_search_by(|(name, _)| name.as_bytes().cmp(word)).ok()?;
    table.get(index).map(|(_, status)| *status)
}

/// The blocks in which `word` is known.
#[must_use]
pub fn homes(word: &[u8]) -> Vec<Context> {
    CONTEXTS.iter().map(|(context, _)| *context).filter(|context| status(*context, word).is_some()).collect()
}

/// The known word that was probably meant.
#[must_use]
pub fn nearest(context: Context, word: &str) -> Option<&'static str> {
    closest(word, table(context).iter().map(|(name, _)| *name))
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
