//! Lists of the past that are cut off, never end, or hold what was not asked for.

use std::sync::atomic::Ordering;

use paywright_domain::{
    PayoutId, Standing,
    ports::{Archive, GatewayError, Window},
};
use paywright_stripe::Stripe;

use crate::{
    Behaviour, Server, answer,
    common::{NOW, stripe_at, stripe_with},
    list, ok, unknown,
};

const LISTS: [&str; 7] =
    ["events", "payment_intents", "refunds", "disputes", "balance_transactions", "payouts", "payout"];

fn window() -> Window {
    Window { from: NOW - time::Duration::HOUR, before: NOW }
}

/// A part of one of the lists; how many rows, and what follows.
async fn part(
    stripe: &Stripe,
    name: &str,
    after: Option<&str>,
) -> Result<(usize, Option<String>), GatewayError> {
    let after = after.map(str::to_owned);
    match name {
        "events" => stripe.events(window(), after).await.map(|part| (part.rows.len(), part.next)),
        "payment_intents" => stripe.payments(window(), after).await.map(|part| (part.rows.len(), part.next)),
        "refunds" => stripe.refunds(window(), after).await.map(|part| (part.rows.len(), part.next)),
        "disputes" => stripe.disputes(window(), after).await.map(|part| (part.rows.len(), part.next)),
        "balance_transactions" => {
            stripe.transactions(window(), after).await.map(|part| (part.rows.len(), part.next))
        }
        "payouts" => stripe.payouts(window(), after).await.map(|part| (part.rows.len(), part.next)),
        _ => {
            let payout = PayoutId::try_from("po_1".to_owned()).unwrap();
            stripe.paid_out(&payout, after).await.map(|part| (part.rows.len(), part.next))
        }
    }
}

/// A row of a list, made so many seconds before now.
fn row(id: &str, object: &str, age: i64, rest: &str) -> String {
    let created = NOW.unix_timestamp() - age;
    format!(r#"{{"id":"{id}","object":"{object}","created":{created}{rest}}}"#)
}

fn event(id: &str, age: i64) -> String {
    row(id, "event", age, r#","type":"x.y",  "livemode":false,"data":{"object":{}}"#)
}

fn transaction(rest: &str) -> String {
    row("txn_1", "balance_transaction", 1, &format!(r#","amount":100,"fee":0,"type":"charge"{rest}"#))
}

fn payout(rest: &str) -> String {
    let usual = r#","status":"paid","automatic":true,"arrival_date":1795262400"#;
    row("po_1", "payout", 1, &format!("{usual}{rest}"))
}

/// Covers: A-2, fault 24, fault 28, W-13.
#[tokio::test]
async fn a_part_is_asked_for_by_window_and_place_in_our_version() {
    let pages = [list(&[event("evt_3", 1), event("evt_2", 2)], true), list(&[event("evt_1", 3)], false)];
    let mut server = Server::start(pages.to_vec()).await;
    let stripe = stripe_at(&server.base);
    let first = stripe.events(window(), None).await.unwrap();
    let second = stripe.events(window(), first.next.clone()).await.unwrap();
    assert_eq!((first.rows.len(), second.rows.len(), second.next), (2, 1, None));
    let bytes = |event: &paywright_domain::ports::InboxEvent| String::from_utf8(event.body.clone()).unwrap();
    let bytes: Vec<_> = first.rows.iter().map(bytes).collect();
    assert_eq!(bytes, [event("evt_3", 1), event("evt_2", 2)], "each as it came");
    let (one, two) = (server.requests.recv().await.unwrap(), server.requests.recv().await.unwrap());
    let of_window = "GET /v1/events?created%5Bgte%5D=1795258800&created%5Blt%5D=1795262400&limit=100";
    assert!(one.starts_with(&format!("{of_window} HTTP/1.1")), "{one}");
    assert!(two.starts_with(&format!("{of_window}&starting_after=evt_2 HTTP/1.1")), "{two}");
    assert!(one.to_lowercase().contains("stripe-version: 2026-07-29.dahlia"), "{one}");
}

/// Covers: fault 5, fault 6, fault 28, I24.
#[tokio::test]
async fn a_list_that_is_cut_off_or_is_none_is_unknown_and_never_a_short_one() {
    let whole = format!(r#"{{"object":"list","has_more":false,"data":[{}]}}"#, event("evt_1", 1));
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".to_owned();
    for broken in [
        ok(&whole[..whole.len() - 1]),
        ok(&whole[..40]),
        format!("{short}{whole}"),
        ok(r#"{"object":"list","data":[]}"#),
        ok(r#"{"object":"list","has_more":false}"#),
        ok(r#"{"object":"list","has_more":false,"data":[{"object":"event","created":1795262399}]}"#),
        ok(r#"{"object":"search_result","has_more":false,"data":[]}"#),
        ok("<html></html>"),
        answer("502 Bad Gateway", "", ""),
    ] {
        for name in LISTS {
            let server = Server::send(broken.clone()).await;
            unknown(part(&stripe_at(&server.base), name, None).await);
        }
    }
}

/// Covers: fault 28.
#[tokio::test]
async fn a_list_that_claims_for_ever_that_more_follows_is_unknown() {
    let again = [event("evt_2", 1), event("evt_1", 2)];
    for (page, after) in [
        (list(&[], true), None),
        (list(&again, true), Some("1:evt_1")),
        (list(&again, true), Some("evt_1")),
        (list(&again, false), Some("1:evt_2")),
        (list(&again, true), Some("99999:evt_9")),
    ] {
        let server = Server::start(vec![page]).await;
        let words = unknown(part(&stripe_at(&server.base), "events", after).await);
        assert_eq!(words, "the list does not end", "{after:?}");
        assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    }
    let server = Server::start(vec![list(&again, true)]).await;
    let told = part(&stripe_at(&server.base), "events", Some("99998:evt_9")).await.unwrap();
    assert_eq!(told, (2, Some("99999:evt_1".to_owned())));
}

/// Covers: fault 22, fault 28.
#[tokio::test]
async fn a_row_that_was_not_asked_for_is_unknown() {
    for (rows, words) in [
        (vec![event("evt_1", 0)], "asked for what was made in a window"),
        (vec![event("evt_1", 3601)], "asked for what was made in a window"),
        (vec![event("evt_2", 1), row("pi_1", "payment_intent", 1, "")], "asked for event"),
    ] {
        let server = Server::start(vec![list(&rows, false)]).await;
        let said = unknown(part(&stripe_at(&server.base), "events", None).await);
        assert!(said.starts_with(words), "{said}");
    }
    let server = Server::start(vec![list(&[event("evt_1", 3600)], false)]).await;
    assert_eq!(part(&stripe_at(&server.base), "events", None).await.unwrap(), (1, None));
}

/// What is left out would be taken for absent.
///
/// Covers: fault 23, I24.
#[tokio::test]
async fn a_row_that_cannot_be_read_is_unknown_and_named() {
    let usd = r#","currency":"usd""#;
    for (name, rows, field) in [
        ("events", row("evt_1", "event", 1, r#","livemode":false"#), "type"),
        ("payment_intents", row("pi_1", "payment_intent", 1, r#","amount":"a lot""#), "amount"),
        ("refunds", row("re_1", "refund", 1, r#","amount":-5,"currency":"usd""#), "amount"),
        ("disputes", row("du_1", "dispute", 1, r#","amount":5"#), "currency"),
        ("balance_transactions", transaction(r#","currency":"kwd","source":null"#), "currency"),
        ("balance_transactions", transaction(&format!(r#"{usd},"source":"ch_1""#)), "source"),
        ("payouts", payout(r#","amount":100,"currency":"kwd""#), "currency"),
        ("payouts", payout(usd), "amount"),
    ] {
        let server = Server::start(vec![list(std::slice::from_ref(&rows), false)]).await;
        let outcome = part(&stripe_at(&server.base), name, None).await;
        let Err(GatewayError::Unknown(source)) = &outcome else { panic!("{name}: {outcome:?}") };
        let words = format!("{source} {:?}", source.source());
        assert!(words.contains(field), "{field} in {words}");
    }
}

/// It is somebody else's, or of a later day, and must not stand in the way of ours.
///
/// Covers: fault 23.
#[tokio::test]
async fn a_payment_in_a_currency_that_we_do_not_know_is_told_and_unclear() {
    let rest =
        r#","amount":500,"currency":"kwd","status":"succeeded","livemode":false,"amount_received":500"#;
    let server = Server::start(vec![list(&[row("pi_1", "payment_intent", 1, rest)], false)]).await;
    let told = stripe_at(&server.base).payments(window(), None).await.unwrap().rows;
    assert_eq!((told[0].amount, &told[0].sighting.standing), (None, &Standing::Unclear));
}

/// What Stripe adds, and words that it will only use some day, keep no row back.
///
/// Covers: A-2, fault 23, fault 24.
#[tokio::test]
async fn rows_of_later_versions_are_read_as_far_as_they_are_known() {
    let usd = r#","currency":"usd","added":{"x":[1]}"#;
    let intent = format!(r#"{usd},"amount":500,"status":"requires_reauthorization","livemode":false"#);
    let old = r#","api_version":"2024-06-20","type":"x.y","livemode":false,"data":{"object":{"charges":[]}}"#;
    let resting = payout(&format!(r#"{usd},"amount":100"#)).replace("paid", "resting");
    let odd = transaction(&format!(r#"{usd},"source":null"#)).replace("charge", "moon_fee");
    let rows = [row("pi_1", "payment_intent", 1, &intent), row("evt_1", "event", 1, old), resting, odd];
    let mut servers = Vec::new();
    for row in rows {
        servers.push(Server::start(vec![list(&[row], false)]).await);
    }
    let [intent, event, payout, transaction] = [0, 1, 2, 3].map(|nth| stripe_at(&servers[nth].base));
    let told = intent.payments(window(), None).await.unwrap().rows;
    assert_eq!(told[0].sighting.standing, Standing::Unclear);
    let told = event.events(window(), None).await.unwrap().rows;
    assert_eq!(told[0].api_version.as_deref(), Some("2024-06-20"));
    assert_eq!(payout.payouts(window(), None).await.unwrap().rows[0].status, "resting");
    assert_eq!(transaction.transactions(window(), None).await.unwrap().rows[0].kind, "moon_fee");
}

#[tokio::test]
async fn what_moves_the_balance_without_a_payment_is_told_all_the_same() {
    for (source, kept) in
        [("null", None), (r#""tu_1""#, Some("tu_1")), (r#"{"id":"tr_1","object":"transfer"}"#, Some("tr_1"))]
    {
        let rows = [transaction(&format!(r#","currency":"usd","source":{source}"#))];
        let server = Server::start(vec![list(&rows, false)]).await;
        let told = stripe_at(&server.base).transactions(window(), None).await.unwrap().rows;
        assert_eq!(told[0].source.as_deref(), kept);
        assert_eq!((told[0].kind.as_str(), &told[0].intent), ("charge", &None));
    }
    let taken = payout(r#","amount":-250,"currency":"usd""#);
    let server = Server::start(vec![list(&[taken], false)]).await;
    let told = stripe_at(&server.base).payouts(window(), None).await.unwrap().rows;
    assert_eq!((told[0].amount.minor(), told[0].taken, told[0].signed()), (250, true, -250));
}

/// Rows may hold so much that a hundred are more than is read: then they are asked for in smaller parts.
///
/// Covers: fault 8.
#[tokio::test]
async fn a_part_that_is_too_large_is_asked_for_in_smaller_ones() {
    let huge = Behaviour::SendAndHang("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n".to_owned());
    let endless = Behaviour::Endless("HTTP/1.1 200 OK\r\n\r\n".to_owned());
    let small = |settings: &mut paywright_stripe::Settings| settings.max_response_bytes = 4096;
    let pages = vec![huge.clone(), list(&[event("evt_1", 1)], false)];
    let mut server = Server::start(pages).await;
    assert_eq!(part(&stripe_with(&server.base, small), "events", None).await.unwrap(), (1, None));
    let (first, second) = (server.requests.recv().await.unwrap(), server.requests.recv().await.unwrap());
    assert!(first.contains("&limit=100 ") && second.contains("&limit=10 "), "{first} {second}");

    for name in LISTS.into_iter().take(6) {
        let server = Server::start(vec![huge.clone(), endless.clone()]).await;
        let words = unknown(part(&stripe_with(&server.base, small), name, None).await);
        assert_eq!(words, "the answer is larger than 4096 bytes", "{name}");
        assert_eq!(server.connections.load(Ordering::SeqCst), 3, "{name}");
    }
}

/// Covers: S-6.
#[tokio::test]
async fn what_a_payout_paid_out_is_not_told_before_stripe_knows_all_of_it() {
    let state = |state: &str| {
        let rest = format!(r#","amount":100,"currency":"usd","reconciliation_status":"{state}""#);
        Behaviour::Send(ok(&payout(&rest)))
    };
    let rows = list(&[transaction(r#","currency":"usd","source":null"#)], false);
    let server = Server::start(vec![state("in_progress"), rows.clone()]).await;
    let early = part(&stripe_at(&server.base), "payout", None).await;
    assert!(matches!(early, Err(GatewayError::NotDone { .. })), "{early:?}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);

    let mut server = Server::start(vec![state("completed"), rows.clone()]).await;
    assert_eq!(part(&stripe_at(&server.base), "payout", None).await.unwrap(), (1, None));
    let (first, second) = (server.requests.recv().await.unwrap(), server.requests.recv().await.unwrap());
    assert!(first.starts_with("GET /v1/payouts/po_1 "), "{first}");
    let asked = "GET /v1/balance_transactions?payout=po_1&expand%5B0%5D=data.source&limit=100 ";
    assert!(second.starts_with(asked), "{second}");

    let other = payout(r#","amount":100,"currency":"usd""#).replace("po_1", "po_2");
    let server = Server::send(ok(&other)).await;
    unknown(part(&stripe_at(&server.base), "payout", None).await);
}
