//! Plays what people do to a shop whose port calls go wrong, with a worker that never gives up.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use paywright_domain::{ports::*, *};
use strum::IntoEnumIterator;
use time::Duration;

use crate::{
    crash_acts::{Act, Done, once},
    crash_truth::assert_settled,
    fate::{Blow, Fate, Nature},
    support::{Shop, ready},
};

/// How people behave when something goes wrong, and when not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// They ask again until they are told how it ended.
    Patient,
    /// Whoever is let down never comes back.
    Gone,
    /// They ask for everything twice; jobs are done twice and messages come twice as well.
    Twice,
}

/// For how many minutes a process stands still that falls asleep: until others have just finished its work, or until
/// everything else is over.
const SLEEPS: [usize; 2] = [1, 8];

/// What a flow comes to, without names and counts: how the order stands, how its payments stand, what the gateway
/// holds, and what is on file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) order: (OrderState, Option<CancelReason>, bool),
    pub(crate) payments: BTreeMap<String, usize>,
    /// Captured, refunded, returned, disputed, in minor units.
    pub(crate) money: [u64; 4],
    pub(crate) refunds: BTreeMap<(String, u64), usize>,
    /// At the gateway.
    pub(crate) refunds_made: usize,
    pub(crate) disputes: Vec<(DisputeStatus, bool)>,
    pub(crate) books: BTreeMap<String, i64>,
    pub(crate) paid: usize,
    pub(crate) payable: usize,
    pub(crate) declines: usize,
    pub(crate) breaks: Vec<BreakKind>,
}

/// A flow that was played to its end.
pub(crate) struct Played {
    pub(crate) shop: Shop,
    /// What the port calls were for that could go wrong.
    pub(crate) calls: Vec<Nature>,
    /// The first call of each act.
    pub(crate) begins: Vec<usize>,
}

impl Played {
    pub(crate) fn end(&self) -> End {
        let (store, shop) = (&self.shop.store, &self.shop);
        let orders = store.orders();
        assert_eq!(orders.len(), 1, "placed once");
        let order = &orders[0];
        let sum = |part: fn(&Payment) -> Money| store.payments().iter().map(|it| part(it).minor()).sum();
        let mut payments = BTreeMap::new();
        for payment in store.payments() {
            *payments.entry(payment.state.to_string()).or_insert(0) += 1;
        }
        let mut refunds = BTreeMap::new();
        for refund in store.refunds() {
            *refunds.entry((refund.state.to_string(), refund.amount.minor())).or_insert(0) += 1;
        }
        let disputes = store.disputes().into_iter();
        End {
            money: [
                sum(|payment| payment.captured),
                sum(|payment| payment.refunded),
                sum(|payment| payment.returned),
                sum(|payment| payment.disputed),
            ],
            refunds,
            refunds_made: shop.gateway.refunds_made().len(),
            disputes: disputes.map(|dispute| (dispute.seen.status, dispute.seen.submitted)).collect(),
            books: Account::iter().map(|it| (it.to_string(), shop.balance(it, "usd"))).collect(),
            order: (order.state, order.cancellation, order.shipment.is_some()),
            payments,
            paid: shop.paid(),
            payable: shop.payable(),
            declines: store.declines().len(),
            breaks: shop.breaks(),
        }
    }
}

/// Plays a flow: after each act the worker runs; at the end time passes until nothing is left to do, and everybody
/// looks once more, so that the books do not depend on who happened to look. Then everything must be settled.
pub(crate) fn play(flow: &[Act], blows: &[(usize, Blow)], manner: Manner, sleep: usize) -> Played {
    let shop = Shop::with_fate(Fate::of(blows.to_vec()));
    let stage = Stage { shop: &shop, manner, sleep, round: 0, asleep: Vec::new() };
    let (calls, begins) = stage.play(flow);
    assert_settled(&shop);
    Played { shop, calls, begins }
}

/// How long somebody may sleep whom this blow meets.
pub(crate) fn sleeps(blow: Blow) -> &'static [usize] {
    match blow {
        Blow::SleepBefore | Blow::SleepAfter => &SLEEPS,
        Blow::DieBefore
        | Blow::DieAfter
        | Blow::FailBefore
        | Blow::FailAfter
        | Blow::Twice
        | Blow::Conflict
        | Blow::LeaseLost => &SLEEPS[..1],
    }
}

/// Undisturbed.
pub(crate) fn play_calmly(flow: &[Act]) -> Played {
    play(flow, &[], Manner::Patient, SLEEPS[0])
}

type Sleeper<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

struct Stage<'a> {
    shop: &'a Shop,
    manner: Manner,
    sleep: usize,
    round: usize,
    /// Who stands still, and until which round.
    asleep: Vec<(usize, Sleeper<'a>)>,
}

impl<'a> Stage<'a> {
    fn play(mut self, flow: &'a [Act]) -> (Vec<Nature>, Vec<usize>) {
        let mut begins = Vec::new();
        for act in flow {
            begins.push(self.shop.fate.calls());
            let done = self.act(act);
            self.work();
            if !done {
                break;
            }
        }
        // Leases of the dead end, what failed is tried again, and who sleeps wakes up.
        for minute in 0.. {
            assert!(minute < 50, "somebody never wakes up");
            if minute >= 10 && self.asleep.is_empty() {
                break;
            }
            self.pass_a_minute();
        }
        assert!(self.shop.fate.is_fulfilled(), "a blow never fell");
        let calls = self.shop.fate.natures();
        self.shop.clock.advance(Duration::minutes(2));
        for payment in self.shop.store.payments() {
            ready(self.shop.sync(payment.id)).unwrap();
        }
        self.work();
        (calls, begins)
    }

    /// Whether it was brought to an end by whoever asked for it.
    fn act(&mut self, act: &'a Act) -> bool {
        let (shop, operation) = (self.shop, self.shop.operation());
        let mut tries = 0;
        while self.run(once(shop, operation, act)) != Some(Done::Yes) {
            tries += 1;
            assert!(tries < 10, "{act:?} is never done");
            // Whoever asks waits; meanwhile leases end and the worker takes over.
            self.pass_a_minute();
            if self.manner == Manner::Gone && shop.fate.is_fulfilled() {
                return false;
            }
        }
        if self.manner == Manner::Twice && act.is_ours() {
            self.work();
            let before = rows(shop);
            assert_eq!(self.run(once(shop, operation, act)), Some(Done::Yes), "{act:?} again");
            self.work();
            assert!(before == rows(shop), "{act:?} again changed something");
        }
        true
    }

    /// Runs a process until it ends, dies or falls asleep.
    fn run<T: 'a>(&mut self, process: impl Future<Output = T> + 'a) -> Option<T> {
        let mut process = Box::pin(process);
        match process.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => {
                if self.shop.fate.fell_asleep() {
                    self.asleep.push((self.round + self.sleep, Box::pin(async move { drop(process.await) })));
                }
                None
            }
        }
    }

    fn pass_a_minute(&mut self) {
        self.shop.clock.advance(Duration::MINUTE);
        self.round += 1;
        self.work();
        let (awake, asleep) =
            std::mem::take(&mut self.asleep).into_iter().partition(|(until, _)| *until <= self.round);
        self.asleep = asleep;
        let awake: Vec<(usize, Sleeper<'a>)> = awake;
        for (_, sleeper) in awake {
            let _ = self.run(sleeper);
        }
    }

    /// The worker: every job that is due, one after the other. A blow may kill it in the middle of one.
    fn work(&mut self) {
        let shop = self.shop;
        for _ in 0..50 {
            // A job at a time: a worker that dies takes nothing else down with it.
            let Some(job) = [QueueName::Webhooks, QueueName::Effects]
                .into_iter()
                .find_map(|queue| ready(shop.store.claim(queue, 1, Duration::seconds(30))).unwrap().pop())
            else {
                return;
            };
            let again = job.clone();
            let worked = self.run(async move {
                if let Err(error) = shop.run(&job).await {
                    shop.store.retry(job.lease, Duration::MINUTE, &error).await.unwrap();
                }
            });
            if worked.is_some() && self.manner == Manner::Twice {
                let before = rows(shop);
                let _ = ready(shop.run(&again));
                shop.receive(shop.store.events());
                assert!(before == rows(shop), "{:?} again changed something", again.task);
            }
        }
        panic!("the worker never comes to rest");
    }
}

/// Everything that is kept of orders and money, but for when a dispute was looked at last.
fn rows(shop: &Shop) -> impl PartialEq + use<> {
    let store = &shop.store;
    let mut disputes = store.disputes();
    for dispute in &mut disputes {
        (dispute.version, dispute.seen.at) = (Version::FIRST, dispute.created_at);
    }
    (
        (store.orders(), store.payments(), store.refunds(), disputes, store.calls()),
        (store.journals(), store.declines(), store.breaks(), store.audit(), shop.gateway.refunds_made()),
    )
}
