//! A body of the fake gateway: one `name=value` a line. Readable in a failed test, easy to spoil on purpose.

use std::{collections::BTreeMap, str::FromStr};

use paywright_domain::{
    Money, Origin, Refusal, Sighting, Standing,
    ports::{Heard, Malformed, Snapshot},
};
use time::OffsetDateTime;

const NOTHING: &str = "nothing";

/// The body of an event that is about nothing of ours.
pub(super) fn nothing(what: &str) -> Vec<u8> {
    format!("{NOTHING}={what}\n").into_bytes()
}

/// The body of an event that tells `snapshot`.
pub(super) fn encode(snapshot: &Snapshot) -> Vec<u8> {
    let mut body = String::new();
    let mut put = |name: &str, value: String| {
        assert!(!value.contains('\n'), "a value of the fake gateway is one line: {value:?}");
        body.push_str(&format!("{name}={value}\n"));
    };
    let Snapshot { payment, mode, amount, sighting, refusal, origin } = snapshot;
    put("mode", mode.to_string());
    put("standing", sighting.standing.to_string());
    match sighting.standing {
        Standing::Authorized(capturable) => put("capturable", capturable.to_string()),
        Standing::Captured { captured, refunded } => {
            put("captured", captured.to_string());
            put("refunded", refunded.to_string());
        }
        Standing::AwaitingMethod
        | Standing::ActionRequired
        | Standing::Processing
        | Standing::Cancelled
        | Standing::Unclear => {}
    }
    put("at", sighting.at.unix_timestamp().to_string());
    if let Some(amount) = amount {
        put("amount", amount.minor().to_string());
        put("currency", amount.currency().to_string());
    }
    if let Some(refusal) = refusal {
        put("refusal.key", refusal.key.clone());
        put("refusal.code", refusal.code.clone());
        put("refusal.message", refusal.message.clone());
        put("refusal.at", refusal.at.unix_timestamp().to_string());
    }
    let optional = [
        ("payment", payment.map(|id| id.to_string())),
        ("intent", sighting.intent.as_ref().map(ToString::to_string)),
        ("session", sighting.session.as_ref().map(ToString::to_string)),
        ("refusal.decline_code", refusal.as_ref().and_then(|refusal| refusal.decline_code.clone())),
        ("event", origin.event.clone()),
        ("request", origin.request.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            put(name, value);
        }
    }
    body.into_bytes()
}

/// What such a body says.
pub(super) fn decode(body: &[u8]) -> Result<Heard, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| Malformed(error.to_string()))?;
    let fields = Fields(text.lines().filter_map(|line| line.split_once('=')).collect());
    if let Some(what) = fields.0.get(NOTHING) {
        return Ok(Heard::Nothing((*what).to_owned()));
    }
    Ok(Heard::Payment(Box::new(fields.snapshot()?)))
}

struct Fields<'a>(BTreeMap<&'a str, &'a str>);

impl Fields<'_> {
    fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>, Malformed> {
        let Some(text) = self.0.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Malformed(format!("{name}: {text:?}")))
    }

    fn need<T: FromStr>(&self, name: &str) -> Result<T, Malformed> {
        self.get(name)?.ok_or_else(|| Malformed(format!("{name} is missing")))
    }

    fn time(&self, name: &str) -> Result<OffsetDateTime, Malformed> {
        OffsetDateTime::from_unix_timestamp(self.need(name)?).map_err(|error| Malformed(error.to_string()))
    }

    fn name<T: TryFrom<String>>(&self, name: &str) -> Result<Option<T>, Malformed> {
        let Some(text) = self.get::<String>(name)? else { return Ok(None) };
        text.try_into().map(Some).map_err(|_| Malformed(name.to_owned()))
    }

    fn snapshot(&self) -> Result<Snapshot, Malformed> {
        let amount = match self.get("amount")? {
            Some(minor) => {
                let amount = Money::from_minor(minor, self.need("currency")?);
                Some(amount.map_err(|error| Malformed(error.to_string()))?)
            }
            None => None,
        };
        Ok(Snapshot {
            payment: self.get("payment")?,
            mode: self.need("mode")?,
            amount,
            sighting: Sighting {
                standing: self.standing()?,
                at: self.time("at")?,
                intent: self.name("intent")?,
                session: self.name("session")?,
            },
            refusal: self.refusal()?,
            origin: Origin { event: self.get("event")?, request: self.get("request")? },
        })
    }

    fn standing(&self) -> Result<Standing, Malformed> {
        let standing: String = self.need("standing")?;
        Ok(match standing.as_str() {
            "awaiting_method" => Standing::AwaitingMethod,
            "action_required" => Standing::ActionRequired,
            "processing" => Standing::Processing,
            "authorized" => Standing::Authorized(self.need("capturable")?),
            "captured" => {
                Standing::Captured { captured: self.need("captured")?, refunded: self.need("refunded")? }
            }
            "cancelled" => Standing::Cancelled,
            "unclear" => Standing::Unclear,
            other => return Err(Malformed(format!("standing: {other:?}"))),
        })
    }

    fn refusal(&self) -> Result<Option<Refusal>, Malformed> {
        let Some(key) = self.get("refusal.key")? else { return Ok(None) };
        Ok(Some(Refusal {
            key,
            code: self.need("refusal.code")?,
            decline_code: self.get("refusal.decline_code")?,
            message: self.need("refusal.message")?,
            at: self.time("refusal.at")?,
        }))
    }
}
