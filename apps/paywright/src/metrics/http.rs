//! Requests, measured by their routes.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use actix_web::{
    HttpMessage as _,
    dev::ServiceRequest,
    http::{Method, StatusCode},
};

use super::{catalogue::HTTP, kept::Kept};

thread_local! {
    /// The routes that were asked for, by their patterns.
    static ROUTES: RefCell<HashMap<String, Route>> = RefCell::default();
}

/// A route by its pattern, never by a path, in which ids and tokens stand.
#[derive(Clone)]
pub struct Route(Rc<Measured>);

struct Measured {
    pattern: String,
    durations: Kept,
}

impl Route {
    /// That of a request, which is left with it: finding it is half of the way to the route.
    pub fn of(request: &ServiceRequest) -> Self {
        // A path without variables is its own pattern.
        let known = ROUTES.with_borrow(|routes| routes.get(request.path()).cloned());
        let route = known.unwrap_or_else(|| {
            let pattern = request.match_pattern().unwrap_or_else(|| "none".to_owned());
            ROUTES.with_borrow_mut(|routes| {
                routes.entry(pattern).or_insert_with_key(|pattern| Self::new(pattern)).clone()
            })
        });
        request.extensions_mut().insert(route.clone());
        route
    }

    fn new(pattern: &str) -> Self {
        Self(Rc::new(Measured { pattern: pattern.to_owned(), durations: Kept::default() }))
    }

    /// The pattern.
    pub fn pattern(&self) -> &str {
        &self.0.pattern
    }

    /// A request was answered.
    pub fn answered(&self, method: &'static str, status: StatusCode, took: Duration) {
        let labels = [method, class(status)];
        self.0.durations.record(labels, took, |[method, status]| {
            metrics::histogram!(HTTP, "route" => self.0.pattern.clone(), "method" => method, "status" => status)
        });
    }
}

/// A client may invent methods; we count those together.
pub fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
