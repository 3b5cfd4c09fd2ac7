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
server.close();

console.log(`stripe-node ${Stripe.PACKAGE_VERSION ?? ""}: all is well`);
