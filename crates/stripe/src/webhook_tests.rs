use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-21 12:00 UTC);
const BODY: &[u8] = br#"{"id":"evt_1"}"#;
const SECRET: &str = "whsec_test";

fn sign(secret: &str, time: &str, body: &[u8]) -> String {
    let mac = keyed(&SecretString::from(secret), time, body).unwrap();
    hex::encode(mac.finalize().into_bytes())
}

fn signed_at(at: OffsetDateTime) -> String {
    let time = at.unix_timestamp().to_string();
    format!("t={time},v1={}", sign(SECRET, &time, BODY))
}

fn secrets(secrets: &[&str]) -> Vec<SecretString> {
    secrets.iter().map(|secret| SecretString::from(*secret)).collect()
}

fn check(header: &str) -> Result<(), SignatureError> {
    verify(Some(header), BODY, &secrets(&[SECRET]), NOW, TOLERANCE)
}

/// Computed apart from this code: `printf '1700000000.{}' | openssl dgst -sha256 -hmac whsec_test`.
#[test]
fn a_signature_made_by_openssl_is_accepted() {
    let header = "t=1700000000,v1=35495024f4ef3f94e5a93e22221544c4b75e9a42300cd965ab81cb85cd994e91";
    let at = datetime!(2023-11-14 22:13:20 UTC);
    assert_eq!(verify(Some(header), b"{}", &secrets(&[SECRET]), at, TOLERANCE), Ok(()));
}

/// Covers: fault 38.
#[test]
fn without_a_right_signature_nothing_is_accepted() {
    use SignatureError::*;
    let time = NOW.unix_timestamp().to_string();
    let right = sign(SECRET, &time, BODY);
    let wrong = sign("whsec_other", &time, BODY);
    let rows = [
        (String::new(), Missing),
        ("  ".to_owned(), Missing),
        (format!("v1={right}"), NoTime),
        (format!("t=,v1={right}"), NoTime),
        (format!("t=x,v1={right}"), NoTime),
        (format!("t=+{time},v1={right}"), NoTime),
        (format!("t=-{time},v1={right}"), NoTime),
        (format!("t=99999999999999999999,v1={right}"), NoTime),
        (format!("t={time},t={time},v1={right}"), NoTime),
        (format!("t={time}"), NoSignature),
        (format!("t={time},v0={right}"), NoSignature),
        (format!("t={time},v2={right}"), NoSignature),
        (format!("t={time},V1={right}"), NoSignature),
        (format!("t={time},v1"), NoSignature),
        (format!("t={time},v1="), Mismatch),
        (format!("t={time},v1={wrong}"), Mismatch),
        (format!("t={time},v1={}", &right[..62]), Mismatch),
        (format!("t={time},v1={}", &right[..63]), Mismatch),
        (format!("t={time},v1={right}00"), Mismatch),
        (format!("t={time},v1={}zz", &right[..62]), Mismatch),
        (format!("t={time},v1= {right}"), Mismatch),
        (format!("t={time},v1=x={right}"), Mismatch),
        (format!("t={time},v1={wrong},v0={right}"), Mismatch),
        (format!("t={time}1,v1={right}"), Mismatch),
        (format!("t={time},v1={right},{}", "x".repeat(5000)), TooLong),
        ("=,=,=".to_owned(), NoTime),
    ];
    for (header, expected) in rows {
        assert_eq!(check(&header), Err(expected), "{header}");
    }
    assert_eq!(verify(None, BODY, &secrets(&[SECRET]), NOW, TOLERANCE), Err(Missing));
}

/// Covers: fault 38.
#[test]
fn a_signature_is_over_exactly_these_bytes() {
    let header = signed_at(NOW);
    for body in [&b"{\"id\": \"evt_1\"}"[..], b"", b"{\"id\":\"evt_1\"}\n", b"{\"id\":\"evt_2\"}"] {
        let outcome = verify(Some(&header), body, &secrets(&[SECRET]), NOW, TOLERANCE);
        assert_eq!(outcome, Err(SignatureError::Mismatch));
    }
}

/// Covers: fault 39.
#[test]
fn the_age_of_the_signature_is_bounded_on_both_sides() {
    let seconds = time::Duration::seconds;
    assert_eq!(check(&signed_at(NOW - seconds(300))), Ok(()));
    assert_eq!(check(&signed_at(NOW - seconds(301))), Err(SignatureError::TooOld));
    assert_eq!(check(&signed_at(NOW + seconds(300))), Ok(()));
    assert_eq!(check(&signed_at(NOW + seconds(301))), Err(SignatureError::TooNew));
    let ends = [("0", SignatureError::TooOld), ("9223372036854775807", SignatureError::TooNew)];
    for (time, expected) in ends {
        let header = format!("t={time},v1={}", sign(SECRET, time, BODY));
        assert_eq!(check(&header), Err(expected));
    }
}

#[test]
fn a_tolerance_of_zero_is_strict_and_not_off() {
    let header = signed_at(NOW - time::Duration::SECOND);
    let outcome = verify(Some(&header), BODY, &secrets(&[SECRET]), NOW, Duration::ZERO);
    assert_eq!(outcome, Err(SignatureError::TooOld));
}

/// A stranger cannot make a clock alarm: age is judged only of what Stripe signed.
///
/// Covers: fault 39.
#[test]
fn an_old_forgery_is_a_forgery() {
    let header = format!("t=1,v1={}", sign("whsec_other", "1", BODY));
    assert_eq!(check(&header), Err(SignatureError::Mismatch));
}

/// Covers: fault 41.
#[test]
fn one_right_signature_among_several_is_enough() {
    let time = NOW.unix_timestamp().to_string();
    let (right, wrong) = (sign(SECRET, &time, BODY), sign("whsec_other", &time, BODY));
    for header in [
        format!("t={time},v1={wrong},v1={right}"),
        format!("t={time},v1={right},v1={wrong}"),
        format!("t={time},v1=nonsense,v1={right},v0=abc,scheme=1"),
        format!("v1={right},t={time}"),
        format!("t={time},v1={right},v1={right}"),
    ] {
        assert_eq!(check(&header), Ok(()), "{header}");
    }
}

/// Covers: fault 41, fault 42, fault 140.
#[test]
fn while_a_secret_is_rolled_both_are_accepted_and_afterwards_the_old_one_is_not() {
    let header = signed_at(NOW);
    let with = |names: &[&str]| verify(Some(&header), BODY, &secrets(names), NOW, TOLERANCE);
    assert_eq!(with(&["whsec_new", SECRET]), Ok(()));
    assert_eq!(with(&[SECRET, "whsec_new"]), Ok(()));
    assert_eq!(with(&["whsec_new"]), Err(SignatureError::Mismatch));
}

/// Covers: I34, fault 44.
#[test]
fn without_a_secret_nothing_is_accepted() {
    let by_nobody = {
        let time = NOW.unix_timestamp().to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(BODY);
        format!("t={time},v1={}", hex::encode(mac.finalize().into_bytes()))
    };
    for names in [&[][..], &[""], &["  \n"]] {
        let outcome = verify(Some(&by_nobody), BODY, &secrets(names), NOW, TOLERANCE);
        assert_eq!(outcome, Err(SignatureError::NoSecret));
    }
    assert_eq!(
        verify(Some(&by_nobody), BODY, &secrets(&["", SECRET]), NOW, TOLERANCE),
        Err(SignatureError::Mismatch)
    );
}

#[test]
fn a_secret_with_a_line_end_from_a_file_works() {
    let outcome = verify(Some(&signed_at(NOW)), BODY, &secrets(&["whsec_test\n"]), NOW, TOLERANCE);
    assert_eq!(outcome, Ok(()));
}

proptest! {
    /// Covers: fault 38, fault 48.
    #[test]
    fn what_was_signed_is_accepted_and_a_changed_byte_is_not(
        body in proptest::collection::vec(any::<u8>(), 1..300),
        secret in "whsec_[a-zA-Z0-9]{1,40}",
        offset in -300i64..=300,
        at: prop::sample::Index,
        bit in 0u8..8,
    ) {
        let time = (NOW.unix_timestamp() + offset).to_string();
        let header = format!("t={time},v1={}", sign(&secret, &time, &body));
        let secrets = secrets(&[&secret]);
        prop_assert_eq!(verify(Some(&header), &body, &secrets, NOW, TOLERANCE), Ok(()));
        let mut changed = body.clone();
        changed[at.index(body.len())] ^= 1 << bit;
        let outcome = verify(Some(&header), &changed, &secrets, NOW, TOLERANCE);
        prop_assert_eq!(outcome, Err(SignatureError::Mismatch));
    }

    /// Covers: fault 38.
    #[test]
    fn no_header_panics_or_is_accepted_by_chance(header in "[tv01=,a-f0-9 é]{0,80}|\\PC{0,80}") {
        prop_assert!(check(&header).is_err());
    }
}
