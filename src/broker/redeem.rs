//! A code becomes tokens: consumed in the transaction that makes the refresh family. A code used
//! twice kills what its first use gave (RFC 9700 2.1.1, RFC 6749 4.1.2).

use crate::{
    FlowError, Gateway, counted,
    extra_claims::extra,
    inspect::over,
    resource::{self, Target},
    revoke,
};
use model::{
    Refusal, Secret, Timestamp,
    ids::{AppId, EventId, FamilyId, OrgId},
    record::{Act, AuditEvent, Record, Usage},
    revocation::{Action, Scope},
};
use store::{
    App, AppClient, Call, Client, CodeRow, Door, FamilyRow, GateError, MintRow, OrgScope, TenantTx, scopes_of,
};
use token::{
    code::{self, Challenge},
    mint::{MintSnapshot, mint_access, mint_id},
    refresh::Presented,
};

/// What the token endpoint answers.
pub struct Tokens {
    pub access_token: String,
    pub id_token: Option<String>,
    pub refresh_token: Secret<String>,
    pub expires_in_secs: i64,
    pub scope: String,
}

pub struct Redemption<'a> {
    pub code: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub code_verifier: &'a str,
    pub resource: Option<&'a str>,
}

/// The org that a code names, before anything is proven: for the client's look-up.
pub fn named_org(code: &str) -> Option<OrgId> {
    code::parse(code).ok().map(|(org, _)| org)
}

/// Opens the org that a code or refresh token names, for an app that serves it.
pub(crate) fn open_org(client: &Client, org: OrgId, call: &Call) -> Result<OrgScope<AppClient>, FlowError> {
    as_grant(client.open(org, call))
}

/// An org that is closed or not served has given nothing that is good.
pub(crate) fn as_grant<D: Door>(opened: Result<OrgScope<D>, GateError>) -> Result<OrgScope<D>, FlowError> {
    opened.map_err(|error| match error {
        GateError::Unknown | GateError::Closed(_) => Refusal::stranger("oauth.invalid_grant").into(),
        GateError::Store(error) => error.into(),
    })
}

pub async fn redeem(
    gw: &Gateway,
    client: &Client,
    grant: Redemption<'_>,
    call: &Call,
) -> Result<Tokens, FlowError> {
    let org = named_org(grant.code).ok_or(Refusal::stranger("oauth.invalid_grant"))?;
    let (app, scope) = (&client.app, open_org(client, org, call)?);
    gw.keys.ready(&gw.db, app.signing_alg).await?;
    let used = use_up(gw, app, &scope, &grant).await?;
    let tokens = mint(gw, (app, &used.target), &scope, &used.row, &used.family, used.nonce)?;
    used.tx.commit(issued(&used.row, app, "authorization_code")).await?;
    counted::TOKENS.add(["authorization_code"], 1);
    Ok(tokens)
}

/// A code that was good: used up, and its family made, by a transaction that is still to be committed.
pub(crate) struct Used {
    pub(crate) tx: TenantTx,
    pub(crate) row: MintRow,
    pub(crate) family: FamilyRow,
    target: Target,
    nonce: Option<String>,
}

/// All that is asked of a code, whatever is given for it. Errors: `oauth.invalid_grant`, `oauth.invalid_target`.
pub(crate) async fn use_up(
    gw: &Gateway,
    app: &App,
    scope: &OrgScope<AppClient>,
    grant: &Redemption<'_>,
) -> Result<Used, FlowError> {
    let (_, digest) = code::parse(grant.code).map_err(|_| Refusal::stranger("oauth.invalid_grant"))?;
    let now = scope.now();
    // Locks first; then a new statement reads person and stamp as of one instant.
    let (mut tx, code) = gw.db.write_to_code(scope, "token.redeem", &digest).await?;
    // Whoever has proven nothing of the app and names another redirect URI does not even end what a code gave.
    let named = |code: &CodeRow| grant.redirect_uri.is_none_or(|uri| uri == code.redirect_uri);
    let own = |code: &CodeRow| code.app == app.id && (!scope.door().is_public || named(code));
    let code = code.filter(own).ok_or(Refusal::stranger("oauth.invalid_grant"))?;
    if code.redeemed_at.is_some() {
        // Nor does somebody who has proven nothing and does not know the verifier.
        if scope.door().is_public {
            verified(&code, grant.code_verifier)?;
        }
        return Err(used_twice(gw, scope, tx, &code).await?.into());
    }
    check(&code, grant, now)?;
    let named = scopes_of(code.session, code.user, code.connection, Some(app.id));
    let target = resource::target(&mut tx, app, code.resource.as_deref(), grant.resource).await?;
    let absolute_secs = gw.lifetimes.session_absolute_secs;
    let row = tx.mint_row(code.session, &named, absolute_secs, &target.chosen).await?;
    let row = row.ok_or(Refusal::proven("oauth.invalid_grant"))?;
    if let Some(why) = over(&row, row.terminated, code.rs, now) {
        return Err(Refusal::proven("oauth.invalid_grant").with("why", why).into());
    }
    let absolute = now.plus_secs(gw.lifetimes.refresh_absolute_secs).min(row.session.expires_at);
    let family = FamilyRow {
        id: FamilyId::new(now, gw.chance.as_ref()),
        session: code.session,
        user: code.user,
        app: app.id,
        scope: code.scope,
        resource: code.resource,
        said: code.said,
        rs: row.head,
        generation: 0,
        successor_used: false,
        rotated_at: now,
        expires_at: absolute,
        ended_at: None,
    };
    tx.create_family(&family, &digest).await?;
    Ok(Used { tx, row, family, target, nonce: code.nonce })
}

fn check(code: &CodeRow, grant: &Redemption<'_>, now: Timestamp) -> Result<(), Refusal> {
    if now >= code.expires_at {
        return Err(Refusal::proven("oauth.invalid_grant").with("why", "expired"));
    }
    // Optional since OAuth 2.1, but a client that sends it is held to it.
    if grant.redirect_uri.is_some_and(|uri| uri != code.redirect_uri) {
        return Err(Refusal::proven("oauth.invalid_grant").with("why", "redirect_uri"));
    }
    verified(code, grant.code_verifier)
}

fn verified(code: &CodeRow, verifier: &str) -> Result<(), Refusal> {
    Challenge::parse(&code.code_challenge)
        .and_then(|challenge| challenge.verify(verifier))
        .map_err(|_| Refusal::proven("oauth.invalid_grant").with("why", "code_verifier"))
}

async fn used_twice(
    gw: &Gateway,
    scope: &OrgScope<AppClient>,
    mut tx: TenantTx,
    code: &CodeRow,
) -> Result<Refusal, FlowError> {
    let event = AuditEvent::refused(Act::TokenCodeReused)
        .on("user", code.user)
        .value("session", code.session.to_string());
    if let Some(family) = code.family {
        tx.end_family(family).await?;
    }
    let about = Scope::Session(code.session);
    let revoked = tx.revoke(about, Action::Reassert, "code_reused").await?;
    tx.commit(Record::of(event)).await?;
    revoke::tell(gw, scope, about, revoked, None).await;
    Ok(Refusal::proven("oauth.invalid_grant").with("why", "used_twice"))
}

/// What every issue of tokens leaves behind.
pub(crate) fn issued(row: &MintRow, app: &App, grant: &'static str) -> Record {
    let event = AuditEvent::done(Act::TokenIssued)
        .on("user", row.session.user)
        .value("session", row.session.id.to_string())
        .value("app", app.id.to_string())
        .value("grant", grant);
    Record::of(event)
}

/// Metering of tokens: one row an issue.
pub(crate) fn metered(record: Record, key: String) -> Record {
    record.metered(Usage { meter: "token.issued", natural_key: key, value: 1 })
}

pub(crate) fn mint(
    gw: &Gateway,
    (app, target): (&App, &Target),
    scope: &OrgScope<AppClient>,
    row: &MintRow,
    family: &FamilyRow,
    nonce: Option<String>,
) -> Result<Tokens, FlowError> {
    let now = scope.now();
    let mut snapshot = snapshot(gw, (scope.org(), app.id), row, (&family.scope, target), nonce);
    // A later sign-in raised the session, and not what was asked for before it (OIDC Core 12.2).
    if let Some(said) = family.said.clone() {
        (snapshot.acr, snapshot.amr, snapshot.auth_time) = (said.acr, said.amr, said.auth_time);
    }
    let jti = EventId::new(now, gw.chance.as_ref()).to_string();
    let fault = |e: token::mint::MintFault| FlowError::Fault(e.to_string());
    let ring = gw.keys.now();
    let key = gw.keys.signer(&ring, app.signing_alg)?;
    let access = mint_access(&snapshot, key, &jti, now, gw.lifetimes.access_token_secs).map_err(fault)?;
    let wants_id = given(&family.scope, "openid");
    let id_token =
        wants_id.then(|| mint_id(&snapshot, key, &access, &jti, now)).transpose().map_err(fault)?;
    let presented = Presented { org: scope.org(), family: family.id, generation: family.generation };
    Ok(Tokens {
        expires_in_secs: access.expires_in_secs,
        access_token: access.jwt,
        id_token,
        refresh_token: gw.refresh_key.issue(&presented),
        scope: family.scope.clone(),
    })
}

/// All that a token of this row says, for this target.
pub(crate) fn snapshot(
    gw: &Gateway,
    (org, client_id): (OrgId, AppId),
    row: &MintRow,
    (scope, target): (&str, &Target),
    nonce: Option<String>,
) -> MintSnapshot {
    // The ID token tells of the person what the scopes ask for, as userinfo does (OIDC Core 5.4).
    let told = |wanted: &str, value: Option<String>| value.filter(|_| given(scope, wanted));
    MintSnapshot {
        issuer: gw.links.issuer().to_owned(),
        audience: target.audience.clone(),
        client_id,
        org,
        user: row.session.user,
        session: row.session.id,
        connection: row.session.connection,
        team_ids: row.team_ids.clone(),
        roles: row.roles.clone(),
        scope: scope.to_owned(),
        acr: row.session.acr.clone(),
        amr: row.session.amr.clone(),
        auth_time: row.session.auth_time,
        rs: row.head,
        extra: extra(&target.chosen, &row.roles, row.team_slugs.clone(), row.entitlements.clone()),
        session_expires_at: row.session.expires_at,
        nonce,
        email: told("email", row.email.clone()),
        name: told("profile", name_of(row)),
        given_name: told("profile", row.given_name.clone()),
        family_name: told("profile", row.family_name.clone()),
    }
}

/// Does this scope value hold that scope (RFC 6749 3.3)?
pub fn given(scope: &str, wanted: &str) -> bool {
    scope.split(' ').any(|one| one == wanted)
}

/// The claim `name`: as the person is shown, or else by its parts.
pub fn name_of(row: &MintRow) -> Option<String> {
    match (&row.display_name, &row.given_name, &row.family_name) {
        (Some(shown), _, _) => Some(shown.clone()),
        (None, Some(given), Some(family)) => Some(format!("{given} {family}")),
        (None, Some(one), None) | (None, None, Some(one)) => Some(one.clone()),
        (None, None, None) => None,
    }
}
