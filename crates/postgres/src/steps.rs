//! What becomes of aggregates: born, or written over the version that was decided on. All of a group's aggregates of one
//! kind are written together.

mod disputes;
mod orders;
mod payments;
mod refunds;

use std::collections::BTreeMap;

use paywright_domain::{Transition, Version, ports::StoreError};
use uuid::Uuid;

use crate::error::Failure;

pub(crate) use disputes::disputes;
pub(crate) use orders::orders;
pub(crate) use payments::payments;
pub(crate) use refunds::refunds;

/// An aggregate as the last of its steps leaves it.
struct Written<'a, A> {
    /// The version that the first of them was decided on; `None` at its birth.
    over: Option<Version>,
    last: &'a A,
}

/// Follows each aggregate through its steps; in the order of their ids, which is that of their locks.
struct Course<'a, A>(BTreeMap<Uuid, Written<'a, A>>);

impl<'a, A> Course<'a, A> {
    /// # Errors
    /// Conflict, where a step was not decided on the one before it.
    fn follow<E: 'a>(
        steps: impl Iterator<Item = &'a Transition<A, E>>,
        id: impl Fn(&A) -> Uuid,
        version: impl Fn(&A) -> Version,
    ) -> Result<Self, Failure> {
        let mut course = BTreeMap::new();
        for step in steps {
            let before = step.before().map(&version);
            match course.get_mut(&id(step.after())) {
                None => {
                    course.insert(id(step.after()), Written { over: before, last: step.after() });
                }
                Some(Written { last, .. }) if Some(version(last)) == before => *last = step.after(),
                Some(_) => return Err(StoreError::Conflict.into()),
            }
        }
        Ok(Self(course))
    }

    fn born(&self) -> Vec<&'a A> {
        self.0.values().filter(|written| written.over.is_none()).map(|written| written.last).collect()
    }

    /// Those that were there before, with the version that each must still have.
    fn moved(&self) -> Vec<(Version, &'a A)> {
        self.0.values().filter_map(|written| Some((written.over?, written.last))).collect()
    }
}

/// One column of many rows.
fn each<R, T>(rows: &[R], column: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(column).collect()
}

/// Fewer rows than were meant: of one of them another version, or none, is there now.
fn all(rows: u64, meant: usize) -> Result<(), Failure> {
    if usize::try_from(rows) == Ok(meant) { Ok(()) } else { Err(StoreError::Conflict.into()) }
}
