//! Refresh: rotation, the lost answer, the copied token.

use crate::{
    house::{
        authorize_url, house,
        walk::{is_active, param, redeem, refresh, text, to_the_acs, tokens},
    },
    login::futures_join,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_refresh_rotates_and_a_replay_kills_family_and_session() {
    let house = house();
    let tenant = house.tenant().await;
    let first = tokens(house, &tenant).await;
    let (status, second) = refresh(house, &tenant, text(&first, "refresh_token")).await;
    assert_eq!(status, 200, "{second}");
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert!(is_active(house, &tenant, text(&second, "access_token")).await);
    let (status, said) = refresh(house, &tenant, text(&first, "refresh_token")).await;
    assert_eq!((status, said["error"].as_str()), (400, Some("invalid_grant")));
    assert!(!is_active(house, &tenant, text(&second, "access_token")).await, "the session died with it");
    assert_eq!(refresh(house, &tenant, text(&second, "refresh_token")).await.0, 400);
}

/// An instant without a fraction is one: providers say when their sessions end in whole seconds.
#[tokio::test]
async fn what_ends_at_a_whole_second_is_redeemed_refreshed_and_given_back() {
    let house = house();
    let tenant = house.tenant().await;
    let org = tenant.org.uuid();
    let whole = async |change: &str| {
        let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
        let change = format!(
            "BEGIN; SET LOCAL ROLE vst_app; SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
             UPDATE vst.{change}; COMMIT"
        );
        sqlx::raw_sql(AssertSqlSafe(change)).execute(&mut sql).await.unwrap();
    };
    let mut door = to_the_acs(house, &tenant).await;
    let code = param(&door.post().await, "code");
    whole("codes SET expires_at = date_trunc('minute', expires_at) + interval '1 minute'").await;
    let (status, first) = redeem(house, &tenant, &code).await;
    assert_eq!(status, 200, "{first}");
    whole("refresh_families SET rotated_at = date_trunc('second', rotated_at), expires_at = date_trunc('day', expires_at)").await;
    let (status, second) = refresh(house, &tenant, text(&first, "refresh_token")).await;
    assert_eq!(status, 200, "{second}");
    whole("refresh_families SET rotated_at = date_trunc('second', rotated_at)").await;
    let token = text(&second, "refresh_token");
    assert_eq!(house.as_app(&tenant.app, "/oauth2/revoke", &[("token", token)]).await.0, 200);
    assert_eq!(refresh(house, &tenant, token).await.0, 400);
}

#[tokio::test]
async fn at_grace_0_of_200_parallel_refreshes_one_succeeds_and_the_family_dies() {
    let house = house();
    let tenant = house.tenant().await;
    let first = tokens(house, &tenant).await;
    let all = futures_join((0..200).map(|_| refresh(house, &tenant, text(&first, "refresh_token")))).await;
    let won: Vec<_> = all.iter().filter(|(status, _)| *status == 200).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(refresh(house, &tenant, text(&won[0].1, "refresh_token")).await.0, 400);
}

#[tokio::test]
async fn within_the_grace_all_200_receive_the_same_bytes_of_one_rotation() {
    let house = house();
    let tenant = house.tenant_with(30).await;
    let first = tokens(house, &tenant).await;
    let all = futures_join((0..200).map(|_| refresh(house, &tenant, text(&first, "refresh_token")))).await;
    assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
    let given: BTreeSet<_> = all.iter().map(|(_, tokens)| text(tokens, "refresh_token").to_owned()).collect();
    assert_eq!(given.len(), 1);
}

#[tokio::test]
async fn another_client_cannot_use_it_and_a_changed_letter_opens_nothing() {
    let house = house();
    let tenant = house.tenant().await;
    let other = house.app(0).await;
    let first = tokens(house, &tenant).await;
    let token = text(&first, "refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    assert_eq!(house.as_app(&other, "/oauth2/token", &form).await.0, 400);
    let cut = &token[..token.len() - 1];
    assert_eq!(refresh(house, &tenant, cut).await.0, 400);
    assert_eq!(refresh(house, &tenant, token).await.0, 200, "neither attempt cost the owner anything");
}

#[tokio::test]
async fn a_token_given_back_dies_and_the_persons_session_lives_on() {
    let house = house();
    let tenant = house.tenant().await;
    let mut door = to_the_acs(house, &tenant).await;
    let (_, given) = redeem(house, &tenant, &param(&door.post().await, "code")).await;
    let form = [("token", text(&given, "refresh_token"))];
    assert_eq!(house.as_app(&tenant.app, "/oauth2/revoke", &form).await.0, 200);
    assert!(!is_active(house, &tenant, text(&given, "access_token")).await);
    assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 400);
    // Longer than the relay waits before it brings Redis what nobody else brought.
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    let silent = door.browser.get_once(&authorize_url(house, &tenant, &[("prompt", "none")])).await.unwrap();
    assert_eq!(redeem(house, &tenant, &param(&silent, "code")).await.0, 200);
}
