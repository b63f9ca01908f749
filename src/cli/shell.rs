//! `busmark completions` and `busmark man`: the command line, for shells and for man.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

use super::exit::{Exit, complain};
use super::help;
use super::terminal::say;

/// Arguments of `busmark completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  busmark completions bash > ~/.local/share/bash-completion/completions/busmark\n  \
    busmark completions zsh > ~/.zfunc/_busmark\n  busmark completions fish > ~/.config/fish/completions/busmark.fish"
)]
pub(super) struct CompletionsArgs {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `busmark man`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  busmark man run | man -l -\n  busmark man --out ~/.local/share/man/man1"
)]
pub(super) struct ManArgs {
    /// The command whose page is printed; the whole of busmark without.
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder instead.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints a shell's completions.
pub(super) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut help::command(), "busmark", &mut script);
    say(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// Prints a man page, or writes all of them.
///
/// # Errors
/// When the pages can't be written.
pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(help::command(), folder))
            .with_context(|| format!("can't write man pages to {}", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut command = help::command();
    command.build();
    for name in &args.command {
        let Some(found) = command.find_subcommand(name).cloned() else {
            let names = command.get_subcommands().map(clap::Command::get_name);
            let hint = crate::scenario::did_you_mean(name, names);
            complain(&format!("error: `{}` has no command `{name}`{hint}", command.get_name()));
            return Ok(Exit::Usage.code());
        };
        command = found;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    say(&String::from_utf8_lossy(&page));
    Ok(ExitCode::SUCCESS)
}
