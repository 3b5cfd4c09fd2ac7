//! A private database to work against by hand.

use std::path::Path;

use anyhow::Context;
use paywright_pg_local::{Cluster, Durability, Options};

pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let data_dir = root.join("target/xtask-db");
    let options = Options { durability: Durability::TestsOnly, ..Options::new(data_dir) };
    let cluster = Cluster::start(&options).context("no database")?;
    cluster.create_database("paywright")?;
    println!("export DATABASE_URL='{}'", cluster.url("paywright"));
    eprintln!("running until Ctrl-C; data in {}", cluster.data_dir().display());
    loop {
        std::thread::park(); // Ctrl-C ends us, and the database with us
    }
}
