//! What is lost where a host cannot do everything: one list, with the words for it.
//!
//! The log, `xvrrp status` and `xvrrp doctor` say the same thing in the same words, because they take them from here.
//! Why it is lost is said by whoever found out.

/// Something that a better host would give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lost {
    /// This router does not probe its master, so that the RFC's timers alone notice its death.
    FastFailover,
    /// Nothing closes the addresses of this node when its daemon dies or freezes.
    Fence,
    /// The same, but only for a daemon that dies: the program goes with it, because nothing is pinned.
    FenceAfterDeath,
    /// The kernel takes no program for frames of several buffers, so it refuses native mode where a large MTU makes those.
    MultiBuffer,
}

impl Lost {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::FastFailover => "fast_failover",
            Self::Fence => "fence",
            Self::FenceAfterDeath => "fence_after_death",
            Self::MultiBuffer => "multi_buffer",
        }
    }

    /// The words for people, to stand in a list.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::FastFailover => "no fast failover",
            Self::Fence => "no fence",
            Self::FenceAfterDeath => "no fence when the daemon dies",
            Self::MultiBuffer => "no native mode for frames of several buffers",
        }
    }
}

/// The words for people for a word in JSON; the same word where it is not known, as from a newer daemon.
#[must_use]
pub fn text_of(word: &str) -> &str {
    let all = [Lost::FastFailover, Lost::Fence, Lost::FenceAfterDeath, Lost::MultiBuffer];
    all.into_iter().find(|lost| lost.word() == word).map_or(word, |lost| lost.text())
}

/// All that goes with XDP.
pub const WITHOUT_XDP: [Lost; 2] = [Lost::FastFailover, Lost::Fence];

/// `no fast failover, no fence`.
#[must_use]
pub fn list(lost: &[Lost]) -> String {
    lost.iter().map(|lost| lost.text()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_losses_are_one_clause() {
        assert_eq!(list(&WITHOUT_XDP), "no fast failover, no fence");
        assert_eq!(list(&[Lost::FenceAfterDeath]), "no fence when the daemon dies");
        assert_eq!(list(&[]), "");
    }
}
