//! Payouts, other shops on the same account, and movements that nothing tells of.

use paywright_domain::{
    BalanceTransaction, CaptureMethod, Currency, IntentId, Money, PaymentId, PayoutId, TransactionId,
    ports::{BookEntry, Payout},
};
use time::Duration;

use super::{FakeGateway, archive::entry};

/// How long a payout is on its way.
const ARRIVES_AFTER: Duration = Duration::days(2);

/// What the gateway does with its balance.
///
/// # Panics
/// Each when there is no such object, or nothing to pay out: the test is wrong.
impl FakeGateway {
    /// So many rows of a list come at once.
    pub fn paged_by(&self, rows: usize) {
        self.model().page = rows;
    }

    /// Everything in this currency that was not paid out before goes to the bank, and is there at once.
    pub fn pay_out(&self, currency: Currency) -> PayoutId {
        let (mut model, now) = (self.model(), self.now());
        let paid = |entry: &BookEntry| model.payouts.iter().any(|(_, entries)| entries.contains(entry));
        let mut entries = model.entries();
        entries.retain(|entry| entry.moved.currency == currency && !paid(entry));
        let net: i64 = entries.iter().map(|entry| entry.moved.amount - entry.moved.fee).sum();
        assert_ne!(net, 0, "nothing to pay out");
        let id: PayoutId = model.name("po").try_into().unwrap();
        let moved = BalanceTransaction {
            id: model.name("txn").try_into().unwrap(),
            amount: -net,
            fee: 0,
            currency,
            at: now,
        };
        entries.push(BookEntry { payout: Some(id.clone()), ..entry("payout", id.as_str(), &moved) });
        let payout = Payout {
            id: id.clone(),
            amount: Money::from_minor(net.unsigned_abs(), currency).unwrap(),
            taken: net < 0,
            status: "paid".to_owned(),
            automatic: true,
            created_at: now,
            arrives_at: now + ARRIVES_AFTER,
        };
        model.payouts.push((payout, entries));
        id
    }

    /// Somebody changes a payout, as the real gateway never would.
    pub fn change_payout(&self, id: &PayoutId, change: impl FnOnce(&mut Payout)) {
        let mut model = self.model();
        let payout = model.payouts.iter_mut().find(|(payout, _)| payout.id == *id);
        change(&mut payout.expect("no such payout").0);
    }

    /// The balance moves, on account of an intent or of nothing that we have, and no message tells of it.
    pub fn move_balance(&self, kind: &str, amount: Money, intent: Option<&IntentId>) -> TransactionId {
        let (mut model, now) = (self.model(), self.now());
        let moved = model.moved(amount, 1, now);
        let source = intent.map_or("acct_1", IntentId::as_str);
        let stray = BookEntry { intent: intent.cloned(), ..entry(kind, source, &moved) };
        model.strays.push(stray);
        moved.id
    }

    /// Another shop on the same account takes money.
    pub fn foreign_payment(&self, amount: Money) -> IntentId {
        let (mut model, now) = (self.model(), self.now());
        let nobody = PaymentId::from_parts(now, &[0xff; 10]);
        let id = model.new_intent(nobody, amount, CaptureMethod::Automatic, None, now).id;
        model.intent_mut(&id).unwrap().foreign = true;
        model.take(&id, amount.minor(), now);
        model.tell_intent("payment_intent.succeeded", &id, now);
        id
    }
}
