//! The words of the API that are texts in the code: ids, states, currencies, metadata.

use paywright_domain::{
    CancelReason, CaptureMethod as DomainCaptureMethod, Mode as DomainMode, OrderState as DomainOrderState,
    RefundReason as DomainRefundReason, RefundState as DomainRefundState,
};
use strum::IntoEnumIterator as _;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Object, ObjectBuilder, RefOr, Schema,
        schema::{AdditionalProperties, AnyOfBuilder, SchemaFormat, Type},
    },
};

/// A named schema without a type of its own in the code.
macro_rules! word {
    ($name:ident, $doc:literal, $build:expr) => {
        #[doc = $doc]
        pub(crate) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let build: fn(ObjectBuilder) -> ObjectBuilder = $build;
                build(ObjectBuilder::new().schema_type(Type::String).description(Some($doc))).build().into()
            }
        }

        impl ToSchema for $name {}
    };
}

/// An IP address.
pub(crate) enum Address {}

impl PartialSchema for Address {
    fn schema() -> RefOr<Schema> {
        let of = |format: &str| {
            let format = SchemaFormat::Custom(format.to_owned());
            ObjectBuilder::new().schema_type(Type::String).format(Some(format))
        };
        let either = AnyOfBuilder::new().item(of("ipv4")).item(of("ipv6"));
        either.description(Some("An address of IPv4 or IPv6.")).examples(["203.0.113.9"]).into()
    }
}

impl ToSchema for Address {}

/// Texts that the database can keep.
const NO_NUL: &str = r"^[^\x00]*$";

word!(OrderId, "An order's id.", |it| id(it, "ord"));
word!(PaymentId, "A payment's id.", |it| id(it, "pay"));
word!(RefundId, "A refund's id.", |it| id(it, "ref"));
word!(DisputeId, "A dispute's id.", |it| id(it, "dis"));
word!(BreakId, "A break's id.", |it| id(it, "brk"));
word!(RunId, "The id of a run of reconciliation.", |it| id(it, "run"));
word!(JobId, "A job's id.", |it| id(it, "job"));
word!(ProductId, "A product's id.", |it| id(it, "prod"));
word!(CustomerId, "A customer's id.", |it| id(it, "cus"));
word!(Mode, "Test or live.", |it| it
    .enum_values(Some([DomainMode::Test, DomainMode::Live].map(|mode| mode.to_string()))));
word!(OrderState, "How far an order has come. More states may follow.", |it| it
    .enum_values(Some(DomainOrderState::iter().map(|state| state.to_string()))));
word!(PaymentState, "How far a payment has come. More states may follow.", |it| it
    .enum_values(Some(paywright_domain::PaymentState::iter().map(|state| state.to_string()))));
word!(RefundState, "How far a refund has come. More states may follow.", |it| it
    .enum_values(Some(DomainRefundState::iter().map(|state| state.to_string()))));
word!(
    CaptureMethod,
    "Whether money is taken at once, or reserved first and taken when fulfilment starts.",
    |it| it.enum_values(Some(DomainCaptureMethod::iter().map(|method| method.to_string())))
);
word!(
    RefundReason,
    "Why money is given back; `late_payment` and `surplus_payment` are ours to give.",
    |it| it.enum_values(Some(DomainRefundReason::iter().map(|reason| reason.to_string())))
);
word!(RefundFor, "Why to give money back.", |it| it.enum_values(Some(
    DomainRefundReason::iter().filter(|reason| !reason.is_ours()).map(|reason| reason.to_string())
)));
word!(Channel, "Where the customer pays: on Stripe's page, or on yours.", |it| it
    .enum_values(Some(["checkout", "payment_intent"])));
word!(
    WhyCancelled,
    "Why an order was cancelled; `expired` is ours to give, `fulfillment_failed` has a command of its own.",
    |it| it.enum_values(Some(CancelReason::iter().map(|reason| reason.to_string())))
);
word!(CancelFor, "Why to cancel an order.", |it| it
    .enum_values(Some(
        [CancelReason::RequestedByCustomer, CancelReason::Duplicate, CancelReason::Fraudulent]
            .map(|reason| reason.to_string())
    ))
    .default(Some(CancelReason::default().to_string().into())));
word!(EventState, "How far a received event has come. More states may follow.", |it| it
    .enum_values(Some(paywright_postgres::EventState::iter().map(|state| state.to_string()))));
word!(JobState, "How far a job has come. More states may follow.", |it| it
    .enum_values(Some(paywright_postgres::JobState::iter().map(|state| state.to_string()))));
word!(JobKind, "What a job does. More may follow.", |it| it
    .enum_values(Some(paywright_postgres::JobKind::iter().map(|kind| kind.to_string()))));
word!(Queue, "Where a job waits. More may follow.", |it| it
    .enum_values(Some(paywright_domain::ports::QueueName::iter().map(|queue| queue.to_string()))));
word!(Currency, "A currency that Stripe takes: three lower-case letters of ISO 4217.", |it| it
    .pattern(Some("^[a-z]{3}$"))
    .examples(["usd"]));
word!(
    Metadata,
    "Your own notes: at most 45 keys of 1 to 40 characters without brackets and controls, not beginning with \
     `paywright_`; values of at most 500 characters.",
    |it| it
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(Schema::from(
            ObjectBuilder::new().schema_type(Type::String).max_length(Some(500)).pattern(Some(NO_NUL))
        ))))
        .property_names(Some(Schema::from(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(40))
                .pattern(Some(r"^(?!paywright_)[^\[\]\x00-\x1f\x7f-\x9f]*$"))
        )))
        .max_properties(Some(45))
        .examples([serde_json::json!({ "basket": "4711" })])
);

word!(
    Evidence,
    "What to say in a dispute: texts by Stripe's names of the parts. At most 20,000 characters a part, 150,000 together.",
    |it| it
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::from(Schema::from(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(paywright_domain::Evidence::PART_MAX))
                .pattern(Some(NO_NUL))
        ))))
        .property_names(Some(Schema::from(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(paywright_domain::Evidence::PARTS))
        )))
        .examples([serde_json::json!({ "product_description": "Tea, 100 g" })])
);

/// TypeID: the kind, and a UUIDv7 in Crockford's base 32.
fn id(it: ObjectBuilder, prefix: &str) -> ObjectBuilder {
    it.pattern(Some(format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$")))
        .examples([format!("{prefix}_01kagpz3m4e5tv9w8x7y6z5a4b")])
}

/// The `object` field of each kind of answer.
macro_rules! kinds {
    ($($kind:ident),*) => {
        $(pub(crate) fn $kind() -> Object {
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some([stringify!($kind)])).build()
        })*
    };
}

kinds!(
    list,
    order,
    payment,
    product,
    refund,
    dispute,
    order_report,
    day_report,
    reconciliation_run,
    statement,
    payout,
    inbox_event,
    job,
    replay,
    bulk_replay
);
