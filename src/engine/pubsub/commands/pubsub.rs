//! Publishing, subscribing, and looking at subscriptions.

use super::super::client::Client;
use super::super::glob;
use super::super::registry::{ClientKey, Kind, TopicId, Topics};
use super::super::state::Engine;
use super::{Args, is};
use crate::wire::resp::Writer;
use std::collections::BTreeSet;

pub(super) fn publish(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let receivers = engine.publish(Kind::Channel, args[1], args[2]);
    engine.out.reply(key, |out| out.integer(receivers as i64));
}

pub(super) fn spublish(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let receivers = engine.publish(Kind::Shard, args[1], args[2]);
    engine.out.reply(key, |out| out.integer(receivers as i64));
}

impl Kind {
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
    tell_others(engine, key, names, kind, true);
    for name in names {
        let topics = engine.registry.topics_mut(kind);
        let id = topics.intern(name);
        if engine.out.client_mut(key).subscriptions(kind).insert(id) {
            topics.add(id, key);
        }
        confirm(engine, key, kind, kind.subscribed(), Some(name));
    }
}

fn remove(engine: &mut Engine, key: ClientKey, names: Args<'_>, kind: Kind) {
    let all: Vec<Vec<u8>> = if names.is_empty() {
        let ids = engine.out.client_mut(key).subscriptions(kind).iter();
        ids.map(|&id| engine.registry.topics(kind).name(id).to_vec()).collect()
    } else {
        names.iter().map(|name| name.to_vec()).collect()
    };
    if all.is_empty() {
        return confirm(engine, key, kind, kind.unsubscribed(), None);
    }
    let names: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    tell_others(engine, key, &names, kind, false);
    for name in names {
        if let Some(id) = engine.registry.topics(kind).find(name)
            && engine.out.client_mut(key).subscriptions(kind).remove(&id)
        {
            engine.registry.topics_mut(kind).remove(id, key);
        }
        confirm(engine, key, kind, kind.unsubscribed(), Some(name));
    }
}

/// Tells the other event loops which subscriptions a client is about to begin or to end.
fn tell_others(engine: &mut Engine, key: ClientKey, names: Args<'_>, kind: Kind, more: bool) {
    if engine.peers.is_none() {
        return;
    }
    let topics = engine.registry.topics(kind);
    let own = engine.out.clients[key as usize].subscriptions(kind);
    let has = |name: &[u8]| topics.find(name).is_some_and(|id: TopicId| own.contains(&id));
    let changed: BTreeSet<&[u8]> = names.iter().copied().filter(|name| has(name) != more).collect();
    engine.announce(kind, changed.into_iter().map(Box::from).collect(), more);
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
