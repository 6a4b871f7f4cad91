//! Migrations, run by the owner's login over the migrate URL, and the check that the server itself
//! never serves with more rights than the policies assume.

use crate::{Error, Result, pool::Pool};
use sqlx::{
    Connection, PgConnection,
    migrate::{MigrateError, Migrator},
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// Brings the database at `url` to this version, and the record's months up to date. Safe to run from several processes at once.
pub async fn migrate(url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    MIGRATIONS.run(&mut connection).await.map_err(failed)?;
    sqlx::query("SELECT vst.make_audit_months(current_date, $1)")
        .bind(crate::MONTHS_AHEAD)
        .execute(&mut connection)
        .await?;
    connection.close().await?;
    Ok(())
}

/// A right that is missing is told by its SQLSTATE; anything else by the migration's number.
fn failed(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(why) => why.into(),
        MigrateError::ExecuteMigration(why, _) if lacks_right(&why) => why.into(),
        other => Error::Migrate(other.to_string()),
    }
}

fn lacks_right(error: &sqlx::Error) -> bool {
    // 42501 insufficient_privilege
    error.as_database_error().and_then(|said| said.code()).is_some_and(|code| code == "42501")
}

/// Refuses a server role that is superuser, bypasses row level security or owns a table, and a
/// table with `org_id` that is not under FORCE: either would silence the policies.
pub(crate) async fn refuse_unsafe_role(pool: &Pool) -> Result<()> {
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
    warn_of_mighty_login(pool).await?;
    let open: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text
           FROM pg_class c
           JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'vst'
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'org_id' AND NOT a.attisdropped
          WHERE c.relkind IN ('r', 'p')
            AND NOT c.relforcerowsecurity
            AND c.relname NOT LIKE 'route\\_%'
            AND c.relname NOT IN ('pending', 'app_orgs', 'revocation_feed')",
    )
    .fetch_all(pool)
    .await?;
    if open.is_empty() {
        Ok(())
    } else {
        Err(Error::Migrate(format!("tables without FORCE row level security: {}", open.join(", "))))
    }
}

/// The login took the role and could lay it down again: one that no policy holds is said loudly.
async fn warn_of_mighty_login(pool: &Pool) -> Result<()> {
    let mighty: Option<String> = sqlx::query_scalar(
        "SELECT r.rolname::text
           FROM pg_roles r
          WHERE r.rolname = session_user
            AND (r.rolsuper OR r.rolbypassrls)",
    )
    .fetch_optional(pool)
    .await?;
    if let Some(login) = mighty {
        tracing::warn!(
            login,
            "THE LOGIN OF DATABASE_URL IS A SUPERUSER OR BYPASSES ROW LEVEL SECURITY: serve with a plain one, and migrate with database.migrate_url"
        );
    }
    Ok(())
}
