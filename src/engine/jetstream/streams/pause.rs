//! Consumers that pause: nothing is delivered until a time, while heartbeats go on.

use super::api::Request;
use super::consumer::Consumer;
use super::errors::ApiError;
use super::news::Happening;
use super::times::Time;
use super::{Streams, Times, json};
use crate::clock::Nanos;
use serde::{Deserialize, Serialize};

/// Until when a consumer is to pause; nothing is not at all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PauseRequest {
    pause_until: Option<Time>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Paused {
    paused: bool,
    pause_until: Time,
    #[serde(skip_serializing_if = "super::stream_config::is_zero")]
    pause_remaining: u64,
}

impl Streams {
    pub(super) fn pause_request(&mut self, stream: &str, name: &str, request: Request<'_>) {
        let result = self.pause(stream, name, request);
        self.reply(request, "consumer_pause", result);
    }

    fn pause(&mut self, stream: &str, name: &str, request: Request<'_>) -> Result<Paused, ApiError> {
        let wish: PauseRequest = json::read_as(request.payload)?;
        let found = self.find(stream).ok_or_else(ApiError::stream_not_found)?;
        let consumer = found.consumers.get_mut(name).ok_or_else(ApiError::consumer_not_found)?;
        let until = wish.pause_until.filter(|time| time.0 > 0);
        let unix = request.times.unix;
        if consumer.config.pause_until != until {
            consumer.config.pause_until = until;
            consumer.config.note_level();
            consumer.begin_pause(unix);
            consumer.tell_of_pause();
            if let Some(log) = &mut found.log {
                log.created(consumer);
            }
        }
        let pause_remaining = consumer.pause_remaining(unix);
        found.awake = true;
        Ok(Paused { paused: pause_remaining > 0, pause_until: until.unwrap_or_default(), pause_remaining })
    }
}

impl Consumer {
    /// How long it still pauses, in nanoseconds.
    pub(super) fn pause_remaining(&self, unix: u64) -> u64 {
        self.config.pause_until.map_or(0, |until| until.0.saturating_sub(unix))
    }

    /// Looks whether it pauses by its configuration.
    pub(super) fn begin_pause(&mut self, unix: u64) {
        self.paused = self.pause_remaining(unix) > 0;
    }

    /// Goes on when the pause is over; whether it was until now.
    pub(super) fn end_pause(&mut self, unix: u64) -> bool {
        if !self.paused || self.pause_remaining(unix) > 0 {
            return false;
        }
        self.paused = false;
        self.tell_of_pause();
        true
    }

    /// Tells whether it pauses.
    pub(super) fn tell_of_pause(&mut self) {
        let until = self.config.pause_until.map_or(0, |time| time.0);
        self.news.push(Happening::Pause { paused: self.paused, until });
    }

    /// When the pause is over.
    pub(super) fn pause_end(&self, times: Times) -> Option<Nanos> {
        self.paused.then(|| times.now.saturating_add(self.pause_remaining(times.unix)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::consumer_config::ConsumerConfig;
    use super::*;

    #[test]
    fn a_pause_ends_once_and_not_before_its_time() {
        let config = ConsumerConfig { pause_until: Some(Time(1_000)), ..ConsumerConfig::default() };
        let mut consumer = Consumer::bare("c", config, 0);
        consumer.begin_pause(400);
        assert_eq!(consumer.pause_end(Times { now: 7, unix: 400 }), Some(607));
        assert!(!consumer.end_pause(999) && consumer.news.is_empty());
        assert!(consumer.end_pause(1_000) && !consumer.end_pause(1_001));
        assert_eq!(consumer.news, [Happening::Pause { paused: false, until: 1_000 }]);
        assert_eq!(consumer.pause_end(Times { now: 8, unix: 1_001 }), None);
        consumer.begin_pause(2_000);
        assert!(!consumer.paused, "what is past is no pause");
    }
}
