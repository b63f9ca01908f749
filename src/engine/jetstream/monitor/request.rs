//! What a visitor asks for: a path and its parameters.

/// Longest request that is read, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;

/// A request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in super::super) struct Request {
    /// Without what comes behind `?`.
    pub(in super::super) path: String,
    parameters: Vec<(String, String)>,
}

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Refusal {
    /// It is no request.
    Malformed,
    /// It wants to change something.
    Method,
    /// A parameter makes no sense; in the words of nats-server.
    Parameter(String),
}

impl Request {
    /// Reads a whole request; `None` if it is not whole yet.
    pub(super) fn parse(bytes: &[u8]) -> Option<Result<Self, Refusal>> {
        let ended = |end: &[u8]| bytes.windows(end.len()).any(|window| window == end);
        if !ended(b"\r\n\r\n") && !ended(b"\n\n") {
            return (bytes.len() > LONGEST).then_some(Err(Refusal::Malformed));
        }
        let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let Ok(line) = std::str::from_utf8(line) else { return Some(Err(Refusal::Malformed)) };
        let mut words = line.split_ascii_whitespace();
        let (method, target, version) = (words.next(), words.next(), words.next());
        let (Some(method), Some(target), Some(version)) = (method, target, version) else {
            return Some(Err(Refusal::Malformed));
        };
        if !version.starts_with("HTTP/1.") {
            return Some(Err(Refusal::Malformed));
        }
        if !matches!(method, "GET" | "HEAD") {
            return Some(Err(Refusal::Method));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        };
        let parameters = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        Some(Ok(Self { path: decoded(path), parameters }))
    }

    /// A parameter's text; nothing if it is not there.
    pub(in super::super) fn text(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value)
    }

    /// A parameter that is a number, `otherwise` if it is not there.
    ///
    /// # Errors
    /// It is none.
    pub(in super::super) fn number(&self, name: &str, otherwise: u64) -> Result<u64, Refusal> {
        match self.text(name) {
            "" => Ok(otherwise),
            text => text.parse().map_err(|_| {
                let why = format!("parsing {text:?}: invalid syntax");
                Refusal::Parameter(format!("Error decoding int for '{name}': strconv.Atoi: {why}"))
            }),
        }
    }

    /// A parameter that is a switch.
    ///
    /// # Errors
    /// It is none.
    pub(in super::super) fn switch(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            text => {
                let why = format!("parsing {text:?}: invalid syntax");
                Err(Refusal::Parameter(format!(
                    "Error decoding boolean for '{name}': strconv.ParseBool: {why}"
                )))
            }
        }
    }
}

/// Undoes percent-encoding; what is none stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let code = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(code.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_has_a_path_and_parameters() {
        let whole = b"GET /connz?limit=5&subs=detail&acc=%24G HTTP/1.0\r\nHost: h\r\n\r\n";
        let request = Request::parse(whole).unwrap().unwrap();
        assert_eq!((&*request.path, request.text("subs"), request.text("acc")), ("/connz", "detail", "$G"));
        assert_eq!((request.number("limit", 9), request.number("offset", 9)), (Ok(5), Ok(9)));
        assert!(request.number("subs", 0).is_err());
        assert_eq!(request.switch("accounts"), Ok(false));
        for end in 0..whole.len() {
            assert_eq!(Request::parse(&whole[..end]), None, "{end}");
        }
        assert_eq!(Request::parse(b"POST / HTTP/1.1\n\n"), Some(Err(Refusal::Method)));
        assert_eq!(Request::parse(b"nonsense\r\n\r\n"), Some(Err(Refusal::Malformed)));
        assert_eq!(Request::parse(&[b'x'; LONGEST + 1]), Some(Err(Refusal::Malformed)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read_or_not = Request::parse(&[&bytes[..], b"\r\n\r\n"].concat());
        }
    }
}
