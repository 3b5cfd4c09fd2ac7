//! What callers may hand in, checked once at the border.

use crate::Metadata;

/// Bad input: which field, and what is wrong with it. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct InvalidInput {
    /// The field, as a path: `items[0].quantity`.
    pub field: String,
    /// What is wrong; readable after the field's name.
    pub problem: String,
}

impl InvalidInput {
    /// `field` has a `problem`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same problem, of a field inside `parent`.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), ..self }
    }
}

/// Checks free text that people read: `1` to `characters_max` characters, no control characters.
///
/// # Errors
/// [`InvalidInput`] names `field`.
pub fn check_text(field: &str, text: &str, characters_max: usize) -> Result<(), InvalidInput> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > characters_max {
        return Err(InvalidInput::new(field, format!("must have 1 to {characters_max} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(InvalidInput::new(field, "must not hold control characters"));
    }
    Ok(())
}

/// An e-mail address in lower case: something before and after one `@`, at most 254 bytes, no blanks.
///
/// # Errors
/// [`InvalidInput`] names `field`.
pub fn parse_email(field: &str, text: &str) -> Result<String, InvalidInput> {
    let shape = text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && local.len() <= 64
            && domain.len() >= 3
            && domain.contains('.')
            && !domain.contains('@')
    });
    let clean = !text.chars().any(|c| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"".contains(c));
    if shape && clean && text.len() <= 254 && !text.ends_with('.') {
        Ok(text.to_lowercase())
    } else {
        Err(InvalidInput::new(field, "must be an e-mail address"))
    }
}

/// The prefix of the metadata keys that are ours.
pub const RESERVED_METADATA_PREFIX: &str = "paywright_";

/// Checks metadata against the gateway's limits, less the keys that we add ourselves: 45 keys of at most
/// 40 characters without brackets, values of at most 500 characters.
///
/// Source: <https://docs.stripe.com/metadata>
///
/// # Errors
/// [`InvalidInput`] names the key.
pub fn check_metadata(metadata: &Metadata) -> Result<(), InvalidInput> {
    const KEYS_MAX: usize = 45;
    if metadata.len() > KEYS_MAX {
        return Err(InvalidInput::new("metadata", format!("must hold at most {KEYS_MAX} keys")));
    }
    for (key, value) in metadata {
        let problem = if key.is_empty() || key.chars().count() > 40 {
            "keys must have 1 to 40 characters"
        } else if key.contains(['[', ']']) || key.chars().any(char::is_control) {
            "keys must not hold brackets or control characters"
        } else if key.starts_with(RESERVED_METADATA_PREFIX) {
            "keys must not begin with paywright_"
        } else if value.chars().count() > 500 {
            "values must have at most 500 characters"
        } else if value.contains('\0') {
            "values must not hold NUL"
        } else {
            continue;
        };
        let shown: String = key.chars().filter(|c| !c.is_control()).take(40).collect();
        return Err(InvalidInput::new(format!("metadata.{shown}"), problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_lowered_and_checked() {
        assert_eq!(parse_email("email", "Ada@Example.org").unwrap(), "ada@example.org");
        for text in ["", "ada", "@example.org", "ada@", "a@b@c.de", "a b@c.de", "a@c", "a\0@c.de", "<a@c.de>"]
        {
            assert_eq!(parse_email("email", text).unwrap_err().field, "email", "{text:?}");
        }
    }

    /// Covers: fault 113.
    #[test]
    fn text_is_counted_in_characters_and_free_of_nul() {
        assert!(check_text("name", "\u{1F600}\u{05D0}", 2).is_ok());
        assert!(check_text("name", "abc", 2).is_err());
        assert!(check_text("name", "  ", 5).is_err());
        assert!(check_text("name", "a\0", 5).is_err());
    }

    #[test]
    fn metadata_keeps_to_the_gateways_limits_and_our_keys_are_reserved() {
        let one = |key: &str, value: &str| Metadata::from([(key.to_owned(), value.to_owned())]);
        assert!(check_metadata(&one("colour", "red")).is_ok());
        for (key, value) in
            [("", "x"), ("a[b]", "x"), ("paywright_order", "x"), ("k", &*"v".repeat(501)), ("k", "a\0")]
        {
            assert!(check_metadata(&one(key, value)).is_err(), "{key}");
        }
        assert!(check_metadata(&one(&"k".repeat(41), "x")).is_err());
        let many = (0..46).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(check_metadata(&many).unwrap_err().field, "metadata");
    }
}
