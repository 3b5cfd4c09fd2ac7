//! Whatever customers, banks and people at the dashboard do, and however it becomes known: in the end our books say
//! what the gateway's say, and every movement is explained.

use std::sync::Arc;

use paywright_domain::{
    Account, Actor, CaptureMethod, Channel, IntentId, Mode, Payment, PaymentState, RefundReason,
    RefundStanding,
    ports::{Catalogue, InboxEvent, Queue, QueueName, Reader, Store, Task},
    usecase::{
        ExpiringHold, NewItem, NewOrder, NewRefund, PerformCall, PlaceOrder, Policy, Ports, RecordEvent,
        RequestRefund, StartPayment, SyncPayment,
    },
};
use paywright_testkit::{
    FakeGateway, FakeRefund, Fault, IntentStatus, ManualClock, MemoryStore, SeededEntropy, builders,
};
use time::Duration;

const SEEDS: u64 = 1_000;
const ACTS: u32 = 40;

struct World {
    seed: u64,
    dice: SeededEntropy,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    gateway: Arc<FakeGateway>,
    ports: Ports,
    policy: Policy,
    intent: IntentId,
    payment: Payment,
    /// How many of the gateway's events were sent on their way so far.
    drawn: usize,
    undelivered: Vec<InboxEvent>,
}

/// Covers: I1, I7, I9, I10, I22, I24, R-5, X-1, X-2, fault 3, fault 31, fault 33, fault 34.
#[tokio::test]
async fn the_books_agree_whatever_was_heard_in_whatever_order() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed).await;
        for _ in 0..ACTS {
            world.act().await;
            world.clock.advance(Duration::seconds(world.dice.below(3).cast_signed()));
        }
        world.quiet().await;
        world.check().await;
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let clock = Arc::new(ManualClock::default());
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let gateway = Arc::new(FakeGateway::new(Mode::Test, clock.clone()));
        let ports = Ports {
            store: store.clone(),
            queue: store.clone(),
            gateway: gateway.clone(),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(seed)),
        };
        let policy = Policy {
            mode: Mode::Test,
            capture: CaptureMethod::Automatic,
            expiring_hold: ExpiringHold::Void,
            order_lifetime: Duration::DAY,
            call_held_for: Duration::minutes(1),
        };
        let dice = SeededEntropy::new(!seed);
        gateway.settle_late(dice.below(2) == 0);
        if dice.below(3) == 0 {
            gateway.settle_in("eur".parse().expect("a currency"), 900);
        }
        let hat = builders::product();
        store.add(hat.clone()).await.expect("the memory store is there");
        let new = NewOrder {
            currency: hat.unit_price.currency(),
            items: vec![NewItem { product: hat.id, quantity: 2 }],
            customer: None,
            customer_email: None,
            capture: None,
            metadata: Default::default(),
        };
        let placing = PlaceOrder::new(ports.clone(), policy.clone());
        let order = placing.run(ports.new_id(), Actor::System, new).await.expect("an order");
        let starting = StartPayment::new(ports.clone(), policy.clone());
        let (operation, channel) = (ports.new_id(), Channel::PaymentIntent);
        let started = starting.run(operation, Actor::Shopper, order.id, channel).await.expect("a payment");
        let payment = started.payment;
        let intent = payment.intent.clone().expect("named by the gateway");
        gateway.pay_intent(&intent);
        let (drawn, undelivered) = (0, Vec::new());
        Self { seed, dice, clock, store, gateway, ports, policy, intent, payment, drawn, undelivered }
    }

    /// Something happens, here or there.
    async fn act(&mut self) {
        let some = 1 + self.dice.below(1500);
        let dispute = self.gateway.disputes_opened().into_iter().next_back();
        match self.dice.below(12) {
            0 => {
                let (ports, policy) = (self.ports.clone(), self.policy.clone());
                if self.dice.below(2) == 0 {
                    let faults =
                        [Fault::UnknownBefore, Fault::UnknownAfter, Fault::SpentBefore, Fault::SpentAfter];
                    let number = usize::try_from(self.dice.below(4)).expect("small");
                    self.gateway.fail_call(faults[number].clone());
                }
                let new = NewRefund {
                    payment: self.payment.id,
                    amount: Some(some),
                    reason: RefundReason::Goodwill,
                    note: None,
                    expected_refundable: None,
                };
                // What cannot be given back now is refused.
                let _ = RequestRefund::new(ports, policy).run(self.ports.new_id(), Actor::System, new).await;
                // A fault that met no call would meet a later one.
                self.gateway.heal();
            }
            1 if self.may_refund(some) => drop(self.gateway.dashboard_refund(&self.intent, some)),
            2 => self.gateway.hold_refunds(self.dice.below(2) == 0),
            3 => {
                let waits = |made: &&FakeRefund| made.standing == RefundStanding::Pending;
                let made = self.gateway.refunds_made();
                if let Some(refund) = made.iter().find(waits) {
                    match self.dice.below(3) {
                        0 => drop(self.gateway.refund_succeeds(&refund.id)),
                        1 => drop(self.gateway.refund_fails(&refund.id)),
                        _ => drop(self.gateway.refund_cancelled(&refund.id)),
                    }
                }
            }
            4 => {
                let sent = |made: &&FakeRefund| made.standing == RefundStanding::Succeeded;
                if let Some(refund) = self.gateway.refunds_made().iter().find(sent) {
                    self.gateway.refund_fails(&refund.id);
                }
            }
            5 if dispute.is_none() => {
                drop(self.gateway.open_dispute(&self.intent, some, self.dice.below(2) == 0));
            }
            6 => {
                if let Some(dispute) = dispute.filter(|dispute| dispute.status.is_open()) {
                    match (dispute.status.withholds(), self.dice.below(2)) {
                        (true, 0) => drop(self.gateway.win_dispute(&dispute.id)),
                        (true, _) => drop(self.gateway.lose_dispute(&dispute.id)),
                        (false, 0) => drop(self.gateway.escalate_inquiry(&dispute.id)),
                        (false, _) => drop(self.gateway.close_inquiry(&dispute.id)),
                    }
                }
            }
            7 => drop(self.gateway.settle(&self.intent)),
            8 => self.perform().await,
            _ => self.hear().await,
        }
        self.draw();
    }

    fn may_refund(&self, amount: u64) -> bool {
        let blocked = self.gateway.disputes_opened().iter().any(|dispute| !dispute.leaves_refundable());
        let intent = &self.gateway.intents()[0];
        !blocked && intent.captured - intent.refunded() >= amount
    }

    /// A quarter of the events is lost, a quarter comes twice.
    fn draw(&mut self) {
        let all = self.gateway.events();
        for event in &all[self.drawn..] {
            let copies = [0, 1, 1, 2][usize::try_from(self.dice.below(4)).expect("small")];
            self.undelivered.extend(std::iter::repeat_n(event.clone(), copies));
        }
        self.drawn = all.len();
    }

    /// Any of the events arrives, and what arrived is read.
    async fn hear(&mut self) {
        if !self.undelivered.is_empty() {
            let number = self.dice.below(self.undelivered.len() as u64);
            let event = self.undelivered.swap_remove(usize::try_from(number).expect("small"));
            let _ = self.store.receive(event).await.expect("the memory store is there");
        }
        let lease = Duration::minutes(1);
        for job in self.store.claim(QueueName::Webhooks, 10, lease).await.expect("the memory store is there")
        {
            let Task::ReadEvent(event) = &job.task else { panic!("{job:?}") };
            if let Err(error) = RecordEvent::new(self.ports.clone()).run(job.lease, event).await {
                let told = format!("{error}");
                self.store
                    .retry(job.lease, Duration::SECOND, &told)
                    .await
                    .expect("the memory store is there");
            }
        }
    }

    /// The worker goes on with calls whose outcome is not known.
    async fn perform(&mut self) {
        let lease = Duration::minutes(1);
        for job in self.store.claim(QueueName::Effects, 10, lease).await.expect("the memory store is there") {
            let outcome = match &job.task {
                Task::PerformCall(_) => {
                    let calls = PerformCall::new(self.ports.clone(), self.policy.clone());
                    calls.run(job.lease).await.map(drop).map_err(|error| error.to_string())
                }
                Task::WatchOrder(_) => Err("nobody looks after the order here".to_owned()),
                Task::ReadEvent(_) => panic!("{job:?}"),
            };
            if let Err(why) = outcome {
                let delay = Duration::minutes(2);
                self.store.retry(job.lease, delay, &why).await.expect("the memory store is there");
            }
        }
    }

    /// Nothing happens any more, and everything becomes known: by events, by calls, at last by looking.
    async fn quiet(&mut self) {
        for refund in self.gateway.refunds_made() {
            if refund.standing == RefundStanding::Pending {
                self.gateway.refund_succeeds(&refund.id);
            }
        }
        self.gateway.hold_refunds(false);
        for _ in 0..60 {
            self.hear().await;
            self.perform().await;
            self.clock.advance(Duration::minutes(3));
        }
        self.gateway.settle(&self.intent);
        let syncing = SyncPayment::new(self.ports.clone(), self.policy.clone());
        let synced = syncing.run(self.ports.new_id(), self.payment.id).await;
        self.payment = synced.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
    }

    async fn check(&self) {
        let (seed, payment, there) = (self.seed, &self.payment, &self.gateway.intents()[0]);
        assert_eq!(payment.state, PaymentState::Captured, "seed {seed}");
        assert_eq!(
            there.status,
            IntentStatus::Captured { refunded: payment.refunded.minor() },
            "seed {seed}"
        );
        assert_eq!(payment.refunded, payment.returned, "seed {seed}");
        assert!(payment.fee.is_some(), "seed {seed}");

        let ours = Store::refunds(&*self.store, payment.id).await.expect("the memory store is there");
        for made in self.gateway.refunds_made() {
            let known: Vec<_> =
                ours.iter().filter(|refund| refund.gateway == Some(made.id.clone())).collect();
            assert_eq!(known.len(), 1, "seed {seed}: {made:?}");
            assert_eq!(known[0].state.to_string(), made.standing.to_string(), "seed {seed}");
            assert_eq!(known[0].amount, made.amount, "seed {seed}");
        }
        let unasked = ours.iter().filter(|refund| refund.gateway.is_none());
        assert!(unasked.clone().all(|refund| !refund.state.is_reserved()), "seed {seed}");

        let disputed: u64 = self
            .gateway
            .disputes_opened()
            .iter()
            .filter(|dispute| dispute.status.withholds())
            .map(|dispute| dispute.amount.minor())
            .sum();
        assert_eq!(payment.disputed.minor(), disputed, "seed {seed}");

        let balances = self.store.balances(Mode::Test, None, None).await.expect("the memory store is there");
        let of = |account: Account| {
            let rows = balances.iter().filter(move |row| row.account == account);
            rows.map(|row| row.debit - row.credit).collect::<Vec<_>>()
        };
        assert!(of(Account::Clearing).iter().all(|sum| *sum == 0), "seed {seed}: {balances:?}");
        let refunds = self.gateway.refunds_made();
        let moved = refunds.iter().flat_map(|refund| [&refund.settlement, &refund.reversal]).flatten();
        let disputes = self.gateway.disputes_opened();
        let moved = moved.chain(disputes.iter().flat_map(|dispute| &dispute.movements));
        let held: i64 = moved.chain(&there.settlement).map(|moved| moved.amount - moved.fee).sum();
        assert_eq!(of(Account::GatewayBalance).iter().sum::<i64>(), held, "seed {seed}: {balances:?}");
    }
}
