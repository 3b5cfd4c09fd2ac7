//! Our rows, as a process reaches them.

use async_trait::async_trait;
use paywright_domain::{
    Cause, Changes, Customer, CustomerId, Dispute, DisputeId, GatewayCall, GatewayDisputeId, GatewayRefundId,
    IntentId, JobId, Mode, Order, OrderId, Payment, PaymentId, Product, ProductId, Refund, RefundId,
    SessionId,
    ports::{Committed, Store, StoreError},
};

use super::{Line, through};
use crate::{edges, fault::Fault, invariants::Before};

/// Loads, each by one key.
macro_rules! loads {
    ($($name:ident($key:ident: $of:ty) -> $found:ty;)*) => {
        #[async_trait]
        impl Store for Line {
            $(async fn $name(&self, $key: $of) -> Result<$found, StoreError> {
                through!(self, "load", Store::$name(&*self.world.rows, $key))
            })*

            async fn call(&self, id: JobId) -> Result<Option<GatewayCall>, StoreError> {
                let found = through!(self, "load", self.world.rows.call(id))?;
                Ok(found.map(|call| self.world.knobs.bug.map_or(call.clone(), |bug| bug.load(call, self))))
            }

            /// Both at once, as an adapter may load them over two connections: either may be the older.
            async fn payable(&self, id: OrderId) -> Result<Option<(Order, Option<Payment>)>, StoreError> {
                let early = self.world.exists(Fault::AtOnce) && self.world.chance(500);
                let early = if early { Some(self.live_payment(id).await?) } else { None };
                let Some(order) = self.order(id).await? else { return Ok(None) };
                let live = match early {
                    Some(live) => live,
                    None => self.live_payment(id).await?,
                };
                Ok(Some((order, live)))
            }

            async fn products(&self, mode: Mode, ids: &[ProductId]) -> Result<Vec<Product>, StoreError> {
                through!(self, "load", self.world.rows.products(mode, ids))
            }

            async fn customer(&self, mode: Mode, id: CustomerId) -> Result<Option<Customer>, StoreError> {
                through!(self, "load", self.world.rows.customer(mode, id))
            }

            async fn customer_by_email(&self, mode: Mode, email: &str) -> Result<Option<Customer>, StoreError> {
                through!(self, "load", self.world.rows.customer_by_email(mode, email))
            }

            async fn commit(&self, changes: Changes) -> Result<Committed, StoreError> {
                self.commit_once(changes).await
            }
        }
    };
}

loads! {
    order(id: OrderId) -> Option<Order>;
    order_by_token(token: &str) -> Option<Order>;
    payment(id: PaymentId) -> Option<Payment>;
    payment_by_intent(id: &IntentId) -> Option<Payment>;
    payment_by_session(id: &SessionId) -> Option<Payment>;
    live_payment(order: OrderId) -> Option<Payment>;
    payments(order: OrderId) -> Vec<Payment>;
    refund(id: RefundId) -> Option<Refund>;
    refund_by_gateway(id: &GatewayRefundId) -> Option<Refund>;
    refunds(payment: PaymentId) -> Vec<Refund>;
    dispute(id: DisputeId) -> Option<Dispute>;
    dispute_by_gateway(id: &GatewayDisputeId) -> Option<Dispute>;
    disputes(payment: PaymentId) -> Vec<Dispute>;
    knows(cause: Cause) -> bool;
}

impl Line {
    async fn commit_once(&self, changes: Changes) -> Result<Committed, StoreError> {
        self.to_store("commit").await?;
        if self.world.strikes(Fault::StoreConflict) {
            return Err(StoreError::Conflict);
        }
        let committed = self.write(changes).await;
        self.back_from_store().await?;
        committed
    }

    /// Commits now, and looks at what came of it.
    pub(crate) async fn write(&self, changes: Changes) -> Result<Committed, StoreError> {
        let planted = match self.world.knobs.bug {
            Some(bug) => bug.commit(changes, self),
            None => vec![changes],
        };
        let mut last = Ok(Committed::Now);
        for changes in planted {
            let before = Before::of(&self.world.rows, &changes);
            last = self.world.rows.commit(changes.clone()).await;
            self.world.note("committed", || format!("{} {:?} {}", changes.cause, last, words(&changes)));
            if let Ok(committed) = &last {
                self.world.watch().committed(&self.world, &before, &changes, *committed);
                self.world.rouse();
                if *committed == Committed::Now {
                    edges::hear(&self.world, &changes);
                }
            }
            if last.is_err() {
                break;
            }
        }
        last
    }
}

/// What a commit changes, for whoever reads the trail.
fn words(changes: &Changes) -> String {
    let entries: Vec<_> = changes
        .entries()
        .iter()
        .map(|entry| {
            format!("{} {} {}", entry.subject, entry.event, entry.to.unwrap_or_default()).trim().to_owned()
        })
        .collect();
    let breaks: Vec<_> = changes.breaks.iter().map(|found| format!("break {}", found.kind)).collect();
    [entries, breaks].concat().join(", ")
}
