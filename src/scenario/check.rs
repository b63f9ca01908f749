//! Rules that span several keys. A rule is left out while one of its keys is known to be wrong.

use std::collections::HashSet;
use std::time::Duration;

use crate::units;

use super::broker::{Broker, Managed, Transport};
use super::check_dual_write;
use super::check_happenings;
use super::check_kafka;
use super::document::{At, Node, Value};
use super::model::{
    Arrival, Delivery, DriverConfig, Extent, Fill, Rate, Scenario, Subscribe, SubscribeBy, Target, Workload,
};
use super::options::{
    AckPolicy, Aof, Client, ConsumerKind, Discard, JetstreamOptions, RedisStreamsOptions, Retention, Storage,
    StreamConsumer, Sync,
};
use super::problem::Problems;
use super::spec::{ACTORS_MAX, PAYLOAD_MAX};
use super::traffic::{Shape, TopicChoice};
use super::url;
use super::words::Word;

/// nats-server's max_payload, if its configuration says nothing.
const NATS_PAYLOAD_MAX: usize = 1 << 20;
/// The stamp counts 2^48 nanoseconds, 78 hours.
const TRIAL_MAX: Duration = Duration::from_secs(72 * 3600);

/// The tree and where to complain.
pub(super) struct Rules<'a> {
    root: &'a Node,
    problems: &'a Problems<'a>,
}

/// Applies every rule.
pub(super) fn check(scenario: &Scenario, root: &Node, problems: &Problems<'_>) {
    let rules = Rules { root, problems };
    connections(&rules, &scenario.workload);
    actors(&rules, &scenario.workload);
    check_happenings::audiences(&rules, &scenario.workload);
    lengths(&rules, scenario);
    traffic(&rules, scenario);
    check_happenings::check(&rules, scenario);
    names(&rules, scenario);
    for (index, target) in scenario.targets.iter().enumerate() {
        let path = format!("target[{index}]");
        system(&rules, &path, target, &scenario.workload);
        if let Some(new) = target.new_system() {
            system(&rules, &format!("{path}.dual_write"), &new, &scenario.workload);
            check_dual_write::check(&rules, &path, target, scenario);
        }
    }
    expects(&rules, scenario);
}

/// One system: its broker, its driver, and whether it can do what the workload asks.
fn system(rules: &Rules<'_>, path: &str, target: &Target, workload: &Workload) {
    broker(rules, path, target);
    options(rules, path, target);
    capable(rules, path, target, workload);
    payload(rules, path, target, workload);
}

impl Rules<'_> {
    /// If `broken` and none of `keys` is known to be wrong already, complains at the first of them.
    pub(super) fn refuse(&self, broken: bool, keys: &[&str], message: impl FnOnce() -> String) {
        if broken && !keys.iter().any(|key| self.problems.touch(key)) {
            self.problems.add(self.place(keys[0]), keys[0], message());
        }
    }

    /// Where a key stands, or else the innermost table around it that does.
    fn place(&self, path: &str) -> At {
        let mut here = self.root;
        for step in path.split('.') {
            let (name, index) = match step.split_once('[') {
                Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
                None => (step, None),
            };
            let Some(node) = here.get(name) else { break };
            here = match (&node.value, index) {
                (Value::List(items), Some(index)) => items.get(index).unwrap_or(node),
                _ => node,
            };
        }
        here.at
    }
}

fn connections(rules: &Rules<'_>, workload: &Workload) {
    for (side, actors, connections, fewest) in [
        ("publisher", workload.publishers, workload.publisher_connections, 1),
        ("subscriber", workload.subscribers, workload.subscriber_connections, workload.subscribers.min(1)),
    ] {
        let (keys, all) = (format!("workload.{side}_connections"), format!("workload.{side}s"));
        rules.refuse(connections > actors || connections < fewest, &[&keys, &all], || {
            format!("{connections} connections for {actors} {side}s; allowed is {fewest} to {actors}")
        });
    }
}

fn actors(rules: &Rules<'_>, workload: &Workload) {
    let keys = ["workload.topics", "workload.subscribers", "workload.subscribe"];
    let paired = workload.subscribe == Subscribe::Paired;
    rules.refuse(paired && workload.subscribers == 0, &["workload.subscribe", keys[1]], || {
        "`paired` needs subscribers; allowed without any: `all`".to_owned()
    });
    let queue = workload.delivery == Delivery::WorkQueue;
    rules.refuse(queue && workload.subscribers == 0, &["workload.delivery", keys[1]], || {
        "`work_queue` needs subscribers; allowed without any: `fan_out`".to_owned()
    });
    let every = workload.topic_choice != TopicChoice::RoundRobin;
    let (publishers, topics) = (u64::from(workload.publishers), u64::from(workload.topics));
    let lanes = if every { publishers * topics } else { publishers.max(topics) };
    rules.refuse(lanes > ACTORS_MAX, &[keys[0], "workload.publishers", "workload.topic_choice"], || {
        let what = if every {
            "publishers × topics, since each writes to any"
        } else {
            "the larger of publishers and topics"
        };
        format!("{lanes} lanes ({what}); allowed is up to {ACTORS_MAX}")
    });
}

/// Bytes of payload bodies that a connection may keep.
const POOL_MAX_BYTES: u64 = 256 << 20;
/// Periods of a sine that a measured phase may have.
const PERIODS_MAX: f64 = 10_000.0;

/// Shapes, sizes and bodies.
fn traffic(rules: &Rules<'_>, scenario: &Scenario) {
    let workload = &scenario.workload;
    let shape = "workload.shape";
    let shaped = workload.shape != Shape::Flat;
    rules.refuse(shaped && workload.rate == Rate::Max, &[shape, "workload.rate"], || {
        "a rate of `max` has no shape; allowed is `flat`, or a rate in messages per second".to_owned()
    });
    let by_count = matches!(scenario.phases.measure, Extent::Messages(_));
    rules.refuse(shaped && by_count, &[shape, "phases.measure"], || {
        "a shape needs a measured phase by time; allowed is measure = \"10s\", or the shape `flat`".to_owned()
    });
    if let (Shape::Sine { period, .. }, Extent::Time(time)) = (&workload.shape, scenario.phases.measure) {
        let periods = time.as_secs_f64() / period.as_secs_f64().max(1e-9);
        rules.refuse(periods > PERIODS_MAX, &[shape, "phases.measure"], || {
            format!("{periods:.0} periods in the measured phase; allowed is up to {PERIODS_MAX}")
        });
    }
    rules.refuse(
        workload.rate == Rate::Max
            && workload.arrival != Arrival::Constant
            && workload.arrival != Arrival::Poisson,
        &["workload.arrival", "workload.rate"],
        || "a rate of `max` has no bursts; allowed is a rate in messages per second".to_owned(),
    );
    let (min, max) = (workload.payload.min(), workload.payload.max());
    rules.refuse(min != max && min < STAMPED_MIN, &["workload.payload"], || {
        format!("{min} bytes are too few to tell messages of different sizes apart; allowed is {STAMPED_MIN}B or more")
    });
    if let Fill::Pool { bodies, .. } = &workload.fill {
        let bytes = u64::from(*bodies) * max as u64;
        rules.refuse(bytes > POOL_MAX_BYTES, &["workload.fill", "workload.payload"], || {
            format!(
                "{} of bodies on each connection; allowed is up to {}",
                units::size(bytes),
                units::size(POOL_MAX_BYTES)
            )
        });
    }
    for (index, target) in scenario.targets.iter().enumerate() {
        let DriverConfig::Loopback(options) = &target.driver else { continue };
        let key = format!("target[{index}].options.corrupt");
        rules.refuse(options.corrupt > 0.0 && min != max && min <= 32, &[&key, "workload.payload"], || {
            "a bit behind the stamp can only be flipped where there is one; allowed are sizes above 32B"
                .to_owned()
        });
    }
}

/// Smallest payload of several sizes: a stamp's length.
pub(super) const STAMPED_MIN: usize = 16;

fn lengths(rules: &Rules<'_>, scenario: &Scenario) {
    let phases = &scenario.phases;
    let measure = match (phases.measure, scenario.workload.rate) {
        (Extent::Time(span), _) => span,
        (Extent::Messages(messages), Rate::PerSecond(rate)) => {
            Duration::try_from_secs_f64(messages as f64 / rate).unwrap_or(Duration::MAX)
        }
        (Extent::Messages(_), Rate::Max) => Duration::from_nanos(1),
    };
    rules.refuse(measure.is_zero(), &["phases.measure"], || {
        "nothing would be measured; allowed is more than 0s".to_owned()
    });
    let whole = phases.warm_up.saturating_add(measure).saturating_add(phases.drain);
    rules.refuse(whole > TRIAL_MAX, &["phases", "workload.rate"], || {
        format!("a trial would take {:.0} h; allowed is up to 72 h", whole.as_secs_f64() / 3600.0)
    });
}

fn names(rules: &Rules<'_>, scenario: &Scenario) {
    let mut seen = HashSet::new();
    for (index, target) in scenario.targets.iter().enumerate() {
        let key = format!("target[{index}].name");
        rules.refuse(!seen.insert(&target.name), &[&key], || {
            format!("`{}` names another target already; names have to differ", target.name)
        });
    }
}

fn broker(rules: &Rules<'_>, path: &str, target: &Target) {
    let (key, driver) = (format!("{path}.broker"), format!("{path}.driver"));
    let name = target.driver.name();
    let keys = [key.as_str(), driver.as_str()];
    if matches!(target.driver, DriverConfig::Loopback(_)) {
        rules.refuse(target.broker != Broker::None, &keys, || {
            "loopback has no broker; allowed is `none`, or nothing".to_owned()
        });
        return;
    }
    rules.refuse(target.broker == Broker::None, &keys, || {
        format!("{name} needs a broker; allowed: `managed`, `bundled`, {{ url = … }}, {{ command = … }}")
    });
    if let Broker::External { url } | Broker::Command { url, .. } = &target.broker {
        address(rules, (&format!("{key}.url"), &driver), target, url);
    }
    if let Broker::Managed(ours) = &target.broker {
        managed(rules, &key, &target.driver, ours);
    }
    if let Broker::Command { argv, url, .. } = &target.broker {
        let takes_port = |text: &String| text.contains("{port}");
        let command_key = format!("{key}.command");
        rules.refuse(takes_port(url) && !argv.iter().any(takes_port), &[&command_key], || {
            "the url says {port}, but no argument passes {port} to the server".to_owned()
        });
    }
}

/// Where a broker that isn't ours is: a scheme of its protocol, and no secret that would stand in a file.
fn address(rules: &Rules<'_>, (url_key, driver_key): (&str, &str), target: &Target, url: &str) {
    let schemes: &[&str] = if target.driver.speaks_redis() {
        &["redis://", "rediss://", "unix://"]
    } else if matches!(target.driver, DriverConfig::Kafka(_)) {
        &["kafka://"]
    } else {
        &["nats://", "tls://"]
    };
    let fits = schemes.iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme));
    rules.refuse(!fits, &[url_key, driver_key], || {
        let (name, scheme) = (target.driver.name(), schemes[0]);
        format!("`{}` is no address for {name}; allowed is {scheme}HOST:PORT", url::public(url))
    });
    rules.refuse(url::has_open_secret(url), &[url_key], || {
        format!(
            "`{}` has a password in it, which would stand in files and process lists; put it into an environment variable and write {}",
            url::public(url),
            url::with_variable(url)
        )
    });
}

/// What a broker of ours can be.
fn managed(rules: &Rules<'_>, key: &str, driver: &DriverConfig, managed: &Managed) {
    let (server, name) = (managed.server.word(), driver.name());
    rules.refuse(!driver.servers().contains(&managed.server), &[&format!("{key}.server")], || {
        let allowed: Vec<&str> = driver.servers().iter().map(|server| server.word()).collect();
        format!("{server} doesn't speak the protocol of {name}; allowed: {}", allowed.join(", "))
    });
    let (nodes, allowed) = (managed.nodes, driver.nodes());
    rules.refuse(!allowed.contains(&nodes), &[&format!("{key}.nodes")], || {
        let (fewest, most) = (allowed.start(), allowed.end());
        let span = if fewest == most { format!("{most}") } else { format!("{fewest} to {most}") };
        format!("{name} can't have a broker of {nodes} nodes; allowed is {span}")
    });
    let unix = managed.transport == Transport::Unix;
    rules.refuse(unix && nodes > 1, &[&format!("{key}.transport")], || {
        "the nodes of a cluster speak TCP to each other and to clients; allowed: `tcp`".to_owned()
    });
    rules.refuse(unix && !driver.speaks_redis(), &[&format!("{key}.transport")], || {
        format!("{server} listens on TCP only; allowed: `tcp`")
    });
}

fn options(rules: &Rules<'_>, path: &str, target: &Target) {
    match &target.driver {
        DriverConfig::Jetstream(options) => jetstream(rules, path, target, options),
        DriverConfig::RedisStreams(options) => redis_streams(rules, path, target, options),
        DriverConfig::RedisCluster(_) => {
            let (broker, driver) = (format!("{path}.broker"), format!("{path}.driver"));
            rules.refuse(target.broker == Broker::Bundled, &[&broker, &driver], || {
                "the bundled engine is no cluster; allowed: `managed`, { url = … }, { command = … }"
                    .to_owned()
            });
        }
        DriverConfig::Kafka(options) => check_kafka::options(rules, path, target, options),
        _ => {}
    }
}

fn redis_streams(rules: &Rules<'_>, path: &str, target: &Target, options: &RedisStreamsOptions) {
    let broker = format!("{path}.broker");
    rules.refuse(target.broker == Broker::Bundled, &[&broker, &format!("{path}.driver")], || {
        "the bundled engine has no streams; allowed: `managed`, { url = … }, { command = … }".to_owned()
    });
    let claims = format!("{path}.options.claim_after");
    let alone = options.consumer == StreamConsumer::Read;
    rules.refuse(alone && !options.claim_after.is_zero(), &[&claims, &format!("{path}.options.consumer")], || {
        "readers without a group acknowledge nothing that could be claimed; allowed: `0s`, or consumer = \"group\""
            .to_owned()
    });
    let ours = matches!(target.broker, Broker::Managed(_));
    rules.refuse(!ours && options.aof != Aof::Off, &[&format!("{path}.options.aof"), &broker], || {
        "busmark can't set this on a server that it doesn't configure; set appendonly there".to_owned()
    });
}

fn jetstream(rules: &Rules<'_>, path: &str, target: &Target, options: &JetstreamOptions) {
    let sync = format!("{path}.options.sync");
    let default = Sync::Interval(Duration::from_secs(120));
    let ours = matches!(target.broker, Broker::Managed(_) | Broker::Bundled);
    let broker = format!("{path}.broker");
    rules.refuse(!ours && options.sync != default, &[&sync, &broker], || {
        "busmark can't set this on a server that it doesn't configure; set sync_interval there".to_owned()
    });
    let memory = options.storage == Storage::Memory;
    rules.refuse(memory && options.sync != default, &[&sync, &format!("{path}.options.storage")], || {
        "a stream in memory is never synced; allowed with `storage = \"file\"` only".to_owned()
    });
    rules.refuse(options.sync == Sync::Interval(Duration::ZERO), &[&sync], || {
        "an interval of zero; write `always` to sync on each write".to_owned()
    });
    let replicas = format!("{path}.options.replicas");
    let bundled = target.broker == Broker::Bundled;
    rules.refuse(bundled && options.replicas > 1, &[&replicas, &broker], || {
        format!(
            "{} replicas need a cluster, and the bundled engine is one server; allowed is 1, or `managed`",
            options.replicas
        )
    });
    let discard = format!("{path}.options.discard");
    let limited = options.max_messages > 0 || options.max_bytes > 0;
    rules.refuse(options.discard == Discard::New && !limited, &[&discard], || {
        "nothing is ever too much; allowed is `new` with max_messages or max_bytes".to_owned()
    });
    let retention = format!("{path}.options.retention");
    rules.refuse(
        options.retention != Retention::Limits && options.ack == AckPolicy::None,
        &[&retention, &format!("{path}.options.ack")],
        || {
            "nobody would acknowledge, and nothing ever be removed; allowed with acks: `explicit`, `all`"
                .to_owned()
        },
    );
    let wait = format!("{path}.options.ack_wait");
    rules.refuse(options.ack != AckPolicy::None && options.ack_wait.is_zero(), &[&wait], || {
        "every delivery would be late; allowed is more than 0s".to_owned()
    });
}

/// What a driver cannot do at all.
fn capable(rules: &Rules<'_>, path: &str, target: &Target, workload: &Workload) {
    let driver = format!("{path}.driver");
    let name = target.driver.name();
    let queue = workload.has_queue();
    if let DriverConfig::RedisStreams(options) = &target.driver {
        let consumer = format!("{path}.options.consumer");
        rules.refuse(
            queue && options.consumer == StreamConsumer::Read,
            &[&consumer, "workload.delivery"],
            || "readers without a group get every entry; allowed in a work queue: `group`".to_owned(),
        );
    }
    if matches!(target.driver, DriverConfig::RedisPubsub(_) | DriverConfig::RedisCluster(_)) {
        rules.refuse(queue, &[&driver, "workload.delivery"], || {
            format!("{name} delivers to every subscriber and can't be a work queue; allowed: `fan_out`, or redis-streams, nats-core, jetstream, loopback")
        });
    }
    let by_pattern = workload.subscribe_by == SubscribeBy::Pattern;
    rules.refuse(by_pattern && !target.driver.knows_patterns(), &["workload.subscribe_by", &driver], || {
        format!("{name} knows topics by name only; allowed: `name`, or redis-pubsub, redis-cluster with mode = \"classic\", nats-core, jetstream")
    });
    if target.driver.one_copy_per_connection() {
        let keys = [
            "workload.subscriber_connections",
            "workload.subscribers",
            "workload.topics",
            "workload.subscribe",
        ];
        rules.refuse(shares_a_topic(workload), &keys, || {
            let (given, wanted) = (workload.subscriber_connections, workload.subscribers);
            format!("{name} can't serve two subscribers of one topic on one connection, and {given} connections would have to; allowed is {wanted}, one each")
        });
    }
    if let DriverConfig::Kafka(options) = &target.driver {
        check_kafka::capable(rules, path, options, workload);
    }
    if let DriverConfig::Jetstream(options) = &target.driver {
        let several =
            workload.audiences.len() > 1 || (!queue && workload.subscribers > 1 && !one_each(workload));
        rules.refuse(several && options.retention == Retention::WorkQueue, &[&format!("{path}.options.retention"), "workload.delivery"], || {
            "a work-queue stream hands each message to one consumer; allowed with delivery = \"work_queue\", or one subscriber a topic".to_owned()
        });
        rules.refuse(
            options.message_ids && options.client == Client::Library,
            &[&format!("{path}.options.message_ids")],
            || "the library client sends no headers; allowed with client = \"wire\"".to_owned(),
        );
        ordered(rules, path, options, queue);
        rules.refuse(queue && options.ack == AckPolicy::All, &[&format!("{path}.options.ack"), "workload.delivery"], || {
            "`all` would acknowledge what other subscribers of a work queue still hold; allowed: `explicit`, `none`".to_owned()
        });
    }
}

/// What an ordered consumer can't be.
fn ordered(rules: &Rules<'_>, path: &str, options: &JetstreamOptions, queue: bool) {
    if options.consumer != ConsumerKind::Ordered {
        return;
    }
    let consumer = format!("{path}.options.consumer");
    let (ack, client) = (format!("{path}.options.ack"), format!("{path}.options.client"));
    rules.refuse(options.ack != AckPolicy::None, &[&consumer, &ack], || {
        "an ordered consumer is never acknowledged; allowed with ack = \"none\"".to_owned()
    });
    rules.refuse(queue, &[&consumer, "workload.delivery"], || {
        "an ordered consumer is one subscriber's own; allowed in a work queue: `pull`, `push`".to_owned()
    });
    rules.refuse(options.client == Client::Library, &[&consumer, &client], || {
        "the library makes it again without a word; allowed with client = \"wire\"".to_owned()
    });
}

/// Whether no two subscribers read one topic.
fn one_each(workload: &Workload) -> bool {
    workload.subscribe == Subscribe::Paired && workload.subscribers <= workload.topics
}

/// Whether two subscribers of one topic share a connection. Subscriber s is on connection s mod connections.
fn shares_a_topic(workload: &Workload) -> bool {
    let (subscribers, connections) =
        (u64::from(workload.subscribers), u64::from(workload.subscriber_connections));
    let step = match workload.subscribe {
        Subscribe::All => 1,
        // Fewer subscribers than topics: each topic has one.
        Subscribe::Paired => u64::from(workload.topics),
    };
    connections > 0 && lcm(step, connections) < subscribers
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

fn payload(rules: &Rules<'_>, path: &str, target: &Target, workload: &Workload) {
    let (config, limit) = match (&target.driver, &target.broker) {
        (DriverConfig::Loopback(_), _) => return,
        (driver, _) if driver.speaks_redis() => return redis_payload(rules, path, workload),
        (_, Broker::Managed(Managed { config, .. })) => {
            (config.iter().any(|(key, _)| key == "max_payload"), NATS_PAYLOAD_MAX)
        }
        // The server itself says what it takes; the driver asks it.
        (_, Broker::External { .. } | Broker::Command { .. }) => return,
        (_, Broker::Bundled | Broker::None) => (false, NATS_PAYLOAD_MAX),
    };
    let given = workload.payload.max();
    rules.refuse(!config && given > limit, &["workload.payload", path], || {
        format!(
            "{} is more than target `{}` takes; allowed is up to {}, or more with config = {{ max_payload = … }}",
            units::size(given as u64),
            target.name,
            units::size(limit as u64)
        )
    });
}

fn redis_payload(rules: &Rules<'_>, path: &str, workload: &Workload) {
    let given = workload.payload.max() as u64;
    rules.refuse(given > PAYLOAD_MAX, &["workload.payload", path], || {
        format!(
            "{} is more than Redis takes; allowed is up to {}",
            units::size(given),
            units::size(PAYLOAD_MAX)
        )
    });
}

fn expects(rules: &Rules<'_>, scenario: &Scenario) {
    let targets: Vec<&str> = scenario.targets.iter().map(|target| target.name.as_str()).collect();
    let max = scenario.workload.rate == Rate::Max;
    for (index, expect) in scenario.expects.iter().enumerate() {
        let key = format!("expect[{index}]");
        for misfit in expect.misfits(targets.iter().copied(), max) {
            rules.problems.add(rules.place(&key), &key, misfit);
        }
    }
}
