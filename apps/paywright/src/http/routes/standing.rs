//! How an order stands, in words that a customer understands.

use paywright_domain::{Money, OrderState, Payment, PaymentState, ports::OrderView};

/// What the page says of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Names the standing for scripts and styles.
    pub(super) name: &'static str,
    pub(super) headline: &'static str,
    pub(super) text: String,
    pub(super) can_pay: bool,
    /// Whether the page no longer changes by itself within a moment.
    pub(super) settled: bool,
}

impl Standing {
    pub(super) fn of(view: &OrderView) -> Self {
        let order = &view.order;
        match order.state {
            OrderState::Pending | OrderState::PaymentProcessing => Self::unpaid(view),
            OrderState::Authorized if order.cancellation.is_some() => {
                Self::moving("cancelling", "This order is being cancelled", "The reserved money is released.")
            }
            OrderState::Authorized if order.fulfillment_requested => Self::moving(
                "authorized",
                "Your payment is reserved",
                "It is being taken, as we begin to prepare your order.",
            ),
            OrderState::Authorized => Self::moving(
                "authorized",
                "Your payment is reserved",
                "Nothing was taken yet. It is taken when we begin to prepare your order.",
            ),
            OrderState::Paid => Self::paid(view, "paid", "Paid, thank you", "We are preparing your order."),
            OrderState::FulfillmentStarted => {
                Self::paid(view, "paid", "Paid, thank you", "Your order is being prepared.")
            }
            OrderState::Shipped => Self::paid(view, "shipped", "On its way", "Your order was shipped."),
            OrderState::Completed => Self::paid(view, "completed", "Completed", "Enjoy what you bought."),
            OrderState::Cancelled => Self::cancelled(view),
            OrderState::Refunded => Self::still(
                "refunded",
                "Refunded",
                "Your money was sent back. Banks take a few days to show it.".to_owned(),
            ),
        }
    }

    fn unpaid(view: &OrderView) -> Self {
        let underway = view
            .payments
            .iter()
            .any(|payment| matches!(payment.state, PaymentState::Processing | PaymentState::RequiresAction));
        if view.order.cancellation.is_some() {
            return Self::moving("cancelling", "This order is being cancelled", "Please do not pay it.");
        }
        let (name, headline, text) = if underway {
            let text = "This page updates by itself as soon as we know.";
            ("processing", "Your payment is being processed", text)
        } else {
            ("unpaid", "Not paid yet", "You pay on Stripe's secure page.")
        };
        Self { can_pay: true, ..Self::moving(name, headline, text) }
    }

    /// Paid; perhaps a part went back.
    fn paid(view: &OrderView, name: &'static str, headline: &'static str, text: &str) -> Self {
        let back = GivenBack::of(view);
        Self::still(name, headline, [text.to_owned(), back.words()].join(" ").trim_end().to_owned())
    }

    /// Perhaps after it was paid: then the money is on its way back.
    fn cancelled(view: &OrderView) -> Self {
        let back = GivenBack::of(view);
        let taken = view.payments.iter().any(|payment| !payment.captured.is_zero());
        let text = match (taken, back.is_anything()) {
            (false, _) => "This order was cancelled. Nothing was charged.".to_owned(),
            (true, true) => format!("This order was cancelled. {}", back.words()),
            (true, false) => {
                "This order was cancelled. We are looking after your money, and write to you.".to_owned()
            }
        };
        Self { settled: back.under_way.is_zero(), ..Self::still("cancelled", "Cancelled", text) }
    }

    fn still(name: &'static str, headline: &'static str, text: String) -> Self {
        Self { name, headline, text, can_pay: false, settled: true }
    }

    fn moving(name: &'static str, headline: &'static str, text: &str) -> Self {
        Self { settled: false, ..Self::still(name, headline, text.to_owned()) }
    }

    /// Changes whenever the page would.
    pub(super) fn tag(&self, view: &OrderView) -> String {
        let back = GivenBack::of(view);
        let (sent, under_way) = (back.sent.minor(), back.under_way.minor());
        format!("{}:{}:{sent}:{under_way}", self.name, view.declines.len())
    }
}

/// What the customer gets back.
struct GivenBack {
    sent: Money,
    under_way: Money,
}

impl GivenBack {
    fn of(view: &OrderView) -> Self {
        let sum = |amount: fn(&Payment) -> u64| {
            let minor = view.payments.iter().map(amount).sum();
            Money::from_minor(minor, view.order.total.currency()).unwrap_or(view.order.total)
        };
        Self {
            sent: sum(|payment| payment.returned.minor()),
            under_way: sum(|payment| payment.refunded.minor().saturating_sub(payment.returned.minor())),
        }
    }

    fn is_anything(&self) -> bool {
        !self.sent.is_zero() || !self.under_way.is_zero()
    }

    fn words(&self) -> String {
        let sent = format!("{} was sent back to you; banks take a few days to show it.", self.sent);
        let under_way = format!("{} is on its way back to you.", self.under_way);
        match (self.sent.is_zero(), self.under_way.is_zero()) {
            (true, true) => String::new(),
            (false, true) => sent,
            (true, false) => under_way,
            (false, false) => format!("{under_way} {sent}"),
        }
    }
}
