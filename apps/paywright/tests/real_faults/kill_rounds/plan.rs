//! What happens in which round, by the seed alone.

use std::fmt;

/// How many rounds of each kind. Without options, one of each.
#[derive(clap::Parser)]
pub(crate) struct Options {
    /// Rounds in which servers and workers are killed, or told to end.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Rounds in which the database is started anew, fast and at once by turns.
    #[arg(long, default_value_t = 1)]
    database_restarts: usize,
    /// Rounds in which processes are stopped until their leases are over, and go on then.
    #[arg(long, default_value_t = 1)]
    zombies: usize,
    /// After how many rounds it is waited until all is quiet, and everything compared.
    #[arg(long, default_value_t = 1)]
    pub(crate) audit_every: usize,
    /// Decides everything that chance decides.
    #[arg(long, default_value_t = 16)]
    pub(crate) seed: u64,
}

impl Options {
    pub(crate) fn rounds(&self, dice: &mut Dice) -> Vec<Round> {
        let kills = (0..self.rounds).map(|_| Blow::Processes);
        let restarts = (0..self.database_restarts)
            .map(|n| if n % 2 == 0 { Blow::DatabaseAtOnce } else { Blow::DatabaseFast });
        let zombies = (0..self.zombies).map(|_| Blow::Zombies);
        let mut blows: Vec<_> = kills.chain(restarts).chain(zombies).collect();
        for place in (1..blows.len()).rev() {
            blows.swap(place, dice.below(place + 1));
        }
        blows.into_iter().map(|blow| Round::new(blow, dice)).collect()
    }
}

/// As one would type them.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, database_restarts, zombies, audit_every, seed } = self;
        write!(
            f,
            "--rounds {rounds} --database-restarts {database_restarts} --zombies {zombies} --audit-every {audit_every} \
             --seed {seed}"
        )
    }
}

/// One round.
pub(crate) struct Round {
    pub(crate) blow: Blow,
    /// What is struck, in this order; each a place among two servers and two workers. The database has none.
    pub(crate) strikes: Vec<Strike>,
    pub(crate) webhooks: Webhooks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    Processes,
    Zombies,
    /// Clients are disconnected, what is written is written down.
    DatabaseFast,
    /// As after a power cut, nearly.
    DatabaseAtOnce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    Kill(Place),
    Terminate(Place),
    Stop(Place),
    KillAll,
    Database,
}

/// Who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Server(usize),
    Worker(usize),
}

/// How Stripe's messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Webhooks {
    /// As Stripe promises, at least once. Nobody compares the books, which would hide what is not understood of them.
    AtLeastOnce,
    /// Many twice, in any order.
    Doubled,
    /// Some never. Then the books are compared.
    Lost,
}

impl Round {
    fn new(blow: Blow, dice: &mut Dice) -> Self {
        let strikes = match blow {
            Blow::Processes => (0..2 + dice.below(3)).map(|_| Strike::at_process(dice)).collect(),
            Blow::Zombies => {
                let (server, worker) = (Place::Server(dice.below(2)), Place::Worker(dice.below(2)));
                match dice.below(3) {
                    0 => vec![Strike::Stop(server)],
                    1 => vec![Strike::Stop(worker)],
                    _ => vec![Strike::Stop(worker), Strike::Stop(server)],
                }
            }
            Blow::DatabaseFast | Blow::DatabaseAtOnce => vec![Strike::Database],
        };
        let webhooks = match dice.below(4) {
            0 => Webhooks::Lost,
            1 => Webhooks::Doubled,
            _ => Webhooks::AtLeastOnce,
        };
        Self { blow, strikes, webhooks }
    }
}

impl Strike {
    fn at_process(dice: &mut Dice) -> Self {
        if dice.below(8) == 0 {
            return Self::KillAll;
        }
        let place = match dice.below(4) {
            place @ 0..2 => Place::Server(place),
            place => Place::Worker(place - 2),
        };
        if dice.below(3) == 0 { Self::Terminate(place) } else { Self::Kill(place) }
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strikes = self.strikes.iter().map(|strike| match strike {
            Strike::Kill(place) => format!("kill {place}"),
            Strike::Terminate(place) => format!("end {place}"),
            Strike::Stop(place) => format!("stop {place}"),
            Strike::KillAll => "kill all".to_owned(),
            Strike::Database if self.blow == Blow::DatabaseFast => "database, fast".to_owned(),
            Strike::Database => "database, at once".to_owned(),
        });
        let webhooks = match self.webhooks {
            Webhooks::AtLeastOnce => "",
            Webhooks::Doubled => "; webhooks doubled",
            Webhooks::Lost => "; webhooks lost",
        };
        f.pad(&(strikes.collect::<Vec<_>>().join(", ") + webhooks))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(n) => write!(f, "server {n}"),
            Self::Worker(n) => write!(f, "worker {n}"),
        }
    }
}

/// Chance that can be repeated (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }
}
