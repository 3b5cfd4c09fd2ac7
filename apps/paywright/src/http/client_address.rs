//! From where a client calls. What a request says of that is believed as far as declared proxies vouch for it, each for the
//! one before it: read from the right, only through them.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{self, HeaderMap};
use ipnet::IpNet;

/// Proxies in a row; what lies beyond is nobody's business.
const HOPS_MAX: usize = 16;

/// The address of a client that reached us through `peer`.
///
/// Without a declared proxy at the other end of the connection it is the peer's, whatever the request says. Through
/// declared ones it is the last address that is none of theirs, as they wrote it into `X-Forwarded-For` or `Forwarded`
/// (RFC 7239). A proxy writes one of the two and passes on the other as the client sent it: where both are there and do
/// not agree, neither is believed.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = peer.to_canonical();
    let list = |name: header::HeaderName| {
        let line = |line: &header::HeaderValue| String::from_utf8_lossy(line.as_bytes()).into_owned();
        let lines: Vec<String> = headers.get_all(&name).map(line).collect();
        (!lines.is_empty()).then(|| lines.join(","))
    };
    let one = list(header::X_FORWARDED_FOR).map(|list| walk(peer, list.rsplit(','), trusted, usual));
    let other = list(header::FORWARDED).map(|list| walk(peer, last_first(&list), trusted, rfc7239));
    match (one, other) {
        (Some(one), Some(other)) if one == other => one,
        (Some(_), Some(_)) | (None, None) => peer,
        (Some(one), None) | (None, Some(one)) => one,
    }
}

/// Goes from hop to hop as long as they are trusted. One that cannot be read ends the way at the hop that wrote it.
fn walk<'a>(
    peer: IpAddr,
    last_first: impl IntoIterator<Item = &'a str>,
    trusted: &[IpNet],
    read: fn(&str) -> Option<IpAddr>,
) -> IpAddr {
    let mut hop = peer;
    for element in last_first.into_iter().take(HOPS_MAX) {
        if !trusted.iter().any(|network| network.contains(&hop)) {
            break;
        }
        match read(element.trim()) {
            Some(before) => hop = before.to_canonical(),
            None => break,
        }
    }
    hop
}

/// The elements of `Forwarded`, which may have commas within quotes. They are parted from the right: a quote that a client
/// opens and never closes must not swallow what its proxies wrote behind it.
fn last_first(list: &str) -> Vec<&str> {
    let (mut parts, mut end, mut quoted) = (Vec::new(), list.len(), false);
    for (at, letter) in list.char_indices().rev() {
        match letter {
            '"' if !(quoted && is_escaped(&list[..at])) => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&list[at + 1..end]);
                end = at;
            }
            _ => {}
        }
    }
    parts.push(&list[..end]);
    parts
}

/// Whether what follows `before` within quotes is meant literally.
fn is_escaped(before: &str) -> bool {
    (before.len() - before.trim_end_matches('\\').len()) % 2 == 1
}

fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if letter == separator && !quoted => {
                parts.push(text[begin..at].trim());
                begin = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts
}

/// An element of `X-Forwarded-For`: an address, with a port perhaps.
fn usual(element: &str) -> Option<IpAddr> {
    let bare = element.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(element).parse().ok();
    address.or_else(|| element.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()))
}

/// An element of `Forwarded`: the one `for=` among its pairs.
fn rfc7239(element: &str) -> Option<IpAddr> {
    let mut nodes = split(element, ';').into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    });
    let (node, None) = (nodes.next()?, nodes.next()) else { return None };
    match node.strip_prefix('"') {
        // An address has nothing to escape.
        Some(quoted) => usual(quoted.strip_suffix('"')?),
        None => usual(node),
    }
}

/// Addresses of proxies, as they are configured: `10.0.0.0/8, 192.0.2.7`.
///
/// # Errors
/// The part that is none.
pub fn proxies(text: &str) -> Result<Vec<IpNet>, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let network = |part: &str| {
        let single = || part.parse::<IpAddr>().map(IpNet::from).ok();
        part.parse::<IpNet>().ok().or_else(single).ok_or_else(|| part.to_owned())
    };
    parts.map(network).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXIES: &str = "10.0.0.0/8, 2001:db8:ffff::/48, 192.0.2.7";

    /// The address that a request through `peer` with these headers is from.
    fn address(peer: &str, headers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse().unwrap(), value.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &map, &proxies(PROXIES).unwrap()).to_string()
    }

    fn usual_way(peer: &str, value: &str) -> String {
        address(peer, &[("x-forwarded-for", value)])
    }

    fn rfc_way(value: &str) -> String {
        address("10.0.0.1", &[("forwarded", value)])
    }

    #[test]
    fn a_peer_that_is_no_proxy_is_who_it_is() {
        for headers in
            [vec![], vec![("x-forwarded-for", "203.0.113.1")], vec![("forwarded", "for=203.0.113.1")]]
        {
            assert_eq!(address("198.51.100.9", &headers), "198.51.100.9");
        }
        assert_eq!(address("::ffff:198.51.100.9", &[]), "198.51.100.9");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1", "a proxy that says nothing speaks for itself");
    }

    #[test]
    fn proxies_vouch_for_the_one_before_them_and_no_further() {
        for (value, client) in [
            ("203.0.113.1", "203.0.113.1"),
            ("1.1.1.1, 203.0.113.1", "203.0.113.1"),
            ("203.0.113.1, 10.0.0.2", "203.0.113.1"),
            ("1.1.1.1, 203.0.113.1, 192.0.2.7 , 10.9.9.9", "203.0.113.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("203.0.113.1:4711", "203.0.113.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("203.0.113.1, 2001:db8:ffff::5", "203.0.113.1"),
            ("203.0.113.1, ::ffff:10.0.0.2", "203.0.113.1"),
        ] {
            assert_eq!(usual_way("10.0.0.1", value), client, "{value}");
        }
        let lines = [("x-forwarded-for", "1.1.1.1, 203.0.113.1"), ("x-forwarded-for", "10.0.0.2")];
        assert_eq!(address("10.0.0.1", &lines), "203.0.113.1");
    }

    #[test]
    fn what_cannot_be_read_ends_the_way() {
        for value in ["", "unknown", "203.0.113.1,", "203.0.113.999", "203.0.113.1 10.0.0.2", "fe80::1%eth0"]
        {
            assert_eq!(usual_way("10.0.0.1", value), "10.0.0.1", "{value}");
        }
        assert_eq!(usual_way("10.0.0.1", "203.0.113.1, unknown, 10.0.0.2"), "10.0.0.2");
        let endless = vec!["10.0.0.2"; 5_000].join(",");
        assert_eq!(usual_way("10.0.0.1", &format!("203.0.113.1,{endless}")), "10.0.0.2");
    }

    #[test]
    fn the_header_of_rfc_7239_is_read_as_written_there() {
        for (value, client) in [
            ("for=203.0.113.1", "203.0.113.1"),
            ("For=\"203.0.113.1:80\";proto=https;by=10.0.0.1", "203.0.113.1"),
            ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=203.0.113.1, for=10.0.0.2;host=\"a, b; for=1.1.1.1\"", "203.0.113.1"),
            ("for=1.1.1.1, for = 203.0.113.1", "203.0.113.1"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden", "10.0.0.1"),
            ("for=1.1.1.1;for=203.0.113.1", "10.0.0.1"),
            ("for=\"203.0.113.1", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            assert_eq!(rfc_way(value), client, "{value}");
        }
    }

    /// What a client writes stands to the left of what its proxies write, and is of no use to it.
    #[test]
    fn an_open_quote_hides_nobody() {
        for own in ["\"", "for=\"", "for=\"x\\", "for=1.1.1.1;host=\"a", "é"] {
            let (usual, rfc) = (format!("{own}, 203.0.113.1"), format!("{own}, for=203.0.113.1"));
            assert_eq!(usual_way("10.0.0.1", &usual), "203.0.113.1", "{own}");
            assert_eq!(rfc_way(&rfc), "203.0.113.1", "{own}");
        }
        assert_eq!(rfc_way("for=203.0.113.1;host=\"a\\\", b\", for=10.0.0.2"), "203.0.113.1");
    }

    /// Whatever a client writes into the header that its proxy does not write is of no use to it.
    #[test]
    fn of_two_headers_that_disagree_neither_is_believed() {
        let both = |one, other| address("10.0.0.1", &[("x-forwarded-for", one), ("forwarded", other)]);
        assert_eq!(both("203.0.113.1", "for=203.0.113.1"), "203.0.113.1");
        assert_eq!(both("203.0.113.1", "for=1.1.1.1"), "10.0.0.1");
        assert_eq!(both("1.1.1.1", "for=203.0.113.1"), "10.0.0.1");
    }

    #[test]
    fn proxies_are_networks_or_single_addresses() {
        assert_eq!(proxies("").unwrap(), []);
        assert_eq!(proxies(PROXIES).unwrap().len(), 3);
        for wrong in ["10.0.0.0/33", "proxy.example.org", "10.0.0.0/8; 10.0.0.1"] {
            assert_eq!(proxies(&format!("10.0.0.1, {wrong}")), Err(wrong.to_owned()));
        }
    }
}
