//! Checks a request's parameters against Stripe's own list of them and gives each its type.
//!
//! The list is data (`parameters.txt`), so an operation's handler only ever sees parameters that exist,
//! are of the right type and are complete.
//!
//! Source of the list: <https://github.com/stripe/openapi>. Messages: <https://docs.stripe.com/error-codes>.

mod read;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::model::error::{ApiError, ApiResult};
use crate::model::form::{Node, shorten};

/// The longest text of any parameter whose own limit is not published.
const TEXT_MAX: usize = 5_000;

#[derive(Clone, Debug)]
enum Type {
    Integer,
    Number,
    Boolean,
    Text(Option<usize>),
    Enum(Vec<&'static str>),
    /// An empty text that clears the field.
    Unset,
    Map,
    Object,
    List(Box<Type>),
    OneOf(Vec<Type>),
}

#[derive(Clone, Debug)]
struct Field {
    name: &'static str,
    required: bool,
    kind: Type,
    /// The fields of an object, or of the objects of a list.
    fields: Vec<Field>,
}

static OPERATIONS: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(read::list);

/// Whether the list knows an operation (`POST /v1/refunds/{}`).
pub fn is_known(operation: &str) -> bool {
    OPERATIONS.contains_key(operation)
}

/// Typed parameters: integers, booleans, texts, lists and objects; a cleared field is null.
///
/// # Errors
/// The first problem, as Stripe words it.
pub fn validate(operation: &str, tree: &BTreeMap<String, Node>) -> ApiResult<Map<String, Value>> {
    let fields = OPERATIONS.get(operation).expect("every route has an entry in parameters.txt");
    object(fields, tree, "")
}

/// As [`validate`], for a publishable key: the client secret is a parameter of each operation then.
///
/// # Errors
/// As [`validate`].
pub fn validate_publishable(operation: &str, tree: &BTreeMap<String, Node>) -> ApiResult<Map<String, Value>> {
    let mut rest = tree.clone();
    let secret = rest.remove("client_secret");
    rest.remove("key");
    let mut typed = validate(operation, &rest)?;
    if let Some(Node::Text(secret)) = secret {
        typed.insert("client_secret".to_owned(), Value::from(secret));
    }
    Ok(typed)
}

fn object(fields: &[Field], tree: &BTreeMap<String, Node>, at: &str) -> ApiResult<Map<String, Value>> {
    let known = |name: &str| fields.binary_search_by(|field| field.name.cmp(name)).ok().map(|at| &fields[at]);
    let unknown: Vec<String> = tree
        .keys()
        .filter(|name| known(name).is_none())
        .take(5)
        .map(|name| shorten(&join(at, name)))
        .collect();
    if let Some(first) = unknown.first() {
        let plural = if unknown.len() > 1 { "s" } else { "" };
        let message = format!("Received unknown parameter{plural}: {}", unknown.join(", "));
        return Err(ApiError::invalid(message).code("parameter_unknown").param(first).into());
    }
    let mut typed = Map::new();
    for (name, node) in tree {
        let field = known(name).expect("unknown names were refused above");
        typed.insert(name.clone(), value(&field.kind, &field.fields, node, &join(at, name))?);
    }
    match fields.iter().find(|field| field.required && !tree.contains_key(field.name)) {
        Some(field) => Err(ApiError::missing(join(at, field.name)).into()),
        None => Ok(typed),
    }
}

fn value(kind: &Type, fields: &[Field], node: &Node, at: &str) -> ApiResult<Value> {
    match (kind, node) {
        (Type::OneOf(options), _) => one_of(options, fields, node, at),
        (Type::Object, Node::Table(inner)) => Ok(Value::Object(object(fields, inner, at)?)),
        (Type::Map, Node::Table(inner)) => map(inner, at),
        (Type::List(item), Node::Table(inner)) => list(item, fields, inner, at),
        (Type::Object | Type::Map, Node::Text(_)) => Err(invalid("object", node, at)),
        (Type::List(_), Node::Text(_)) => Err(invalid("array", node, at)),
        (_, Node::Table(_)) => Err(invalid("string", node, at)),
        (Type::Unset, Node::Text(text)) if text.is_empty() => Ok(Value::Null),
        (Type::Enum(allowed), Node::Text(text)) if allowed.contains(&text.as_str()) => {
            Ok(if text.is_empty() { Value::Null } else { Value::from(text.as_str()) })
        }
        (_, Node::Text(text)) if text.is_empty() => Err(empty(at)),
        (Type::Integer, Node::Text(text)) => integer(text, at),
        (Type::Number, Node::Text(text)) => number(text, at),
        (Type::Boolean, Node::Text(text)) => boolean(text, at),
        (Type::Text(longest), Node::Text(text)) => checked_text(text, longest.unwrap_or(TEXT_MAX), at),
        (Type::Enum(allowed), Node::Text(_)) => Err(not_one_of(allowed, at)),
        (Type::Unset, Node::Text(_)) => Err(invalid("empty string", node, at)),
    }
}

fn one_of(options: &[Type], fields: &[Field], node: &Node, at: &str) -> ApiResult<Value> {
    let mut first = None;
    for option in options {
        match value(option, fields, node, at) {
            Ok(typed) => return Ok(typed),
            Err(error) => {
                let fits = matches!(
                    (option, node),
                    (Type::Object | Type::Map | Type::List(_), Node::Table(_))
                        | (Type::Integer | Type::Boolean | Type::Text(_) | Type::Enum(_), Node::Text(_))
                );
                if fits || first.is_none() {
                    first = first.filter(|_| !fits).or(Some(error));
                }
            }
        }
    }
    Err(first.expect("a union has at least one type"))
}

fn list(item: &Type, fields: &[Field], inner: &BTreeMap<String, Node>, at: &str) -> ApiResult<Value> {
    let mut indexed = Vec::with_capacity(inner.len());
    for (key, node) in inner {
        let index: u32 = key.parse().map_err(|_| invalid("array", &Node::Table(BTreeMap::new()), at))?;
        indexed.push((index, node));
    }
    indexed.sort_by_key(|(index, _)| *index);
    let typed = indexed.iter().map(|(index, node)| value(item, fields, node, &format!("{at}[{index}]")));
    Ok(Value::Array(typed.collect::<ApiResult<_>>()?))
}

fn map(inner: &BTreeMap<String, Node>, at: &str) -> ApiResult<Value> {
    let mut typed = Map::new();
    for (name, node) in inner {
        match node {
            Node::Text(text) => typed.insert(name.clone(), Value::from(text.as_str())),
            Node::Table(_) => return Err(invalid("string", node, &join(at, name))),
        };
    }
    Ok(Value::Object(typed))
}

fn integer(text: &str, at: &str) -> ApiResult<Value> {
    let wrong = || {
        let message = format!("Invalid integer: {}", shorten(text));
        ApiError::invalid(message).code("parameter_invalid_integer").param(at)
    };
    text.parse::<i64>().map(Value::from).map_err(|_| wrong().into())
}

/// A decimal stays a text: money is never a float.
fn number(text: &str, at: &str) -> ApiResult<Value> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.chars().all(|one| one.is_ascii_digit() || one == '.') && digits.len() < 40;
    if plain && digits.matches('.').count() <= 1 && digits.contains(|one: char| one.is_ascii_digit()) {
        return Ok(Value::from(text));
    }
    Err(ApiError::invalid(format!("Invalid decimal: {}", shorten(text))).param(at).into())
}

fn boolean(text: &str, at: &str) -> ApiResult<Value> {
    match text {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        _ => Err(ApiError::invalid(format!("Invalid boolean: {}", shorten(text))).param(at).into()),
    }
}

fn checked_text(text: &str, longest: usize, at: &str) -> ApiResult<Value> {
    if text.chars().count() <= longest {
        return Ok(Value::from(text));
    }
    let message = format!("Invalid string: {}; must be at most {longest} characters", shorten(text));
    Err(ApiError::invalid(message).param(at).into())
}

fn not_one_of(allowed: &[&str], at: &str) -> Box<ApiError> {
    let named: Vec<&str> = allowed.iter().copied().filter(|one| !one.is_empty()).collect();
    let text = match named.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, other] => format!("{one} or {other}"),
        [rest @ .., last] => format!("{}, or {last}", rest.join(", ")),
    };
    ApiError::invalid(format!("Invalid {at}: must be one of {text}")).param(at).into()
}

fn empty(at: &str) -> Box<ApiError> {
    let message = format!(
        "You passed an empty string for '{at}'. We assume empty values are an attempt to unset a parameter; \
         however '{at}' cannot be unset. You should remove '{at}' from your request or supply a non-empty value."
    );
    ApiError::invalid(message).code("parameter_invalid_empty").param(at).into()
}

fn invalid(expected: &str, node: &Node, at: &str) -> Box<ApiError> {
    let message = match node {
        Node::Text(text) => format!("Invalid {expected}: {}", shorten(text)),
        Node::Table(_) => format!("Invalid {expected}: {}", shorten(at)),
    };
    ApiError::invalid(message).param(at).into()
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}[{name}]") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::form;
    use serde_json::json;

    fn checked(operation: &str, form: &str) -> Result<Value, (Option<&'static str>, Option<String>, String)> {
        validate(operation, &form::parse(&[form]).unwrap())
            .map(Value::Object)
            .map_err(|error| (error.code, error.param, error.message))
    }

    #[test]
    fn parameters_get_their_types() {
        let typed = checked(
            "POST /v1/payment_intents",
            "amount=100&currency=usd&confirm=true&metadata[a]=1&expand[]=x",
        );
        assert_eq!(
            typed.unwrap(),
            json!({"amount": 100, "currency": "usd", "confirm": true, "metadata": {"a": "1"}, "expand": ["x"]})
        );
    }

    #[test]
    fn a_cleared_field_is_null() {
        let typed =
            checked("POST /v1/payment_intents/{}", "receipt_email=&metadata=&setup_future_usage=").unwrap();
        assert_eq!(typed, json!({"receipt_email": null, "metadata": null, "setup_future_usage": null}));
    }

    #[test]
    fn wrong_parameters_are_named() {
        let code = |form: &str| checked("POST /v1/payment_intents", form).unwrap_err();
        assert_eq!(code("currency=usd").0, Some("parameter_missing"));
        assert_eq!(code("amount=1&currency=usd&colour=red").0, Some("parameter_unknown"));
        assert_eq!(code("amount=abc&currency=usd").2, "Invalid integer: abc");
        assert_eq!(code("amount=&currency=usd").0, Some("parameter_invalid_empty"));
        assert_eq!(code("amount=99999999999999999999&currency=usd").0, Some("parameter_invalid_integer"));
        let nested = code("amount=1&currency=usd&shipping[colour]=red");
        assert_eq!(nested.1.as_deref(), Some("shipping[colour]"));
        let choice = code("amount=1&currency=usd&capture_method=never");
        assert_eq!(choice.2, "Invalid capture_method: must be one of automatic, automatic_async, or manual");
    }

    #[test]
    fn ranges_and_plain_times_are_both_accepted() {
        assert_eq!(checked("GET /v1/events", "created[gte]=5").unwrap(), json!({"created": {"gte": 5}}));
        assert_eq!(checked("GET /v1/events", "created=5").unwrap(), json!({"created": 5}));
        assert_eq!(checked("GET /v1/events", "created=x").unwrap_err().2, "Invalid integer: x");
    }
}
