//! The gate: the one place where an `OrgScope` is made. Each door asks one database function
//! (migrations/0003_gate.sql) and then the org's state. What is unknown and what is another's
//! look the same from outside: `GateError::Unknown`.

use crate::{
    AdminKind, Administrator, AppClient, Call, Db, Door, Error, Job, Operator, OrgFacts, OrgScope, Result,
    ScimClient, ScimForm, Subject, Visitor,
    apps::{App, StoredApp},
};
use model::{
    Timestamp, TokenDigest,
    ids::{AppId, ConnectionId, DirectoryId, KeyId, OrgId, SessionId, UserId},
    org::OrgState,
};
use time::OffsetDateTime;
use uuid::Uuid;

/// Why a door stayed shut.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// No such thing, or not the caller's: never said which.
    #[error("unknown")]
    Unknown,
    /// The org's state does not let this through.
    #[error("the org is {}", .0.as_str())]
    Closed(OrgState),
    #[error(transparent)]
    Store(#[from] Error),
}

impl From<sqlx::Error> for GateError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// An org as a path names it: by id or by slug.
#[derive(Clone, Debug)]
pub enum OrgRef {
    Id(OrgId),
    Slug(String),
}

impl OrgRef {
    pub fn read(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Slug(text.to_owned()), Self::Id)
    }
}

/// Orgs of one page of all of them.
const PAGE: i32 = 200;

#[derive(sqlx::FromRow)]
struct OrgRoute {
    org_id: Uuid,
    slug: String,
    state: String,
    plan: String,
    region: String,
}

#[derive(sqlx::FromRow)]
struct StoredClient {
    #[sqlx(flatten)]
    app: StoredApp,
    org_id: Option<Uuid>,
    slug: Option<String>,
    state: Option<String>,
    plan: Option<String>,
    region: Option<String>,
}

impl StoredClient {
    fn client(self) -> Result<Client> {
        let named = (self.org_id, self.slug, self.state, self.plan, self.region);
        let at = match named {
            (Some(org_id), Some(slug), Some(state), Some(plan), Some(region)) => {
                Some(OrgRoute { org_id, slug, state, plan, region }.facts()?)
            }
            _ => None,
        };
        Ok(Client { app: self.app.app()?, at })
    }
}

/// An OAuth client, and the org that its request names, if there is one and the app serves it.
#[derive(Clone, Debug)]
pub struct Client {
    pub app: App,
    at: Option<OrgFacts>,
}

impl Client {
    /// Opens the org: for whoever has authenticated the app. Another org than the request named is
    /// unknown.
    pub fn open(&self, org: OrgId, call: &Call) -> std::result::Result<OrgScope<AppClient>, GateError> {
        let facts = self.at.clone().filter(|facts| facts.id == org).ok_or(GateError::Unknown)?;
        admit_facts(facts, AppClient { app: self.app.id }, call)
    }

    /// Opens the org on the seat of a person whose token this app was given: for whoever has proven that
    /// token. An app that is gone, or serves the org no more, leaves nothing to open.
    pub fn subject(
        &self,
        org: OrgId,
        user: UserId,
        session: SessionId,
        call: &Call,
    ) -> std::result::Result<OrgScope<Subject>, GateError> {
        let facts = self.at.clone().filter(|facts| facts.id == org).ok_or(GateError::Unknown)?;
        admit_facts(facts, Subject { user, session }, call)
    }
}

#[derive(sqlx::FromRow)]
struct CredentialRoute {
    #[sqlx(flatten)]
    org: OrgRoute,
    key_id: Uuid,
    holder_id: Uuid,
    scopes: Vec<String>,
    expires_at: Option<OffsetDateTime>,
}

impl OrgRoute {
    fn facts(self) -> Result<OrgFacts> {
        Ok(OrgFacts {
            id: OrgId::from_uuid(self.org_id),
            slug: self.slug,
            state: OrgState::parse(&self.state).ok_or(Error::Corrupt("org state"))?,
            plan: self.plan,
            region: self.region,
        })
    }
}

fn admit<D: Door>(
    route: Option<OrgRoute>,
    door: D,
    call: &Call,
) -> std::result::Result<OrgScope<D>, GateError> {
    admit_facts(route.ok_or(GateError::Unknown)?.facts()?, door, call)
}

fn admit_facts<D: Door>(
    facts: OrgFacts,
    door: D,
    call: &Call,
) -> std::result::Result<OrgScope<D>, GateError> {
    if facts.state.admits(D::PASSAGE) {
        Ok(OrgScope::opened(facts, door, call))
    } else {
        Err(GateError::Closed(facts.state))
    }
}

impl Db {
    async fn route(&self, org: &OrgRef) -> Result<Option<OrgRoute>> {
        let found = match org {
            OrgRef::Id(id) => {
                sqlx::query_as("SELECT * FROM gate_org($1)").bind(id.uuid()).fetch_optional(&self.pool).await
            }
            // Nothing is named so, and Postgres takes no such text.
            OrgRef::Slug(slug) if slug.contains('\0') => Ok(None),
            OrgRef::Slug(slug) => {
                sqlx::query_as("SELECT * FROM gate_slug($1)").bind(slug).fetch_optional(&self.pool).await
            }
        };
        Ok(found?)
    }

    async fn credential(&self, digest: &TokenDigest, kind: &str) -> Result<Option<CredentialRoute>> {
        Ok(sqlx::query_as("SELECT * FROM gate_credential($1, $2)")
            .bind(digest.bytes().as_slice())
            .bind(kind)
            .fetch_optional(&self.pool)
            .await?)
    }

    pub async fn visitor(
        &self,
        org: &OrgRef,
        call: &Call,
    ) -> std::result::Result<OrgScope<Visitor>, GateError> {
        admit(self.route(org).await?, Visitor, call)
    }

    pub async fn visitor_by_host(
        &self,
        host: &str,
        call: &Call,
    ) -> std::result::Result<OrgScope<Visitor>, GateError> {
        let route =
            sqlx::query_as("SELECT * FROM gate_host($1)").bind(host).fetch_optional(&self.pool).await?;
        admit(route, Visitor, call)
    }

    /// By a domain this org has proven to own.
    pub async fn visitor_by_domain(
        &self,
        domain: &str,
        call: &Call,
    ) -> std::result::Result<OrgScope<Visitor>, GateError> {
        let route =
            sqlx::query_as("SELECT * FROM gate_domain($1)").bind(domain).fetch_optional(&self.pool).await?;
        admit(route, Visitor, call)
    }

    pub async fn visitor_by_connection(
        &self,
        connection: ConnectionId,
        call: &Call,
    ) -> std::result::Result<OrgScope<Visitor>, GateError> {
        let route = sqlx::query_as("SELECT * FROM gate_connection($1)")
            .bind(connection.uuid())
            .fetch_optional(&self.pool)
            .await?;
        admit(route, Visitor, call)
    }

    /// The directory that holds this credential. Expired is unknown.
    pub async fn scim_client(
        &self,
        digest: &TokenDigest,
        form: ScimForm,
        call: &Call,
    ) -> std::result::Result<OrgScope<ScimClient>, GateError> {
        let found = self.credential(digest, form.as_str()).await?.ok_or(GateError::Unknown)?;
        live(found.expires_at, call)?;
        let door = ScimClient {
            directory: DirectoryId::from_uuid(found.holder_id),
            key: KeyId::from_uuid(found.key_id),
            scopes: found.scopes,
            dry_run: false,
        };
        admit(Some(found.org), door, call)
    }

    /// An org's own key, at that org alone.
    pub async fn org_key(
        &self,
        digest: &TokenDigest,
        call: &Call,
    ) -> std::result::Result<OrgScope<Administrator>, GateError> {
        let found = self.credential(digest, "org_key").await?.ok_or(GateError::Unknown)?;
        live(found.expires_at, call)?;
        let door =
            Administrator { kind: AdminKind::Org, key: KeyId::from_uuid(found.key_id), scopes: found.scopes };
        admit(Some(found.org), door, call)
    }

    /// The platform's key: who it is. It opens an org with `administrator` or `operator`.
    pub async fn platform_key(&self, digest: &TokenDigest) -> std::result::Result<Operator, GateError> {
        let found: Option<Uuid> = sqlx::query_scalar(
            "SELECT key_id FROM platform_keys
              WHERE digest = $1
                AND revoked_at IS NULL",
        )
        .bind(digest.bytes().as_slice())
        .fetch_optional(&self.pool)
        .await?;
        Ok(Operator { key: KeyId::from_uuid(found.ok_or(GateError::Unknown)?) })
    }

    pub async fn administrator(
        &self,
        by: Operator,
        org: &OrgRef,
        call: &Call,
    ) -> std::result::Result<OrgScope<Administrator>, GateError> {
        let door = Administrator { kind: AdminKind::Platform, key: by.key, scopes: vec!["*".to_owned()] };
        admit(self.route(org).await?, door, call)
    }

    pub async fn operator(
        &self,
        by: Operator,
        org: &OrgRef,
        call: &Call,
    ) -> std::result::Result<OrgScope<Operator>, GateError> {
        admit(self.route(org).await?, by, call)
    }

    /// A scope for an org that does not exist yet: `orgs::create` is all it is good for, because
    /// every other table refers to the org's row.
    pub fn founding(&self, by: Operator, facts: OrgFacts, call: &Call) -> OrgScope<Operator> {
        OrgScope::opened(facts, by, call)
    }

    /// An app by its client id and, in the same trip, the org that its request names.
    pub async fn client(&self, id: AppId, org: Option<OrgId>) -> Result<Option<Client>> {
        let row: Option<StoredClient> = sqlx::query_as(concat!(
            "SELECT ",
            crate::apps::app_columns!(),
            ", o.org_id, o.slug, o.state, o.plan, o.region
                   FROM apps a
                   LEFT JOIN LATERAL gate_org($2) o
                        ON a.all_orgs
                        OR EXISTS (SELECT 1 FROM app_orgs s WHERE s.app_id = a.app_id AND s.org_id = o.org_id)
                  WHERE app_id = $1"
        ))
        .bind(id.uuid())
        .bind(org.map(|org| org.uuid()))
        .fetch_optional(&self.pool)
        .await?;
        row.map(StoredClient::client).transpose()
    }

    /// A person whose session was just proven live, on their own seat.
    pub async fn subject(
        &self,
        org: OrgId,
        user: UserId,
        session: SessionId,
        call: &Call,
    ) -> std::result::Result<OrgScope<Subject>, GateError> {
        admit(self.route(&OrgRef::Id(org)).await?, Subject { user, session }, call)
    }

    pub async fn job(
        &self,
        name: &'static str,
        org: OrgId,
        call: &Call,
    ) -> std::result::Result<OrgScope<Job>, GateError> {
        admit(self.route(&OrgRef::Id(org)).await?, Job { name }, call)
    }

    /// The platform's own shelf, the nil org: what is kept about no org lies there, and no route leads to it.
    pub fn shelf(&self, name: &'static str, call: &Call) -> OrgScope<Job> {
        let facts = OrgFacts {
            id: OrgId::from_uuid(Uuid::nil()),
            slug: String::new(),
            state: OrgState::Active,
            plan: String::new(),
            region: String::new(),
        };
        OrgScope::opened(facts, Job { name }, call)
    }

    /// Puts something on the jobs' list for every org that a job may open.
    pub async fn every_org_due(&self, kind: &'static str, at: Timestamp) -> Result<()> {
        let mut after = None;
        loop {
            let page: Vec<OrgRoute> = sqlx::query_as("SELECT * FROM gate_orgs($1, $2)")
                .bind(after)
                .bind(PAGE)
                .fetch_all(&self.pool)
                .await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.org_id);
            let open = |org: &&OrgRoute| OrgState::parse(&org.state).is_some_and(|s| s.admits(Job::PASSAGE));
            let orgs: Vec<Uuid> = page.iter().filter(open).map(|org| org.org_id).collect();
            sqlx::query(
                "INSERT INTO pending (kind, org_id, item_id, due_at)
                 SELECT $1, org, org, $3 FROM UNNEST($2::uuid[]) AS org
                 ON CONFLICT DO NOTHING",
            )
            .bind(kind)
            .bind(orgs)
            .bind(OffsetDateTime::from(at))
            .execute(&self.pool)
            .await?;
        }
    }

    /// The orgs that these ids or slugs name, in no order; what names none is left out.
    pub async fn orgs_named(&self, _by: Operator, names: &[String]) -> Result<Vec<OrgId>> {
        let ids: Vec<Uuid> = names.iter().filter_map(|n| Some(n.parse::<OrgId>().ok()?.uuid())).collect();
        // Postgres takes no text with a NUL.
        let slugs: Vec<&String> = names.iter().filter(|name| !name.contains('\0')).collect();
        let found: Vec<Uuid> = sqlx::query_scalar(
            "SELECT o.org_id FROM UNNEST($1::uuid[]) AS id CROSS JOIN LATERAL gate_org(id) o
              UNION
             SELECT o.org_id FROM UNNEST($2::text[]) AS slug CROSS JOIN LATERAL gate_slug(slug) o",
        )
        .bind(ids)
        .bind(slugs)
        .fetch_all(&self.pool)
        .await?;
        Ok(found.into_iter().map(OrgId::from_uuid).collect())
    }

    /// The operator's list: orgs in order of birth, after `after`.
    pub async fn orgs(&self, _by: Operator, after: Option<OrgId>, limit: i32) -> Result<Vec<OrgFacts>> {
        let rows: Vec<OrgRoute> = sqlx::query_as("SELECT * FROM gate_orgs($1, $2)")
            .bind(after.map(|id| id.uuid()))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.into_iter().map(OrgRoute::facts).collect()
    }
}

fn live(expires_at: Option<OffsetDateTime>, call: &Call) -> std::result::Result<(), GateError> {
    match expires_at.map(Timestamp::from) {
        Some(end) if end <= call.at => Err(GateError::Unknown),
        Some(_) | None => Ok(()),
    }
}
