//! Stripe as the bench needs it: it knows every payment intent, paid in full, and counts what it is asked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use serde_json::{Value, json};

use super::events;

/// How often each path was asked for, names of objects left out.
type Calls = Arc<Mutex<BTreeMap<String, u64>>>;

pub(super) struct Stub {
    pub(super) address: SocketAddr,
    calls: Calls,
}

impl Stub {
    pub(super) fn start() -> anyhow::Result<Self> {
        let calls = Calls::default();
        let counted = web::Data::from(Arc::clone(&calls));
        let server =
            HttpServer::new(move || App::new().app_data(counted.clone()).default_service(web::to(answer)));
        let server = server.workers(1).disable_signals().bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = *server.addrs().first().context("no address")?;
        tokio::spawn(server.run());
        Ok(Self { address, calls })
    }

    /// What was asked since the last time.
    pub(super) fn take_calls(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn answer(request: HttpRequest, calls: web::Data<Mutex<BTreeMap<String, u64>>>) -> HttpResponse {
    let intent = request.path().strip_prefix("/v1/payment_intents/").and_then(events::number);
    let path = if intent.is_some() { "/v1/payment_intents/..." } else { request.path() };
    let call = format!("{} {path}", request.method());
    *calls.lock().unwrap_or_else(PoisonError::into_inner).entry(call).or_default() += 1;
    let answer = match intent {
        Some(number) => paid(number),
        None => json!({ "object": "list", "data": [], "has_more": false, "url": request.path() }),
    };
    HttpResponse::Ok().insert_header(("Request-Id", "req_bench")).json(answer)
}

/// The intent with its charge, and what that moved in the balance.
fn paid(number: u32) -> Value {
    let (amount, created) = (events::amount(number), events::now().unix_timestamp());
    let metadata = json!({
        "paywright_order": events::order(number).to_string(),
        "paywright_payment": events::payment(number).to_string(),
    });
    let fee = amount * 29 / 1000 + 30;
    let moved = json!({
        "id": format!("txn_{number:024}"), "object": "balance_transaction", "amount": amount, "fee": fee,
        "net": amount - fee, "currency": "usd", "created": created, "type": "charge",
    });
    json!({
        "id": events::intent(number), "object": "payment_intent", "amount": amount, "amount_capturable": 0,
        "amount_received": amount, "currency": "usd", "status": "succeeded", "created": created, "livemode": false,
        "capture_method": "automatic_async", "metadata": metadata,
        "latest_charge": {
            "id": events::charge(number), "object": "charge", "amount": amount, "amount_captured": amount,
            "amount_refunded": 0, "captured": true, "created": created, "currency": "usd", "livemode": false,
            "status": "succeeded", "balance_transaction": moved,
        },
    })
}
