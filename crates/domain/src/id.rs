//! Typed identifiers: a UUIDv7 inside, a TypeID text such as `ord_01h455vb4pex5vsknk084sn02q` outside.
//!
//! Mixing two kinds does not compile; pasting the wrong kind does not parse. An id is built from a time and
//! random bytes that the caller hands in, so this crate reads neither clock nor entropy.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    marker::PhantomData,
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use type_safe_id::{StaticType, TypeSafeId};
use uuid::Uuid;

/// The identifier of one kind of thing. Use the aliases: [`OrderId`], [`PaymentId`] and so on.
pub struct Id<K>(Uuid, PhantomData<fn() -> K>);

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident, $alias:ident, $prefix:literal;)*) => {
        /// The kinds of ids: markers, never built.
        pub mod kind {
            $(
                $(#[$doc])*
                #[derive(Default)]
                pub struct $kind;
                impl super::StaticType for $kind {
                    const TYPE: &'static str = $prefix;
                }
            )*
        }
        $(
            $(#[$doc])*
            pub type $alias = Id<kind::$kind>;
        )*
    };
}

kinds! {
    /// An order.
    Order, OrderId, "ord";
    /// A payment.
    Payment, PaymentId, "pay";
    /// A refund.
    Refund, RefundId, "ref";
    /// A dispute.
    Dispute, DisputeId, "dis";
    /// A product of the catalogue.
    Product, ProductId, "prod";
    /// A customer.
    Customer, CustomerId, "cus";
    /// A job: something that the worker will do. A recorded call to the gateway shares its job's id.
    Job, JobId, "job";
    /// One request of a client. Repeats of the request under one idempotency key share it.
    Operation, OperationId, "op";
    /// A break: a difference between our books and the gateway's that no rule explains.
    Break, BreakId, "brk";
    /// A run of reconciliation.
    Run, RunId, "run";
    /// An API key.
    ApiKey, ApiKeyId, "key";
}

impl<K> Id<K> {
    /// A new id that sorts by `now`, to the millisecond, and is unique by `entropy`.
    pub fn from_parts(now: OffsetDateTime, entropy: &[u8; 10]) -> Self {
        let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        Self::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, entropy).into_uuid())
    }

    /// The id that a database row holds.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }

    /// The bare UUID, for a database row.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

/// The text is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form \"{prefix}_...\"")]
pub struct NotAnId {
    prefix: &'static str,
}

impl<K: StaticType> FromStr for Id<K> {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let id: TypeSafeId<K> = text.parse().map_err(|_| NotAnId { prefix: K::TYPE })?;
        Ok(Self::from_uuid(id.uuid()))
    }
}

impl<K: StaticType> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TypeSafeId::<K>::from_uuid(self.0).fmt(f)
    }
}

impl<K: StaticType> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Id<K> {}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: StaticType> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: StaticType> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);

    #[test]
    fn an_id_reads_back_what_it_prints() {
        let id = OrderId::from_parts(NOW, &[7; 10]);
        assert!(id.to_string().starts_with("ord_"));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_does_not_parse() {
        let payment = PaymentId::from_parts(NOW, &[7; 10]).to_string();
        assert!(payment.parse::<OrderId>().is_err());
        for text in ["", "ord_", "ord_zzz", "ord", "ord_01h455vb4pex5vsknk084sn02q\u{0}", "../ord_x"] {
            assert!(text.parse::<OrderId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let later = NOW + time::Duration::milliseconds(1);
        assert!(OrderId::from_parts(NOW, &[255; 10]) < OrderId::from_parts(later, &[0; 10]));
    }
}
