//! Questions that come at the same time travel together: under load one round trip and one flush serve many, and nobody
//! waits for company when there is none.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use paywright_domain::ports::StoreError;
use tokio::{runtime::Handle, sync::oneshot};

use crate::error::repeat;

/// A question with the way back to whoever asked it.
pub(crate) struct Ticket<Q, A> {
    pub(crate) question: Q,
    back: oneshot::Sender<Result<A, StoreError>>,
}

impl<Q, A> Ticket<Q, A> {
    /// Whoever asked may have gone away meanwhile; then nobody hears it.
    pub(crate) fn answer(self, answer: Result<A, StoreError>) {
        let _ = self.back.send(answer);
    }
}

/// What went wrong, went wrong for all.
pub(crate) fn refuse<Q, A>(tickets: Vec<Ticket<Q, A>>, error: &StoreError) {
    for ticket in tickets {
        ticket.answer(Err(repeat(error)));
    }
}

/// How the questions of one ride are answered, each by its ticket.
type Ride<Q, A> = dyn Fn(Vec<Ticket<Q, A>>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Gathers questions of one kind. Rides run in tasks of their own, so nobody who asks can cancel one half-way.
pub(crate) struct Lane<Q, A> {
    stop: Arc<Stop<Q, A>>,
}

impl<Q, A> Clone for Lane<Q, A> {
    fn clone(&self) -> Self {
        Self { stop: Arc::clone(&self.stop) }
    }
}

impl<Q, A> fmt::Debug for Lane<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("seats", &self.stop.seats).finish_non_exhaustive()
    }
}

struct Stop<Q, A> {
    waiting: Mutex<Waiting<Q, A>>,
    /// Rides under way at the same time, at most.
    rides: usize,
    /// Questions in one ride.
    seats: usize,
    ride: Box<Ride<Q, A>>,
    /// All rides of a lane run where its connections were made, whichever thread asks.
    runtime: Handle,
}

struct Waiting<Q, A> {
    tickets: VecDeque<Ticket<Q, A>>,
    drivers: usize,
}

impl<Q: Send + 'static, A: Send + 'static> Lane<Q, A> {
    /// A lane of up to `rides` at the same time, each with up to `seats` questions. More rides wait for less, fewer carry
    /// more. Call it inside of a Tokio runtime.
    pub(crate) fn new<F>(
        rides: usize,
        seats: usize,
        ride: impl Fn(Vec<Ticket<Q, A>>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let waiting = Mutex::new(Waiting { tickets: VecDeque::new(), drivers: 0 });
        let ride: Box<Ride<Q, A>> = Box::new(move |tickets| Box::pin(ride(tickets)));
        Self { stop: Arc::new(Stop { waiting, rides, seats, ride, runtime: Handle::current() }) }
    }

    /// Asks, and waits for the answer. Whoever stops waiting does not stop the ride.
    pub(crate) async fn ask(&self, question: Q) -> Result<A, StoreError> {
        let (back, answer) = oneshot::channel();
        if self.stop.enter(Ticket { question, back }) {
            self.stop.runtime.spawn(drive(Driver { stop: Arc::clone(&self.stop), resigned: false }));
        }
        answer.await.map_err(|died| StoreError::Unavailable(died.into()))?
    }
}

impl<Q, A> Stop<Q, A> {
    fn waiting(&self) -> MutexGuard<'_, Waiting<Q, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another driver is needed.
    fn enter(&self, ticket: Ticket<Q, A>) -> bool {
        let mut waiting = self.waiting();
        waiting.tickets.push_back(ticket);
        let hire = waiting.drivers < self.rides;
        waiting.drivers += usize::from(hire);
        hire
    }
}

struct Driver<Q, A> {
    stop: Arc<Stop<Q, A>>,
    resigned: bool,
}

impl<Q, A> Driver<Q, A> {
    /// Those who wait, as many as there are seats. When there are none the driver resigns in the same moment, so that
    /// whoever comes next hires another.
    fn next(&mut self) -> Option<Vec<Ticket<Q, A>>> {
        let mut waiting = self.stop.waiting();
        if waiting.tickets.is_empty() {
            waiting.drivers -= 1;
            self.resigned = true;
            return None;
        }
        let some = waiting.tickets.len().min(self.stop.seats);
        Some(waiting.tickets.drain(..some).collect())
    }
}

/// A ride that panicked, or a runtime that ended, must not leave a seat taken for ever, nor anybody waiting.
impl<Q, A> Drop for Driver<Q, A> {
    fn drop(&mut self) {
        if !self.resigned {
            let mut waiting = self.stop.waiting();
            waiting.drivers -= 1;
            if waiting.drivers == 0 {
                waiting.tickets.clear();
            }
        }
    }
}

async fn drive<Q, A>(mut driver: Driver<Q, A>) {
    loop {
        // Whoever is about to ask may come along.
        tokio::task::yield_now().await;
        let Some(tickets) = driver.next() else { return };
        (driver.stop.ride)(tickets).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Doubles, and tells how many rode along.
    fn doubling() -> Lane<u32, (u32, usize)> {
        Lane::new(2, 4, |tickets: Vec<Ticket<u32, (u32, usize)>>| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let company = tickets.len();
            for ticket in tickets {
                let double = ticket.question * 2;
                ticket.answer(Ok((double, company)));
            }
        })
    }

    async fn nobody_drives<Q, A>(lane: &Lane<Q, A>) {
        let resigned = async {
            while lane.stop.waiting().drivers > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), resigned).await.unwrap();
    }

    #[tokio::test]
    async fn everybody_gets_their_own_answer_and_no_ride_has_more_than_its_seats() {
        let lane = doubling();
        let answers = futures::future::join_all((0..50).map(|n| lane.ask(n))).await;
        for (n, answer) in (0..).zip(answers) {
            let (double, company) = answer.unwrap();
            assert_eq!(double, n * 2);
            assert!(company <= 4, "{company}");
        }
        nobody_drives(&lane).await;
    }

    #[tokio::test]
    async fn who_comes_while_others_ride_shares_the_next_ride() {
        let lane = doubling();
        let answers = futures::future::join_all((0..20).map(|n| lane.ask(n))).await;
        assert!(answers.into_iter().any(|answer| answer.unwrap().1 == 4));
    }

    #[tokio::test]
    async fn a_ride_that_panics_takes_no_other_with_it() {
        let lane: Lane<u32, u32> = Lane::new(2, 1, |mut tickets: Vec<Ticket<u32, u32>>| async move {
            let ticket = tickets.pop().unwrap();
            assert_ne!(ticket.question, 13, "bad luck");
            let question = ticket.question;
            ticket.answer(Ok(question));
        });
        assert!(matches!(lane.ask(13).await, Err(StoreError::Unavailable(_))));
        assert_eq!(lane.ask(7).await.unwrap(), 7);
        nobody_drives(&lane).await;
    }

    /// Covers: fault 125.
    #[tokio::test]
    async fn who_goes_away_does_not_stop_the_ride() {
        let (done, heard) = oneshot::channel();
        let done = Mutex::new(Some(done));
        let lane: Arc<Lane<(), ()>> = Arc::new(Lane::new(2, 1, move |tickets: Vec<Ticket<(), ()>>| {
            let done = done.lock().unwrap().take();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                drop(tickets);
                done.unwrap().send(()).unwrap();
            }
        }));
        let asking = tokio::time::timeout(Duration::from_millis(1), lane.ask(()));
        assert!(asking.await.is_err());
        heard.await.unwrap();
    }
}
