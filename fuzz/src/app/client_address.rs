//! From where a client calls: proxies that we know vouch for it, and nothing that it writes itself changes that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue, X_FORWARDED_FOR};
use paywright_app::http::client_address::{client_address, proxies};

use super::draw::Draw;

const TRUSTED: &str = "10.0.0.0/8, 2001:db8:ffff::/48, 192.0.2.7";

/// # Panics
/// When a client is taken for another one than its proxies say.
pub fn run(bytes: &[u8]) {
    let mut draw = Draw::new(bytes);
    let way = draw.byte();
    let (client, peer) = (foreign(&mut draw), proxy(&mut draw));
    let chain: Vec<_> = (0..draw.byte() % 4).map(|_| proxy(&mut draw)).collect();
    let usual_way = way.is_multiple_of(2);
    let (style, name): (Style, _) = if usual_way { (usual, X_FORWARDED_FOR) } else { (rfc7239, FORWARDED) };
    let written =
        [client].iter().chain(&chain).map(|hop| style(*hop, &mut draw)).collect::<Vec<_>>().join(", ");
    let own = draw.rest();

    // What the client wrote stands in a line of its own, or in front of what its proxies wrote.
    let mut headers = HeaderMap::new();
    match way / 2 % 3 {
        0 => add(&mut headers, &name, written.as_bytes()),
        1 => {
            add(&mut headers, &name, own);
            add(&mut headers, &name, written.as_bytes());
        }
        _ => add(&mut headers, &name, &[own, b", ", written.as_bytes()].concat()),
    }
    let trusted = proxies(TRUSTED).expect("networks");
    assert_eq!(client_address(client, &headers, &trusted), client, "nobody vouches for it");
    if headers.is_empty() {
        assert_eq!(client_address(peer, &headers, &trusted), peer);
        return;
    }
    assert_eq!(client_address(peer, &headers, &trusted), client, "{headers:?}");
    assert_eq!(client_address(peer, &headers, &[]), peer);

    // Its own header of the other sort is believed only where it says the same.
    let other = if usual_way { FORWARDED } else { X_FORWARDED_FOR };
    add(&mut headers, &other, own);
    let judged = client_address(peer, &headers, &trusted);
    assert!(judged == client || judged == peer, "{judged}: {headers:?}");
    assert_eq!(judged, judged.to_canonical());
}

type Style = fn(IpAddr, &mut Draw<'_>) -> String;

fn usual(hop: IpAddr, draw: &mut Draw<'_>) -> String {
    match (draw.byte() % 3, hop) {
        (0, _) => hop.to_string(),
        (1, IpAddr::V6(hop)) => format!("[{hop}]"),
        (_, IpAddr::V4(hop)) => format!("{hop}:4711"),
        (_, IpAddr::V6(hop)) => format!("[{hop}]:4711"),
    }
}

fn rfc7239(hop: IpAddr, draw: &mut Draw<'_>) -> String {
    let pair = match hop {
        IpAddr::V4(hop) => {
            draw.pick(&["for=@", "For=\"@\"", "for=\"@:4711\""]).replace('@', &hop.to_string())
        }
        IpAddr::V6(hop) => draw.pick(&["for=\"[@]\"", "FOR=\"[@]:80\""]).replace('@', &hop.to_string()),
    };
    let before = draw.pick(&["", "proto=https;", "host=\"a, \\\"b\";", "by=_x; "]);
    let after = draw.pick(&["", ";proto=http", ";host=\"c;for=1.1.1.1, d\""]);
    format!("{before}{pair}{after}")
}

/// What is no value of a header does not come in.
fn add(headers: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.append(name.clone(), value);
    }
}

fn foreign(draw: &mut Draw<'_>) -> IpAddr {
    match draw.byte() % 2 {
        0 => Ipv4Addr::new(203, 0, 113, draw.byte()).into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, draw.byte().into()).into(),
    }
}

fn proxy(draw: &mut Draw<'_>) -> IpAddr {
    match draw.byte() % 3 {
        0 => Ipv4Addr::new(10, 0, 0, draw.byte()).into(),
        1 => Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, draw.byte().into()).into(),
        _ => Ipv4Addr::new(192, 0, 2, 7).into(),
    }
}
