use paywright_domain::{Metadata, Product};
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

/// A product. Its amount is in minor units of its currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Product)]
pub struct ProductJson {
    #[schema(value_type = words::ProductId)]
    id: String,
    #[schema(schema_with = words::product)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    name: String,
    unit_amount: u64,
    #[schema(value_type = words::Currency)]
    currency: String,
    active: bool,
    #[schema(value_type = words::Metadata)]
    metadata: Metadata,
    version: u32,
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<&Product> for ProductJson {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id.to_string(),
            object: "product",
            mode: product.mode.to_string(),
            name: product.name.clone(),
            unit_amount: product.unit_price.minor(),
            currency: product.unit_price.currency().to_string(),
            active: product.active,
            metadata: product.metadata.clone(),
            version: product.version.number(),
            created_at: rfc3339(product.created_at),
        }
    }
}
