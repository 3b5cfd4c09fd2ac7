//! What is true of many routes, said once: problems, headers, the idempotency key.
//!
//! A route says its own problems by the extension `x-problems`; the rest follows from what it takes.

use serde_json::{Map, Value, json};

use crate::http::problem::CATALOGUE;

const METHODS: [&str; 4] = ["get", "post", "patch", "delete"];

/// Adds to each operation what its kind answers.
pub(super) fn complete(document: &mut Value) {
    let paths = document["paths"].as_object_mut().expect("paths are an object");
    for operations in paths.values_mut() {
        for (method, operation) in operations.as_object_mut().expect("a path is an object") {
            if METHODS.contains(&method.as_str()) {
                finish(method, operation);
            }
        }
    }
    let components = &mut document["components"];
    components["parameters"] = parameters();
    components["headers"] = headers();
}

fn finish(method: &str, operation: &mut Value) {
    if let Some(body) = operation.get_mut("requestBody") {
        optional_body(body);
    }
    let with_body = operation.get("requestBody").is_some();
    let closed = operation.get("security").is_some();
    let repeatable = closed && method == "post";
    let mut codes: Vec<String> = Vec::new();
    let mut add = |more: &[&str]| codes.extend(more.iter().map(|&code| code.to_owned()));
    if closed {
        add(&["unauthorized", "missing_scope", "rate_limited", "internal", "unavailable"]);
    }
    if takes(operation, "path") {
        add(&["not_found"]);
    }
    if takes(operation, "query") {
        add(&["invalid_request"]);
    }
    if with_body {
        add(&["unreadable_body", "body_too_slow", "body_too_large"]);
        if closed {
            add(&["malformed_json", "unsupported_media_type", "invalid_request"]);
        }
    }
    if repeatable {
        add(&["malformed_idempotency_key", "idempotency_key_in_use", "idempotency_key_reused"]);
    }
    let fields = operation.as_object_mut().expect("an operation is an object");
    if let Some(Value::Array(own)) = fields.remove("x-problems") {
        codes.extend(own.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    if repeatable {
        let parameters = fields.entry("parameters").or_insert_with(|| json!([]));
        let key = json!({ "$ref": "#/components/parameters/IdempotencyKey" });
        parameters.as_array_mut().expect("parameters are a list").push(key);
    }
    let responses = fields["responses"].as_object_mut().expect("responses are an object");
    for (status, code, _) in CATALOGUE {
        if codes.iter().any(|given| given == code) {
            refusal(responses, status, code);
        }
    }
    for (status, response) in responses {
        let headers = &mut response["headers"];
        let mut add = |name: &str| headers[name] = json!({ "$ref": format!("#/components/headers/{name}") });
        add("X-Request-Id");
        match status.as_str() {
            "401" => add("WWW-Authenticate"),
            "409" | "503" => add("Retry-After"),
            "429" => ["Retry-After", "RateLimit", "RateLimit-Policy"].into_iter().for_each(&mut add),
            // What is stored with the key; a wrong request frees it.
            "200" | "201" | "202" | "404" if repeatable => add("Idempotent-Replayed"),
            _ => {}
        }
        if repeatable && status == "409" {
            add("Idempotent-Replayed");
        }
    }
    responses_in_order(fields);
}

/// An optional body may be left out, which reads as `{}`; it may not be `null`, as the generator has it.
fn optional_body(body: &mut Value) {
    let Some(schema) = body.pointer_mut("/content/application~1json/schema") else { return };
    if let Some([inner, null]) = schema["oneOf"].as_array().map(Vec::as_slice)
        && null["type"] == "null"
    {
        *schema = inner.clone();
        body["required"] = false.into();
    }
}

fn takes(operation: &Value, place: &str) -> bool {
    let parameters = operation["parameters"].as_array();
    parameters.is_some_and(|all| all.iter().any(|parameter| parameter["in"] == place))
}

/// One more code among those of a status.
fn refusal(responses: &mut Map<String, Value>, status: u16, code: &str) {
    let response = responses.entry(status.to_string()).or_insert_with(|| {
        json!({
            "description": "",
            "content": { "application/problem+json": {
                "schema": { "allOf": [
                    { "$ref": "#/components/schemas/Problem" },
                    { "properties": { "status": { "const": status }, "code": { "enum": [] } } },
                ] },
                "examples": {},
            } },
        })
    });
    let meaning = CATALOGUE.iter().find(|(_, known, _)| *known == code).map_or("", |(_, _, meaning)| meaning);
    let before = response["description"].as_str().unwrap_or_default();
    let separator = if before.is_empty() { "" } else { "\n" };
    response["description"] = format!("{before}{separator}- `{code}`: {meaning}").into();
    let content = &mut response["content"]["application/problem+json"];
    let known = content["schema"]["allOf"][1]["properties"]["code"]["enum"].as_array_mut();
    known.expect("made above").push(code.into());
    content["examples"][code] = json!({ "summary": code, "value": example(status, code, meaning) });
}

fn example(status: u16, code: &str, meaning: &str) -> Value {
    let mut problem = json!({
        "type": format!("urn:paywright:problem:{code}"),
        "title": meaning,
        "status": status,
        "code": code,
    });
    match code {
        "invalid_request" => {
            let detail = "must be 1 to 999999";
            problem["detail"] = format!("items[0].quantity: {detail}").into();
            problem["errors"] = json!([{ "field": "items[0].quantity", "detail": detail }]);
        }
        "illegal_transition" => {
            problem["from"] = "pending".into();
            problem["event"] = "shipped".into();
            problem["allowed"] = json!(["payment_started", "cancelled"]);
        }
        _ => {}
    }
    problem
}

fn responses_in_order(fields: &mut Map<String, Value>) {
    if let Some(Value::Object(responses)) = fields.get_mut("responses") {
        responses.sort_keys();
    }
}

fn parameters() -> Value {
    json!({ "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "Names this request: the same key with the same request gives the same answer, executed once, \
                        also across crashes. Choose a new one (a UUID, say) for each new request. A 422 and a 5xx free \
                        the key.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$" },
        "example": "3f1c0c9e-6b1f-4f0a-9d3e-0a8f3f0c7d11",
    } })
}

fn headers() -> Value {
    let header = |description: &str, schema: Value| json!({ "description": description, "schema": schema });
    json!({
        "X-Request-Id": header("Names this request in our logs.", json!({ "type": "string" })),
        "Idempotent-Replayed": header(
            "`true` when this is the answer of an earlier request with the same key.",
            json!({ "type": "string", "enum": ["true"] }),
        ),
        "Retry-After": header(
            "When to send the same request again, in seconds; absent if that would not help.",
            json!({ "type": "integer", "minimum": 1 }),
        ),
        "RateLimit": header(
            "The limit that was met, that nothing is left of it, and in how many seconds something is.",
            json!({ "type": "string" }),
        ),
        "RateLimit-Policy": header("How many the limit allows (`q`) in how many seconds (`w`).", json!({ "type": "string" })),
        "WWW-Authenticate": header("`Bearer`.", json!({ "type": "string" })),
    })
}
