// Stripe's Node client over the sandbox.

import assert from "node:assert/strict";
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_CLIENT, "index.js"));
const Stripe = require("stripe").default ?? require("stripe");
const base = new URL(process.env.SANDBOX_URL);
const stripe = new Stripe("sk_test_node", {
  host: base.hostname, port: base.port, protocol: "http", apiVersion: "2026-07-29.dahlia", maxNetworkRetries: 2,
});

const control = async (path, body) => {
  const answer = await fetch(new URL(path, base), { method: "POST", body: JSON.stringify(body) });
  return [answer.status, await answer.json()];
};
const refused = (work, code) => assert.rejects(work, (error) => (assert.equal(error.code, code), true));

await control("/_sandbox/reset", {});

// Payments
const intent = await stripe.paymentIntents.create({ amount: 1999, currency: "eur", metadata: { order: "1" } });
await refused(stripe.paymentIntents.confirm(intent.id, { payment_method: "pm_card_visa_chargeDeclinedInsufficientFunds" }), "card_declined");
const paid = await stripe.paymentIntents.confirm(intent.id, { payment_method: "pm_card_visa", expand: ["latest_charge"] });
assert.equal(paid.status, "succeeded");
assert.equal(paid.latest_charge.amount_captured, 1999);
await refused(stripe.paymentIntents.cancel(intent.id), "payment_intent_unexpected_state");
await refused(stripe.paymentIntents.create({ amount: 10, currency: "usd" }), "amount_too_small");
for (let n = 0; n < 4; n++) await stripe.paymentIntents.create({ amount: 1000 + n, currency: "usd" });
const amounts = [];
for await (const one of stripe.paymentIntents.list({ limit: 2 })) amounts.push(one.amount);
assert.deepEqual(amounts, [1003, 1002, 1001, 1000, 1999]);
const refund = await stripe.refunds.create({ payment_intent: intent.id, amount: 999 });
assert.equal(refund.status, "succeeded");

// Retries after faults: one key, one charge
await control("/_sandbox/faults", { fault: "reset", effect: true, method: "POST", path: "/v1/payment_intents", times: 1 });
await stripe.paymentIntents.create({ amount: 7777, currency: "usd" });
const list = await stripe.paymentIntents.list({ limit: 100 });
assert.equal(list.data.filter((one) => one.amount === 7777).length, 1);
await control("/_sandbox/faults", { fault: "lock_timeout", method: "POST", times: 1 });
await stripe.paymentIntents.create({ amount: 8888, currency: "usd" });

// Checkout
const session = await stripe.checkout.sessions.create({
  mode: "payment", success_url: "https://shop.example/ok", customer_email: "a@example.com",
  line_items: [{ price_data: { currency: "usd", unit_amount: 500, product_data: { name: "Tea" } }, quantity: 3 }],
});
const [status] = await control(`/_sandbox/checkout/sessions/${session.id}/pay`, { card: "4000002760003184", authenticate: "complete" });
assert.equal(status, 200);
const done = await stripe.checkout.sessions.retrieve(session.id, { expand: ["line_items", "payment_intent.latest_charge"] });
assert.equal(done.payment_status, "paid");
assert.equal(done.line_items.data[0].amount_total, 1500);

// Subscriptions
const customer = await stripe.customers.create({ email: "b@example.com" });
const price = await stripe.prices.create({ currency: "usd", unit_amount: 900, recurring: { interval: "week" }, product_data: { name: "Club" } });
const subscription = await stripe.subscriptions.create({
  customer: customer.id, items: [{ price: price.id }], payment_behavior: "default_incomplete",
  payment_settings: { save_default_payment_method: "on_subscription" }, expand: ["latest_invoice.confirmation_secret"],
});
const secret = subscription.latest_invoice.confirmation_secret.client_secret;
await control(`/_sandbox/payment_intents/${secret.split("_secret_")[0]}/pay`, { card: "4242424242424242" });
await control("/_sandbox/clock", { advance: "170h" });
const renewed = await stripe.subscriptions.retrieve(subscription.id, { expand: ["latest_invoice"] });
assert.equal(renewed.status, "active");
assert.equal(renewed.latest_invoice.billing_reason, "subscription_cycle");
assert.equal(renewed.latest_invoice.status, "paid");

// Authorizations, charges and refunds
const held = await stripe.paymentIntents.create({
  amount: 1000, currency: "usd", confirm: true, capture_method: "manual", payment_method: "pm_card_mastercard",
});
assert.equal((await stripe.paymentIntents.update(held.id, { metadata: { a: "1" } })).metadata.a, "1");
assert.equal((await stripe.paymentIntents.incrementAuthorization(held.id, { amount: 1500 })).amount_capturable, 1500);
assert.equal((await stripe.paymentIntents.capture(held.id, { amount_to_capture: 1200 })).amount_received, 1200);
const [charge] = (await stripe.charges.list({ payment_intent: held.id })).data;
assert.equal((await stripe.charges.retrieve(charge.id)).amount_captured, 1200);
assert.equal((await stripe.paymentIntents.retrieve(held.id, { expand: ["latest_charge"] })).latest_charge.id, charge.id);
const back = await stripe.refunds.create({ charge: charge.id, amount: 100 }, { idempotencyKey: "node-refund" });
assert.equal((await stripe.refunds.create({ charge: charge.id, amount: 100 }, { idempotencyKey: "node-refund" })).id, back.id);
assert.equal((await stripe.refunds.update(back.id, { metadata: { a: "1" } })).metadata.a, "1");
assert.equal((await stripe.refunds.retrieve(back.id)).status, "succeeded");
assert.equal((await stripe.refunds.list({ charge: charge.id })).data.length, 1);
await assert.rejects(stripe.refunds.cancel(back.id), { type: "StripeInvalidRequestError" });

// SetupIntents
const setup = await stripe.setupIntents.create({ description: "for later" });
assert.equal((await stripe.setupIntents.update(setup.id, { metadata: { a: "1" } })).metadata.a, "1");
assert.equal((await stripe.setupIntents.confirm(setup.id, { payment_method: "pm_card_visa" })).status, "succeeded");
const unused = await stripe.setupIntents.create();
assert.equal((await stripe.setupIntents.cancel(unused.id)).status, "canceled");
assert.equal((await stripe.setupIntents.retrieve(setup.id)).status, "succeeded");
assert.equal((await stripe.setupIntents.list({ limit: 1 })).data[0].id, unused.id);

// Products, prices, customers and their payment methods
const product = await stripe.products.create({ name: "Tea" });
assert.equal((await stripe.products.update(product.id, { name: "Green tea" })).name, "Green tea");
const bag = await stripe.prices.create({ product: product.id, currency: "eur", unit_amount: 900 });
assert.equal((await stripe.prices.update(bag.id, { nickname: "bag" })).nickname, "bag");
assert.equal((await stripe.prices.retrieve(bag.id)).unit_amount, 900);
assert.equal((await stripe.prices.list({ product: product.id })).data.length, 1);
assert.equal((await stripe.products.retrieve(product.id)).name, "Green tea");
assert.ok((await stripe.products.list()).data.length > 0);
assert.ok((await stripe.products.del((await stripe.products.create({ name: "Nothing" })).id)).deleted);
const other = await stripe.customers.create({ name: "D" });
assert.equal((await stripe.customers.update(other.id, { email: "d@example.com" })).email, "d@example.com");
assert.equal((await stripe.customers.retrieve(other.id)).name, "D");
assert.equal((await stripe.customers.list({ email: "d@example.com" })).data[0].id, other.id);
const method = await stripe.paymentMethods.attach("pm_card_visa", { customer: other.id });
assert.equal((await stripe.paymentMethods.retrieve(method.id)).card.last4, "4242");
assert.equal((await stripe.paymentMethods.list({ customer: other.id, type: "card" })).data.length, 1);
assert.equal((await stripe.customers.listPaymentMethods(other.id)).data[0].id, method.id);
assert.equal((await stripe.paymentMethods.detach(method.id)).customer, null);
assert.ok((await stripe.customers.del(other.id)).deleted);

// Invoices, their payments, the portal
const [item] = renewed.items.data;
assert.equal((await stripe.subscriptions.update(renewed.id, { items: [{ id: item.id, quantity: 2 }] })).items.data[0].quantity, 2);
assert.equal((await stripe.subscriptions.list({ customer: customer.id })).data[0].id, renewed.id);
const invoice = await stripe.invoices.retrieve(renewed.latest_invoice.id, { expand: ["payments"] });
assert.equal(invoice.payments.data[0].status, "paid");
await assert.rejects(stripe.invoices.pay(invoice.id), { type: "StripeInvalidRequestError" });
await refused(stripe.invoices.finalizeInvoice(invoice.id), "invoice_not_editable");
assert.equal((await stripe.invoices.list({ subscription: renewed.id })).data.length, 2);
const [invoicePayment] = (await stripe.invoicePayments.list({ invoice: invoice.id })).data;
assert.equal((await stripe.invoicePayments.retrieve(invoicePayment.id)).status, "paid");
assert.equal((await stripe.subscriptions.cancel(renewed.id)).status, "canceled");
const configuration = await stripe.billingPortal.configurations.create({ features: { invoice_history: { enabled: true } } });
await stripe.billingPortal.configurations.update(configuration.id, { default_return_url: "https://shop.example/" });
assert.equal((await stripe.billingPortal.configurations.retrieve(configuration.id)).id, configuration.id);
assert.ok((await stripe.billingPortal.configurations.list()).data.length > 0);
assert.ok((await stripe.billingPortal.sessions.create({ customer: customer.id })).url);

// Disputes, balance, payouts, account
const contest = async (card) => {
  const one = await stripe.paymentIntents.create({ amount: 2000, currency: "usd", confirm: true, payment_method: card });
  return (await stripe.disputes.list({ payment_intent: one.id })).data[0];
};
const dispute = await contest("pm_card_createDispute");
await stripe.disputes.update(dispute.id, { evidence: { uncategorized_text: "losing_evidence" } });
await control("/_sandbox/clock", { advance: "60s" });
assert.equal((await stripe.disputes.retrieve(dispute.id)).status, "lost");
assert.equal((await stripe.disputes.close((await contest("pm_card_createDispute")).id)).status, "lost");
await stripe.paymentIntents.create({ amount: 9000, currency: "usd", confirm: true, payment_method: "pm_card_bypassPending" });
await control("/_sandbox/clock", { advance: "5s" });
const [row] = (await stripe.balanceTransactions.list({ type: "charge" })).data;
assert.equal((await stripe.balanceTransactions.retrieve(row.id)).net, row.amount - row.fee);
const byHand = await stripe.payouts.create({ amount: 100, currency: "usd" });
assert.equal((await stripe.payouts.cancel(byHand.id)).status, "canceled");
await control("/_sandbox/clock", { advance: "96h" });
const payout = (await stripe.payouts.list({ limit: 100 })).data.find((one) => one.automatic && one.currency === "usd");
assert.equal((await stripe.payouts.retrieve(payout.id)).reconciliation_status, "completed");
let net = 0;
for await (const one of stripe.balanceTransactions.list({ payout: payout.id })) if (one.type !== "payout") net += one.net;
assert.equal(net, payout.amount);
assert.ok((await stripe.balance.retrieve()).available.length > 0);
assert.ok((await stripe.accounts.retrieveCurrent()).id.startsWith("acct_"));

// Sessions end
const abandoned = await stripe.checkout.sessions.create({ mode: "setup", currency: "usd", success_url: "https://shop.example/ok" });
assert.equal((await stripe.checkout.sessions.expire(abandoned.id)).status, "expired");
assert.equal((await stripe.checkout.sessions.listLineItems(session.id)).data[0].quantity, 3);
assert.equal((await stripe.checkout.sessions.list({ status: "expired" })).data[0].id, abandoned.id);

// Webhooks
const hooks = [];
const server = http.createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => { hooks.push([Buffer.concat(chunks), request.headers["stripe-signature"]]); response.end(); });
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const endpoint = await stripe.webhookEndpoints.create({ url: `http://127.0.0.1:${server.address().port}/`, enabled_events: ["customer.created"] });
await stripe.customers.create({ name: "C" });
for (let n = 0; n < 100 && hooks.length === 0; n++) await new Promise((wait) => setTimeout(wait, 50));
const event = stripe.webhooks.constructEvent(hooks[0][0], hooks[0][1], endpoint.secret);
assert.equal(event.type, "customer.created");
assert.throws(() => stripe.webhooks.constructEvent(hooks[0][0], hooks[0][1], "whsec_other"));
assert.equal((await stripe.events.retrieve(event.id)).data.object.name, "C");
assert.equal((await stripe.events.list({ types: ["customer.created"], limit: 1 })).data[0].id, event.id);
assert.equal((await stripe.webhookEndpoints.retrieve(endpoint.id)).secret, undefined);
assert.equal((await stripe.webhookEndpoints.list()).data[0].id, endpoint.id);
assert.equal((await stripe.webhookEndpoints.update(endpoint.id, { disabled: true })).status, "disabled");
assert.ok((await stripe.webhookEndpoints.del(endpoint.id)).deleted);
server.close();

console.log(`stripe-node ${Stripe.PACKAGE_VERSION ?? ""}: all is well`);
