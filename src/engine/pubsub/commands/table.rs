//! The commands there are: names, arity, flags and categories as Redis 8.2 reports them, so that clients
//! which ask COMMAND are told the truth.

use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::{Args, client, command, config, connection, info, pubsub, server, transaction};

/// One command, or one of a container's.
#[derive(Debug)]
pub(super) struct Spec {
    /// In lower case; `container|sub` for subcommands.
    pub(super) name: &'static str,
    /// Arguments with the name; negative: at least so many.
    pub(super) arity: i64,
    /// Flags, separated by spaces.
    pub(super) flags: &'static str,
    /// Access categories without their `@`, separated by spaces.
    pub(super) categories: &'static str,
    /// The version of Redis that had it first.
    pub(super) since: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// Its arguments; a trailing `…` may be repeated, `[]` may be left out.
    pub(super) arguments: &'static [&'static str],
    /// Does it.
    pub(super) run: fn(&mut Engine, ClientKey, Args<'_>),
}

impl Spec {
    /// Whether it takes this many arguments, its name among them.
    pub(super) fn accepts(&self, count: usize) -> bool {
        let count = count as i64;
        if self.arity < 0 { count >= -self.arity } else { count == self.arity }
    }

    /// Whether it has this flag.
    pub(super) fn has_flag(&self, flag: &str) -> bool {
        self.flags.split(' ').any(|own| own == flag)
    }

    /// Whether its first argument is a command of its own.
    pub(super) fn is_container(&self) -> bool {
        matches!(self.name, "pubsub" | "client" | "command" | "config" | "cluster" | "acl" | "debug")
    }

    /// First, last and step of the arguments by which a cluster's client finds the node.
    pub(super) fn keys(&self) -> [i64; 3] {
        match self.name {
            "spublish" => [1, 1, 1],
            "ssubscribe" | "sunsubscribe" | "watch" => [1, -1, 1],
            _ => [0, 0, 0],
        }
    }

    /// The group it is documented in.
    pub(super) fn group(&self) -> &'static str {
        let root = self.name.split('|').next().unwrap_or_default();
        match root {
            "ping" | "echo" | "quit" | "reset" | "select" | "hello" | "auth" | "client" => "connection",
            "multi" | "exec" | "discard" | "watch" | "unwatch" => "transactions",
            "cluster" | "asking" | "readonly" | "readwrite" => "cluster",
            "wait" => "generic",
            name if name == "pubsub" || name.ends_with("subscribe") || name.ends_with("publish") => "pubsub",
            _ => "server",
        }
    }
}

/// Names of commands that work on keys; asked for one, the engine says that it has none.
pub(super) const NEEDS_KEYSPACE: &[&str] = &[
    "append",
    "bitcount",
    "blpop",
    "brpop",
    "copy",
    "decr",
    "decrby",
    "del",
    "dump",
    "eval",
    "evalsha",
    "exists",
    "expire",
    "expireat",
    "fcall",
    "get",
    "getbit",
    "getdel",
    "getex",
    "getrange",
    "getset",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hkeys",
    "hlen",
    "hmget",
    "hmset",
    "hset",
    "hsetnx",
    "hvals",
    "incr",
    "incrby",
    "keys",
    "lindex",
    "linsert",
    "llen",
    "lpop",
    "lpush",
    "lrange",
    "lrem",
    "lset",
    "ltrim",
    "mget",
    "mset",
    "msetnx",
    "object",
    "persist",
    "pexpire",
    "psetex",
    "pttl",
    "randomkey",
    "rename",
    "renamenx",
    "restore",
    "rpop",
    "rpoplpush",
    "rpush",
    "sadd",
    "scan",
    "scard",
    "sdiff",
    "set",
    "setbit",
    "setex",
    "setnx",
    "setrange",
    "sinter",
    "sismember",
    "smembers",
    "smove",
    "sort",
    "spop",
    "srandmember",
    "srem",
    "sscan",
    "strlen",
    "sunion",
    "touch",
    "ttl",
    "type",
    "unlink",
    "xack",
    "xadd",
    "xdel",
    "xgroup",
    "xinfo",
    "xlen",
    "xrange",
    "xread",
    "xreadgroup",
    "xtrim",
    "zadd",
    "zcard",
    "zcount",
    "zincrby",
    "zrange",
    "zrangebyscore",
    "zrank",
    "zrem",
    "zscore",
];

macro_rules! specs {
    ($($name:literal $arity:literal, $flags:literal, $categories:literal, $since:literal, $summary:literal, [$($arg:literal)*], $run:path;)*) => {
        &[$(Spec {
            name: $name, arity: $arity, flags: $flags, categories: $categories, since: $since, summary: $summary,
            arguments: &[$($arg),*], run: $run,
        }),*]
    };
}

/// Commands by themselves.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = specs! {
    "publish" 3, "pubsub loading stale fast", "pubsub fast", "2.0.0", "Sends a message to a channel's subscribers.", ["channel" "message"], pubsub::publish;
    "spublish" 3, "pubsub loading stale fast", "pubsub fast", "7.0.0", "Sends a message to a shard channel's subscribers.", ["shardchannel" "message"], pubsub::spublish;
    "subscribe" -2, "pubsub noscript loading stale", "pubsub slow", "2.0.0", "Listens to channels.", ["channel…"], pubsub::subscribe;
    "unsubscribe" -1, "pubsub noscript loading stale", "pubsub slow", "2.0.0", "Stops listening to channels.", ["[channel…]"], pubsub::unsubscribe;
    "psubscribe" -2, "pubsub noscript loading stale", "pubsub slow", "2.0.0", "Listens to channels that match patterns.", ["pattern…"], pubsub::psubscribe;
    "punsubscribe" -1, "pubsub noscript loading stale", "pubsub slow", "2.0.0", "Stops listening to patterns.", ["[pattern…]"], pubsub::punsubscribe;
    "ssubscribe" -2, "pubsub noscript loading stale", "pubsub slow", "7.0.0", "Listens to shard channels.", ["shardchannel…"], pubsub::ssubscribe;
    "sunsubscribe" -1, "pubsub noscript loading stale", "pubsub slow", "7.0.0", "Stops listening to shard channels.", ["[shardchannel…]"], pubsub::sunsubscribe;
    "pubsub" -2, "", "slow", "2.8.0", "Holds the commands that look at subscriptions.", [], server::container;
    "ping" -1, "fast", "fast connection", "1.0.0", "Answers PONG, or what it was given.", ["[message]"], connection::ping;
    "echo" 2, "loading stale fast", "fast connection", "1.0.0", "Answers what it was given.", ["message"], connection::echo;
    "quit" -1, "noscript loading stale fast no_auth allow_busy", "fast connection", "1.0.0", "Closes the connection.", [], connection::quit;
    "reset" 1, "noscript loading stale fast no_auth allow_busy", "fast connection", "6.2.0", "Makes the connection as it was when new.", [], connection::reset;
    "select" 2, "loading stale fast", "fast connection", "1.0.0", "Accepts the number of a database.", ["index"], connection::select;
    "hello" -1, "noscript loading stale fast no_auth allow_busy", "fast connection", "6.0.0", "Agrees on the protocol's version.", ["[protover]"], connection::hello;
    "auth" -2, "noscript loading stale fast no_auth allow_busy", "fast connection", "1.0.0", "Authenticates the connection.", ["[username]" "password"], connection::auth;
    "client" -2, "", "slow", "2.4.0", "Holds the commands about connections.", [], server::container;
    "command" -1, "loading stale", "slow connection", "2.8.13", "Describes all commands.", [], command::all;
    "config" -2, "", "slow", "2.0.0", "Holds the commands about settings.", [], server::container;
    "info" -1, "loading stale", "slow dangerous", "1.0.0", "Tells about the server and its work.", ["[section…]"], info::info;
    "cluster" -2, "", "slow", "3.0.0", "Holds the commands about clusters.", [], server::container;
    "acl" -2, "", "slow", "6.0.0", "Holds the commands about users.", [], server::container;
    "debug" -2, "admin noscript loading stale", "admin slow dangerous", "1.0.0", "Holds the commands for testing.", [], server::container;
    "multi" 1, "noscript loading stale fast allow_busy", "fast transaction", "1.2.0", "Begins a transaction.", [], transaction::multi;
    "exec" 1, "noscript loading stale skip_slowlog", "slow transaction", "1.2.0", "Executes a transaction.", [], transaction::exec;
    "discard" 1, "noscript loading stale fast allow_busy", "fast transaction", "2.0.0", "Forgets a transaction.", [], transaction::discard;
    "watch" -2, "noscript loading stale fast allow_busy", "fast transaction", "2.2.0", "Accepts keys, of which none will ever change.", ["key…"], transaction::watch;
    "unwatch" 1, "noscript loading stale fast allow_busy", "fast transaction", "2.2.0", "Forgets watched keys.", [], transaction::unwatch;
    "time" 1, "loading stale fast", "fast", "2.6.0", "Tells the server's time.", [], server::time;
    "wait" 3, "blocking", "slow blocking connection", "3.0.0", "Counts replicas, of which there are none.", ["numreplicas" "timeout"], server::wait;
    "asking" 1, "fast", "fast connection", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "readonly" 1, "loading stale fast", "fast connection", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "readwrite" 1, "loading stale fast", "fast connection", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "flushall" -1, "write", "keyspace write slow dangerous", "1.0.0", "Removes all keys, of which there are none.", ["[flush-type]"], server::flush;
    "flushdb" -1, "write", "keyspace write slow dangerous", "1.0.0", "Removes all keys, of which there are none.", ["[flush-type]"], server::flush;
    "dbsize" 1, "readonly fast", "keyspace read fast", "1.0.0", "Counts keys, of which there are none.", [], server::dbsize;
};

/// Commands of containers.
#[rustfmt::skip]
pub(super) const SUBCOMMANDS: &[Spec] = specs! {
    "pubsub|channels" -2, "pubsub loading stale", "pubsub slow", "2.8.0", "Lists channels with subscribers.", ["[pattern]"], pubsub::channels;
    "pubsub|numsub" -2, "pubsub loading stale", "pubsub slow", "2.8.0", "Counts subscribers of channels.", ["[channel…]"], pubsub::numsub;
    "pubsub|numpat" 2, "pubsub loading stale", "pubsub slow", "2.8.0", "Counts patterns.", [], pubsub::numpat;
    "pubsub|shardchannels" -2, "pubsub loading stale", "pubsub slow", "7.0.0", "Lists shard channels with subscribers.", ["[pattern]"], pubsub::channels;
    "pubsub|shardnumsub" -2, "pubsub loading stale", "pubsub slow", "7.0.0", "Counts subscribers of shard channels.", ["[shardchannel…]"], pubsub::numsub;
    "pubsub|help" 2, "loading stale", "slow", "6.2.0", "Explains the commands.", [], pubsub::help;
    "client|id" 2, "noscript loading stale", "slow connection", "5.0.0", "Tells the connection's number.", [], client::id;
    "client|getname" 2, "noscript loading stale", "slow connection", "2.6.9", "Tells the connection's name.", [], client::getname;
    "client|setname" 3, "noscript loading stale", "slow connection", "2.6.9", "Names the connection.", ["connection-name"], client::setname;
    "client|setinfo" 4, "noscript loading stale", "slow connection", "7.2.0", "Notes the client's library.", ["attr" "value"], client::setinfo;
    "client|list" -2, "admin noscript loading stale", "admin slow dangerous connection", "2.4.0", "Lists connections.", ["[option…]"], client::list;
    "client|info" 2, "noscript loading stale", "slow connection", "6.2.0", "Tells about the connection.", [], client::info;
    "client|kill" -3, "admin noscript loading stale", "admin slow dangerous connection", "2.4.0", "Closes connections.", ["filter…"], client::kill;
    "client|no-evict" 3, "admin noscript loading stale", "admin slow dangerous connection", "7.0.0", "Accepts a wish about eviction, of which there is none.", ["enabled"], client::no_evict;
    "client|no-touch" 3, "noscript loading stale", "slow connection", "7.2.0", "Accepts a wish about keys, of which there are none.", ["enabled"], client::no_touch;
    "client|reply" 3, "noscript loading stale", "slow connection", "3.2.0", "Turns replies on and off.", ["action"], client::reply;
    "client|help" 2, "loading stale", "slow connection", "5.0.0", "Explains the commands.", [], client::help;
    "command|count" 2, "loading stale", "slow connection", "2.8.13", "Counts commands.", [], command::count;
    "command|docs" -2, "loading stale", "slow connection", "7.0.0", "Documents commands.", ["[command-name…]"], command::docs;
    "command|info" -2, "loading stale", "slow connection", "2.8.13", "Describes commands.", ["[command-name…]"], command::info;
    "command|list" -2, "loading stale", "slow connection", "7.0.0", "Lists the names of commands.", [], command::list;
    "command|help" 2, "loading stale", "slow connection", "5.0.0", "Explains the commands.", [], command::help;
    "config|get" -3, "admin noscript loading stale", "admin slow dangerous", "2.0.0", "Tells settings.", ["parameter…"], config::get;
    "config|set" -4, "admin noscript loading stale", "admin slow dangerous", "2.0.0", "Changes settings.", ["parameter-value…"], config::set;
    "config|resetstat" 2, "admin noscript loading stale", "admin slow dangerous", "2.0.0", "Sets the counters to 0.", [], config::resetstat;
    "config|rewrite" 2, "admin noscript loading stale", "admin slow dangerous", "2.8.0", "Would rewrite the configuration file.", [], config::rewrite;
    "config|help" 2, "loading stale", "slow", "5.0.0", "Explains the commands.", [], config::help;
    "acl|whoami" 2, "noscript loading stale", "slow", "6.0.0", "Tells the connection's user.", [], connection::whoami;
    "debug|sleep" 3, "admin noscript loading stale", "admin slow dangerous", "1.0.0", "Lets the server stand still.", ["seconds"], server::sleep;
    "cluster|addslots" -3, "admin stale no_async_loading", "admin slow dangerous", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|countkeysinslot" 3, "stale", "slow", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|getkeysinslot" 4, "stale", "slow", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|info" 2, "stale", "slow", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|keyslot" 3, "stale", "slow", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|links" 2, "stale", "slow", "7.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|meet" -4, "admin stale no_async_loading", "admin slow dangerous", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|myid" 2, "stale", "slow", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|myshardid" 2, "stale", "slow", "7.2.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|nodes" 2, "stale", "slow", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|replicas" 3, "admin stale", "admin slow dangerous", "5.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|reset" -2, "admin noscript stale", "admin slow dangerous", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|shards" 2, "loading stale", "slow", "7.0.0", "Belongs to clusters.", [], server::no_cluster;
    "cluster|slots" 2, "loading stale", "slow", "3.0.0", "Belongs to clusters.", [], server::no_cluster;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_belongs_to_a_container() {
        for spec in SUBCOMMANDS {
            let (container, _) = spec.name.split_once('|').unwrap();
            let container = COMMANDS.iter().find(|spec| spec.name == container).unwrap();
            assert!(container.is_container(), "{}", spec.name);
        }
    }
}
