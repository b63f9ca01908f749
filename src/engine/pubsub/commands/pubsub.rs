//! Publishing, subscribing, and looking at subscriptions.

use super::super::client::Client;
use super::super::glob;
use super::super::registry::{ClientKey, Topics};
use super::super::state::{Engine, Scope};
use super::{Args, is};
use crate::wire::resp::Writer;
use std::collections::BTreeSet;

pub(super) fn publish(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let receivers = engine.publish(Scope::Channel, args[1], args[2]);
    engine.out.reply(key, |out| out.integer(receivers as i64));
}

pub(super) fn spublish(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let receivers = engine.publish(Scope::Shard, args[1], args[2]);
    engine.out.reply(key, |out| out.integer(receivers as i64));
}

/// The three kinds of subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Channel,
    Pattern,
    Shard,
}

impl Kind {
    fn topics(self, engine: &mut Engine) -> &mut Topics {
        match self {
            Self::Channel => &mut engine.registry.channels,
            Self::Pattern => engine.registry.patterns_mut(),
            Self::Shard => &mut engine.registry.shards,
        }
    }

    fn of(self, client: &mut Client) -> &mut BTreeSet<u32> {
        match self {
            Self::Channel => &mut client.channels,
            Self::Pattern => &mut client.patterns,
            Self::Shard => &mut client.shards,
        }
    }

    /// What confirmations count: shard channels apart from the others.
    fn count(self, client: &Client) -> usize {
        match self {
            Self::Channel | Self::Pattern => client.channels.len() + client.patterns.len(),
            Self::Shard => client.shards.len(),
        }
    }

    fn subscribed(self) -> &'static [u8] {
        match self {
            Self::Channel => b"subscribe",
            Self::Pattern => b"psubscribe",
            Self::Shard => b"ssubscribe",
        }
    }

    fn unsubscribed(self) -> &'static [u8] {
        match self {
            Self::Channel => b"unsubscribe",
            Self::Pattern => b"punsubscribe",
            Self::Shard => b"sunsubscribe",
        }
    }
}

pub(super) fn subscribe(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    add(engine, key, &args[1..], Kind::Channel);
}

pub(super) fn psubscribe(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    add(engine, key, &args[1..], Kind::Pattern);
}

pub(super) fn ssubscribe(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    if engine.in_exec {
        // As in Redis, which lets only the older two through, for the sake of old clients.
        return engine.error(key, b"ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
    }
    add(engine, key, &args[1..], Kind::Shard);
}

pub(super) fn unsubscribe(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    remove(engine, key, &args[1..], Kind::Channel);
}

pub(super) fn punsubscribe(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    remove(engine, key, &args[1..], Kind::Pattern);
}

pub(super) fn sunsubscribe(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    remove(engine, key, &args[1..], Kind::Shard);
}

fn add(engine: &mut Engine, key: ClientKey, names: Args<'_>, kind: Kind) {
    for name in names {
        let id = kind.topics(engine).intern(name);
        if kind.of(engine.out.client_mut(key)).insert(id) {
            kind.topics(engine).add(id, key);
        }
        confirm(engine, key, kind, kind.subscribed(), Some(name));
    }
}

fn remove(engine: &mut Engine, key: ClientKey, names: Args<'_>, kind: Kind) {
    if !names.is_empty() {
        for name in names {
            if let Some(id) = kind.topics(engine).find(name) {
                leave(engine, key, kind, id);
            }
            confirm(engine, key, kind, kind.unsubscribed(), Some(name));
        }
        return;
    }
    let all: Vec<u32> = kind.of(engine.out.client_mut(key)).iter().copied().collect();
    if all.is_empty() {
        return confirm(engine, key, kind, kind.unsubscribed(), None);
    }
    for id in all {
        let name = kind.topics(engine).name(id).to_vec();
        leave(engine, key, kind, id);
        confirm(engine, key, kind, kind.unsubscribed(), Some(&name));
    }
}

fn leave(engine: &mut Engine, key: ClientKey, kind: Kind, id: u32) {
    if kind.of(engine.out.client_mut(key)).remove(&id) {
        kind.topics(engine).remove(id, key);
    }
}

fn confirm(engine: &mut Engine, key: ClientKey, kind: Kind, verb: &[u8], name: Option<&[u8]>) {
    let count = kind.count(engine.out.client(key));
    engine.out.push(key, |out| {
        out.push(3);
        out.bulk(verb);
        match name {
            Some(name) => out.bulk(name),
            None => out.null(),
        }
        out.integer(count as i64);
    });
}

/// PUBSUB CHANNELS and SHARDCHANNELS.
pub(super) fn channels(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    if args.len() > 3 {
        let name = String::from_utf8_lossy(args[1]).into_owned();
        let text =
            format!("ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP.");
        return engine.error(key, text.as_bytes());
    }
    let topics = topics_asked(engine, args);
    let fits = |name: &&[u8]| args.get(2).is_none_or(|pattern| glob::matches(pattern, name, false));
    let names: Vec<Vec<u8>> = topics.names().filter(fits).map(<[u8]>::to_vec).collect();
    engine.out.reply(key, |out| {
        out.array(names.len());
        names.iter().for_each(|name| out.bulk(name));
    });
}

/// PUBSUB NUMSUB and SHARDNUMSUB.
pub(super) fn numsub(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let topics = topics_asked(engine, args);
    let counts: Vec<_> = args[2..].iter().map(|name| (*name, topics.count(name))).collect();
    let write = |out: &mut Writer<'_>| {
        out.array(counts.len() * 2);
        for (name, count) in &counts {
            out.bulk(name);
            out.integer(*count as i64);
        }
    };
    engine.out.reply(key, write);
}

fn topics_asked<'a>(engine: &'a Engine, args: Args<'_>) -> &'a Topics {
    let shards = is(args[1], "shardchannels") || is(args[1], "shardnumsub");
    if shards { &engine.registry.shards } else { &engine.registry.channels }
}

pub(super) fn numpat(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let count = engine.registry.patterns().len();
    engine.out.reply(key, |out| out.integer(count as i64));
}

pub(super) fn help(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    super::help(
        engine,
        key,
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "    List channels with subscribers, or those that match.",
            "NUMPAT",
            "    Count patterns with subscribers.",
            "NUMSUB [<channel> ...]",
            "    Count subscribers of channels, without those by pattern",
            "    (default: no channels).",
            "SHARDCHANNELS [<pattern>]",
            "    List shard channels with subscribers, or those that match.",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Count subscribers of shard channels.",
        ],
    );
}
