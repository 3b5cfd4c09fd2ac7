//! Whether Stripe calls us as we need it.

use paywright_domain::Mode;

use crate::{
    client::API_VERSION,
    endpoints::Endpoint,
    heard::{EVENTS_NEEDED, shaped_as_ours},
};

/// The type of events that stands for all.
const ALL: &str = "*";

/// Something that keeps events away from us, or makes them hard to read. Prints as a sentence for people, without an
/// end mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Stripe does not know of us. Make an endpoint.
    #[error("no webhook endpoint at Stripe has the address {url}: Stripe tells us nothing")]
    Missing {
        /// Our address.
        url: String,
    },
    /// The one that we made has another address. Change it.
    #[error("webhook endpoint {endpoint}, which we made, has the address {found} and not {url}")]
    OtherUrl {
        /// Which one.
        endpoint: String,
        /// Its address.
        found: String,
        /// Ours.
        url: String,
    },
    /// Nothing is sent. Enable it.
    #[error("webhook endpoint {endpoint} is disabled: Stripe sends it nothing")]
    Disabled {
        /// Which one.
        endpoint: String,
    },
    /// Events are shaped otherwise than we read them. A version is for life: make another endpoint, and delete this.
    #[error("webhook endpoint {endpoint} sends events {}, but they are read in {API_VERSION}", of_version(.version))]
    OtherVersion {
        /// Which one.
        endpoint: String,
        /// Its version; `None`: the account's default, which may change.
        version: Option<String>,
    },
    /// Some of what we need is not sent. Change it.
    #[error("webhook endpoint {endpoint} does not send {}", .types.join(", "))]
    MissingEvents {
        /// Which one.
        endpoint: String,
        /// What is missing.
        types: Vec<String>,
    },
    /// Events are of the other mode: the credentials are not those of our mode.
    #[error("webhook endpoint {endpoint} is for {found} mode, but we are in {mode} mode")]
    OtherMode {
        /// Which one.
        endpoint: String,
        /// Its mode.
        found: Mode,
        /// Ours.
        mode: Mode,
    },
    /// Harmless, and right while a secret is rolled; else delete the older.
    #[error("webhook endpoints {} all have our address: each event comes {} times", .endpoints.join(", "), .endpoints.len())]
    Repeated {
        /// Which ones, newest first.
        endpoints: Vec<String>,
    },
}

fn of_version(version: &Option<String>) -> String {
    version.as_ref().map_or_else(
        || "in whatever version is the account's default".to_owned(),
        |version| format!("in version {version}"),
    )
}

/// Judges the endpoints of an account, newest first, against what we need at our address. Nothing found: all is well.
///
/// While there are several with our address, the best counts.
pub fn judge(endpoints: &[Endpoint], url: &str, mode: Mode) -> Vec<Finding> {
    let at_ours: Vec<&Endpoint> = endpoints.iter().filter(|endpoint| endpoint.url == url).collect();
    let judged = at_ours.iter().map(|endpoint| of_one(endpoint, mode));
    let Some(mut found) = judged.min_by_key(Vec::len) else { return of_none(endpoints, url) };
    let live = at_ours.iter().filter(|endpoint| endpoint.enabled);
    let live: Vec<String> = live.map(|endpoint| endpoint.id.clone()).collect();
    if live.len() > 1 {
        found.push(Finding::Repeated { endpoints: live });
    }
    found
}

fn of_none(endpoints: &[Endpoint], url: &str) -> Vec<Finding> {
    let missing = Finding::Missing { url: url.to_owned() };
    let moved = endpoints.iter().find(|endpoint| endpoint.ours).map(|endpoint| Finding::OtherUrl {
        endpoint: endpoint.id.clone(),
        found: endpoint.url.clone(),
        url: url.to_owned(),
    });
    vec![moved.unwrap_or(missing)]
}

fn of_one(of: &Endpoint, mode: Mode) -> Vec<Finding> {
    let endpoint = || of.id.clone();
    let sends = |kind: &str| of.events.iter().any(|sent| sent == ALL || sent == kind);
    let types: Vec<String> =
        EVENTS_NEEDED.iter().filter(|kind| !sends(kind)).map(|kind| (*kind).to_owned()).collect();
    let mut found = Vec::new();
    if of.mode != mode {
        found.push(Finding::OtherMode { endpoint: endpoint(), found: of.mode, mode });
    }
    if !of.enabled {
        found.push(Finding::Disabled { endpoint: endpoint() });
    }
    if !shaped_as_ours(of.api_version.as_deref()) {
        found.push(Finding::OtherVersion { endpoint: endpoint(), version: of.api_version.clone() });
    }
    if !types.is_empty() {
        found.push(Finding::MissingEvents { endpoint: endpoint(), types });
    }
    found
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    const URL: &str = "https://shop.example/webhooks/stripe";

    fn endpoint(id: &str) -> Endpoint {
        Endpoint {
            id: id.to_owned(),
            url: URL.to_owned(),
            enabled: true,
            events: EVENTS_NEEDED.map(str::to_owned).to_vec(),
            api_version: Some(API_VERSION.to_owned()),
            mode: Mode::Test,
            created_at: OffsetDateTime::UNIX_EPOCH,
            ours: true,
        }
    }

    fn words(endpoints: &[Endpoint]) -> Vec<String> {
        judge(endpoints, URL, Mode::Test).iter().map(Finding::to_string).collect()
    }

    ///
    #[test]
    fn what_is_as_we_need_it_gives_no_finding() {
        let all = Endpoint { events: vec!["*".to_owned()], ..endpoint("we_1") };
        let later = Endpoint { api_version: Some("2026-08-26.dahlia".to_owned()), ..endpoint("we_1") };
        let other = Endpoint { url: "https://elsewhere.example".to_owned(), ..endpoint("we_2") };
        for fine in [vec![endpoint("we_1")], vec![all], vec![later], vec![other, endpoint("we_1")]] {
            assert_eq!(words(&fine), <[String; 0]>::default());
        }
    }

    /// Covers: A-3, fault 24.
    #[test]
    fn a_version_that_is_not_pinned_or_is_of_another_release_is_found() {
        for (version, said) in [
            (None, "in whatever version is the account's default"),
            (Some("2026-09-30.endive"), "in version 2026-09-30.endive"),
            (Some("2024-06-20"), "in version 2024-06-20"),
        ] {
            let version = version.map(str::to_owned);
            let found = words(&[Endpoint { api_version: version, ..endpoint("we_1") }]);
            let words =
                format!("webhook endpoint we_1 sends events {said}, but they are read in 2026-07-29.dahlia");
            assert_eq!(found, [words]);
        }
    }

    ///
    #[test]
    fn each_want_is_named() {
        let one = endpoint("we_1");
        let moved = Endpoint { url: "https://old.example".to_owned(), ..one.clone() };
        let foreign = Endpoint { ours: false, ..moved.clone() };
        assert_eq!(
            words(&[foreign]),
            [format!("no webhook endpoint at Stripe has the address {URL}: Stripe tells us nothing")]
        );
        assert_eq!(
            words(&[moved]),
            [format!(
                "webhook endpoint we_1, which we made, has the address https://old.example and not {URL}"
            )]
        );
        let mut worst = Endpoint { enabled: false, mode: Mode::Live, ..one.clone() };
        worst.events.retain(|kind| !kind.starts_with("refund."));
        assert_eq!(
            words(std::slice::from_ref(&worst)),
            [
                "webhook endpoint we_1 is for live mode, but we are in test mode",
                "webhook endpoint we_1 is disabled: Stripe sends it nothing",
                "webhook endpoint we_1 does not send refund.created, refund.failed, refund.updated",
            ]
        );
        assert_eq!(words(&[worst, endpoint("we_2")]), <[String; 0]>::default(), "the best counts");
        assert_eq!(
            words(&[endpoint("we_2"), one]),
            ["webhook endpoints we_2, we_1 all have our address: each event comes 2 times"]
        );
    }
}
