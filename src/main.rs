//! The `busmark` command.

fn main() {}
