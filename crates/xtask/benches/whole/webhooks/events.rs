//! Distinct events of 3 to 4 KB as Stripe writes them, signed before they are sent.
//!
//! An event has a number, from which everything follows: its names at Stripe, and the order and the payment that it is
//! about. So nothing has to be remembered of a million of them but their signatures.

use std::io::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use paywright_domain::{Id, OrderId, PaymentId};
use paywright_stripe::API_VERSION;
use sha2::Sha256;
use time::OffsetDateTime;

use crate::stage::WEBHOOK_SECRET;

pub(super) const KIND: &str = "payment_intent.succeeded";
/// Where the names of all orders and payments start in time; any moment will do.
const EPOCH_SECONDS: i64 = 1_780_000_000;
const TEMPLATE: &str = include_str!("event.json");
/// Merchants write notes of different lengths; with these an event has 3.0 to 3.8 KB.
const NOTE: &str = "Leave the parcel with the neighbours at number twelve if nobody opens, and ring twice. ";
const NOTE_BYTES: Range<usize> = 200..900;

/// The time of the machine.
pub(super) fn now() -> OffsetDateTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "a bench is no use case: Stripe signs with the time of day"
    )]
    let now = std::time::SystemTime::now();
    now.into()
}

/// The part of all names of one account at Stripe.
const ACCOUNT: &str = "B7WZ01zgkW";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Odd, so that no two numbers are made one; its inverse brings them back.
const MIX: u32 = 0x9e37_79b1;
const UNMIX: u32 = 0x0e8b_2f51;

/// A name as Stripe gives them: the time when it was made, the account, and what tells names of that time apart, which is
/// the number here. Names that are made one after the other stand together in an index, if not in order.
///
/// Source: the ids in Stripe's published fixtures, which begin alike where the objects were made at about the same time.
fn name_at(prefix: &str, second: i64, number: u32) -> String {
    let mut rest = usize::try_from(second).unwrap_or_default();
    let digits = [(); 6].map(|()| {
        let digit = BASE62[rest % 62];
        rest /= 62;
        char::from(digit)
    });
    let at: String = digits.iter().rev().collect();
    format!("{prefix}_{at}{ACCOUNT}{:08x}", number.wrapping_mul(MIX))
}

fn name(prefix: &str, number: u32) -> String {
    name_at(prefix, second(number), number)
}

/// A thousand a second.
fn second(number: u32) -> i64 {
    EPOCH_SECONDS + i64::from(number / 1_000)
}

/// The names of an event of the day before and of its intent; twelve a second.
pub(super) fn past(number: u32) -> (String, String) {
    let second = EPOCH_SECONDS - 86_400 + i64::from(number / 12);
    (name_at("evt", second, number), name_at("pi", second, number))
}

pub(super) fn event(number: u32) -> String {
    name("evt", number)
}

pub(super) fn intent(number: u32) -> String {
    name("pi", number)
}

pub(super) fn charge(number: u32) -> String {
    name("ch", number)
}

/// The number in a name.
pub(super) fn number(name: &str) -> Option<u32> {
    let mixed = u32::from_str_radix(name.get(name.len().checked_sub(8)?..)?, 16).ok()?;
    Some(mixed.wrapping_mul(UNMIX))
}

pub(super) fn order(number: u32) -> OrderId {
    id(number)
}

pub(super) fn payment(number: u32) -> PaymentId {
    id(number)
}

/// Ids that grow with the number, as they do when they are made one after the other.
pub(super) fn id<K>(number: u32) -> Id<K> {
    let mut entropy = [0; 10];
    entropy[6..].copy_from_slice(&number.to_be_bytes());
    Id::from_parts(
        OffsetDateTime::from_unix_timestamp(second(number)).unwrap_or(OffsetDateTime::UNIX_EPOCH),
        &entropy,
    )
}

/// In cents.
pub(super) fn amount(number: u32) -> i64 {
    1_000 + i64::from(number % 9_000)
}

/// The event's text between its holes, and what goes into them.
pub(super) struct Template(Vec<(&'static str, &'static str)>);

impl Template {
    pub(super) fn new() -> Self {
        let mut parts = Vec::new();
        let mut rest = TEMPLATE;
        // A hole is a lower-case word in braces; JSON has none.
        while let Some((text, hole, after)) = next_hole(rest) {
            parts.push((text, hole));
            rest = after;
        }
        parts.push((rest, ""));
        Self(parts)
    }

    /// The event with this number as Stripe would have written it at a time.
    pub(super) fn body(&self, number: u32, created: i64, body: &mut Vec<u8>) {
        for (text, hole) in &self.0 {
            body.extend_from_slice(text.as_bytes());
            // Writing to a Vec cannot fail.
            let _ = match *hole {
                "event" => write!(body, "{}", event(number)),
                "version" => write!(body, "{API_VERSION}"),
                "created" => write!(body, "{created}"),
                "intent" => write!(body, "{}", intent(number)),
                "amount" => write!(body, "{}", amount(number)),
                "order" => write!(body, "{}", order(number)),
                "payment" => write!(body, "{}", payment(number)),
                "charge" => write!(body, "{}", charge(number)),
                "method" => write!(body, "{}", name("pm", number)),
                "request" => write!(body, "{}", name("req", number)),
                "note" => {
                    let length = NOTE_BYTES.start + number as usize * 7 % NOTE_BYTES.len();
                    let note = NOTE.bytes().cycle().take(length);
                    body.extend(note);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
    }
}

fn next_hole(text: &'static str) -> Option<(&'static str, &'static str, &'static str)> {
    let holes = text.match_indices('{').filter_map(|(open, _)| {
        let (word, after) = text[open + 1..].split_once('}')?;
        let is_hole = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        is_hole.then_some((&text[..open], word, after))
    });
    holes.into_iter().next()
}

/// Signed events, each to be taken once.
pub(super) struct Mail {
    template: Template,
    first: u32,
    signed_at: i64,
    signatures: Vec<[u8; 32]>,
    next: AtomicUsize,
    endless: bool,
}

impl Mail {
    /// Signs the events with these numbers, on both cores.
    pub(super) fn sign(numbers: Range<u32>) -> Self {
        let (template, signed_at) = (Template::new(), now().unix_timestamp());
        let middle = numbers.start + (numbers.end - numbers.start) / 2;
        let sign = |numbers: Range<u32>| -> Vec<_> {
            let mut body = Vec::new();
            numbers.map(|number| signature(&template, number, signed_at, &mut body)).collect()
        };
        let signatures = std::thread::scope(|threads| {
            let one_half = threads.spawn(|| sign(numbers.start..middle));
            let other_half = sign(middle..numbers.end);
            match one_half.join() {
                Ok(half) => [half, other_half].concat(),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        Self {
            template,
            first: numbers.start,
            signed_at,
            signatures,
            next: AtomicUsize::new(0),
            endless: false,
        }
    }

    /// Starts again at the end, for whoever does not look at what was there before.
    pub(super) fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    /// Writes the next request; false when there is none left.
    pub(super) fn next(&self, request: &mut Vec<u8>, body: &mut Vec<u8>) -> bool {
        let mut place = self.next.fetch_add(1, Ordering::Relaxed);
        if self.endless {
            place %= self.signatures.len();
        }
        let (Some(signature), Ok(offset)) = (self.signatures.get(place), u32::try_from(place)) else {
            return false;
        };
        body.clear();
        self.template.body(self.first + offset, self.signed_at, body);
        request.clear();
        let _ = write!(
            request,
            "POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Stripe/1.0\r\nAccept: */*\r\n\
             Content-Type: application/json; charset=utf-8\r\nStripe-Signature: t={},v1={}\r\n\
             Content-Length: {}\r\n\r\n",
            self.signed_at,
            hex::encode(signature),
            body.len()
        );
        request.extend_from_slice(body);
        true
    }
}

/// Source: <https://docs.stripe.com/webhooks/signatures>
fn signature(template: &Template, number: u32, at: i64, body: &mut Vec<u8>) -> [u8; 32] {
    body.clear();
    let _ = write!(body, "{at}.");
    template.body(number, at, body);
    let mut mac = match Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()) {
        Ok(mac) => mac,
        Err(_) => unreachable!("any length is a key's"),
    };
    mac.update(body);
    mac.finalize().into_bytes().into()
}
