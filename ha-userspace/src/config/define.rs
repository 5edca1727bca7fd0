//! `$NAME=value` and the predefined names.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use super::text::is_space;

/// What `$NAME` stands for. Values are replaced when used, not when defined.
#[derive(Debug)]
pub struct Definitions {
    values: HashMap<Vec<u8>, Vec<u8>>,
    instance: String,
    random: u64,
}

/// A use of a definition in a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Use {
    /// `$NAME` or `${NAME …}`.
    pub range: Range<usize>,
    /// What it stands for.
    pub value: Vec<u8>,
}

/// A predefined name whose value cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub struct Missing {
    /// The use.
    pub range: Range<usize>,
    /// The environment variable.
    pub name: String,
}

impl Definitions {
    /// No definitions yet. `seed` makes `${_RANDOM}` repeatable.
    #[must_use]
    pub fn new(instance: &str, seed: u64) -> Self {
        Self { values: HashMap::new(), instance: instance.to_owned(), random: seed | 1 }
    }

    /// Start the sequence of `${_RANDOM}` anew.
    pub fn seed(&mut self, seed: u64) {
        self.random = seed | 1;
    }

    /// Define a name, or change its value.
    pub fn set(&mut self, name: &[u8], value: Vec<u8>) {
        self.values.insert(name.to_vec(), value);
    }

    /// The first use at or behind `from` whose name is defined. Undefined names stay as they are.
    pub fn find(&mut self, line: &[u8], from: usize, directory: &Path) -> Result<Option<Use>, Missing> {
        let mut at = from;
        while let Some(found) = line.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'$')) {
            let dollar = at + found;
            at = dollar + 1;
            let rest = line.get(at..).unwrap_or_default();
            let (name, arguments, end) = if rest.first() == Some(&b'{') {
                let Some(close) = rest.iter().position(|byte| *byte == b'}') else { continue };
                let inner = rest.get(1..close).unwrap_or_default();
                let name = inner.get(..name_length(inner)).unwrap_or_default();
                (name, inner.get(name.len()..).unwrap_or_default(), at + close + 1)
            } else {
                let name = rest.get(..name_length(rest)).unwrap_or_default();
                let next = rest.get(name.len());
                // Braces and quotes end a word as well as white space does.
                if !next.is_none_or(|byte| is_space(*byte) || matches!(byte, b'\n' | b'"' | b'{' | b'}')) {
                    continue;
                }
                (name, [].as_slice(), at + name.len())
            };
            if name.is_empty() {
                continue;
            }
            let range = dollar..end;
            if let Some(value) = self.predefined(name, arguments, directory, &range)? {
                return Ok(Some(Use { range, value }));
            }
            if let Some(value) = self.values.get(name).filter(|_| arguments.is_empty()) {
                return Ok(Some(Use { range, value: value.clone() }));
            }
        }
        Ok(None)
    }

    fn predefined(
        &mut self,
        name: &[u8],
        arguments: &[u8],
        directory: &Path,
        range: &Range<usize>,
    ) -> Result<Option<Vec<u8>>, Missing> {
        let mut words = arguments.split(|byte| is_space(*byte)).filter(|word| !word.is_empty());
        Ok(match name {
            b"_PWD" => Some(std::os::unix::ffi::OsStrExt::as_bytes(directory.as_os_str()).to_vec()),
            b"_INSTANCE" => Some(self.instance.clone().into_bytes()),
            b"_HASH" => Some(b"#".to_vec()),
            b"_BANG" => Some(b"!".to_vec()),
            b"_RANDOM" => {
                let mut bound = |default| match words.next() {
                    None => Some(default),
                    Some(word) => std::str::from_utf8(word).ok().and_then(|word| word.parse::<u32>().ok()),
                };
                match (bound(0), bound(32767)) {
                    (Some(low), Some(high)) if low <= high => {
                        Some(self.random(low, high).to_string().into_bytes())
                    }
                    _ => None,
                }
            }
            b"_ENV" => {
                let variable = String::from_utf8_lossy(words.next().unwrap_or_default()).into_owned();
                // std's lookup must not see these.
                let usable = !variable.is_empty() && !variable.contains(['=', '\0']);
                let value = usable.then(|| std::env::var_os(&variable)).flatten();
                let value = value.map(std::os::unix::ffi::OsStringExt::into_vec);
                // A value cannot smuggle in lines: the file would not be what the operator reads.
                match value.filter(|value| !value.contains(&b'\n')) {
                    Some(value) => Some(value),
                    None => return Err(Missing { range: range.clone(), name: variable }),
                }
            }
            _ => None,
        })
    }

    /// SplitMix64; any spread over the range will do.
    fn random(&mut self, low: u32, high: u32) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let width = u64::from(high - low) + 1;
        low.saturating_add(u32::try_from(z % width).unwrap_or_default())
    }
}

/// Length of the name at the start of `text`: letters, digits and `_`, no digit first.
#[must_use]
pub fn name_length(text: &[u8]) -> usize {
    if text.first().is_some_and(u8::is_ascii_digit) {
        return 0;
    }
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count()
}

/// `$NAME=` at the start of a line: the name, and where the value starts.
#[must_use]
pub fn definition(line: &[u8]) -> Option<(&[u8], usize)> {
    let rest = line.strip_prefix(b"$")?;
    let length = name_length(rest);
    (length > 0 && rest.get(length) == Some(&b'='))
        .then(|| (rest.get(..length).unwrap_or_default(), length + 2))
}
