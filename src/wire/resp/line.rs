//! Lines and the decimal numbers in them.

use memchr::memchr2;

/// Reads a number exactly as Redis's string2ll does: an optional `-`, no `+`, no leading zero, no spaces,
/// within 64 bits.
#[must_use]
pub(super) fn strict_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [] => return None,
        [b'0'] => return if negative { None } else { Some(0) },
        [b'0', ..] => return None,
        _ => {}
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        // Counted downwards, since i64::MIN has no positive twin.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// A short canonical length followed by CRLF, from `at`: its value and where the next byte is. `None` says
/// "not so simple": read it the slow way.
#[inline]
pub(super) fn short_length(buf: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0usize;
    let mut next = at;
    while let Some(&byte) = buf.get(next) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            let canonical = next > at && (buf[at] != b'0' || next == at + 1);
            let ended = byte == b'\r' && buf.get(next + 1) == Some(&b'\n');
            return (canonical && ended).then_some((value, next + 2));
        }
        if next - at == 9 {
            return None;
        }
        value = value * 10 + usize::from(digit);
        next += 1;
    }
    None
}

/// Where the first `end` byte is. Redis looks with strchr, for which a NUL ends the text.
#[inline]
pub(super) fn line_end(buf: &[u8], end: u8) -> Option<usize> {
    memchr2(end, 0, buf).filter(|&at| buf[at] == end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_as_strict_as_redis_wants_them() {
        for bad in ["", "-", "+1", "01", "-0", "00", " 1", "1 ", "1a", "9223372036854775808"] {
            assert_eq!(strict_i64(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(strict_i64(b"-9223372036854775808"), Some(i64::MIN));
    }

    proptest! {
        #[test]
        fn every_number_is_read_back(value: i64) {
            prop_assert_eq!(strict_i64(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn the_short_way_agrees_with_the_strict_one(text in "[0-9]{1,12}") {
            let line = format!("{text}\r\n");
            if let Some((value, next)) = short_length(line.as_bytes(), 0) {
                prop_assert_eq!(strict_i64(text.as_bytes()), i64::try_from(value).ok());
                prop_assert_eq!(next, line.len());
            }
        }
    }
}
