//! `webhooks roll`: a new signing secret without a lost event.
//!
//! Stripe has no call that gives an endpoint another secret. So a second endpoint with our address is made, both send
//! every event (which is known as a repeat by its id), and the first is deleted once the second is heard.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Subcommand;
use paywright_domain::ports::{Archive as _, Clock as _, Entropy as _, InboxEvent, Window};
use paywright_stripe::{EVENTS_NEEDED, Endpoint, Finding, Stripe, judge};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    config::Settings,
    doctor::{
        self,
        endpoint::{is_needed, their_now},
    },
    system::{OsEntropy, SystemClock},
    wiring,
};

/// Stripe repeats the answer to a creation, with the secret in it, for a day.
const TOLD_AGAIN: time::Duration = time::Duration::hours(23);
/// An event is delivered within this, or not at the first attempt.
const SETTLED: time::Duration = time::Duration::seconds(5);
/// So many events in a row are proof, since servers are hit by turns.
const PROOF: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Stripe has no more endpoints of an account.
const ROLLS_MAX: u32 = 16;

/// `paywright webhooks ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Webhooks {
    /// Gives the webhook endpoint a new signing secret, in two steps; each may be repeated.
    #[command(subcommand)]
    Roll(Roll),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Roll {
    /// Makes a second endpoint at our address, and tells its secret and where to put it.
    Start {
        #[command(flatten)]
        tell: Tell,
    },
    /// Checks that events arrive under the new secret, then deletes the old endpoint.
    Finish {
        /// Deletes it without that proof.
        #[arg(long)]
        force: bool,
    },
}

/// Where a new secret is told: nowhere but there.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Tell {
    /// Writes a new secret to this file, which must not exist and is readable by its owner only.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Prints a new secret.
    #[arg(long)]
    show_secret: bool,
}

impl Webhooks {
    pub(crate) async fn run(self, settings: Settings) -> anyhow::Result<()> {
        let url = doctor::webhook_url(&settings)
            .context("http.public_url is not set: nobody can tell which endpoint is ours")?;
        let stripe = wiring::stripe(&settings)?;
        let endpoints = stripe.endpoints().await?;
        let ours: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.url == url).collect();
        match self {
            Self::Roll(Roll::Start { tell }) => start(&stripe, &url, &ours, &tell).await,
            Self::Roll(Roll::Finish { force }) => finish(&stripe, &settings, &url, &ours, force).await,
        }
    }
}

/// `ours`: newest first.
async fn start(stripe: &Stripe, url: &str, ours: &[&Endpoint], tell: &Tell) -> anyhow::Result<()> {
    let old = ours.last().with_context(|| {
        format!("no endpoint at Stripe has the address {url}; `paywright doctor --fix` makes one")
    })?;
    let newest = ours[0];
    let told_again = newest.created_at > their_now(stripe) - TOLD_AGAIN;
    anyhow::ensure!(
        ours.len() == 1 || told_again,
        "{} was made to take the place of {}, and its secret cannot be told again: `paywright webhooks roll finish` \
         if it is in use, else delete {} at Stripe",
        newest.id,
        old.id,
        newest.id,
    );
    let telling = tell.prepare()?;
    let (made, secret) = second(stripe, url, old).await?;
    println!("{} takes the place of {}: both send events to {url} now", made.id, old.id);
    let place = telling.tell(&secret)?;
    println!(
        "1. Put the new secret, {place}, beside the old one: STRIPE_WEBHOOK_SECRET=OLD,NEW\n\
         2. Start every server again.\n\
         3. Run `paywright webhooks roll finish`."
    );
    Ok(())
}

/// A second endpoint. The key follows from the old one, so that doing it again makes no third one but tells the secret
/// again; where the second was deleted meanwhile, another key makes another.
async fn second(stripe: &Stripe, url: &str, old: &Endpoint) -> anyhow::Result<(Endpoint, SecretString)> {
    for roll in 1..=ROLLS_MAX {
        let key = format!("roll_endpoint:{}:{roll}", old.id);
        let (made, secret) = stripe.create_endpoint(url, &EVENTS_NEEDED, &key).await?;
        if stripe.endpoints().await?.iter().any(|endpoint| endpoint.id == made.id) {
            return Ok((made, secret));
        }
    }
    anyhow::bail!("a roll was begun and given up {ROLLS_MAX} times today; try again tomorrow")
}

/// `ours`: newest first.
async fn finish(
    stripe: &Stripe,
    settings: &Settings,
    url: &str,
    ours: &[&Endpoint],
    force: bool,
) -> anyhow::Result<()> {
    let [new, old @ ..] = ours else { anyhow::bail!("no endpoint at Stripe has the address {url}") };
    if old.is_empty() {
        println!("nothing to finish: {} is the only endpoint with our address", new.id);
        return Ok(());
    }
    let wants = judge(&[(*new).clone()], url, settings.mode);
    let grave = wants.iter().find(|want| !matches!(want, Finding::OtherVersion { .. }));
    if let Some(want) = grave {
        anyhow::bail!("{want}; `paywright doctor --fix` mends it");
    }
    if !force {
        prove(stripe, new).await?;
    }
    for old in old {
        stripe.delete_endpoint(&old.id).await?;
        println!("{} is deleted", old.id);
    }
    println!(
        "Take the old secret out of STRIPE_WEBHOOK_SECRET and start every server again: only the new one is used."
    );
    Ok(())
}

/// Waits for a proof that what the new endpoint sends is accepted: Stripe calls an event delivered when every endpoint
/// that was to get it has taken it.
async fn prove(stripe: &Stripe, new: &Endpoint) -> anyhow::Result<()> {
    let begun = tokio::time::Instant::now();
    loop {
        let Err(doubt) = proof(stripe, new).await? else { return Ok(()) };
        if begun.elapsed() > PATIENCE {
            anyhow::bail!("{doubt}");
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn proof(stripe: &Stripe, new: &Endpoint) -> anyhow::Result<Result<(), String>> {
    // Its own second is left out: what was made in it may have been made before it.
    let from = new.created_at + time::Duration::SECOND;
    let before = their_now(stripe) - SETTLED;
    let none = format!(
        "no event was sent since {} was made: try again after the next payment, or take `--force`",
        new.id
    );
    if before <= from {
        return Ok(Err(none));
    }
    let window = Window { from, before };
    let (events, undelivered) =
        tokio::try_join!(stripe.events(window, None), stripe.undelivered(window, None))?;
    let newest: Vec<&InboxEvent> = events.rows.iter().filter(|event| is_needed(event)).take(PROOF).collect();
    if newest.is_empty() {
        return Ok(Err(none));
    }
    let missed = newest.iter().find(|event| undelivered.rows.iter().any(|missed| missed.id == event.id));
    Ok(missed.map_or(Ok(()), |missed| {
        Err(format!(
            "Stripe could not deliver {} ({}) under both secrets: is the new one in STRIPE_WEBHOOK_SECRET of every \
             server, and were they started again?",
            missed.id, missed.kind
        ))
    }))
}

/// An idempotency key of one wish.
pub(crate) fn fresh_key() -> String {
    let mut random = [0; 16];
    OsEntropy.fill(&mut random);
    format!("endpoint:{}:{}", SystemClock.now().unix_timestamp(), hex::encode(random))
}

impl Tell {
    /// Makes sure that a secret can be told before there is one.
    pub(crate) fn prepare(&self) -> anyhow::Result<Telling<'_>> {
        match (&self.secret_file, self.show_secret) {
            (Some(path), _) => {
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
                let file = file.with_context(|| format!("cannot make {}", path.display()))?;
                Ok(Telling { file: Some((path, file)), told: false })
            }
            (None, true) => Ok(Telling { file: None, told: false }),
            (None, false) => anyhow::bail!(
                "a new secret is told once: say where by --secret-file FILE, or see it by --show-secret"
            ),
        }
    }
}

/// A place that waits for a secret; an empty file goes with it.
pub(crate) struct Telling<'a> {
    file: Option<(&'a Path, File)>,
    told: bool,
}

impl Telling<'_> {
    /// Tells the secret, and says where it stands.
    pub(crate) fn tell(mut self, secret: &SecretString) -> anyhow::Result<String> {
        self.told = true;
        match &mut self.file {
            Some((path, file)) => {
                writeln!(file, "{}", secret.expose_secret()).and_then(|()| file.sync_all())?;
                Ok(format!("in {}", path.display()))
            }
            None => Ok(secret.expose_secret().to_owned()),
        }
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.as_ref().filter(|_| !self.told)
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "an empty file is left");
        }
    }
}
