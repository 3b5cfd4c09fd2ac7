//! The merchant's side of an order's life.

use paywright_domain::{usecase::*, *};
use paywright_testkit::builders;

use crate::support::{Shop, page};

async fn paid(shop: &Shop) -> Order {
    let order = shop.place().await;
    shop.start(order.id, page("a")).await.unwrap();
    let session = shop.page(&shop.payment(order.id)).id;
    shop.hear(shop.gateway.pay_session(&session)).await;
    shop.order(order.id)
}

fn parcel(carrier: &str) -> Advance {
    Advance::Ship(Shipment { carrier: carrier.to_owned(), tracking: Some("1Z".to_owned()) })
}

/// Covers: I12, I14.
#[tokio::test]
async fn a_paid_order_is_fulfilled_shipped_and_completed_and_its_timeline_says_so() {
    let shop = Shop::new();
    let order = paid(&shop).await;
    let steps = [
        (Advance::StartFulfillment { amount: None }, OrderState::FulfillmentStarted),
        (parcel("DHL"), OrderState::Shipped),
        (Advance::Complete, OrderState::Completed),
    ];
    for (advance, state) in steps {
        let operation = shop.operation();
        let first = shop.advance_as(operation, order.id, advance.clone()).await.unwrap();
        assert_eq!(first.state, state);
        let again = shop.advance_as(operation, order.id, advance).await.unwrap();
        assert_eq!(again, first, "the same operation moves nothing");
    }
    assert_eq!(shop.order(order.id).shipment.unwrap().carrier, "DHL");
    let told: Vec<_> = shop
        .store
        .audit()
        .into_iter()
        .filter(|row| row.entry.subject == "order")
        .map(|row| row.entry.to.unwrap())
        .collect();
    assert_eq!(
        told,
        ["pending", "payment_processing", "paid", "fulfillment_started", "shipped", "completed"]
    );
    shop.assert_sound();
}

/// Covers: I30.
#[tokio::test]
async fn an_earlier_operation_repeated_later_returns_the_order_as_it_is() {
    let shop = Shop::new();
    let order = paid(&shop).await;
    let (first, second) = (shop.operation(), shop.operation());
    shop.advance_as(first, order.id, Advance::StartFulfillment { amount: None }).await.unwrap();
    shop.advance_as(second, order.id, Advance::Complete).await.unwrap();
    let again = shop.advance_as(first, order.id, Advance::StartFulfillment { amount: None }).await.unwrap();
    assert_eq!(again.state, OrderState::Completed);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let shop = Shop::new();
    let order = shop.place().await;
    for advance in [Advance::StartFulfillment { amount: None }, parcel("DHL"), Advance::Complete] {
        let error = shop.advance_as(shop.operation(), order.id, advance).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "not paid yet");
    }
    for carrier in ["", "  ", "D\0HL", &"x".repeat(101)] {
        let error = shop.advance_as(shop.operation(), order.id, parcel(carrier)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{carrier:?}");
    }
    let foreign = builders::new_id(shop.clock_now());
    let error = shop.advance_as(shop.operation(), foreign, Advance::Complete).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(shop.order(order.id), order);
}
