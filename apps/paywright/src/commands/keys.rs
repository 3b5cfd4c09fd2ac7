use clap::Subcommand;
use paywright_domain::{ApiKeyId, ports::Entropy};
use paywright_postgres::ApiKeys;
use secrecy::ExposeSecret;

use crate::{
    config::Settings,
    http::{
        auth::{EVERYTHING, SCOPES},
        present::rfc3339,
    },
    system::OsEntropy,
    wiring,
};

/// `paywright keys ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Makes a key and shows it, once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// What it may do; several are comma-separated.
        #[arg(long, value_delimiter = ',', default_value = EVERYTHING,
              value_parser = SCOPES.map(|(scope, _)| scope))]
        scope: Vec<String>,
    },
    /// Shows all keys, without their secrets.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ends a key at once.
    Revoke {
        /// Its id, `key_...`.
        id: String,
    },
}

impl Keys {
    pub(crate) async fn run(self, settings: Settings) -> anyhow::Result<()> {
        let store = wiring::connect(&settings).await?;
        let keys = ApiKeys::new(&store);
        match self {
            Self::Create { name, scope } => {
                let mut random = [0; 32];
                OsEntropy.fill(&mut random);
                let (id, secret) = keys.create(&name, settings.mode, &scope, random).await?;
                println!("{id}  {}", secret.expose_secret());
                eprintln!("Keep it: it is not stored and cannot be shown again.");
            }
            Self::List { json } => list(&keys, json).await?,
            Self::Revoke { id } => {
                let id: ApiKeyId = id.parse()?;
                anyhow::ensure!(keys.revoke(id).await?, "no such key");
                println!("{id} revoked");
            }
        }
        Ok(())
    }
}

async fn list(keys: &ApiKeys, json: bool) -> anyhow::Result<()> {
    let all = keys.list().await?;
    if json {
        let rows: Vec<_> = all
            .iter()
            .map(|key| {
                serde_json::json!({
                    "id": key.id.to_string(),
                    "name": key.name,
                    "mode": key.mode.to_string(),
                    "scopes": key.scopes,
                    "created_at": rfc3339(key.created_at),
                    "last_used_at": key.last_used_at.map(rfc3339),
                    "revoked_at": key.revoked_at.map(rfc3339),
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    for key in all {
        let revoked = if key.revoked_at.is_some() { "  revoked" } else { "" };
        println!("{}  {}  {}  {}{revoked}", key.id, key.mode, key.name, key.scopes.join(","));
    }
    Ok(())
}
