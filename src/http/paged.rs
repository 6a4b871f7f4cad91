//! Lists of `/api/v1`: a page at a time, each with the cursor of the next. A cursor is sealed, and opens for
//! its org and its list alone.

use super::{
    admin::Ask,
    problem::Problem,
    shielded,
    told::{List, Reply, Told},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use broker::{FlowError, Gateway, administer::Page};
use model::ids::{Id, Kind, OrgId};
use serde::Serialize;
use std::sync::Arc;
use store::{Administrator, OrgScope};

pub(super) const LIMIT_USUAL: usize = 50;
pub(super) const LIMIT_MAX: usize = 200;

impl Ask {
    /// One page of a list of this org.
    pub async fn list<K, T, F, Fut>(
        &self,
        scope: OrgScope<Administrator>,
        id: fn(&T) -> Id<K>,
        story: F,
    ) -> Reply<List<T>>
    where
        K: Kind,
        T: Serialize + Send + 'static,
        F: FnOnce(Arc<Gateway>, OrgScope<Administrator>, Page<K>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Vec<T>, FlowError>> + Send,
    {
        let (org, page) = (scope.org(), self.page(scope.org())?);
        let (gw, limit) = (self.gw.clone(), page.limit);
        let rows = shielded(async move { story(gw, scope, page).await }).await.map_err(|e| self.refuse(e))?;
        self.paged(org, limit, rows, id)
    }

    /// A page's answer: `rows` holds one more than is shown when there is a next page.
    pub fn paged<K: Kind, T: Serialize>(
        &self,
        org: OrgId,
        limit: usize,
        mut data: Vec<T>,
        id: fn(&T) -> Id<K>,
    ) -> Reply<List<T>> {
        let more = data.len() > limit;
        data.truncate(limit);
        let next_cursor = data.last().filter(|_| more).map(|last| self.cursor(org, &id(last))).transpose()?;
        Ok(Told::shown(&List { data, next_cursor }))
    }

    /// Which page is asked for. The cursor opens for this org and this list alone.
    pub fn page<K: Kind>(&self, org: OrgId) -> Result<Page<K>, Problem> {
        let limit = match self.query("limit").map(|text| text.parse::<usize>()) {
            None => LIMIT_USUAL,
            Some(Ok(limit)) if (1..=LIMIT_MAX).contains(&limit) => limit,
            Some(Ok(_) | Err(_)) => return Err(self.wrong("limit", "from 1 to 200")),
        };
        let Some(cursor) = self.query("cursor") else { return Ok(Page { after: None, limit }) };
        let wrong = || self.wrong("cursor", "the next_cursor of this very list");
        let sealed = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let plain = self.gw.db.seals().open("page.cursor", &self.place(org), &sealed).map_err(|_| wrong())?;
        let text = std::str::from_utf8(plain.reveal()).map_err(|_| wrong())?;
        Ok(Page { after: Some(text.parse().map_err(|_| wrong())?), limit })
    }

    fn cursor<K: Kind>(&self, org: OrgId, last: &Id<K>) -> Result<String, Problem> {
        let (place, plain) = (self.place(org), last.to_string());
        self.gw
            .db
            .seals()
            .seal("page.cursor", &place, plain.as_bytes(), self.gw.chance.as_ref())
            .map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
            .map_err(|fault| self.refuse(FlowError::Fault(fault.to_string())))
    }

    /// What a cursor is bound to.
    fn place(&self, org: OrgId) -> Vec<u8> {
        format!("{org} {}", self.req.path()).into_bytes()
    }
}
