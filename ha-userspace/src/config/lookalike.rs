//! Characters that come into a file from a web page or a word processor: they cannot be seen, or look like another.
//!
//! keepalived takes them for letters, and so does this parser: a keyword with one in it is another word. They are named
//! with their place; nothing is replaced.

/// What the character is called, where it is one of them.
pub(super) fn name(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{00a0}' => "no-break space",
        '\u{00ad}' => "soft hyphen",
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' => "wide or narrow space",
        '\u{200b}' => "zero-width space",
        '\u{200c}' | '\u{200d}' => "zero-width joiner",
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "mark of the writing direction"
        }
        '\u{2028}' | '\u{2029}' | '\u{0085}' => "line separator",
        '\u{202f}' => "narrow no-break space",
        '\u{2060}' => "word joiner",
        '\u{3000}' => "ideographic space",
        '\u{feff}' => "byte order mark",
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2039}' | '\u{203a}' | '\u{00b4}' => {
            "typographic apostrophe"
        }
        '\u{201c}'..='\u{201f}' | '\u{00ab}' | '\u{00bb}' => "typographic quote",
        '\u{2010}'..='\u{2015}' | '\u{2212}' => "typographic dash",
        '\u{ff01}'..='\u{ff5e}' => "full-width character",
        _ => return None,
    })
}

/// What to type in its place.
pub(super) fn instead(character: char) -> &'static str {
    match name(character) {
        Some("typographic apostrophe") => "'",
        Some("typographic quote") => "\"",
        Some("typographic dash") => "-",
        Some(name) if name.ends_with("space") => "an ordinary blank",
        Some("full-width character") => "the ordinary character",
        _ => "nothing",
    }
}

/// The first of them in a line, with the position of its first byte. Bytes that are not UTF-8 are passed over.
pub(super) fn first(line: &[u8]) -> Option<(usize, char)> {
    let mut at = 0;
    for chunk in line.utf8_chunks() {
        let found = chunk.valid().char_indices().find(|(_, character)| name(*character).is_some());
        if let Some((offset, character)) = found {
            return Some((at + offset, character));
        }
        at += chunk.valid().len() + chunk.invalid().len();
    }
    None
}
