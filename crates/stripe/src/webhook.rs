//! Whether a webhook comes from Stripe.
//!
//! Source: <https://docs.stripe.com/webhooks/signatures>

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use time::OffsetDateTime;

/// How old a signature may be, and how far ahead of our clock. Stripe signs every attempt to deliver anew, so
/// this is no bound on the age of the event.
pub const TOLERANCE: Duration = Duration::from_secs(300);

/// A real header has about 100 bytes for each secret in use.
const HEADER_BYTES_MAX: usize = 4096;

/// Why a webhook was not accepted. Answer 400 and keep nothing but a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No header, or an empty one.
    #[error("no Stripe-Signature header")]
    Missing,
    /// The header is longer than any real one.
    #[error("the Stripe-Signature header is too long")]
    TooLong,
    /// The header has not exactly one readable time.
    #[error("the Stripe-Signature header has not exactly one time")]
    NoTime,
    /// The header has no signature of the scheme `v1`; others do not count.
    #[error("the Stripe-Signature header has no v1 signature")]
    NoSignature,
    /// No signature is that of these bytes under any secret.
    #[error("no signature matches")]
    Mismatch,
    /// Well signed, but longer ago than the tolerance: a replay, or a clock is wrong.
    #[error("the signature is too old")]
    TooOld,
    /// Well signed, but further ahead than the tolerance: a clock is wrong.
    #[error("the signature is from the future")]
    TooNew,
    /// There is no secret to check with. Nothing is ever accepted unchecked.
    #[error("no webhook secret is configured")]
    NoSecret,
}

/// Checks that Stripe signed exactly these bytes, with any one of `secrets`, within `tolerance` of `now`.
///
/// `header` is the value of `Stripe-Signature`. Several secrets are in use while one is rolled, and for as
/// long the header holds several signatures; one match is enough. The time is judged only once a signature
/// matches, so [`SignatureError::TooOld`] and [`SignatureError::TooNew`] tell of clocks and replays, never of
/// strangers.
///
/// # Errors
/// [`SignatureError`] says what is wrong; the body must not be looked at.
pub fn verify(
    header: Option<&str>,
    body: &[u8],
    secrets: &[SecretString],
    now: OffsetDateTime,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    let header = Header::parse(header)?;
    let macs: Vec<_> = secrets.iter().filter_map(|secret| keyed(secret, header.time, body)).collect();
    if macs.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    let matches = |signature: &Vec<u8>| macs.iter().any(|mac| mac.clone().verify_slice(signature).is_ok());
    if !header.signatures.iter().any(matches) {
        return Err(SignatureError::Mismatch);
    }
    let age = i128::from(now.unix_timestamp()) - i128::from(header.seconds);
    let tolerance = i128::from(tolerance.as_secs());
    match age {
        _ if age > tolerance => Err(SignatureError::TooOld),
        _ if age < -tolerance => Err(SignatureError::TooNew),
        _ => Ok(()),
    }
}

/// A keyed hash over time and body. An empty secret would be one that everybody knows.
fn keyed(secret: &SecretString, time: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let secret = secret.expose_secret().trim();
    if secret.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(time.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// The parts of a header that count.
struct Header<'a> {
    /// As it was written, since that is what was signed.
    time: &'a str,
    /// The same as a number.
    seconds: i64,
    /// Those of the scheme `v1` that are hexadecimal at all.
    signatures: Vec<Vec<u8>>,
}

impl<'a> Header<'a> {
    fn parse(text: Option<&'a str>) -> Result<Self, SignatureError> {
        let text = text.filter(|text| !text.trim().is_empty()).ok_or(SignatureError::Missing)?;
        if text.len() > HEADER_BYTES_MAX {
            return Err(SignatureError::TooLong);
        }
        let (mut times, mut signed, mut signatures) = (Vec::new(), false, Vec::new());
        for (scheme, value) in text.split(',').filter_map(|part| part.split_once('=')) {
            match scheme {
                "t" => times.push(value),
                "v1" => {
                    signed = true;
                    signatures.extend(hex::decode(value));
                }
                _ => {}
            }
        }
        let [time] = times[..] else { return Err(SignatureError::NoTime) };
        let digits = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
        let seconds = time.parse().ok().filter(|_| digits).ok_or(SignatureError::NoTime)?;
        if !signed {
            return Err(SignatureError::NoSignature);
        }
        Ok(Self { time, seconds, signatures })
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
