use crate::{config::Settings, wiring};

/// Applies what is missing. Several may run at the same time: one does it.
pub(crate) async fn run(settings: Settings) -> anyhow::Result<()> {
    let store = wiring::connect(&settings).await?;
    let pending = store.pending_migrations().await?;
    store.migrate().await?;
    println!("{pending} migrations applied");
    Ok(())
}
