//! Glob patterns with the meaning Redis gives them (stringmatchlen), without its recursion: only the last
//! star is ever tried again, so a match takes at most pattern × text steps, whatever the pattern.

/// Whether `text` matches `pattern`: `*`, `?`, `[a-c]`, `[^x]`, and `\` before a literal. `nocase` for the
/// names of settings.
pub(super) fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        // As in Redis, where not even `*` matches nothing.
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and the first byte of text not given to it.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
        } else if let Some(next) = one(&pattern[p..], text[t], nocase) {
            p += next;
            t += 1;
        } else if let Some((star, taken)) = retry {
            p = star;
            t = taken + 1;
            retry = Some((star, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte with the first element of `pattern`; gives that element's length.
fn one(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', rest @ ..] => class(rest, byte, nocase).map(|length| length + 1),
        [b'\\', literal, ..] => same(*literal, byte, nocase).then_some(2),
        [literal, ..] => same(*literal, byte, nocase).then_some(1),
    }
}

fn same(a: u8, b: u8, nocase: bool) -> bool {
    a == b || (nocase && a.eq_ignore_ascii_case(&b))
}

/// What stands behind `[`; an unclosed class reaches to the end of the pattern.
fn class(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= same(*literal, byte, nocase);
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= in_range(*low, *high, byte, nocase);
                at += 3;
            }
            [literal, ..] => {
                found |= same(*literal, byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

/// Bytes are compared as C's signed char, as Redis does.
fn in_range(low: u8, high: u8, byte: u8, nocase: bool) -> bool {
    let fold = |byte: u8| (if nocase { byte.to_ascii_lowercase() } else { byte }).cast_signed();
    let (low, high, byte) = (fold(low), fold(high), fold(byte));
    (low.min(high)..=low.max(high)).contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The plain recursive definition.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', rest @ ..], []) => slow(rest, text),
            ([b'*', rest @ ..], [_, tail @ ..]) => slow(rest, text) || slow(pattern, tail),
            (_, []) => false,
            (_, [byte, tail @ ..]) => one(pattern, *byte, false).is_some_and(|n| slow(&pattern[n..], tail)),
        }
    }

    #[test]
    fn patterns_mean_what_they_mean_in_redis() {
        for (pattern, text, expected) in [
            ("*", "a", true),
            ("*", "", false),
            ("", "", true),
            ("a*", "a", true),
            ("h?llo", "hello", true),
            ("h[^e]llo", "hello", false),
            ("h[a-e]llo", "hello", true),
            ("h[e-a]llo", "hello", true),
            ("h\\?llo", "h?llo", true),
            ("h\\?llo", "hello", false),
            ("[abc", "c", true),
            ("[\\]]", "]", true),
            ("a\\", "a\\", true),
            ("a**b", "axxb", true),
            ("news.*.uk", "news.sport.uk", true),
            ("news.*.uk", "news.sport.fr", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), expected, "{pattern:?} {text:?}");
        }
        assert!(matches(b"MAX*", b"maxclients", true));
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer_than_pattern_times_text() {
        let pattern = "a*".repeat(5_000) + "b";
        let text = "a".repeat(20_000);
        assert!(!matches(pattern.as_bytes(), text.as_bytes(), false));
    }

    proptest! {
        #[test]
        fn the_quick_way_agrees_with_the_definition(pattern in "[ab*?\\[\\]^\\\\-]{0,10}", text in "[ab\\[\\-]{1,10}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), false), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
