use time::OffsetDateTime;

/// The time.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Clock: Send + Sync {
    /// Now, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// Randomness, for ids and unguessable tokens.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Entropy: Send + Sync {
    /// Fills `bytes` from a source that nobody can guess.
    fn fill(&self, bytes: &mut [u8]);
}
