//! What `expand[]` may name, decided before a request is carried out: a POST with a bad path must change nothing.
//!
//! The list is data (`expandable.txt`). Source: <https://github.com/stripe/openapi>.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::error::{ApiError, ApiResult};
use super::form::shorten;

/// Deepest expansion.
const LEVELS_MAX: usize = 4;
/// Most paths in one request.
pub const PATHS_MAX: usize = 20;

/// Where a field leads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Leads {
    Nowhere,
    /// To a hash without anything to expand in it.
    Hash,
    To(Vec<&'static str>),
}

/// The objects that each operation answers, and the fields of each object.
struct List {
    operations: HashMap<&'static str, Vec<&'static str>>,
    objects: HashMap<&'static str, HashMap<&'static str, Leads>>,
}

static LIST: LazyLock<List> = LazyLock::new(|| read(include_str!("expandable.txt")));

fn read(text: &'static str) -> List {
    let mut list = List { operations: HashMap::new(), objects: HashMap::new() };
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some((operation, answer)) = line.split_once(" -> ") {
            list.operations.insert(operation, answer.split('|').collect());
        } else if let Some((object, fields)) = line.split_once(':') {
            list.objects.insert(object, fields.split_ascii_whitespace().map(field).collect());
        }
    }
    list
}

fn field(text: &'static str) -> (&'static str, Leads) {
    match text.split_once('=') {
        None => (text, Leads::Nowhere),
        Some((name, "{}")) => (name, Leads::Hash),
        Some((name, objects)) => (name, Leads::To(objects.split('|').collect())),
    }
}

/// Checks the paths of a request.
///
/// # Errors
/// 400 for a property that does not exist, cannot be expanded or lies too deep; nothing was done.
pub fn check(operation: &str, paths: &[Value]) -> ApiResult<()> {
    let Some(answer) = LIST.operations.get(operation) else { return Ok(()) };
    paths.iter().filter_map(Value::as_str).take(PATHS_MAX).try_for_each(|path| check_path(answer, path))
}

fn check_path(answer: &[&'static str], path: &str) -> ApiResult<()> {
    if path.split('.').filter(|part| *part != "data").count() > LEVELS_MAX {
        let message = format!(
            "You cannot expand more than {LEVELS_MAX} levels of a property. Property: {}",
            shorten(path)
        );
        return Err(ApiError::invalid(message).param("expand").into());
    }
    let mut here = answer.to_vec();
    for part in path.split('.') {
        let known = here.iter().filter_map(|object| LIST.objects.get(object)?.get(part));
        let mut leads: Vec<&Leads> = known.collect();
        if leads.is_empty() {
            return Err(missing(path));
        }
        leads.retain(|leads| **leads != Leads::Nowhere);
        if leads.is_empty() {
            return Err(inexpandable(path));
        }
        here = leads.into_iter().flat_map(objects).collect();
    }
    Ok(())
}

fn objects(leads: &Leads) -> Vec<&'static str> {
    match leads {
        Leads::Nowhere | Leads::Hash => Vec::new(),
        Leads::To(objects) => objects.clone(),
    }
}

/// 400: the property is there, and no reference.
fn inexpandable(path: &str) -> Box<ApiError> {
    let message = format!("This property cannot be expanded ({}).", shorten(path));
    ApiError::invalid(message).param("expand").into()
}

fn missing(path: &str) -> Box<ApiError> {
    let message = format!("This property cannot be expanded because it doesn't exist: {}.", shorten(path));
    ApiError::invalid(message).param("expand").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::route::ROUTES;
    use serde_json::json;

    fn is_allowed(operation: &str, path: &str) -> bool {
        check(operation, &[json!(path)]).is_ok()
    }

    #[test]
    fn every_route_and_every_object_that_is_named_is_listed() {
        for route in ROUTES {
            assert!(LIST.operations.contains_key(route.operation().as_str()), "{}", route.operation());
        }
        let answers = LIST.operations.values().flatten();
        let fields = LIST.objects.values().flat_map(HashMap::values).flat_map(objects);
        for name in answers.copied().chain(fields) {
            assert!(LIST.objects.contains_key(name) || name == "{}", "{name}");
        }
    }

    #[test]
    fn a_path_is_followed_from_object_to_object() {
        let refunds = "GET /v1/refunds";
        assert!(is_allowed(refunds, "data.failure_balance_transaction"));
        assert!(is_allowed(refunds, "data.charge.balance_transaction.source"));
        assert!(!is_allowed(refunds, "failure_balance_transaction"));
        assert!(!is_allowed(refunds, "data.charge.amount"));
        assert!(!is_allowed("POST /v1/payment_intents", "latest_charge.colour"));
        assert!(is_allowed("POST /v1/payment_intents", "latest_charge.refunds.data.charge"));
    }
}
