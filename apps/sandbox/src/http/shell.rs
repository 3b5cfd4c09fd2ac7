//! What all handlers and the delivery worker share: the model behind a lock, its journal, the clock.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Notify;

use super::record::Recorder;
use crate::journal::Journal;
use crate::model::delivery::Outgoing;
use crate::model::error::ApiError;
use crate::model::fault::{Faults, Kind, Subject, Verdict};
use crate::model::idempotency::InFlight;
use crate::model::random::Random;
use crate::model::{Blow, Control, Effect, Input, Method, Mode, Model, Request, Response, Time};

pub(super) struct Shell {
    core: Mutex<Core>,
    /// Wakes the delivery worker.
    pub(super) wake: Notify,
    pub(super) recorder: Option<Recorder>,
}

struct Core {
    model: Model,
    journal: Option<Journal>,
    in_flight: InFlight,
    sending: HashSet<(Mode, u64)>,
    faults: Faults,
    /// Deliveries whose faults were decided; each is struck once, at its first attempt.
    struck: HashSet<(Mode, u64)>,
}

impl Shell {
    pub(super) fn new(model: Model, journal: Option<Journal>, recorder: Option<Recorder>) -> Self {
        let core = Core {
            model,
            journal,
            in_flight: InFlight::default(),
            sending: HashSet::new(),
            faults: Faults::default(),
            struck: HashSet::new(),
        };
        Self { core: Mutex::new(core), wake: Notify::new(), recorder }
    }

    /// A panic in a handler must not end the sandbox: the model is changed by single calls.
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies an input: written down first, then done.
    pub(super) fn apply(&self, input: &Input) -> Response {
        let response = self.lock().apply(input);
        self.wake.notify_one();
        response
    }

    pub(super) fn control(&self, control: Control) -> Response {
        self.apply(&Input::Control(control))
    }

    /// Answers an API request.
    pub(super) fn request(&self, request: Request, fault: Option<Effect>) -> Response {
        if request.method == Method::Get {
            return self.read(|model, wall| model.read(&request, fault, wall, entropy()));
        }
        self.apply(&Input::Request { request, fault })
    }

    /// Looks at the model as it is now: what is due has happened.
    pub(super) fn read<T>(&self, look: impl FnOnce(&mut Model, Time) -> T) -> T {
        let mut core = self.lock();
        let wall = wall();
        if core.model.has_due_timer(wall) {
            core.apply(&Input::Tick);
            self.wake.notify_one();
        }
        look(&mut core.model, wall)
    }

    /// Holds an idempotency key until the guard is dropped.
    pub(super) fn hold<'a>(&'a self, request: &Request) -> Result<Option<Held<'a>>, Box<ApiError>> {
        let Some(key) = request.idempotency_key.as_ref().filter(|_| request.method == Method::Post) else {
            return Ok(None);
        };
        let world = request.api_key.as_deref().and_then(|key| key.get(3..7)).unwrap_or_default();
        let scoped = format!("{world} {key}");
        match self.lock().in_flight.begin(&scoped) {
            Ok(()) => Ok(Some(Held { shell: self, key: scoped })),
            Err(mut error) => {
                error.message = error.message.replace(&scoped, key);
                Err(error)
            }
        }
    }

    /// Takes another state instead of its own; its pages and settings stay.
    pub(super) fn replace(&self, model: Model) -> io::Result<()> {
        let mut core = self.lock();
        let settings = core.model.settings.clone();
        if let Some(journal) = &mut core.journal {
            journal.replace(&model)?;
        }
        core.model = model;
        core.struck.clear();
        core.apply(&Input::Configure { settings, presets: Vec::new() });
        drop(core);
        self.wake.notify_one();
        Ok(())
    }

    /// The faults that strike a request.
    ///
    /// # Errors
    /// The 429 of a rate limit.
    pub(super) fn decide(&self, request: &Request) -> Result<Vec<Verdict>, Box<Response>> {
        let mut core = self.lock();
        if core.faults.is_idle() {
            return Ok(Vec::new());
        }
        if let Some(reason) = core.faults.limit(request.method, &request.path, wall()) {
            let error = ApiError::too_many("Request rate limit exceeded.").code("rate_limit");
            let response = super::api::early(&error).header("Stripe-Rate-Limited-Reason", reason);
            return Err(Box::new(response));
        }
        Ok(core.faults.decide(Subject::Request { method: request.method, path: &request.path }))
    }

    /// Works on the rules.
    pub(super) fn faults<T>(&self, work: impl FnOnce(&mut Faults) -> T) -> T {
        work(&mut self.lock().faults)
    }

    /// Takes deliveries to be sent now, and says how long to wait for the next.
    pub(super) fn take_deliveries(&self, most: usize) -> (Vec<(Mode, Outgoing)>, Option<i64>) {
        let mut guard = self.lock();
        let core = &mut *guard;
        let wall = wall();
        if core.model.has_due_timer(wall) {
            core.apply(&Input::Tick);
        }
        let due =
            core.model.due_deliveries(wall, most, |mode, number| core.sending.contains(&(mode, number)));
        let mut taken = Vec::new();
        for (mode, outgoing) in due {
            match outgoing {
                Ok(outgoing) => taken.extend(core.strike(mode, outgoing).map(|outgoing| (mode, outgoing))),
                Err(delivery) => {
                    core.struck.remove(&(mode, delivery));
                    core.apply(&Input::Abandon { mode, delivery });
                }
            }
        }
        core.sending.extend(taken.iter().map(|(mode, outgoing)| (*mode, outgoing.delivery)));
        let now = core.model.clock.at(wall);
        let wait = core.model.next_at().filter(|_| !core.model.clock.is_frozen()).map(|at| at.0 - now.0);
        (taken, wait)
    }

    /// Records what came of a delivery.
    pub(super) fn delivered(&self, mode: Mode, delivery: u64, input: &Input) {
        let mut core = self.lock();
        core.sending.remove(&(mode, delivery));
        core.struck.remove(&(mode, delivery));
        core.apply(input);
        drop(core);
        self.wake.notify_one();
    }
}

impl Core {
    /// Lets the faults strike a delivery; none when it is not to be sent now.
    fn strike(&mut self, mode: Mode, mut outgoing: Outgoing) -> Option<Outgoing> {
        if self.faults.is_idle() {
            return Some(outgoing);
        }
        let delivery = outgoing.delivery;
        let first = outgoing.attempts == 0 && self.struck.insert((mode, delivery));
        for verdict in self.faults.decide(Subject::Webhook { kind: &outgoing.kind }) {
            let blow = match verdict.kind {
                // The signature is made of the true body, so the receiver must notice.
                Kind::Corrupt => {
                    outgoing.corrupt = true;
                    continue;
                }
                Kind::OldSecret => {
                    outgoing.secrets = vec!["whsec_an_old_secret_that_was_rolled".to_owned()];
                    continue;
                }
                Kind::Drop if first => Blow::Lose { url: outgoing.url.clone() },
                Kind::Duplicate if first => {
                    // Copies are not copied again.
                    let newest = self.model.world(mode).deliveries.count();
                    self.struck.extend((1..=u64::from(verdict.copies)).map(|number| (mode, newest + number)));
                    self.apply(&Input::Strike {
                        mode,
                        delivery,
                        blow: Blow::Duplicate { copies: verdict.copies },
                    });
                    continue;
                }
                Kind::Delay | Kind::Reorder if first && verdict.millis > 0 => {
                    Blow::Postpone { millis: i64::try_from(verdict.millis).unwrap_or(i64::MAX) }
                }
                _ => continue,
            };
            if matches!(blow, Blow::Lose { .. }) {
                self.struck.remove(&(mode, delivery));
            }
            self.apply(&Input::Strike { mode, delivery, blow });
            return None;
        }
        Some(outgoing)
    }

    fn apply(&mut self, input: &Input) -> Response {
        let (wall, entropy) = (wall(), entropy());
        if let Some(journal) = &mut self.journal
            && let Err(error) = journal.append(input, wall, entropy)
        {
            tracing::error!(%error, "could not write the journal; the request was not carried out");
            let error = ApiError::internal("The sandbox could not write its journal.");
            return Response::json(500, &error.body());
        }
        let response = self.model.apply(input, wall, entropy);
        if let Some(journal) = &mut self.journal
            && let Err(error) = compacted(journal, &self.model)
        {
            tracing::warn!(%error, "could not shorten the journal; it goes on growing");
        }
        response
    }
}

fn compacted(journal: &mut Journal, model: &Model) -> io::Result<()> {
    journal.compact(model)
}

/// An idempotency key in use.
pub(super) struct Held<'a> {
    shell: &'a Shell,
    key: String,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shell.lock().in_flight.end(&self.key);
    }
}

/// Real time.
#[expect(clippy::disallowed_methods, reason = "the shell is where the sandbox's real time comes from")]
pub(super) fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The id of a request that the model never sees.
pub(super) fn request_id() -> String {
    format!("req_{}", Random::new(entropy(), 0).text(14))
}

fn entropy() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u64::from_le_bytes(bytes)
}
