//! Subjects turned into others: a source pattern, and a destination whose tokens may be made of those that the
//! pattern's wildcards stood for.

use crate::wire::nats::subject::{is_valid_pattern, matches, tokens};

/// From which end of a token is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// What is done with one token.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    /// Taken as it is.
    Whole,
    /// Cut in two, so many bytes from a side.
    Cut(Side, usize),
    /// Cut into pieces of so many bytes; what is left over is at the other side.
    Slice(Side, usize),
    /// Cut at each place where this stands.
    Split(Box<[u8]>),
    /// So many bytes of a side alone.
    End(Side, usize),
}

/// One token of a destination. Numbers of tokens are places in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Token(usize, Work),
    /// A number below `count`, by the hash of some tokens.
    Partition {
        of: Vec<usize>,
        count: u32,
    },
    /// All that the source's `>` stood for.
    Rest,
}

/// A map from subjects to subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubjectMap {
    source: Box<[u8]>,
    source_tokens: usize,
    pieces: Vec<Piece>,
}

/// Why a map makes no sense, in the words of nats-server.
type Refusal = String;

const BAD_SUBJECT: &str = "invalid subject";

fn wrong(why: &str, token: &str) -> Refusal {
    format!("invalid mapping destination: {why} in {token}")
}

/// What a function asks for, with numbers of wildcards still.
#[derive(Debug)]
enum Asked {
    Text,
    Token(usize, Work),
    Partition(Vec<usize>, u32),
}

/// Whether a function's name is made of these words, each of which may begin with a capital.
fn is_named(name: &str, words: &[&str]) -> bool {
    let mut rest = name;
    let fits = words.iter().all(|word| {
        let Some((own, tail)) = rest.split_at_checked(word.len()) else { return false };
        rest = tail;
        own.get(1..) == word.get(1..) && own.eq_ignore_ascii_case(word)
    });
    fits && rest.is_empty()
}

/// Name and arguments of `{{name(arguments)}}`.
fn call(token: &str) -> Option<(&str, Vec<&str>)> {
    let inner = token.strip_prefix("{{")?.strip_suffix("}}")?;
    let (name, rest) = inner.trim().split_once('(')?;
    let arguments = rest.strip_suffix(')')?;
    Some((name.trim_end(), arguments.split(',').map(|argument| argument.trim_start()).collect()))
}

fn looks_like_a_call(token: &str) -> bool {
    token.len() > 4 && token.starts_with("{{") && token.ends_with("}}")
}

fn number<T: std::str::FromStr>(argument: &str, token: &str) -> Result<T, Refusal> {
    let invalid = "function argument is invalid or in the wrong format";
    argument.trim_matches(' ').parse().map_err(|_| wrong(invalid, token))
}

/// As many arguments as a function takes.
fn exactly<'a, const N: usize>(arguments: &[&'a str], token: &str) -> Result<[&'a str; N], Refusal> {
    let none = arguments == [""];
    if arguments.len() < N || none {
        return Err(wrong("not enough arguments passed to the function", token));
    }
    arguments.try_into().map_err(|_| wrong("too many arguments passed to the function", token))
}

/// A size of none makes a function do nothing.
fn sized(size: i32, work: impl Fn(usize) -> Work) -> Work {
    usize::try_from(size).ok().filter(|&size| size > 0).map_or(Work::Whole, work)
}

/// The words of a function's name, and what it does with a size.
type Function = (&'static [&'static str], fn(usize) -> Work);

/// What a token of a destination asks for.
fn read(token: &str) -> Result<Asked, Refusal> {
    if let Some(index) = token.strip_prefix('$').and_then(|index| index.parse().ok()) {
        return Ok(Asked::Token(index, Work::Whole));
    }
    if !looks_like_a_call(token) {
        return Ok(Asked::Text);
    }
    let unknown = || wrong("unknown function", token);
    let (name, arguments) = call(token).ok_or_else(unknown)?;
    if is_named(name, &["wildcard"]) {
        let [index] = exactly(&arguments, token)?;
        return Ok(Asked::Token(number(index, token)?, Work::Whole));
    }
    if is_named(name, &["partition"]) {
        let Some((count, of)) = arguments.split_first().filter(|(_, of)| !of.is_empty()) else {
            return Err(wrong("not enough arguments passed to the function", token));
        };
        let of: Result<Vec<usize>, Refusal> = of.iter().map(|index| number(index, token)).collect();
        return Ok(Asked::Partition(of?, number::<u32>(count, token)?.max(1)));
    }
    if is_named(name, &["split"]) {
        let [index, at] = exactly(&arguments, token)?;
        if at.contains([' ', '.']) {
            return Err(wrong("function argument is invalid or in the wrong format", token));
        }
        return Ok(Asked::Token(number(index, token)?, Work::Split(at.as_bytes().into())));
    }
    let functions: [Function; 6] = [
        (&["split", "from", "left"], |size| Work::Cut(Side::Left, size)),
        (&["split", "from", "right"], |size| Work::Cut(Side::Right, size)),
        (&["slice", "from", "left"], |size| Work::Slice(Side::Left, size)),
        (&["slice", "from", "right"], |size| Work::Slice(Side::Right, size)),
        (&["left"], |size| Work::End(Side::Left, size)),
        (&["right"], |size| Work::End(Side::Right, size)),
    ];
    let (_, work) = functions.iter().find(|(words, _)| is_named(name, words)).ok_or_else(unknown)?;
    let [index, size] = exactly(&arguments, token)?;
    Ok(Asked::Token(number(index, token)?, sized(number(size, token)?, work)))
}

/// Whether every token is there and `>` is the last one.
fn is_whole(subject: &str) -> bool {
    let mut ended = false;
    subject.split('.').all(|token| {
        let fine = !ended && !token.is_empty();
        ended = token == ">";
        fine
    })
}

impl SubjectMap {
    /// A map; `None` if the destination is empty, which leaves subjects as they are. An empty source is all.
    pub(super) fn new(source: &str, destination: &str) -> Result<Option<Self>, Refusal> {
        if destination.is_empty() {
            return Ok(None);
        }
        let source = if source.is_empty() { ">" } else { source };
        let open = |subject: &str| subject == ">" || subject.ends_with(".>");
        let starred = destination.split('.').any(|token| token == "*");
        if !is_whole(source) || !is_whole(destination) || starred || open(source) != open(destination) {
            return Err(BAD_SUBJECT.to_owned());
        }
        let wildcards: Vec<usize> = source
            .split('.')
            .enumerate()
            .filter(|(_, token)| *token == "*")
            .map(|(place, _)| place)
            .collect();
        let pieces: Result<Vec<Piece>, Refusal> =
            destination.split('.').map(|token| piece(token, &wildcards)).collect();
        Ok(Some(Self {
            source: source.as_bytes().into(),
            source_tokens: source.split('.').count(),
            pieces: pieces?,
        }))
    }

    /// What is wrong with a map for a stream's configuration: nats-server takes fewer functions there.
    pub(super) fn check(source: &str, destination: &str) -> Result<(), Refusal> {
        for token in destination.split('.').filter(|_| !destination.is_empty()) {
            let ends = |(name, _): (&str, Vec<&str>)| is_named(name, &["left"]) || is_named(name, &["right"]);
            if token.is_empty() {
                return Err(wrong("invalid transform", token));
            }
            if looks_like_a_call(token) {
                if call(token).is_none_or(ends) {
                    return Err(wrong("unknown function", token));
                }
            } else if token.contains(|c: char| c.is_ascii_whitespace()) {
                return Err("invalid mapping destination: invalid transform".to_owned());
            }
        }
        Self::new(source, destination).map(drop)
    }

    /// The subject that one is mapped to; `None` if it does not match the source.
    pub(super) fn apply(&self, subject: &[u8]) -> Option<Vec<u8>> {
        if !is_valid_pattern(subject) || !matches(&self.source, subject) {
            return None;
        }
        let given: Vec<&[u8]> = tokens(subject).collect();
        let mut out = Vec::with_capacity(subject.len() + 16);
        for piece in &self.pieces {
            if !out.is_empty() {
                out.push(b'.');
            }
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Token(place, work) => {
                    work.append(&mut out, given.get(*place).copied().unwrap_or_default())
                }
                Piece::Partition { of, count } => {
                    let all: Vec<u8> = of
                        .iter()
                        .filter_map(|&place| given.get(place))
                        .flat_map(|token| token.to_vec())
                        .collect();
                    out.extend_from_slice((fnv1a(&all) % count).to_string().as_bytes());
                }
                Piece::Rest => {
                    let rest = given.get(self.source_tokens - 1..).unwrap_or_default();
                    out.extend_from_slice(&rest.join(&b'.'));
                }
            }
        }
        Some(out)
    }
}

fn piece(token: &str, wildcards: &[usize]) -> Result<Piece, Refusal> {
    let range = "wildcard index out of range";
    let asked = read(token)?;
    if wildcards.is_empty() && !matches!(asked, Asked::Text) {
        return Err(wrong(range, token));
    }
    let place = |index: usize| match index.checked_sub(1) {
        // To nats-server a wildcard before the first one is the first token.
        None => Ok(0),
        Some(index) if index < wildcards.len() => Ok(wildcards[index]),
        Some(_) => Err(format!("{}: [{index}]", wrong(range, token))),
    };
    Ok(match asked {
        Asked::Text if token == ">" => Piece::Rest,
        Asked::Text => Piece::Text(token.as_bytes().into()),
        Asked::Token(index, work) => Piece::Token(place(index)?, work),
        Asked::Partition(of, count) => {
            let of: Result<Vec<usize>, Refusal> = of.into_iter().map(place).collect();
            Piece::Partition { of: of?, count }
        }
    })
}

/// FNV-1a of 32 bits, by which nats-server chooses partitions.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Work {
    fn append(&self, out: &mut Vec<u8>, token: &[u8]) {
        let length = token.len();
        // A token that is no longer than what is asked for stays whole.
        match self {
            Self::Cut(side, at) if *at < length => {
                let middle = if *side == Side::Left { *at } else { length - at };
                out.extend_from_slice(&[&token[..middle], &token[middle..]].join(&b'.'));
            }
            Self::Slice(Side::Left, size) if *size < length => {
                let pieces: Vec<&[u8]> = token.chunks(*size).collect();
                out.extend_from_slice(&pieces.join(&b'.'));
            }
            Self::Slice(Side::Right, size) if *size < length => {
                let mut pieces: Vec<&[u8]> = token.rchunks(*size).collect();
                pieces.reverse();
                out.extend_from_slice(&pieces.join(&b'.'));
            }
            Self::Split(at) => {
                let text = String::from_utf8_lossy(token);
                let pieces: Vec<&str> =
                    text.split(&*String::from_utf8_lossy(at)).filter(|piece| !piece.is_empty()).collect();
                out.extend_from_slice(pieces.join(".").as_bytes());
            }
            Self::End(Side::Left, size) if *size < length => out.extend_from_slice(&token[..*size]),
            Self::End(Side::Right, size) if *size < length => out.extend_from_slice(&token[length - size..]),
            _ => out.extend_from_slice(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(source: &str, destination: &str, subject: &str) -> Option<String> {
        let map = SubjectMap::new(source, destination).unwrap().unwrap();
        map.apply(subject.as_bytes()).map(|subject| String::from_utf8(subject).unwrap())
    }

    #[test]
    fn wildcards_go_where_the_destination_wants_them() {
        for (source, destination, subject, expected) in [
            ("a.*.*", "b.$2.{{wildcard(1)}}", "a.x.y", "b.y.x"),
            ("a.>", "b.>", "a.x.y", "b.x.y"),
            ("", "p.>", "x.y", "p.x.y"),
            (">", ">", "x.y", "x.y"),
            ("a.*.>", "{{Wildcard(1)}}.q.>", "a.k.x.y", "k.q.x.y"),
            ("a", "b", "a", "b"),
            ("*", "{{SplitFromLeft(1,3)}}", "12345", "123.45"),
            ("*", "{{splitfromright(1, 3)}}", "12345", "12.345"),
            ("*", "{{SplitFromLeft(1,9)}}", "12345", "12345"),
            ("*", "{{SliceFromLeft(1,2)}}", "12345", "12.34.5"),
            ("*", "{{ SliceFromRight( 1 , 2 ) }}", "12345", "1.23.45"),
            ("*", "{{split(1,-)}}", "-a--b-c-", "a.b.c"),
            ("*", "{{left(1,2)}}.{{right(1,2)}}", "12345", "12.45"),
            ("*", "{{split(1,)}}", "abc", "a.b.c"),
            ("*", "$x.$1.$0", "a", "$x.a.a"),
        ] {
            assert_eq!(
                mapped(source, destination, subject).as_deref(),
                Some(expected),
                "{source} {destination}"
            );
        }
        assert_eq!(mapped("a.*", "b.$1", "c.x"), None);
        assert_eq!(SubjectMap::new("a", "").unwrap(), None);
    }

    #[test]
    fn partitions_are_those_of_the_server() {
        // Seen at nats-server 2.11.11.
        for (subject, expected) in [("a.x", "p.x.0"), ("a.y", "p.y.1"), ("a.hello", "p.hello.0")] {
            assert_eq!(
                mapped("a.*", "p.{{wildcard(1)}}.{{partition(3,1)}}", subject).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn refusals_are_worded_as_the_server_does() {
        for (source, destination, why) in [
            ("a.*", "b.*", "invalid subject"),
            ("a.*", "b.>", "invalid subject"),
            ("a.*", "b.{{foo(1)}}", "invalid mapping destination: unknown function in {{foo(1)}}"),
            ("a.*", "b.$2", "invalid mapping destination: wildcard index out of range in $2: [2]"),
            ("w", "b.$1", "invalid mapping destination: wildcard index out of range in $1"),
            ("a.*", "{{left(1,2)}}", "invalid mapping destination: unknown function in {{left(1,2)}}"),
            (
                "a.*",
                "{{split(1)}}",
                "invalid mapping destination: not enough arguments passed to the function in {{split(1)}}",
            ),
            (
                "a.*",
                "{{wildcard(x)}}",
                "invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(x)}}",
            ),
        ] {
            assert_eq!(SubjectMap::check(source, destination).unwrap_err(), why);
        }
    }
}
