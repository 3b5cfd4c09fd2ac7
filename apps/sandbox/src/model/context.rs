//! What a handler works with: one world, the time, entropy, and the request's identity.

use super::error::{ApiError, ApiResult};
use super::form::shorten;
use super::random::Random;
use super::time::Time;
use super::world::World;

pub struct Context<'a> {
    pub world: &'a mut World,
    /// The world of the other mode, only to say "a similar object exists in live mode".
    pub other: &'a World,
    pub now: Time,
    pub random: Random,
    /// Null on events that no API request caused.
    pub request_id: Option<String>,
    pub idempotency_key: Option<String>,
    /// Events emitted so far.
    pub events: Vec<String>,
}

impl Context<'_> {
    /// 404 for an object that is not in this world. `param` is the parameter that named it.
    pub fn no_such(&self, kind: &str, id: &str, param: &str) -> Box<ApiError> {
        let error = ApiError::no_such(kind, id, param);
        if self.other.find(id).is_none() {
            return error.into();
        }
        let (there, here) = if self.world.livemode { ("test", "live") } else { ("live", "test") };
        let message = format!(
            "No such {kind}: '{}'; a similar object exists in {there} mode, but a {here} mode key was used to make this request.",
            shorten(id)
        );
        ApiError { message, ..error }.into()
    }

    /// The id of a customer of this world.
    ///
    /// # Errors
    /// 400 `resource_missing`: in a parameter, an unknown customer is a bad request.
    pub fn customer(&self, id: Option<&str>) -> ApiResult<Option<String>> {
        match id {
            None => Ok(None),
            Some(id) if self.world.customers.get(id).is_some_and(|customer| !customer.deleted) => {
                Ok(Some(id.to_owned()))
            }
            Some(id) => {
                let error = *self.no_such("customer", id, "customer");
                Err(error.status(400).into())
            }
        }
    }
}
