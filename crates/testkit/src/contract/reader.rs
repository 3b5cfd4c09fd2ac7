//! Reads for people.

use std::sync::Arc;

use paywright_domain::{
    Decline, Dispute, DisputeStatus, Mode, Order, OrderEvent, OrderId, OrderState, PaymentEvent, Product,
    Refund, RefundDraft, Standing,
    ports::{OrderFilter, OrderView, Page},
};
use time::Duration;

use super::{Backend, stage::Stage};
use crate::builders::{self, ChangesExt, customer, item, new_id, product, seen};

/// The order, its payments and their declines, each oldest first; and nothing of other orders.
///
/// Covers: I32.
pub async fn an_order_is_shown_with_all_its_parts(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let bare = stage.placed().await;
    let shown = stage.order_view(Mode::Test, bare.id).await.unwrap();
    assert_eq!(
        shown,
        Some(OrderView {
            order: bare,
            payments: vec![],
            declines: vec![],
            refunds: vec![],
            disputes: vec![]
        })
    );

    let (order, first) = stage.started().await;
    let first = stage.hear(&first, PaymentEvent::Seen(seen(Standing::Cancelled))).await;
    let later = stage.now + Duration::SECOND;
    let birth = builders::payment(&order).hosted().created_at(later).started();
    let second = birth.after().clone();
    stage.now(stage.request().step(birth)).await;
    let decline = |payment, key: &str, seconds| {
        let mut refusal = builders::refusal(key);
        refusal.at = stage.now + Duration::seconds(seconds);
        if seconds == 2 {
            refusal.decline_code = None;
            refusal.advice = None;
            refusal.message = "Abgelehnt — 拒否".to_owned();
        }
        Decline { order: order.id, payment, refusal }
    };
    let declines = vec![decline(first.id, "a", 1), decline(second.id, "a", 2), decline(second.id, "b", 3)];
    let mut changes = stage.request();
    changes.declines.clone_from(&declines);
    stage.now(changes).await;
    let payments = vec![first, second];
    let expected = OrderView { order, payments, declines, refunds: vec![], disputes: vec![] };
    assert_eq!(stage.order_view(Mode::Test, expected.order.id).await.unwrap().as_ref(), Some(&expected));
    let listed = stage.list_orders(Mode::Test, OrderFilter::default(), Page { limit: 100, after: None });
    assert!(listed.await.unwrap().rows.contains(&expected));
}

/// Of all its payments, oldest first, by when they were made at the gateway; and nothing of other orders.
///
/// Covers: I32, R-5, X-1.
pub async fn an_order_is_shown_with_its_refunds_and_disputes(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let (_, other) = stage.paid().await;
    let other = stage.give_back(&other, builders::refund(&other, builders::usd(1))).await;
    stage.contest(&other, builders::dispute(&other, DisputeStatus::Lost)).await;
    let (order, mut payment) = stage.paid().await;
    let (mut refunds, mut disputes) = (Vec::new(), Vec::new());
    for hours in [0, -1] {
        let created_at = stage.now + Duration::hours(hours);
        let draft = RefundDraft { created_at, ..builders::refund_draft(builders::usd(1000)) };
        let birth = Refund::request(&payment, draft);
        refunds.insert(0, birth.after().clone());
        payment = stage.give_back(&payment, birth).await;
        let seen = builders::dispute_seen(builders::usd(1), DisputeStatus::NeedsResponse);
        let name = builders::gateway_dispute_id();
        let birth = Dispute::open(new_id(stage.now), &payment, name, seen, created_at);
        disputes.insert(0, birth.after().clone());
        payment = stage.contest(&payment, birth).await;
    }
    assert_eq!(stage.refunds(payment.id).await.unwrap(), refunds);
    assert_eq!(stage.disputes(payment.id).await.unwrap(), disputes);
    let payments = vec![payment];
    let expected = OrderView { order, payments, declines: vec![], refunds, disputes };
    assert_eq!(stage.order_view(Mode::Test, expected.order.id).await.unwrap().as_ref(), Some(&expected));
    let listed = stage.list_orders(Mode::Test, OrderFilter::default(), Page { limit: 100, after: None });
    assert!(listed.await.unwrap().rows.contains(&expected));
}

/// Pages follow each other without a gap or a repetition.
///
/// Covers: I32.
pub async fn orders_are_listed_newest_first_in_pages(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    assert_eq!(list(&stage, OrderFilter::default(), 3, None).await, (vec![], false));
    let ids = five(&stage).await;
    let page = async |limit, after| list(&stage, OrderFilter::default(), limit, after).await;
    assert_eq!(page(100, None).await, (ids.clone(), false));
    assert_eq!(page(5, None).await, (ids.clone(), false));
    assert_eq!(page(2, None).await, (ids[..2].to_vec(), true));
    assert_eq!(page(2, Some(ids[1])).await, (ids[2..4].to_vec(), true));
    assert_eq!(page(2, Some(ids[3])).await, (ids[4..].to_vec(), false));
    assert_eq!(page(2, Some(ids[4])).await, (vec![], false));
}

/// A cursor that is not there gives the rows that would follow it.
///
/// Covers: I32.
pub async fn a_list_goes_on_behind_an_order_that_is_not_there(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let ids = five(&stage).await;
    let between = new_id(stage.now + Duration::seconds(3));
    let (rows, has_more) = list(&stage, OrderFilter::default(), 2, Some(between)).await;
    assert_eq!((rows, has_more), (ids[3..].to_vec(), false));
    let oldest = new_id(stage.now - Duration::DAY);
    assert_eq!(list(&stage, OrderFilter::default(), 2, Some(oldest)).await, (vec![], false));
}

/// By state, customer, and time; together; and across pages.
///
/// Covers: I32.
pub async fn orders_are_filtered(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let buyer = stage.known(customer()).await;
    let at = |seconds| stage.now + Duration::seconds(seconds);
    let mut orders: Vec<Order> = Vec::new();
    for seconds in 0..4 {
        let draft = stage.draft().await.created_at(at(seconds));
        let draft = if seconds < 2 { draft.customer(&buyer) } else { draft };
        orders.push(stage.place(draft).await);
    }
    stage.go(&orders[1], OrderEvent::PaymentStarted).await;
    stage.go(&orders[2], OrderEvent::PaymentStarted).await;
    let all = async |filter| list(&stage, filter, 100, None).await.0;
    let ids = |numbers: &[usize]| numbers.iter().map(|n| orders[*n].id).collect::<Vec<_>>();

    let paying = OrderFilter { state: Some(OrderState::PaymentProcessing), ..OrderFilter::default() };
    assert_eq!(all(paying.clone()).await, ids(&[2, 1]));
    let buyers = OrderFilter { customer: Some(buyer.id), ..OrderFilter::default() };
    assert_eq!(all(buyers.clone()).await, ids(&[1, 0]));
    let nobodys = OrderFilter { customer: Some(customer().id), ..OrderFilter::default() };
    assert_eq!(all(nobodys).await, []);
    // From the moment itself, and up to just before it.
    let from = OrderFilter { created_from: Some(at(2)), ..OrderFilter::default() };
    assert_eq!(all(from).await, ids(&[3, 2]));
    let before = OrderFilter { created_before: Some(at(2)), ..OrderFilter::default() };
    assert_eq!(all(before).await, ids(&[1, 0]));
    let both = OrderFilter { customer: Some(buyer.id), ..paying };
    assert_eq!(all(both).await, ids(&[1]));
    assert_eq!(list(&stage, buyers.clone(), 1, None).await, (ids(&[1]), true));
    assert_eq!(list(&stage, buyers, 1, Some(orders[1].id)).await, (ids(&[0]), false));
}

/// Test and live never see each other's orders.
///
/// Covers: I32, S-1.
pub async fn modes_do_not_see_each_other(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let goods = stage.add(Product { mode: Mode::Live, ..product() }).await.unwrap();
    let draft = builders::order().created_at(stage.now).mode(Mode::Live).items(vec![item(&goods, 1)]);
    let live = stage.place(draft).await;
    let test = stage.placed().await;
    assert_eq!(stage.order_view(Mode::Test, live.id).await.unwrap(), None);
    assert_eq!(stage.order_view(Mode::Live, live.id).await.unwrap().unwrap().order, live);
    assert_eq!(list(&stage, OrderFilter::default(), 10, None).await, (vec![test.id], false));
    assert_eq!(stage.order_view(Mode::Test, new_id(stage.now)).await.unwrap(), None);
}

/// What happened first comes first, whatever the clock said; other orders' entries are not shown.
///
/// Covers: I14.
pub async fn a_timeline_is_oldest_first_and_of_one_order(backend: Arc<dyn Backend>) {
    let stage = Stage::new(backend);
    let other = stage.placed().await;
    let mut order = stage.placed().await;
    for (n, event) in (1..).zip(["cancellation_requested", "cancellation_refused"].repeat(3)) {
        let event = match event {
            "cancellation_requested" => OrderEvent::CancellationRequested(Default::default()),
            _ => OrderEvent::CancellationRefused,
        };
        order = stage.go(&order, event).await;
        assert_eq!(stage.told(&order).await.len(), n + 1);
    }
    let told: Vec<_> = stage.told(&order).await.into_iter().map(|entry| entry.event).collect();
    let asked_and_refused = ["cancellation_requested", "cancellation_refused"];
    assert_eq!(told[0], "placed");
    assert_eq!(told[1..], asked_and_refused.repeat(3));
    assert_eq!(stage.told(&other).await.len(), 1);
    assert_eq!(stage.timeline(new_id(stage.now)).await.unwrap(), []);
}

/// Five orders, two seconds apart, newest first.
async fn five(stage: &Stage) -> Vec<OrderId> {
    let mut newest_first = Vec::new();
    for seconds in 0..5 {
        let draft = stage.draft().await.created_at(stage.now + Duration::seconds(seconds * 2));
        newest_first.insert(0, stage.place(draft).await.id);
    }
    newest_first
}

async fn list(
    stage: &Stage,
    filter: OrderFilter,
    limit: u32,
    after: Option<OrderId>,
) -> (Vec<OrderId>, bool) {
    let listed = stage.list_orders(Mode::Test, filter, Page { limit, after }).await.unwrap();
    (listed.rows.into_iter().map(|view| view.order.id).collect(), listed.has_more)
}
