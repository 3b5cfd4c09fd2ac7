//! What must hold of each request to Stripe.

use super::{Used, Violation, Watch, broken};
use crate::world::World;

/// As long as Stripe certainly remembers a key.
const REMEMBERED: i64 = 24 * 3600 * 1_000_000;

impl Watch {
    /// Looks at a write before Stripe gets it.
    pub(crate) fn sent(&mut self, world: &World, key: &str, path: &str, form: &str) {
        let (now, request) = (world.micros(), format!("{path} {form}"));
        let used = self.keys.entry(key.to_owned()).or_insert(Used { micros: now, request: request.clone() });
        let verdict = i19_no_forgotten_key(key, used, now)
            .and_then(|()| i18_same_request(key, used, &request))
            .and_then(|()| i18_a_recorded_key(world, key));
        self.judge(verdict);
    }

    /// Something moved at Stripe.
    pub(crate) fn stripe_moved(&mut self, world: &World, events: &[String]) {
        world.note("events", || events.join(" "));
    }
}

/// I19: no write is sent under a key that Stripe may have forgotten.
fn i19_no_forgotten_key(key: &str, used: &Used, now: i64) -> Result<(), Violation> {
    if now - used.micros < REMEMBERED {
        return Ok(());
    }
    broken("I19", format!("{key} was first sent {} hours ago", (now - used.micros) / 3_600_000_000))
}

/// I18: whatever is asked was written down before, with its key.
fn i18_a_recorded_key(world: &World, key: &str) -> Result<(), Violation> {
    if world.rows.calls().iter().any(|call| call.key() == key) {
        return Ok(());
    }
    broken("I18", format!("{key} is the key of no recorded call"))
}

/// I18: one key is one request, to the letter.
fn i18_same_request(key: &str, used: &Used, request: &str) -> Result<(), Violation> {
    if used.request == request {
        return Ok(());
    }
    broken("I18", format!("{key} was {}, and now {request}", used.request))
}
