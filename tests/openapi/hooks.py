"""What schemathesis cannot know of us: ids that exist, and refusals that no schema can foretell."""

import itertools
import json
import os
import re

import schemathesis
from schemathesis.core.parameters import ParameterLocation

with open(os.environ["PAYWRIGHT_SEED"], encoding="utf-8") as file:
    IDS = json.load(file)

# The kind of each id's owner, by the text that stands before `{id}`.
OWNER = re.compile(r"^/v1/(?:reports/)?(.+?)/\{id\}")
TURN = {kind: itertools.cycle([None, *ids]) for kind, ids in IDS.items()}

# Why a request that its schema allows is refused all the same. Each says something that only the server knows.
FORESEEN = [
    r"^idempotency_key_reused$",
    # Whole numbers: a schema takes 1.0 for one, we do not where money is concerned.
    r"invalid type: floating point `-?[0-9.]+(e[+-]?[0-9]+)?`",
    # What does not exist, and what does not go together.
    r": (is no (payment|customer|event)|does not exist|is not the customer's address)$",
    r"\.product: is (priced in [a-z]{3}, the order is in [a-z]{3}|not for sale)$",
    r"unknown currency",
    r"unit_amount: must be [0-9]+ to [0-9]+ minor units",
    r"unit_amount: .*(multiple|step|whole)",
    r"^state: (name at least one filter|events that were not for us are not read)$",
    r"^since: must be in the past$",
    r"^items: total of .*(below the minimum|above the maximum)",
    r"^amount: is only for an order whose money is reserved$",
]


def positive(case, *places):
    """Whether these parts of a request are as the description says."""
    meta = case.meta
    given = [] if meta is None else [meta.components.get(place) for place in places]
    return meta is not None and all(part is None or part.mode.is_positive for part in given)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """In turn an id that exists, and what was made up."""
    owner = OWNER.match(case.operation.path)
    kind = owner and owner.group(1).split("/{")[0]
    if kind in TURN and case.path_parameters and positive(case, ParameterLocation.PATH):
        known = next(TURN[kind])
        if known:
            case.path_parameters["id"] = known
    body = case.body
    if isinstance(body, dict) and positive(case, ParameterLocation.BODY):
        for item in body.get("items") or []:
            item["product"] = next(TURN["products"]) or item["product"]
        if "payment" in body:
            body["payment"] = next(TURN["payments"]) or body["payment"]
        if isinstance(body.get("customer"), str):
            body["customer"] = next(TURN["customers"]) or body["customer"]


@schemathesis.check
def valid_data_is_taken(ctx, response, case):
    """400, 413, 415 and 422 say that a request is wrong; the description must say so first."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if response.status_code not in (400, 413, 415, 422):
        return
    problem = response.json()
    if problem["code"] == "bad_signature":
        return
    said = [problem["code"], problem.get("detail", "")]
    foreseen = any(re.search(pattern, text) for pattern in FORESEEN for text in said)
    assert foreseen, f"the description allows what is refused: {': '.join(said)}"
