//! The catalogue: added once, edited over the version before, listed newest first.

use std::sync::Arc;

use paywright_domain::{
    Metadata, Mode, Money, Product, ProductId, Version,
    ports::{Page, StoreError},
};
use time::Duration;

use super::{
    Backend,
    stage::{Stage, at_once},
};
use crate::builders::{new_id, product};

fn edited(product: &Product, name: &str) -> Product {
    let version = Version::from_number(product.version.number() + 1);
    Product { version, name: name.to_owned(), ..product.clone() }
}

/// Every field.
///
/// Covers: I25.
pub async fn a_product_reads_back(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let metadata: Metadata = [("größe".to_owned(), "XL \"'\\".to_owned())].into();
    let hat = Product {
        name: "帽子 🎩".to_owned(),
        unit_price: Money::from_minor(999_999_999_999, "idr".parse().unwrap()).unwrap(),
        active: false,
        metadata,
        created_at: stage.now,
        ..product()
    };
    assert_eq!(stage.add(hat.clone()).await.unwrap(), hat);
    assert_eq!(find(&stage, hat.id).await, Some(hat));
}

/// Adding again, with whatever fields, gives back what is there.
///
/// Covers: I17, I30.
pub async fn adding_twice_keeps_the_first(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let first = stage.add(product()).await.unwrap();
    let second = Product { name: "Another hat".to_owned(), active: false, ..first.clone() };
    assert_eq!(stage.add(second).await.unwrap(), first);
    assert_eq!(find(&stage, first.id).await, Some(first));
}

/// Any other version conflicts and writes nothing.
///
/// Covers: I16.
pub async fn a_product_is_replaced_over_the_version_before(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let first = stage.add(product()).await.unwrap();
    let mut second = edited(&first, "A finer hat");
    second.active = false;
    second.unit_price = Money::from_minor(1, "jpy".parse().unwrap()).unwrap();
    second.metadata = [("k".to_owned(), "v".to_owned())].into();
    stage.replace(second.clone()).await.unwrap();
    assert_eq!(find(&stage, first.id).await.as_ref(), Some(&second));
    let ahead = Product { version: Version::from_number(4), ..first.clone() };
    let absent = edited(&product(), "no such hat");
    for wrong in [first.clone(), edited(&first, "stale"), ahead, absent] {
        let outcome = stage.replace(wrong).await;
        assert!(matches!(outcome, Err(StoreError::Conflict)), "{outcome:?}");
        assert_eq!(find(&stage, first.id).await.as_ref(), Some(&second));
    }
    stage.replace(edited(&second, "The finest hat")).await.unwrap();
}

/// Of edits at the same moment one is kept.
///
/// Covers: I16.
pub async fn of_many_edits_at_once_one_wins(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let first = stage.add(product()).await.unwrap();
    let outcomes = at_once((0..8).map(|n| {
        let (stage, edit) = (stage.clone(), edited(&first, &format!("hat {n}")));
        async move { stage.replace(edit.clone()).await.is_ok().then_some(edit) }
    }));
    let kept: Vec<_> = outcomes.await.into_iter().flatten().collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(find(&stage, first.id).await.as_ref(), kept.first());
}

/// Pages follow each other without a gap or a repetition, also behind one that does not exist.
///
/// Covers: S-1.
pub async fn products_are_listed_newest_first_in_pages(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    assert_eq!(list(&stage, 1, None).await, (vec![], false));
    let mut newest_first = Vec::new();
    for seconds in 0..5 {
        let created_at = stage.now + Duration::seconds(seconds * 2);
        let hat = Product { id: new_id(created_at), created_at, ..product() };
        newest_first.insert(0, stage.add(hat).await.unwrap().id);
    }
    stage.add(Product { mode: Mode::Live, ..product() }).await.unwrap();
    assert_eq!(list(&stage, 100, None).await, (newest_first.clone(), false));
    assert_eq!(list(&stage, 5, None).await, (newest_first.clone(), false));
    assert_eq!(list(&stage, 2, None).await, (newest_first[..2].to_vec(), true));
    assert_eq!(list(&stage, 2, Some(newest_first[1])).await, (newest_first[2..4].to_vec(), true));
    assert_eq!(list(&stage, 2, Some(newest_first[3])).await, (newest_first[4..].to_vec(), false));
    assert_eq!(list(&stage, 2, Some(newest_first[4])).await, (vec![], false));
    let between = new_id(stage.now + Duration::seconds(3));
    assert_eq!(list(&stage, 100, Some(between)).await, (newest_first[3..].to_vec(), false));
}

/// Test and live never see each other's products.
///
/// Covers: S-1.
pub async fn a_product_is_invisible_in_the_other_mode(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let live = stage.add(Product { mode: Mode::Live, ..product() }).await.unwrap();
    assert_eq!(find(&stage, live.id).await, None);
    assert_eq!(list(&stage, 10, None).await, (vec![], false));
    assert_eq!(stage.product(Mode::Live, live.id).await.unwrap(), Some(live));
}

async fn find(stage: &Stage, id: ProductId) -> Option<Product> {
    stage.product(Mode::Test, id).await.unwrap()
}

async fn list(stage: &Stage, limit: u32, after: Option<ProductId>) -> (Vec<ProductId>, bool) {
    let listed = stage.list(Mode::Test, Page { limit, after }).await.unwrap();
    (listed.rows.into_iter().map(|product| product.id).collect(), listed.has_more)
}
