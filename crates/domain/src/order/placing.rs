//! How an order is born: its lines, and the checks of a draft.

use time::OffsetDateTime;

use super::{CaptureMethod, Metadata, Order, OrderEvent, OrderState};
use crate::{
    Currency, CustomerId, InvalidInput, Mode, Money, MoneyError, OrderId, ProductId, Transition, Version,
};

/// One line of an order, with the price as it was when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderItem {
    /// The product bought.
    pub product: ProductId,
    /// Its name at that time.
    pub name: String,
    /// Its price at that time, for one.
    pub unit_price: Money,
    /// How many; at least one.
    pub quantity: u32,
}

impl OrderItem {
    fn check(&self, currency: Currency) -> Result<(), InvalidInput> {
        if !(1..=Order::QUANTITY_MAX).contains(&self.quantity) {
            return Err(InvalidInput::new("quantity", format!("must be 1 to {}", Order::QUANTITY_MAX)));
        }
        if self.unit_price.currency() != currency {
            let problem = format!("is priced in {}, the order is in {currency}", self.unit_price.currency());
            return Err(InvalidInput::new("product", problem));
        }
        Ok(())
    }

    /// The price of the whole line.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] when it overflows.
    pub fn total(&self) -> Result<Money, MoneyError> {
        self.unit_price.times(self.quantity)
    }
}

/// What an order is placed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its identity-to-be.
    pub id: OrderId,
    /// Test or live.
    pub mode: Mode,
    /// Who buys.
    pub customer: Option<CustomerId>,
    /// Where to write to.
    pub customer_email: Option<String>,
    /// The currency of every line.
    pub currency: Currency,
    /// The lines.
    pub items: Vec<OrderItem>,
    /// Whether its payments take money at once, or reserve it first.
    pub capture: CaptureMethod,
    /// The merchant's own notes.
    pub metadata: Metadata,
    /// The secret part of the checkout page's address.
    pub token: String,
    /// Now.
    pub created_at: OffsetDateTime,
    /// Until when it waits for money.
    pub expires_at: OffsetDateTime,
}

impl Order {
    /// The most lines that one order has; the hosted page shows no more.
    ///
    /// Source: <https://docs.stripe.com/api/checkout/sessions/create#create_checkout_session-line_items>
    pub const ITEMS_MAX: usize = 100;
    /// The most pieces on one line.
    pub const QUANTITY_MAX: u32 = 999_999;

    /// The order that a draft becomes.
    ///
    /// # Errors
    /// [`InvalidInput`] names the field: no lines or too many, a quantity or a price out of bounds, a line in another
    /// currency, a total that overflows or that the gateway would not charge.
    pub fn place(draft: Draft) -> Result<Transition<Self, OrderEvent>, InvalidInput> {
        if draft.items.is_empty() || draft.items.len() > Self::ITEMS_MAX {
            return Err(InvalidInput::new("items", format!("must hold 1 to {} lines", Self::ITEMS_MAX)));
        }
        for (index, item) in draft.items.iter().enumerate() {
            item.check(draft.currency).map_err(|error| error.within(&format!("items[{index}]")))?;
        }
        let total = Self::sum(&draft.items, Money::zero(draft.currency))
            .map_err(|error| InvalidInput::new("items", format!("total: {error}")))?;
        total
            .chargeable()
            .map_err(|error| InvalidInput::new("items", format!("total of {total}: {error}")))?;
        let order = Self {
            id: draft.id,
            mode: draft.mode,
            version: Version::FIRST,
            state: OrderState::Pending,
            customer: draft.customer,
            customer_email: draft.customer_email,
            items: draft.items,
            total,
            metadata: draft.metadata,
            token: draft.token,
            capture: draft.capture,
            fulfillment_requested: false,
            cancellation: None,
            paid_by: None,
            shipment: None,
            created_at: draft.created_at,
            expires_at: draft.expires_at,
        };
        Ok(Transition::first(OrderEvent::Placed, order))
    }

    /// The sum of the lines.
    ///
    /// # Errors
    /// [`MoneyError`] when it overflows or the lines differ in currency.
    pub fn sum(items: &[OrderItem], zero: Money) -> Result<Money, MoneyError> {
        let mut sum = zero;
        for item in items {
            sum = sum.plus(item.total()?)?;
        }
        Ok(sum)
    }
}
