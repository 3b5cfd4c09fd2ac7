//! Idempotency keys: the first answer is kept for a day and replayed.
//!
//! Source: <https://docs.stripe.com/api/idempotent_requests>, <https://docs.stripe.com/error-low-level>.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{ApiError, ApiResult};
use super::time::{DAY, Time};

/// Longest key.
pub const KEY_LENGTH_MAX: usize = 255;
/// Stripe prunes keys after at least this time.
pub const KEPT_SECONDS: i64 = DAY;
/// Most answers kept; beyond it the oldest go early, so that memory stays bounded under load.
pub const KEPT_MAX: usize = 100_000;

/// What a key was first used for: method, path and parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let mut first = [0; 16];
        first.copy_from_slice(&hash.finalize()[..16]);
        Self(first)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    key: String,
    at: Time,
    fingerprint: Fingerprint,
    pub status: u16,
    pub body: String,
    pub request_id: String,
}

/// The answers that are kept, by key. One world (account and mode) has one store.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Kept>", into = "Vec<Kept>")]
pub struct Store {
    /// In the order of their ages.
    kept: VecDeque<Kept>,
    dropped: usize,
    numbers: HashMap<String, usize>,
}

impl Store {
    /// The kept answer, if the key was used for the same request.
    ///
    /// # Errors
    /// `idempotency_error` when it was used for another.
    pub fn find(&self, key: &str, fingerprint: Fingerprint) -> ApiResult<Option<&Kept>> {
        match self.numbers.get(key).map(|number| &self.kept[number - self.dropped]) {
            None => Ok(None),
            Some(kept) if kept.fingerprint == fingerprint => Ok(Some(kept)),
            Some(_) => Err(ApiError::idempotency(format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. \
                 Try using a key other than '{key}' if you meant to execute a different request."
            ))
            .into()),
        }
    }

    pub fn keep(
        &mut self,
        key: &str,
        at: Time,
        fingerprint: Fingerprint,
        status: u16,
        body: &str,
        request: &str,
    ) {
        self.numbers.insert(key.to_owned(), self.dropped + self.kept.len());
        self.kept.push_back(Kept {
            key: key.to_owned(),
            at,
            fingerprint,
            status,
            body: body.to_owned(),
            request_id: request.to_owned(),
        });
    }

    /// Forgets what is a day old.
    pub fn prune(&mut self, now: Time) {
        while let Some(oldest) = self.kept.front() {
            if oldest.at.plus_seconds(KEPT_SECONDS) > now && self.kept.len() <= KEPT_MAX {
                return;
            }
            self.numbers.remove(&oldest.key);
            self.kept.pop_front();
            self.dropped += 1;
        }
    }

    /// Forgets one key, or all of them, before their time; answers how many.
    pub fn forget(&mut self, key: Option<&str>) -> usize {
        let before = self.kept.len();
        let kept = std::mem::take(&mut self.kept).into_iter();
        *self = kept.filter(|one| key.is_some_and(|key| one.key != key)).collect::<Vec<_>>().into();
        before - self.kept.len()
    }

    pub fn len(&self) -> usize {
        self.kept.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl From<Vec<Kept>> for Store {
    fn from(kept: Vec<Kept>) -> Self {
        let numbers = kept.iter().enumerate().map(|(number, one)| (one.key.clone(), number)).collect();
        Self { kept: kept.into(), dropped: 0, numbers }
    }
}

impl From<Store> for Vec<Kept> {
    fn from(store: Store) -> Self {
        store.kept.into()
    }
}

/// 409: another request with this key is still being answered.
pub fn in_use(key: &str) -> ApiError {
    ApiError::conflict(format!(
        "There is currently another in-progress request using this Idempotent Key (that probably means you \
         submitted twice, and the other request is still going through): {key}. Please try again later."
    ))
}

/// Keys whose first request is still being answered.
#[derive(Debug, Default)]
pub struct InFlight(HashSet<String>);

impl InFlight {
    /// # Errors
    /// 409 `idempotency_key_in_use` while another request holds the key.
    pub fn begin(&mut self, key: &str) -> ApiResult<()> {
        if self.0.insert(key.to_owned()) {
            return Ok(());
        }
        Err(in_use(key).into())
    }

    pub fn end(&mut self, key: &str) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_bound_to_its_first_request_for_a_day() {
        let mut store = Store::default();
        let (first, other) = (Fingerprint::of(&["a"]), Fingerprint::of(&["b"]));
        store.keep("k", Time(0), first, 200, "{}", "req_1");
        assert_eq!(store.find("k", first).unwrap().unwrap().body, "{}");
        assert!(store.find("k", other).is_err());
        store.prune(Time::from_seconds(DAY - 1));
        assert!(store.find("k", first).unwrap().is_some());
        store.prune(Time::from_seconds(DAY));
        assert!(store.find("k", other).unwrap().is_none());
    }

    #[test]
    fn a_key_in_flight_is_refused_until_it_ends() {
        let mut in_flight = InFlight::default();
        assert!(in_flight.begin("k").is_ok());
        assert_eq!(in_flight.begin("k").unwrap_err().status, 409);
        in_flight.end("k");
        assert!(in_flight.begin("k").is_ok());
    }
}
