//! The blows.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures::future::join_all;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use paywright_pg_local::Cluster;

use super::{
    fleet::{Fleet, start_database},
    plan::{Blow, Dice, Place, Round, Strike},
};
use crate::relay::until;

/// Longer than a lease, and than PostgreSQL lets a transaction stand idle.
const PAST_LEASE: Duration = Duration::from_secs(16);
const ALL: [Place; 4] = [Place::Server(0), Place::Server(1), Place::Worker(0), Place::Worker(1)];

/// Ends PostgreSQL as a power cut would, nearly: it writes nothing more down.
pub(crate) fn cut_power(cluster: &Cluster) {
    let entries = fs::read_dir(cluster.data_dir()).unwrap().map(|entry| entry.unwrap().path());
    let folders = entries.chain([cluster.data_dir().to_owned()]);
    let pids =
        folders.map(|folder| folder.join("postmaster.pid")).find_map(|file| fs::read_to_string(file).ok());
    let pid = pids.expect("it runs").lines().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGQUIT).unwrap();
}

impl Fleet {
    /// Strikes one blow after the other; the longest time until somebody was served again after what was struck could
    /// run again.
    pub(crate) async fn wreck(&self, round: &Round, dice: &mut Dice) -> Duration {
        let mut longest = Duration::ZERO;
        let mut wait = |least: u64| Duration::from_millis(least + dice.below(500) as u64);
        if round.blow == Blow::Zombies {
            tokio::time::sleep(wait(200)).await;
            self.make_zombies(&round.strikes).await;
            return self.served_again().await;
        }
        for strike in &round.strikes {
            tokio::time::sleep(wait(200)).await;
            let pause = wait(50);
            match *strike {
                Strike::Kill(place) => self.kill(&[place], pause).await,
                Strike::KillAll => self.kill(&ALL, pause).await,
                Strike::Terminate(place) => {
                    let ended = self.at(place).lock().await.take().unwrap().terminate().await;
                    assert!(ended.status.success() && !ended.stderr.contains("panicked"), "{ended:?}");
                    self.start_one(place).await;
                }
                Strike::Database => self.restart_database(round.blow, pause).await,
                Strike::Stop(_) => unreachable!("only zombies are stopped"),
            }
            longest = longest.max(self.served_again().await);
        }
        longest
    }

    async fn kill(&self, places: &[Place], pause: Duration) {
        join_all(places.iter().map(async |&place| self.at(place).lock().await.take().unwrap().kill().await))
            .await;
        tokio::time::sleep(pause).await;
        join_all(places.iter().map(|&place| self.start_one(place))).await;
    }

    async fn make_zombies(&self, strikes: &[Strike]) {
        let all = |signal| async move {
            for strike in strikes {
                if let Strike::Stop(place) = strike {
                    self.at(*place).lock().await.as_ref().unwrap().send(signal);
                }
            }
        };
        all(Signal::SIGSTOP).await;
        tokio::time::sleep(PAST_LEASE).await;
        all(Signal::SIGCONT).await;
    }

    async fn restart_database(&self, blow: Blow, pause: Duration) {
        let cluster = self.database.lock().await.take().unwrap();
        if blow == Blow::DatabaseAtOnce {
            cut_power(&cluster);
        }
        // Stopping one that is gone already says so.
        tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
        tokio::time::sleep(pause).await;
        *self.database.lock().await = Some(start_database(self.folder()).await);
    }

    async fn served_again(&self) -> Duration {
        let begun = Instant::now();
        let url = format!("{}/v1/orders?limit=1", self.us.url);
        until("served again", async || self.get(url.clone(), crate::support::KEY).await).await;
        begun.elapsed()
    }
}
