//! How often somebody may try to pay: counted for all together, whole or not at all, and what is said of the wait is true.

use std::{net::IpAddr, ops::Deref, sync::Arc};

use paywright_domain::{
    Admission, ApiKeyId, Attempt, Breaker, Decline, Lately, Limits, Mode, Network, Order, OrderEvent,
    OrderId, PaymentEvent, PaymentId, Quota, Refusal, Rule, Sighting, Standing, ports::StoreError,
};
use time::Duration;

use super::{
    Doorkeeper,
    stage::{Stage, at_once, pause, soon},
};
use crate::builders::{self, ChangesExt, Steps, new_id};

/// A store, its stage, and a shopper's network.
#[derive(Clone)]
struct Door {
    keeper: Arc<dyn Doorkeeper>,
    stage: Stage,
}

impl Deref for Door {
    type Target = Stage;
    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl Door {
    fn new(keeper: Arc<dyn Doorkeeper>) -> Self {
        Self { stage: Stage::new(keeper.clone()), keeper }
    }

    async fn ask(&self, attempt: Attempt, limits: Limits) -> Admission {
        self.keeper.admit(attempt, limits).await.unwrap()
    }

    /// How many of so many are admitted, one after the other.
    async fn admitted(&self, times: u32, attempt: Attempt, limits: Limits) -> u32 {
        let mut admitted = 0;
        for _ in 0..times {
            admitted += u32::from(self.ask(attempt, limits).await == Admission::Admitted);
        }
        admitted
    }

    /// Declines of the order's live payment, so long ago each.
    async fn declined(&self, order: &Order, payment: PaymentId, ago: &[i64]) {
        let mut changes = self.request();
        changes.declines = ago
            .iter()
            .map(|seconds| {
                let refusal =
                    builders::refusal(&format!("ch_{}", new_id::<paywright_domain::kind::Job>(self.now)));
                let at = self.stage.now - Duration::seconds(*seconds);
                Decline { order: order.id, payment, refusal: Refusal { at, ..refusal } }
            })
            .collect();
        self.stage.now(changes).await;
    }
}

fn network(text: &str) -> Network {
    text.parse::<IpAddr>().unwrap().into()
}

fn quota(text: &str) -> Option<Quota> {
    Some(text.parse().unwrap())
}

/// Somebody at an address of their own who wants to pay an order that is nowhere.
fn attempt() -> Attempt {
    Attempt { mode: Mode::Test, order: somewhere(), network: Some(network("192.0.2.1")), key: None }
}

fn somewhere() -> OrderId {
    new_id(time::OffsetDateTime::UNIX_EPOCH)
}

/// A whole quota at once, then none until the time that was told.
///
/// Covers: fault 121, S-4.
pub async fn a_quota_is_used_up_and_comes_back(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let limits = Limits { payments_per_address: quota("4/6s"), ..Limits::default() };
    assert_eq!(door.admitted(9, attempt(), limits).await, 4);
    let Admission::Refused { rule, wait } = door.ask(attempt(), limits).await else { panic!("admitted") };
    assert_eq!(rule, Rule::PaymentsPerAddress);
    assert!(wait.is_positive() && wait <= Duration::milliseconds(1500), "{wait}");
    pause(wait).await;
    assert_eq!(door.ask(attempt(), limits).await, Admission::Admitted, "after the time that was told");
    assert_eq!(door.admitted(3, attempt(), limits).await, 0, "one came back, not all");
}

/// What one uses up, the others still have.
///
/// Covers: fault 121.
pub async fn each_network_customer_and_key_has_its_own(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let per_address = Limits { payments_per_address: quota("2/1h"), ..Limits::default() };
    let from = |text: &str| Attempt { network: Some(network(text)), ..attempt() };
    for (address, admitted) in
        [("192.0.2.1", 2), ("192.0.2.2", 2), ("2001:db8::1", 2), ("2001:db8::2", 0), ("2001:db8:0:1::1", 2)]
    {
        assert_eq!(door.admitted(3, from(address), per_address).await, admitted, "{address}");
    }
    let unknown = Attempt { network: None, ..attempt() };
    assert_eq!(
        door.admitted(3, unknown, per_address).await,
        3,
        "an address that is not known is not counted"
    );

    let per_key = Limits { payments_per_key: quota("2/1h"), ..Limits::default() };
    let (one, other): (ApiKeyId, ApiKeyId) = (new_id(door.stage.now), new_id(door.stage.now));
    for (key, admitted) in [(Some(one), 2), (Some(other), 2), (None, 3)] {
        assert_eq!(door.admitted(3, Attempt { key, ..attempt() }, per_key).await, admitted);
    }

    let per_customer = Limits { payments_per_customer: quota("2/1h"), ..Limits::default() };
    let (ada, bob) = (door.known(builders::customer()).await, door.known(builders::customer()).await);
    let mut orders = Vec::new();
    for customer in [&ada, &ada, &bob] {
        let draft = door.draft().await.customer(customer);
        orders.push(door.place(draft).await.id);
    }
    orders.push(door.placed().await.id);
    for (order, admitted) in orders.into_iter().zip([2, 0, 2, 3]) {
        assert_eq!(door.admitted(3, Attempt { order, ..attempt() }, per_customer).await, admitted);
    }
}

/// Covers: S-1.
pub async fn modes_are_counted_apart(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let limits = Limits { payments_per_address: quota("1/1h"), ..Limits::default() };
    for mode in [Mode::Test, Mode::Live] {
        assert_eq!(door.admitted(2, Attempt { mode, ..attempt() }, limits).await, 1, "{mode}");
    }
}

/// However many ask in the same moment, and under whatever other limits they are.
///
/// Covers: fault 121, I34.
pub async fn of_many_at_once_no_more_are_admitted_than_there_is_room(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let shared = quota("7/1h");
    let key: ApiKeyId = new_id(door.stage.now);
    let verdicts =
        at_once(
            (0..80_u32).map(|n| {
                let (door, order) = (door.clone(), somewhere());
                // Some ask under a second rule too, which has room for three of them.
                let second = if n % 2 == 0 { quota("3/1h") } else { None };
                let limits =
                    Limits { payments_per_address: shared, payments_per_key: second, ..Limits::default() };
                async move {
                    door.keeper.admit(Attempt { order, key: Some(key), ..attempt() }, limits).await.unwrap()
                }
            }),
        );
    let admitted = verdicts.await.into_iter().filter(|verdict| *verdict == Admission::Admitted).count();
    assert!(admitted <= 7, "{admitted} came through");
    let limits = Limits { payments_per_address: shared, ..Limits::default() };
    let later = door.admitted(9, attempt(), limits).await as usize;
    assert_eq!(admitted + later, 7, "what was not used is still there");
}

/// A refusal by one rule takes nothing from the others, however often it comes.
///
/// Covers: fault 121.
pub async fn who_is_refused_uses_up_nothing(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let key: ApiKeyId = new_id(door.stage.now);
    let limits =
        Limits { payments_per_address: quota("2/1h"), payments_per_key: quota("5/1h"), ..Limits::default() };
    let by_key = |text: &str| Attempt { key: Some(key), network: Some(network(text)), ..attempt() };
    assert_eq!(door.admitted(20, by_key("192.0.2.1"), limits).await, 2);
    assert_eq!(door.admitted(20, by_key("192.0.2.2"), limits).await, 2);
    assert_eq!(door.admitted(20, by_key("192.0.2.3"), limits).await, 1, "five under the key, and no less");
    assert_eq!(door.admitted(20, Attempt { key: None, ..by_key("192.0.2.3") }, limits).await, 1);
}

/// Payments of the time of the quota, and no others.
///
/// Covers: fault 121.
pub async fn payments_of_an_order_are_counted(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let limits = Limits { payments_per_order: quota("1/1h"), ..Limits::default() };
    let (untouched, (order, _)) = (door.placed().await, door.started().await);
    let of = |order: &Order| Attempt { order: order.id, ..attempt() };
    assert_eq!(door.admitted(5, of(&untouched), limits).await, 5, "an attempt is no payment yet");
    let Admission::Refused { rule, wait } = door.ask(of(&order), limits).await else { panic!("admitted") };
    assert_eq!(rule, Rule::PaymentsPerOrder);
    assert!(wait > Duration::minutes(59) && wait <= Duration::HOUR, "{wait}");
    let two = Limits { payments_per_order: quota("2/1h"), ..Limits::default() };
    assert_eq!(door.admitted(5, of(&order), two).await, 5);
    let soon_over = Limits { payments_per_order: quota("1/1s"), ..Limits::default() };
    soon("the payment is out of the time", || async {
        (door.ask(of(&order), soon_over).await == Admission::Admitted).then_some(())
    })
    .await;
}

/// Each decline counts for its whole time: for the order, for the other orders of its customer, and for those who try from
/// where it was tried.
///
/// Covers: fault 121, S-4.
pub async fn declines_count_for_order_customer_and_network(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let ada = door.known(builders::customer()).await;
    let placed = async || door.place(door.draft().await.customer(&ada)).await;
    let (order, other, foreign) = (placed().await, placed().await, door.placed().await);
    let started = order.step(OrderEvent::PaymentStarted);
    let birth = builders::payment(started.after()).started();
    let payment = birth.after().id;
    let of = |order: &Order, address: &str| Attempt {
        order: order.id,
        network: Some(network(address)),
        ..attempt()
    };
    let only = |rule, quota: &str| {
        let (mut limits, quota) = (Limits::default(), self::quota(quota));
        match rule {
            Rule::DeclinesPerOrder => limits.declines_per_order = quota,
            Rule::DeclinesPerCustomer => limits.declines_per_customer = quota,
            _ => limits.declines_per_address = quota,
        }
        limits
    };
    // It was tried from there.
    assert_eq!(
        door.ask(of(&order, "192.0.2.1"), only(Rule::DeclinesPerAddress, "3/1h")).await,
        Admission::Admitted
    );
    door.stage.now(door.request().step(started).step(birth)).await;
    door.declined(&order, payment, &[4_000, 600, 300, 10]).await;
    for rule in [Rule::DeclinesPerOrder, Rule::DeclinesPerCustomer, Rule::DeclinesPerAddress] {
        let limits = only(rule, "3/1h");
        let said = [
            door.ask(of(&order, "192.0.2.1"), limits).await,
            door.ask(of(&other, "192.0.2.2"), limits).await,
            door.ask(of(&foreign, "192.0.2.1"), limits).await,
            door.ask(of(&foreign, "192.0.2.3"), limits).await,
        ];
        let refused: Vec<_> = said.iter().map(|verdict| *verdict != Admission::Admitted).collect();
        let expected = match rule {
            Rule::DeclinesPerOrder => [true, false, false, false],
            Rule::DeclinesPerCustomer => [true, true, false, false],
            _ => [true, false, true, false],
        };
        assert_eq!(refused, expected, "{rule}");
        let Admission::Refused { rule: said, wait } = said[0] else { panic!("admitted") };
        assert_eq!(said, rule);
        let expected = Duration::seconds(3_600 - 600);
        assert!(wait <= expected && wait > expected - Duration::MINUTE, "until the third is out: {wait}");
        for enough in ["4/1h", "3/5m", "2/60s"] {
            let verdict = door.ask(of(&order, "192.0.2.1"), only(rule, enough)).await;
            assert_eq!(verdict, Admission::Admitted, "{rule} {enough}");
        }
    }
}

/// Of two rules that refuse, the one with the longer wait is told: after it both are content.
///
/// Covers: fault 121.
pub async fn the_longest_wait_is_told(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let key = Some(new_id(door.stage.now));
    let limits =
        Limits { payments_per_address: quota("1/1h"), payments_per_key: quota("1/2h"), ..Limits::default() };
    let asked = Attempt { key, ..attempt() };
    assert_eq!(door.ask(asked, limits).await, Admission::Admitted);
    let Admission::Refused { rule, wait } = door.ask(asked, limits).await else { panic!("admitted") };
    assert_eq!(rule, Rule::PaymentsPerKey);
    assert!(wait > Duration::minutes(119), "{wait}");
}

/// Covers: fault 121.
pub async fn without_quotas_everybody_is_admitted(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    assert_eq!(door.admitted(50, attempt(), Limits::default()).await, 50);
}

/// Covers: fault 130.
pub async fn bad_keys_are_counted_by_network(keeper: Arc<dyn Doorkeeper>) {
    let few = quota("3/1h").unwrap();
    let (here, there) = (network("192.0.2.1"), network("192.0.2.2"));
    for times in 0..6 {
        let verdict = keeper.bad_key(here, few).await.unwrap();
        assert_eq!(verdict == Admission::Admitted, times < 3, "{verdict:?}");
        if let Admission::Refused { rule, wait } = verdict {
            assert_eq!(rule, Rule::BadKeysPerAddress);
            assert!(wait > Duration::minutes(19) && wait <= Duration::minutes(20), "{wait}");
        }
    }
    assert_eq!(keeper.bad_key(there, few).await.unwrap(), Admission::Admitted);
    let quick = quota("1/1s").unwrap();
    let third = network("192.0.2.3");
    assert_eq!(keeper.bad_key(third, quick).await.unwrap(), Admission::Admitted);
    let Admission::Refused { wait, .. } = keeper.bad_key(third, quick).await.unwrap() else {
        panic!("admitted")
    };
    pause(wait).await;
    assert_eq!(
        keeper.bad_key(third, quick).await.unwrap(),
        Admission::Admitted,
        "after the time that was told"
    );
    let all = at_once((0..40).map(|_| {
        let keeper = keeper.clone();
        async move { keeper.bad_key(network("192.0.2.4"), "5/1h".parse().unwrap()).await }
    }));
    let outcomes: Result<Vec<_>, StoreError> = all.await.into_iter().collect();
    let admitted = outcomes.unwrap().into_iter().filter(|verdict| *verdict == Admission::Admitted).count();
    assert_eq!(admitted, 5);
}

/// Declines and payments that brought money, of the mode and the time.
///
/// Covers: fault 121.
pub async fn what_became_of_attempts_is_told(keeper: Arc<dyn Doorkeeper>) {
    let door = Door::new(keeper);
    let breaker = Breaker { declines: "4/10m".parse().unwrap(), percent: 50 };
    let lately = async |mode| door.keeper.lately(mode, breaker).await.unwrap();
    assert_eq!(lately(Mode::Test).await, Lately::default());
    let (order, payment) = door.started().await;
    door.declined(&order, payment.id, &[700, 400, 200, 5]).await;
    door.paid().await;
    let (_, held) = door.started().await;
    let hold = Sighting { intent: Some(builders::intent_id()), ..builders::seen(Standing::Processing) };
    door.hear(&held, PaymentEvent::Seen(hold)).await;
    let told = lately(Mode::Test).await;
    assert_eq!((told.declined, told.paid), (3, 2), "{told:?}");
    // Two are few: that is when the newest but two is out.
    let expected = Duration::seconds(600 - 400);
    assert!(told.few_in <= expected && told.few_in > expected - Duration::MINUTE, "{told:?}");
    assert_eq!(lately(Mode::Live).await, Lately::default());
}
