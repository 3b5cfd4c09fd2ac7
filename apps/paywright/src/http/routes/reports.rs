use std::io;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, Header as _},
    web::{self, Bytes},
};
use paywright_domain::{OrderId, ports::Reader};
use time::{Date, macros::format_description};

use super::orders::Answered;
use crate::{
    http::{
        auth, body,
        openapi::words,
        present::{DayReportJson, OrderReportJson},
        problem::{Problem, chain},
    },
    report::{self, Day, Sums},
    wiring::App,
};

/// Reports every movement of an order's money
///
/// Each line takes from one account what it gives to another. With `Accept: text/csv` as CSV, without the totals: its
/// cells are times, ids, words and whole numbers.
#[utoipa::path(
    get,
    path = "/v1/reports/orders/{id}",
    operation_id = "report_order",
    tag = "books",
    params(("id" = words::OrderId, Path, description = "The order")),
    security(("api_key" = ["reports:read"])),
    responses((
        status = 200,
        description = "All lines, oldest first",
        content((OrderReportJson = "application/json"), (String = "text/csv")),
    )),
)]
pub(super) async fn order(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "reports:read").await?;
    let (id, mode): (OrderId, _) = (body::id(&path, "order")?, app.settings.mode);
    let order = app.ports.store.order(id).await?.filter(|order| order.mode == mode);
    order.ok_or_else(|| Problem::not_found("order"))?;
    let lines = app.store.ledger_of_order(id).await?;
    if wants_csv(&request) {
        let text = report::csv(&lines, true).map_err(|error| Problem::bug(&error))?;
        return Ok(csv_answer(&id.to_string()).body(text));
    }
    let report = OrderReportJson::new(mode, id, &lines, &Sums::of(&lines));
    Ok(HttpResponse::Ok().insert_header((header::VARY, "Accept")).json(report))
}

/// Sums up a day
///
/// A day in UTC, by the time at which the money moved. With `Accept: text/csv` all of its lines as CSV, oldest first:
/// the answer breaks off, rather than ends, when they cannot all be read.
#[utoipa::path(
    get,
    path = "/v1/reports/days/{day}",
    operation_id = "report_day",
    tag = "books",
    params(("day" = String, Path, format = Date, description = "The day: `2026-11-21`")),
    security(("api_key" = ["reports:read"])),
    responses((
        status = 200,
        description = "The totals by currency and account",
        content((DayReportJson = "application/json"), (String = "text/csv")),
    )),
)]
pub(super) async fn day(app: web::Data<App>, request: HttpRequest, path: web::Path<String>) -> Answered {
    auth::caller(&app, &request, "reports:read").await?;
    let date = Date::parse(&path, format_description!("[year]-[month]-[day]"));
    let date = date.map_err(|_| Problem::not_found("day"))?;
    let day = Day::new(app.store.clone(), app.settings.mode, date);
    if wants_csv(&request) {
        return csv_of_day(day, date).await;
    }
    let report = DayReportJson::new(app.settings.mode, date, &day.sums().await?);
    Ok(HttpResponse::Ok().insert_header((header::VARY, "Accept")).json(report))
}

/// The first page is read before anything is answered, so that a database that is away is an answer of its own.
async fn csv_of_day(mut day: Day, date: Date) -> Answered {
    let first = day.next().await?.unwrap_or_default();
    let first = report::csv(&first, true).map_err(|error| Problem::bug(&error))?;
    let more = futures::stream::try_unfold(day, async |mut day: Day| {
        let lines = day.next().await.map_err(|error| broken(&error))?;
        let Some(lines) = lines else { return Ok::<_, io::Error>(None) };
        let text = report::csv(&lines, false).map_err(|error| broken(&error))?;
        Ok(Some((Bytes::from(text), day)))
    });
    let first = futures::stream::iter([Ok(Bytes::from(first))]);
    Ok(csv_answer(&date.to_string()).streaming(futures::StreamExt::chain(first, Box::pin(more))))
}

/// Ends the connection: half a report must not look like a whole one.
fn broken(error: &dyn std::error::Error) -> io::Error {
    tracing::error!(error = chain(error), "a report broke off");
    io::Error::other("the report broke off")
}

fn csv_answer(name: &str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/csv; charset=utf-8; header=present")
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.csv\"")))
        .insert_header((header::VARY, "Accept"));
    answer
}

/// Whether the client would rather have CSV than JSON.
fn wants_csv(request: &HttpRequest) -> bool {
    let Ok(accept) = header::Accept::parse(request) else { return false };
    let first = accept
        .ranked()
        .into_iter()
        .map(|kind| kind.essence_str().to_ascii_lowercase())
        .find(|kind| matches!(kind.as_str(), "text/csv" | "application/json" | "application/*" | "*/*"));
    first.as_deref() == Some("text/csv")
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn csv_is_answered_where_it_is_preferred() {
        let wants =
            |accept: &str| wants_csv(&TestRequest::get().insert_header(("accept", accept)).to_http_request());
        for accept in [
            "text/csv",
            "Text/CSV; header=present",
            "text/csv, */*;q=0.1",
            "application/json;q=0.5, text/csv",
        ] {
            assert!(wants(accept), "{accept}");
        }
        for accept in [
            "*/*",
            "application/json",
            "application/json, text/csv",
            "text/csv;q=0.1, application/json",
            "nonsense",
            "text/html",
        ] {
            assert!(!wants(accept), "{accept}");
        }
        assert!(!wants_csv(&TestRequest::get().to_http_request()));
    }
}
