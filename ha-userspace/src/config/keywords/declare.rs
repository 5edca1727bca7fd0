//! The macros that the tables are written in.

/// Sets of words, each an enum with one variant for each word that is lowered.
///
/// `with` takes in the words of another set, with something before each where that is given. `done` and `not_yet` are
/// lowered; `no_effect` and `lvs` are only known, and have no variant. A row is
/// `Variant = "word": kind => Model.field;`: that the field exists is checked by the compiler, and what the word means
/// is said there.
macro_rules! words {
    ($(
        $(#[$doc:meta])*
        $set:ident {
            $(with { $($family:ident $($prefix:literal)?;)+ })?
            $(done { $(
                $name:ident = $word:literal: $kind:ident $(=> $($model:ident$(.$field:ident)+),+)?;
            )+ })?
            $(not_yet { $(
                $late:ident = $late_word:literal: $late_kind:ident => $late_model:ident$(.$late_field:ident)+, $what:literal;
            )+ })?
            $(no_effect { $($idle:literal: $why:ident;)+ })?
            $(lvs { $($lvs:literal;)+ })?
        }
    )+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $set {
            $($(#[doc = concat!("A word of [`", stringify!($family), "`].")] $family($family),)+)?
            $($(#[doc = concat!("`", $word, "`.")] $name,)+)?
            $($(#[doc = concat!("`", $late_word, "`.")] $late,)+)?
        }

        impl Words for $set {
            fn parse(word: &str) -> Option<Self> {
                match word {
                    $($($word => return Some(Self::$name),)+)?
                    $($($late_word => return Some(Self::$late),)+)?
                    _ => {}
                }
                $($(
                    let rest = word.strip_prefix(concat!($($prefix)?));
                    if let Some(found) = rest.and_then($family::parse) {
                        return Some(Self::$family(found));
                    }
                )+)?
                None
            }

            fn rows() -> Vec<Row> {
                gather(
                    &[$($((concat!($($prefix)?), $family::rows),)+)?],
                    &[
                        $($(($word, Status::Implemented(ValueKind::$kind)),)+)?
                        $($(($late_word, Status::NotYet(ValueKind::$late_kind, $what)),)+)?
                        $($(($idle, Status::NoEffect($why)),)+)?
                        $($(($lvs, Status::Lvs),)+)?
                    ],
                )
            }
        }

        $($($($(const _: fn(&model::$model) = |it| { let _ = &it$(.$field)+; };)+)?)+)?
        $($(const _: fn(&model::$late_model) = |it| { let _ = &it$(.$late_field)+; };)+)?
    )+};
}

/// The blocks of the language, by their names in messages; the words of each are the set of the same name.
macro_rules! blocks {
    ($($(#[$doc:meta])* $block:ident = $name:literal;)+) => {
        /// The block that a keyword stands in.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Block { $($(#[$doc])* $block,)+ }

        impl Block {
            /// The block's name, as the operator writes it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$block => $name,)+ }
            }
        }

        $(impl Keywords for $block {
            const BLOCK: Block = Block::$block;
        })+

        /// The words of every block, sorted.
        static BLOCKS: LazyLock<Vec<(Block, Vec<Row>)>> =
            LazyLock::new(|| vec![$((Block::$block, sorted::<$block>()),)+]);
    };
}

pub(super) use {blocks, words};
