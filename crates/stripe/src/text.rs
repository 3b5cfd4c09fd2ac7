//! Foreign text, made safe to keep and to print.

/// `text` without control characters (PostgreSQL's `text` cannot hold NUL), without anything that looks like a
/// credential, an e-mail address or a card's number, and cut to `max` characters.
pub(crate) fn tidy(text: &str, max: usize) -> String {
    masked(text).chars().filter(|c| !c.is_control()).take(max).collect()
}

/// Whether `text` is a plausible id or name of Stripe's: printable ASCII without spaces, at most 255.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Stripe masks keys in its messages, and quotes addresses; whatever stands between us and Stripe may mask neither.
fn masked(text: &str) -> String {
    let words = text.split_inclusive(ends_word).map(|word| {
        let (bare, end) = word.split_at(word.trim_end_matches(ends_word).len());
        let shown = match bare {
            _ if is_address(bare) => "[address]".to_owned(),
            _ if is_card(bare) => "[card]".to_owned(),
            _ => without_credentials(bare),
        };
        shown + end
    });
    words.collect()
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || "<>()[]{}\"',;:=&?".contains(c)
}

/// Something before and after an `@`, written out or as in a URL.
fn is_address(word: &str) -> bool {
    let parts = word.split_once('@').or_else(|| word.split_once("%40"));
    parts.is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

/// As many digits as cards have, perhaps in groups, whose last one is the check digit that Luhn's sum asks for.
fn is_card(word: &str) -> bool {
    let digits: Vec<u32> = word.chars().filter_map(|c| c.to_digit(10)).collect();
    let only = word.chars().all(|c| c.is_ascii_digit() || c == '-' || c == '.');
    let doubled = |(place, digit): (usize, &u32)| match (place % 2, *digit) {
        (0, digit) => digit,
        (_, digit @ 0..5) => digit * 2,
        (_, digit) => digit * 2 - 9,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(doubled).sum();
    only && (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn without_credentials(text: &str) -> String {
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

    /// Covers: I31, fault 135, S-2.
    #[test]
    fn addresses_and_cards_are_masked_and_other_numbers_are_kept() {
        assert_eq!(tidy("Invalid email address: ada@example.org.", 500), "Invalid email address: [address]");
        assert_eq!(
            tidy("to <ada@example.org>, and email=ada%40example.org&x", 500),
            "to <[address]>, and email=[address]&x"
        );
        assert_eq!(tidy("number 4242424242424242; 4242-4242-4242-4242", 500), "number [card]; [card]");
        assert_eq!(
            tidy("amount 3998 of 4242424242424241 at 12:03", 500),
            "amount 3998 of 4242424242424241 at 12:03"
        );
        assert_eq!(tidy("key=sk_test_1&mail=@me", 500), "key=[secret]&mail=@me");
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
