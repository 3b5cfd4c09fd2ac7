//! Work that is done again and again, by one process at a time, on the database's clock.

use paywright_domain::ports::StoreError;
use time::Duration;

use crate::{
    Postgres,
    error::store_error,
    rows::Reading,
    text::{micros, note},
};

/// Who does what is done on a schedule. Its leases keep work from being done twice for nothing; they do not make it safe:
/// a process that was stopped and goes on may still be at it when the next one begins.
#[derive(Debug, Clone)]
pub struct Schedules {
    store: Postgres,
}

/// The right to one run of scheduled work. Whoever claims later gets a greater token, and this one is worth nothing then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleLease {
    /// The work's name.
    pub name: String,
    token: u32,
}

impl Schedules {
    /// The schedules of this database.
    pub fn new(store: &Postgres) -> Self {
        Self { store: store.clone() }
    }

    /// Leases the work for `lease`, if it is due and nobody has it; a name that was never claimed is due now.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; it may be leased then, until the lease ends.
    pub async fn claim(&self, name: &str, lease: Duration) -> Result<Option<ScheduleLease>, StoreError> {
        let upsert = sqlx::query_scalar!(
            "INSERT INTO schedules AS known (name, due_at, lease_token, leased_until, last_started_at)
             VALUES ($1, now(), 1, now() + $2::bigint * interval '1 microsecond', now())
             ON CONFLICT ON CONSTRAINT schedules_pkey DO UPDATE
             SET lease_token = known.lease_token + 1, leased_until = excluded.leased_until, last_started_at = now()
             WHERE known.due_at <= now() AND (known.leased_until IS NULL OR known.leased_until <= now())
             RETURNING lease_token",
            name,
            micros(lease),
        );
        let Some(token) = upsert.fetch_optional(&self.store.pool).await.map_err(store_error)? else {
            return Ok(None);
        };
        let token = Reading { table: "schedules", id: name }.number("lease_token", token)?;
        Ok(Some(ScheduleLease { name: name.to_owned(), token }))
    }

    /// Holds on to the work for another `lease` from now. False when it is too late: the lease has ended, even if nobody
    /// else has claimed since.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; the lease may end as it would have.
    pub async fn renew(&self, lease: &ScheduleLease, for_long: Duration) -> Result<bool, StoreError> {
        let update = sqlx::query!(
            "UPDATE schedules SET leased_until = now() + $3::bigint * interval '1 microsecond'
             WHERE name = $1 AND lease_token = $2 AND leased_until > now()",
            lease.name,
            i64::from(lease.token),
            micros(for_long),
        );
        Ok(update.execute(&self.store.pool).await.map_err(store_error)?.rows_affected() == 1)
    }

    /// Ends a run, the next of which is due after `next_in`; `outcome` says why it failed, if it did. With a lost lease
    /// this does nothing.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; the lease then ends by itself.
    pub async fn finish(
        &self,
        lease: &ScheduleLease,
        next_in: Duration,
        outcome: Result<(), &str>,
    ) -> Result<(), StoreError> {
        let update = sqlx::query!(
            "UPDATE schedules
             SET due_at = now() + $3::bigint * interval '1 microsecond', every = $3::bigint * interval '1 microsecond',
                 leased_until = NULL, last_finished_at = now(), last_error = $4
             WHERE name = $1 AND lease_token = $2 AND leased_until IS NOT NULL",
            lease.name,
            i64::from(lease.token),
            micros(next_in),
            outcome.err().map(|error| note(error).into_owned()),
        );
        update.execute(&self.store.pool).await.map(drop).map_err(store_error)
    }
}
