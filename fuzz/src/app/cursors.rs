//! Where a list goes on: a page is what was asked for, or a refusal that names the field.

use std::{fmt::Display, str::FromStr};

use actix_web::test::TestRequest;
use paywright_app::http::{body, problem::Problem, routes::page};
use paywright_domain::{
    BreakId, CustomerId, DisputeId, JobId, OrderId, PaymentId, ProductId, RefundId, RunId,
};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    limit: Option<String>,
    starting_after: Option<String>,
}

/// # Panics
/// When a page begins elsewhere than its cursor says, or a refusal cannot be answered.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let uri = format!("/v1/orders?{text}");
    if actix_web::http::Uri::from_str(&uri).is_ok() {
        let request = TestRequest::get().uri(&uri).to_http_request();
        match body::query::<Paging>(&request) {
            Ok(Paging { limit, starting_after }) => ask_all(limit.as_deref(), starting_after.as_deref()),
            Err(problem) => check_refusal(&problem, None),
        }
    }
    let (limit, after) = text.split_once('\n').unwrap_or(("", &text));
    ask_all(Some(limit).filter(|limit| !limit.is_empty()), Some(after));
}

fn ask_all(limit: Option<&str>, after: Option<&str>) {
    let read = [
        ask::<OrderId>(limit, after),
        ask::<PaymentId>(limit, after),
        ask::<RefundId>(limit, after),
        ask::<DisputeId>(limit, after),
        ask::<ProductId>(limit, after),
        ask::<CustomerId>(limit, after),
        ask::<JobId>(limit, after),
        ask::<BreakId>(limit, after),
        ask::<RunId>(limit, after),
    ];
    let read = read.into_iter().filter(|read| *read).count();
    assert!(read <= 1 || after.is_none(), "{after:?} names things of two kinds");
}

/// Whether there is such a page.
fn ask<T: FromStr + Display + PartialEq>(limit: Option<&str>, after: Option<&str>) -> bool {
    match page::<T>(limit, after, "thing") {
        Ok(page) => {
            assert!((1..=100).contains(&page.limit));
            assert_eq!(page.limit, limit.map_or(20, |limit| limit.parse().unwrap_or(0)));
            assert_eq!(page.after.map(|id| id.to_string()).as_deref(), after, "one place, one name");
            true
        }
        Err(problem) => {
            let bad_limit = limit.is_some_and(|limit| !(1..=100).contains(&limit.parse().unwrap_or(0_u32)));
            check_refusal(&problem, Some(if bad_limit { "limit" } else { "starting_after" }));
            false
        }
    }
}

/// A problem that names the field and holds nothing that does not print.
fn check_refusal(problem: &Problem, field: Option<&str>) {
    assert!(matches!(problem.status().as_u16(), 400 | 422));
    let body: Value = serde_json::from_str(&problem.body()).expect("a problem is JSON");
    let named = body["errors"][0]["field"].as_str().expect("a field is named");
    assert!(field.is_none_or(|field| field == named), "{body}");
    let detail = body["errors"][0]["detail"].as_str().expect("the field's problem is told");
    assert!(!detail.is_empty() && detail.chars().count() <= 300, "{body}");
    assert!(![named, detail].concat().chars().any(char::is_control), "{body}");
}
