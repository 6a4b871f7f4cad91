//! Domains: claimed with a random TXT value, proven by finding it. Only a proven one routes people
//! or binds them to seats, and only one org can prove it.

use crate::{
    FlowError, Gateway,
    administer::{DNS_NAME, Page, dns_name_of, platform_only},
    quota,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use model::{
    Refusal,
    ids::{self, DomainId, random32},
    record::{Act, AuditEvent, Record},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Administrator, Domain, OrgScope, TenantTx};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    #[schemars(length(max = 253), regex(pattern = DNS_NAME))]
    pub name: String,
    /// The operator vouches for it: proven at once. For a platform key alone.
    #[serde(default)]
    pub trusted: bool,
}

/// Of the records that were found instead: so many, and so much of each.
const SHOWN_MAX: usize = 3;
const SHOWN_CHARS_MAX: usize = 80;

/// A domain with the name under which its TXT record is looked for.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Domain")]
pub struct DomainView {
    #[serde(flatten)]
    pub domain: Domain,
    pub txt_name: String,
}

fn view(domain: Domain) -> DomainView {
    DomainView { txt_name: txt_name(&domain.name), domain }
}

fn txt_name(domain: &str) -> String {
    format!("_vestibule-challenge.{domain}")
}

/// Claims a domain. Errors: `api.dns_name_malformed`, `domain.claimed`, `domain.taken`,
/// `api.scope_missing` when an org key says `trusted`.
pub async fn claim(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    body: NewDomain,
) -> Result<DomainView, FlowError> {
    let name = dns_name_of("name", &body.name)?;
    if body.trusted {
        platform_only(scope)?;
    }
    let id = DomainId::new(scope.now(), gw.chance.as_ref());
    let value = format!("vestibule-verification={}", URL_SAFE_NO_PAD.encode(random32(gw.chance.as_ref())));
    let tx = gw.db.write(scope, "domain.claim").await?;
    let (mut tx, room) = quota::admit(gw, scope, tx).await?;
    match tx.claim_domain(room, id, &name, &value).await {
        Err(store::Error::Conflict(_)) => {
            return Err(FlowError::conflict("domain.claimed", "the org has claimed this domain already"));
        }
        other => other?,
    }
    let mut record = Record::of(
        AuditEvent::done(Act::DomainClaimed).on("domain", id).value("after", json!({"name": name})),
    );
    if body.trusted {
        prove(&mut tx, id).await?;
        record = record.and(verified(id, &name, "trusted"));
    }
    let domain = tx.domain(id).await?.ok_or(FlowError::Missing)?;
    tx.commit(record).await?;
    Ok(view(domain))
}

async fn prove(tx: &mut TenantTx, id: DomainId) -> Result<(), FlowError> {
    match tx.verify_domain(id).await {
        Err(store::Error::Conflict(_)) => {
            Err(FlowError::conflict("domain.taken", "another org has proven this domain"))
        }
        other => Ok(other?),
    }
}

fn verified(id: DomainId, name: &str, how: &'static str) -> AuditEvent {
    AuditEvent::done(Act::DomainVerified).on("domain", id).value("name", name).value("how", how)
}

/// Looks for the TXT record now. Errors: `domain.txt_not_found`, `domain.dns_unreachable`, `domain.taken`.
pub async fn verify(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    id: DomainId,
) -> Result<DomainView, FlowError> {
    let domain = {
        let mut tx = gw.db.read(scope, "domain.read").await?;
        tx.domain(id).await?.ok_or(FlowError::Missing)?
    };
    if domain.verified_at.is_some() {
        return Ok(view(domain));
    }
    let asked = txt_name(&domain.name);
    let found = gw.outbound.txt(&asked).await.map_err(|fault| {
        Refusal::proven("domain.dns_unreachable").with("txt_name", &asked).with("why", fault)
    })?;
    // Some panels keep the quotes that were typed around the value.
    if !found.iter().any(|value| value.trim().trim_matches('"') == domain.txt_value) {
        let refusal = Refusal::proven("domain.txt_not_found")
            .with("txt_name", &asked)
            .with("expected", &domain.txt_value)
            .with("received", received(&found));
        return Err(refusal.into());
    }
    let mut tx = gw.db.write(scope, "domain.verify").await?;
    // Removed and claimed anew meanwhile: another value would have to be found.
    tx.domain(id).await?.filter(|d| d.txt_value == domain.txt_value).ok_or(FlowError::Missing)?;
    prove(&mut tx, id).await?;
    let proven = tx.domain(id).await?.ok_or(FlowError::Missing)?;
    tx.commit(Record::of(verified(id, &domain.name, "dns"))).await?;
    Ok(view(proven))
}

/// What stands at the name instead, for whoever has to find the mistake.
fn received(found: &[String]) -> String {
    let cut = |value: &String| format!("\"{}\"", value.chars().take(SHOWN_CHARS_MAX).collect::<String>());
    let shown: Vec<String> = found.iter().take(SHOWN_MAX).map(cut).collect();
    match found.len() {
        0 => "no TXT record at this name".to_owned(),
        count if count > SHOWN_MAX => format!("{} and {} more", shown.join(", "), count - SHOWN_MAX),
        _ => shown.join(", "),
    }
}

pub async fn list(
    gw: &Gateway,
    scope: &OrgScope<Administrator>,
    page: Page<ids::Domain>,
) -> Result<Vec<DomainView>, FlowError> {
    let mut tx = gw.db.read(scope, "domain.list").await?;
    Ok(page.of(tx.domains().await?, |d| d.id).into_iter().map(view).collect())
}

pub async fn remove(gw: &Gateway, scope: &OrgScope<Administrator>, id: DomainId) -> Result<(), FlowError> {
    let mut tx = gw.db.write(scope, "domain.remove").await?;
    let domain = tx.domain(id).await?.ok_or(FlowError::Missing)?;
    tx.remove_domain(id).await?;
    let event =
        AuditEvent::done(Act::DomainRemoved).on("domain", id).value("before", json!({"name": domain.name}));
    Ok(tx.commit(Record::of(event)).await?)
}
