use async_trait::async_trait;
use paywright_domain::{
    Mode, Product, ProductId,
    ports::{Catalogue, Listed, Page, StoreError},
};

use super::{MemoryStore, page_of};

#[async_trait]
impl Catalogue for MemoryStore {
    async fn add(&self, product: Product) -> Result<Product, StoreError> {
        Ok(self.rows().products.entry(product.id).or_insert(product).clone())
    }

    async fn replace(&self, product: Product) -> Result<(), StoreError> {
        let mut state = self.rows();
        let known = state.products.get_mut(&product.id).filter(|known| {
            known.mode == product.mode && known.version.number() + 1 == product.version.number()
        });
        *known.ok_or(StoreError::Conflict)? = product;
        Ok(())
    }

    async fn product(&self, mode: Mode, id: ProductId) -> Result<Option<Product>, StoreError> {
        Ok(self.rows().products.get(&id).filter(|product| product.mode == mode).cloned())
    }

    async fn list(&self, mode: Mode, page: Page<ProductId>) -> Result<Listed<Product>, StoreError> {
        let state = self.rows();
        let newest_first = state.products.values().rev().filter(|product| product.mode == mode);
        Ok(page_of(newest_first.cloned(), |product| product.id, page))
    }
}
