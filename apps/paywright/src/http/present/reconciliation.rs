use std::collections::BTreeMap;

use paywright_domain::{Counts, Run, Section};
use serde::Serialize;
use utoipa::ToSchema;

use super::rfc3339;
use crate::http::openapi::words;

/// One comparison of our books with Stripe's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconciliationRun)]
pub struct RunJson {
    #[schema(value_type = words::RunId)]
    id: String,
    #[schema(schema_with = words::reconciliation_run)]
    object: &'static str,
    #[schema(value_type = words::Mode)]
    mode: String,
    /// Who asked for it: `schedule`, `api` or `command`.
    #[schema(examples("schedule"))]
    trigger: String,
    /// As far back as it was asked to look, if it was asked to look further than usual.
    #[schema(required, format = DateTime)]
    since: Option<String>,
    /// `running`; `done`: everything was compared; `incomplete`: something could not be compared, and the next run tries
    /// again; `failed`: it stopped, and `error` says why.
    #[schema(examples("done"))]
    state: String,
    /// What each part came to, as far as it has come.
    sections: Vec<SectionJson>,
    /// Breaks that were found meanwhile.
    #[schema(minimum = 0)]
    breaks_opened: u64,
    /// Breaks that were resolved meanwhile.
    #[schema(minimum = 0)]
    breaks_resolved: u64,
    /// Why it stopped.
    #[schema(required)]
    error: Option<String>,
    #[schema(format = DateTime)]
    started_at: String,
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
}

impl From<&Run> for RunJson {
    fn from(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            object: "reconciliation_run",
            mode: run.mode.to_string(),
            trigger: run.trigger.to_string(),
            since: run.since.map(rfc3339),
            state: run.state.to_string(),
            sections: SectionJson::all(&run.counts),
            breaks_opened: run.opened,
            breaks_resolved: run.resolved,
            error: run.error.clone(),
            started_at: rfc3339(run.started_at),
            finished_at: run.finished_at.map(rfc3339),
        }
    }
}

/// What a part of a comparison came to. What was compared is matched, repaired, broken, foreign or unknown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconciliationSection)]
pub(super) struct SectionJson {
    /// `catch_up`: events that no webhook brought; `local`: ours that have not come to an end; `gateway`: Stripe's
    /// payments, refunds and disputes; `books`: Stripe's balance and payouts.
    #[schema(examples("catch_up"))]
    section: String,
    /// Looked at.
    compared: u64,
    /// The same on both sides.
    matched: u64,
    /// Different, and the same now: Stripe told, and we learned.
    repaired: u64,
    /// Of those, the ones that were not here at all.
    adopted: u64,
    /// Different, and no rule explains it.
    broken: u64,
    /// Not ours: the account has other uses.
    foreign: u64,
    /// Could not be compared; the next run tries again.
    unknown: u64,
    /// Movements of the balance that are not ours, by Stripe's word for their kind.
    #[schema(value_type = std::collections::HashMap<String, u64>)]
    foreign_kinds: BTreeMap<String, u64>,
    /// Why something could not be compared: the first few reasons.
    problems: Vec<String>,
    /// Whether there was too much for one run; the next one goes on.
    more: bool,
}

impl SectionJson {
    pub(super) fn all(counts: &BTreeMap<Section, Counts>) -> Vec<Self> {
        counts.iter().map(|(section, counts)| Self::new(*section, counts)).collect()
    }

    fn new(section: Section, counts: &Counts) -> Self {
        Self {
            section: section.to_string(),
            compared: counts.compared,
            matched: counts.matched,
            repaired: counts.repaired,
            adopted: counts.adopted,
            broken: counts.broken,
            foreign: counts.foreign,
            unknown: counts.unknown,
            foreign_kinds: counts.foreign_kinds.clone(),
            problems: counts.problems.clone(),
            more: counts.more,
        }
    }
}
