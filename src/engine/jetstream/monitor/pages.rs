//! What is shown, under nats-server's names.

use super::{Answer, Refusal, Request};
use crate::clock::Nanos;
use crate::engine::jetstream::access::GLOBAL;
use crate::engine::jetstream::client::{Client, Subscription};
use crate::engine::jetstream::server::Server;
use crate::engine::jetstream::settings::{FOLLOWS, SyncPolicy};
use crate::engine::jetstream::streams::stamp;
use crate::engine::jetstream::sublist::Sublist;
use mio::Token;
use serde_json::{Value, json};

/// Things listed in one answer if nothing is said.
const LIMIT: u64 = 1024;
/// A second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// Ticks of the system's processor clock in a second, as Linux shows them to programs.
const TICKS: u64 = 100;

/// A duration as nats-server writes it: whole seconds, minutes, hours and days.
fn spell(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let mut text = String::new();
    for (number, unit) in [(days, "d"), (hours, "h"), (minutes, "m")] {
        if number > 0 || !text.is_empty() {
            text += &format!("{number}{unit}");
        }
    }
    text + &format!("{}s", seconds % 60)
}

/// Bytes in memory, as the system tells.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Processor time so far, in nanoseconds.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The program's name may hold anything; what follows its bracket is counted.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks * (SECOND / TICKS)
}

impl Server {
    /// Serves whoever watches.
    pub(in super::super) fn watch_event(&mut self, token: Token, (readable, writable): (bool, bool)) {
        let now = self.clock.now();
        let Some(watch) = &mut self.watch else { return };
        if token == super::WATCH {
            return watch.accept(self.poll.registry(), now);
        }
        let request = if readable { watch.read(token) } else { None };
        match request {
            Some(Ok(request)) => {
                let page = self.page(&request);
                let answer = page.unwrap_or_else(Answer::refusal);
                if let Some(watch) = &mut self.watch {
                    watch.answer(token, Some(&answer));
                }
            }
            Some(Err(refusal)) => watch.answer(token, Some(&Answer::refusal(refusal))),
            None if writable => watch.answer(token, None),
            None => {}
        }
    }

    fn page(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let known = matches!(
            &*request.path,
            "/" | "/varz" | "/connz" | "/subsz" | "/subscriptionsz" | "/jsz" | "/healthz" | "/accountz"
        );
        if known && let Some(watch) = &mut self.watch {
            *watch.requests.entry(request.path.clone()).or_default() += 1;
        }
        Ok(match &*request.path {
            "/" => root(),
            "/varz" => Answer::json(&self.varz()),
            "/connz" => Answer::json(&self.connz(request)?),
            "/subsz" | "/subscriptionsz" => Answer::json(&self.subsz(request)?),
            "/jsz" => Answer::json(&self.jsz(request)?),
            "/healthz" => self.healthz(request)?,
            "/accountz" => Answer::json(&self.accountz()),
            _ => Answer::nothing(),
        })
    }

    fn varz(&mut self) -> Value {
        let (unix, now) = (self.unix(), self.clock.now());
        let Some(watch) = &mut self.watch else { return Value::Null };
        let (used, looked) = std::mem::replace(&mut watch.used, (processor_time(), now));
        let share = 100.0 * (watch.used.0.saturating_sub(used)) as f64 / (now - looked).max(1) as f64;
        let (started, address, requests) = (watch.started, watch.address, watch.requests.clone());
        let (all, stats) = (&self.settings, &self.hub.stats);
        let mut page = json!({
            "server_id": self.info.id(), "server_name": self.info.name(), "version": FOLLOWS, "proto": 1,
            "git_commit": self.info.commit(), "go": "none", "host": self.address.ip().to_string(),
            "port": self.address.port(), "http_host": address.ip().to_string(), "http_port": address.port(),
            "http_base_path": "", "https_port": 0, "cluster": {}, "gateway": {}, "leaf": {}, "mqtt": {},
            "websocket": {}, "jetstream": {},
        });
        let limits = json!({
            "max_connections": all.max_connections, "ping_interval": all.ping_interval.as_nanos() as u64,
            "ping_max": all.ping_max, "auth_timeout": all.auth_timeout.as_secs_f64(),
            "max_control_line": all.max_control_line, "max_payload": all.max_payload,
            "max_pending": all.max_pending, "tls_timeout": all.tls_timeout.as_secs_f64(),
            "write_deadline": all.write_deadline.as_nanos() as u64,
        });
        let process = json!({
            "start": stamp(started), "now": stamp(unix), "uptime": spell(unix.saturating_sub(started)),
            "mem": resident(), "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "gomaxprocs": 1, "cpu": (share * 10.0).round() / 10.0, "config_load_time": stamp(started),
            "http_req_stats": requests,
        });
        let traffic = json!({
            "connections": self.hub.clients.len(), "total_connections": stats.total_connections,
            "routes": 0, "remotes": 0, "leafnodes": 0, "in_msgs": stats.in_messages, "out_msgs": stats.out_messages,
            "in_bytes": stats.in_bytes, "out_bytes": stats.out_bytes, "slow_consumers": stats.slow_consumers,
            "subscriptions": self.hub.subjects.iter().map(Sublist::len).sum::<usize>(),
            "slow_consumer_stats": { "clients": stats.slow_consumers, "routes": 0, "gateways": 0, "leafs": 0 },
        });
        for part in [limits, process, traffic] {
            if let (Some(page), Value::Object(part)) = (page.as_object_mut(), part) {
                page.extend(part);
            }
        }
        if !all.credentials.is_empty() {
            page["auth_required"] = true.into();
        }
        if let Some(files) = &all.tls {
            page["tls_required"] = true.into();
            page["tls_verify"] = files.clients.is_some().into();
        }
        if all.max_subscriptions > 0 {
            page["max_subscriptions"] = all.max_subscriptions.into();
        }
        if let Some(streams) = &self.streams {
            page["jetstream"] =
                json!({ "config": self.streams_config(), "stats": streams.stats(None), "limits": {} });
        }
        page
    }

    /// How streams are set up; a limit of -1 is none.
    fn streams_config(&self) -> Value {
        let Some(all) = &self.settings.jetstream else { return json!({ "max_memory": 0, "max_storage": 0 }) };
        let limit = |limit: Option<u64>| limit.map_or(-1, |limit| limit as i64);
        let mut config = json!({
            "max_memory": limit(all.max_memory), "max_storage": limit(all.max_file),
            "store_dir": all.store_dir.display().to_string(),
        });
        match all.sync {
            SyncPolicy::Always => config["sync_always"] = true.into(),
            SyncPolicy::Interval(interval) => config["sync_interval"] = (interval.as_nanos() as u64).into(),
        }
        config
    }

    fn connz(&mut self, request: &Request) -> Result<Value, Refusal> {
        let (offset, cid) = (request.number("offset", 0)? as usize, request.number("cid", 0)?);
        let limit = if cid > 0 { 1 } else { request.number("limit", LIMIT)? as usize };
        let auth = request.switch("auth")?;
        let detail = request.text("subs") == "detail";
        let list = !detail && request.switch("subs")?;
        let (account, user) = (request.text("acc"), request.text("user"));
        let closed = request.text("state") == "closed";
        let mut chosen: Vec<&Client> = self
            .hub
            .clients
            .iter()
            .map(|(_, client)| client)
            .filter(|client| !closed && (cid == 0 || client.identity.id == cid))
            .filter(|client| account.is_empty() || self.account_name(client.account) == account)
            .filter(|client| user.is_empty() || client.identity.user == user)
            .collect();
        chosen.sort_by_key(|client| client.identity.id);
        sort(&mut chosen, request.text("sort"))?;
        let total = chosen.len();
        let shown: Vec<Value> = chosen
            .into_iter()
            .skip(offset)
            .take(limit)
            .map(|client| {
                let mut shown = self.connection(client);
                if auth {
                    self.name_user(client, &mut shown);
                }
                let subscriptions = client.subscriptions.iter().map(|(_, one)| one);
                if detail {
                    shown["subscriptions_list_detail"] =
                        subscriptions.map(|one| subscription(one, client)).collect();
                } else if list {
                    shown["subscriptions_list"] =
                        subscriptions.map(|one| String::from_utf8_lossy(&one.subject).into_owned()).collect();
                }
                shown
            })
            .collect();
        Ok(json!({
            "server_id": self.info.id(), "now": stamp(self.unix()), "num_connections": shown.len(), "total": total,
            "offset": offset, "limit": limit, "connections": shown,
        }))
    }

    /// Who somebody is; nobody in particular is not named.
    fn name_user(&self, client: &Client, shown: &mut Value) {
        let account = self.account_name(client.account);
        shown["name_tag"] = account.into();
        if !client.identity.user.is_empty() {
            shown["authorized_user"] = client.identity.user.clone().into();
        }
        if account != GLOBAL {
            shown["account"] = account.into();
        }
    }

    fn connection(&self, client: &Client) -> Value {
        let (identity, traffic) = (&client.identity, &client.traffic);
        let (unix, now) = (self.unix(), self.clock.now());
        let idle: Nanos = now.saturating_sub(client.heard_at);
        let mut shown = json!({
            "cid": identity.id, "kind": "Client", "type": "nats", "ip": identity.address.ip().to_string(),
            "port": identity.address.port(), "start": stamp(identity.since),
            "last_activity": stamp(unix.saturating_sub(idle)), "uptime": spell(now.saturating_sub(client.connected_at)),
            "idle": spell(idle), "pending_bytes": client.output.pending(),
            "in_msgs": traffic.in_messages, "out_msgs": traffic.out_messages,
            "in_bytes": traffic.in_bytes, "out_bytes": traffic.out_bytes,
            "subscriptions": client.subscriptions.len(),
        });
        let said = [("name", &identity.name), ("lang", &identity.lang), ("version", &identity.version)];
        for (name, text) in said.into_iter().filter(|(_, text)| !text.is_empty()) {
            shown[name] = text.clone().into();
        }
        shown
    }

    fn subsz(&mut self, request: &Request) -> Result<Value, Refusal> {
        let (offset, limit) =
            (request.number("offset", 0)? as usize, request.number("limit", LIMIT)? as usize);
        let (account, test) = (request.text("acc"), request.text("test"));
        let mut page = self.hub.subscription_stats();
        if !request.switch("subs")? && test.is_empty() {
            return Ok(page);
        }
        let wanted = |client: &&Client| account.is_empty() || self.account_name(client.account) == account;
        let matching = |one: &Subscription| {
            test.is_empty() || crate::wire::nats::subject::matches(&one.subject, test.as_bytes())
        };
        let clients = self.hub.clients.iter().map(|(_, client)| client).filter(wanted);
        let mut all: Vec<(u64, Value)> = Vec::new();
        for client in clients {
            let own = client.subscriptions.iter().map(|(_, one)| one).filter(|one| matching(one));
            all.extend(own.map(|one| {
                let mut shown = subscription(one, client);
                shown["account"] = self.account_name(client.account).into();
                (client.identity.id, shown)
            }));
        }
        all.sort_by_key(|(id, _)| *id);
        page["server_id"] = self.info.id().into();
        page["now"] = stamp(self.unix());
        page["total"] = all.len().into();
        page["offset"] = offset.into();
        page["limit"] = limit.into();
        page["subscriptions_list"] = all.into_iter().skip(offset).take(limit).map(|(_, one)| one).collect();
        Ok(page)
    }

    fn jsz(&mut self, request: &Request) -> Result<Value, Refusal> {
        let consumers = request.switch("consumers")?;
        let streams = request.switch("streams")? || consumers;
        let named = request.text("acc");
        let accounts = request.switch("accounts")? || streams || !named.is_empty();
        let config = request.switch("config")?;
        let number = self.settings.accounts.iter().position(|account| account.name == named);
        let (now, settings, id) = (self.unix(), self.streams_config(), self.info.id().to_owned());
        let Some(all) = &mut self.streams else {
            return Ok(json!({ "server_id": id, "now": stamp(now), "disabled": true, "config": settings }));
        };
        let mut page = all.stats(None);
        let totals = all.totals();
        page["server_id"] = id.into();
        page["now"] = stamp(now);
        page["config"] = settings;
        page["limits"] = json!({});
        for (name, number) in ["streams", "consumers", "messages", "bytes"].iter().zip(totals) {
            page[*name] = number.into();
        }
        let shown: Vec<(u32, &str)> = (0..)
            .zip(&self.settings.accounts)
            .filter(|(at, account)| {
                account.streams.is_some() && (named.is_empty() || number == Some(*at as usize))
            })
            .map(|(at, account)| (at, account.name.as_str()))
            .collect();
        page["total"] = shown.len().into();
        if accounts {
            let detail = |(at, name): (u32, &str)| {
                let mut detail = all.stats(Some(at));
                detail["name"] = name.into();
                detail["id"] = name.into();
                if streams {
                    detail["stream_detail"] = all.details(at, (config, consumers), now);
                }
                detail
            };
            page["account_details"] = shown.into_iter().map(detail).collect();
        }
        Ok(page)
    }

    fn healthz(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let bad = |status, error: String| {
            let body = json!({ "status": "unavailable", "error": error }).to_string();
            Answer { status, kind: "application/json", body }
        };
        let named = request.text("account");
        let (stream, consumer) = (request.text("stream"), request.text("consumer"));
        let wants_streams = request.switch("js-enabled-only")? || request.switch("js-enabled")?;
        if self.streams.is_none() && wants_streams {
            return Ok(bad("503 Service Unavailable", "JetStream not enabled".to_owned()));
        }
        if !stream.is_empty() && named.is_empty() {
            return Ok(bad("400 Bad Request", "account must be specified when stream is".to_owned()));
        }
        let number = self.settings.accounts.iter().position(|account| account.name == named);
        let not_found = |what: String| bad("404 Not Found", what);
        if !named.is_empty() && number.is_none() {
            return Ok(not_found(format!("JetStream account {named:?} not found")));
        }
        let held = match (&self.streams, number) {
            (Some(streams), Some(number)) => streams.holds(number as u32, stream, consumer),
            _ => (stream.is_empty(), consumer.is_empty()),
        };
        Ok(match held {
            (false, _) if !stream.is_empty() => {
                not_found(format!("JetStream stream {stream:?} not found on account {named:?}"))
            }
            (_, false) if !consumer.is_empty() => not_found(format!(
                "JetStream consumer {consumer:?} not found for stream {stream:?} on account {named:?}"
            )),
            _ => Answer { status: "200 OK", kind: "application/json", body: r#"{"status":"ok"}"#.to_owned() },
        })
    }

    fn accountz(&self) -> Value {
        let names: Vec<&str> = self.settings.accounts.iter().map(|account| account.name.as_str()).collect();
        json!({ "server_id": self.info.id(), "now": stamp(self.unix()), "accounts": names })
    }

    fn account_name(&self, number: u32) -> &str {
        self.settings.accounts.get(number as usize).map_or("", |account| &account.name)
    }

    /// Nanoseconds since 1970, as at the start of the tick.
    fn unix(&self) -> u64 {
        self.times.unix
    }
}

fn subscription(one: &Subscription, client: &Client) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut shown = json!({
        "subject": text(&one.subject), "sid": text(&one.sid), "msgs": one.delivered, "cid": client.identity.id,
    });
    if !one.queue.is_empty() {
        shown["qgroup"] = text(&one.queue).into();
    }
    if one.max > 0 {
        shown["max"] = one.max.into();
    }
    shown
}

/// Orders connections, the largest first but for times and numbers.
fn sort(all: &mut [&Client], by: &str) -> Result<(), Refusal> {
    let largest: fn(&Client) -> u64 = match by {
        "" | "cid" | "start" => return Ok(()),
        "subs" => |client| client.subscriptions.len() as u64,
        "pending" => |client| client.output.pending() as u64,
        "msgs_to" => |client| client.traffic.out_messages,
        "msgs_from" => |client| client.traffic.in_messages,
        "bytes_to" => |client| client.traffic.out_bytes,
        "bytes_from" => |client| client.traffic.in_bytes,
        "last" => |client| client.heard_at,
        "idle" => |client| u64::MAX - client.heard_at,
        "uptime" => |client| u64::MAX - client.connected_at,
        other => return Err(Refusal::Parameter(format!("invalid sorting option: {other}"))),
    };
    all.sort_by_key(|client| std::cmp::Reverse(largest(client)));
    Ok(())
}

fn root() -> Answer {
    let link = |page: &&str| format!("<a href=\"./{page}\">{page}</a><br>\n");
    let pages = ["varz", "jsz", "connz", "accountz", "subsz", "healthz"];
    let links: String = pages.iter().map(link).collect();
    let body = format!(
        "<!doctype html>\n<html lang=\"en\"><title>busmark-jetstream</title>\n<body>\n{links}</body></html>\n"
    );
    Answer { status: "200 OK", kind: "text/html; charset=utf-8", body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spelt_as_by_nats_server() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3_661, "1h1m1s"),
            (90_061, "1d1h1m1s"),
            (86_400, "1d0h0m0s"),
        ] {
            assert_eq!(spell(seconds * SECOND), text);
        }
    }

    #[test]
    fn memory_and_processor_time_are_those_of_this_process() {
        assert!(resident() > 1 << 20, "{}", resident());
        let before = processor_time();
        let mut sum = 0u64;
        while processor_time() == before {
            sum = (0..1_000_000u64).fold(sum, |sum, number| sum.wrapping_mul(31).wrapping_add(number));
        }
        assert!(processor_time() > before, "{sum}");
    }
}
