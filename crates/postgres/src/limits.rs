//! How often somebody may try to pay: what is counted, what became of it, and when it is forgotten. Attempts are judged in
//! `gate.rs`.

use async_trait::async_trait;
use paywright_domain::{
    Admission, Attempt, Breaker, Id, Lately, Limits, Mode, Network, PaymentId, Quota, Rule,
    ports::{Limiter, StoreError},
};
use time::Duration;

use crate::{Postgres, error::store_error, gate::waits, text::micros};

/// Of more payments than this, the newest are looked at.
const PAYMENTS_MAX: i64 = 20_000;

#[async_trait]
impl Limiter for Postgres {
    async fn admit(&self, attempt: Attempt, limits: Limits) -> Result<Admission, StoreError> {
        self.attempts.ask((attempt, limits)).await
    }

    async fn bad_key(&self, network: Network, quota: Quota) -> Result<Admission, StoreError> {
        let rule = Rule::BadKeysPerAddress;
        let taken = sqlx::query!(
            r#"WITH taken AS (
                   INSERT INTO limit_meters AS meter (subject, free_at, taken, quota, pace)
                   VALUES ($1, now() + $3::bigint * interval '1 microsecond', 1, $2, $3)
                   ON CONFLICT ON CONSTRAINT limit_meters_pkey DO UPDATE
                   SET free_at = greatest(meter.free_at, now()) + $3::bigint * interval '1 microsecond',
                       taken = 1, quota = $2, pace = $3
                   WHERE meter.free_at <= now() + ($2::bigint - 1) * $3::bigint * interval '1 microsecond'
                   RETURNING 1
               )
               SELECT EXISTS (SELECT FROM taken) AS "granted!",
                      (SELECT extract(epoch FROM free_at - now()) * 1000000 FROM limit_meters WHERE subject = $1)::bigint
                          AS used"#,
            format!("{rule} {network}"),
            i64::from(quota.count()),
            micros(quota.pace()),
        );
        let taken = taken.fetch_one(&self.pool).await.map_err(store_error)?;
        if taken.granted {
            return Ok(Admission::Admitted);
        }
        let free = micros(quota.pace()) * (i64::from(quota.count()) - 1);
        Ok(Admission::Refused { rule, wait: waits(taken.used.unwrap_or_default() - free) })
    }

    async fn lately(&self, mode: Mode, breaker: Breaker) -> Result<Lately, StoreError> {
        let window = breaker.declines.window();
        // By payment_declines_by_time, and where there are more than few, by payments_pkey, since ids sort by time. Of a busy
        // shop the newest payments are enough, and then as many declines as belong to them.
        let sql = sqlx::query!(
            r#"WITH newest AS MATERIALIZED (
                   SELECT state, created_at FROM payments
                   WHERE mode = $1 AND id >= $2
                     AND $4::bigint < (SELECT count(*) FROM (
                         SELECT FROM payment_declines
                         WHERE mode = $1 AND at > now() - $3::bigint * interval '1 microsecond' LIMIT $4::bigint + 1) AS enough)
                   ORDER BY id DESC LIMIT $5
               ), since AS (
                   SELECT CASE WHEN count(*) < $5 THEN now() - $3::bigint * interval '1 microsecond'
                               ELSE greatest(min(created_at), now() - $3::bigint * interval '1 microsecond') END AS at,
                          count(*) FILTER (WHERE state IN ('processing', 'authorized', 'captured')) AS paid
                   FROM newest
               ), declined AS MATERIALIZED (
                   SELECT at FROM payment_declines
                   WHERE mode = $1 AND at > (SELECT at FROM since) ORDER BY at DESC LIMIT $5
               )
               SELECT (SELECT paid FROM since) AS "paid!", (SELECT count(*) FROM declined) AS "declined!",
                      (SELECT extract(epoch FROM at - now()) * 1000000 + $3::bigint
                       FROM declined ORDER BY at DESC OFFSET $4 LIMIT 1)::bigint AS few_in"#,
            <&str>::from(mode),
            self.oldest(window).await?.uuid(),
            micros(window),
            i64::from(breaker.few()),
            PAYMENTS_MAX,
        );
        let lately = sql.fetch_one(&self.pool).await.map_err(store_error)?;
        let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Lately {
            declined: number(lately.declined),
            paid: number(lately.paid),
            few_in: waits(lately.few_in.unwrap_or_default()),
        })
    }
}

impl Postgres {
    /// The least id of a payment that was started within a time.
    async fn oldest(&self, window: Duration) -> Result<PaymentId, StoreError> {
        let from = sqlx::query_scalar!(
            r#"SELECT now() - $1::bigint * interval '1 microsecond' AS "from!""#,
            micros(window)
        );
        let from = from.fetch_one(&self.pool).await.map_err(store_error)?;
        Ok(Id::from_parts(from, &[0; 10]))
    }

    /// Forgets up to `limit` meters that say nothing any more; how many it were.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn forget_meters(&self, limit: u32) -> Result<u64, StoreError> {
        let delete = sqlx::query!(
            "DELETE FROM limit_meters WHERE subject IN (
                 SELECT subject FROM limit_meters WHERE free_at < now() ORDER BY free_at LIMIT $1
                 FOR UPDATE SKIP LOCKED)
             AND free_at < now()",
            i64::from(limit),
        );
        Ok(delete.execute(&self.pool).await.map_err(store_error)?.rows_affected())
    }

    /// Forgets up to `limit` origins of attempts that are older than any quota counts; how many it were.
    ///
    /// # Errors
    /// [`StoreError`] as for every statement.
    pub async fn forget_origins(&self, limit: u32) -> Result<u64, StoreError> {
        let delete = sqlx::query!(
            "DELETE FROM payment_origins WHERE (network, order_id) IN (
                 SELECT network, order_id FROM payment_origins
                 WHERE at < now() - $1::bigint * interval '1 microsecond' ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            micros(Quota::WINDOW_MAX),
            i64::from(limit),
        );
        Ok(delete.execute(&self.pool).await.map_err(store_error)?.rows_affected())
    }
}
