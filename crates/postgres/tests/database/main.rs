//! What only a real database can show: races, constraints, plans, lost connections.
#![expect(clippy::unwrap_used, reason = "a broken assumption shall stop the test, in helpers too")]

mod access;
mod books;
mod commits;
mod inbox;
mod keyed_plans;
mod operations;
mod pools;
mod reconciliation;
mod refunds;
mod repeats;
mod retention;
mod schedules;
mod schema;
mod schema_books;
mod schema_plans;
mod stage;
mod upgrade;
