# Thin names for cargo commands: everything here can be typed without `just`.

# Lists the recipes
default:
    @just --list

# Everything CI checks without running the program: format, lints, dependencies, the query cache
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo deny --offline check --allow unused-wrapper bans licenses sources
    cargo xtask sqlx --check

# All tests; needs no database server
test *args:
    cargo test --workspace {{ args }}

# The end-to-end tests alone: program, database and sandbox over HTTP
e2e *args:
    cargo test --package paywright-app --tests {{ args }}

# Runs a private database until Ctrl-C and prints its address
db:
    cargo xtask db

# Migrates the database at DATABASE_URL
migrate:
    cargo run --package paywright-app -- migrate

# Runs the Stripe sandbox alone
sandbox *args:
    cargo run --package paywright-app -- sandbox {{ args }}

# Runs everything for development: database, sandbox, server, workers
run *args:
    cargo run --package paywright-app -- {{ args }}

# Renews .sqlx, the committed cache of checked queries
sqlx:
    cargo xtask sqlx
