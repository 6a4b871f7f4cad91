//! What Okta, Entra, OneLogin and the others send, as recorded: each body is read as its sender
//! means it.

use crate::{
    ENTERPRISE_URN, Meta, Projection, Reference, USER_URN,
    group::{self, MemberChange},
    patch,
    user::{self, UserDocument},
};
use model::{
    Timestamp,
    ids::{GroupId, UserId},
};
use serde_json::{Value, json};

pub(crate) fn created(body: &Value) -> UserDocument {
    user::parse(body.to_string().as_bytes()).unwrap().create().unwrap()
}
fn code(body: &Value) -> &'static str {
    user::parse(body.to_string().as_bytes()).unwrap_err().code
}
fn meta() -> Meta {
    let at = Timestamp::from_secs(1_800_000_000);
    Meta { created: at, modified: at, version: 3, location: "https://x/scim/v2/Users/usr_1".into() }
}
fn render(document: &UserDocument) -> Value {
    user::render("usr_1", document, &meta(), &[], &Projection::All)
}
fn uid(last: u8) -> UserId {
    format!("usr_0000000000000000000000000{last}").parse().unwrap()
}
fn group_patch(operations: &Value) -> Result<group::GroupChange, crate::ScimError> {
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    patch::group_changes(&patch::parse(body.to_string().as_bytes()).unwrap())
}

#[test]
fn oktas_post_keeps_the_person_and_not_the_password() {
    let user = created(&json!({
        "schemas": [USER_URN], "userName": "Ada.L@Example.com", "name": {"givenName": "Ada", "familyName": "L"},
        "emails": [{"primary": true, "value": "Ada.L@Example.com", "type": "work"}], "displayName": "Ada L",
        "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7", "groups": [], "password": "1mz050nq",
        "active": true,
    }));
    assert_eq!(
        (user.user_name.as_str(), user.active),
        ("Ada.L@Example.com", true),
        "as sent, never normalised"
    );
    assert_eq!(user.email.as_deref(), Some("Ada.L@Example.com"));
    assert_eq!(user.given_name.as_deref(), Some("Ada"));
    assert_eq!(user.external_id.as_deref(), Some("00ujl29u0le5T6Aj10h7"));
    assert!(!format!("{user:?}").contains("1mz050nq"));
    for key in ["password", "groups", "schemas", "id", "meta"] {
        assert!(!user.attributes.contains_key(key), "{key}");
    }
}

#[test]
fn oktas_put_echoes_the_document_it_read_and_changes_nothing() {
    let user =
        created(&json!({"userName": "a", "name": {"givenName": "A"}, ENTERPRISE_URN: {"department": "d"}}));
    let groups =
        [Reference { id: "grp_1".into(), display: Some("G".into()), location: "https://x/g".into() }];
    let mut echoed = user::render("usr_1", &user, &meta(), &groups, &Projection::All);
    assert_eq!(echoed["schemas"], json!([USER_URN, ENTERPRISE_URN]));
    assert_eq!(echoed["groups"][0]["value"], "grp_1");
    assert_eq!(echoed["meta"]["version"], "W/\"3\"");
    let again = user::parse(echoed.to_string().as_bytes()).unwrap();
    let (same, outcome) = again.replace(&user).unwrap();
    assert_eq!((same, outcome.changed), (user.clone(), false));
    echoed["active"] = json!(false);
    let (_, outcome) = user::parse(echoed.to_string().as_bytes()).unwrap().replace(&user).unwrap();
    assert!(outcome.turned_inactive && outcome.changed);
}

#[test]
fn a_put_without_active_keeps_the_present_value_and_clears_what_it_leaves_out() {
    let gone = created(&json!({"userName": "a", "active": "False", "title": "T", "externalId": "e"}));
    assert!(!gone.active);
    for body in [json!({"userName": "a"}), json!({"userName": "a", "active": null})] {
        let (next, outcome) = user::parse(body.to_string().as_bytes()).unwrap().replace(&gone).unwrap();
        assert!(!next.active && !outcome.turned_active, "a leaver does not come back");
        assert_eq!((next.external_id, next.attributes.get("title")), (None, None));
    }
    let (_, outcome) = user::parse(br#"{"userName":"a","active":"True"}"#).unwrap().replace(&gone).unwrap();
    assert!(outcome.turned_active);
}

#[test]
fn entras_post_with_nulls_empty_lists_and_its_manager_in_every_shape() {
    for manager in [
        json!("usr_9"),
        json!([{"value": "usr_9"}]),
        json!({"value": "usr_9"}),
        json!({"managerId": "usr_9"}),
    ] {
        let user = created(&json!({
            "schemas": [USER_URN, ENTERPRISE_URN], "externalId": "jyoung", "userName": "j@testuser.com",
            "active": true, "addresses": null, "displayName": "Joy", "emails": null, "roles": [],
            "meta": {"resourceType": "User"}, "name": {"formatted": null}, "phoneNumbers": [{"type": "work", "value": "+1 (425) 555-0100"}],
            ENTERPRISE_URN: {"manager": manager, "department": null, "employeeNumber": 701},
        }));
        let shown = render(&user);
        assert_eq!(shown[ENTERPRISE_URN], json!({"manager": {"value": "usr_9"}, "employeeNumber": "701"}));
        assert_eq!(shown["phoneNumbers"][0]["value"], "+1 (425) 555-0100", "untransformed");
        assert!(!shown.to_string().contains("null"));
        for gone in ["addresses", "emails", "roles", "name"] {
            assert!(shown.get(gone).is_none(), "{gone}");
        }
    }
    let user = created(&json!({"userName": "j", ENTERPRISE_URN: {"manager": ""}}));
    assert!(!user.attributes.contains_key(ENTERPRISE_URN));
    assert_eq!(created(&json!({"userName": "only"})).user_name, "only", "the Validator's start user");
}

#[test]
fn one_logins_template_with_version_one_schemas() {
    let user = created(&json!({
        "schemas": ["urn:scim:schemas:core:1.0"], "id": null, "userName": "o", "active": "true",
        "manager": {"managerId": "1"}, "emails": "o@x", "USERTYPE": "staff",
        "urn:scim:schemas:extension:enterprise:1.0": {"department": "d", "manager": {"managerId": "7"}},
    }));
    assert_eq!(user.email.as_deref(), Some("o@x"));
    assert_eq!(user.attributes["userType"], "staff");
    assert_eq!(user.attributes[ENTERPRISE_URN], json!({"department": "d", "manager": {"value": "7"}}));
    assert!(!user.attributes.contains_key("manager"), "no core attribute of that name");
}

#[test]
fn the_validators_random_words_for_locale_and_urls_are_kept() {
    let body = json!({"userName": "v", "locale": "QWERTY", "preferredLanguage": "x1", "profileUrl": "ZUIO"});
    assert_eq!(render(&created(&body))["profileUrl"], "ZUIO");
}

#[test]
fn a_body_that_is_not_a_user_is_refused() {
    for (body, wanted) in [
        (json!({"displayName": "x"}), "scim.value_missing"),
        (json!({"userName": " "}), "scim.value_missing"),
        (json!({"userName": null}), "scim.value_missing"),
        (json!({"userName": {"a": 1}}), "scim.value_wrong"),
        (json!({"userName": "a", "active": "yes"}), "scim.value_wrong"),
        (json!({"userName": "a", "active": 1}), "scim.value_wrong"),
        (json!({"userName": "a", "name": true}), "scim.value_wrong"),
        (json!({"userName": "a", "title": ["x", "y"]}), "scim.value_wrong"),
    ] {
        assert_eq!(code(&body), wanted, "{body}");
    }
}

#[test]
fn texts_values_and_extensions_are_bounded() {
    let named = |bytes: usize| json!({"userName": "x".repeat(bytes)});
    assert_eq!(created(&named(user::PROMOTED_BYTES_MAX)).user_name.len(), user::PROMOTED_BYTES_MAX);
    assert_eq!(code(&named(user::PROMOTED_BYTES_MAX + 1)), "scim.value_too_long");
    let address = |bytes: usize| json!({"userName": "x", "emails": [{"value": "x".repeat(bytes)}]});
    created(&address(user::PROMOTED_BYTES_MAX));
    assert_eq!(code(&address(user::PROMOTED_BYTES_MAX + 1)), "scim.value_too_long");
    let phones = |count: usize| json!({"userName": "x", "phoneNumbers": vec![json!({"value": "1"}); count]});
    created(&phones(256));
    assert_eq!(code(&phones(257)), "scim.too_many_values");
    let extended = |count: usize| {
        let mut body = json!({"userName": "x"});
        for number in 0..count {
            body[format!("urn:acme:n{number}:User")] = json!({"tag": 1, "password": "p"});
        }
        body
    };
    let user = created(&extended(16));
    assert!(
        render(&user).to_string().contains("urn:acme:n15:User") && !format!("{user:?}").contains("password")
    );
    assert_eq!(code(&extended(17)), "scim.too_many_values");
}

#[test]
fn one_value_is_primary_and_it_is_the_email() {
    let user = created(&json!({"userName": "x", "emails": [
        {"value": "a"}, {"value": "b", "primary": "True"}, {"value": "c", "primary": true}]}));
    assert_eq!(user.email.as_deref(), Some("b"));
    assert_eq!(user.emails().filter(|email| email.primary).count(), 1);
}

#[test]
fn what_is_stored_opens_again_and_the_column_rules_over_the_document() {
    let user = created(&json!({"userName": "a", "emails": [{"value": "e"}]}));
    assert_eq!(UserDocument::stored(true, user.attributes.clone()).unwrap(), user);
    assert_eq!(render(&UserDocument::stored(false, user.attributes).unwrap())["active"], false);
}

#[test]
fn groups_are_read_with_whatever_else_they_carry() {
    let entra = json!({"schemas": [crate::GROUP_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0", "displayName": "Staff", "meta": {"resourceType": "Group"},
        "members": [{"value": uid(1), "displayName": "x"}, {"value": uid(1)}, {"value": uid(2), "display": null}]});
    let draft = group::parse(entra.to_string().as_bytes()).unwrap();
    assert_eq!((draft.display_name.as_str(), draft.external_id.as_deref()), ("Staff", Some("8aa1a0c0")));
    assert_eq!(draft.members, [uid(1), uid(2)]);
    assert_eq!(group::parse(br#"{"displayName":"E","members":[]}"#).unwrap().members, []);
    let gid: GroupId = "grp_00000000000000000000000001".parse().unwrap();
    for (body, wanted) in [
        (json!({"members": []}), "scim.value_missing"),
        (json!({"displayName": ""}), "scim.value_missing"),
        (json!({"displayName": "g", "members": [{"value": "stranger@x"}]}), "scim.member_unknown"),
        (json!({"displayName": "g", "members": [{"value": uid(1), "type": "Group"}]}), "scim.group_in_group"),
        (json!({"displayName": "g", "members": [{"value": gid}]}), "scim.group_in_group"),
        (json!({"displayName": "g", "members": [{"display": "x"}]}), "scim.value_wrong"),
        (json!({"displayName": "x".repeat(1025)}), "scim.value_too_long"),
        (json!({"displayName": "g", "externalId": "x".repeat(1025)}), "scim.value_too_long"),
    ] {
        assert_eq!(group::parse(body.to_string().as_bytes()).unwrap_err().code, wanted, "{body}");
    }
}

#[test]
fn oktas_group_push_rename_and_empty_push() {
    let change = group_patch(&json!([
        {"op": "remove", "path": format!("members[value eq \"{}\"]", uid(1))},
        {"op": "add", "path": "members", "value": [{"value": uid(2), "display": "b"}]},
        {"op": "replace", "value": {"id": "grp_1", "displayName": "New"}},
    ]))
    .unwrap();
    assert_eq!(change.rename.as_deref(), Some("New"));
    assert_eq!(change.members, [MemberChange::Remove(vec![uid(1)]), MemberChange::Add(vec![uid(2)])]);
    for empty in [
        json!({"op": "replace", "path": "members", "value": []}),
        json!({"op": "replace", "value": {"members": [], "id": "grp_1", "displayName": "G"}}),
    ] {
        assert_eq!(group_patch(&json!([empty])).unwrap().members, [MemberChange::Replace(vec![])]);
    }
}

#[test]
fn a_replace_that_does_not_name_members_leaves_them_alone() {
    let change = group_patch(&json!([{"op": "replace", "value": {"displayName": "N"}}])).unwrap();
    assert_eq!(change.members, []);
    let change = group_patch(&json!([{"op": "Replace", "path": "displayName", "value": "N"}])).unwrap();
    assert_eq!((change.rename.as_deref(), change.members.len()), (Some("N"), 0));
}

#[test]
fn entras_remove_with_a_value_takes_out_one_and_does_not_empty_the_group() {
    let remove =
        |value: Value| group_patch(&json!([{"op": "Remove", "path": "members", "value": value}])).unwrap();
    let one = [MemberChange::Remove(vec![uid(1)])];
    assert_eq!(remove(json!([{"$ref": null, "value": uid(1)}])).members, one);
    assert_eq!(remove(json!({"value": uid(1)})).members, one);
    assert_eq!(remove(json!(uid(1))).members, one);
    assert!(remove(json!([])).is_empty(), "an empty list names nobody");
    assert!(remove(json!([{"value": "not-ours"}])).is_empty(), "who is not here is not a member");
    assert_eq!(remove(Value::Null).members, [MemberChange::RemoveAll]);
    let plain = group_patch(&json!([{"op": "remove", "path": "members"}])).unwrap();
    assert_eq!(plain.members, [MemberChange::RemoveAll], "RFC 7644 3.5.2.2");
    let add = group_patch(&json!([{"op": "Add", "path": "members", "value": [{"value": "x"}]}]));
    assert_eq!(add.unwrap_err().code, "scim.member_unknown");
}

#[test]
fn what_a_group_cannot_do_is_refused_whole() {
    for (operation, wanted) in [
        (json!({"op": "remove", "path": "displayName"}), "scim.mutability"),
        (json!({"op": "replace", "path": "id", "value": "x"}), "scim.mutability"),
        (json!({"op": "replace", "path": "colour", "value": "x"}), "scim.path_unknown"),
        (json!({"op": "replace", "path": "displayName", "value": ""}), "scim.value_missing"),
        (json!({"op": "remove", "path": "members[display eq \"x\"]"}), "scim.path_unknown"),
        (
            json!({"op": "remove", "path": format!("members[not (value eq \"{}\")]", uid(1))}),
            "scim.path_unknown",
        ),
        (json!({"op": "add", "path": "members[value eq \"x\"].display", "value": "x"}), "scim.mutability"),
        (json!({"op": "remove", "path": "members.value"}), "scim.mutability"),
    ] {
        let first = json!({"op": "add", "path": "members", "value": [{"value": uid(1)}]});
        assert_eq!(group_patch(&json!([first, operation])).unwrap_err().code, wanted, "{operation}");
    }
    let cleared = group_patch(&json!([{"op": "remove", "path": "externalId"}])).unwrap();
    assert_eq!(cleared.external_id, Some(None));
}

#[test]
fn a_group_is_shown_with_its_members_only_when_they_were_loaded_and_asked_for() {
    let member = [Reference { id: "usr_1".into(), display: None, location: "https://x/u".into() }];
    let shown = group::render("grp_1", ("G", Some("e")), &meta(), Some(&member), &Projection::All);
    assert_eq!(shown["members"], json!([{"value": "usr_1", "$ref": "https://x/u", "type": "User"}]));
    let without = Projection::parse(None, Some("members")).unwrap();
    let shown = group::render("grp_1", ("G", None), &meta(), Some(&member), &without);
    assert!(shown.get("members").is_none() && shown.get("externalId").is_none());
    assert_eq!(shown["meta"]["resourceType"], "Group");
}
