//! Brings the schema up to date.

use paywright_domain::ports::StoreError;
use sqlx::{ConnectOptions, Connection, Executor, migrate::MigrateError};

use crate::{Postgres, error::store_error};

/// The migrations of this build.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

impl Postgres {
    /// Applies the migrations that are not applied yet, one process at a time. A schema newer than this build is
    /// left alone: migrations only ever add what older builds need not know.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Bug`]; migrations that went well stay.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut connection = self.connect_options().connect().await.map_err(store_error)?;
        // Building an index may take long; waiting for a lock may not, since others queue up behind us.
        let limits = "SET statement_timeout = 0; SET lock_timeout = '30s'";
        connection.execute(limits).await.map_err(store_error)?;
        let migrator = sqlx::migrate::Migrator {
            migrations: MIGRATOR.migrations.clone(),
            ignore_missing: true,
            ..sqlx::migrate::Migrator::DEFAULT
        };
        migrator.run(&mut connection).await.map_err(migrate_error)?;
        connection.close().await.map_err(store_error)
    }

    /// How many migrations of this build the database lacks. Ready is who gets 0.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the database cannot be asked.
    pub async fn pending_migrations(&self) -> Result<usize, StoreError> {
        let known = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
        if !sqlx::query_scalar::<_, bool>(known).fetch_one(&self.pool).await.map_err(store_error)? {
            return Ok(MIGRATOR.iter().count());
        }
        let applied = "SELECT version FROM _sqlx_migrations WHERE success";
        let applied: Vec<i64> =
            sqlx::query_scalar(applied).fetch_all(&self.pool).await.map_err(store_error)?;
        Ok(MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version)).count())
    }
}

fn migrate_error(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => store_error(error),
        other => StoreError::Bug(other.into()),
    }
}
