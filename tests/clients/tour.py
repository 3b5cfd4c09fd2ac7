"""Stripe's Python client over every resource of the sandbox."""

import json
import os
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import stripe

URL = os.environ["SANDBOX_URL"]
client = stripe.StripeClient(
    "sk_test_python", base_addresses={"api": URL}, stripe_version="2026-07-29.dahlia", max_network_retries=0
)
v1 = client.v1


def control(path, body):
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), method="POST")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Receiver(BaseHTTPRequestHandler):
    received = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((body, self.headers["Stripe-Signature"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def refused(work, error, code=None):
    try:
        work()
    except error as problem:
        assert code is None or problem.code == code, problem.code
        return problem
    raise AssertionError(f"expected {error.__name__}")


def payments():
    intent = v1.payment_intents.create({"amount": 1999, "currency": "eur", "metadata": {"order": "1"}})
    assert intent.status == "requires_payment_method" and intent.metadata["order"] == "1"
    declined = lambda: v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa_chargeDeclined"})
    assert refused(declined, stripe.CardError, "card_declined").error.decline_code == "generic_decline"
    paid = v1.payment_intents.confirm(
        intent.id, {"payment_method": "pm_card_visa", "expand": ["latest_charge", "payment_method"]}
    )
    assert paid.status == "succeeded" and paid.latest_charge.paid and paid.payment_method.card.last4 == "4242"
    held = v1.payment_intents.create(
        {"amount": 1000, "currency": "usd", "confirm": True, "capture_method": "manual", "payment_method": "pm_card_visa"}
    )
    assert v1.payment_intents.capture(held.id, {"amount_to_capture": 400}).amount_received == 400
    open_ = v1.payment_intents.create({"amount": 500, "currency": "usd"})
    v1.payment_intents.update(open_.id, {"amount": 600})
    assert v1.payment_intents.cancel(open_.id).status == "canceled"
    assert len(v1.payment_intents.list({"limit": 1}).data) == 1
    ids = [one.id for one in v1.payment_intents.list({"limit": 1}).auto_paging_iter()]
    assert len(ids) == len(set(ids)) == 3, ids
    refused(lambda: v1.payment_intents.retrieve("pi_none"), stripe.InvalidRequestError, "resource_missing")
    refund = v1.refunds.create({"payment_intent": paid.id, "amount": 500, "reason": "duplicate"})
    assert refund.status == "succeeded" and v1.refunds.retrieve(refund.id).id == refund.id
    assert v1.charges.retrieve(paid.latest_charge.id, {"expand": ["refunds"]}).refunds.data[0].id == refund.id
    return paid


def idempotency():
    send = lambda amount: v1.payment_intents.create(
        {"amount": amount, "currency": "usd"}, {"idempotency_key": "python-1"}
    )
    first, again = send(700), send(700)
    assert first.id == again.id and again.last_response.headers["idempotent-replayed"] == "true"
    refused(lambda: send(800), stripe.IdempotencyError)
    wrong = stripe.StripeClient("sk_nonsense", base_addresses={"api": URL})
    refused(lambda: wrong.v1.balance.retrieve(), stripe.AuthenticationError)


def checkout():
    session = v1.checkout.sessions.create(
        {
            "mode": "payment",
            "success_url": "https://shop.example/{CHECKOUT_SESSION_ID}",
            "line_items": [
                {"price_data": {"currency": "usd", "unit_amount": 900, "product_data": {"name": "Tea"}}, "quantity": 2}
            ],
            "payment_intent_data": {"metadata": {"order": "2"}},
        }
    )
    assert session.amount_total == 1800 and session.payment_intent is None
    assert v1.checkout.sessions.line_items.list(session.id).data[0].description == "Tea"
    status, paid = control(f"/_sandbox/checkout/sessions/{session.id}/pay", {"card": "4242424242424242"})
    assert status == 200 and paid["payment_status"] == "paid", paid
    done = v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent", "line_items"]})
    assert done.payment_intent.metadata["order"] == "2" and done.url is None
    refused(lambda: v1.checkout.sessions.expire(session.id), stripe.InvalidRequestError)
    saved = v1.checkout.sessions.create({"mode": "setup", "currency": "usd", "success_url": "https://shop.example/"})
    assert v1.checkout.sessions.expire(saved.id).status == "expired"
    assert {one.id for one in v1.checkout.sessions.list().data} == {session.id, saved.id}


def customers_and_subscriptions():
    customer = v1.customers.create({"email": "a@example.com", "metadata": {"a": "1"}})
    method = v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    assert v1.customers.payment_methods.list(customer.id).data[0].id == method.id
    product = v1.products.create({"name": "Club"})
    price = v1.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 1500, "recurring": {"interval": "month"}}
    )
    subscription = v1.subscriptions.create(
        {"customer": customer.id, "items": [{"price": price.id}], "expand": ["latest_invoice.payments"]}
    )
    assert subscription.status == "active", subscription.status
    invoice = subscription.latest_invoice
    assert invoice.status == "paid" and invoice.payments.data[0].status == "paid"
    payment = v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    assert payment.payment.payment_intent.startswith("pi_")
    item = subscription["items"].data[0]
    v1.subscriptions.update(subscription.id, {"items": [{"id": item.id, "quantity": 3}]})
    assert v1.subscriptions.cancel(subscription.id).status == "canceled"
    setup = v1.setup_intents.create({"customer": customer.id, "confirm": True, "payment_method": "pm_card_visa"})
    assert setup.status == "succeeded"
    assert v1.billing_portal.sessions.create({"customer": customer.id}).url.startswith("http")
    assert v1.customers.delete(customer.id).deleted


def authorizations():
    held = v1.payment_intents.create(
        {"amount": 1000, "currency": "usd", "confirm": True, "capture_method": "manual", "payment_method": "pm_card_visa"}
    )
    assert v1.payment_intents.increment_authorization(held.id, {"amount": 1500}).amount_capturable == 1500
    paid = v1.payment_intents.capture(held.id)
    charge = v1.charges.list({"payment_intent": paid.id}).data[0]
    assert charge.amount_captured == 1500
    refund = v1.refunds.create({"charge": charge.id, "amount": 100})
    assert v1.refunds.update(refund.id, {"metadata": {"a": "1"}}).metadata["a"] == "1"
    refused(lambda: v1.refunds.cancel(refund.id), stripe.InvalidRequestError)
    assert v1.refunds.list({"charge": charge.id}).data[0].id == refund.id
    refused(lambda: v1.refunds.create({"charge": charge.id, "amount": 5000}), stripe.InvalidRequestError)


def setup_intents():
    intent = v1.setup_intents.create({"description": "for later"})
    assert v1.setup_intents.update(intent.id, {"metadata": {"a": "1"}}).metadata["a"] == "1"
    assert v1.setup_intents.confirm(intent.id, {"payment_method": "pm_card_visa"}).status == "succeeded"
    other = v1.setup_intents.create()
    assert v1.setup_intents.cancel(other.id).status == "canceled"
    assert v1.setup_intents.retrieve(intent.id).status == "succeeded"
    assert v1.setup_intents.list({"limit": 1}).data[0].id == other.id


def catalogue():
    product = v1.products.create({"name": "Tea", "metadata": {"a": "1"}})
    price = v1.prices.create({"product": product.id, "currency": "eur", "unit_amount": 900})
    assert v1.products.update(product.id, {"name": "Green tea"}).name == "Green tea"
    assert v1.prices.update(price.id, {"nickname": "bag"}).nickname == "bag"
    assert v1.products.retrieve(product.id).name == "Green tea" and v1.prices.retrieve(price.id).nickname == "bag"
    assert product.id in {one.id for one in v1.products.list().data}
    assert [one.id for one in v1.prices.list({"product": product.id}).data] == [price.id]
    plain = v1.products.create({"name": "Nothing"})
    assert v1.products.delete(plain.id).deleted


def customers():
    customer = v1.customers.create({"name": "A"})
    assert v1.customers.retrieve(customer.id).name == "A" and v1.customers.list().data[0].id == customer.id
    method = v1.payment_methods.attach("pm_card_mastercard", {"customer": customer.id})
    assert v1.payment_methods.retrieve(method.id).card.brand == "mastercard"
    assert v1.payment_methods.list({"customer": customer.id, "type": "card"}).data[0].id == method.id
    assert v1.payment_methods.detach(method.id).customer is None
    refused(lambda: v1.payment_methods.attach("pm_card_chargeDeclined", {"customer": customer.id}), stripe.CardError)


def invoices():
    customer = v1.customers.create({"email": "i@example.com"})
    product = v1.products.create({"name": "Club"})
    monthly = {"currency": "usd", "unit_amount": 700, "recurring": {"interval": "month"}, "product": product.id}
    subscription = v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price_data": monthly}],
            "payment_behavior": "default_incomplete",
            "expand": ["latest_invoice.confirmation_secret"],
        }
    )
    invoice = subscription.latest_invoice
    assert subscription.status == "incomplete" and invoice.confirmation_secret.client_secret
    refused(lambda: v1.invoices.finalize_invoice(invoice.id), stripe.InvalidRequestError)
    assert v1.invoices.pay(invoice.id, {"payment_method": "pm_card_visa"}).status == "paid"
    assert v1.invoices.retrieve(invoice.id).amount_paid == 700
    assert v1.invoices.list({"subscription": subscription.id}).data[0].id == invoice.id
    payment = v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    assert v1.invoice_payments.retrieve(payment.id).status == "paid"
    assert v1.subscriptions.retrieve(subscription.id).status == "active"
    assert v1.subscriptions.list({"customer": customer.id}).data[0].id == subscription.id


def portal():
    configuration = v1.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
    changed = v1.billing_portal.configurations.update(configuration.id, {"default_return_url": "https://shop.example/"})
    assert changed.default_return_url == "https://shop.example/"
    assert v1.billing_portal.configurations.retrieve(configuration.id).id == configuration.id
    assert configuration.id in {one.id for one in v1.billing_portal.configurations.list().data}


def money():
    disputed = v1.payment_intents.create(
        {"amount": 2000, "currency": "usd", "confirm": True, "payment_method": "pm_card_createDispute"}
    )
    dispute = v1.disputes.list({"payment_intent": disputed.id}).data[0]
    assert dispute.status == "needs_response"
    v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    control("/_sandbox/clock", {"advance": "60s"})
    assert v1.disputes.retrieve(dispute.id).status == "won"
    refused(lambda: v1.disputes.close(dispute.id), stripe.InvalidRequestError)
    other = v1.payment_intents.create(
        {"amount": 2000, "currency": "usd", "confirm": True, "payment_method": "pm_card_createDispute"}
    )
    assert v1.disputes.close(v1.disputes.list({"payment_intent": other.id}).data[0].id).status == "lost"
    rich = {"amount": 9000, "currency": "usd", "confirm": True, "payment_method": "pm_card_bypassPending"}
    v1.payment_intents.create(rich)
    control("/_sandbox/clock", {"advance": "5s"})
    row = v1.balance_transactions.list({"type": "charge"}).data[0]
    assert v1.balance_transactions.retrieve(row.id).net == row.amount - row.fee
    by_hand = v1.payouts.create({"amount": 100, "currency": "usd"})
    assert v1.payouts.retrieve(by_hand.id).status == "pending"
    assert v1.payouts.cancel(by_hand.id).status == "canceled"
    control("/_sandbox/clock", {"advance": "96h"})
    payout = next(one for one in v1.payouts.list().data if one.automatic and one.currency == "usd")
    rows = v1.balance_transactions.list({"payout": payout.id, "limit": 100}).data
    assert sum(row.net for row in rows if row.type != "payout") == payout.amount
    assert v1.balance.retrieve().available and v1.accounts.retrieve_current().id.startswith("acct_")


def webhooks(server):
    endpoint = v1.webhook_endpoints.create(
        {"url": f"http://127.0.0.1:{server.server_port}/", "enabled_events": ["payment_intent.succeeded"]}
    )
    v1.payment_intents.create({"amount": 1000, "currency": "usd", "confirm": True, "payment_method": "pm_card_visa"})
    for _ in range(100):
        if Receiver.received:
            break
        threading.Event().wait(0.05)
    body, signature = Receiver.received[0]
    event = stripe.Webhook.construct_event(body, signature, endpoint.secret)
    assert event.type == "payment_intent.succeeded" and event.data.object.amount == 1000
    refused(
        lambda: stripe.Webhook.construct_event(body + b" ", signature, endpoint.secret),
        stripe.SignatureVerificationError,
    )
    assert v1.events.retrieve(event.id).id == event.id
    assert event.id in {one.id for one in v1.events.list({"type": "payment_intent.*", "delivery_success": True}).data}
    assert "secret" not in v1.webhook_endpoints.retrieve(endpoint.id).to_dict()
    assert v1.webhook_endpoints.list().data[0].id == endpoint.id
    assert v1.webhook_endpoints.update(endpoint.id, {"disabled": True}).status == "disabled"
    assert v1.webhook_endpoints.delete(endpoint.id).deleted


def main():
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    webhooks(server)
    control("/_sandbox/reset", {})
    payments()
    idempotency()
    checkout()
    customers_and_subscriptions()
    for part in (authorizations, setup_intents, catalogue, customers, invoices, portal):
        part()
    money()
    print(f"stripe-python {stripe.VERSION}: all is well")


main()
