//! The signature of a webhook: what Stripe signed is accepted within the tolerance, and nothing else ever.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use paywright_stripe::{SignatureError, verify};
use secrecy::SecretString;
use sha2::Sha256;
use time::OffsetDateTime;

use super::draw::Draw;

/// None of them is an other's with blanks around it, but the last, which is no secret.
const SECRETS: [&str; 4] = ["whsec_one", "whsec_two", " whsec_three\n", "  "];

/// # Panics
/// When a header is accepted that Stripe did not write, or one refused that it did.
pub fn run(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let tolerance = Duration::from_secs(draw.number());
    let now = i64::try_from(draw.number() % 253_402_300_800).unwrap_or(0);
    match draw.byte() % 4 {
        0 => foreign(&mut draw, now, tolerance),
        _ => own(&mut draw, now, tolerance),
    }
}

/// Any header over any body: whatever is accepted bears a right signature of its time.
fn foreign(draw: &mut Draw<'_>, now: i64, tolerance: Duration) {
    let header = draw.text();
    let body = draw.rest();
    if check(Some(&header), body, &SECRETS, now, tolerance).is_err() {
        return;
    }
    let times: Vec<_> = header.split(',').filter_map(|part| part.strip_prefix("t=")).collect();
    let [time] = times[..] else { panic!("accepted with {} times: {header:?}", times.len()) };
    let age = i128::from(now) - time.parse::<i128>().expect("a time is a number");
    assert!(
        age.unsigned_abs() <= u128::from(tolerance.as_secs()),
        "accepted at an age of {age} s: {header:?}"
    );
    let signed = SECRETS[..3].iter().any(|secret| {
        header.to_lowercase().split(',').any(|part| part == format!("v1={}", sign(secret, time, body)))
    });
    assert!(signed, "accepted unsigned: {header:?}");
}

/// A header of Stripe's, with whatever else Stripe may one day write into it.
fn own(draw: &mut Draw<'_>, now: i64, tolerance: Duration) {
    let time = i64::try_from(draw.number() % 253_402_300_800).unwrap_or(0);
    let signer = draw.pick(&SECRETS[..3]);
    let (before, after) = (noise(&draw.text()), noise(&draw.text()));
    let body = draw.rest();
    let (text, right) = (time.to_string(), sign(signer, &time.to_string(), body));
    let wrong = sign("whsec_other", &text, body);
    let header_of = |time: &str| format!("{before}t={time},v1={wrong},v1={right}{after}");
    let header = header_of(&text);
    let fresh = (i128::from(now) - i128::from(time)).unsigned_abs() <= u128::from(tolerance.as_secs());

    let judged = check(Some(&header), body, &SECRETS, now, tolerance);
    match judged {
        Ok(()) => assert!(fresh, "accepted too late: {header:?}"),
        Err(SignatureError::TooOld) => assert!(!fresh && time < now, "{header:?}"),
        Err(SignatureError::TooNew) => assert!(!fresh && time > now, "{header:?}"),
        Err(SignatureError::TooLong) => assert!(header.len() > 4096),
        Err(other) => panic!("{other}: {header:?}"),
    }
    if judged.is_err() {
        return;
    }
    let other: Vec<_> = SECRETS.into_iter().filter(|secret| *secret != signer).collect();
    assert_eq!(check(Some(&header), body, &other, now, tolerance), Err(SignatureError::Mismatch));
    assert_eq!(check(Some(&header), body, &["", " "], now, tolerance), Err(SignatureError::NoSecret));
    let longer = [body, b"\n"].concat();
    assert_eq!(check(Some(&header), &longer, &SECRETS, now, tolerance), Err(SignatureError::Mismatch));
    if let Some((last, shorter)) = body.split_last() {
        assert_eq!(check(Some(&header), shorter, &SECRETS, now, tolerance), Err(SignatureError::Mismatch));
        let changed = [shorter, &[last ^ 1]].concat();
        assert_eq!(check(Some(&header), &changed, &SECRETS, now, tolerance), Err(SignatureError::Mismatch));
    }
    let later = header_of(&(time + 1).to_string());
    assert!(
        check(Some(&later), body, &SECRETS, now, tolerance).is_err(),
        "the time is signed too: {later:?}"
    );
}

/// A part of a scheme that we do not know.
fn noise(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(",x{},", text.replace(',', "")) }
}

fn check(
    header: Option<&str>,
    body: &[u8],
    secrets: &[&str],
    now: i64,
    tolerance: Duration,
) -> Result<(), SignatureError> {
    let secrets: Vec<_> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
    let now = OffsetDateTime::from_unix_timestamp(now).expect("below the year 10,000");
    verify(header, body, &secrets, now, tolerance)
}

fn sign(secret: &str, time: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.trim().as_bytes()).expect("a key has any length");
    for part in [time.as_bytes(), b".", body] {
        mac.update(part);
    }
    hex::encode(mac.finalize().into_bytes())
}
