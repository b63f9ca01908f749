//! Control lines: verbs in any case, arguments apart by spaces and tabs, numbers.

use memchr::memchr;

/// Most arguments a control line may have.
pub(super) const MAX_ARGS: usize = 4;

/// The control line that `buf` begins with: its text without CR and LF, and where the next byte is.
#[inline]
pub(super) fn line(buf: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', buf)?;
    let text = &buf[..end];
    Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1))
}

/// Whether `text` begins with `verb` (upper case) in any case.
#[inline]
pub(super) fn has_verb(text: &[u8], verb: &[u8]) -> bool {
    text.get(..verb.len()).is_some_and(|head| head.eq_ignore_ascii_case(verb))
}

/// Whether `text` may still become a line that begins with `verb`.
pub(super) fn may_become(text: &[u8], verb: &[u8]) -> bool {
    let length = text.len().min(verb.len());
    text[..length].eq_ignore_ascii_case(&verb[..length])
}

/// Splits a line's arguments; `None` if there are more than [`MAX_ARGS`].
#[inline]
pub(super) fn arguments(text: &[u8]) -> Option<([&[u8]; MAX_ARGS], usize)> {
    let mut args: [&[u8]; MAX_ARGS] = [&[]; MAX_ARGS];
    let mut count = 0;
    let mut start = None;
    for (at, &byte) in text.iter().enumerate() {
        if matches!(byte, b' ' | b'\t' | b'\r') {
            if let Some(from) = start.take() {
                *args.get_mut(count)? = &text[from..at];
                count += 1;
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(from) = start {
        *args.get_mut(count)? = &text[from..];
        count += 1;
    }
    Some((args, count))
}

/// A size: decimal digits only, below 10^9 times ten.
#[inline]
pub(super) fn size(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 10 {
        return None;
    }
    text.iter().try_fold(0usize, |value, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit <= 9).then(|| value * 10 + usize::from(digit))
    })
}
