//! A scenario as TOML again, with every default filled in.

use std::fmt::Write;
use std::time::Duration;

use crate::units;

use super::broker::{Broker, Managed};
use super::dual_write::DualWrite;
use super::expect::Expect;
use super::happenings::{Action, Behaviour, Event, EventNode};
use super::model::{Arrival, Delay, DriverConfig, Extent, Fill, Phases, Rate, Scenario, Target, Workload};
use super::options::{JetstreamOptions, LoopbackOptions, Sync};
use super::options_kafka::KafkaOptions;
use super::read::{PUBLISHER_CONNECTIONS, SUBSCRIBER_CONNECTIONS, default_connections};
use super::sweep::Sweep;
use super::traffic::{PayloadSize, Shape, TopicChoice};
use super::words::Word;

impl Scenario {
    /// The whole scenario with nothing left to defaults. [`Scenario::parse`] gives it back unchanged.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Page::default();
        out.set("name", self.name.as_str());
        out.set("description", self.description.as_str());
        out.set("scale", self.scale.word());
        out.head("[workload]");
        workload(&mut out, &self.workload, !self.sweep.axes.is_empty());
        for audience in &self.workload.audiences {
            out.head("[[audience]]");
            out.set("name", audience.name.as_str());
            out.set("subscribers", i64::from(audience.subscribers));
            out.set("delivery", audience.delivery.word());
        }
        out.head("[phases]");
        phases(&mut out, &self.phases);
        out.head("[trials]");
        out.set("count", i64::from(self.trials.count));
        out.set("seed", i64::try_from(self.trials.seed).unwrap_or(i64::MAX));
        for one in &self.events {
            out.head("[[event]]");
            event(&mut out, one);
        }
        for one in &self.behaviours {
            out.head("[[behaviour]]");
            behaviour(&mut out, one);
        }
        sweep(&mut out, &self.sweep);
        for one in &self.targets {
            out.head("[[target]]");
            target(&mut out, one);
        }
        for one in &self.expects {
            out.head("[[expect]]");
            expect(&mut out, one);
        }
        out.0
    }
}

impl Rate {
    /// As a scenario writes it.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Max => "max".to_owned(),
            Self::PerSecond(per_second) => units::rate(per_second),
        }
    }
}

/// Lines of TOML.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, title: &str) {
        let _ = writeln!(self.0, "\n{title}");
    }

    fn set(&mut self, key: &str, value: impl Into<toml_edit::Value>) {
        let _ = writeln!(self.0, "{key} = {}", value.into());
    }

    fn span(&mut self, key: &str, span: Duration) {
        self.set(key, units::duration(span));
    }
}

/// `{ a = 1, "b.c" = "x" }`.
fn inline<'a>(pairs: impl IntoIterator<Item = (&'a str, toml_edit::Value)>) -> toml_edit::Value {
    toml_edit::Value::InlineTable(pairs.into_iter().collect())
}

fn event(out: &mut Page, event: &Event) {
    out.span("at", event.at);
    out.set("do", event.action.word());
    match event.node {
        EventNode::Number(number) => out.set("node", i64::from(number)),
        EventNode::Leader => out.set("node", "leader"),
    }
    if event.action != Action::Kill {
        out.span("for", event.lasting);
    }
    if let Some(target) = &event.target {
        out.set("target", target.as_str());
    }
}

fn behaviour(out: &mut Page, behaviour: &Behaviour) {
    out.set("first", i64::from(behaviour.first));
    out.set("count", i64::from(behaviour.count));
    for (key, at) in [
        ("join", behaviour.join),
        ("leave", behaviour.leave),
        ("rejoin", behaviour.rejoin),
        ("stop_reading", behaviour.stop_reading),
        ("read_again", behaviour.read_again),
    ] {
        if let Some(at) = at {
            out.span(key, at);
        }
    }
    if let Some(own) = behaviour.processing_delay {
        out.set("processing_delay", delay(own));
    }
}

/// A list of TOML values.
fn list(values: &[String]) -> toml_edit::Value {
    format!("[{}]", values.join(", ")).parse().unwrap_or_else(|_| toml_edit::Array::new().into())
}

fn sweep(out: &mut Page, sweep: &Sweep) {
    if sweep.axes.is_empty() {
        return;
    }
    out.head("[sweep]");
    out.set("combine", sweep.combine.word());
    for axis in &sweep.axes {
        out.head("[[sweep.axes]]");
        out.set("key", axis.key.as_str());
        out.set("values", list(&axis.values));
    }
}

/// With a sweep, connections that are as many as the default says are left out, so that they still follow the
/// actors from point to point.
fn workload(out: &mut Page, workload: &Workload, swept: bool) {
    out.set("payload", payload(&workload.payload));
    out.set("fill", fill(&workload.fill));
    out.set("publishers", i64::from(workload.publishers));
    if !swept
        || workload.publisher_connections != default_connections(workload.publishers, PUBLISHER_CONNECTIONS)
    {
        out.set("publisher_connections", i64::from(workload.publisher_connections));
    }
    out.set("subscribers", i64::from(workload.subscribers));
    if !swept
        || workload.subscriber_connections
            != default_connections(workload.subscribers, SUBSCRIBER_CONNECTIONS)
    {
        out.set("subscriber_connections", i64::from(workload.subscriber_connections));
    }
    out.set("topics", i64::from(workload.topics));
    out.set("topic_choice", topic_choice(workload.topic_choice));
    out.set("subscribe", workload.subscribe.word());
    out.set("subscribe_by", workload.subscribe_by.word());
    out.set("delivery", workload.delivery.word());
    out.set("rate", workload.rate.text());
    out.set("shape", shape(&workload.shape));
    out.set("arrival", arrival(workload.arrival));
    out.set("in_flight", i64::from(workload.in_flight));
    out.set("processing_delay", delay(workload.processing_delay));
    out.set("processing_concurrency", i64::from(workload.processing_concurrency));
    out.set("reconnect", workload.reconnect.map_or_else(|| "never".to_owned(), units::duration));
    out.set("subscriber_churn", workload.churn.subscribers);
    out.set("publisher_churn", workload.churn.publishers);
    out.span("churn_away", workload.churn.away);
}

fn payload(payload: &PayloadSize) -> toml_edit::Value {
    let bytes = |bytes: &usize| toml_edit::Value::from(units::size(*bytes as u64));
    match payload {
        PayloadSize::Fixed(size) => bytes(size),
        PayloadSize::Weighted(sizes) => {
            let items = sizes
                .iter()
                .map(|(size, weight)| inline([("size", bytes(size)), ("weight", (*weight).into())]));
            inline([("weighted", items.collect())])
        }
        PayloadSize::Range(from, to) => inline([("from", bytes(from)), ("to", bytes(to))]),
        PayloadSize::Lognormal { median, sigma, min, max } => inline([
            ("lognormal", bytes(median)),
            ("sigma", (*sigma).into()),
            ("min", bytes(min)),
            ("max", bytes(max)),
        ]),
    }
}

fn topic_choice(choice: TopicChoice) -> toml_edit::Value {
    match choice {
        TopicChoice::RoundRobin => "round_robin".into(),
        TopicChoice::Uniform => "uniform".into(),
        TopicChoice::Zipf(exponent) => inline([("zipf", exponent.into())]),
    }
}

fn arrival(arrival: Arrival) -> toml_edit::Value {
    match arrival {
        Arrival::Constant => "constant".into(),
        Arrival::Poisson => "poisson".into(),
        Arrival::Burst(messages) => inline([("burst", i64::from(messages).into())]),
    }
}

fn shape(shape: &Shape) -> toml_edit::Value {
    let span = |span: &Duration| toml_edit::Value::from(units::duration(*span));
    match shape {
        Shape::Flat => "flat".into(),
        Shape::Steps { factors, every } => {
            inline([("steps", factors.iter().copied().collect()), ("every", span(every))])
        }
        Shape::Ramp { to, after, over } => {
            inline([("ramp", (*to).into()), ("after", span(after)), ("over", span(over))])
        }
        Shape::Spike { factor, after, over } => {
            inline([("spike", (*factor).into()), ("after", span(after)), ("over", span(over))])
        }
        Shape::Sine { amplitude, period } => {
            inline([("sine", (*amplitude).into()), ("period", span(period))])
        }
        Shape::Replay(rows) => {
            let row =
                |(second, rate): &(f64, f64)| [*second, *rate].into_iter().collect::<toml_edit::Value>();
            inline([("replay", rows.iter().map(row).collect())])
        }
        Shape::Csv(path) => inline([("csv", path.display().to_string().into())]),
    }
}

fn fill(fill: &Fill) -> toml_edit::Value {
    match fill {
        Fill::Zero => "zero".into(),
        Fill::Random => "random".into(),
        Fill::Text { compressibility } => inline([("text", (*compressibility).into())]),
        Fill::File(path) => inline([("file", path.display().to_string().into())]),
        Fill::Pool { bodies, repeat } => {
            inline([("pool", i64::from(*bodies).into()), ("repeat", i64::from(*repeat).into())])
        }
    }
}

fn delay(delay: Delay) -> toml_edit::Value {
    match delay {
        Delay::Fixed(span) => units::duration(span).into(),
        Delay::Exponential(mean) => inline([("exponential", units::duration(mean).into())]),
        Delay::Share { share, of } => inline([("share", share.into()), ("of", units::duration(of).into())]),
        Delay::Lognormal { median, sigma } => {
            inline([("lognormal", units::duration(median).into()), ("sigma", sigma.into())])
        }
    }
}

fn phases(out: &mut Page, phases: &Phases) {
    out.span("warm_up", phases.warm_up);
    match phases.measure {
        Extent::Time(span) => out.span("measure", span),
        Extent::Messages(messages) => {
            out.set("measure", inline([("messages", i64::try_from(messages).unwrap_or(i64::MAX).into())]));
        }
    }
    out.span("drain", phases.drain);
}

fn target(out: &mut Page, target: &Target) {
    out.set("name", target.name.as_str());
    out.set("driver", target.driver.name());
    out.set("broker", broker(&target.driver, &target.broker));
    out.set("optional", target.optional);
    if let Some(price) = target.price_per_hour {
        out.set("price_per_hour", price);
    }
    out.set("options", options(&target.driver));
    if let Some(pair) = &target.dual_write {
        out.set("dual_write", dual_write(pair));
    }
}

fn dual_write(pair: &DualWrite) -> toml_edit::Value {
    let moves = pair.moves.iter().map(|one| {
        inline([("at", units::duration(one.at).into()), ("subscribers", i64::from(one.subscribers).into())])
    });
    let always: [(&str, toml_edit::Value); 4] = [
        ("driver", pair.driver.name().into()),
        ("broker", broker(&pair.driver, &pair.broker)),
        ("options", options(&pair.driver)),
        ("move", moves.collect()),
    ];
    let from = pair.from.map(|from| ("from", units::duration(from).into()));
    inline(always.into_iter().chain(from))
}

fn broker(driver: &DriverConfig, broker: &Broker) -> toml_edit::Value {
    match broker {
        Broker::Managed(managed) if *managed == Managed::of(driver) => "managed".into(),
        Broker::Managed(Managed { server, nodes, transport, config }) => inline([
            ("server", server.word().into()),
            ("nodes", i64::from(*nodes).into()),
            ("transport", transport.word().into()),
            ("config", inline(config.iter().map(|(key, value)| (key.as_str(), value.as_str().into())))),
        ]),
        Broker::External { url } => inline([("url", url.as_str().into())]),
        Broker::Command { argv, url, ready_within } => inline([
            ("command", argv.iter().map(String::as_str).collect()),
            ("url", url.as_str().into()),
            ("ready_within", units::duration(*ready_within).into()),
        ]),
        Broker::Bundled => "bundled".into(),
        Broker::None => "none".into(),
    }
}

fn options(driver: &DriverConfig) -> toml_edit::Value {
    match driver {
        DriverConfig::Loopback(options) => loopback(options),
        DriverConfig::RedisPubsub(options) => {
            inline([("client", options.client.word().into()), ("protocol", options.protocol.word().into())])
        }
        DriverConfig::NatsCore(options) => inline([("client", options.client.word().into())]),
        DriverConfig::RedisCluster(options) => inline([("mode", options.mode.word().into())]),
        DriverConfig::RedisStreams(options) => inline([
            ("consumer", options.consumer.word().into()),
            ("max_length", i64::try_from(options.max_length).unwrap_or(i64::MAX).into()),
            ("trim", options.trim.word().into()),
            ("aof", options.aof.word().into()),
            ("batch", i64::from(options.batch).into()),
            ("claim_after", units::duration(options.claim_after).into()),
        ]),
        DriverConfig::Jetstream(options) => jetstream(options),
        DriverConfig::Kafka(options) => kafka(options),
    }
}

fn kafka(options: &KafkaOptions) -> toml_edit::Value {
    inline([
        ("acks", options.acks.word().into()),
        ("linger", units::duration(options.linger).into()),
        ("batch_bytes", i64::from(options.batch_bytes).into()),
        ("idempotence", options.idempotence.into()),
        ("compression", options.compression.word().into()),
        ("partitions", i64::from(options.partitions).into()),
        ("replicas", i64::from(options.replicas).into()),
        ("consumer", options.consumer.word().into()),
        ("commit_interval", units::duration(options.commit_interval).into()),
        ("flush", options.flush.word().into()),
    ])
}

fn loopback(options: &LoopbackOptions) -> toml_edit::Value {
    inline([
        ("drop", options.drop.into()),
        ("duplicate", options.duplicate.into()),
        ("reorder", options.reorder.into()),
        ("corrupt", options.corrupt.into()),
        ("delay", units::duration(options.delay).into()),
        ("stall_at", units::duration(options.stall_at).into()),
        ("stall_for", units::duration(options.stall_for).into()),
    ])
}

fn whole(number: u64) -> toml_edit::Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn jetstream(options: &JetstreamOptions) -> toml_edit::Value {
    let sync = match options.sync {
        Sync::Always => "always".to_owned(),
        Sync::Interval(span) => units::duration(span),
    };
    inline([
        ("client", options.client.word().into()),
        ("storage", options.storage.word().into()),
        ("replicas", i64::from(options.replicas).into()),
        ("sync", sync.into()),
        ("consumer", options.consumer.word().into()),
        ("ack", options.ack.word().into()),
        ("ack_wait", units::duration(options.ack_wait).into()),
        ("max_ack_pending", i64::from(options.max_ack_pending).into()),
        ("deliver", options.deliver.word().into()),
        ("pull_batch", i64::from(options.pull_batch).into()),
        ("retention", options.retention.word().into()),
        ("max_messages", whole(options.max_messages)),
        ("max_bytes", whole(options.max_bytes)),
        ("max_age", units::duration(options.max_age).into()),
        ("discard", options.discard.word().into()),
        ("max_deliver", i64::from(options.max_deliver).into()),
        ("message_ids", options.message_ids.into()),
    ])
}

fn expect(out: &mut Page, expect: &Expect) {
    out.set("that", expect.text.as_str());
    let optional = [
        ("target", &expect.left.target),
        ("point", &expect.point),
        ("against", &expect.against),
        ("claim", &expect.claim),
        ("source", &expect.source),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            out.set(key, value.as_str());
        }
    }
}
