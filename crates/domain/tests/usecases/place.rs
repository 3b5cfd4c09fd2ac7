//! Placing orders.

use paywright_domain::{ports::*, usecase::*, *};
use paywright_testkit::builders::{self, usd};
use time::Duration;

use crate::support::Shop;

/// Covers: I33, fault 111, I14.
#[tokio::test]
async fn an_order_freezes_the_catalogues_prices() {
    let shop = Shop::new();
    let order = shop.place().await;
    assert_eq!((order.state, order.total), (OrderState::Pending, usd(3998)));
    assert_eq!((order.mode, order.expires_at), (Mode::Test, order.created_at + Duration::DAY));
    assert_eq!(order.token.len(), 48, "24 random bytes");

    let dearer = Product { unit_price: usd(9999), version: Version::from_number(2), ..shop.hat.clone() };
    shop.store.replace(dearer).await.unwrap();
    assert_eq!(shop.order(order.id).items[0].unit_price, usd(1999), "an edit never changes an order");
    assert_eq!(shop.place().await.total, usd(19_998));
    shop.assert_sound();
}

/// Covers: I17, I30, D-2, fault 100.
#[tokio::test]
async fn a_repeated_operation_returns_the_first_order_whatever_became_of_the_catalogue() {
    let shop = Shop::new();
    let operation = shop.operation();
    let first = shop.place_as(operation, shop.hats(2)).await.unwrap();
    assert_eq!(shop.place_as(operation, shop.hats(2)).await.unwrap(), first);

    let gone = Product { active: false, version: Version::from_number(2), ..shop.hat.clone() };
    shop.store.replace(gone).await.unwrap();
    assert_eq!(shop.place_as(operation, shop.hats(2)).await.unwrap(), first, "it was for sale then");
    assert_eq!((shop.store.orders().len(), shop.store.jobs().len()), (1, 1));
    shop.assert_sound();
}

/// Covers: fault 108, fault 109, fault 110, fault 111, fault 124, M-4.
#[tokio::test]
async fn what_cannot_be_sold_names_the_field_and_stores_nothing() {
    let shop = Shop::new();
    let hat = &shop.hat;
    let eur = Money::from_minor(1999, "eur".parse().unwrap()).unwrap();
    let inactive = Product { active: false, ..builders::product() };
    let foreign = Product { unit_price: eur, ..builders::product() };
    let live = Product { mode: Mode::Live, ..builders::product() };
    let cheap = Product { unit_price: usd(49), ..builders::product() };
    let vast = Product { unit_price: usd(i64::MAX.unsigned_abs()), ..builders::product() };
    for product in [&inactive, &foreign, &live, &cheap, &vast] {
        shop.offer(product);
    }
    let of = |product: &Product, quantity| NewItem { product: product.id, quantity };
    let unknown = NewItem { product: builders::new_id(shop.clock_now()), quantity: 1 };
    let cases = [
        (vec![], "items"),
        (vec![of(hat, 1); 101], "items"),
        (vec![of(hat, 1); 100_000], "items"),
        (vec![of(hat, 1), unknown], "items[1].product"),
        (vec![of(&inactive, 1)], "items[0].product"),
        (vec![of(hat, 1), of(&foreign, 1)], "items[1].product"),
        (vec![of(&live, 1)], "items[0].product"),
        (vec![of(hat, 0)], "items[0].quantity"),
        (vec![of(hat, 1_000_000)], "items[0].quantity"),
        (vec![of(hat, u32::MAX)], "items[0].quantity"),
        (vec![of(&cheap, 1)], "items"),
        (vec![of(hat, 999_999)], "items"),
        (vec![of(&vast, 2)], "items"),
        (vec![of(&vast, 1), of(&vast, 1), of(&vast, 1)], "items"),
    ];
    for (items, field) in cases {
        let shown = format!("{:?}", items.iter().take(2).collect::<Vec<_>>());
        match shop.place_as(shop.operation(), NewOrder { items, ..shop.hats(1) }).await {
            Err(error @ PlaceOrderError::Invalid(_)) => {
                assert_eq!(error.kind(), ErrorKind::Invalid);
                assert!(error.to_string().starts_with(&format!("{field} ")), "{shown}: {error}");
            }
            other => panic!("{shown}: {other:?}"),
        }
    }
    assert!(shop.store.orders().is_empty() && shop.store.jobs().is_empty() && shop.store.audit().is_empty());
}

/// Covers: fault 108, fault 113.
#[tokio::test]
async fn a_customer_is_found_by_address_or_created_with_the_order() {
    let shop = Shop::new();
    let with = |email: &str| NewOrder { customer_email: Some(email.to_owned()), ..shop.hats(1) };
    let first = shop.place_as(shop.operation(), with("Ada@Example.org")).await.unwrap();
    let second = shop.place_as(shop.operation(), with("ada@example.ORG")).await.unwrap();
    assert_eq!((first.customer, first.customer_email.as_deref()), (second.customer, Some("ada@example.org")));
    assert_eq!(shop.store.customers().len(), 1);

    let by_id = NewOrder { customer: first.customer, ..shop.hats(1) };
    assert_eq!(shop.place_as(shop.operation(), by_id).await.unwrap().customer_email, first.customer_email);

    let cases = [
        (NewOrder { customer: Some(builders::new_id(shop.clock_now())), ..shop.hats(1) }, "customer "),
        (NewOrder { customer: first.customer, ..with("bob@example.org") }, "customer_email "),
        (with("not an address"), "customer_email "),
        (
            NewOrder { metadata: Metadata::from([("paywright_order".into(), "x".into())]), ..shop.hats(1) },
            "metadata.paywright_order ",
        ),
    ];
    for (new, field) in cases {
        let error = shop.place_as(shop.operation(), new).await.unwrap_err();
        assert!(error.to_string().starts_with(field), "{error}");
    }
    assert_eq!((shop.store.orders().len(), shop.store.customers().len()), (3, 1));
}
