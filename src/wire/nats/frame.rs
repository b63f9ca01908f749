//! What a publisher says and hears a million times: PUB frames built once and patched in place, and the answers
//! to them found by comparing bytes.

use crate::wire::resp::append_integer_digits;

/// Digits of a [`Serial`]: more messages than a connection sends in a year.
pub const SERIAL_DIGITS: usize = 14;

/// A number in decimal, always this many digits, that counts up in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Serial([u8; SERIAL_DIGITS]);

impl Default for Serial {
    fn default() -> Self {
        Self([b'0'; SERIAL_DIGITS])
    }
}

impl Serial {
    /// The digits of a number; of a larger one than fits, the last ones.
    #[must_use]
    pub fn of(mut number: u64) -> Self {
        let mut digits = Self::default();
        for digit in digits.0.iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        digits
    }

    /// The digits.
    #[inline]
    #[must_use]
    pub fn digits(&self) -> &[u8; SERIAL_DIGITS] {
        &self.0
    }

    /// The next number.
    #[inline]
    pub fn step(&mut self) {
        for digit in self.0.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }

    /// The number that these digits are; `None` if they are none, or another number of them.
    #[must_use]
    pub fn parse(digits: &[u8]) -> Option<u64> {
        if digits.len() != SERIAL_DIGITS {
            return None;
        }
        digits.iter().try_fold(0u64, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
        })
    }
}

/// `PUB <subject> [<reply>] <length>` built once; only the reply's number and the length change.
#[derive(Debug, Clone)]
pub struct PublishFrame {
    head: Vec<u8>,
    /// Where the reply's number stands in `head`.
    serial_at: usize,
    /// Where the length stands in `head`.
    length_at: usize,
    /// The length of the payload that it speaks of.
    length: usize,
    /// Headers behind the control line; they end with the message's id. None for PUB.
    headers: Vec<u8>,
}

/// What ends a block of headers.
const HEADERS_END: &[u8] = b"\r\n\r\n";

impl PublishFrame {
    /// Prepares `PUB subject …`.
    #[must_use]
    pub fn new(subject: &[u8]) -> Self {
        Self::with_reply(subject, b"")
    }

    /// Prepares `PUB subject inbox<serial> …`; the inbox ends with a dot.
    #[must_use]
    pub fn with_reply(subject: &[u8], inbox: &[u8]) -> Self {
        let mut head = [b"PUB ", subject, b" "].concat();
        head.extend_from_slice(inbox);
        let serial_at = head.len();
        if !inbox.is_empty() {
            head.extend_from_slice(Serial::default().digits());
            head.push(b' ');
        }
        let length_at = head.len();
        head.extend_from_slice(b"0\r\n");
        Self { head, serial_at, length_at, length: 0, headers: Vec::new() }
    }

    /// Prepares `HPUB subject inbox<serial> …` with the id `inbox<serial>`, by which a JetStream server knows the
    /// message if it comes again.
    #[must_use]
    pub fn with_id(subject: &[u8], inbox: &[u8]) -> Self {
        let plain = Self::with_reply(subject, inbox);
        let serial = Serial::default();
        let headers = [b"NATS/1.0\r\nNats-Msg-Id: ", inbox, serial.digits(), HEADERS_END].concat();
        let mut head = [b"H", &plain.head[..plain.length_at]].concat();
        append_integer_digits(&mut head, headers.len() as i64);
        head.push(b' ');
        let mut frame =
            Self { serial_at: plain.serial_at + 1, length_at: head.len(), head, headers, ..plain };
        frame.set_length(0);
        frame
    }

    /// Bytes of the frame besides the payload, at most.
    #[inline]
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.length_at + 24 + self.headers.len()
    }

    /// Appends the message.
    #[inline]
    pub fn append(&mut self, out: &mut Vec<u8>, payload: &[u8]) {
        if payload.len() != self.length {
            self.set_length(payload.len());
        }
        out.reserve(self.head.len() + payload.len() + 2);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the message, with the answer to come to the inbox under this number. Of a frame without a reply
    /// that makes nonsense.
    #[inline]
    pub fn append_numbered(&mut self, out: &mut Vec<u8>, serial: &Serial, payload: &[u8]) {
        debug_assert!(self.serial_at < self.length_at);
        if payload.len() != self.length {
            self.set_length(payload.len());
        }
        self.head[self.serial_at..self.serial_at + SERIAL_DIGITS].copy_from_slice(serial.digits());
        if !self.headers.is_empty() {
            let end = self.head.len() - HEADERS_END.len();
            self.head[end - SERIAL_DIGITS..end].copy_from_slice(serial.digits());
        }
        self.append(out, payload);
    }

    #[cold]
    fn set_length(&mut self, length: usize) {
        self.head.truncate(self.length_at);
        append_integer_digits(&mut self.head, (self.headers.len() + length) as i64);
        self.head.extend_from_slice(b"\r\n");
        self.head.extend_from_slice(&self.headers);
        self.length = length;
    }
}

/// How an answer of JetStream begins that has nothing to complain about; a complaint has `"error"` in front.
pub const GOOD_ANSWER: &[u8] = b"{\"stream\":";

/// Most digits of the length of an answer that is compared instead of parsed.
const LENGTH_DIGITS: usize = 4;

/// Finds good answers to consecutive messages, without parsing them.
#[derive(Debug)]
pub struct AnswerRuns {
    /// `MSG <inbox>`
    head: Vec<u8>,
    /// ` <sid> `
    middle: Vec<u8>,
    next: Serial,
}

impl AnswerRuns {
    /// For answers to `inbox` (with a dot at its end), which is subscribed to under `sid`.
    #[must_use]
    pub fn new(inbox: &[u8], sid: &[u8]) -> Self {
        Self { head: [b"MSG ", inbox].concat(), middle: [b" ", sid, b" "].concat(), next: Serial::default() }
    }

    /// The number that is expected next.
    pub fn expect(&mut self, number: u64) {
        self.next = Serial::of(number);
    }

    /// How many whole and good answers `buf` begins with, the first of them to the number expected and each
    /// other to the number after it; and the bytes that they take.
    #[inline]
    pub fn run(&mut self, buf: &[u8]) -> (u32, usize) {
        let (mut count, mut at) = (0, 0);
        while let Some(length) = self.one(&buf[at..]) {
            self.next.step();
            count += 1;
            at += length;
        }
        (count, at)
    }

    #[inline]
    fn one(&self, buf: &[u8]) -> Option<usize> {
        let rest = buf.strip_prefix(self.head.as_slice())?.strip_prefix(self.next.digits())?;
        let rest = rest.strip_prefix(self.middle.as_slice())?;
        let digits = rest.iter().take(LENGTH_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let length = rest[..digits].iter().fold(0, |value, digit| value * 10 + usize::from(digit - b'0'));
        let body = rest[digits..].strip_prefix(b"\r\n")?;
        let ends = digits > 0 && body.get(length..length + 2) == Some(b"\r\n");
        (ends && body.starts_with(GOOD_ANSWER)).then(|| buf.len() - body.len() + length + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::nats::{MessageHead, append_message, append_publish};
    use proptest::prelude::*;

    #[test]
    fn a_serial_counts_as_numbers_do() {
        let mut serial = Serial::default();
        for number in 0..100_100u64 {
            assert_eq!(Serial::parse(serial.digits()), Some(number));
            assert_eq!(Serial::of(number), serial);
            serial.step();
        }
        assert_eq!(Serial::of(98_765_432_109_876).digits(), b"98765432109876");
        for none in [&b"0000000000001"[..], b"000000000000001", b"0000000000000x", b"+0000000000001"] {
            assert_eq!(Serial::parse(none), None);
        }
    }

    fn answer(inbox: &str, number: u64, body: &str) -> Vec<u8> {
        let subject = [inbox.as_bytes(), Serial::of(number).digits()].concat();
        let mut out = Vec::new();
        let head = MessageHead { subject: &subject, sid: b"1", reply: b"", header_length: 0 };
        append_message(&mut out, head, body.as_bytes());
        out
    }

    #[test]
    fn a_run_ends_at_a_complaint_a_jump_a_stranger_and_half_an_answer() {
        let good = r#"{"stream":"busmark-bm", "seq":42}"#;
        let bad = r#"{"error":{"code":503},"stream":"s","seq":0}"#;
        let first: Vec<u8> = (5..8).flat_map(|number| answer("_INBOX.x.", number, good)).collect();
        let runs_on = [answer("_INBOX.x.", 8, good)];
        let ends = [
            answer("_INBOX.x.", 8, bad),
            answer("_INBOX.x.", 9, good),
            answer("_INBOX.y.", 8, good),
            answer("_INBOX.x.", 8, good)[..60].to_vec(),
            b"PING\r\n".to_vec(),
            Vec::new(),
        ];
        for (follows, count) in runs_on.iter().map(|one| (one, 4)).chain(ends.iter().map(|one| (one, 3))) {
            let mut runs = AnswerRuns::new(b"_INBOX.x.", b"1");
            assert_eq!(runs.run(&first), (0, 0), "0 is expected, not 5");
            runs.expect(5);
            let length = first.len() + if count == 4 { follows.len() } else { 0 };
            assert_eq!(runs.run(&[first.as_slice(), follows].concat()), (count, length));
        }
    }

    proptest! {
        #[test]
        fn patched_frames_are_those_that_are_built_anew(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1200), 1..20),
        ) {
            let (mut plain, mut numbered) = (PublishFrame::new(b"a.b"), PublishFrame::with_reply(b"a.b", b"_INBOX.x."));
            let mut known = PublishFrame::with_id(b"a.b", b"_INBOX.x.");
            for (number, payload) in messages.iter().enumerate() {
                let serial = Serial::of(number as u64 * 7919);
                let reply = [&b"_INBOX.x."[..], serial.digits()].concat();
                let head = MessageHead { subject: b"a.b", sid: b"", reply: b"", header_length: 0 };
                let (mut expected, mut got) = (Vec::new(), Vec::new());
                append_publish(&mut expected, head, payload);
                plain.append(&mut got, payload);
                prop_assert_eq!(&got, &expected);
                prop_assert!(got.len() <= plain.overhead() + payload.len());
                expected.clear();
                got.clear();
                append_publish(&mut expected, MessageHead { reply: &reply, ..head }, payload);
                numbered.append_numbered(&mut got, &serial, payload);
                prop_assert_eq!(&got, &expected);
                prop_assert!(got.len() <= numbered.overhead() + payload.len());
                let headers = [&b"NATS/1.0\r\nNats-Msg-Id: "[..], &reply, b"\r\n\r\n"].concat();
                expected.clear();
                got.clear();
                let head = MessageHead { reply: &reply, header_length: headers.len(), ..head };
                append_publish(&mut expected, head, &[&headers[..], payload].concat());
                known.append_numbered(&mut got, &serial, payload);
                prop_assert_eq!(&got, &expected);
                prop_assert!(got.len() <= known.overhead() + payload.len());
            }
        }
    }
}
