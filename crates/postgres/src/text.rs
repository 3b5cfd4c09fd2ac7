//! Small values on their way into rows.

use std::borrow::Cow;

use paywright_domain::{Id, ports::StoreError};
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

/// Longest note that is kept of an error or a conclusion, in bytes.
const NOTE_BYTES_MAX: usize = 2_000;

/// Text from outside as PostgreSQL can hold it, which refuses NUL: an odd event must be stored all the same.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The same for text that may be absent.
pub(crate) fn clean_opt(text: Option<&str>) -> Option<String> {
    text.map(|text| clean(text).into_owned())
}

/// JSON for `$n::text::json`, which keeps what jsonb refuses.
pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Bug(error.into()))
}

/// A note for people, of bounded length.
pub(crate) fn note(text: &str) -> Cow<'_, str> {
    clean(&text[..text.floor_char_boundary(NOTE_BYTES_MAX)])
}

/// A duration for `$n * interval '1 microsecond'`. Beyond a century either way it is as good as for ever.
pub(crate) fn micros(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 3600 * 1_000_000;
    i64::try_from(duration.whole_microseconds()).unwrap_or(CENTURY).clamp(-CENTURY, CENTURY)
}

/// An id that follows from what it names: the same name at the same time always gets the same one, so this needs
/// no entropy and doing it twice makes no second row.
pub(crate) fn named_id<K>(at: OffsetDateTime, name: &str) -> Id<K> {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let mut entropy = [0; 10];
    entropy.copy_from_slice(&digest[..10]);
    Id::from_parts(at, &entropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers: fault 48.
    #[test]
    fn text_from_outside_is_made_storable() {
        assert_eq!(clean("a\0b"), "a\u{fffd}b");
        assert!(note(&"é".repeat(5_000)).len() <= NOTE_BYTES_MAX);
    }
}
