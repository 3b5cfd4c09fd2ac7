//! The form grammar of Stripe's requests: `a[b][0]=x` to a tree of texts.
//!
//! Brackets may be plain or percent-encoded, `list[]=x` appends, a name given twice keeps the last value.
//! Everything that repeats has a limit, so hostile input costs little.
//!
//! Source: <https://docs.stripe.com/api> and the official clients' encoders
//! (<https://github.com/stripe/stripe-node/blob/master/src/utils.ts>).

use std::collections::BTreeMap;

use super::error::{ApiError, ApiResult};

/// Deepest nesting of a parameter's name: Stripe's own parameters stay under eight.
pub const DEPTH_MAX: usize = 12;
/// Most pairs in one request.
pub const PAIRS_MAX: usize = 10_000;

/// A parsed form: leaves are texts, lists are tables whose keys are their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Text(String),
    Table(BTreeMap<String, Node>),
}

/// Parses a query string or a form body, merging several sources into one tree.
///
/// # Errors
/// A 400 in Stripe's shape that names the malformed parameter.
pub fn parse(sources: &[&str]) -> ApiResult<BTreeMap<String, Node>> {
    let mut tree = BTreeMap::new();
    let pairs = sources.iter().flat_map(|source| source.split('&')).filter(|pair| !pair.trim().is_empty());
    for (count, pair) in pairs.enumerate() {
        if count >= PAIRS_MAX {
            return Err(ApiError::invalid("Your request has too many parameters.").into());
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        insert(&mut tree, &decode(name)?, decode(value)?)?;
    }
    Ok(tree)
}

/// The canonical text of a tree: equal for equal parameters, whatever their order and encoding were.
pub fn canonical(tree: &BTreeMap<String, Node>, out: &mut String) {
    for (name, node) in tree {
        out.push_str(name);
        match node {
            Node::Text(text) => {
                out.push('\u{1}');
                out.push_str(text);
                out.push('\u{2}');
            }
            Node::Table(inner) => {
                out.push('\u{3}');
                canonical(inner, out);
                out.push('\u{4}');
            }
        }
    }
}

fn insert(tree: &mut BTreeMap<String, Node>, name: &str, value: String) -> ApiResult<()> {
    let path = split_name(name)?;
    let (last, parents) = path.split_last().expect("a split name has at least one part");
    let mut table = tree;
    for (depth, part) in parents.iter().enumerate() {
        let key = if part.is_empty() { list_slot(table, path[depth + 1]) } else { (*part).to_owned() };
        let node = table.entry(key).or_insert_with(|| Node::Table(BTreeMap::new()));
        match node {
            Node::Table(inner) => table = inner,
            Node::Text(_) => return Err(both(name).into()),
        }
    }
    let key = if last.is_empty() { table.len().to_string() } else { (*last).to_owned() };
    if matches!(table.get(&key), Some(Node::Table(_))) {
        return Err(both(name).into());
    }
    table.insert(key, Node::Text(value));
    Ok(())
}

/// Where `list[][next]` goes: into the last element, or a new one when that has `next` already.
fn list_slot(table: &BTreeMap<String, Node>, next: &str) -> String {
    let length = table.len();
    let last = length.saturating_sub(1).to_string();
    match table.get(&last) {
        Some(Node::Table(inner)) if !next.is_empty() && !inner.contains_key(next) => last,
        _ => length.to_string(),
    }
}

fn split_name(name: &str) -> ApiResult<Vec<&str>> {
    let malformed = || ApiError::invalid(format!("Invalid parameter name: {}", shorten(name)));
    let (head, mut rest) = name.find('[').map_or((name, ""), |at| name.split_at(at));
    if head.is_empty() || head.contains(']') {
        return Err(malformed().into());
    }
    let mut path = vec![head];
    while !rest.is_empty() {
        let inner = rest.strip_prefix('[').ok_or_else(malformed)?;
        let end = inner.find(']').ok_or_else(malformed)?;
        if inner[..end].contains('[') {
            return Err(malformed().into());
        }
        path.push(&inner[..end]);
        rest = &inner[end + 1..];
        if path.len() > DEPTH_MAX {
            return Err(
                ApiError::invalid(format!("Parameter is nested too deeply: {}", shorten(name))).into()
            );
        }
    }
    Ok(path)
}

fn both(name: &str) -> ApiError {
    ApiError::invalid(format!("Invalid parameter: {} is both a value and a hash", shorten(name)))
}

/// At most 60 characters of untrusted text, for error messages.
pub fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(60).collect::<String>() + "..."
    }
}

fn decode(text: &str) -> ApiResult<String> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => match hex_pair(bytes.get(at + 1..at + 3)) {
                Some(byte) => {
                    out.push(byte);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out)
        .map_err(|_| ApiError::invalid("Invalid request: parameters must be valid UTF-8.").into())
}

fn hex_pair(pair: Option<&[u8]>) -> Option<u8> {
    let [high, low] = pair? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(digit(*high)? * 16 + digit(*low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Node {
        Node::Text(value.to_owned())
    }

    fn table<const N: usize>(pairs: [(&str, Node); N]) -> Node {
        Node::Table(pairs.into_iter().map(|(name, node)| (name.to_owned(), node)).collect())
    }

    fn parsed(source: &str) -> Node {
        Node::Table(parse(&[source]).unwrap())
    }

    #[test]
    fn brackets_nest_and_may_be_percent_encoded() {
        let expected = table([("a", table([("b", table([("0", text("x y"))]))]))]);
        assert_eq!(parsed("a[b][0]=x+y"), expected);
        assert_eq!(parsed("a%5Bb%5D%5B0%5D=x%20y"), expected);
    }

    #[test]
    fn empty_brackets_append() {
        assert_eq!(parsed("l[]=x&l[]=y"), table([("l", table([("0", text("x")), ("1", text("y"))]))]));
        let rows =
            table([("0", table([("a", text("1")), ("b", text("2"))])), ("1", table([("a", text("3"))]))]);
        assert_eq!(parsed("l[][a]=1&l[][b]=2&l[][a]=3"), table([("l", rows)]));
    }

    #[test]
    fn malformed_names_are_refused() {
        for name in ["[a]", "a[b", "a]b", "a[b]c", "a[[b]]", ""] {
            assert!(parse(&[&format!("{name}=1")]).is_err(), "{name}");
        }
        assert!(parse(&["a=1&a[b]=2"]).is_err());
        assert!(parse(&["a[b]=2&a=1"]).is_err());
        assert!(parse(&["a=%ff"]).is_err());
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let deep = format!("a{}=1", "[b]".repeat(100_000));
        assert!(parse(&[&deep]).is_err());
        let wide = "a=1&".repeat(PAIRS_MAX + 1);
        assert!(parse(&[&wide]).is_err());
    }

    #[test]
    fn the_canonical_text_ignores_order_and_encoding() {
        let canon = |source: &str| {
            let mut out = String::new();
            canonical(&parse(&[source]).unwrap(), &mut out);
            out
        };
        assert_eq!(canon("a=1&b[c]=2"), canon("b%5Bc%5D=2&a=%31"));
        assert_ne!(canon("a=1"), canon("a=2"));
        assert_ne!(canon("a[b]=1"), canon("a=b1"));
    }
}
