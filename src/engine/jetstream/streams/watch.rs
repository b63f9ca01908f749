//! What the monitoring shows of streams.

use super::Streams;
use super::info::ConsumerInfo;
use super::times::Time;
use serde_json::{Value, json};

/// A time as the API writes it.
pub(in super::super) fn stamp(unix: u64) -> Value {
    Time(unix).text().into()
}

impl Streams {
    /// What an account's streams take up, or all.
    pub(in super::super) fn stats(&self, account: Option<u32>) -> Value {
        let accounts = if account.is_some() { 0 } else { self.limits.iter().flatten().count() };
        let counted = (0..).zip(&self.calls).filter(|(own, _)| account.is_none_or(|account| account == *own));
        let calls =
            counted.fold((0, 0), |(total, errors), (_, calls)| (total + calls.total, errors + calls.errors));
        json!({
            "memory": self.used(account, false), "storage": self.used(account, true),
            "reserved_memory": self.reserved(account, false), "reserved_storage": self.reserved(account, true),
            "accounts": accounts, "ha_assets": 0,
            "api": { "level": 1, "total": calls.0, "errors": calls.1 },
        })
    }

    /// Streams, consumers, messages and bytes in all.
    pub(in super::super) fn totals(&self) -> [u64; 4] {
        self.all.iter().fold([0; 4], |[streams, consumers, messages, bytes], (_, stream)| {
            let books = &stream.store.books;
            let own = stream.consumers.len() as u64;
            [streams + 1, consumers + own, messages + books.messages, bytes + books.bytes]
        })
    }

    /// An account's streams, with their configuration and their consumers if that is asked for.
    pub(in super::super) fn details(
        &mut self,
        account: u32,
        (config, consumers): (bool, bool),
        unix: u64,
    ) -> Value {
        let keys: Vec<usize> = self.by_name[account as usize].values().copied().collect();
        let mut details = Vec::new();
        for key in keys {
            let Some(stream) = self.all.get_mut(key) else { continue };
            let listed = serde_json::to_value(stream.listed(unix)).unwrap_or_default();
            let mut detail = json!({
                "name": stream.config.name, "created": listed["created"], "state": listed["state"],
                "cluster": { "leader": self.server_name },
            });
            if config {
                detail["config"] = listed["config"].clone();
            }
            if consumers {
                let name = &stream.config.name;
                let all = stream
                    .consumers
                    .values()
                    .map(|consumer| shown(&consumer.info(name, unix, false), config));
                detail["consumer_detail"] = all.collect();
            }
            details.push(detail);
        }
        details.into()
    }

    /// Whether an account has a stream, and that a consumer; what has no name is always there.
    pub(in super::super) fn holds(&self, account: u32, stream: &str, consumer: &str) -> (bool, bool) {
        let key = self.by_name[account as usize].get(stream);
        let found = key.and_then(|&key| self.all.get(key));
        let has = consumer.is_empty() || found.is_some_and(|found| found.consumers.contains_key(consumer));
        (stream.is_empty() || found.is_some(), has)
    }
}

/// A consumer as the API shows it, with or without its configuration.
fn shown(info: &ConsumerInfo, config: bool) -> Value {
    let mut shown = serde_json::to_value(info).unwrap_or_default();
    if let (false, Some(fields)) = (config, shown.as_object_mut()) {
        fields.remove("config");
    }
    // What the server adds for whoever asks for one consumer alone.
    if let Some(metadata) = shown.pointer_mut("/config/metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !matches!(name.as_str(), "_nats.level" | "_nats.ver"));
    }
    shown
}
