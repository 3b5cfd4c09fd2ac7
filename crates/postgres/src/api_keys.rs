//! Keys of the HTTP API, stored hashed.

use paywright_domain::{ApiKeyId, Id, Mode, ports::StoreError};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Postgres, bounded::Pool, error::store_error, keyed::Lent, loads::Load, rows::Reading, text::named_id,
};

/// Every scope there is; `*` stands for all.
pub const SCOPES: [&str; 18] = [
    "orders:read",
    "orders:write",
    "payments:write",
    "refunds:read",
    "refunds:write",
    "disputes:read",
    "disputes:write",
    "products:read",
    "products:write",
    "reports:read",
    "breaks:read",
    "breaks:write",
    "inbox:read",
    "inbox:write",
    "inbox:bodies",
    "reconciliation:read",
    "reconciliation:write",
    "*",
];

/// Who may call the API.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    pool: Pool,
    load: Load<Vec<u8>, KeyRow>,
}

/// A key, without its secret, which nobody knows any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identity.
    pub id: ApiKeyId,
    /// Which mode it opens.
    pub mode: Mode,
    /// What people call it.
    pub name: String,
    /// What it may do: some of [`SCOPES`].
    pub scopes: Vec<String>,
    /// Since when it exists.
    pub created_at: OffsetDateTime,
    /// When it was used, to the minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// Since when it does not open anything any more.
    pub revoked_at: Option<OffsetDateTime>,
}

impl ApiKey {
    /// Whether it may do what `scope` names.
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.iter().any(|granted| granted == "*" || granted == scope)
    }
}

/// Keys as rows, and whether it is time to note their use again.
macro_rules! api_keys {
    ($rest:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            KeyRow,
            "SELECT id, mode, name, hash, scopes, created_at, last_used_at, revoked_at,
                    last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS \"stale!\"
             FROM api_keys "
                + $rest,
            $($argument),*
        )
    };
}

#[derive(Clone)]
pub(crate) struct KeyRow {
    id: Uuid,
    mode: String,
    name: String,
    pub(crate) hash: Vec<u8>,
    scopes: Vec<String>,
    created_at: OffsetDateTime,
    last_used_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
    /// Whether it is time to note its use again.
    stale: bool,
}

impl ApiKeys {
    /// The keys in this database.
    pub fn new(postgres: &Postgres) -> Self {
        Self { pool: postgres.pool.clone(), load: postgres.loads.api_key.clone() }
    }

    /// Makes a key and returns its secret, `pw_test_...` or `pw_live_...`, which is shown this once. `random` comes
    /// from a source that nobody can guess. The same `random` again is refused.
    ///
    /// # Errors
    /// [`StoreError::Bug`] for a scope that is not in [`SCOPES`]; nothing was stored.
    pub async fn create(
        &self,
        name: &str,
        mode: Mode,
        scopes: &[String],
        random: [u8; 32],
    ) -> Result<(ApiKeyId, SecretString), StoreError> {
        let secret = format!("pw_{mode}_{}", hex::encode(random));
        let id = self.insert(name, mode, scopes, &secret).await?.ok_or(StoreError::Conflict)?;
        Ok((id, secret.into()))
    }

    /// Lets a secret that everybody knows open everything in test mode, and returns its key. For `dev` only.
    /// Doing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn ensure_dev_key(&self, secret: &str) -> Result<ApiKeyId, StoreError> {
        if let Some(id) = self.insert("dev", Mode::Test, &["*".to_owned()], secret).await? {
            return Ok(id);
        }
        let known = sqlx::query_scalar!("SELECT id FROM api_keys WHERE hash = $1", &hash(secret)[..]);
        known.fetch_one(&self.pool).await.map(Id::from_uuid).map_err(store_error)
    }

    /// The key with this secret, unless it was revoked, and notes that it was used.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement; let nobody in then.
    pub async fn find(&self, secret: &str) -> Result<Option<ApiKey>, StoreError> {
        // The comparison happens on the hash, so its timing tells nothing of use about the secret.
        let Some(row) = self.load.ask(hash(secret).to_vec()).await? else { return Ok(None) };
        let stale = row.stale;
        let key = row.key()?;
        if stale {
            self.touch(&key).await;
        }
        Ok(Some(key))
    }

    /// Takes a key's power away. Doing it again changes nothing. `false`: there is no such key.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn revoke(&self, id: ApiKeyId) -> Result<bool, StoreError> {
        let update = sqlx::query!(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1",
            id.uuid()
        );
        Ok(update.execute(&self.pool).await.map_err(store_error)?.rows_affected() == 1)
    }

    /// All keys, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn list(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows = api_keys!("ORDER BY created_at DESC, id",);
        rows.fetch_all(&self.pool).await.map_err(store_error)?.into_iter().map(KeyRow::key).collect()
    }

    /// `None` when the secret is taken.
    async fn insert(
        &self,
        name: &str,
        mode: Mode,
        scopes: &[String],
        secret: &str,
    ) -> Result<Option<ApiKeyId>, StoreError> {
        // The id follows from the secret by a one-way street; it sorts to the front, which matters to nobody.
        let id: ApiKeyId = named_id(OffsetDateTime::UNIX_EPOCH, &format!("api key of {secret}"));
        let insert = sqlx::query!(
            "INSERT INTO api_keys (id, mode, name, hash, scopes) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT DO NOTHING",
            id.uuid(),
            <&str>::from(mode),
            name,
            &hash(secret)[..],
            scopes,
        );
        let inserted = insert.execute(&self.pool).await.map_err(store_error)?.rows_affected();
        Ok((inserted == 1).then_some(id))
    }

    /// At most once a minute, so that a busy key does not write at every request; and never in the way of one.
    async fn touch(&self, key: &ApiKey) {
        let touched = sqlx::query!(
            "UPDATE api_keys SET last_used_at = now()
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
            key.id.uuid()
        );
        if let Err(error) = touched.execute(&self.pool).await {
            tracing::warn!(%error, api_key.id = %key.id, "the use of an API key was not noted");
        }
    }
}

/// The keys with these hashes that were not revoked.
pub(crate) async fn by_hash(mut lent: Lent, hashes: Vec<Vec<u8>>) -> (Lent, sqlx::Result<Vec<KeyRow>>) {
    let keys = api_keys!("WHERE hash = ANY($1) AND revoked_at IS NULL", &hashes);
    let rows = keys.fetch_all(&mut *lent.connection).await;
    (lent, rows)
}

impl KeyRow {
    fn key(self) -> Result<ApiKey, StoreError> {
        let mode = Reading { table: "api_keys", id: self.id }.word("mode", &self.mode)?;
        let Self { id, mode: _, name, hash: _, scopes, created_at, last_used_at, revoked_at, stale: _ } =
            self;
        Ok(ApiKey { id: Id::from_uuid(id), mode, name, scopes, created_at, last_used_at, revoked_at })
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}
