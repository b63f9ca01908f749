//! Subjects: tokens apart by dots, with the wildcards `*` (one token) and `>` (one or more, at the end).

/// The tokens of a subject.
#[inline]
pub fn tokens(subject: &[u8]) -> impl Iterator<Item = &[u8]> {
    subject.split(|&byte| byte == b'.')
}

/// Whether this may be subscribed to: no empty token, no white space, `>` only at the end.
#[must_use]
pub fn is_valid_pattern(pattern: &[u8]) -> bool {
    let mut ended = false;
    for token in tokens(pattern) {
        if ended || token.is_empty() || token.iter().any(u8::is_ascii_whitespace) {
            return false;
        }
        ended = token == b">";
    }
    true
}

/// Whether some token is a wildcard. `foo*` is not.
#[must_use]
pub fn has_wildcard(pattern: &[u8]) -> bool {
    memchr::memchr2(b'*', b'>', pattern).is_some() && tokens(pattern).any(is_wildcard)
}

/// Whether this may be published to, strictly: a pattern without wildcards.
#[must_use]
pub fn is_valid_literal(subject: &[u8]) -> bool {
    is_valid_pattern(subject) && !has_wildcard(subject)
}

fn is_wildcard(token: &[u8]) -> bool {
    matches!(token, b"*" | b">")
}

/// Whether a literal subject matches a pattern.
#[must_use]
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    let mut subject = tokens(subject);
    for token in tokens(pattern) {
        match (token, subject.next()) {
            (_, None) => return false,
            (b">", Some(_)) => return true,
            (b"*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

/// Whether every subject that matches `inner` matches `outer`.
#[must_use]
pub fn covers(outer: &[u8], inner: &[u8]) -> bool {
    let mut inner = tokens(inner);
    for token in tokens(outer) {
        match (token, inner.next()) {
            (_, None) => return false,
            (b">", Some(_)) => return true,
            (b"*", Some(other)) if other != b">" => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    inner.next().is_none()
}

/// Whether some subject matches both patterns.
#[must_use]
pub fn overlap(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (tokens(one), tokens(other));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (None, _) | (_, None) => return false,
            (Some(b">"), Some(_)) | (Some(_), Some(b">")) => return true,
            (Some(a), Some(b)) if is_wildcard(a) || is_wildcard(b) || a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn validity_is_that_of_the_server() {
        for good in ["a", "a.b", "a.*", "*", ">", "a.>", "foo*", "a.b>c", "$JS.API.>"] {
            assert!(is_valid_pattern(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a.>.b", ">.a", "a b", "a\t"] {
            assert!(!is_valid_pattern(bad.as_bytes()), "{bad}");
        }
        assert!(is_valid_literal(b"foo*"));
        assert!(!is_valid_literal(b"foo.*"));
    }

    #[test]
    fn wildcards_match_tokens() {
        for (pattern, subject, expected) in [
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
            ("foo*", "foobar", false),
            ("foo*", "foo*", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), subject.as_bytes()), expected, "{pattern} {subject}");
        }
    }

    fn pattern() -> impl Strategy<Value = String> {
        let token = prop_oneof![Just("a"), Just("b"), Just("*")];
        (proptest::collection::vec(token, 1..4), any::<bool>()).prop_map(|(mut tokens, tail)| {
            if tail {
                tokens.push(">");
            }
            tokens.join(".")
        })
    }

    proptest! {
        #[test]
        fn patterns_overlap_exactly_if_a_subject_matches_both(one in pattern(), other in pattern()) {
            let mut subjects = vec![String::new()];
            let mut found = false;
            for _ in 0..5 {
                subjects = subjects.iter().flat_map(|head| ["a", "b"].map(|token| {
                    if head.is_empty() { token.to_owned() } else { format!("{head}.{token}") }
                })).collect();
                found |= subjects.iter().any(|subject| {
                    matches(one.as_bytes(), subject.as_bytes()) && matches(other.as_bytes(), subject.as_bytes())
                });
            }
            prop_assert_eq!(overlap(one.as_bytes(), other.as_bytes()), found);
        }

        #[test]
        fn what_is_covered_is_matched(outer in pattern(), inner in pattern(), subject in "[ab](\\.[ab]){0,4}") {
            if covers(outer.as_bytes(), inner.as_bytes()) && matches(inner.as_bytes(), subject.as_bytes()) {
                prop_assert!(matches(outer.as_bytes(), subject.as_bytes()));
            }
        }
    }
}
