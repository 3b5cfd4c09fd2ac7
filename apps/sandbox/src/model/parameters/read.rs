//! Reads `parameters.txt`.

use std::collections::HashMap;

use super::{Field, Type};

struct Line {
    depth: usize,
    words: Vec<&'static str>,
}

pub(super) fn list() -> HashMap<&'static str, Vec<Field>> {
    let lines: Vec<Line> = include_str!("../parameters.txt")
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| Line {
            depth: (line.len() - line.trim_start().len()) / 2,
            words: line.split_whitespace().collect(),
        })
        .collect();
    let (mut sets, mut shapes, mut operations) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut at = 0;
    while at < lines.len() {
        let words = &lines[at].words;
        at += 1;
        if words[0] == "set" {
            sets.insert(words[1], words[2]);
            continue;
        }
        let fields = read_fields(&lines, &mut at, 1, &sets, &shapes);
        if words[0] == "shape" {
            shapes.insert(words[1], fields);
        } else {
            let name: &'static str = Box::leak(words.join(" ").into_boxed_str());
            operations.insert(name, fields);
        }
    }
    operations
}

fn read_fields(
    lines: &[Line],
    at: &mut usize,
    depth: usize,
    sets: &HashMap<&str, &'static str>,
    shapes: &HashMap<&str, Vec<Field>>,
) -> Vec<Field> {
    let mut fields = Vec::new();
    while *at < lines.len() && lines[*at].depth == depth {
        let words = &lines[*at].words;
        *at += 1;
        let inner = match words.get(2) {
            Some(shape) => shapes[&shape[1..]].clone(),
            None => read_fields(lines, at, depth + 1, sets, shapes),
        };
        let name = words[0].trim_end_matches('!');
        fields.push(Field {
            name,
            required: name.len() < words[0].len(),
            kind: read_type(words[1], sets),
            fields: inner,
        });
    }
    fields.sort_by_key(|field| field.name);
    fields
}

fn read_type(text: &'static str, sets: &HashMap<&str, &'static str>) -> Type {
    let parts = split_outside_brackets(text);
    if parts.len() > 1 {
        return Type::OneOf(parts.into_iter().map(|part| read_type(part, sets)).collect());
    }
    let inside = |prefix: &str| text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(')'));
    if let Some(set) = text.strip_prefix('=') {
        return read_type(sets[set], sets);
    }
    if let Some(item) = inside("list(") {
        return Type::List(Box::new(read_type(item, sets)));
    }
    if let Some(names) = inside("enum(") {
        return Type::Enum(names.split(',').collect());
    }
    match text {
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        "unset" => Type::Unset,
        "map" => Type::Map,
        "object" => Type::Object,
        _ => Type::Text(text["string".len()..].parse().ok()),
    }
}

fn split_outside_brackets(text: &'static str) -> Vec<&'static str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, one) in text.char_indices() {
        match one {
            '(' => depth += 1,
            ')' => depth -= 1,
            '|' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
