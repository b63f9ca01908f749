//! Inline commands: words split by space with quotes, by the rules of Redis's sdssplitargs.

use super::command::Span;

/// C's isspace in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Splits `line` into words; unescaped words go to `text`, their places in it to `words`.
/// `None`: the quotes do not balance.
pub(super) fn split(line: &[u8], text: &mut Vec<u8>, words: &mut Vec<Span>) -> Option<()> {
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&byte| is_space(byte)) {
            at += 1;
        }
        if matches!(line.get(at), None | Some(0)) {
            return Some(());
        }
        let start = text.len();
        at = word(line, at, text)?;
        words.push(Span::new(start, text.len()));
    }
}

/// Reads one word from `at`; gives where it ends.
fn word(line: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at) {
            None | Some(0) => return Some(at),
            Some(&byte) if is_space(byte) => return Some(at),
            Some(b'"') => return double_quoted(line, at + 1, text),
            Some(b'\'') => return single_quoted(line, at + 1, text),
            Some(&byte) => text.push(byte),
        }
        at += 1;
    }
}

/// After a closing quote there must be a space or the end.
fn closed(line: &[u8], at: usize) -> Option<usize> {
    line.get(at).is_none_or(|&byte| is_space(byte) || byte == 0).then_some(at)
}

fn double_quoted(line: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at..)? {
            [] | [0, ..] => return None,
            [b'"', ..] => return closed(line, at + 1),
            [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                text.push(nibble(*high) << 4 | nibble(*low));
                at += 4;
            }
            [b'\\', escaped, ..] if *escaped != 0 => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                at += 2;
            }
            [byte, ..] => {
                text.push(*byte);
                at += 1;
            }
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    loop {
        match line.get(at..)? {
            [] | [0, ..] => return None,
            [b'\'', ..] => return closed(line, at + 1),
            [b'\\', b'\'', ..] => {
                text.push(b'\'');
                at += 2;
            }
            [byte, ..] => {
                text.push(*byte);
                at += 1;
            }
        }
    }
}

/// The value of one hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<Vec<u8>>> {
        let (mut text, mut spans) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut text, &mut spans)?;
        Some(spans.iter().map(|span| span.of(&text).to_vec()).collect())
    }

    #[test]
    fn words_are_split_and_unescaped_as_redis_does() {
        assert_eq!(words("  a  b\t"), Some(vec![b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(words(r#""a b" '' 'it\'s'"#), Some(vec![b"a b".to_vec(), vec![], b"it's".to_vec()]));
        assert_eq!(words(r#""\x41\n\q\"" "#), Some(vec![b"A\nq\"".to_vec()]));
        assert_eq!(words(r#"k"v""#), Some(vec![b"kv".to_vec()]));
        assert_eq!(words(""), Some(vec![]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [r#""abc"#, "'abc", r#""""k""" v"#, r#""a"b"#, "'a'b", r#""abc\"#] {
            assert_eq!(words(line), None, "{line}");
        }
    }
}
