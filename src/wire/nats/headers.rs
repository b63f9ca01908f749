//! The headers of a message: `NATS/1.0[ <code>[ <text>]]`, then lines `Name: value`, then an empty line.

/// What every block of headers begins with.
pub const HEADER_LINE: &[u8] = b"NATS/1.0";

/// A block of headers.
#[derive(Debug, Clone, Copy)]
pub struct Headers<'a>(pub &'a [u8]);

impl<'a> Headers<'a> {
    /// The status code and its text, if the first line has one.
    #[must_use]
    pub fn status(&self) -> Option<(u16, &'a [u8])> {
        let first = self.0.split(|&byte| byte == b'\n').next()?;
        let rest = first.strip_prefix(HEADER_LINE)?.trim_ascii();
        let (code, text) = rest.split_at_checked(3)?;
        Some((std::str::from_utf8(code).ok()?.parse().ok()?, text.trim_ascii()))
    }

    /// Names and values in order; lines without a colon are left out.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.0.split(|&byte| byte == b'\n').skip(1).filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }

    /// The first value of this name, letter case and all.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }
}

/// Starts a block.
pub fn begin_headers(out: &mut Vec<u8>) {
    out.extend_from_slice(HEADER_LINE);
    out.extend_from_slice(b"\r\n");
}

/// Starts a block with a status; the text may be empty.
pub fn status_line(out: &mut Vec<u8>, code: u16, text: &str) {
    out.extend_from_slice(HEADER_LINE);
    out.push(b' ');
    out.extend_from_slice(code.to_string().as_bytes());
    if !text.is_empty() {
        out.push(b' ');
        out.extend_from_slice(text.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Adds a line.
pub fn append_header(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Ends the block.
pub fn end_headers(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}
