//! Whose seat a sign-in gets: the directory's, by whatever address; never another subject's; none that a
//! directory took away; and none made unasked once there is a directory.

use crate::house::{
    House, Tenant, house,
    openid::{at_an_openid_provider, connected, sign_in},
    walk::{self, claims, is_active, refresh, text, to_the_acs},
};
use idp_fixtures::{OidcIdp, Person};
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The directory provisions; `@D` is the tenant's domain. Answers the seat's id.
async fn provision(house: &House, tenant: &Tenant, body: &str) -> String {
    let (status, made) = post(house, tenant, body).await;
    assert_eq!(status, 201, "{made}");
    text(&made, "id").to_owned()
}

async fn post(house: &House, tenant: &Tenant, body: &str) -> (u16, Value) {
    let mut user: Value = serde_json::from_str(&body.replace("@D", &format!("@{}", tenant.domain))).unwrap();
    user["schemas"] = json!([USER]);
    house.scim("POST", &tenant.scim_token, "/scim/v2/Users", Some(user)).await
}

async fn patch(house: &House, tenant: &Tenant, id: &str, value: Value) {
    let body = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": value}]});
    let path = format!("/scim/v2/Users/{id}");
    let (status, said) = house.scim("PATCH", &tenant.scim_token, &path, Some(body)).await;
    assert!(status == 200 || status == 204, "{status} {said}");
}

async fn delete(house: &House, tenant: &Tenant, id: &str) {
    let path = format!("/scim/v2/Users/{id}");
    assert_eq!(house.scim("DELETE", &tenant.scim_token, &path, None).await.0, 204);
}

/// Who the provider says that its one person is, from now on.
fn is_said_to_be(idp: &OidcIdp, tenant: &Tenant, sub: &str, email: Option<&str>) {
    idp.set_claim("sub", json!(sub));
    idp.set_claim("email", json!(email.map(|email| email.replace("@D", &format!("@{}", tenant.domain)))));
}

fn seat(tokens: &Value) -> String {
    text(&claims(text(tokens, "access_token")), "sub").to_owned()
}

const AT_WORK: &str = r#"[{"value": "ada@D", "type": "work", "primary": true}, {"value": "al@D"}]"#;

#[tokio::test]
async fn a_directorys_word_reaches_whoever_signs_in_whatever_the_names_are() {
    let house = house();
    for (more, user, email) in [
        (json!({}), format!(r#"{{"userName": "E12345", "emails": {AT_WORK}}}"#), Some("ada@D")),
        (json!({}), format!(r#"{{"userName": "E12345", "emails": {AT_WORK}}}"#), Some("AL@D")),
        (json!({}), r#"{"userName": "upn@D", "emails": [{"value": "ada@D"}]}"#.to_owned(), Some("ada@D")),
        (
            json!({"subject_is_external_id": true}),
            r#"{"userName": "upn@D", "externalId": "00u1"}"#.to_owned(),
            None,
        ),
    ] {
        let (tenant, idp, grace) = connected(house, house.tenant().await, more).await;
        let id = provision(house, &tenant, &user).await;
        is_said_to_be(&idp, &tenant, "00u1", email);
        let given = sign_in(house, &tenant, &grace).await.unwrap();
        assert_eq!(seat(&given), id, "{user}");
        patch(house, &tenant, &id, json!({"active": false})).await;
        assert!(!is_active(house, &tenant, text(&given, "access_token")).await);
        assert_eq!(refresh(house, &tenant, text(&given, "refresh_token")).await.0, 400);
        assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.user_inactive");
    }
}

#[tokio::test]
async fn an_external_id_names_a_seat_only_where_the_connection_says_so() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    let id = provision(house, &tenant, r#"{"userName": "ada@D", "externalId": "12345"}"#).await;
    is_said_to_be(&idp, &tenant, "12345", None);
    assert_ne!(seat(&sign_in(house, &tenant, &grace).await.unwrap()), id, "another namespace, by default");
}

#[tokio::test]
async fn once_there_is_a_directory_a_sign_in_makes_no_seat_unless_told_to() {
    let house = house();
    let (tenant, idp, grace) = connected(house, house.tenant().await, json!({})).await;
    is_said_to_be(&idp, &tenant, "00u1", Some("ada@D"));
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.not_provisioned");
    let path = format!("/orgs/{}/connections/{}", tenant.org, tenant.connection);
    let (status, said) = house.api("PATCH", &tenant.org_key, &path, Some(json!({"jit": true}))).await;
    assert_eq!(status, 200, "{said}");
    assert!(sign_in(house, &tenant, &grace).await.is_ok());

    let (tenant, idp, grace) = connected(house, without_directory(house).await, json!({})).await;
    is_said_to_be(&idp, &tenant, "00u1", Some("ada@D"));
    assert!(sign_in(house, &tenant, &grace).await.is_ok(), "no directory: sign-ins make seats");
    let path = format!("/orgs/{}/directories", tenant.org);
    assert_eq!(house.api("POST", &house.platform_key, &path, Some(json!({"name": "d"}))).await.0, 201);
    assert!(sign_in(house, &tenant, &grace).await.is_ok(), "who has a seat keeps it");
    is_said_to_be(&idp, &tenant, "00u2", Some("al@D"));
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.not_provisioned");
}

/// An org with a domain and nothing else.
async fn without_directory(house: &'static House) -> Tenant {
    let mut tenant = house.tenant().await;
    let slug = format!("{}-bare", tenant.slug);
    let key = &house.platform_key;
    let (status, org) = house.api("POST", key, "/orgs", Some(json!({"slug": slug, "name": slug}))).await;
    assert_eq!(status, 201, "{org}");
    tenant.org = text(&org, "id").parse().unwrap();
    tenant.domain = format!("bare.{}", tenant.domain);
    let domain = json!({"name": tenant.domain, "trusted": true});
    assert_eq!(house.api("POST", key, &format!("/orgs/{slug}/domains"), Some(domain)).await.0, 201);
    tenant.slug = slug;
    tenant
}

#[tokio::test]
async fn who_was_deleted_comes_back_by_no_other_address_and_no_other_subject() {
    let house = house();
    for (first, second) in [
        (Some(("00u1", "al@D")), ("00u1", "al@D")),
        (Some(("00u1", "ada@D")), ("00u2", "al@D")),
        (None, ("00u2", "al@D")),
    ] {
        let (tenant, idp, grace) = at_an_openid_provider(house).await;
        let id = provision(house, &tenant, &format!(r#"{{"userName": "E1", "emails": {AT_WORK}}}"#)).await;
        if let Some((sub, email)) = first {
            is_said_to_be(&idp, &tenant, sub, Some(email));
            assert_eq!(seat(&sign_in(house, &tenant, &grace).await.unwrap()), id);
        }
        delete(house, &tenant, &id).await;
        is_said_to_be(&idp, &tenant, second.0, Some(second.1));
        assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.not_provisioned", "{second:?}");
        let again = provision(house, &tenant, &format!(r#"{{"userName": "E1", "emails": {AT_WORK}}}"#)).await;
        assert_eq!(seat(&sign_in(house, &tenant, &grace).await.unwrap()), again, "the directory's word");
    }
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    let id = provision(house, &tenant, r#"{"userName": "E1", "externalId": "00u9"}"#).await;
    delete(house, &tenant, &id).await;
    is_said_to_be(&idp, &tenant, "00u9", None);
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.not_provisioned");
}

#[tokio::test]
async fn a_seat_that_a_subject_has_is_no_other_subjects_whatever_the_email_says() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    is_said_to_be(&idp, &tenant, "sub-ceo", Some("ceo@D"));
    let ceo = sign_in(house, &tenant, &grace).await.unwrap();
    is_said_to_be(&idp, &tenant, "sub-intern", Some("ceo@D"));
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.seat_taken");
    let path = format!("/orgs/{}/audit/events?action=login.refused", tenant.org);
    let (_, events) = house.api("GET", &tenant.org_key, &path, None).await;
    assert!(events.to_string().contains("sub-ceo"), "the administrator sees whose it is: {events}");

    let user = format!("/orgs/{}/users/{}", tenant.org, seat(&ceo));
    let (_, shown) = house.api("GET", &tenant.org_key, &user, None).await;
    assert_eq!(shown["identities"][0]["subject"], "sub-ceo");
    let identity = format!("{user}/identities/{}", tenant.connection);
    assert_eq!(house.api("DELETE", &tenant.org_key, &identity, None).await.0, 204);
    assert_eq!(house.api("DELETE", &tenant.org_key, &identity, None).await.0, 404);
    assert!(!is_active(house, &tenant, text(&ceo, "access_token")).await, "its sessions are over");
    assert_eq!(seat(&sign_in(house, &tenant, &grace).await.unwrap()), seat(&ceo));
    is_said_to_be(&idp, &tenant, "sub-ceo", Some("ceo@D"));
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.seat_taken");
}

#[tokio::test]
async fn an_email_that_nobody_verified_names_no_seat() {
    let house = house();
    let (tenant, idp, grace) = connected(house, house.tenant().await, json!({})).await;
    let id = provision(house, &tenant, r#"{"userName": "ceo@D"}"#).await;
    is_said_to_be(&idp, &tenant, "sub-1", Some("ceo@D"));
    idp.set_claim("xms_edov", Value::Null);
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.not_provisioned");
    let path = format!("/orgs/{}/connections/{}", tenant.org, tenant.connection);
    let trust = Some(json!({"trust_email": true}));
    let refused = house.api("PATCH", &tenant.org_key, &path, trust.clone()).await;
    assert_eq!(
        refused.1["code"], "connection.not_rehearsed",
        "what is trusted is not an org key's to change"
    );
    assert_eq!(house.api("PATCH", &house.platform_key, &path, trust).await.0, 200);
    assert_eq!(seat(&sign_in(house, &tenant, &grace).await.unwrap()), id);
}

#[tokio::test]
async fn an_address_of_two_seats_names_neither() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    provision(house, &tenant, r#"{"userName": "E1", "emails": [{"value": "desk@D"}]}"#).await;
    provision(house, &tenant, r#"{"userName": "E2", "emails": [{"value": "desk@D"}]}"#).await;
    is_said_to_be(&idp, &tenant, "sub-1", Some("desk@D"));
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.seat_ambiguous");
}

#[tokio::test]
async fn a_directory_makes_no_second_seat_beside_one_that_a_sign_in_made() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    is_said_to_be(&idp, &tenant, "00u1", Some("ada@D"));
    let made = seat(&sign_in(house, &tenant, &grace).await.unwrap());
    let user = format!(r#"{{"userName": "E12345", "emails": {AT_WORK}}}"#);
    let (status, said) = post(house, &tenant, &user).await;
    assert_eq!(status, 409, "{said}");
    let org = format!("/orgs/{}", tenant.org);
    let adopts = Some(json!({"scim_adopts": true}));
    assert_eq!(house.api("PATCH", &tenant.org_key, &org, adopts).await.0, 200);
    let (_, adopted) = post(house, &tenant, &user).await;
    assert_eq!(text(&adopted, "id"), made);
    patch(house, &tenant, &made, json!({"active": false})).await;
    assert_eq!(sign_in(house, &tenant, &grace).await.unwrap_err(), "login.user_inactive");
}

/// The rule of POST holds for whoever is there too: nobody is given a name by which a sign-in's seat is found, by
/// whatever verb, nor by an adoption; what a person has already does not keep them from being changed.
#[tokio::test]
async fn no_verb_gives_a_name_that_a_sign_ins_seat_has() {
    let house = house();
    let (tenant, idp, grace) = at_an_openid_provider(house).await;
    is_said_to_be(&idp, &tenant, "00u1", Some("ada@D"));
    let made = seat(&sign_in(house, &tenant, &grace).await.unwrap());
    let id =
        provision(house, &tenant, r#"{"userName": "E1", "emails": [{"value": "e1@D", "type": "work"}]}"#)
            .await;
    let ada = format!("ADA@{}", tenant.domain);
    let path = format!("/scim/v2/Users/{id}");
    let patch_op =
        |value: Value| json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": value}]});
    let add = json!({"schemas": [PATCH], "Operations": [
        {"op": "add", "path": "emails", "value": [{"value": ada, "type": "home"}]}]});
    let asked = [
        ("POST", "/scim/v2/Users", json!({"schemas": [USER], "userName": ada})),
        ("POST", "/scim/v2/Users", json!({"schemas": [USER], "userName": "E2", "emails": [{"value": ada}]})),
        ("PUT", &path, json!({"schemas": [USER], "userName": ada})),
        ("PUT", &path, json!({"schemas": [USER], "userName": "E1", "emails": [{"value": ada}]})),
        ("PATCH", &path, patch_op(json!({"userName": ada}))),
        ("PATCH", &path, patch_op(json!({"emails": [{"value": ada}]}))),
        ("PATCH", &path, add),
    ];
    for consent in [false, true] {
        let adopts = Some(json!({"scim_adopts": consent}));
        let org = format!("/orgs/{}", tenant.org);
        assert_eq!(house.api("PATCH", &tenant.org_key, &org, adopts).await.0, 200);
        // With consent a POST adopts the seat; a person who is there is never two.
        for (method, path, body) in asked.iter().filter(|(method, ..)| !consent || *method != "POST") {
            let (status, said) = house.scim(method, &tenant.scim_token, path, Some(body.clone())).await;
            assert_eq!(status, 409, "{method} {body} {said}");
            assert!(text(&said, "detail").ends_with("[scim.taken]"), "{said}");
        }
    }
    // A seat that is taken over is given none of another's names either.
    is_said_to_be(&idp, &tenant, "00u2", Some("bob@D"));
    seat(&sign_in(house, &tenant, &grace).await.unwrap());
    let both = format!(r#"{{"userName": "{ada}", "emails": [{{"value": "bob@D"}}]}}"#);
    assert_eq!(post(house, &tenant, &both).await.0, 409);
    // Who has such a name of before can be changed as ever.
    let mut sql = crate::operations::inside(house, tenant.org).await;
    let given = "INSERT INTO user_emails (org_id, user_id, value_norm, kind_norm) VALUES ($1, $2, $3, '')";
    let seat_of = |id: &str| id.parse::<model::ids::UserId>().unwrap().uuid();
    sqlx::query(given)
        .bind(tenant.org.uuid())
        .bind(seat_of(&made))
        .bind(format!("e1@{}", tenant.domain))
        .execute(&mut sql)
        .await
        .unwrap();
    patch(house, &tenant, &id, json!({"title": "Dr"})).await;
    // The seat is the directory's now, and its names are told apart by userName alone, as those of any two.
    let (_, adopted) = post(house, &tenant, r#"{"userName": "ada@D"}"#).await;
    assert_eq!(text(&adopted, "id"), made);
    patch(house, &tenant, &id, json!({"emails": [{"value": ada}]})).await;
}

#[tokio::test]
async fn a_user_name_that_was_a_subject_signs_in_to_its_old_seat_no_more() {
    let house = house();
    let tenant = house.tenant().await;
    let id = provision(house, &tenant, r#"{"userName": "ada@D"}"#).await;
    let old = format!("ada@{}", tenant.domain);
    assert_eq!(seat(&walk::tokens(house, &tenant).await), id);
    patch(house, &tenant, &id, json!({"userName": format!("lovelace@{}", tenant.domain)})).await;
    let page = to_the_acs(house, &tenant).await.post().await;
    assert_eq!(
        page.header("x-vestibule-code"),
        Some("login.not_provisioned"),
        "no seat beside the directory's"
    );
    let newcomer = provision(house, &tenant, r#"{"userName": "ada@D"}"#).await;
    assert_eq!(seat(&walk::tokens(house, &tenant).await), newcomer, "the name is the newcomer's now");
    let renamed =
        Person { email: format!("lovelace@{}", tenant.domain), ..Person::new(&old, "pw", "Ada", "L") };
    tenant.idp.put_person(renamed);
    let page = to_the_acs(house, &tenant).await.post().await;
    let (_, given) = walk::redeem(house, &tenant, &walk::param(&page, "code")).await;
    assert_eq!(seat(&given), id, "the renamed person finds their own");
}
