//! The `busmark` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    busmark::cli::main()
}
