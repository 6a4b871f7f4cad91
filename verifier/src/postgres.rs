//! The org of a token for the app's own Postgres, so that row level security there follows the token:
//!
//! ```sql
//! ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
//! ALTER TABLE invoices FORCE ROW LEVEL SECURITY;
//! CREATE POLICY org ON invoices
//!     USING (org_id = (SELECT NULLIF(current_setting('app.org_id', true), '')))
//!     WITH CHECK (org_id = (SELECT NULLIF(current_setting('app.org_id', true), '')));
//! ```
//!
//! After a commit the setting is the empty text, not NULL: that is what `NULLIF` is for. Without it no
//! row is seen. A superuser, or a role with `BYPASSRLS`, sees all of them.

use crate::Claims;
use sqlx::{Postgres, Transaction};

/// Sets `app.org_id` to the token's org until the transaction ends. It takes claims and no text: what a
/// header or a path says of an org is no proof of it.
///
/// ```no_run
/// # async fn f(pool: &sqlx::PgPool, claims: &vestibule_verifier::Claims) -> sqlx::Result<()> {
/// let mut tx = pool.begin().await?;
/// vestibule_verifier::postgres::enter(&mut tx, claims).await?;
/// // every query of `tx` sees this org's rows alone
/// tx.commit().await
/// # }
/// ```
///
/// # Errors
/// As the database answers; then nothing is set, and no row is seen.
pub async fn enter(tx: &mut Transaction<'_, Postgres>, claims: &Claims) -> sqlx::Result<()> {
    let set = sqlx::query("SELECT set_config('app.org_id', $1, true)").bind(claims.org_id());
    set.execute(&mut **tx).await.map(drop)
}
