//! One step of one aggregate, and the three verdicts that a state machine can give.

/// Counts an aggregate's transitions, from 1. A write that names an old version changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u32);

impl Version {
    /// The version of an aggregate that was just born.
    pub const FIRST: Self = Self(1);

    /// The version that a row holds.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// As a number, for a row.
    pub const fn number(self) -> u32 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A legal step of one aggregate. Only the aggregate's own `apply` (and its birth) makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition<A, E> {
    before: Option<A>,
    event: E,
    after: A,
}

impl<A, E> Transition<A, E> {
    pub(crate) fn first(event: E, after: A) -> Self {
        Self { before: None, event, after }
    }

    /// The aggregate before the step; `None` at its birth.
    pub fn before(&self) -> Option<&A> {
        self.before.as_ref()
    }

    /// What happened.
    pub fn event(&self) -> &E {
        &self.event
    }

    /// The aggregate after the step.
    pub fn after(&self) -> &A {
        &self.after
    }
}

/// What a state machine says to an event.
#[must_use = "a step that is not committed never happened"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied<A, E> {
    /// The aggregate changes.
    Moved(Box<Transition<A, E>>),
    /// It is so already; neither success nor failure.
    AlreadyTrue,
}

impl<A: Clone, E> Applied<A, E> {
    pub(crate) fn moved(before: &A, after: A, event: E) -> Self {
        Self::Moved(Box::new(Transition { before: Some(before.clone()), event, after }))
    }
}

/// The machine has no such step; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} is {from}: {event} is not possible")]
pub struct IllegalTransition {
    /// The object.
    pub id: String,
    /// Its state.
    pub from: &'static str,
    /// What was asked of it.
    pub event: &'static str,
    /// What would be possible.
    pub allowed: Vec<&'static str>,
}
