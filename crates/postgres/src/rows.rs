//! Rows become domain values here, or an error that names the impossible column.

mod books;
mod payments;
mod reconciliation;
mod refunds;

use std::{fmt::Display, str::FromStr};

use paywright_domain::{
    Currency, Customer, Id, Mode, Money, Order, OrderItem, Product, Shipment, Version, ports::StoreError,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use books::*;
pub(crate) use payments::*;
pub(crate) use reconciliation::*;
pub(crate) use refunds::*;

/// Which row is being read.
pub(crate) struct Reading<I> {
    pub(crate) table: &'static str,
    pub(crate) id: I,
}

impl<I: Display> Reading<I> {
    pub(crate) fn impossible(&self, column: &'static str) -> StoreError {
        StoreError::Inconsistent { table: self.table, column, id: self.id.to_string() }
    }

    pub(crate) fn word<T: FromStr>(&self, column: &'static str, text: &str) -> Result<T, StoreError> {
        text.parse().map_err(|_| self.impossible(column))
    }

    pub(crate) fn number<T: TryFrom<i64>>(&self, column: &'static str, number: i64) -> Result<T, StoreError> {
        T::try_from(number).map_err(|_| self.impossible(column))
    }

    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        column: &'static str,
        json: Value,
    ) -> Result<T, StoreError> {
        serde_json::from_value(json).map_err(|_| self.impossible(column))
    }

    fn money(&self, column: &'static str, minor: i64, currency: Currency) -> Result<Money, StoreError> {
        Money::from_minor(self.number(column, minor)?, currency).map_err(|_| self.impossible(column))
    }

    fn gateway_id<T: TryFrom<String>>(
        &self,
        column: &'static str,
        text: Option<String>,
    ) -> Result<Option<T>, StoreError> {
        text.map(T::try_from).transpose().map_err(|_| self.impossible(column))
    }
}

/// An order with its lines; the lines as columns side by side, in their order.
#[derive(Clone)]
pub(crate) struct OrderRow {
    pub(crate) id: Uuid,
    pub(crate) mode: String,
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) customer_id: Option<Uuid>,
    pub(crate) customer_email: Option<String>,
    pub(crate) total: i64,
    pub(crate) currency: String,
    pub(crate) metadata: Value,
    pub(crate) token: String,
    pub(crate) cancellation: Option<String>,
    pub(crate) capture: String,
    pub(crate) fulfillment_requested: bool,
    pub(crate) paid_by: Option<Uuid>,
    pub(crate) carrier: Option<String>,
    pub(crate) tracking: Option<String>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: OffsetDateTime,
    pub(crate) products: Vec<Uuid>,
    pub(crate) names: Vec<String>,
    pub(crate) unit_amounts: Vec<i64>,
    pub(crate) quantities: Vec<i64>,
    /// Payments, declines, refunds and disputes, when the order is read for people.
    pub(crate) parts: Option<Value>,
}

impl OrderRow {
    pub(crate) fn order(self) -> Result<Order, StoreError> {
        let row = Reading { table: "orders", id: self.id };
        let currency = row.word("currency", &self.currency)?;
        let columns = self.products.into_iter().zip(self.names).zip(self.unit_amounts).zip(self.quantities);
        let mut items = Vec::new();
        for (((product, name), unit_amount), quantity) in columns {
            let line = Reading { table: "order_items", id: self.id };
            items.push(OrderItem {
                product: Id::from_uuid(product),
                name,
                unit_price: line.money("unit_amount", unit_amount, currency)?,
                quantity: line.number("quantity", quantity)?,
            });
        }
        Ok(Order {
            id: Id::from_uuid(self.id),
            mode: row.word("mode", &self.mode)?,
            version: Version::from_number(row.number("version", self.version)?),
            state: row.word("state", &self.state)?,
            customer: self.customer_id.map(Id::from_uuid),
            customer_email: self.customer_email,
            items,
            total: row.money("total", self.total, currency)?,
            metadata: row.json("metadata", self.metadata)?,
            token: self.token,
            cancellation: self.cancellation.map(|why| row.word("cancellation", &why)).transpose()?,
            capture: row.word("capture", &self.capture)?,
            fulfillment_requested: self.fulfillment_requested,
            paid_by: self.paid_by.map(Id::from_uuid),
            shipment: self.carrier.map(|carrier| Shipment { carrier, tracking: self.tracking }),
            created_at: self.created_at,
            expires_at: self.expires_at,
        })
    }
}

/// A product.
#[derive(Clone)]
pub(crate) struct ProductRow {
    pub(crate) id: Uuid,
    pub(crate) mode: String,
    pub(crate) version: i64,
    pub(crate) name: String,
    pub(crate) unit_amount: i64,
    pub(crate) currency: String,
    pub(crate) active: bool,
    pub(crate) metadata: Value,
    pub(crate) created_at: OffsetDateTime,
}

impl ProductRow {
    pub(crate) fn product(self) -> Result<Product, StoreError> {
        let row = Reading { table: "products", id: self.id };
        let currency = row.word("currency", &self.currency)?;
        Ok(Product {
            id: Id::from_uuid(self.id),
            mode: row.word("mode", &self.mode)?,
            version: Version::from_number(row.number("version", self.version)?),
            name: self.name,
            unit_price: row.money("unit_amount", self.unit_amount, currency)?,
            active: self.active,
            metadata: row.json("metadata", self.metadata)?,
            created_at: self.created_at,
        })
    }
}

/// A customer, in the mode that was asked for.
pub(crate) struct CustomerRow {
    pub(crate) id: Uuid,
    pub(crate) email: String,
    pub(crate) created_at: OffsetDateTime,
}

impl CustomerRow {
    pub(crate) fn customer(self, mode: Mode) -> Customer {
        Customer { id: Id::from_uuid(self.id), mode, email: self.email, created_at: self.created_at }
    }
}
