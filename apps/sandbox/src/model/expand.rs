//! `expand[]`: replaces ids by the objects they name.
//!
//! Source: <https://docs.stripe.com/api/expanding_objects>, <https://docs.stripe.com/expand>.

use serde_json::Value;

use super::error::{ApiError, ApiResult};
use super::form::shorten;
use super::list;
use super::world::World;

/// Deepest expansion.
const LEVELS_MAX: usize = 4;
/// Most paths in one request.
const PATHS_MAX: usize = 20;

/// Expands each path in an answer.
///
/// # Errors
/// 400 for a property that does not exist or cannot be expanded.
pub fn expand(world: &World, body: &mut Value, paths: &[Value]) -> ApiResult<()> {
    for path in paths.iter().filter_map(Value::as_str).take(PATHS_MAX) {
        let parts: Vec<&str> = path.split('.').collect();
        if parts.iter().filter(|part| **part != "data").count() > LEVELS_MAX {
            let message = format!(
                "You cannot expand more than {LEVELS_MAX} levels of a property. Property: {}",
                shorten(path)
            );
            return Err(ApiError::refused(message).param("expand").into());
        }
        walk(world, body, &parts, path)?;
    }
    Ok(())
}

fn walk(world: &World, value: &mut Value, parts: &[&str], path: &str) -> ApiResult<()> {
    let Some((name, rest)) = parts.split_first() else { return Ok(()) };
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| walk(world, item, parts, path)),
        Value::Object(_) => {
            // An object's own id names itself, and is no reference.
            if *name == "id" {
                return Err(inexpandable(path));
            }
            let Some(slot) = slot(world, value, name) else { return Err(missing(path)) };
            replace(world, slot, path)?;
            walk(world, slot, rest, path)
        }
        // A null cannot be expanded further, and that is no error.
        _ => Ok(()),
    }
}

/// The member to expand; some exist only when expanded.
fn slot<'a>(world: &World, object: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if object.get(name).is_none() {
        let hidden = hidden(world, object, name)?;
        object[name] = hidden;
    }
    object.get_mut(name)
}

fn hidden(world: &World, object: &Value, name: &str) -> Option<Value> {
    let id = object["id"].as_str()?;
    match (object["object"].as_str()?, name) {
        ("charge", "refunds") => {
            let charge = world.charges.get(id)?;
            let refunds = charge.refunds.iter().rev().filter_map(|id| world.refunds.get(id));
            let data: Vec<Value> = refunds.take(10).map(|refund| refund.render()).collect();
            Some(list::of(data, charge.refunds.len() > 10, &format!("/v1/charges/{id}/refunds")))
        }
        ("checkout.session", "line_items") => {
            let mut data = world.checkout_sessions.get(id)?.render_lines(world);
            let has_more = data.len() > 10;
            data.truncate(10);
            Some(list::of(data, has_more, &format!("/v1/checkout/sessions/{id}/line_items")))
        }
        ("invoice", name) => super::invoice::hidden(world, id, name),
        _ => None,
    }
}

fn replace(world: &World, slot: &mut Value, path: &str) -> ApiResult<()> {
    match slot {
        Value::String(id) => match world.find(id) {
            Some(object) => {
                *slot = object;
                Ok(())
            }
            None => Err(inexpandable(path)),
        },
        Value::Array(items) => {
            items.iter_mut().filter(|item| item.is_string()).try_for_each(|item| replace(world, item, path))
        }
        _ => Ok(()),
    }
}

fn inexpandable(path: &str) -> Box<ApiError> {
    let message = format!("This property cannot be expanded ({}).", shorten(path));
    ApiError::refused(message).param("expand").into()
}

fn missing(path: &str) -> Box<ApiError> {
    let message = format!("This property cannot be expanded because it doesn't exist: {}.", shorten(path));
    ApiError::refused(message).param("expand").into()
}
