//! What an error of the database means for whoever called a port.

use paywright_domain::ports::{BoxError, StoreError};
use sqlx::error::{DatabaseError, ErrorKind};

use crate::bounded::is_lost;

/// Why a transaction did not end well, before it is known whether to try it again.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The database said so.
    Sql(sqlx::Error),
    /// We said so.
    Store(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) => store_error(error),
            Failure::Store(error) => error,
        }
    }
}

impl Failure {
    /// Whether the connection is of no use any more.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self, Self::Sql(error) if is_lost(error))
    }

    /// Whether nothing but bad luck in the order of locks stopped it, so that the whole transaction is worth
    /// another try: serialization failure and deadlock.
    pub(crate) fn is_bad_luck(&self) -> bool {
        matches!(self, Self::Sql(error) if matches!(code(error).as_deref(), Some("40001" | "40P01")))
    }
}

/// What the server said, without its detail line: that quotes whole rows, with addresses and tokens in them.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
struct Said {
    code: String,
    message: String,
    table: Option<String>,
    constraint: Option<String>,
}

impl Said {
    fn boxed(error: &dyn DatabaseError) -> BoxError {
        Box::new(Self {
            code: error.code().unwrap_or_default().into_owned(),
            message: error.message().to_owned(),
            table: error.table().map(str::to_owned),
            constraint: error.constraint().map(str::to_owned),
        })
    }
}

/// Sorts an error by what the caller can do.
///
/// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(crate) fn store_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(refused) => {
            let code = refused.code().unwrap_or_default();
            match (refused.kind(), code.get(..2), code.as_ref()) {
                // A row that the decision believed absent is there.
                (ErrorKind::UniqueViolation, ..) => StoreError::Conflict,
                (_, _, "40001" | "40P01" | "55P03") => StoreError::Conflict,
                // Connection lost, resources exhausted, an operator's or a timeout's intervention, a failing disk;
                // and a server that only reads, because it is not the primary any more.
                (_, Some("08" | "53" | "57" | "58"), _) | (_, _, "25006" | "25P03") => {
                    StoreError::Unavailable(Said::boxed(refused.as_ref()))
                }
                _ => StoreError::Bug(Said::boxed(refused.as_ref())),
            }
        }
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => StoreError::Unavailable(error.into()),
        _ => StoreError::Bug(error.into()),
    }
}

/// The same once more, for somebody else who waits for the same answer.
pub(crate) fn repeat(error: &StoreError) -> StoreError {
    match error {
        StoreError::Conflict => StoreError::Conflict,
        StoreError::LeaseLost => StoreError::LeaseLost,
        StoreError::Unavailable(source) => StoreError::Unavailable(source.to_string().into()),
        StoreError::Inconsistent { table, column, id } => {
            StoreError::Inconsistent { table, column, id: id.clone() }
        }
        StoreError::Bug(source) => StoreError::Bug(source.to_string().into()),
        other => StoreError::Bug(other.to_string().into()),
    }
}

/// A programming error of ours or of the caller.
pub(crate) fn bug(what: &'static str) -> StoreError {
    StoreError::Bug(BoxError::from(what))
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|refused| refused.code()).map(std::borrow::Cow::into_owned)
}
