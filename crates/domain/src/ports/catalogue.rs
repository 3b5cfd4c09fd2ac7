use async_trait::async_trait;

use super::StoreError;
use crate::{Mode, Product, ProductId};

/// Keeps the catalogue. Orders freeze what they need of it, so editing it never changes an order.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Catalogue: Send + Sync {
    /// Adds a product. Adding one whose id is there already changes nothing and returns the one that is there.
    async fn add(&self, product: Product) -> Result<Product, StoreError>;
    /// Replaces a product whose version is the one before.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody else edited it in between; nothing was written.
    async fn replace(&self, product: Product) -> Result<(), StoreError>;
    /// A product of `mode`.
    async fn product(&self, mode: Mode, id: ProductId) -> Result<Option<Product>, StoreError>;
    /// Products of `mode`, newest first.
    async fn list(&self, mode: Mode, page: Page<ProductId>) -> Result<Listed<Product>, StoreError>;
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<Id> {
    /// At most so many; 1 to 100.
    pub limit: u32,
    /// Those after this one. One that does not exist gives the rows that would follow it.
    pub after: Option<Id>,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
}
