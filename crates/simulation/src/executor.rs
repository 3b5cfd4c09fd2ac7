//! Who goes on next: every future of a run, polled one at a time, by chance.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use crate::dice::Dice;

/// What runs.
pub(crate) type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whose it is: a process, or nobody's, as the customers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Owner {
    /// The world outside, which never fails.
    Outside,
    /// One of our processes.
    Process(usize),
}

struct Task {
    owner: Owner,
    job: Option<Job>,
    flag: Arc<Flag>,
}

/// Whether a task waits to be polled.
struct Flag {
    place: usize,
    raised: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        if !self.raised.swap(true, Ordering::Relaxed) {
            self.ready.lock().unwrap_or_else(PoisonError::into_inner).push(self.place);
        }
    }
}

/// All tasks of a run. Places are never used twice, so that a late wake meets nobody else.
#[derive(Default)]
pub(crate) struct Executor {
    tasks: Vec<Task>,
    ready: Arc<Mutex<Vec<usize>>>,
    frozen: Vec<(Owner, Vec<usize>)>,
}

impl Executor {
    /// Begins a task; it is polled when its turn comes.
    pub(crate) fn spawn(&mut self, owner: Owner, job: Job) {
        let (place, ready) = (self.tasks.len(), Arc::clone(&self.ready));
        let flag = Arc::new(Flag { place, raised: AtomicBool::new(false), ready });
        self.tasks.push(Task { owner, job: Some(job), flag: Arc::clone(&flag) });
        flag.wake();
    }

    /// Takes one of the tasks that are ready. Those of a frozen process wait until it is thawed.
    pub(crate) fn next(&mut self, dice: &mut Dice) -> Option<usize> {
        loop {
            let place = {
                let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                if ready.is_empty() {
                    return None;
                }
                let at = usize::try_from(dice.below(ready.len() as u64)).unwrap_or(0);
                ready.swap_remove(at)
            };
            let task = &self.tasks[place];
            if task.job.is_none() {
                continue;
            }
            match self.frozen.iter_mut().find(|(owner, _)| *owner == task.owner) {
                Some((_, waiting)) => waiting.push(place),
                None => return Some(place),
            }
        }
    }

    /// Whose task it is.
    pub(crate) fn owner(&self, place: usize) -> Owner {
        self.tasks[place].owner
    }

    /// Lets a task go on to where it waits next.
    pub(crate) fn poll(&mut self, place: usize) {
        let Some(mut job) = self.tasks[place].job.take() else { return };
        let flag = Arc::clone(&self.tasks[place].flag);
        flag.raised.store(false, Ordering::Relaxed);
        let waker = Waker::from(flag);
        if job.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
            self.tasks[place].job = Some(job);
        }
    }

    /// Drops everything that a process was doing; answers how many tasks that were.
    pub(crate) fn kill(&mut self, owner: Owner) -> usize {
        self.frozen.retain(|(frozen, _)| *frozen != owner);
        let dead =
            self.tasks.iter_mut().filter(|task| task.owner == owner).filter_map(|task| task.job.take());
        dead.count()
    }

    /// From now on nothing of a process moves.
    pub(crate) fn freeze(&mut self, owner: Owner) {
        if !self.frozen.iter().any(|(frozen, _)| *frozen == owner) {
            self.frozen.push((owner, Vec::new()));
        }
    }

    /// It goes on as if nothing had been.
    pub(crate) fn thaw(&mut self, owner: Owner) {
        let Some(at) = self.frozen.iter().position(|(frozen, _)| *frozen == owner) else { return };
        let (_, waiting) = self.frozen.remove(at);
        self.ready.lock().unwrap_or_else(PoisonError::into_inner).extend(waiting);
    }
}

/// Lets others go first, once.
pub(crate) fn yield_now() -> impl Future<Output = ()> + Send {
    let mut gave_way = false;
    std::future::poll_fn(move |context| {
        if gave_way {
            return Poll::Ready(());
        }
        gave_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(executor: &mut Executor) -> u32 {
        let (mut dice, mut steps) = (Dice::new(1), 0);
        while let Some(place) = executor.next(&mut dice) {
            executor.poll(place);
            steps += 1;
        }
        steps
    }

    async fn twice() {
        yield_now().await;
        yield_now().await;
    }

    #[test]
    fn a_task_is_polled_once_more_than_it_gives_way() {
        let mut executor = Executor::default();
        executor.spawn(Owner::Outside, Box::pin(twice()));
        assert_eq!(steps(&mut executor), 3);
    }

    #[test]
    fn a_frozen_process_stands_still_and_then_goes_on() {
        let mut executor = Executor::default();
        executor.spawn(Owner::Process(1), Box::pin(twice()));
        executor.freeze(Owner::Process(1));
        assert_eq!(steps(&mut executor), 0);
        executor.thaw(Owner::Process(1));
        assert_eq!(steps(&mut executor), 3);
    }

    #[test]
    fn a_killed_process_does_nothing_more() {
        let mut executor = Executor::default();
        executor.spawn(Owner::Process(1), Box::pin(twice()));
        assert_eq!((executor.kill(Owner::Process(1)), steps(&mut executor)), (1, 0));
    }
}
