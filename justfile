# Tasks of a developer; `just` lists them.

default:
    @just --list

# All that must hold before a change lands; changes no file
verify:
    .ci/run

# Mend what can be mended by a tool
fix:
    cargo clippy --release --all-targets --fix --allow-dirty --allow-staged
    cargo fmt

# Tests on real brokers; `just test --all` for the long ones too
test *args:
    scripts/test {{args}}

# The documentation of the crate, in a browser
doc:
    cargo doc --release --no-deps --open
