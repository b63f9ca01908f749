//! From the tree to a target: driver, options and broker.

use std::time::Duration;

use super::broker::{Broker, Managed, Transport};
use super::document::{Node, Value};
use super::dual_write::{DualWrite, Move};
use super::model::{DriverConfig, Target};
use super::options::{
    JetstreamOptions, LoopbackOptions, NatsCoreOptions, RedisClusterOptions, RedisPubsubOptions,
    RedisStreamsOptions, Sync,
};
use super::options_kafka::KafkaOptions;
use super::reader::Reader;
use super::spec;
use super::spec_dual_write::{DUAL_WRITE, MOVE};

/// One `[[target]]`.
pub(super) fn target(table: &Reader<'_>) -> Target {
    let driver = driver(table);
    Target {
        name: table.text("name").unwrap_or_default(),
        broker: broker(table, &driver),
        dual_write: table
            .given("dual_write")
            .map(|node| dual_write(&table.table("dual_write", node, DUAL_WRITE))),
        optional: table.flag("optional"),
        price_per_hour: if table.has("price_per_hour") { table.number("price_per_hour") } else { None },
        driver,
    }
}

fn dual_write(table: &Reader<'_>) -> DualWrite {
    let driver = driver(table);
    let moves = table.items("move").into_iter().map(|(path, node)| {
        let one = table.item(&path, node, MOVE);
        Move { at: one.span("at").unwrap_or_default(), subscribers: one.count("subscribers", 1) }
    });
    DualWrite {
        broker: broker(table, &driver),
        from: if table.has("from") { table.span("from") } else { None },
        moves: moves.collect(),
        driver,
    }
}

fn driver(table: &Reader<'_>) -> DriverConfig {
    let name = table.text("driver").unwrap_or_default();
    let empty = Node::table(table.place("driver"));
    let node = table.given("options").unwrap_or(&empty);
    let Some((_, keys)) = spec::DRIVERS.iter().find(|(known, _)| *known == name) else {
        if table.has("driver") && !name.is_empty() {
            let known: Vec<&str> = spec::DRIVERS.iter().map(|(known, _)| *known).collect();
            table.unknown_word("driver", &name, &known);
        }
        return DriverConfig::NatsCore(NatsCoreOptions::default());
    };
    let options = Reader::new(table.context(), node, &table.path_of("options"), keys);
    match name.as_str() {
        "loopback" => DriverConfig::Loopback(loopback(&options)),
        "redis-pubsub" => DriverConfig::RedisPubsub(RedisPubsubOptions {
            client: options.word("client"),
            protocol: options.word("protocol"),
        }),
        "redis-cluster" => DriverConfig::RedisCluster(RedisClusterOptions { mode: options.word("mode") }),
        "redis-streams" => DriverConfig::RedisStreams(redis_streams(&options)),
        "jetstream" => DriverConfig::Jetstream(jetstream(&options)),
        "kafka" => DriverConfig::Kafka(kafka(&options)),
        _ => DriverConfig::NatsCore(NatsCoreOptions { client: options.word("client") }),
    }
}

fn loopback(options: &Reader<'_>) -> LoopbackOptions {
    let share = |name| options.number(name).unwrap_or(0.0);
    let span = |name| options.span(name).unwrap_or_default();
    LoopbackOptions {
        drop: share("drop"),
        duplicate: share("duplicate"),
        reorder: share("reorder"),
        corrupt: share("corrupt"),
        delay: span("delay"),
        stall_at: span("stall_at"),
        stall_for: span("stall_for"),
    }
}

fn redis_streams(options: &Reader<'_>) -> RedisStreamsOptions {
    RedisStreamsOptions {
        consumer: options.word("consumer"),
        max_length: options.whole("max_length", 0),
        trim: options.word("trim"),
        aof: options.word("aof"),
        batch: options.count("batch", 1),
        claim_after: options.span("claim_after").unwrap_or_default(),
    }
}

fn jetstream(options: &Reader<'_>) -> JetstreamOptions {
    let always = options.given("sync").is_some_and(|node| node.value == Value::Text("always".to_owned()));
    JetstreamOptions {
        client: options.word("client"),
        storage: options.word("storage"),
        replicas: u8::try_from(options.whole("replicas", 1)).unwrap_or(1),
        sync: if always { Sync::Always } else { Sync::Interval(options.span("sync").unwrap_or_default()) },
        consumer: options.word("consumer"),
        ack: options.word("ack"),
        ack_wait: options.span("ack_wait").unwrap_or_default(),
        max_ack_pending: options.count("max_ack_pending", 1),
        deliver: options.word("deliver"),
        pull_batch: options.count("pull_batch", 1),
        retention: options.word("retention"),
        max_messages: options.whole("max_messages", 0),
        max_bytes: options.whole("max_bytes", 0),
        max_age: options.span("max_age").unwrap_or_default(),
        discard: options.word("discard"),
        max_deliver: options.count("max_deliver", 0),
        message_ids: options.flag("message_ids"),
    }
}

fn kafka(options: &Reader<'_>) -> KafkaOptions {
    KafkaOptions {
        acks: options.word("acks"),
        linger: options.span("linger").unwrap_or_default(),
        batch_bytes: options.count("batch_bytes", 1),
        idempotence: options.flag("idempotence"),
        compression: options.word("compression"),
        partitions: options.count("partitions", 1),
        replicas: u8::try_from(options.whole("replicas", 1)).unwrap_or(1),
        consumer: options.word("consumer"),
        commit_interval: options.span("commit_interval").unwrap_or_default(),
        flush: options.word("flush"),
    }
}

fn broker(table: &Reader<'_>, driver: &DriverConfig) -> Broker {
    let Some(node) = table.given("broker") else {
        return match driver {
            DriverConfig::Loopback(_) => Broker::None,
            _ => Broker::Managed(Managed::of(driver)),
        };
    };
    if matches!(node.value, Value::Table(_)) {
        return broker_table(table, node, driver);
    }
    match table.text_of("broker", node).as_deref() {
        Some("managed") => Broker::Managed(Managed::of(driver)),
        Some("bundled") => Broker::Bundled,
        Some("none") | None => Broker::None,
        Some(other) => {
            let forms = [
                "managed",
                "bundled",
                "none",
                "{ nodes = …, config = … }",
                "{ url = … }",
                "{ command = …, url = … }",
            ];
            table.unknown_word("broker", other, &forms);
            Broker::None
        }
    }
}

fn broker_table(table: &Reader<'_>, node: &Node, driver: &DriverConfig) -> Broker {
    let inner = Reader::new(table.context(), node, &table.path_of("broker"), spec::BROKER);
    let ready = inner.has("ready_within");
    let ours = ["server", "nodes", "transport", "config"].iter().any(|key| inner.has(key));
    match (ours, inner.has("url"), inner.has("command")) {
        (true, false, false) if !ready => Broker::Managed(managed(&inner, driver)),
        (false, true, false) if !ready => Broker::External { url: inner.text("url").unwrap_or_default() },
        (false, true, true) => Broker::Command {
            argv: argv(&inner),
            url: inner.text("url").unwrap_or_default(),
            ready_within: ready_within(&inner),
        },
        _ => {
            let allowed = "`server`, `nodes`, `transport` and `config` (managed), `url` alone (already there), \
                           or `command` with `url` and, if wanted, `ready_within`";
            table.problem("broker", format!("these keys do not go together; allowed is {allowed}"));
            Broker::None
        }
    }
}

fn managed(inner: &Reader<'_>, driver: &DriverConfig) -> Managed {
    let usual = Managed::of(driver);
    Managed {
        server: if inner.has("server") { inner.word("server") } else { usual.server },
        nodes: inner.count("nodes", usual.nodes),
        transport: if inner.has("transport") { inner.word("transport") } else { Transport::Tcp },
        config: settings(inner),
    }
}

fn ready_within(inner: &Reader<'_>) -> Duration {
    if inner.has("ready_within") {
        return inner.span("ready_within").unwrap_or_default();
    }
    spec::READY_WITHIN
}

fn settings(inner: &Reader<'_>) -> Vec<(String, String)> {
    let Some(node) = inner.given("config") else { return Vec::new() };
    if !matches!(node.value, Value::Table(_)) {
        inner.problem("config", format!("{} is no table; write {{ \"key\" = \"value\" }}", node.describe()));
    }
    let entries = node.entries().iter();
    entries
        .filter_map(|entry| {
            let value = match &entry.node.value {
                Value::Text(text) => text.clone(),
                Value::Whole(number) => number.to_string(),
                Value::Float(number) => number.to_string(),
                Value::Flag(flag) => flag.to_string(),
                _ => {
                    let given = entry.node.describe();
                    inner.problem(
                        "config",
                        format!("`{}` is {given}; allowed is a text or a number", entry.name),
                    );
                    return None;
                }
            };
            Some((entry.name.clone(), value))
        })
        .collect()
}

fn argv(inner: &Reader<'_>) -> Vec<String> {
    match inner.given("command").map(|node| &node.value) {
        Some(Value::List(items)) if !items.is_empty() => {
            items.iter().filter_map(|item| inner.text_of("command", item)).collect()
        }
        _ => {
            inner.problem("command", "allowed is a list with the program and its arguments, each a text");
            Vec::new()
        }
    }
}
