//! A sandbox, and a shop of another origin that takes payments with Stripe.js.

use std::net::{Ipv4Addr, SocketAddr};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use paywright_sandbox::{Options, PresetEndpoint, Sandbox};
use serde_json::Value;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Calls the sandbox with a secret key, as the shop's server does.
#[derive(Clone)]
pub(crate) struct Api {
    url: String,
    client: reqwest::Client,
}

impl Api {
    pub(crate) async fn post(&self, path: &str, form: &str) -> Value {
        let request = self.client.post(format!("{}{path}", self.url)).bearer_auth("sk_test_browser");
        let request =
            request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned());
        request.send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = self.client.get(format!("{}{path}", self.url)).bearer_auth("sk_test_browser");
        request.send().await.unwrap().json().await.unwrap()
    }
}

pub(crate) struct Merchant {
    sandbox: Sandbox,
    pub(crate) api: Api,
    pub(crate) url: String,
    server: ServerHandle,
}

impl Merchant {
    pub(crate) async fn open() -> Self {
        // Nobody listens there, so the dashboard has failed deliveries to show.
        let nobody =
            PresetEndpoint::new("http://127.0.0.1:9/webhooks/a-long-path-of-a-shop", "whsec_browser");
        let options = Options { bind: LOCAL, webhook_endpoints: vec![nobody], ..Options::default() };
        let sandbox = paywright_sandbox::start(options).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let api = Api { url: sandbox.url().to_owned(), client };
        let page = include_str!("merchant.html").replace("SANDBOX", sandbox.url());
        let for_server = api.clone();
        let server = HttpServer::new(move || {
            let (page, api) = (page.clone(), for_server.clone());
            App::new()
                .app_data(web::Data::new(api))
                .route("/intent", web::post().to(intent))
                .route("/", web::get().to(move || html(page.clone())))
        })
        .workers(1)
        .disable_signals()
        .bind(LOCAL)
        .unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { sandbox, api, url, server: handle }
    }

    pub(crate) fn sandbox(&self) -> &str {
        self.sandbox.url()
    }

    /// The shop's page for an intent.
    pub(crate) fn page(&self, wanted: &str, intent: &Value) -> String {
        format!("{}/?wanted={wanted}&secret={}", self.url, intent["client_secret"].as_str().unwrap())
    }

    pub(crate) async fn close(self) {
        self.server.stop(false).await;
        self.sandbox.stop().await;
    }
}

async fn html(page: String) -> HttpResponse {
    HttpResponse::Ok().content_type("text/html; charset=utf-8").body(page)
}

/// The shop creates its intent only when the customer pays.
async fn intent(api: web::Data<Api>) -> HttpResponse {
    HttpResponse::Ok().json(api.post("/v1/payment_intents", "amount=1999&currency=eur").await)
}
