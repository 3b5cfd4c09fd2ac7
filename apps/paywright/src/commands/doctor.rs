//! `doctor`: one line a check, and what to do about it.

use std::process::ExitCode;

use anyhow::Context as _;
use paywright_stripe::{EVENTS_NEEDED, EndpointChange, Finding, Stripe, judge};

use super::webhooks::{Tell, fresh_key};
use crate::{
    cli::one_line,
    config::{ConfigError, Settings},
    doctor::{self, Check, Grade},
    wiring,
};

/// `paywright doctor`
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {
    /// As JSON.
    #[arg(long)]
    json: bool,
    /// Makes the webhook endpoint at Stripe, or mends it, before looking.
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    tell: Tell,
}

impl Doctor {
    /// 0: all is well; 1: something is to be looked at; 2: payments are in danger.
    pub(crate) async fn run(self, settings: Result<Settings, ConfigError>) -> anyhow::Result<ExitCode> {
        let settings = match settings {
            Ok(settings) => settings,
            Err(error) => return self.report(&[doctor::unconfigured(&error)]),
        };
        super::log(&settings.log)?;
        let mended = if self.fix { self.mend(&settings).await } else { Ok(()) };
        let mut checks = doctor::examine(&settings).await;
        if let Err(error) = mended {
            checks.push(doctor::not_mended(one_line(&error)));
        }
        self.report(&checks)
    }

    fn report(&self, checks: &[Check]) -> anyhow::Result<ExitCode> {
        let gravest = doctor::gravest(checks);
        if self.json {
            let report = serde_json::json!({"object": "doctor", "grade": gravest, "checks": checks});
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            for Check { name, grade, found, remedy, .. } in checks {
                println!("{:<5} {name:<15} {found}", grade.to_string());
                if let Some(remedy) = remedy {
                    println!("{:<21} -> {remedy}", "");
                }
            }
        }
        Ok(ExitCode::from(match gravest {
            Grade::Ok => 0,
            Grade::Warn => 1,
            Grade::Fail => 2,
        }))
    }

    /// Does what can be done about the endpoint without a person's decision. What it did goes to standard error, since
    /// the report may be JSON.
    async fn mend(&self, settings: &Settings) -> anyhow::Result<()> {
        let url = doctor::webhook_url(settings).context("http.public_url is not set")?;
        let stripe = wiring::stripe(settings)?;
        let endpoints = stripe.endpoints().await?;
        for finding in judge(&endpoints, &url, settings.mode) {
            match finding {
                Finding::Missing { .. } | Finding::OtherUrl { .. } => self.make(&stripe, &url).await?,
                Finding::Disabled { endpoint } => {
                    let change = EndpointChange { enabled: Some(true), ..EndpointChange::default() };
                    stripe.update_endpoint(&endpoint, &change, &fresh_key()).await?;
                    eprintln!("{endpoint} is enabled again");
                }
                Finding::MissingEvents { endpoint, types } => {
                    let sent = endpoints.iter().find(|one| one.id == endpoint).map(|one| one.events.clone());
                    let events = [sent.unwrap_or_default(), types].concat();
                    let change = EndpointChange { events: Some(events), ..EndpointChange::default() };
                    stripe.update_endpoint(&endpoint, &change, &fresh_key()).await?;
                    eprintln!("{endpoint} sends all we need now");
                }
                // The report says what to do.
                Finding::OtherVersion { .. } | Finding::OtherMode { .. } | Finding::Repeated { .. } => {}
            }
        }
        Ok(())
    }

    /// An endpoint with another address is left alone: it may be another installation's.
    async fn make(&self, stripe: &Stripe, url: &str) -> anyhow::Result<()> {
        let telling = self.tell.prepare()?;
        let (made, secret) = stripe.create_endpoint(url, &EVENTS_NEEDED, &fresh_key()).await?;
        eprintln!("{} is made; Stripe sends its events to {url}", made.id);
        let place = telling.tell(&secret)?;
        eprintln!("Set STRIPE_WEBHOOK_SECRET of every server to its secret, {place}, and start them again.");
        Ok(())
    }
}
