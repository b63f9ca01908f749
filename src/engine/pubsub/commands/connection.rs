//! Greeting, authenticating, small talk and leave-taking.

use super::super::client::ReplyMode;
use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::client::set_name;
use super::{Args, is};
use crate::wire::resp::Protocol;

/// The version of Redis whose behaviour this engine has, reported to clients that gate features by it.
pub(super) const REDIS_VERSION: &str = "8.2.3";
/// Database numbers that SELECT accepts, all without keys.
const DATABASES: i64 = 16;

pub(super) fn ping(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    if args.len() > 2 {
        return engine.error(key, b"ERR wrong number of arguments for 'ping' command");
    }
    let client = engine.out.client(key);
    let subscribed = client.is_subscriber() && client.protocol == Protocol::Resp2;
    engine.out.reply(key, |out| match (subscribed, args.get(1)) {
        (true, text) => {
            out.array(2);
            out.bulk(b"pong");
            out.bulk(text.copied().unwrap_or_default());
        }
        (false, Some(text)) => out.bulk(text),
        (false, None) => out.simple("PONG"),
    });
}

pub(super) fn echo(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    engine.out.reply(key, |out| out.bulk(args[1]));
}

pub(super) fn quit(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.ok(key);
    engine.out.client_mut(key).closing = true;
}

pub(super) fn reset(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.unsubscribe_all(key);
    let open = engine.access.password.is_none();
    let client = engine.out.client_mut(key);
    client.transaction = None;
    client.protocol = Protocol::Resp2;
    client.reply = ReplyMode::On;
    client.authenticated = open;
    client.database = 0;
    if let Some(identity) = &mut client.identity {
        identity.name.clear();
        identity.no_evict = false;
        identity.no_touch = false;
    }
    engine.out.reply(key, |out| out.simple("RESET"));
}

pub(super) fn select(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let index = std::str::from_utf8(args[1]).ok().and_then(|text| text.parse::<i64>().ok());
    match index {
        None => engine.error(key, b"ERR value is not an integer or out of range"),
        Some(index) if !(0..DATABASES).contains(&index) => engine.error(key, b"ERR DB index is out of range"),
        Some(index) => {
            engine.out.client_mut(key).database = index as u8;
            engine.ok(key);
        }
    }
}

const WRONG_PASSWORD: &[u8] = b"WRONGPASS invalid username-password pair or user is disabled.";

pub(super) fn auth(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let (user, password) = match *args {
        [_, password] => {
            if engine.access.password.is_none() {
                return engine.error(
                    key,
                    b"ERR AUTH <password> called without any password configured for the default user. Are you sure \
                      your configuration is correct?",
                );
            }
            (&b"default"[..], password)
        }
        [_, user, password] => (user, password),
        _ => return engine.error(key, b"ERR syntax error"),
    };
    if admit(engine, key, user, password) { engine.ok(key) } else { engine.error(key, WRONG_PASSWORD) }
}

/// Lets the client in if user and password are right.
fn admit(engine: &mut Engine, key: ClientKey, user: &[u8], password: &[u8]) -> bool {
    let known = user == engine.access.user.as_bytes();
    let right = engine.access.password.as_ref().is_none_or(|own| same_in_constant_time(own, password));
    if known && right {
        engine.out.client_mut(key).authenticated = true;
    } else {
        engine.out.stats.auth_failures += 1;
    }
    known && right
}

/// Compares without telling by its duration how much was right.
fn same_in_constant_time(own: &[u8], given: &[u8]) -> bool {
    let differences = (0..given.len()).fold(0, |found, at| found | (own[at % own.len().max(1)] ^ given[at]));
    own.len() == given.len() && differences == 0
}

/// What HELLO asks for.
#[derive(Default)]
struct Greeting<'a> {
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

pub(super) fn hello(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let protocol = match args
        .get(1)
        .map(|arg| std::str::from_utf8(arg).ok().and_then(|text| text.parse::<i64>().ok()))
    {
        None => engine.out.client(key).protocol,
        Some(Some(2)) => Protocol::Resp2,
        Some(Some(3)) => Protocol::Resp3,
        Some(Some(_)) => return engine.error(key, b"NOPROTO unsupported protocol version"),
        Some(None) => return engine.error(key, b"ERR Protocol version is not an integer or out of range"),
    };
    let greeting = match options(args.get(2..).unwrap_or_default()) {
        Ok(greeting) => greeting,
        Err(option) => {
            let text = [b"ERR Syntax error in HELLO option '", option, b"'"].concat();
            return engine.error(key, &text);
        }
    };
    if let Some((user, password)) = greeting.credentials
        && !admit(engine, key, user, password)
    {
        return engine.error(key, WRONG_PASSWORD);
    }
    if !engine.out.client(key).authenticated {
        return engine.error(
            key,
            b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
              <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        );
    }
    if let Some(name) = greeting.name
        && let Err(why) = set_name(engine.out.client_mut(key), name)
    {
        return engine.error(key, why);
    }
    engine.out.client_mut(key).protocol = protocol;
    greet(engine, key);
}

/// The options of HELLO, or the one that is none.
fn options<'a>(mut rest: Args<'a>) -> Result<Greeting<'a>, &'a [u8]> {
    let mut greeting = Greeting::default();
    while let [option, tail @ ..] = rest {
        rest = match tail {
            [user, password, after @ ..] if is(option, "auth") => {
                greeting.credentials = Some((user, password));
                after
            }
            [name, after @ ..] if is(option, "setname") => {
                greeting.name = Some(name);
                after
            }
            _ => return Err(option),
        };
    }
    Ok(greeting)
}

fn greet(engine: &mut Engine, key: ClientKey) {
    let client = engine.out.client(key);
    let (id, version) = (client.id, if client.protocol == Protocol::Resp3 { 3 } else { 2 });
    engine.out.reply(key, |out| {
        out.map(7);
        out.bulk(b"server");
        out.bulk(b"redis");
        out.bulk(b"version");
        out.bulk(REDIS_VERSION.as_bytes());
        out.bulk(b"proto");
        out.integer(version);
        out.bulk(b"id");
        out.integer(id as i64);
        out.bulk(b"mode");
        out.bulk(b"standalone");
        out.bulk(b"role");
        out.bulk(b"master");
        out.bulk(b"modules");
        out.array(0);
    });
}

pub(super) fn whoami(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    let user = engine.access.user.clone();
    engine.out.reply(key, |out| out.bulk(user.as_bytes()));
}
