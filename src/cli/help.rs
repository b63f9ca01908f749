//! The command line: parsed, with the nearest command for a wrong one; its `--help` in groups; and as
//! completions and man pages see it.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

use super::args::Typed;
use crate::scenario::nearest;

/// The commands by what they are for. A test holds that each is in exactly one group.
const GROUPS: &[(&str, &[&str])] = &[
    ("Measure", &["run", "bench", "capacity"]),
    ("Decide, for CI", &["gate", "baseline"]),
    ("Look at results", &["compare", "report", "results"]),
    ("Prepare", &["scenario", "brokers", "serve"]),
    ("Check this machine and this instrument", &["doctor", "selftest"]),
    ("Your shell", &["completions", "man", "help"]),
];

/// The whole command line.
pub(super) fn command() -> clap::Command {
    let mut command = Typed::command();
    command.build();
    let listed = listed(&command);
    Typed::command().help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{listed}Options:\n{{options}}{{after-help}}"
    ))
}

/// What was typed; the first word is the program.
///
/// # Errors
/// What clap says of it, help and version included.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Typed, clap::Error> {
    let words: Vec<OsString> = words.into_iter().collect();
    let matches = command().try_get_matches_from(&words).map_err(|error| with_nearest(error, &words))?;
    Typed::from_arg_matches(&matches)
}

/// Names the command that a wrong one is nearest to, where clap, which asks for more likeness in short words,
/// knows none.
fn with_nearest(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let named = error.get(ContextKind::SuggestedSubcommand).is_some();
    let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    if error.kind() != ErrorKind::InvalidSubcommand || named {
        return error;
    }
    let all = Typed::command();
    let inner = words.iter().skip(1).map_while(|word| word.to_str()).take_while(|word| word != given);
    let here = inner.fold(&all, |here, word| here.find_subcommand(word).unwrap_or(here));
    let names = here.get_subcommands().filter(|one| !one.is_hide_set()).map(clap::Command::get_name);
    if let Some(name) = nearest(given, names) {
        let name = ContextValue::Strings(vec![name.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, name);
    }
    error
}

/// One line for each command below the heading of its group.
fn listed(command: &clap::Command) -> String {
    let width = GROUPS.iter().flat_map(|(_, names)| *names).map(|name| name.len()).max().unwrap_or(0);
    let line = |name: &&str| {
        let about = command.find_subcommand(name).and_then(clap::Command::get_about);
        let about = about.map(ToString::to_string).unwrap_or_default();
        format!("  {name:width$}  {}\n", about.trim_end_matches('.'))
    };
    let group = |(heading, names): &(&str, &[&str])| {
        format!("{heading}:\n{}\n", names.iter().map(line).collect::<String>())
    };
    GROUPS.iter().map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_exactly_one_group_with_its_sentence() {
        let help = command().render_long_help().to_string();
        let mut all = Typed::command();
        all.build();
        for subcommand in all.get_subcommands().filter(|one| !one.is_hide_set()) {
            let name = subcommand.get_name();
            let places = GROUPS.iter().filter(|(_, names)| names.contains(&name)).count();
            assert_eq!(places, 1, "`{name}` has to be in one group of GROUPS");
            let line = help.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
            assert!(line.is_some_and(|line| line.trim().len() > name.len() + 10), "{name}: {help}");
        }
        let known = |name: &&str| all.find_subcommand(name).is_some();
        assert!(GROUPS.iter().flat_map(|(_, names)| *names).all(known), "a group names what is gone");
    }

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let inner: Vec<&clap::Command> = command
                .get_subcommands()
                .filter(|one| !one.is_hide_set() && one.get_name() != "help")
                .collect();
            for one in &inner {
                check(one, &format!("{path} {}", one.get_name()));
            }
            if inner.is_empty() {
                let help = command.clone().render_long_help().to_string();
                let example = help.split_once("Example").map_or("", |(_, after)| after);
                assert!(example.contains(path), "`{path} --help` has no example:\n{help}");
            }
        }
        let mut all = Typed::command();
        all.build();
        check(&all, "busmark");
    }

    #[test]
    fn a_wrong_command_or_flag_gets_the_nearest_right_one() {
        for (typed, nearest) in [
            (["busmark", "bnech"].as_slice(), "'bench'"),
            (&["busmark", "rn"], "'run'"),
            (&["busmark", "results", "lst"], "'list'"),
            (&["busmark", "run", "quick", "--trails", "3"], "'--trials'"),
            (&["busmark", "scenario", "chekc"], "'check'"),
        ] {
            let error = parse(typed.iter().map(Into::into)).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains(nearest), "{error}");
        }
    }
}
