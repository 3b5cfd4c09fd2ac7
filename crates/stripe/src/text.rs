//! Foreign text, made safe to keep and to print.

/// `text` without control characters (PostgreSQL's `text` cannot hold NUL), without anything that looks like
/// a credential, and cut to `max` characters.
pub(crate) fn tidy(text: &str, max: usize) -> String {
    masked(text).chars().filter(|c| !c.is_control()).take(max).collect()
}

/// Whether `text` is a plausible id or name of Stripe's: printable ASCII without spaces, at most 255.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Stripe masks keys in its messages; whatever stands between us and Stripe may not.
fn masked(text: &str) -> String {
    let (mut safe, mut rest) = (String::with_capacity(text.len()), text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        safe.push_str(if is_credential(word) { "[secret]" } else { word });
        let end = after.find(is_word).unwrap_or(after.len());
        let (between, after) = after.split_at(end);
        safe.push_str(between);
        rest = after;
    }
    safe
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Keys and webhook secrets by their prefix, client secrets by their middle.
/// Source: <https://docs.stripe.com/keys>
fn is_credential(word: &str) -> bool {
    ["sk_", "rk_", "whsec_"].iter().any(|prefix| word.starts_with(prefix)) || word.contains("_secret_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Covers: I31, fault 134.
    #[test]
    fn credentials_are_masked_and_other_words_are_kept() {
        assert_eq!(
            tidy("Invalid API Key provided: sk_test_4eC39HqLyjW (see rk_live_1)", 500),
            "Invalid API Key provided: [secret] (see [secret])"
        );
        assert_eq!(tidy("pi_3A_secret_xyz belongs to pi_3A", 500), "[secret] belongs to pi_3A");
        assert_eq!(tidy("whsec_abc", 500), "[secret]");
        assert_eq!(tidy("task_1 asks", 500), "task_1 asks");
    }

    #[test]
    fn control_characters_are_dropped_and_length_is_bounded() {
        assert_eq!(tidy("a\u{0}b\nc\u{7f}", 500), "abc");
        assert_eq!(tidy("äöü", 2), "äö");
    }

    proptest! {
        #[test]
        fn text_without_credentials_keeps_every_printable_character(text in "[a-z äöü.,:]{0,40}") {
            prop_assert_eq!(tidy(&text, 500), text);
        }
    }
}
