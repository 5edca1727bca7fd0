//! Secrets that stand in files of their own, behind `file:`: those of `auth_hmac`, `auth_pass` and `fast_key`.
//!
//! What is in such a file is never repeated in a message.

use std::path::Path;

use super::context::Context;
use crate::config::codes;
use crate::config::diag::Diagnostic;
use crate::config::files;
use crate::config::lexer::Word;

/// More than any secret needs.
const MAX_FILE: u64 = 4096;

/// What stands behind `file:` in `word`, if that is there.
pub(super) fn path(word: &Word) -> Option<&[u8]> {
    word.bytes.strip_prefix(b"file:")
}

/// What the file holds, without white space at its end. Warns where others can come by it.
///
/// # Errors
/// Why it cannot be had.
pub(super) fn read(path: &[u8], word: &Word, cx: &mut Context) -> Result<Vec<u8>, String> {
    let path = String::from_utf8_lossy(path).into_owned();
    if path.is_empty() || path.contains('\0') {
        return Err("file: has no path behind it".to_owned());
    }
    let (bytes, exposed) = files::read_secret(Path::new(&path), MAX_FILE)
        .map_err(|error| format!("the key file {path} cannot be read: {error}"))?;
    if let Some(exposed) = exposed {
        cx.push(
            Diagnostic::warning(codes::KEY_FILE_OPEN, word.span, format!("the key file {path} {exposed}"))
                .label("it is used all the same, as by keepalived")
                .help(format!("run: chown root: {path} && chmod 600 {path}")),
        );
    }
    Ok(bytes.trim_ascii_end().to_vec())
}
