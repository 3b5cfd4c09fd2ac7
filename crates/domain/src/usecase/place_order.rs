use std::collections::HashMap;

use super::{ATTEMPTS_MAX, ErrorKind, Policy, Ports};
use crate::{
    Actor, Beat, CaptureMethod, Cause, Changes, Currency, Customer, CustomerId, Draft, Effect, InvalidInput,
    Metadata, OperationId, Order, OrderId, OrderItem, Product, ProductId, Step, check_metadata, parse_email,
    ports::{Committed, StoreError},
};

/// Places an order at the catalogue's prices.
#[derive(Clone)]
pub struct PlaceOrder {
    ports: Ports,
    policy: Policy,
}

/// What the client says of the order it wants. Never an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// The currency that every product must be priced in.
    pub currency: Currency,
    /// What is bought.
    pub items: Vec<NewItem>,
    /// A customer who is known already.
    pub customer: Option<CustomerId>,
    /// Or their address; a customer of that address is found or created.
    pub customer_email: Option<String>,
    /// Whether its payments take money at once or reserve it first; the merchant's habit if not said.
    pub capture: Option<CaptureMethod>,
    /// The merchant's own notes.
    pub metadata: Metadata,
}

/// One line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewItem {
    /// The product.
    pub product: ProductId,
    /// How many.
    pub quantity: u32,
}

/// Why no order was placed; nothing was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceOrderError {
    /// The input is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The store did not take it. After [`StoreError::Unavailable`] the same operation may be tried again.
    #[error("failed to store the order")]
    Store(#[from] StoreError),
}

impl PlaceOrderError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Store(error) if error.is_transient() => ErrorKind::Unavailable,
            Self::Store(_) => ErrorKind::Bug,
        }
    }
}

impl PlaceOrder {
    /// The use case over these ports.
    pub fn new(ports: Ports, policy: Policy) -> Self {
        Self { ports, policy }
    }

    /// Places the order. Repeating it with the same `operation` returns the order that was placed then, at the
    /// prices of then: the order's id is the operation's.
    ///
    /// # Errors
    /// [`PlaceOrderError::Invalid`] names the field; nothing was stored.
    pub async fn run(
        &self,
        operation: OperationId,
        actor: Actor,
        new: NewOrder,
    ) -> Result<Order, PlaceOrderError> {
        check_metadata(&new.metadata)?;
        let email =
            new.customer_email.as_deref().map(|text| parse_email("customer_email", text)).transpose()?;
        for _ in 1..ATTEMPTS_MAX {
            match self.once(operation, &actor, &new, email.as_deref()).await {
                Err(PlaceOrderError::Store(StoreError::Conflict)) => {}
                Err(PlaceOrderError::Invalid(error)) => return self.placed_before(operation, error).await,
                outcome => return outcome,
            }
        }
        self.once(operation, &actor, &new, email.as_deref()).await
    }

    /// The catalogue may have changed since this very operation placed its order.
    async fn placed_before(
        &self,
        operation: OperationId,
        error: InvalidInput,
    ) -> Result<Order, PlaceOrderError> {
        let id = OrderId::from_uuid(operation.uuid());
        self.ports.store.order(id).await?.ok_or(PlaceOrderError::Invalid(error))
    }

    async fn once(
        &self,
        operation: OperationId,
        actor: &Actor,
        new: &NewOrder,
        email: Option<&str>,
    ) -> Result<Order, PlaceOrderError> {
        let now = self.ports.clock.now();
        let mut changes = Changes::because(Cause::Request(operation, Beat::Main), actor.clone(), now);
        let id = OrderId::from_uuid(operation.uuid());
        let known = self.customer(new, email).await?;
        let customer = match (known, email) {
            (None, Some(email)) => {
                let (id, mode, email) = (self.ports.new_id(), self.policy.mode, email.to_owned());
                changes.customer.insert(Customer { id, mode, email, created_at: now }).clone().into()
            }
            (known, _) => known,
        };
        let placed = Order::place(Draft {
            id,
            mode: self.policy.mode,
            customer: customer.as_ref().map(|customer| customer.id),
            customer_email: customer.map(|customer| customer.email),
            currency: new.currency,
            items: self.priced(&new.items).await?,
            capture: new.capture.unwrap_or(self.policy.capture),
            metadata: new.metadata.clone(),
            token: self.token(),
            created_at: now,
            expires_at: now + self.policy.order_lifetime,
        })?;
        let order = placed.after().clone();
        changes.steps.push(Step::Order(Box::new(placed)));
        changes.effects.push(Effect::WatchOrder {
            job: self.ports.new_id(),
            order: id,
            at: order.expires_at,
        });
        match self.ports.store.commit(changes).await? {
            Committed::Now => Ok(order),
            Committed::Before => Ok(self.ports.store.order(id).await?.ok_or(StoreError::Conflict)?),
        }
    }

    async fn customer(
        &self,
        new: &NewOrder,
        email: Option<&str>,
    ) -> Result<Option<Customer>, PlaceOrderError> {
        let store = &self.ports.store;
        let Some(id) = new.customer else {
            return Ok(match email {
                Some(email) => store.customer_by_email(self.policy.mode, email).await?,
                None => None,
            });
        };
        let customer = store.customer(self.policy.mode, id).await?;
        let customer = customer.ok_or_else(|| InvalidInput::new("customer", "does not exist"))?;
        if email.is_some_and(|email| email != customer.email) {
            return Err(InvalidInput::new("customer_email", "is not the customer's address").into());
        }
        Ok(Some(customer))
    }

    async fn priced(&self, items: &[NewItem]) -> Result<Vec<OrderItem>, PlaceOrderError> {
        // Bounded before the store is asked.
        let ids: Vec<_> = items.iter().take(Order::ITEMS_MAX + 1).map(|item| item.product).collect();
        let found = self.ports.store.products(self.policy.mode, &ids).await?;
        let found: HashMap<_, _> = found.iter().map(|product| (product.id, product)).collect();
        let line = |(index, item): (usize, &NewItem)| {
            line(*item, found.get(&item.product).copied())
                .map_err(|error| PlaceOrderError::from(error.within(&format!("items[{index}]"))))
        };
        items.iter().take(Order::ITEMS_MAX + 1).enumerate().map(line).collect()
    }

    fn token(&self) -> String {
        let mut bytes = [0; 24];
        self.ports.entropy.fill(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn line(item: NewItem, product: Option<&Product>) -> Result<OrderItem, InvalidInput> {
    let product = product.ok_or_else(|| InvalidInput::new("product", "does not exist"))?;
    if !product.active {
        return Err(InvalidInput::new("product", "is not for sale"));
    }
    Ok(OrderItem {
        product: product.id,
        name: product.name.clone(),
        unit_price: product.unit_price,
        quantity: item.quantity,
    })
}
