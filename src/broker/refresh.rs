//! A refresh token is rotated, answered again, or found to be a copy; then its family and session
//! die, loudly (RFC 9700 4.14.2).

use crate::{
    FlowError, Gateway,
    counted::TOKENS,
    inspect::over,
    redeem::{Tokens, issued, metered, mint, open_org},
    resource::{self, Target},
    revoke,
};
use model::{
    Refusal,
    ids::{ConnectionId, OrgId},
    record::{Act, AuditEvent, Record},
    revocation::{Action, Scope},
};
use store::{App, AppClient, Call, Client, FamilyRow, MintRow, OrgScope, TenantTx, scopes_of};
use token::refresh::{Family, Verdict, judge};

/// The org that a refresh token names: for the client's look-up.
pub fn named_org(gw: &Gateway, text: &str) -> Option<OrgId> {
    gw.refresh_key.open(text).ok().map(|presented| presented.org)
}

/// `resource` is what the app asks the token to be for: what was authorized, or nothing. Errors:
/// `oauth.invalid_grant`, `oauth.invalid_target`.
pub async fn refresh(
    gw: &Gateway,
    client: &Client,
    (text, resource): (&str, Option<&str>),
    call: &Call,
) -> Result<Tokens, FlowError> {
    let presented = gw.refresh_key.open(text).map_err(|_| Refusal::stranger("oauth.invalid_grant"))?;
    let (app, scope) = (&client.app, open_org(client, presented.org, call)?);
    gw.keys.ready(&gw.db, app.signing_alg).await?;
    let (mut tx, locked) = gw.db.write_to_family(&scope, "token.refresh", presented.family).await?;
    let unknown = || FlowError::from(Refusal::proven("oauth.invalid_grant"));
    let (mut family, connection) = locked.ok_or_else(unknown)?;
    let facts = Family {
        client_id: family.app,
        generation: family.generation,
        rotated_at: family.rotated_at,
        successor_used: family.successor_used,
        expires_at: family.expires_at,
        idle_expires_at: family.rotated_at.plus_secs(gw.lifetimes.refresh_idle_secs),
        ended: family.ended_at,
    };
    let grace = u32::try_from(app.refresh_grace_secs).unwrap_or(0);
    match judge(&facts, presented.generation, app.id, grace, call.at) {
        Verdict::Rotate { next } => {
            let of = (&family, Some(next));
            let (target, row) = living(gw, &mut tx, (app, connection), of, resource).await?;
            family.generation = next;
            let tokens = mint(gw, (app, &target), &scope, &row, &family, None)?;
            let record = issued(&row, app, "refresh_token");
            tx.commit(metered(record, format!("{}:{next}", family.id))).await?;
            TOKENS.add(["refresh_token"], 1);
            Ok(tokens)
        }
        Verdict::Resend { next } => {
            let (target, row) = living(gw, &mut tx, (app, connection), (&family, None), resource).await?;
            family.generation = next;
            let tokens = mint(gw, (app, &target), &scope, &row, &family, None)?;
            tx.commit(issued(&row, app, "refresh_token_again")).await?;
            TOKENS.add(["refresh_token_again"], 1);
            Ok(tokens)
        }
        Verdict::Replay => Err(replayed(gw, &scope, tx, &family).await?.into()),
        Verdict::Expired => Err(Refusal::proven("oauth.invalid_grant").with("why", "expired").into()),
        Verdict::Foreign => Err(Refusal::proven("oauth.invalid_grant").with("why", "other client").into()),
    }
}

/// Reads person and stamp as of one instant; the locks are held already. Moves the family on to `next`, which a
/// refusal undoes.
async fn living(
    gw: &Gateway,
    tx: &mut TenantTx,
    (app, connection): (&App, ConnectionId),
    (family, next): (&FamilyRow, Option<u32>),
    asked: Option<&str>,
) -> Result<(Target, MintRow), FlowError> {
    let gone = || FlowError::from(Refusal::proven("oauth.invalid_grant").with("why", "session over"));
    let named = scopes_of(family.session, family.user, connection, Some(app.id));
    let target = resource::target(tx, app, family.resource.as_deref(), asked).await?;
    let absolute_secs = gw.lifetimes.session_absolute_secs;
    let row = match next {
        Some(next) => tx.rotate_family((family, next), &named, absolute_secs, &target.chosen).await?,
        None => tx.mint_row(family.session, &named, absolute_secs, &target.chosen).await?,
    };
    let row = row.ok_or_else(gone)?;
    match over(&row, row.terminated, family.rs, tx.now()) {
        Some(why) => Err(Refusal::proven("oauth.invalid_grant").with("why", why).into()),
        None => Ok((target, row)),
    }
}

async fn replayed(
    gw: &Gateway,
    scope: &OrgScope<AppClient>,
    mut tx: TenantTx,
    family: &FamilyRow,
) -> Result<Refusal, FlowError> {
    tx.end_family(family.id).await?;
    tx.end_session(family.session).await?;
    let about = Scope::Session(family.session);
    let revoked = tx.revoke(about, Action::Terminate, "refresh_replayed").await?;
    let event = AuditEvent::refused(Act::TokenRefreshReplayed)
        .on("user", family.user)
        .value("session", family.session.to_string())
        .value("app", family.app.to_string());
    tx.commit(Record::of(event)).await?;
    tracing::warn!(org = %scope.org(), session = %family.session, "a refresh token was used twice: session ended");
    revoke::tell(gw, scope, about, revoked, None).await;
    Ok(Refusal::proven("oauth.invalid_grant").with("why", "replayed"))
}
