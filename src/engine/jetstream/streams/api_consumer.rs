//! The API of consumers.

use super::api::{ListRequest, Request};
use super::consumer::Consumer;
use super::consumer_config::{AckPolicy, ConsumerConfig, ConsumerMost, DeliverPolicy};
use super::consumer_log::ConsumerLog;
use super::errors::ApiError;
use super::info::ConsumerInfo;
use super::news::News;
use super::outbox::Outbox;
use super::pull::{NextRequest, plain_status};
use super::stream::Stream;
use super::stream_config::{Retention, StreamConfig};
use super::times::duration_text;
use super::{Streams, json};
use crate::clock::Nanos;
use crate::engine::jetstream::names::consumer_name;
use crate::engine::jetstream::store::is_full;
use crate::wire::nats::subject::overlap;
use std::borrow::Cow;

/// What a request is told that finds too many others waiting.
const MAX_WAITING: &str = "Exceeded MaxWaiting";
/// Names listed in one answer.
const NAMES: usize = 1024;
/// Consumers listed in one answer.
const LIST: usize = 256;

impl Streams {
    pub(super) fn consumer_request(&mut self, verb: &str, rest: &str, request: Request<'_>) {
        match verb {
            "CREATE" => {
                let mut parts = rest.splitn(3, '.');
                let stream = parts.next().unwrap_or_default();
                let (name, filter) = (parts.next(), parts.next());
                let result = self.create_consumer((stream, name), filter, request);
                self.reply(request, "consumer_create", result);
            }
            "DURABLE" => {
                let Some((stream, name)) = rest.strip_prefix("CREATE.").and_then(|rest| rest.split_once('.'))
                else {
                    return;
                };
                let result = self.create_durable(stream, name, request);
                self.reply(request, "consumer_create", result);
            }
            "INFO" | "DELETE" => {
                let Some((stream, name)) = rest.split_once('.') else { return };
                if verb == "INFO" {
                    let result = self.consumer_info(stream, name, request);
                    self.reply(request, "consumer_info", result);
                } else {
                    let result = request.expect_empty().and_then(|()| self.delete_consumer(stream, name));
                    self.reply(request, "consumer_delete", result);
                }
            }
            "NAMES" => self.consumer_names(rest, request),
            "LIST" => self.consumer_list(rest, request),
            "PAUSE" | "UNPIN" => {
                let Some((stream, name)) = rest.split_once('.') else { return };
                if verb == "PAUSE" {
                    self.pause_request(stream, name, request);
                } else {
                    self.unpin_request(stream, name, request);
                }
            }
            _ => {}
        }
    }

    fn create_durable(
        &mut self,
        stream: &str,
        name: &str,
        request: Request<'_>,
    ) -> Result<ConsumerInfo, ApiError> {
        let value = json::read(request.payload)?;
        let given =
            value.get("config").and_then(|config| config.get("durable_name")).and_then(|name| name.as_str());
        match given {
            None | Some("") => Err(ApiError::durable_name_not_set()),
            Some(given) if given != name => Err(ApiError::durable_name_mismatch()),
            Some(_) => self.create_consumer((stream, None), None, request),
        }
    }

    fn create_consumer(
        &mut self,
        (stream, name): (&str, Option<&str>),
        filter: Option<&str>,
        request: Request<'_>,
    ) -> Result<ConsumerInfo, ApiError> {
        let value = json::read(request.payload)?;
        self.check_consumer_fields(&value)?;
        if value.get("stream_name").and_then(|name| name.as_str()).is_some_and(|given| given != stream) {
            return Err(ApiError::stream_mismatch());
        }
        let config =
            ConsumerConfig::read(value.get("config").ok_or_else(ApiError::consumer_config_required)?)?;
        let action = value.get("action").and_then(|action| action.as_str()).unwrap_or_default();
        let given = if config.name.is_empty() { &config.durable_name } else { &config.name };
        let names_differ = name.is_some_and(|name| !given.is_empty() && given != name)
            || (!config.durable_name.is_empty()
                && !config.name.is_empty()
                && config.name != config.durable_name);
        if names_differ {
            return Err(ApiError::durable_name_mismatch());
        }
        if filter.is_some_and(|filter| filter != config.filter_subject) {
            return Err(ApiError::consumer_config(
                "consumer create request did not match filtered subject from create subject",
            ));
        }
        // Only the newest form of the request makes the name part of what is shown.
        let in_subject = name.is_some();
        let name = match name.or((!given.is_empty()).then_some(given)) {
            Some(name) => name.to_owned(),
            None => consumer_name(&mut self.prng),
        };
        if name.contains(['.', '*', '>', ' ', '/', '\\']) || name.len() > 255 {
            return Err(ApiError::consumer_config("consumer name is not allowed"));
        }
        let limits = self.own_limits();
        let most = limits.max_consumers;
        let pending = [limits.max_ack_pending, self.settings.max_ack_pending].into_iter().flatten().min();
        let each = ConsumerMost { pending, batch: self.settings.max_request_batch };
        let found = self.find(stream).ok_or_else(ApiError::stream_not_found)?;
        let mut config = config.settle(&found.config, each)?;
        let more = !found.consumers.contains_key(&name);
        if more && action != "update" && most.is_some_and(|most| found.consumers.len() as u64 >= most) {
            return Err(ApiError::maximum_consumers());
        }
        if in_subject {
            config.name = name.clone();
        }
        found.make_consumer(&name, (config, action), request)
    }

    fn consumer_info(
        &mut self,
        stream: &str,
        name: &str,
        request: Request<'_>,
    ) -> Result<ConsumerInfo, ApiError> {
        request.expect_empty()?;
        let found = self.find(stream).ok_or_else(ApiError::stream_not_found)?;
        let consumer = found.consumers.get(name).ok_or_else(ApiError::consumer_not_found)?;
        Ok(consumer.info(stream, request.times.unix, request.is_bound(consumer)))
    }

    fn delete_consumer(&mut self, stream: &str, name: &str) -> Result<serde_json::Value, ApiError> {
        let key = self.key_of(stream).ok_or_else(ApiError::stream_not_found)?;
        self.touch(key);
        if !self.all[key].drop_consumer(name, &mut self.outbox) {
            return Err(ApiError::consumer_not_found());
        }
        Ok(serde_json::json!({ "success": true }))
    }

    fn consumer_names(&mut self, stream: &str, request: Request<'_>) {
        let result = json::read_as::<ListRequest>(request.payload).and_then(|wish| {
            let found = self.find(stream).ok_or_else(ApiError::stream_not_found)?;
            let names: Vec<&String> = found.consumers.keys().skip(wish.offset).take(NAMES).collect();
            Ok(serde_json::json!({ "total": found.consumers.len(), "offset": wish.offset, "limit": NAMES, "consumers": names }))
        });
        self.reply(request, "consumer_names", result);
    }

    fn consumer_list(&mut self, stream: &str, request: Request<'_>) {
        let result = json::read_as::<ListRequest>(request.payload).and_then(|wish| {
            let found = self.find(stream).ok_or_else(ApiError::stream_not_found)?;
            let shown = found.consumers.values().skip(wish.offset).take(LIST);
            let infos: Vec<ConsumerInfo> = shown.map(|consumer| consumer.info(stream, request.times.unix, request.is_bound(consumer))).collect();
            Ok(serde_json::json!({ "total": found.consumers.len(), "offset": wish.offset, "limit": LIST, "consumers": infos }))
        });
        self.reply(request, "consumer_list", result);
    }

    /// MSG.NEXT; whether there is such a consumer.
    pub(super) fn next(&mut self, stream: &str, name: &str, request: Request<'_>) -> bool {
        let Some(key) = self.key_of(stream) else { return false };
        self.touch(key);
        let found = &mut self.all[key];
        let Some(consumer) = found.consumers.get_mut(name) else { return false };
        if request.reply.is_empty() {
            return true;
        }
        let outbox = &mut self.outbox;
        if consumer.config.is_push() {
            plain_status(outbox, request.reply, 409, "Consumer is push based");
            return true;
        }
        let Some(wish) = NextRequest::read(request.payload) else {
            plain_status(outbox, request.reply, 400, "Bad Request");
            return true;
        };
        consumer.active_at = request.times.now;
        let crowded = consumer.waiting.len() as i64 >= consumer.config.max_waiting.max(1);
        if crowded || (wish.no_wait && !consumer.waiting.is_empty()) {
            consumer.waiting.keep(|reply| request.is_heard(reply));
        }
        match consumer.objection(&wish, request.times.now) {
            // One that waits for heartbeats asks again when they stay away, not at once.
            Some((_, text)) if text == MAX_WAITING && wish.idle_heartbeat > 0 => {}
            Some((code, text)) => plain_status(outbox, request.reply, code, &text),
            None => {
                consumer.waiting.add(request.reply, &wish, request.times.now);
                found.awake = true;
            }
        }
        true
    }
}

impl Consumer {
    /// Why a request for messages is not taken.
    fn objection(&mut self, wish: &NextRequest, now: Nanos) -> Option<(u16, Cow<'static, str>)> {
        let config = &self.config;
        if wish.idle_heartbeat > 0 && (wish.expires == 0 || wish.idle_heartbeat * 2 > wish.expires) {
            return Some((400, "Bad Request - heartbeat value too large".into()));
        }
        if config.max_batch > 0 && wish.batch > config.max_batch {
            return Some((409, format!("Exceeded MaxRequestBatch of {}", config.max_batch).into()));
        }
        if config.max_expires > 0 && wish.expires > config.max_expires {
            return Some((
                409,
                format!("Exceeded MaxRequestExpires of {}", duration_text(config.max_expires)).into(),
            ));
        }
        if config.max_bytes > 0 && wish.max_bytes > config.max_bytes {
            return Some((409, format!("Exceeded MaxRequestMaxBytes of {}", config.max_bytes).into()));
        }
        let most = config.max_waiting.max(1);
        if let Some((code, why)) = self.group_objection(wish, now) {
            return Some((code, why.into()));
        }
        if wish.no_wait {
            let pending = self.outstanding + self.again.len() as u64;
            if pending == 0 && wish.expires == 0 {
                return Some((404, "No Messages".into()));
            }
            if pending > 0 && pending < self.waiting.wanted() {
                return Some((408, "Requests Pending".into()));
            }
        }
        if self.waiting.len() as i64 >= most {
            return Some((409, MAX_WAITING.into()));
        }
        None
    }
}

impl Stream {
    fn make_consumer(
        &mut self,
        name: &str,
        (mut config, action): (ConsumerConfig, &str),
        request: Request<'_>,
    ) -> Result<ConsumerInfo, ApiError> {
        let unix = request.times.unix;
        if let Some(known) = self.consumers.get_mut(name) {
            // Only a request of its own changes how long it pauses.
            config.pause_until = known.config.pause_until;
            config.note_level();
            let same = ConsumerConfig { name: String::new(), ..known.config.clone() }
                == ConsumerConfig { name: String::new(), ..config.clone() };
            if action == "create" && !same {
                return Err(ApiError::consumer_exists());
            }
            if self.config.retention == Retention::WorkQueue {
                self.check_partition(name, &config.filters())?;
            }
            let Some(known) = self.consumers.get_mut(name) else {
                return Err(ApiError::consumer_not_found());
            };
            if !same {
                known.may_become(&config)?;
                let moved = known.config.deliver_subject != config.deliver_subject;
                if moved && request.is_bound(known) {
                    return Err(ApiError::consumer_name_in_use());
                }
                let config = ConsumerConfig { name: known.config.name.clone(), ..config };
                let paced = known.config.rate_limit_bps != config.rate_limit_bps;
                known.reconfigure(config, &mut self.store);
                if paced {
                    known.begin_pacing(&self.config, (0, request.times.now));
                }
                if let Some(log) = &mut self.log {
                    log.created(known);
                }
            }
            self.awake = true;
            self.tell_of_pause(name);
            let Some(known) = self.consumers.get(name) else { return Err(ApiError::consumer_not_found()) };
            return Ok(known.info(&self.config.name, unix, request.is_bound(known)));
        }
        if action == "update" {
            return Err(ApiError::consumer_does_not_exist());
        }
        if self.config.max_consumers > 0 && self.consumers.len() as i64 >= self.config.max_consumers {
            return Err(ApiError::maximum_consumers());
        }
        self.check_workqueue(&config)?;
        if let Some(Err(error)) = self.log.as_mut().map(ConsumerLog::begin) {
            if !is_full(&error) {
                self.failed.get_or_insert(error);
            }
            return Err(ApiError::insufficient_resources());
        }
        let mut consumer = Consumer::new(name, config, unix, &mut self.store);
        consumer.active_at = request.times.now;
        consumer.begin_pause(unix);
        consumer.begin_pacing(&self.config, (self.store.books.last, request.times.now));
        if let Some(log) = &mut self.log {
            log.created(&consumer);
            log.changed(&mut consumer);
        }
        let info = consumer.info(&self.config.name, unix, request.is_bound(&consumer));
        self.consumers.insert(name.to_owned(), consumer);
        self.tell_of_consumer(name, "create");
        self.tell_of_pause(name);
        self.awake = true;
        Ok(info)
    }

    /// Whether the consumers that are there are within the limits of a changed configuration.
    pub(super) fn check_consumers(&self, new: &StreamConfig) -> Result<(), ApiError> {
        let limits = &new.consumer_limits;
        if *limits == self.config.consumer_limits {
            return Ok(());
        }
        // A limit that is left out is 0 here, as by the real server, and most consumers are above it.
        let over = |consumer: &&Consumer| {
            let config = &consumer.config;
            config.inactive_threshold > limits.inactive_threshold
                || u64::try_from(config.max_ack_pending).unwrap_or(0) > limits.max_ack_pending
        };
        let names: Vec<&str> =
            self.consumers.values().filter(over).map(|consumer| consumer.name.as_str()).collect();
        if names.is_empty() { Ok(()) } else { Err(ApiError::limits_violated(&names)) }
    }

    /// Each message of a work queue has one consumer.
    fn check_workqueue(&self, config: &ConsumerConfig) -> Result<(), ApiError> {
        if self.config.retention != Retention::WorkQueue {
            return Ok(());
        }
        if config.ack_policy != AckPolicy::Explicit {
            return Err(ApiError::workqueue_requires_explicit());
        }
        if !self.consumers.is_empty() {
            let own = config.filters();
            if own.is_empty() {
                return Err(ApiError::workqueue_not_filtered());
            }
            self.check_partition("", &own)?;
        }
        if config.deliver_policy == DeliverPolicy::All {
            Ok(())
        } else {
            Err(ApiError::workqueue_deliver_all())
        }
    }

    /// No other consumer than `name` may want any of a work queue's messages that `filters` want.
    fn check_partition(&self, name: &str, filters: &[Box<[u8]>]) -> Result<(), ApiError> {
        let others = self.consumers.values().filter(|consumer| consumer.name != name);
        let clash = |consumer: &Consumer| {
            let theirs = consumer.filters();
            theirs.is_empty() || theirs.iter().any(|theirs| filters.iter().any(|own| overlap(own, theirs)))
        };
        let taken = !filters.is_empty() && others.into_iter().any(clash);
        if taken { Err(ApiError::workqueue_not_unique()) } else { Ok(()) }
    }

    /// Takes a consumer away; whether it was there.
    pub(super) fn drop_consumer(&mut self, name: &str, outbox: &mut Outbox) -> bool {
        let Some(mut consumer) = self.consumers.remove(name) else { return false };
        consumer.waiting.end_all(outbox, 409, "Consumer Deleted");
        if let Some(log) = &mut self.log {
            log.deleted(name);
        }
        self.tell_of_consumer(name, "delete");
        self.release(consumer.reckoned.stream);
        true
    }

    /// Tells whoever made or changed a consumer that it pauses.
    fn tell_of_pause(&mut self, name: &str) {
        if let Some(consumer) = self.consumers.get_mut(name).filter(|consumer| consumer.paused) {
            consumer.tell_of_pause();
            consumer.take_news(&self.config.name, &mut self.news);
        }
    }

    fn tell_of_consumer(&mut self, name: &str, action: &'static str) {
        let stream = self.config.name.clone();
        self.news.push(News::Consumer { stream, consumer: name.to_owned(), action });
    }
}

impl Consumer {
    /// Whether an update may turn this into `new`.
    fn may_become(&self, new: &ConsumerConfig) -> Result<(), ApiError> {
        let old = &self.config;
        let fixed = [
            (old.deliver_policy != new.deliver_policy, "deliver policy can not be updated"),
            (old.opt_start_seq != new.opt_start_seq, "start sequence can not be updated"),
            (old.opt_start_time != new.opt_start_time, "start time can not be updated"),
            (old.ack_policy != new.ack_policy, "ack policy can not be updated"),
            (old.replay_policy != new.replay_policy, "replay policy can not be updated"),
            (old.idle_heartbeat != new.idle_heartbeat, "heart beats can not be updated"),
            (old.flow_control != new.flow_control, "flow control can not be updated"),
            (!old.is_push() && new.is_push(), "can not update pull consumer to push based"),
            (old.is_push() && !new.is_push(), "can not update push consumer to pull based"),
            (old.max_waiting != new.max_waiting, "max waiting can not be updated"),
        ];
        match fixed.iter().find(|(changed, _)| *changed) {
            Some((_, why)) => Err(ApiError::consumer_config(*why)),
            None => Ok(()),
        }
    }
}
