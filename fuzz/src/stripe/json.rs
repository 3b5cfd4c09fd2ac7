//! Real JSON, damaged.

use serde_json::{Value, json};

use super::draw::Draw;

/// Numbers at which something may end.
const NUMBERS: [i128; 10] =
    [0, 1, -1, 2, 99, 253_402_300_800, 1 << 62, i64::MAX as i128, i64::MIN as i128, u64::MAX as i128];

/// Changes one place: another value, one less, or one of another place.
pub fn damage(value: &mut Value, draw: &mut Draw<'_>) {
    let place = draw.below(count(value));
    let other = {
        let other = draw.below(count(value));
        nth(value, &mut other.clone()).cloned()
    };
    let mut left = place;
    let Some(found) = nth(value, &mut left) else { return };
    *found = match draw.byte() % 10 {
        0 => Value::Null,
        1 => Value::Bool(draw.byte() % 2 == 1),
        2 => number(draw.pick(&NUMBERS)),
        3 => draw.number().into(),
        4 => json!(1999.5),
        5 | 6 => draw.text().into(),
        7 => draw.pick(&["[]", "{}", r#"{"id":"x","object":"y"}"#]).parse().unwrap_or_default(),
        8 => return without(found, draw),
        _ => other.unwrap_or_default(),
    };
}

fn number(number: i128) -> Value {
    i64::try_from(number)
        .map(Value::from)
        .or_else(|_| u64::try_from(number).map(Value::from))
        .unwrap_or_default()
}

/// Takes a field or a row away.
fn without(value: &mut Value, draw: &mut Draw<'_>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let name = fields.keys().nth(draw.below(fields.len())).cloned();
            fields.remove(&name.unwrap_or_default());
        }
        Value::Array(rows) if !rows.is_empty() => {
            rows.remove(draw.below(rows.len()));
        }
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => *value = Value::Null,
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(rows) => rows.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// In the order in which it is written; what holds others comes before them.
fn nth<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
    if *left == 0 {
        return Some(value);
    }
    *left -= 1;
    match value {
        Value::Array(rows) => rows.iter_mut().find_map(|row| nth(row, left)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
