//! Request bodies and query strings, parsed at the border: bounded, strict, and with the field named.

use std::{fmt, future::Future, marker::PhantomData, ops::Deref, pin::Pin, time::Duration};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use utoipa::ToSchema;

use super::problem::Problem;

/// The most bytes that a request may have, unless its route says otherwise by [`BodyMax`].
const BODY_MAX: usize = 256 * 1024;
/// The most characters of a field's name that an answer repeats.
const FIELD_MAX: usize = 120;
/// How long a client may take to send them.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// A route's own limit, as `app_data`.
#[derive(Debug, Clone, Copy)]
pub struct BodyMax(pub usize);

/// The bytes of a request exactly as they came: bounded in size and time, never decompressed.
#[derive(Debug, Clone)]
pub struct Body(Bytes);

impl Deref for Body {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl FromRequest for Body {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let max = request.app_data::<BodyMax>().map_or(BODY_MAX, |max| max.0);
        let payload = web::Payload::from_request(request, payload);
        Box::pin(async move {
            let unreadable = || Problem::bad_request("unreadable_body", "the body broke off");
            let payload = payload.await.map_err(|_| unreadable())?;
            match tokio::time::timeout(BODY_DEADLINE, payload.to_bytes_limited(max)).await {
                Ok(Ok(Ok(bytes))) => Ok(Self(bytes)),
                Ok(Ok(Err(_))) => Err(unreadable()),
                Ok(Err(_)) => {
                    let title = "The request is too large";
                    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", title);
                    Err(problem.detail(format!("at most {max} bytes")))
                }
                Err(_) => {
                    let title = "The request came too slowly";
                    Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", title))
                }
            }
        })
    }
}

/// A JSON object. Serde alone would take a list of a struct's fields, in their order, as well.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnlyMaps<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OnlyMaps<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OnlyMaps(PhantomData))
    }
}

/// A body that says nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// An amount that a client names, in minor units: at least one, and no more than money can be.
#[derive(Debug, Clone, Copy)]
pub struct Minor(u64);

impl Minor {
    /// As a number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let minor = u64::deserialize(deserializer)?;
        if minor == 0 || i64::try_from(minor).is_err() {
            return Err(de::Error::custom("must be a positive amount of minor units"));
        }
        Ok(Self(minor))
    }
}

/// Reads a JSON body strictly. No body at all reads as `{}`.
///
/// # Errors
/// 415 for another content type, 400 for what is no JSON, 422 naming the field for JSON that does not fit.
pub fn json<T: DeserializeOwned>(request: &HttpRequest, body: &Bytes) -> Result<T, Problem> {
    let empty = body.iter().all(u8::is_ascii_whitespace);
    if !empty {
        check_content_type(request)?;
    }
    let bytes: &[u8] = if empty { b"{}" } else { body };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Object(value) =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| explain(&error))?;
    deserializer.end().map_err(|_| Problem::bad_request("malformed_json", "more than one JSON value"))?;
    Ok(value)
}

fn check_content_type(request: &HttpRequest) -> Result<(), Problem> {
    let given =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Send JSON");
    Err(problem.detail("the body must be application/json"))
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    if !inner.is_data() {
        return Problem::bad_request("malformed_json", format!("not JSON: {}", without_place(inner)));
    }
    let path = error.path().to_string();
    let text = without_place(inner);
    let field = match missing_or_unknown(&text) {
        Some(name) if path == "." => name,
        Some(name) if path.ends_with(&name) => path,
        Some(name) => format!("{path}.{name}"),
        None if path == "." => String::new(),
        None => path,
    };
    Problem::invalid(field.chars().filter(|c| !c.is_control()).take(FIELD_MAX).collect::<String>(), text)
}

/// The field that serde names in "missing field `x`", "unknown field `x`" and "duplicate field `x`".
fn missing_or_unknown(text: &str) -> Option<String> {
    let rest = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| text.strip_prefix(start))?;
    Some(rest.split('`').next().unwrap_or("").chars().take(80).collect())
}

/// Without " at line 1 column 2", and bounded: the text may quote what the client sent.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

/// Reads a query string strictly.
///
/// # Errors
/// 422 naming the parameter.
pub fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    actix_web::web::Query::<T>::from_query(request.query_string())
        .map(actix_web::web::Query::into_inner)
        .map_err(|error| {
            let text: String = error.to_string().chars().filter(|c| !c.is_control()).take(300).collect();
            let text = text.strip_prefix("Query deserialize error: ").unwrap_or(&text).to_owned();
            Problem::invalid(missing_or_unknown(&text).unwrap_or_else(|| "query".to_owned()), text)
        })
}

/// Reads an id out of the path. One of another kind is as unknown as one that does not exist.
///
/// # Errors
/// 404.
pub fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(what))
}
