//! Acknowledgements and confirmations of flow control.

use super::consumer::Ack;
use super::consumer_config::AckPolicy;
use super::news::{Delivery, Happening};
use super::pull::NextRequest;
use super::{Streams, Times};
use crate::wire::nats::Publish;
use crate::wire::nats::subject::tokens;

fn number(token: &[u8]) -> Option<u64> {
    std::str::from_utf8(token).ok()?.parse().ok()
}

/// What an acknowledgement's payload says; a request for the next message may follow `+NXT`.
fn read(payload: &[u8]) -> Option<(Ack, Option<&[u8]>)> {
    let text = payload.trim_ascii();
    if text.is_empty() || text == b"+ACK" || text == b"+OK" {
        return Some((Ack::Done, None));
    }
    if let Some(rest) = text.strip_prefix(b"-NAK") {
        let delay = serde_json::from_slice::<serde_json::Value>(rest).ok();
        let delay = delay.and_then(|value| value.get("delay")?.as_u64()).unwrap_or(0);
        return Some((Ack::Again(delay), None));
    }
    if text == b"+WPI" {
        return Some((Ack::Working, None));
    }
    if text.starts_with(b"+TERM") {
        return Some((Ack::Never, None));
    }
    text.strip_prefix(b"+NXT").map(|rest| (Ack::Done, Some(rest)))
}

impl Streams {
    /// Takes `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<delivery>.<time>.<pending>`; whether there is
    /// such a consumer.
    pub(super) fn ack(&mut self, rest: &[u8], message: &Publish<'_>, times: Times) -> bool {
        let mut parts = tokens(rest);
        let (Some(stream), Some(consumer)) = (parts.next(), parts.next()) else { return false };
        let (Some(delivered), Some(sequence)) = (parts.next(), parts.next().and_then(number)) else {
            return false;
        };
        let (Some(delivery), 2) = (parts.next().and_then(number), parts.count()) else { return false };
        let (Ok(stream), Ok(name)) = (std::str::from_utf8(stream), std::str::from_utf8(consumer)) else {
            return false;
        };
        let Some(key) = self.key_of(stream) else { return false };
        self.touch(key);
        let found = &mut self.all[key];
        let Some(consumer) = found.consumers.get_mut(name) else { return false };
        if consumer.config.ack_policy == AckPolicy::None {
            // Nobody listens to what needs no acknowledgement.
            return false;
        }
        let Some((ack, next)) = read(message.payload()) else {
            self.outbox.answer(message.reply, b"");
            return true;
        };
        if ack == Ack::Done && consumer.config.ack_policy == AckPolicy::Explicit && consumer.samples > 0 {
            let picked = consumer.samples >= 100 || self.prng.below(100) <= consumer.samples;
            if picked {
                consumer.sample((sequence, delivery), times.now);
            }
        }
        if ack == Ack::Never {
            let reason = message.payload().trim_ascii().strip_prefix(b"+TERM").unwrap_or_default();
            let reason = String::from_utf8_lossy(reason.trim_ascii()).into_owned();
            let times = number(delivered).unwrap_or(1);
            consumer.news.push(Happening::Never(Delivery { sequence, delivery, times }, reason));
        }
        let outcome = consumer.acknowledge((sequence, delivery), ack, (times.now, times.unix));
        if let Some(request) = next.and_then(NextRequest::read).filter(|_| !message.reply.is_empty()) {
            consumer.waiting.add(message.reply, &request, times.now);
        }
        consumer.take_news(&found.config.name, &mut found.news);
        outcome.done.for_each(|sequence| found.done_with(sequence));
        found.awake = true;
        if next.is_none() && outcome.answered {
            self.outbox.answer(message.reply, b"");
        }
        true
    }

    /// Takes `$JS.FC.<stream>.<consumer>.<number>`.
    pub(super) fn flow(&mut self, rest: &[u8], message: &Publish<'_>) -> bool {
        let mut parts = tokens(rest).map(|token| std::str::from_utf8(token).unwrap_or_default());
        let (Some(stream), Some(name)) = (parts.next(), parts.next()) else { return false };
        let Some(found) = self.find(stream) else { return false };
        let Some(consumer) = found.consumers.get_mut(name) else { return false };
        if consumer.push.confirmed(message.subject) {
            found.awake = true;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_those_of_the_clients() {
        assert_eq!(read(b""), Some((Ack::Done, None)));
        assert_eq!(read(b"+OK"), Some((Ack::Done, None)));
        assert_eq!(read(b"-NAK"), Some((Ack::Again(0), None)));
        assert_eq!(read(b"-NAK {\"delay\": 5}"), Some((Ack::Again(5), None)));
        assert_eq!(read(b"+WPI"), Some((Ack::Working, None)));
        assert_eq!(read(b"+TERM no good"), Some((Ack::Never, None)));
        assert_eq!(read(b"+NXT 5"), Some((Ack::Done, Some(&b" 5"[..]))));
        assert_eq!(read(b"nonsense"), None);
    }
}
