//! A body of the fake gateway: one `name=value` a line. Readable in a failed test, easy to spoil on purpose.

mod money;

use std::{collections::BTreeMap, str::FromStr};

use paywright_domain::{
    Money, Origin, Refusal, Sighting, Standing,
    ports::{Fact, Heard, Malformed, Snapshot},
};
use time::OffsetDateTime;

const NOTHING: &str = "nothing";

/// The body of an event that is about nothing of ours.
pub(super) fn nothing(what: &str) -> Vec<u8> {
    format!("{NOTHING}={what}\n").into_bytes()
}

/// The body of an event that tells `fact`.
pub(super) fn encode(fact: &Fact) -> Vec<u8> {
    let mut body = String::new();
    let mut put = |name: &str, value: String| {
        assert!(!value.contains('\n'), "a value of the fake gateway is one line: {value:?}");
        body.push_str(&format!("{name}={value}\n"));
    };
    match fact {
        Fact::Payment(told) => put_payment(&mut put, told),
        Fact::Refund(told) => money::put_refund(&mut put, told),
        Fact::Dispute(told) => money::put_dispute(&mut put, told),
    }
    body.into_bytes()
}

fn put_payment(put: &mut dyn FnMut(&str, String), snapshot: &Snapshot) {
    let Snapshot { order, payment, mode, amount, sighting, settled, refusal, origin } = snapshot;
    put("settled", settled.to_string());
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
        ("order", order.map(|id| id.to_string())),
        ("payment", payment.map(|id| id.to_string())),
        ("intent", sighting.intent.as_ref().map(ToString::to_string)),
        ("session", sighting.session.as_ref().map(ToString::to_string)),
        ("refusal.decline_code", refusal.as_ref().and_then(|refusal| refusal.decline_code.clone())),
        ("refusal.advice", refusal.as_ref().and_then(|refusal| refusal.advice.clone())),
        ("capture_before", sighting.capture_before.map(|at| at.unix_timestamp().to_string())),
        ("settlement", sighting.settlement.as_ref().map(money::transaction)),
    ];
    put_known(put, optional);
    put_origin(put, origin);
}

fn put_known<const N: usize>(put: &mut dyn FnMut(&str, String), optional: [(&str, Option<String>); N]) {
    for (name, value) in optional {
        if let Some(value) = value {
            put(name, value);
        }
    }
}

fn put_origin(put: &mut dyn FnMut(&str, String), origin: &Origin) {
    put_known(put, [("event", origin.event.clone()), ("request", origin.request.clone())]);
}

/// What such a body says.
pub(super) fn decode(body: &[u8]) -> Result<Heard, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| Malformed(error.to_string()))?;
    let fields = Fields(text.lines().filter_map(|line| line.split_once('=')).collect());
    if let Some(what) = fields.0.get(NOTHING) {
        return Ok(Heard::Nothing((*what).to_owned()));
    }
    Ok(Heard::Fact(if fields.0.contains_key(money::REFUND) {
        Fact::Refund(Box::new(fields.refund()?))
    } else if fields.0.contains_key(money::DISPUTE) {
        Fact::Dispute(Box::new(fields.dispute()?))
    } else {
        Fact::Payment(Box::new(fields.snapshot()?))
    }))
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
        moment(self.need(name)?)
    }

    fn money(&self) -> Result<Option<Money>, Malformed> {
        let Some(minor) = self.get("amount")? else { return Ok(None) };
        let money = Money::from_minor(minor, self.need("currency")?);
        money.map(Some).map_err(|error| Malformed(error.to_string()))
    }

    fn origin(&self) -> Result<Origin, Malformed> {
        Ok(Origin { event: self.get("event")?, request: self.get("request")? })
    }

    fn name<T: TryFrom<String>>(&self, name: &str) -> Result<Option<T>, Malformed> {
        let Some(text) = self.get::<String>(name)? else { return Ok(None) };
        text.try_into().map(Some).map_err(|_| Malformed(name.to_owned()))
    }

    fn snapshot(&self) -> Result<Snapshot, Malformed> {
        Ok(Snapshot {
            order: self.get("order")?,
            payment: self.get("payment")?,
            mode: self.need("mode")?,
            amount: self.money()?,
            sighting: Sighting {
                standing: self.standing()?,
                at: self.time("at")?,
                intent: self.name("intent")?,
                session: self.name("session")?,
                capture_before: self.get("capture_before")?.map(moment).transpose()?,
                settlement: self.transaction("settlement")?,
            },
            settled: self.get("settled")?.unwrap_or(false),
            refusal: self.refusal()?,
            origin: self.origin()?,
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
            advice: self.get("refusal.advice")?,
            message: self.need("refusal.message")?,
            at: self.time("refusal.at")?,
        }))
    }
}

fn moment(seconds: i64) -> Result<OffsetDateTime, Malformed> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| Malformed(error.to_string()))
}
