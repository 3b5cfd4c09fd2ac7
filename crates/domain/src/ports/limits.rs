use async_trait::async_trait;

use super::StoreError;
use crate::{Admission, Attempt, Breaker, Lately, Limits, Mode, Network, Quota};

/// Counts attempts to pay, for all processes together. Whoever cannot reach it refuses: an error admits nobody.
///
/// # What an implementor must guarantee
/// - What is counted is shared by all who ask, at the same time too: of any number of attempts that come at once no more
///   are admitted than a [`Meter`](crate::Meter) has room for.
/// - An attempt is admitted by all rules or refused; one that is refused uses up nothing, however often it comes.
/// - Requests are counted by meters (per address, customer and key). Payments of an order, and declines, are not counted
///   here: they are there already, and each counts for the whole time of its quota. A decline counts for its order, for the
///   order's customer, and for every network that the order was tried from.
/// - A refusal's wait is true: after it an attempt is admitted, unless more came in between.
/// - Counts are by the store's own clock, and may be lost in a crash of the store; never doubled.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Whether somebody may try to pay now; if so, it is counted.
    async fn admit(&self, attempt: Attempt, limits: Limits) -> Result<Admission, StoreError>;
    /// Counts a request with an API key that is none, and says whether there were too many from there.
    async fn bad_key(&self, network: Network, quota: Quota) -> Result<Admission, StoreError>;
    /// What became of attempts within the breaker's time. Payments are only counted where more than [few](Breaker::few) are
    /// declined.
    async fn lately(&self, mode: Mode, breaker: Breaker) -> Result<Lately, StoreError>;
}
