//! The catalogue.

use async_trait::async_trait;
use paywright_domain::{
    Mode, Product, ProductId,
    ports::{Catalogue, Listed, Page, StoreError},
};
use sqlx::types::Json;

use crate::{Postgres, error::store_error, rows::ProductRow, store::products};

#[async_trait]
impl Catalogue for Postgres {
    async fn add(&self, product: Product) -> Result<Product, StoreError> {
        let insert = sqlx::query!(
            "INSERT INTO products (id, mode, version, name, unit_amount, currency, active, metadata, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT ON CONSTRAINT products_pkey DO NOTHING",
            product.id.uuid(),
            <&str>::from(product.mode),
            i64::from(product.version.number()),
            product.name,
            product.unit_price.minor().cast_signed(),
            product.unit_price.currency().code(),
            product.active,
            Json(&product.metadata) as _,
            product.created_at,
        );
        if insert.execute(&self.pool).await.map_err(store_error)?.rows_affected() == 1 {
            return Ok(product);
        }
        let known = products!("id = $1", product.id.uuid());
        known.fetch_one(&self.pool).await.map_err(store_error)?.product()
    }

    async fn replace(&self, product: Product) -> Result<(), StoreError> {
        let update = sqlx::query!(
            "UPDATE products
             SET version = $3, name = $4, unit_amount = $5, currency = $6, active = $7, metadata = $8, created_at = $9
             WHERE id = $1 AND mode = $2 AND version = $3::bigint - 1",
            product.id.uuid(),
            <&str>::from(product.mode),
            i64::from(product.version.number()),
            product.name,
            product.unit_price.minor().cast_signed(),
            product.unit_price.currency().code(),
            product.active,
            Json(&product.metadata) as _,
            product.created_at,
        );
        match update.execute(&self.pool).await.map_err(store_error)?.rows_affected() {
            1 => Ok(()),
            _ => Err(StoreError::Conflict),
        }
    }

    async fn product(&self, mode: Mode, id: ProductId) -> Result<Option<Product>, StoreError> {
        let row = products!("id = $1 AND mode = $2", id.uuid(), <&str>::from(mode));
        row.fetch_optional(&self.pool).await.map_err(store_error)?.map(ProductRow::product).transpose()
    }

    async fn list(&self, mode: Mode, page: Page<ProductId>) -> Result<Listed<Product>, StoreError> {
        let rows = products!(
            "mode = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
            <&str>::from(mode),
            page.after.map(|id| id.uuid()),
            one_more(page.limit)
        );
        let rows = rows.fetch_all(&self.pool).await.map_err(store_error)?;
        listed(rows, page.limit, ProductRow::product)
    }
}

/// One row more than asked for tells whether more follow.
pub(crate) fn one_more(limit: u32) -> i64 {
    i64::from(limit) + 1
}

/// The rows asked for, and whether there was one more.
pub(crate) fn listed<R, T>(
    mut rows: Vec<R>,
    limit: u32,
    read: impl Fn(R) -> Result<T, StoreError>,
) -> Result<Listed<T>, StoreError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    Ok(Listed { rows: rows.into_iter().map(read).collect::<Result<_, _>>()?, has_more })
}
