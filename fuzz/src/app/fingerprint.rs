//! The fingerprint by which a repeated request is known: the same for the same, and for nothing else.

use paywright_app::http::idempotent::fingerprint;

use super::draw::Draw;

/// A method, a path, a body.
type Request = (String, String, Vec<u8>);

/// # Panics
/// When two requests are taken for one, or one for two.
pub fn run(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let one = (draw.text(), draw.text(), draw.text().into_bytes());
    let other = match draw.byte() % 8 {
        0 => one.clone(),
        kind => changed(&one, kind, &mut draw),
    };
    assert_eq!(of(&one), of(&one));
    assert_eq!(of(&one) == of(&other), one == other, "{one:?} {other:?}");
}

fn of((method, path, body): &Request) -> [u8; 32] {
    fingerprint(method, path, body)
}

/// Another request, or one that would look the same if the parts were written one after the other.
fn changed((method, path, body): &Request, kind: u8, draw: &mut Draw<'_>) -> Request {
    let whole = [method.as_bytes(), path.as_bytes(), body].concat();
    match kind {
        1 => (draw.text(), path.clone(), body.clone()),
        2 => (method.clone(), draw.text(), body.clone()),
        3 => (method.clone(), path.clone(), draw.rest().to_vec()),
        4 => (path.clone(), method.clone(), body.clone()),
        5 => (method.clone(), path.clone(), [body, draw.rest()].concat()),
        // The same bytes, parted elsewhere.
        _ => {
            let whole = String::from_utf8_lossy(&whole).into_owned();
            let at = |part: usize| (0..=part.min(whole.len())).rev().find(|at| whole.is_char_boundary(*at));
            let (one, two) =
                (at(usize::from(draw.byte())).unwrap_or(0), at(usize::from(draw.byte())).unwrap_or(0));
            let (one, two) = (one.min(two), one.max(two));
            (whole[..one].to_owned(), whole[one..two].to_owned(), whole.as_bytes()[two..].to_vec())
        }
    }
}
