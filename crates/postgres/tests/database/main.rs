//! What only a real database can show: races, constraints, plans, lost connections.

mod access;
mod commits;
mod inbox;
mod pools;
mod relay;
mod repeats;
mod schema;
mod schema_plans;
mod stage;
