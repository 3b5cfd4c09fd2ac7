//! Lists: newest first, a cursor in either direction, ranges of `created`.
//!
//! Source: <https://docs.stripe.com/api/pagination>.

use serde_json::{Value, json};

use super::error::{ApiError, ApiResult};
use super::params::Params;
use super::table::{Row, Table};

/// What part of a list is wanted.
#[derive(Clone, Debug)]
pub struct Page {
    limit: usize,
    cursor: Cursor,
    created: Range,
}

#[derive(Clone, Debug)]
enum Cursor {
    Newest,
    After(String),
    Before(String),
}

/// Bounds in seconds, both inclusive.
#[derive(Clone, Copy, Debug)]
struct Range {
    from: i64,
    until: i64,
}

impl Page {
    /// # Errors
    /// A 400 for a limit outside 1 to 100, or for both cursors at once.
    pub fn from_params(params: Params<'_>) -> ApiResult<Self> {
        let limit = params.integer("limit").unwrap_or(10);
        if !(1..=100).contains(&limit) {
            let bound = if limit < 1 { "greater than or equal to 1" } else { "less than or equal to 100" };
            return Err(ApiError::invalid(format!("This value must be {bound}."))
                .code("parameter_invalid_integer")
                .param("limit")
                .into());
        }
        let cursor = match (params.owned("starting_after"), params.owned("ending_before")) {
            (Some(_), Some(_)) => {
                let message = "You cannot parameterize both starting_after and ending_before.";
                return Err(ApiError::invalid(message).into());
            }
            (Some(id), None) => Cursor::After(id),
            (None, Some(id)) => Cursor::Before(id),
            (None, None) => Cursor::Newest,
        };
        let limit = usize::try_from(limit).expect("it is between 1 and 100");
        Ok(Self { limit, cursor, created: Range::from_params(params) })
    }
}

impl Range {
    fn from_params(params: Params<'_>) -> Self {
        if let Some(exact) = params.integer("created") {
            return Self { from: exact, until: exact };
        }
        let Some(bounds) = params.object("created") else { return Self { from: i64::MIN, until: i64::MAX } };
        let lower = [bounds.integer("gte"), bounds.integer("gt").map(|bound| bound.saturating_add(1))];
        let upper = [bounds.integer("lte"), bounds.integer("lt").map(|bound| bound.saturating_sub(1))];
        Self {
            from: lower.into_iter().flatten().max().unwrap_or(i64::MIN),
            until: upper.into_iter().flatten().min().unwrap_or(i64::MAX),
        }
    }
}

/// The wanted part of a table, as a Stripe list.
///
/// # Errors
/// A 400 when the cursor is no row of the table.
pub fn render<T: Row>(
    table: &Table<T>,
    page: &Page,
    url: &str,
    keep: impl Fn(&T) -> bool,
    render: impl Fn(&T) -> Value,
) -> ApiResult<Value> {
    let place = |id: &str, param: &str| {
        table.place(id).ok_or_else(|| Box::new(ApiError::no_such("object", id, param).status(400)))
    };
    let backwards = matches!(page.cursor, Cursor::Before(_));
    let places: Box<dyn Iterator<Item = usize>> = match &page.cursor {
        Cursor::Newest => Box::new((0..table.len()).rev()),
        Cursor::After(id) => Box::new((0..place(id, "starting_after")?).rev()),
        Cursor::Before(id) => Box::new(place(id, "ending_before")? + 1..table.len()),
    };
    let rows = places.filter_map(|at| table.at(at));
    // Rows are in the order of their creation: outside of the range, the rest can be left out.
    let mut wanted: Vec<&T> = rows
        .take_while(|row| {
            if backwards { row.created() <= page.created.until } else { row.created() >= page.created.from }
        })
        .filter(|row| (page.created.from..=page.created.until).contains(&row.created()) && keep(row))
        .take(page.limit + 1)
        .collect();
    let has_more = wanted.len() > page.limit;
    wanted.truncate(page.limit);
    if backwards {
        wanted.reverse();
    }
    Ok(of(wanted.into_iter().map(render).collect(), has_more, url))
}

/// A list object.
pub fn of(data: Vec<Value>, has_more: bool, url: &str) -> Value {
    json!({"object": "list", "data": data, "has_more": has_more, "url": url})
}
