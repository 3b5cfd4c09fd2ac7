//! `expand[]`: replaces ids by the objects they name.
//!
//! Source: <https://docs.stripe.com/api/expanding_objects>, <https://docs.stripe.com/expand>.

use serde_json::Value;

use super::expandable::PATHS_MAX;
use super::list;
use super::world::World;

/// Expands each path in an answer. It cannot fail, because the request has been carried out: whether the paths exist
/// was checked before, see [`super::expandable`].
pub fn expand(world: &World, body: &mut Value, paths: &[Value]) {
    for path in paths.iter().filter_map(Value::as_str).take(PATHS_MAX) {
        let parts: Vec<&str> = path.split('.').collect();
        walk(world, body, &parts);
    }
}

fn walk(world: &World, value: &mut Value, parts: &[&str]) {
    let Some((name, rest)) = parts.split_first() else { return };
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| walk(world, item, parts)),
        Value::Object(_) => {
            // Not every object has what its kind may have: only a failed refund names what gave it back.
            let Some(slot) = slot(world, value, name) else { return };
            replace(world, slot);
            walk(world, slot, rest);
        }
        // A null cannot be expanded further, and that is no error.
        _ => {}
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

/// An id of what the sandbox does not keep, such as a file, stays an id.
fn replace(world: &World, slot: &mut Value) {
    match slot {
        Value::String(id) => {
            if let Some(object) = world.find(id) {
                *slot = object;
            }
        }
        Value::Array(items) => {
            items.iter_mut().filter(|item| item.is_string()).for_each(|item| replace(world, item));
        }
        _ => {}
    }
}
