//! CLIENT.

use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::super::together::Peers;
use super::info::Figures;
use super::{Args, Client, is, switch};
use crate::engine::pubsub::client::ReplyMode;
use crate::wire::resp::Protocol;

const BAD_NAME: &[u8] = b"ERR Client names cannot contain spaces, newlines or special characters.";

/// Whether every byte may stand in a name that CLIENT LIST shows.
fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// Names the connection; an empty name takes it away.
pub(super) fn set_name(client: &mut Client, name: &[u8]) -> Result<(), &'static [u8]> {
    if !is_printable(name) {
        return Err(BAD_NAME);
    }
    client.identity_mut().name = name.to_vec();
    Ok(())
}

pub(super) fn id(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let id = engine.out.client(key).id;
    engine.out.reply(key, |out| out.integer(id as i64));
}

pub(super) fn getname(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let name =
        engine.out.client(key).identity.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
    engine.out.reply(key, |out| if name.is_empty() { out.null() } else { out.bulk(&name) });
}

pub(super) fn setname(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    match set_name(engine.out.client_mut(key), args[2]) {
        Ok(()) => engine.ok(key),
        Err(why) => engine.error(key, why),
    }
}

pub(super) fn setinfo(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let (option, value) = (args[2], args[3]);
    let (name, version) = (is(option, "lib-name"), is(option, "lib-ver"));
    if !name && !version {
        return engine.error(key, &[b"ERR Unrecognized option '", option, b"'"].concat());
    }
    if !is_printable(value) {
        let text = [b"ERR ", option, b" cannot contain spaces, newlines or special characters."].concat();
        return engine.error(key, &text);
    }
    let identity = engine.out.client_mut(key).identity_mut();
    *(if name { &mut identity.lib_name } else { &mut identity.lib_ver }) = value.to_vec();
    engine.ok(key);
}

/// One line of CLIENT LIST.
fn line(engine: &Engine, client: &Client) -> Vec<u8> {
    let age = |since: u64| engine.now.saturating_sub(since) / 1_000_000_000;
    let place = client.stream.place();
    let identity = client.identity.as_deref();
    let mut flags = String::new();
    let marks = [
        ('P', client.is_subscriber()),
        ('x', client.transaction.is_some()),
        ('U', place.unix),
        ('e', identity.is_some_and(|identity| identity.no_evict)),
        ('T', identity.is_some_and(|identity| identity.no_touch)),
    ];
    flags.extend(marks.iter().filter(|(_, set)| *set).map(|(mark, _)| mark));
    if flags.is_empty() {
        flags.push('N');
    }
    let text =
        |bytes: Option<&Vec<u8>>| String::from_utf8_lossy(bytes.map_or(&[], Vec::as_slice)).into_owned();
    let queued = client.transaction.as_ref().map_or(-1, |transaction| transaction.queued.len() as i64);
    let pending = client.output.pending();
    let memory = size_of::<Client>() + client.inbox.capacity() + pending;
    format!(
        "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db={} sub={} psub={} ssub={} multi={queued} \
         watch=0 qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll={} omem={pending} tot-mem={memory} \
         events={} cmd={} user={} redir=-1 resp={} lib-name={} lib-ver={} io-thread={} tot-net-in={} tot-net-out={} \
         tot-cmds={}\n",
        client.id,
        place.peer,
        place.local,
        place.descriptor,
        text(identity.map(|identity| &identity.name)),
        age(client.connected_at),
        age(client.active_at),
        client.database,
        client.channels.len(),
        client.patterns.len(),
        client.shards.len(),
        client.inbox_filled,
        client.output.segments(),
        if pending > 0 { "rw" } else { "r" },
        client.last_command,
        engine.access.user,
        if client.protocol == Protocol::Resp3 { 3 } else { 2 },
        text(identity.map(|identity| &identity.lib_name)),
        text(identity.map(|identity| &identity.lib_ver)),
        engine.peers.as_ref().map_or(0, Peers::me),
        client.bytes_in,
        client.bytes_out,
        client.commands,
    )
    .into_bytes()
}

pub(super) fn info(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let text = line(engine, engine.out.client(key));
    engine.out.reply(key, |out| out.verbatim(&text));
}

/// Types of clients that CLIENT LIST and KILL tell apart; there are no masters and replicas.
fn type_named(name: &[u8]) -> Option<&'static str> {
    ["normal", "pubsub", "master", "replica"]
        .into_iter()
        .find(|known| is(name, known))
        .or_else(|| is(name, "slave").then_some("replica"))
}

fn has_type(client: &Client, kind: &str) -> bool {
    kind == if client.is_subscriber() { "pubsub" } else { "normal" }
}

fn unknown_type(name: &[u8]) -> Vec<u8> {
    [b"ERR Unknown client type '", name, b"'"].concat()
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn list(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let wanted = match &args[2..] {
        [] => Wanted::default(),
        [option, name] if is(option, "type") => match type_named(name) {
            Some(kind) => Wanted { kind: Some(kind), ..Wanted::default() },
            None => return engine.error(key, &unknown_type(name)),
        },
        [option, ids @ ..] if is(option, "id") && !ids.is_empty() => {
            let Some(ids) = ids.iter().map(|id| number(id)).collect::<Option<Vec<_>>>() else {
                return engine.error(key, b"ERR Invalid client ID");
            };
            Wanted { ids: Some(ids), ..Wanted::default() }
        }
        _ => return engine.error(key, b"ERR syntax error"),
    };
    let mut lines = Vec::new();
    for answer in engine.ask(Query::Clients(wanted)) {
        if let Answer::Clients(some) = answer {
            lines.extend(some);
        }
    }
    lines.sort_unstable();
    let text = lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().concat();
    engine.out.reply(key, |out| out.verbatim(&text));
}

/// What CLIENT LIST and KILL look for; all that is given must hold.
#[derive(Debug, Default)]
pub(in super::super) struct Wanted {
    ids: Option<Vec<u64>>,
    peer: Option<Vec<u8>>,
    local: Option<Vec<u8>>,
    kind: Option<&'static str>,
    user: Option<Vec<u8>>,
    older_than: Option<u64>,
    /// Not the client with this number.
    but: Option<u64>,
}

impl Wanted {
    fn fits(&self, engine: &Engine, client: &Client) -> bool {
        let place = client.stream.place();
        let age = engine.now.saturating_sub(client.connected_at) / 1_000_000_000;
        !client.doomed
            && self.but != Some(client.id)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&client.id))
            && self.peer.as_ref().is_none_or(|peer| peer == place.peer.as_bytes())
            && self.local.as_ref().is_none_or(|local| local == place.local.as_bytes())
            && self.kind.is_none_or(|kind| has_type(client, kind))
            && self
                .user
                .as_ref()
                .is_none_or(|user| client.authenticated && user == engine.access.user.as_bytes())
            && self.older_than.is_none_or(|seconds| age >= seconds)
    }
}

/// What a command asks of every event loop.
#[derive(Debug)]
pub(in super::super) enum Query {
    /// Lines of CLIENT LIST.
    Clients(Wanted),
    /// CLIENT KILL.
    Kill(Wanted),
    /// What INFO tells.
    Figures,
}

/// One event loop's part of an answer.
#[derive(Debug)]
pub(in super::super) enum Answer {
    /// Numbers of clients, and their lines.
    Clients(Vec<(u64, Vec<u8>)>),
    /// How many were closed.
    Killed(usize),
    /// Figures.
    Figures(Box<Figures>),
}

impl Engine {
    /// This event loop's part of an answer.
    pub(in super::super) fn answer(&mut self, query: &Query) -> Answer {
        match query {
            Query::Clients(wanted) => {
                let clients = self.out.clients.iter().map(|(_, client)| client);
                let clients = clients.filter(|client| wanted.fits(self, client));
                Answer::Clients(clients.map(|client| (client.id, line(self, client))).collect())
            }
            Query::Kill(wanted) => Answer::Killed(self.kill(wanted)),
            Query::Figures => Answer::Figures(Box::new(Figures::of(self))),
        }
    }

    fn kill(&mut self, wanted: &Wanted) -> usize {
        let clients = self.out.clients.iter().filter(|(_, client)| wanted.fits(self, client));
        let found: Vec<ClientKey> = clients.map(|(key, _)| key as ClientKey).collect();
        for &key in &found {
            if self.out.executing == Some(key) {
                // It still gets its answer.
                self.out.client_mut(key).closing = true;
            } else {
                self.unsubscribe_all(key);
                self.out.doom(key);
            }
        }
        found.len()
    }
}

fn wanted(engine: &Engine, key: ClientKey, mut rest: Args<'_>) -> Result<Wanted, Vec<u8>> {
    let own = engine.out.client(key).id;
    let mut wanted = Wanted { but: Some(own), ..Wanted::default() };
    while !rest.is_empty() {
        let [option, value, after @ ..] = rest else { return Err(b"ERR syntax error".to_vec()) };
        match () {
            () if is(option, "id") => match number(value).filter(|&id| id > 0) {
                None => return Err(b"ERR client-id should be greater than 0".to_vec()),
                Some(id) => wanted.ids = Some(vec![id]),
            },
            () if is(option, "maxage") => match number(value) {
                None => return Err(b"ERR maxage is not an integer or out of range".to_vec()),
                Some(0) => return Err(b"ERR maxage should be greater than 0".to_vec()),
                age => wanted.older_than = age,
            },
            () if is(option, "type") => match type_named(value) {
                None => return Err(unknown_type(value)),
                kind => wanted.kind = kind,
            },
            () if is(option, "addr") => wanted.peer = Some(value.to_vec()),
            () if is(option, "laddr") => wanted.local = Some(value.to_vec()),
            () if is(option, "user") && *value == engine.access.user.as_bytes() => {
                wanted.user = Some(value.to_vec());
            }
            () if is(option, "user") => return Err([b"ERR No such user '", *value, b"'"].concat()),
            () if is(option, "skipme") && is(value, "yes") => wanted.but = Some(own),
            () if is(option, "skipme") && is(value, "no") => wanted.but = None,
            () => return Err(b"ERR syntax error".to_vec()),
        }
        rest = after;
    }
    Ok(wanted)
}

pub(super) fn kill(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let by_address = args.len() == 3;
    let wanted = if by_address {
        Ok(Wanted { peer: Some(args[2].to_vec()), ..Wanted::default() })
    } else {
        wanted(engine, key, &args[2..])
    };
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(why) => return engine.error(key, &why),
    };
    let killed = |answer: &Answer| if let Answer::Killed(count) = answer { *count } else { 0 };
    let count: usize = engine.ask(Query::Kill(wanted)).iter().map(killed).sum();
    match (by_address, count) {
        (true, 0) => engine.error(key, b"ERR No such client"),
        (true, _) => engine.ok(key),
        (false, count) => engine.out.reply(key, |out| out.integer(count as i64)),
    }
}

pub(super) fn reply(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let client = engine.out.client_mut(key);
    match () {
        () if is(args[2], "on") => {
            client.reply = ReplyMode::On;
            engine.ok(key);
        }
        () if is(args[2], "off") => client.reply = ReplyMode::Off,
        () if is(args[2], "skip") => {
            if client.reply != ReplyMode::Off {
                client.reply = ReplyMode::SkipNext;
            }
        }
        () => engine.error(key, b"ERR syntax error"),
    }
}

pub(super) fn no_evict(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    match switch(args[2]) {
        Some(on) => engine.out.client_mut(key).identity_mut().no_evict = on,
        None => return engine.error(key, b"ERR syntax error"),
    }
    engine.ok(key);
}

pub(super) fn no_touch(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    match switch(args[2]) {
        Some(on) => engine.out.client_mut(key).identity_mut().no_touch = on,
        None => return engine.error(key, b"ERR syntax error"),
    }
    engine.ok(key);
}

pub(super) fn help(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    super::help(
        engine,
        key,
        "CLIENT",
        &[
            "GETNAME",
            "    Tell the connection's name.",
            "ID",
            "    Tell the connection's number.",
            "INFO",
            "    Tell about the connection.",
            "KILL <ip:port>",
            "    Close the connection from there.",
            "KILL <option> <value> [<option> <value> ...]",
            "    Close connections. Options: ADDR, LADDR, TYPE, USER, SKIPME, ID, MAXAGE.",
            "LIST [TYPE <type> | ID <id> ...]",
            "    Tell about connections.",
            "NO-EVICT (ON|OFF)",
            "    Accepted.",
            "NO-TOUCH (ON|OFF)",
            "    Accepted.",
            "REPLY (ON|OFF|SKIP)",
            "    Turn replies on or off.",
            "SETINFO <option> <value>",
            "    Note the client's library: LIB-NAME, LIB-VER.",
            "SETNAME <name>",
            "    Name the connection.",
        ],
    );
}
