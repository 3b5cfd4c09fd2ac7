//! What can be bought, and by whom.

use time::OffsetDateTime;

use crate::{CustomerId, Metadata, Mode, Money, ProductId, Version};

/// Something that can be bought. Prices of orders come from here and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its identity.
    pub id: ProductId,
    /// Test or live.
    pub mode: Mode,
    /// Counts the edits.
    pub version: Version,
    /// What the customer reads; 1 to 250 characters.
    pub name: String,
    /// The price of one.
    pub unit_price: Money,
    /// Whether it can be ordered.
    pub active: bool,
    /// The merchant's own notes.
    pub metadata: Metadata,
    /// When it was added.
    pub created_at: OffsetDateTime,
}

/// Somebody who buys, known by e-mail address within a mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Their identity.
    pub id: CustomerId,
    /// Test or live.
    pub mode: Mode,
    /// Where to write to, in lower case. Never logged.
    pub email: String,
    /// Since when they are known.
    pub created_at: OffsetDateTime,
}
