//! Invoices, their lines and their payments as Stripe shows them.

use serde_json::{Value, json};

use super::{Invoice, InvoiceLine, InvoicePayment, InvoiceStatus};
use crate::model::list;
use crate::model::world::World;

impl InvoicePayment {
    pub fn render(&self, livemode: bool) -> Value {
        let status = match (self.paid_at, self.canceled_at) {
            (Some(_), _) => "paid",
            (None, Some(_)) => "canceled",
            (None, None) => "open",
        };
        json!({
            "id": self.id,
            "object": "invoice_payment",
            "amount_paid": self.paid_at.map(|_| self.amount),
            "amount_requested": self.amount,
            "created": self.created,
            "currency": self.currency,
            "invoice": self.invoice,
            "is_default": true,
            "livemode": livemode,
            "payment": {"payment_intent": self.payment_intent, "type": "payment_intent"},
            "status": status,
            "status_transitions": {"canceled_at": self.canceled_at, "paid_at": self.paid_at},
        })
    }
}

impl InvoiceLine {
    fn render(&self, invoice: &Invoice, livemode: bool) -> Value {
        json!({
            "id": self.id,
            "object": "line_item",
            "amount": self.amount,
            "currency": invoice.currency,
            "description": self.description,
            "discount_amounts": [],
            "discountable": true,
            "discounts": [],
            "invoice": invoice.id,
            "livemode": livemode,
            "metadata": {},
            "parent": {
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": null,
                    "proration": false,
                    "proration_details": {"credited_items": null},
                    "subscription": invoice.subscription,
                    "subscription_item": self.item,
                },
                "type": "subscription_item_details",
            },
            "period": {"end": self.end, "start": self.start},
            "pretax_credit_amounts": [],
            "pricing": {
                "price_details": {"price": self.price, "product": self.product},
                "type": "price_details",
                "unit_amount_decimal": self.unit_amount.to_string(),
            },
            "quantity": self.quantity,
            "quantity_decimal": self.quantity.to_string(),
            "subscription": invoice.subscription,
            "subtotal": self.amount,
            "taxes": [],
        })
    }
}

impl Invoice {
    pub fn render(&self, world: &World) -> Value {
        let (total, livemode) = (self.total(), world.livemode);
        let customer = world.customers.get(&self.customer);
        let lines: Vec<Value> = self.lines.iter().map(|line| line.render(self, livemode)).collect();
        json!({
            "id": self.id,
            "object": "invoice",
            "account_country": "US",
            "account_name": "Paywright Sandbox",
            "account_tax_ids": null,
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": self.amount_paid,
            "amount_remaining": total - self.amount_paid,
            "amount_shipping": 0,
            "application": null,
            "attempt_count": self.attempts,
            "attempted": self.attempts > 0,
            "auto_advance": matches!(self.status, InvoiceStatus::Draft | InvoiceStatus::Open),
            "automatic_tax": {"disabled_reason": null, "enabled": false, "liability": null, "provider": null, "status": null},
            "automatically_finalizes_at": self.finalizes_at,
            "billing_reason": self.billing_reason,
            "collection_method": "charge_automatically",
            "created": self.created,
            "currency": self.currency,
            "custom_fields": null,
            "customer": self.customer,
            "customer_account": null,
            "customer_address": null,
            "customer_email": customer.and_then(|customer| customer.email.as_ref()),
            "customer_name": customer.and_then(|customer| customer.name.as_ref()),
            "customer_phone": null,
            "customer_shipping": null,
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": null,
            "default_source": null,
            "default_tax_rates": [],
            "description": null,
            "discounts": [],
            "due_date": null,
            "effective_at": self.finalized_at,
            "ending_balance": self.finalized_at.map(|_| 0),
            "footer": null,
            "from_invoice": null,
            "hosted_invoice_url": null,
            "invoice_pdf": null,
            "issuer": {"type": "self"},
            "last_finalization_error": null,
            "latest_revision": null,
            "lines": list::of(lines, false, &format!("/v1/invoices/{}/lines", self.id)),
            "livemode": livemode,
            "metadata": self.metadata.to_value(),
            "next_payment_attempt": self.next_attempt,
            "number": self.number,
            "on_behalf_of": null,
            "parent": {
                "quote_details": null,
                "subscription_details": {"metadata": {}, "subscription": self.subscription},
                "type": "subscription_details",
            },
            "payment_settings": {"default_mandate": null, "payment_method_options": null, "payment_method_types": null},
            "period_end": self.period_end,
            "period_start": self.period_start,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": null,
            "rendering": null,
            "shipping_cost": null,
            "shipping_details": null,
            "starting_balance": 0,
            "statement_descriptor": null,
            "status": self.status,
            "status_transitions": {
                "finalized_at": self.finalized_at,
                "marked_uncollectible_at": null,
                "paid_at": self.paid_at,
                "voided_at": self.voided_at,
            },
            "subtotal": total,
            "subtotal_excluding_tax": total,
            "test_clock": null,
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": total,
            "total_pretax_credit_amounts": [],
            "total_taxes": [],
            "webhooks_delivered_at": self.finalized_at,
        })
    }
}
