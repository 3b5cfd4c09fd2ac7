use actix_web::{HttpRequest, HttpResponse, web};
use paywright_domain::{PaymentId, ports::Reader};

use crate::{
    http::{auth, body, openapi::words, present::PaymentJson, problem::Problem},
    wiring::App,
};

/// Shows a payment
///
/// As it is among its order's `payments`.
#[utoipa::path(
    get,
    path = "/v1/payments/{id}",
    operation_id = "show_payment",
    tag = "payments",
    params(("id" = words::PaymentId, Path, description = "The payment")),
    security(("api_key" = ["orders:read"])),
    responses((status = 200, description = "The payment", body = PaymentJson)),
)]
pub(super) async fn show(
    app: web::Data<App>,
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    auth::caller(&app, &request, "orders:read").await?;
    let id: PaymentId = body::id(&path, "payment")?;
    let mode = app.settings.mode;
    let found = app.ports.store.payment(id).await?.filter(|payment| payment.mode == mode);
    let found = found.ok_or_else(|| Problem::not_found("payment"))?;
    // Shown from the view alone, so that payment and declines are of one reading.
    let view = app.store.order_view(mode, found.order).await?;
    let shown = view.as_ref().and_then(|view| {
        let payment = view.payments.iter().find(|payment| payment.id == id)?;
        Some(PaymentJson::new(payment, &view.declines))
    });
    Ok(HttpResponse::Ok().json(shown.ok_or_else(|| Problem::not_found("payment"))?))
}
