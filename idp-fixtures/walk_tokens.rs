//! The walk's middle: tokens of the walk's own, a refresh token that is copied, and the person who
//! leaves. What is dead must be dead at the first question after SCIM's answer, not some time later.
//! RFC 6749 6, RFC 7662, RFC 9700 4.14.2.

use crate::{
    Browser,
    app_tokens::Tokens,
    attack::sign_in_url,
    org_api::{Ask, DeskOrg, Vendor},
    walk::{Done, Failed, Scene, Step, Told, WalkError, app_session, holds, is_active, told_of},
};
use openidconnect::{
    CsrfToken, LoginHint, Nonce, PkceCodeChallenge, Scope, core::CoreAuthenticationFlow, url::Url,
};
use reqwest::Method;
use serde_json::Value;
use std::time::Instant;

/// A sign-in by the app's own registration whose tokens the walk keeps in hand.
async fn own_tokens(scene: &Scene<'_>, org: &DeskOrg) -> Result<Tokens, Failed> {
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let flow = CoreAuthenticationFlow::AuthorizationCode;
    let (url, state, nonce) = scene
        .issuer
        .client
        .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
        .set_pkce_challenge(challenge)
        .add_scope(Scope::new("profile".into()))
        .add_scope(Scope::new("email".into()))
        .set_login_hint(LoginHint::new(org.person.email.clone()))
        .url();
    let mut browser = Browser::new()?;
    browser.stop_before(&scene.redirect_uri);
    let (login, password) = (&org.person.login, &org.person.password);
    let page = match org.vendor {
        Vendor::Okta => browser.sign_in_via_saml(url.as_str(), login, password).await?,
        Vendor::Entra => browser.sign_in(url.as_str(), login, password).await?,
    };
    let back = page.header("location").and_then(|to| Url::parse(to).ok());
    let back = back.ok_or_else(|| {
        let code = page.header("x-vestibule-code").unwrap_or("none");
        format!("the sign-in ended at {} with {}, code {code}", page.url, page.status)
    })?;
    let given = |name: &str| back.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
    holds(given("state").as_ref() == Some(state.secret()), || format!("another state came back: {back}"))?;
    let code = given("code").ok_or_else(|| format!("no code came back: {back}"))?;
    Ok(scene.issuer.redeem(code, verifier.into_secret(), &nonce).await?)
}

/// Refused, and as RFC 6749 5.2 says it.
async fn refresh_is_refused(scene: &Scene<'_>, tokens: &Tokens) -> Result<(), Failed> {
    match scene.issuer.refresh(tokens).await {
        Ok(_) => Err("the refresh token was taken".into()),
        Err(why) => holds(why.contains("invalid_grant"), || why),
    }
}

async fn userinfo(scene: &Scene<'_>, tokens: &Tokens) -> Result<u16, Failed> {
    let ask = Ask {
        method: Method::GET,
        url: format!("{}/oauth2/userinfo", scene.desk.gateway_url),
        bearer: &tokens.access_token,
        media: "application/json",
        body: None,
        request_id: None,
    };
    Ok(ask.send(&scene.http).await?.status)
}

pub(crate) async fn rotate_and_replay<F: FnMut(Step)>(
    scene: &Scene<'_>,
    told: &mut Told<F>,
) -> Result<(), WalkError> {
    let first = told.step("Tokens in hand: verified, introspected, userinfo", in_hand(scene)).await?;
    let rotated = async {
        let second = scene.issuer.refresh(&first).await?;
        let third = scene.issuer.refresh(&second).await?;
        holds(first.refresh_token != second.refresh_token, || "the refresh token stayed the same".into())?;
        let claims = third.access_claims.clone().unwrap_or_default();
        told_of(&claims, scene.saml, scene.team(scene.saml))?;
        Ok((third, "twice, each time a new one".to_owned()))
    };
    let third = told.step("A refresh token is rotated", rotated).await?;
    let replayed = async {
        refresh_is_refused(scene, &first).await?;
        refresh_is_refused(scene, &third).await?;
        holds(!is_active(scene, &third).await?, || "the session's access token is still active".into())?;
        Ok(((), "the copy, its newest successor and the session's access token are refused".to_owned()))
    };
    told.step("A used refresh token comes again: its family and session end", replayed).await
}

async fn in_hand(scene: &Scene<'_>) -> Done<Tokens> {
    let tokens = own_tokens(scene, scene.saml).await?;
    let claims = tokens.access_claims.clone().ok_or("the access token cannot be read")?;
    let line = told_of(&claims, scene.saml, scene.team(scene.saml))?;
    holds(is_active(scene, &tokens).await?, || "introspection says inactive".into())?;
    let status = userinfo(scene, &tokens).await?;
    holds(status == 200, || format!("userinfo answered {status}"))?;
    holds(tokens.refresh_token.is_some(), || "there is no refresh token".into())?;
    Ok((tokens, line))
}

/// `ada` is the app's own session, begun before.
pub(crate) async fn leave_and_return<F: FnMut(Step)>(
    scene: &Scene<'_>,
    told: &mut Told<F>,
    ada: &mut Browser,
) -> Result<(), WalkError> {
    let tokens = told.step("Another sign-in, whose tokens live", in_hand(scene)).await?;
    let user = told
        .step("The directory says she left: dead at the next question", left(scene, &tokens, ada))
        .await?;
    told.step("Her sign-in is refused", sign_in_refused(scene)).await?;
    told.step("The receipt says what ended, and when", receipt(scene, &user)).await?;
    told.step("She comes back, and nothing old does", returned(scene, &user, &tokens, ada)).await
}

async fn left(scene: &Scene<'_>, tokens: &Tokens, ada: &mut Browser) -> Done<String> {
    let api = scene.api(scene.saml);
    let (found, said) = api.find().await?;
    let found = found.ok_or_else(|| said.unexpected("one user"))?;
    let patched = api.set_active(&found.id, false).await?;
    let answered = Instant::now();
    holds(patched.ok(), || patched.unexpected("200 or 204"))?;
    holds(!is_active(scene, tokens).await?, || "introspection still says active".into())?;
    let seen_ms = answered.elapsed().as_secs_f64() * 1_000.0;
    let status = userinfo(scene, tokens).await?;
    holds(status == 401, || format!("userinfo answered {status}, not 401"))?;
    refresh_is_refused(scene, tokens).await?;
    let session = app_session(scene, ada).await?;
    holds(session.get("active") == Some(&Value::Bool(false)), || format!("the app still shows {session}"))?;
    let line = format!(
        "SCIM answered in {:.0} ms; {seen_ms:.0} ms later introspection said inactive, then userinfo 401, refresh \
         and the app's session refused",
        patched.millis
    );
    Ok((found.id, line))
}

async fn sign_in_refused(scene: &Scene<'_>) -> Done<()> {
    let person = &scene.saml.person;
    let start = sign_in_url(&scene.desk.app_url, &person.email);
    let page = Browser::new()?.sign_in_via_saml(&start, &person.login, &person.password).await?;
    let code = page.header("x-vestibule-code").unwrap_or_default();
    holds(page.status == 403 && code == "login.user_inactive", || {
        format!("{} answered {} with code {code:?}", page.url, page.status)
    })?;
    Ok(((), format!("403 {code}")))
}

async fn receipt(scene: &Scene<'_>, user: &str) -> Done<()> {
    let (receipt, said) = scene.api(scene.saml).receipt(user).await?;
    let receipt = receipt.ok_or_else(|| said.unexpected("a receipt"))?;
    let count = |name: &str| receipt.get(name).and_then(Value::as_i64).unwrap_or_default();
    let (sessions, families) = (count("sessions_ended"), count("refresh_families_ended"));
    // The app's session and the walk's own.
    holds(sessions >= 2 && families >= 2, || format!("two sessions and families lived; it says {receipt}"))?;
    let total = receipt.get("total_ms").and_then(Value::as_f64);
    let total = total.ok_or_else(|| format!("no total_ms: {receipt}"))?;
    let until = receipt.get("no_token_lives_after").and_then(Value::as_str);
    let until = until.ok_or_else(|| format!("no no_token_lives_after: {receipt}"))?;
    Ok((
        (),
        format!(
            "{sessions} sessions and {families} refresh families ended in {total:.1} ms; no token lives after {until}"
        ),
    ))
}

async fn returned(scene: &Scene<'_>, user: &str, tokens: &Tokens, ada: &mut Browser) -> Done<()> {
    let back = scene.api(scene.saml).set_active(user, true).await?;
    holds(back.ok(), || back.unexpected("200 or 204"))?;
    holds(!is_active(scene, tokens).await?, || "the old access token lives again".into())?;
    refresh_is_refused(scene, tokens).await?;
    let session = app_session(scene, ada).await?;
    holds(session.get("active") == Some(&Value::Bool(false)), || {
        format!("the app's old session lives: {session}")
    })?;
    let anew = own_tokens(scene, scene.saml).await?;
    holds(is_active(scene, &anew).await?, || "a new sign-in does not live".into())?;
    Ok(((), "old tokens and sessions stay refused; a new sign-in lives".to_owned()))
}
