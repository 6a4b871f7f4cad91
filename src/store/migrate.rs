//! Migrations, run by the owner's login over the migrate URL, and the check that the server itself
//! never serves with more rights than the policies assume.

use crate::{Error, Result};
use sqlx::{Connection, PgConnection, PgPool, migrate::Migrator};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Brings the database at `url` to this version, and the record's months up to date. Safe to run from several processes at once.
pub async fn migrate(url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|e| Error::Migrate(e.to_string()))?;
    sqlx::query("SELECT vst.make_audit_months(current_date, $1)")
        .bind(crate::MONTHS_AHEAD)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// Refuses a server role that is superuser, bypasses row level security or owns a table, and a
/// table with `org_id` that is not under FORCE: either would silence the policies.
pub async fn refuse_unsafe_role(pool: &PgPool) -> Result<()> {
    let (role, privileged): (String, bool) = sqlx::query_as(
        "SELECT current_user::text, r.rolsuper OR r.rolbypassrls
                OR EXISTS (SELECT 1 FROM pg_tables t WHERE t.schemaname = 'vst' AND t.tableowner = current_user)
           FROM pg_roles r
          WHERE r.rolname = current_user",
    )
    .fetch_one(pool)
    .await?;
    if privileged || role != "vst_app" {
        return Err(Error::Migrate(format!(
            "refusing to serve as {role}: row level security would not hold"
        )));
    }
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text
           FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'vst'
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
          WHERE c.relkind IN ('r', 'p')
            AND NOT c.relforcerowsecurity
            AND c.relname NOT LIKE 'route\\_%'
            AND c.relname NOT IN ('pending', 'app_orgs')",
    )
    .fetch_all(pool)
    .await?;
    if open.is_empty() {
        Ok(())
    } else {
        Err(Error::Migrate(format!("tables without FORCE row level security: {}", open.join(", "))))
    }
}
