//! The gate: the one place where an `OrgScope` is made. Each door asks one database function
//! (migrations/0003_gate.sql) and then the org's state. What is unknown and what is another's
//! look the same from outside: `GateError::Unknown`.

use crate::{
    AdminKind, Administrator, AppClient, AuthMethod, Call, Db, Door, Error, Job, Operator, OrgFacts,
    OrgScope, Result, ScimClient, ScimForm, Subject, Visitor,
    apps::{App, StoredApp},
    known::CredentialRoute,
    scope::Trial,
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

type Opened<D> = std::result::Result<OrgScope<D>, GateError>;

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
pub(crate) const PAGE: i32 = 200;

#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct OrgRoute {
    pub(crate) org_id: Uuid,
    pub(crate) slug: String,
    pub(crate) state: String,
    pub(crate) plan: String,
    pub(crate) region: String,
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
    pub fn open(&self, org: OrgId, call: &Call) -> Opened<AppClient> {
        self.open_as(self.app.auth_method == AuthMethod::None, org, call)
    }

    /// The same in the app's name, for a browser that has shown nothing of the app's.
    pub fn open_unproven(&self, org: OrgId, call: &Call) -> Opened<AppClient> {
        self.open_as(true, org, call)
    }

    fn open_as(&self, is_public: bool, org: OrgId, call: &Call) -> Opened<AppClient> {
        let facts = self.at.clone().filter(|facts| facts.id == org).ok_or(GateError::Unknown)?;
        admit_facts(facts, AppClient { app: self.app.id, is_public }, call)
    }

    /// Opens the org on the seat of a person whose token this app was given: for whoever has proven that
    /// token. An app that is gone, or serves the org no more, leaves nothing to open.
    pub fn subject(&self, org: OrgId, user: UserId, session: SessionId, call: &Call) -> Opened<Subject> {
        let facts = self.at.clone().filter(|facts| facts.id == org).ok_or(GateError::Unknown)?;
        admit_facts(facts, Subject { user, session }, call)
    }
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

fn admit<D: Door>(route: Option<OrgRoute>, door: D, call: &Call) -> Opened<D> {
    admit_facts(route.ok_or(GateError::Unknown)?.facts()?, door, call)
}

fn admit_facts<D: Door>(facts: OrgFacts, door: D, call: &Call) -> Opened<D> {
    if facts.state.admits(D::PASSAGE) {
        Ok(OrgScope::opened(facts, door, call))
    } else {
        Err(GateError::Closed(facts.state))
    }
}

fn directory(found: Option<CredentialRoute>, call: &Call) -> Opened<ScimClient> {
    let found = CredentialRoute::living(found, call)?;
    let door = ScimClient {
        directory: DirectoryId::from_uuid(found.holder_id),
        key: KeyId::from_uuid(found.key_id),
        scopes: found.scopes,
        trial: Trial::No,
    };
    admit(Some(found.org), door, call)
}

impl Db {
    async fn route(&self, org: &OrgRef) -> Result<Option<OrgRoute>> {
        match org {
            OrgRef::Id(id) => Ok(sqlx::query_as("SELECT * FROM gate_org($1)")
                .bind(id.uuid())
                .fetch_optional(&self.pool)
                .await?),
            // Nothing is named so, and Postgres takes no such text.
            OrgRef::Slug(slug) if slug.contains('\0') => Ok(None),
            OrgRef::Slug(slug) => self.route_by("SELECT * FROM gate_slug($1)", slug).await,
        }
    }

    async fn route_by(&self, sql: &'static str, name: &str) -> Result<Option<OrgRoute>> {
        Ok(sqlx::query_as(sql).bind(name).fetch_optional(&self.pool).await?)
    }

    pub(crate) async fn credential(
        &self,
        digest: &TokenDigest,
        kind: &str,
    ) -> Result<Option<CredentialRoute>> {
        Ok(sqlx::query_as("SELECT * FROM gate_credential($1, $2)")
            .bind(digest.bytes().as_slice())
            .bind(kind)
            .fetch_optional(&self.pool)
            .await?)
    }

    pub async fn visitor(&self, org: &OrgRef, call: &Call) -> Opened<Visitor> {
        admit(self.route(org).await?, Visitor, call)
    }

    pub async fn visitor_by_host(&self, host: &str, call: &Call) -> Opened<Visitor> {
        admit(self.route_by("SELECT * FROM gate_host($1)", host).await?, Visitor, call)
    }

    /// By a domain this org has proven to own.
    pub async fn visitor_by_domain(&self, domain: &str, call: &Call) -> Opened<Visitor> {
        admit(self.route_by("SELECT * FROM gate_domain($1)", domain).await?, Visitor, call)
    }

    pub async fn visitor_by_connection(&self, connection: ConnectionId, call: &Call) -> Opened<Visitor> {
        let route = sqlx::query_as("SELECT * FROM gate_connection($1)")
            .bind(connection.uuid())
            .fetch_optional(&self.pool)
            .await?;
        admit(route, Visitor, call)
    }

    /// The directory that holds this credential. Expired is unknown.
    pub async fn scim_client(&self, digest: &TokenDigest, form: ScimForm, call: &Call) -> Opened<ScimClient> {
        directory(self.credential(digest, form.as_str()).await?, call)
    }

    /// The same, as it was within the last second: for whoever does nothing but by a transaction, which asks
    /// again as it opens.
    pub async fn scim_client_of_late(
        &self,
        digest: &TokenDigest,
        form: ScimForm,
        call: &Call,
    ) -> Opened<ScimClient> {
        directory(self.credential_of_late(digest, form.as_str()).await?, call)
    }

    /// An org's own key, at that org alone.
    pub async fn org_key(&self, digest: &TokenDigest, call: &Call) -> Opened<Administrator> {
        let found = CredentialRoute::living(self.credential(digest, "org_key").await?, call)?;
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

    pub async fn administrator(&self, by: Operator, org: &OrgRef, call: &Call) -> Opened<Administrator> {
        let door = Administrator { kind: AdminKind::Platform, key: by.key, scopes: vec!["*".to_owned()] };
        admit(self.route(org).await?, door, call)
    }

    pub async fn operator(&self, by: Operator, org: &OrgRef, call: &Call) -> Opened<Operator> {
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
    ) -> Opened<Subject> {
        admit(self.route(&OrgRef::Id(org)).await?, Subject { user, session }, call)
    }

    pub async fn job(&self, name: &'static str, org: OrgId, call: &Call) -> Opened<Job> {
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
