//! The null stream: what JetStream's clients want to hear so that they publish, with nothing kept. Every message that
//! asks for an answer is acknowledged at once, which is the least that a server with streams can do.

/// What the API's requests begin with.
const API: &[u8] = b"$JS.API.";

/// What is the same in every stream's description.
const STATE: &str = "\"state\":{\"messages\":0,\"bytes\":0,\"first_seq\":0,\"first_ts\":\"0001-01-01T00:00:00Z\",\
\"last_seq\":0,\"last_ts\":\"0001-01-01T00:00:00Z\",\"consumer_count\":0}";

/// The one stream there is.
#[derive(Debug, Default)]
pub(super) struct NullStream {
    /// The configuration that it was made with last, as JSON.
    config: String,
    /// Messages acknowledged.
    sequence: u64,
}

impl NullStream {
    /// Appends what is answered to a message on `subject` that asked for an answer.
    #[inline]
    pub(super) fn answer(&mut self, subject: &[u8], payload: &[u8], answer: &mut Vec<u8>) {
        if let Some(verb) = subject.strip_prefix(API) {
            return self.request(verb, payload, answer);
        }
        self.sequence += 1;
        let mut digits = [0; 20];
        let digits = decimal(self.sequence, &mut digits);
        for part in [&b"{\"stream\":\"PEER\",\"seq\":"[..], digits, b"}"] {
            answer.extend_from_slice(part);
        }
    }

    /// A request of the API: streams can be made, looked at and deleted; all else is an error.
    #[cold]
    fn request(&mut self, verb: &[u8], payload: &[u8], answer: &mut Vec<u8>) {
        let said = if verb.starts_with(b"STREAM.CREATE.") {
            self.config = String::from_utf8_lossy(payload).into_owned();
            self.described("create")
        } else if verb.starts_with(b"STREAM.INFO.") && !self.config.is_empty() {
            self.described("info")
        } else if verb.starts_with(b"STREAM.DELETE.") {
            "{\"type\":\"io.nats.jetstream.api.v1.stream_delete_response\",\"success\":true}".to_owned()
        } else {
            "{\"error\":{\"code\":503,\"err_code\":10039,\"description\":\"the peer keeps no streams\"}}"
                .to_owned()
        };
        answer.extend_from_slice(said.as_bytes());
    }

    fn described(&self, what: &str) -> String {
        let Self { config, .. } = self;
        format!(
            "{{\"type\":\"io.nats.jetstream.api.v1.stream_{what}_response\",\"config\":{config},\
             \"created\":\"2026-01-01T00:00:00Z\",{STATE}}}"
        )
    }
}

/// A number in decimal digits, at the end of `room`.
#[inline]
fn decimal(mut number: u64, room: &mut [u8; 20]) -> &[u8] {
    let mut from = room.len();
    loop {
        from -= 1;
        room[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[from..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(stream: &mut NullStream, subject: &str, payload: &str) -> String {
        let mut answer = Vec::new();
        stream.answer(subject.as_bytes(), payload.as_bytes(), &mut answer);
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn messages_are_acknowledged_by_number() {
        let mut stream = NullStream::default();
        for number in [1, 2, 3] {
            let expected = format!("{{\"stream\":\"PEER\",\"seq\":{number}}}");
            assert_eq!(answered(&mut stream, "orders.new", "x"), expected);
        }
        assert_eq!(decimal(u64::MAX, &mut [0; 20]), u64::MAX.to_string().as_bytes());
    }

    #[test]
    fn a_stream_is_described_as_it_was_made_and_nothing_else_is_to_be_had() {
        let mut stream = NullStream::default();
        assert!(answered(&mut stream, "$JS.API.STREAM.INFO.S", "").contains("\"error\""));
        for (verb, payload) in [("CREATE", "{\"name\":\"S\"}"), ("INFO", "")] {
            let said = answered(&mut stream, &format!("$JS.API.STREAM.{verb}.S"), payload);
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!((&said["config"]["name"], &said["state"]["last_seq"]), (&"S".into(), &0.into()));
        }
        assert!(answered(&mut stream, "$JS.API.CONSUMER.CREATE.S", "{}").contains("\"error\""));
    }
}
