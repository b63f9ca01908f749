//! The format of nats-server's configuration files: `key: value`, `key = value` or `key { … }`, lists in
//! brackets, comments after `#` or `//`, quotes where they are wanted.

use super::ConfigError;

/// Deepest nesting that is read.
const DEPTH: usize = 32;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A word, a number or a quoted text.
    Text(String),
    /// `[ … ]`
    List(Vec<Value>),
    /// `{ … }`
    Map(Vec<(String, Value)>),
}

/// Reads a whole file.
pub(super) fn parse(file: &str, text: &str) -> Result<Vec<(String, Value)>, ConfigError> {
    let mut reader = Reader { file, text: text.as_bytes(), at: 0 };
    let map = reader.map(0)?;
    match reader.peek() {
        None => Ok(map),
        Some(_) => Err(reader.wrong("'}' without '{'")),
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, why: &str) -> ConfigError {
        let line =
            1 + self.text[..self.at.min(self.text.len())].iter().filter(|&&byte| byte == b'\n').count();
        ConfigError::Syntax { file: self.file.to_owned(), line, why: why.to_owned() }
    }

    /// The next byte that means something; commas, semicolons and line ends part values and mean no more.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.text.get(self.at)? {
                b'#' => self.skip_line(),
                b'/' if self.text.get(self.at + 1) == Some(&b'/') => self.skip_line(),
                byte if byte.is_ascii_whitespace() || matches!(byte, b',' | b';') => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.text.get(self.at).is_some_and(|&byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<(String, Value)>, ConfigError> {
        let mut map = Vec::new();
        while let Some(byte) = self.peek() {
            if byte == b'}' {
                break;
            }
            let key = self.text_value(true)?;
            if matches!(self.peek(), Some(b':' | b'=')) {
                self.at += 1;
            }
            let value = self.value(depth)?;
            map.push((key, value));
        }
        Ok(map)
    }

    fn value(&mut self, depth: usize) -> Result<Value, ConfigError> {
        if depth > DEPTH {
            return Err(self.wrong("nested too deeply"));
        }
        match self.peek() {
            None => Err(self.wrong("a value is missing")),
            Some(b'{') => {
                self.at += 1;
                let map = self.map(depth + 1)?;
                self.close(b'}', "'{' without '}'")?;
                Ok(Value::Map(map))
            }
            Some(b'[') => {
                self.at += 1;
                let mut list = Vec::new();
                while !matches!(self.peek(), None | Some(b']')) {
                    list.push(self.value(depth + 1)?);
                }
                self.close(b']', "'[' without ']'")?;
                Ok(Value::List(list))
            }
            Some(_) => Ok(Value::Text(self.text_value(false)?)),
        }
    }

    fn close(&mut self, end: u8, why: &str) -> Result<(), ConfigError> {
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(());
        }
        Err(self.wrong(why))
    }

    /// A word or a quoted text; a key's word ends at `:` and `=`, too.
    fn text_value(&mut self, key: bool) -> Result<String, ConfigError> {
        let quote = self.text[self.at];
        if matches!(quote, b'"' | b'\'') {
            return self.quoted(quote);
        }
        let start = self.at;
        while let Some(&byte) = self.text.get(self.at) {
            let ends = byte.is_ascii_whitespace()
                || matches!(byte, b',' | b';' | b'{' | b'}' | b'[' | b']' | b'#')
                || (key && matches!(byte, b':' | b'='));
            if ends {
                break;
            }
            self.at += 1;
        }
        if start == self.at {
            return Err(self.wrong("a word was expected"));
        }
        let word = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
        // Keys may begin so: $SYS is an account.
        if !key && word.starts_with('$') {
            return Err(self.wrong("variables are not supported by this engine"));
        }
        if key && word == "include" {
            return Err(self.wrong("include is not supported by this engine"));
        }
        Ok(word)
    }

    fn quoted(&mut self, quote: u8) -> Result<String, ConfigError> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(&byte) = self.text.get(self.at) else { return Err(self.wrong("a quote is not closed")) };
            self.at += 1;
            match byte {
                byte if byte == quote => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
                b'\\' if quote == b'"' => {
                    let escaped = self.text.get(self.at).copied();
                    self.at += 1;
                    bytes.push(match escaped {
                        Some(b'n') => b'\n',
                        Some(b't') => b'\t',
                        Some(other @ (b'"' | b'\\')) => other,
                        _ => return Err(self.wrong("an escape that is none of \\n \\t \\\" \\\\")),
                    });
                }
                byte => bytes.push(byte),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    const EXAMPLE: &str = r#"
        # a comment
        server_name: n1, listen = "127.0.0.1:4222" // another
        jetstream { store_dir: '/tmp/a b'; sync_interval: always }
        authorization: { users = [ {user: a, password: "p\"q"} , {user: b password: c} ] }
        host: 0.0.0.0"#;

    #[test]
    fn the_ways_of_writing_are_those_of_nats() {
        let text = |text: &str| Value::Text(text.to_owned());
        let map = parse("f", EXAMPLE).unwrap();
        assert_eq!(map[0], ("server_name".to_owned(), text("n1")));
        assert_eq!(map[1].1, text("127.0.0.1:4222"));
        let Value::Map(jetstream) = &map[2].1 else { panic!("no map") };
        assert_eq!(jetstream[0].1, text("/tmp/a b"));
        let Value::Map(authorization) = &map[3].1 else { panic!("no map") };
        let Value::List(users) = &authorization[0].1 else { panic!("no list") };
        assert_eq!(users[0], Value::Map(vec![("user".into(), text("a")), ("password".into(), text("p\"q"))]));
        assert_eq!(map[4].1, text("0.0.0.0"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (bad, why) in [
            ("a {", "f:1: '{' without '}'"),
            ("\na: [1", "f:2: '[' without ']'"),
            ("a: \"x", "f:1: a quote is not closed"),
            ("}", "f:1: '}' without '{'"),
            ("\n\na:", "f:3: a value is missing"),
            ("a: $X", "f:1: variables are not supported by this engine"),
        ] {
            assert_eq!(parse("f", bad).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn mutated_files_never_panic() {
        for seed in 0..20_000 {
            let mut prng = Prng::new(seed);
            let mut bytes = EXAMPLE.as_bytes().to_vec();
            for _ in 0..=prng.below(6) {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] = b"{}[]:=,\"'\\#$ \na1"[prng.below(16) as usize];
            }
            let _read_or_refused = parse("f", &String::from_utf8_lossy(&bytes));
        }
        assert!(parse("f", &"a{".repeat(100_000)).is_err());
    }
}
