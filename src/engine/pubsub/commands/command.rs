//! COMMAND: what commands there are.

use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::table::{COMMANDS, SUBCOMMANDS, Spec};
use super::{Args, Found, find};
use crate::wire::resp::Writer;

/// A container's commands.
fn children(spec: &Spec) -> impl Iterator<Item = &'static Spec> {
    let name = spec.name;
    SUBCOMMANDS
        .iter()
        .filter(move |sub| sub.name.split_once('|').is_some_and(|(container, _)| container == name))
}

/// The command that a name such as `client|list` stands for.
fn named(name: &[u8]) -> Option<&'static Spec> {
    let mut words = name.splitn(2, |&byte| byte == b'|');
    match find(words.next().unwrap_or_default(), words.next()) {
        Found::Command(spec) => Some(spec),
        Found::NoCommand | Found::NoSubcommand => None,
    }
}

pub(super) fn all(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.out.reply(key, |out| {
        out.array(COMMANDS.len());
        COMMANDS.iter().for_each(|spec| describe(out, spec));
    });
}

pub(super) fn info(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    if args.len() == 2 {
        return all(engine, key, args);
    }
    engine.out.reply(key, |out| {
        out.array(args.len() - 2);
        for name in &args[2..] {
            match named(name) {
                Some(spec) => describe(out, spec),
                None => out.null(),
            }
        }
    });
}

fn describe(out: &mut Writer<'_>, spec: &Spec) {
    out.array(10);
    out.bulk(spec.name.as_bytes());
    out.integer(spec.arity);
    words(out, "", spec.flags);
    spec.keys().iter().for_each(|&place| out.integer(place));
    words(out, "@", spec.categories);
    out.set(0);
    key_specs(out, if spec.name == "watch" { "RO" } else { "not_key" }, spec.keys());
    let subcommands: Vec<_> = children(spec).collect();
    out.set(subcommands.len());
    subcommands.iter().for_each(|sub| describe(out, sub));
}

/// Where a command's keys stand, as `CommandInfo` says it since Redis 7. Channels of shards are none that a keyspace
/// would have.
fn key_specs(out: &mut Writer<'_>, flag: &str, [first, last, step]: [i64; 3]) {
    out.set(usize::from(first != 0));
    if first == 0 {
        return;
    }
    out.map(3);
    out.bulk(b"flags");
    out.set(1);
    out.simple(flag);
    let lastkey = if last < 0 { last } else { last - first };
    let begin: &[(&str, i64)] = &[("index", first)];
    let range: &[(&str, i64)] = &[("lastkey", lastkey), ("keystep", step), ("limit", 0)];
    for (name, kind, numbers) in [("begin_search", "index", begin), ("find_keys", "range", range)] {
        out.bulk(name.as_bytes());
        out.map(2);
        out.bulk(b"type");
        out.bulk(kind.as_bytes());
        out.bulk(b"spec");
        out.map(numbers.len());
        for (name, number) in numbers {
            out.bulk(name.as_bytes());
            out.integer(*number);
        }
    }
}

fn words(out: &mut Writer<'_>, mark: &str, text: &str) {
    let words: Vec<_> = text.split_ascii_whitespace().collect();
    out.set(words.len());
    words.iter().for_each(|word| out.simple(&format!("{mark}{word}")));
}

pub(super) fn docs(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let asked: Vec<&Spec> = match &args[2..] {
        [] => COMMANDS.iter().collect(),
        names => names.iter().filter_map(|name| named(name)).collect(),
    };
    engine.out.reply(key, |out| {
        out.map(asked.len());
        asked.iter().for_each(|spec| document(out, spec));
    });
}

fn document(out: &mut Writer<'_>, spec: &Spec) {
    let subcommands: Vec<_> = children(spec).collect();
    let (arguments, nested) = (!spec.arguments.is_empty(), !subcommands.is_empty());
    out.bulk(spec.name.as_bytes());
    out.map(3 + usize::from(arguments) + usize::from(nested));
    for (name, text) in [("summary", spec.summary), ("since", spec.since), ("group", spec.group())] {
        out.bulk(name.as_bytes());
        out.bulk(text.as_bytes());
    }
    if arguments {
        out.bulk(b"arguments");
        out.array(spec.arguments.len());
        spec.arguments.iter().for_each(|text| argument(out, text));
    }
    if nested {
        out.bulk(b"subcommands");
        out.map(subcommands.len());
        subcommands.iter().for_each(|sub| document(out, sub));
    }
}

/// One argument; `[x…]` is optional and may be repeated.
fn argument(out: &mut Writer<'_>, text: &str) {
    let name = text.trim_matches(['[', ']', '…']);
    let kind = if name == "pattern" { "pattern" } else { "string" };
    let mut flags = Vec::new();
    if text.starts_with('[') {
        flags.push("optional");
    }
    if text.contains('…') {
        flags.push("multiple");
    }
    out.map(2 + usize::from(!flags.is_empty()));
    for (key, value) in [("name", name), ("type", kind)] {
        out.bulk(key.as_bytes());
        out.bulk(value.as_bytes());
    }
    if !flags.is_empty() {
        out.bulk(b"flags");
        out.set(flags.len());
        flags.iter().for_each(|flag| out.simple(flag));
    }
}

pub(super) fn count(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    engine.out.reply(key, |out| out.integer(COMMANDS.len() as i64));
}

pub(super) fn list(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    if args.len() > 2 {
        return engine.error(key, b"ERR syntax error");
    }
    engine.out.reply(key, |out| {
        out.set(COMMANDS.len());
        COMMANDS.iter().for_each(|spec| out.bulk(spec.name.as_bytes()));
    });
}

pub(super) fn help(engine: &mut Engine, key: ClientKey, _: Args<'_>) {
    super::help(
        engine,
        key,
        "COMMAND",
        &[
            "(no subcommand)",
            "    Describe all commands.",
            "COUNT",
            "    Count the commands.",
            "DOCS [<command-name> ...]",
            "    Document commands (default: all).",
            "INFO [<command-name> ...]",
            "    Describe commands (default: all).",
            "LIST",
            "    List the names of all commands.",
        ],
    );
}
