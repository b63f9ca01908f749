//! CLIENT.

use super::super::registry::ClientKey;
use super::super::state::Engine;
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
         events={} cmd={} user={} redir=-1 resp={} lib-name={} lib-ver={} io-thread=0 tot-net-in={} tot-net-out={} \
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
    let chosen: Box<dyn Fn(&Client) -> bool> = match &args[2..] {
        [] => Box::new(|_| true),
        [option, name] if is(option, "type") => match type_named(name) {
            Some(kind) => Box::new(move |client| has_type(client, kind)),
            None => return engine.error(key, &unknown_type(name)),
        },
        [option, ids @ ..] if is(option, "id") && !ids.is_empty() => {
            let Some(ids) = ids.iter().map(|id| number(id)).collect::<Option<Vec<_>>>() else {
                return engine.error(key, b"ERR Invalid client ID");
            };
            Box::new(move |client| ids.contains(&client.id))
        }
        _ => return engine.error(key, b"ERR syntax error"),
    };
    let clients = engine.out.clients.iter().map(|(_, client)| client);
    let mut clients: Vec<&Client> = clients.filter(|client| !client.doomed && chosen(client)).collect();
    clients.sort_unstable_by_key(|client| client.id);
    let text = clients.iter().map(|client| line(engine, client)).collect::<Vec<_>>().concat();
    engine.out.reply(key, |out| out.verbatim(&text));
}

/// What CLIENT KILL looks for; all that is given must hold.
#[derive(Default)]
struct Wanted<'a> {
    id: Option<u64>,
    peer: Option<&'a [u8]>,
    local: Option<&'a [u8]>,
    kind: Option<&'static str>,
    user: Option<&'a [u8]>,
    older_than: Option<u64>,
    with_me: bool,
}

impl Wanted<'_> {
    fn fits(&self, engine: &Engine, client: &Client) -> bool {
        let place = client.stream.place();
        let age = engine.now.saturating_sub(client.connected_at) / 1_000_000_000;
        self.id.is_none_or(|id| id == client.id)
            && self.peer.is_none_or(|peer| peer == place.peer.as_bytes())
            && self.local.is_none_or(|local| local == place.local.as_bytes())
            && self.kind.is_none_or(|kind| has_type(client, kind))
            && self.user.is_none_or(|user| client.authenticated && user == engine.access.user.as_bytes())
            && self.older_than.is_none_or(|seconds| age >= seconds)
    }
}

fn wanted<'a>(engine: &Engine, mut rest: Args<'a>) -> Result<Wanted<'a>, Vec<u8>> {
    let mut wanted = Wanted::default();
    while !rest.is_empty() {
        let [option, value, after @ ..] = rest else { return Err(b"ERR syntax error".to_vec()) };
        match () {
            () if is(option, "id") => match number(value).filter(|&id| id > 0) {
                None => return Err(b"ERR client-id should be greater than 0".to_vec()),
                id => wanted.id = id,
            },
            () if is(option, "maxage") => match number(value).filter(|&age| age > 0) {
                None => return Err(b"ERR maxage should be greater than 0".to_vec()),
                age => wanted.older_than = age,
            },
            () if is(option, "type") => match type_named(value) {
                None => return Err(unknown_type(value)),
                kind => wanted.kind = kind,
            },
            () if is(option, "addr") => wanted.peer = Some(value),
            () if is(option, "laddr") => wanted.local = Some(value),
            () if is(option, "user") && *value == engine.access.user.as_bytes() => wanted.user = Some(value),
            () if is(option, "user") => return Err([b"ERR No such user '", *value, b"'"].concat()),
            () if is(option, "skipme") && (is(value, "yes") || is(value, "no")) => {
                wanted.with_me = is(value, "no")
            }
            () => return Err(b"ERR syntax error".to_vec()),
        }
        rest = after;
    }
    Ok(wanted)
}

pub(super) fn kill(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let by_address = args.len() == 3;
    let wanted = if by_address {
        Ok(Wanted { peer: Some(args[2]), with_me: true, ..Wanted::default() })
    } else {
        wanted(engine, &args[2..])
    };
    let wanted = match wanted {
        Ok(wanted) => wanted,
        Err(why) => return engine.error(key, &why),
    };
    let everybody = engine.out.clients.iter().map(|(other, client)| (other as ClientKey, client));
    let found: Vec<ClientKey> = everybody
        .filter(|(other, client)| {
            !client.doomed && (wanted.with_me || *other != key) && wanted.fits(engine, client)
        })
        .map(|(other, _)| other)
        .collect();
    match (by_address, found.is_empty()) {
        (true, true) => engine.error(key, b"ERR No such client"),
        (true, false) => engine.ok(key),
        (false, _) => engine.out.reply(key, |out| out.integer(found.len() as i64)),
    }
    for other in found {
        if other == key {
            // It still gets its answer.
            engine.out.client_mut(key).closing = true;
        } else {
            engine.unsubscribe_all(other);
            engine.out.doom(other);
        }
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
