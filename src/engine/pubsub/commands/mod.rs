//! Commands: which there are, and what comes before each of them runs.

mod client;
mod command;
mod config;
mod connection;
mod info;
mod pubsub;
mod server;
mod table;
mod transaction;

pub(super) use client::{Answer, Query};

use super::client::Client;
use super::registry::ClientKey;
use super::state::Engine;
use crate::wire::resp::Protocol;
use std::collections::HashMap;
use std::sync::LazyLock;
use table::{COMMANDS, SUBCOMMANDS, Spec};

/// Arguments of a command, its name first.
type Args<'a> = &'a [&'a [u8]];

/// Longest command name looked up, in bytes.
const LONGEST_NAME: usize = 32;
/// Bytes of a name or of arguments that an error repeats.
const QUOTED: usize = 128;

static BY_NAME: LazyLock<HashMap<&'static str, &'static Spec>> =
    LazyLock::new(|| COMMANDS.iter().chain(SUBCOMMANDS).map(|spec| (spec.name, spec)).collect());

/// What a name, and the word behind it, stand for.
enum Found {
    Command(&'static Spec),
    NoCommand,
    NoSubcommand,
}

/// Finds a command; `sub` makes it one of a container's.
fn find(name: &[u8], sub: Option<&[u8]>) -> Found {
    let mut lower = Vec::with_capacity(2 * LONGEST_NAME);
    if name.len() > LONGEST_NAME {
        return Found::NoCommand;
    }
    lower.extend(name.iter().map(u8::to_ascii_lowercase));
    let Some(&spec) = std::str::from_utf8(&lower).ok().and_then(|name| BY_NAME.get(name)) else {
        return Found::NoCommand;
    };
    let Some(sub) = sub.filter(|sub| spec.is_container() && sub.len() <= LONGEST_NAME) else {
        return Found::Command(spec);
    };
    lower.push(b'|');
    lower.extend(sub.iter().map(u8::to_ascii_lowercase));
    match std::str::from_utf8(&lower).ok().and_then(|name| BY_NAME.get(name)) {
        Some(&spec) => Found::Command(spec),
        None => Found::NoSubcommand,
    }
}

/// Words of HTTP, by which a browser was tricked into talking to a server: the connection is closed.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

impl Engine {
    /// Executes one command of a client, or says why not.
    pub(super) fn execute(&mut self, key: ClientKey, args: Args<'_>) {
        if is_http(args[0]) {
            return self.out.doom(key);
        }
        match self.permitted(key, args) {
            Ok(spec) => self.run(key, spec, args),
            Err(why) if is(args[0], "exec") => {
                self.out.client_mut(key).transaction = None;
                let why = why.strip_prefix(b"ERR ").unwrap_or(&why);
                self.error(key, &[b"EXECABORT Transaction discarded because of: ", why].concat());
            }
            Err(why) => {
                if let Some(transaction) = &mut self.out.client_mut(key).transaction {
                    transaction.broken = true;
                }
                self.error(key, &why);
            }
        }
        self.out.finish_command(key);
    }

    /// The command to run, or the error to answer.
    fn permitted(&mut self, key: ClientKey, args: Args<'_>) -> Result<&'static Spec, Vec<u8>> {
        let client = self.out.client(key);
        let restricted = client.protocol == Protocol::Resp2 && client.is_subscriber();
        let spec = match find(args[0], args.get(1).copied()) {
            Found::Command(spec) => spec,
            Found::NoCommand => return Err(unknown_command(args, restricted)),
            Found::NoSubcommand => return Err(unknown_subcommand(args)),
        };
        if !spec.accepts(args.len()) {
            return Err(wrong_arity(spec.name));
        }
        if !client.authenticated && !spec.has_flag("no_auth") {
            return Err(b"NOAUTH Authentication required.".to_vec());
        }
        if restricted && !allowed_while_subscribed(spec) {
            return Err(not_while_subscribed(spec.name));
        }
        Ok(spec)
    }

    fn run(&mut self, key: ClientKey, spec: &'static Spec, args: Args<'_>) {
        if !runs_at_once(spec.name)
            && let Some(transaction) = &mut self.out.client_mut(key).transaction
        {
            transaction.queued.push(args.iter().map(|arg| arg.to_vec()).collect());
            return self.out.reply(key, |out| out.simple("QUEUED"));
        }
        self.call(key, spec, args);
    }

    /// Runs a command that is permitted.
    fn call(&mut self, key: ClientKey, spec: &'static Spec, args: Args<'_>) {
        self.out.stats.commands += 1;
        let client = self.out.client_mut(key);
        client.commands += 1;
        client.last_command = spec.name;
        (spec.run)(self, key, args);
    }

    /// Answers with an error, and counts it by its first word.
    pub(super) fn error(&mut self, key: ClientKey, text: &[u8]) {
        let word = text.split(|&byte| byte == b' ').next().unwrap_or_default();
        let word = String::from_utf8_lossy(word).into_owned();
        *self.out.stats.errors.entry(word).or_default() += 1;
        self.out.reply(key, |out| out.error(text));
    }

    /// Answers `OK`.
    fn ok(&mut self, key: ClientKey) {
        self.out.reply(key, |out| out.simple("OK"));
    }
}

/// Commands that a transaction does not queue.
fn runs_at_once(name: &str) -> bool {
    matches!(name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

fn allowed_while_subscribed(spec: &Spec) -> bool {
    matches!(spec.name, "ping" | "quit" | "reset") || spec.name.ends_with("subscribe")
}

fn quoted(text: &[u8]) -> &[u8] {
    &text[..text.len().min(QUOTED)]
}

fn wrong_arity(name: &str) -> Vec<u8> {
    format!("ERR wrong number of arguments for '{name}' command").into_bytes()
}

fn not_while_subscribed(name: &str) -> Vec<u8> {
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context"
    )
    .into_bytes()
}

fn unknown_command(args: Args<'_>, restricted: bool) -> Vec<u8> {
    let name = args[0].to_ascii_lowercase();
    if let Some(known) = table::NEEDS_KEYSPACE.iter().find(|known| known.as_bytes() == name) {
        return if restricted {
            not_while_subscribed(known)
        } else {
            format!("ERR this is a pub/sub server without a keyspace: it has no '{known}' command")
                .into_bytes()
        };
    }
    let mut text = [b"ERR unknown command '", quoted(args[0]), b"', with args beginning with: "].concat();
    let from = text.len();
    for arg in &args[1..] {
        if text.len() - from >= QUOTED {
            break;
        }
        let room = QUOTED - (text.len() - from);
        text.push(b'\'');
        text.extend_from_slice(&arg[..arg.len().min(room)]);
        text.extend_from_slice(b"' ");
    }
    text
}

fn unknown_subcommand(args: Args<'_>) -> Vec<u8> {
    let container = args[0].to_ascii_uppercase();
    [b"ERR unknown subcommand '", quoted(args[1]), b"'. Try ", &container, b" HELP."].concat()
}

/// Text of a setting or option, for comparison.
fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// `on` or `off`.
fn switch(arg: &[u8]) -> Option<bool> {
    match () {
        () if is(arg, "on") => Some(true),
        () if is(arg, "off") => Some(false),
        () => None,
    }
}

/// Lines of a HELP reply.
fn help(engine: &mut Engine, key: ClientKey, container: &str, lines: &[&str]) {
    engine.out.reply(key, |out| {
        out.array(lines.len() + 3);
        out.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
        lines.iter().for_each(|line| out.simple(line));
        out.simple("HELP");
        out.simple("    Print this help.");
    });
}
