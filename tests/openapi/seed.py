"""A shop with something of each kind in it, so that requests meet more than 404: prints the ids as JSON."""

import json
import sys
import time
import urllib.request

API, SANDBOX = sys.argv[1:]
VISA, DISPUTED = "4242424242424242", "4000000000000259"


def call(url, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method or ("GET" if body is None else "POST"))
    request.add_header("Authorization", "Bearer pw_test_dev")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def api(path, body=None):
    return call(f"{API}/v1/{path}", body)


def order(product, **more):
    items = [{"product": product, "quantity": 2}]
    return api("orders", {"currency": "usd", "items": items, "customer_email": "ada@example.org", **more})


def until(what, holds):
    for _ in range(300):
        found = what()
        if holds(found):
            return found
        time.sleep(0.1)
    raise SystemExit(f"still {found}")


def paid(product, card=VISA, state="paid", **more):
    placed = order(product, **more)["id"]
    intent = api(f"orders/{placed}/payment-intent", {})["client_secret"].split("_secret_")[0]
    call(f"{SANDBOX}/_sandbox/payment_intents/{intent}/pay", {"card": card})
    return until(lambda: api(f"orders/{placed}"), lambda shown: shown["state"] == state)


# Ten days ago: what was paid then has been paid out.
world = call(f"{SANDBOX}/_sandbox/state")
call(f"{SANDBOX}/_sandbox/state", {**world, "clock": {"offset": -230 * 3600 * 1000, "frozen_at": None, "latest": 0}})
product = api("products", {"name": "Tea, 100 g", "unit_amount": 1999, "currency": "usd"})["id"]
whole = [paid(product) for _ in range(3)]
for _ in range(10):
    call(f"{SANDBOX}/_sandbox/clock", {"advance": "23h"})
orders = [order(product)["id"] for _ in range(3)]
api(f"orders/{orders[1]}/checkout-session", {})
held = [paid(product, state="authorized", capture_method="manual") for _ in range(3)]
contested = [paid(product, DISPUTED) for _ in range(3)]
shown = whole + held + contested
payments = [one["payments"][0]["id"] for one in shown]
refunds = [api("refunds", {"payment": payments[n], "amount": 100, "reason": "goodwill"})["id"] for n in (0, 1)]
disputes = until(lambda: api("disputes")["data"], lambda found: len(found) == 3)
# Sold abroad, and not to us: nobody here knows this payment, which names us. It is a break.
foreign = "pay_00000000000000000000000000"
form = f"amount=4200&currency=usd&confirm=true&payment_method=pm_card_visa&metadata[paywright_payment]={foreign}" \
    f"&metadata[paywright_order]={orders[0]}&automatic_payment_methods[enabled]=true" \
    f"&automatic_payment_methods[allow_redirects]=never"
request = urllib.request.Request(f"{SANDBOX}/v1/payment_intents", form.encode())
request.add_header("Authorization", "Bearer sk_test_paywright_sandbox")
urllib.request.urlopen(request, timeout=60).read()
run = api("reconciliation/runs", {"since": "2026-01-01T00:00:00Z"})["id"]
until(lambda: api(f"reconciliation/runs/{run}"), lambda found: found["state"] != "running")
events = [event["id"] for event in api("inbox?limit=5")["data"]]
jobs = [job["id"] for job in api("jobs?limit=5")["data"]]
ids = {
    "products": [product],
    "orders": orders + [one["id"] for one in shown],
    "payments": payments,
    "customers": [shown[0]["customer"]],
    "refunds": refunds,
    "disputes": [dispute["id"] for dispute in disputes],
    "breaks": [found["id"] for found in api("breaks")["data"]],
    "reconciliation/runs": [run],
    "payouts": [payout["id"] for payout in api("payouts")["data"]],
    "inbox": events,
    "jobs": jobs,
}
json.dump(ids, sys.stdout, indent=1)
