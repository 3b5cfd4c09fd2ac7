//! The dashboard: objects, events, deliveries, faults and the clock, for people. Works without JavaScript.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use super::control::duration_millis;
use super::hand::{self, Button};
use super::pages::{html, message, redirect};
use super::shell::Shell;
use crate::model::control::ClockCommand;
use crate::model::currency::format_amount;
use crate::model::table::{Row, Table};
use crate::model::time::Time;
use crate::model::world::World;
use crate::model::{Control, Mode, fault};

/// Rows of a list.
const ROWS: usize = 100;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(|| async { redirect("/dashboard") }))
        .route("/dashboard", web::get().to(home))
        .route("/dashboard/list/{kind}", web::get().to(list))
        .route("/dashboard/object/{id}", web::get().to(object))
        .route("/dashboard/object/{id}", web::post().to(hand::act))
        .route("/dashboard/deliveries", web::get().to(deliveries))
        .route("/dashboard/faults", web::get().to(faults))
        .route("/dashboard/faults", web::post().to(change_faults))
        .route("/dashboard/clock", web::post().to(move_clock))
        .route("/dashboard/resend/{id}", web::post().to(resend));
}

/// Kinds of objects that can be listed.
const KINDS: &[(&str, &str)] = &[
    ("payment_intents", "Payments"),
    ("checkout_sessions", "Checkout Sessions"),
    ("charges", "Charges"),
    ("refunds", "Refunds"),
    ("disputes", "Disputes"),
    ("setup_intents", "Saved cards"),
    ("subscriptions", "Subscriptions"),
    ("invoices", "Invoices"),
    ("customers", "Customers"),
    ("products", "Products"),
    ("prices", "Prices"),
    ("balance_transactions", "Balance transactions"),
    ("payouts", "Payouts"),
    ("webhook_endpoints", "Webhook endpoints"),
    ("events", "Events"),
];

/// The navigation, and which of its pages is shown.
struct Menu {
    kinds: &'static [(&'static str, &'static str)],
    here: &'static str,
}

impl Menu {
    fn at(here: &'static str) -> Self {
        Self { kinds: KINDS, here }
    }

    /// What marks the current page, for eyes and for screen readers.
    fn mark(&self, name: &str) -> &'static str {
        if self.here == name { "page" } else { "false" }
    }
}

struct Line {
    id: String,
    what: String,
    status: String,
    amount: String,
    created: String,
}

impl Line {
    fn of(object: &Value) -> Self {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        let amount = ["amount", "amount_total", "unit_amount", "total"]
            .into_iter()
            .find_map(|name| object[name].as_i64());
        let what = ["type", "description", "email", "name", "url", "reason"]
            .into_iter()
            .map(text)
            .find(|text| !text.is_empty());
        Self {
            id: text("id"),
            what: what.unwrap_or_default(),
            status: text("status"),
            amount: amount.map(|amount| format_amount(amount, &text("currency"))).unwrap_or_default(),
            created: when(Time::from_seconds(object["created"].as_i64().unwrap_or_default())),
        }
    }
}

/// A time as people read it, in UTC.
fn when(time: Time) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let moment = time::OffsetDateTime::from_unix_timestamp(time.seconds()).ok();
    moment.and_then(|moment| moment.format(format).ok()).unwrap_or_default()
}

fn newest<T: Row>(table: &Table<T>) -> impl Iterator<Item = &T> {
    table.iter().rev().take(ROWS)
}

fn lines(world: &World, kind: &str) -> Option<Vec<Line>> {
    fn ids<T: Row>(table: &Table<T>) -> Vec<String> {
        newest(table).map(|row| row.id().to_owned()).collect()
    }
    let ids = match kind {
        "payment_intents" => ids(&world.payment_intents),
        "checkout_sessions" => ids(&world.checkout_sessions),
        "charges" => ids(&world.charges),
        "refunds" => ids(&world.refunds),
        "disputes" => ids(&world.disputes),
        "setup_intents" => ids(&world.setup_intents),
        "subscriptions" => ids(&world.subscriptions),
        "invoices" => ids(&world.invoices),
        "payouts" => ids(&world.payouts),
        "customers" => ids(&world.customers),
        "products" => ids(&world.products),
        "prices" => ids(&world.prices),
        "balance_transactions" => ids(&world.balance_transactions),
        "webhook_endpoints" => ids(&world.webhook_endpoints),
        "events" => ids(&world.events),
        _ => return None,
    };
    Some(ids.iter().filter_map(|id| world.find(id)).map(|object| Line::of(&object)).collect())
}

#[derive(Deserialize)]
struct View {
    #[serde(default)]
    live: bool,
}

impl View {
    fn mode(&self) -> Mode {
        if self.live { Mode::Live } else { Mode::Test }
    }
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    menu: Menu,
    now: String,
    frozen: bool,
    moved: bool,
    counts: Vec<(&'static str, &'static str, usize)>,
    open_deliveries: usize,
    latest: Vec<Line>,
    url: String,
}

async fn home(shell: web::Data<Shell>) -> HttpResponse {
    let page = shell.read(|model, wall| {
        let world = model.world(Mode::Test);
        HomePage {
            menu: Menu::at("home"),
            now: when(model.clock.at(wall)),
            frozen: model.clock.is_frozen(),
            moved: model.clock.offset_millis(wall).abs() > 1_000,
            counts: vec![
                ("payment_intents", "Payments", world.payment_intents.len()),
                ("checkout_sessions", "Checkout Sessions", world.checkout_sessions.len()),
                ("refunds", "Refunds", world.refunds.len()),
                ("disputes", "Disputes", world.disputes.len()),
                ("events", "Events", world.events.len()),
            ],
            open_deliveries: world.deliveries.open_count(),
            latest: lines(world, "events").unwrap_or_default().into_iter().take(15).collect(),
            url: model.settings.public_url.clone(),
        }
    });
    html(StatusCode::OK, &page, &[])
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    menu: Menu,
    title: &'static str,
    lines: Vec<Line>,
}

async fn list(kind: web::Path<String>, view: web::Query<View>, shell: web::Data<Shell>) -> HttpResponse {
    let found = shell.read(|model, _| lines(model.world(view.mode()), &kind));
    let known = KINDS.iter().find(|(name, _)| *name == kind.as_str());
    match found.zip(known) {
        Some((lines, (name, title))) => {
            html(StatusCode::OK, &ListPage { menu: Menu::at(name), title, lines }, &[])
        }
        None => message(StatusCode::NOT_FOUND, "Not found", "There is no such list.", None),
    }
}

#[derive(Template)]
#[template(path = "object.html")]
struct ObjectPage {
    menu: Menu,
    id: String,
    json: String,
    is_event: bool,
    buttons: Vec<Button>,
    pay_url: Option<String>,
    events: Vec<Line>,
}

async fn object(id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    let found = shell.read(|model, _| {
        let world = model.world(model.mode_of(&id)?);
        let object = world.find(&id)?;
        let about = newest_about(world, &id);
        Some(ObjectPage {
            menu: Menu::at(""),
            id: id.clone(),
            json: serde_json::to_string_pretty(&object).unwrap_or_default(),
            is_event: object["object"] == "event",
            buttons: hand::buttons(&object),
            pay_url: object["url"]
                .as_str()
                .filter(|_| object["object"] == "checkout.session")
                .map(str::to_owned),
            events: about,
        })
    });
    match found {
        Some(page) => html(StatusCode::OK, &page, &[]),
        None => message(StatusCode::NOT_FOUND, "Not found", "There is no such object.", None),
    }
}

/// Events about an object, among the newest thousand.
fn newest_about(world: &World, id: &str) -> Vec<Line> {
    let about =
        world.events.iter().rev().take(1_000).filter(|event| event.object_id().as_deref() == Some(id));
    about.take(20).map(|event| Line::of(&event.render())).collect()
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    menu: Menu,
    attempts: Vec<AttemptView>,
    waiting: Vec<(String, String, u32)>,
}

struct AttemptView {
    at: String,
    event: String,
    kind: String,
    url: String,
    number: u32,
    outcome: String,
    latency_ms: u64,
    retry: String,
}

async fn deliveries(view: web::Query<View>, shell: web::Data<Shell>) -> HttpResponse {
    let page = shell.read(|model, _| {
        let deliveries = &model.world(view.mode()).deliveries;
        let attempts = deliveries.attempts().take(ROWS).map(|attempt| AttemptView {
            at: when(attempt.at),
            event: attempt.event.clone(),
            kind: attempt.kind.clone(),
            url: attempt.url.clone(),
            number: attempt.number,
            outcome: match (attempt.outcome.status, &attempt.outcome.error) {
                (Some(status), _) => status.to_string(),
                (None, error) => error.clone().unwrap_or_default(),
            },
            latency_ms: attempt.outcome.latency_ms,
            retry: attempt.retry_at.map(when).unwrap_or_default(),
        });
        let waiting = deliveries.waiting().take(ROWS);
        DeliveriesPage {
            menu: Menu::at("deliveries"),
            attempts: attempts.collect(),
            waiting: waiting.map(|(at, event, _, count)| (when(at), event.to_owned(), count)).collect(),
        }
    });
    html(StatusCode::OK, &page, &[])
}

#[derive(Template)]
#[template(path = "faults.html")]
struct FaultsPage {
    menu: Menu,
    rules: Vec<(String, String)>,
    error: Option<String>,
    examples: &'static [&'static str],
}

const EXAMPLES: &[&str] = &[
    r#"{"webhooks": {"drop": 1.0}}"#,
    r#"{"webhooks": {"duplicate": 2}}"#,
    r#"{"requests": {"error_500": 0.2}}"#,
    r#"{"fault": "reset", "effect": true, "method": "POST", "path": "/v1/payment_intents*", "times": 1}"#,
    r#"{"fault": "delay", "delay": "5s", "path": "/v1/refunds*"}"#,
    r#"{"fault": "error_500", "repair_after": "6h", "method": "POST", "path": "/v1/refunds", "times": 1}"#,
    r#"{"fault": "bad_gateway", "should_retry": false, "method": "POST", "times": 1}"#,
    r#"{"fault": "empty_body", "effect": true, "method": "POST", "times": 1}"#,
    r#"{"rate_limits": true}"#,
];

async fn faults(shell: web::Data<Shell>) -> HttpResponse {
    show_faults(&shell, None)
}

fn show_faults(shell: &Shell, error: Option<String>) -> HttpResponse {
    let rendered = shell.faults(|faults| faults.render());
    let rules = rendered["data"].as_array().into_iter().flatten();
    let rules =
        rules.map(|rule| (rule["id"].as_str().unwrap_or_default().to_owned(), rule.to_string())).collect();
    html(StatusCode::OK, &FaultsPage { menu: Menu::at("faults"), rules, error, examples: EXAMPLES }, &[])
}

#[derive(Deserialize)]
struct FaultForm {
    #[serde(default)]
    rule: String,
    clear: Option<String>,
}

async fn change_faults(
    http: HttpRequest,
    form: web::Form<FaultForm>,
    shell: web::Data<Shell>,
) -> HttpResponse {
    if is_foreign(&http) {
        return foreign();
    }
    if form.clear.is_some() {
        shell.faults(fault::Faults::clear);
        return redirect("/dashboard/faults");
    }
    let parsed = serde_json::from_str::<Value>(&form.rule)
        .map_err(|error| error.to_string())
        .and_then(|rule| fault::parse(&rule).map_err(|error| error.message));
    let added = parsed.and_then(|parsed| {
        shell.faults(|faults| {
            if let Some(on) = parsed.rate_limits {
                faults.rate_limits = on;
            }
            parsed
                .rules
                .into_iter()
                .try_for_each(|rule| faults.add(rule).map(drop).map_err(|error| error.message))
        })
    });
    match added {
        Ok(()) => redirect("/dashboard/faults"),
        Err(error) => show_faults(&shell, Some(error)),
    }
}

#[derive(Deserialize)]
struct ClockForm {
    advance: Option<String>,
    frozen: Option<bool>,
}

async fn move_clock(http: HttpRequest, form: web::Form<ClockForm>, shell: web::Data<Shell>) -> HttpResponse {
    if is_foreign(&http) {
        return foreign();
    }
    if let Some(frozen) = form.frozen {
        shell.control(Control::Clock(if frozen { ClockCommand::Freeze } else { ClockCommand::Unfreeze }));
    }
    let advance = form.advance.as_ref().and_then(|text| duration_millis(&Value::from(text.trim())));
    if let Some(millis) = advance {
        shell.control(Control::Clock(ClockCommand::Advance { millis }));
    }
    redirect("/dashboard")
}

async fn resend(http: HttpRequest, id: web::Path<String>, shell: web::Data<Shell>) -> HttpResponse {
    if is_foreign(&http) {
        return foreign();
    }
    shell.control(Control::Resend { event: id.into_inner() });
    redirect("/dashboard/deliveries")
}

/// Whether a form comes from another site's page.
pub(super) fn is_foreign(http: &HttpRequest) -> bool {
    let site = http.headers().get("Sec-Fetch-Site").and_then(|value| value.to_str().ok());
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

pub(super) fn foreign() -> HttpResponse {
    message(StatusCode::FORBIDDEN, "Refused", "This form belongs to the sandbox's own pages.", None)
}
