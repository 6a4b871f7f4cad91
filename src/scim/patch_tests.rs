//! PATCH of a user: RFC 7644 3.5.2 and what Entra and Okta make of it.

use crate::{
    ENTERPRISE_URN, ScimError, USER_URN,
    dialogues::created,
    patch::{self, OPERATIONS_MAX, PatchOutcome, TERMS_MAX},
    user::UserDocument,
};
use serde_json::{Value, json};

fn run(user: &UserDocument, operations: &Value) -> Result<(UserDocument, PatchOutcome), ScimError> {
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
    patch::apply(&patch::parse(body.to_string().as_bytes())?, user)
}
fn after(user: &UserDocument, operations: &Value) -> Value {
    Value::Object(run(user, operations).unwrap().0.attributes)
}
fn ada() -> UserDocument {
    created(&json!({
        "userName": "ada", "title": "Dr", "name": {"givenName": "Ada", "familyName": "L"},
        "emails": [{"value": "a@work", "type": "work", "primary": true}, {"value": "a@home", "type": "home"}],
        ENTERPRISE_URN: {"department": "R", "manager": {"value": "m", "displayName": "Old"}},
    }))
}

#[test]
fn every_way_of_switching_a_user_off_is_seen() {
    for operation in [
        json!({"op": "replace", "value": {"active": false}}),
        json!({"op": "Replace", "path": "active", "value": "False"}),
        json!({"op": "Add", "path": "active", "value": false}),
        json!({"op": "REPLACE", "path": "Active", "value": "false"}),
        json!({"op": "replace", "path": format!("{USER_URN}:active"), "value": false}),
        json!({"op": "replace", "path": USER_URN, "value": {"active": false}}),
        json!({"op": "replace", "value": {USER_URN: {"active": false}}}),
        json!({"op": "replace", "value": {format!("{USER_URN}:active"): "False"}}),
    ] {
        let (user, outcome) = run(&ada(), &json!([operation])).unwrap();
        assert!(!user.active && user.attributes["active"] == false, "{operation}");
        assert_eq!(outcome, PatchOutcome { changed: true, turned_inactive: true, turned_active: false });
        let (_, back) = run(&user, &json!([{"op": "replace", "value": {"active": "True"}}])).unwrap();
        assert!(back.turned_active && !back.turned_inactive);
        let (_, again) = run(&user, &json!([operation])).unwrap();
        assert_eq!(again, PatchOutcome::default(), "off twice is off once");
    }
}

#[test]
fn nothing_but_a_boolean_decides_about_active() {
    for operation in [
        json!({"op": "replace", "path": "active", "value": null}),
        json!({"op": "replace", "path": "active", "value": "no"}),
        json!({"op": "replace", "path": "active", "value": 0}),
        json!({"op": "replace", "value": {"active": "off"}}),
        json!({"op": "remove", "path": "active"}),
    ] {
        assert_eq!(run(&ada(), &json!([operation])).unwrap_err().status, 400, "{operation}");
    }
    let off = run(&ada(), &json!([{"op": "replace", "value": {"active": false}}])).unwrap().0;
    let (still, _) = run(&off, &json!([{"op": "replace", "value": {"active": null, "title": "x"}}])).unwrap();
    assert!(!still.active);
}

#[test]
fn an_error_in_the_last_operation_leaves_the_original() {
    let before = ada();
    let copy = before.clone();
    let operations = json!([
        {"op": "replace", "value": {"active": false}},
        {"op": "replace", "path": "emails[type eq \"fax\"].value", "value": "x"},
    ]);
    assert_eq!(run(&before, &operations).unwrap_err().scim_type, Some("noTarget"));
    assert_eq!(before, copy);
}

#[test]
fn all_paths_are_read_before_anything_is_done() {
    let body = json!({"Operations": [{"op": "add", "path": "title", "value": "x"}, {"op": "add", "path": "a[", "value": 1}]});
    assert_eq!(patch::parse(body.to_string().as_bytes()).unwrap_err().code, "scim.path_syntax");
}

#[test]
fn entra_adds_to_a_value_that_is_not_there_and_it_is_made_once() {
    let user = created(&json!({"userName": "e"}));
    let made = after(
        &user,
        &json!([
            {"op": "Add", "path": "emails[type eq \"work\"].value", "value": "e@x"},
            {"op": "Add", "path": "emails[type eq \"work\"].primary", "value": "True"},
            {"op": "Add", "path": "emails[type eq \"work\"].type", "value": "work"},
            {"op": "Add", "path": "addresses[type eq \"work\"].locality", "value": "Bern"},
            {"op": "Add", "path": "addresses[type eq \"work\"].country", "value": "CH"},
            {"op": "Add", "path": "roles[primary eq \"True\"].value", "value": "{\"id\":\"1\",\"value\":\"r\"}"},
            {"op": "Replace", "path": "roles[primary eq \"True\"].display", "value": "R"},
        ]),
    );
    assert_eq!(made["emails"], json!([{"value": "e@x", "type": "work", "primary": true}]));
    assert_eq!(made["addresses"], json!([{"type": "work", "locality": "Bern", "country": "CH"}]));
    assert_eq!(
        made["roles"],
        json!([{"primary": true, "value": "{\"id\":\"1\",\"value\":\"r\"}", "display": "R"}])
    );
    let odd = json!([{"op": "add", "path": "emails[not (type eq \"work\")].value", "value": "x"}]);
    assert_eq!(run(&user, &odd).unwrap_err().scim_type, Some("noTarget"), "no value can be made of that");
}

#[test]
fn entras_object_without_a_path_has_dotted_and_urn_keys() {
    let next = after(
        &ada(),
        &json!([{"op": "Add", "value": {
            "name.givenName": "Augusta", "displayName": "AL", "id": "usr_other", "meta": {}, "groups": [], "password": "p",
            "colour": "red", "emails[type eq \"home\"].value": "new@home",
            format!("{ENTERPRISE_URN}:employeeNumber"): "7", format!("{ENTERPRISE_URN}:manager"): "boss",
            ENTERPRISE_URN: {"division": "D", "nonsense": 1},
        }}]),
    );
    assert_eq!(next["name"], json!({"givenName": "Augusta", "familyName": "L"}));
    assert_eq!(next["emails"][1]["value"], "new@home");
    assert_eq!(
        next[ENTERPRISE_URN],
        json!({"department": "R", "division": "D", "employeeNumber": "7", "manager": {"value": "boss"}})
    );
    for gone in ["id", "meta", "groups", "password", "colour"] {
        assert!(next.get(gone).is_none(), "{gone}");
    }
}

#[test]
fn a_manager_is_set_by_a_bare_string_and_cleared_by_nothing() {
    let path = format!("{ENTERPRISE_URN}:manager");
    let set = |value: Value| after(&ada(), &json!([{"op": "Replace", "path": path, "value": value}]));
    for value in [json!("n"), json!([{"value": "n"}]), json!({"value": "n"})] {
        assert_eq!(set(value)[ENTERPRISE_URN]["manager"], json!({"value": "n"}), "the old name goes too");
    }
    for operation in [
        json!({"op": "Replace", "path": path, "value": ""}),
        json!({"op": "Replace", "path": path, "value": null}),
        json!({"op": "Remove", "path": path}),
        json!({"op": "Remove", "path": path, "value": "m"}),
        json!({"op": "Replace", "path": format!("{path}.value"), "value": ""}),
    ] {
        assert_eq!(
            after(&ada(), &json!([operation]))[ENTERPRISE_URN],
            json!({"department": "R"}),
            "{operation}"
        );
    }
}

#[test]
fn add_appends_without_duplicates_and_a_new_primary_takes_over() {
    let add = |value: Value| after(&ada(), &json!([{"op": "add", "path": "emails", "value": value}]));
    assert_eq!(add(json!([{"value": "a@work", "type": "work"}]))["emails"].as_array().unwrap().len(), 2);
    let next = add(json!({"value": "n@x", "type": "other", "primary": true}));
    assert_eq!(next["emails"][2]["primary"], true);
    assert_eq!(next["emails"][0]["primary"], false);
    for operation in [
        json!({"op": "replace", "path": "emails[type eq \"home\"].primary", "value": "True"}),
        json!({"op": "add", "path": "emails[type eq \"home\"]", "value": {"primary": true}}),
    ] {
        let (user, _) = run(&ada(), &json!([operation])).unwrap();
        assert_eq!(user.email.as_deref(), Some("a@home"), "{operation}");
        assert_eq!(user.attributes["emails"][0]["primary"], false);
    }
    let (_, outcome) = run(&ada(), &json!([{"op": "add", "path": "title", "value": "Dr"}])).unwrap();
    assert!(!outcome.changed, "a no-op changes nothing");
}

#[test]
fn replace_does_what_the_rfc_says_for_each_kind() {
    let one =
        |path: &str, value: Value| run(&ada(), &json!([{"op": "replace", "path": path, "value": value}]));
    let done = |path: &str, value: Value| Value::Object(one(path, value).unwrap().0.attributes);
    assert_eq!(done("name", json!({"givenName": "B"}))["name"], json!({"givenName": "B", "familyName": "L"}));
    assert_eq!(done("nickName", json!("n"))["nickName"], "n", "missing means add");
    assert_eq!(done("emails", json!([{"value": "z"}]))["emails"], json!([{"value": "z"}]));
    assert!(done("emails", json!([])).get("emails").is_none());
    assert_eq!(done("emails[type eq \"home\"]", json!({"value": "z"}))["emails"][1], json!({"value": "z"}));
    assert!(done("title", json!(null)).get("title").is_none());
    for (path, value, wanted) in [
        ("emails[type eq \"fax\"]", json!({"value": "z"}), "scim.no_target"),
        ("id", json!("x"), "scim.mutability"),
        ("groups", json!([]), "scim.mutability"),
        ("meta.created", json!("x"), "scim.mutability"),
        ("colour", json!("x"), "scim.path_unknown"),
        ("emails.colour", json!("x"), "scim.path_unknown"),
        ("title.x", json!("x"), "scim.path_unknown"),
        ("title[a eq \"b\"]", json!("x"), "scim.path_unknown"),
        ("userName", json!(""), "scim.value_missing"),
        ("userName", json!(null), "scim.value_missing"),
        ("title", json!({"a": 1}), "scim.value_wrong"),
    ] {
        assert_eq!(one(path, value).unwrap_err().code, wanted, "{path}");
    }
    assert!(!one("password", json!("hunter2")).unwrap().1.changed, "taken and dropped");
}

#[test]
fn remove_takes_what_it_names_and_no_more() {
    let gone = |operation: Value| after(&ada(), &json!([operation]));
    let home = json!([{"value": "a@home", "type": "home"}]);
    for operation in [
        json!({"op": "remove", "path": "emails[type eq \"work\"]"}),
        json!({"op": "Remove", "path": "emails", "value": [{"value": "A@work"}]}),
        json!({"op": "Remove", "path": "emails", "value": "a@work"}),
        json!({"op": "Remove", "path": "emails", "value": [{"type": "work"}]}),
        json!({"op": "Remove", "path": "emails[type eq \"work\"].value"}),
    ] {
        assert_eq!(gone(operation.clone())["emails"], home, "{operation}");
    }
    assert!(gone(json!({"op": "remove", "path": "emails"})).get("emails").is_none());
    let nobody = gone(json!({"op": "Remove", "path": "emails", "value": [{"value": "other"}]}));
    assert_eq!(nobody["emails"].as_array().unwrap().len(), 2);
    assert!(
        gone(json!({"op": "Remove", "path": "title", "value": "x"})).get("title").is_none(),
        "must not set it"
    );
    assert_eq!(gone(json!({"op": "remove", "path": "name.givenName"}))["name"], json!({"familyName": "L"}));
    assert!(gone(json!({"op": "remove", "path": ENTERPRISE_URN})).get(ENTERPRISE_URN).is_none());
    for path in ["userName", "USERNAME", "id"] {
        let error = run(&ada(), &json!([{"op": "remove", "path": path}])).unwrap_err();
        assert_eq!(error.scim_type, Some("mutability"));
    }
    for nameless in [json!([{"op": "remove"}]), json!([{"op": "remove", "path": USER_URN}])] {
        let error = run(&ada(), &nameless).unwrap_err();
        assert_eq!((error.code, error.scim_type), ("scim.path_missing", Some("noTarget")), "{nameless}");
        assert!(error.said().contains("Name in path what is to be removed"), "{}", error.said());
    }
}

#[test]
fn an_extension_of_the_clients_own_is_kept_as_sent() {
    let urn = "urn:ietf:params:scim:schemas:extension:acme:2.0:User";
    let next = run(
        &ada(),
        &json!([{"op": "Add", "path": format!("{urn}:tag"), "value": "t"},
        {"op": "Add", "value": {format!("{urn}:password"): "p"}}]),
    )
    .unwrap()
    .0;
    assert_eq!(next.attributes[urn], json!({"tag": "t"}));
    assert!(
        !after(&next, &json!([{"op": "remove", "path": format!("{urn}:TAG")}]))
            .as_object()
            .unwrap()
            .contains_key(urn)
    );
}

#[test]
fn an_extension_of_the_clients_own_is_changed_by_its_paths_in_any_letter_case() {
    let urn = "urn:ietf:params:scim:schemas:extension:acme:2.0:User";
    let user = created(&json!({"userName": "x", urn: {
        "Site": {"city": "Bern", "floor": 2}, "tags": [{"k": "a", "n": 1}, {"k": "b"}], "level": 3}}));
    let next = |operation: Value| after(&user, &json!([operation]))[urn].clone();
    let at = |path: &str| format!("{}:{path}", urn.to_uppercase());
    let set = next(json!({"op": "replace", "path": at("site.CITY"), "value": "Basel"}));
    assert_eq!(set["Site"], json!({"city": "Basel", "floor": 2}));
    assert_eq!(next(json!({"op": "add", "path": at("LEVEL"), "value": 4}))["level"], 4);
    assert_eq!(next(json!({"op": "add", "value": {urn: {"SITE": null, "new": true}}})).get("Site"), None);
    assert_eq!(next(json!({"op": "remove", "path": at("site.floor")}))["Site"], json!({"city": "Bern"}));
    assert_eq!(next(json!({"op": "remove", "path": at("tags[k eq \"A\"]")}))["tags"], json!([{"k": "b"}]));
    let cut = next(json!({"op": "remove", "path": at("tags[n eq 1].n")}));
    assert_eq!(cut["tags"], json!([{"k": "a"}, {"k": "b"}]));
    assert_eq!(
        next(json!({"op": "remove", "path": at("tags[k eq \"z\"]")}))["tags"].as_array().unwrap().len(),
        2
    );
    let inside = json!([{"op": "add", "path": at("tags[k eq \"a\"].n"), "value": 2}]);
    assert_eq!(run(&user, &inside).unwrap_err().code, "scim.path_unknown");
    let gone = after(&user, &json!([{"op": "remove", "path": urn}]));
    assert!(gone.get(urn).is_none());
}

#[test]
fn a_request_that_is_no_patch_is_refused() {
    for body in [
        json!({}),
        json!({"Operations": []}),
        json!({"Operations": {}}),
        json!({"Operations": [1]}),
        json!({"Operations": [{"op": "move", "path": "a"}]}),
        json!({"Operations": [{"path": "a", "value": 1}]}),
        json!({"schemas": [USER_URN], "Operations": [{"op": "add", "value": {}}]}),
    ] {
        assert_eq!(
            patch::parse(body.to_string().as_bytes()).unwrap_err().code,
            "scim.patch_syntax",
            "{body}"
        );
    }
    assert_eq!(run(&ada(), &json!([{"op": "add", "path": "title"}])).unwrap_err().code, "scim.value_missing");
    assert_eq!(run(&ada(), &json!([{"op": "add", "value": "x"}])).unwrap_err().code, "scim.value_wrong");
}

#[test]
fn operations_values_and_the_document_are_bounded() {
    let operations =
        |count: usize| Value::from(vec![json!({"op": "add", "path": "title", "value": "x"}); count]);
    assert!(run(&ada(), &operations(OPERATIONS_MAX)).is_ok());
    assert_eq!(run(&ada(), &operations(OPERATIONS_MAX + 1)).unwrap_err().status, 413);
    let phones = |count: usize| {
        let adds = (0..count)
            .map(|n| json!({"op": "add", "path": "phoneNumbers", "value": {"value": n.to_string()}}));
        run(&ada(), &adds.collect())
    };
    assert!(phones(256).is_ok());
    assert_eq!(phones(257).unwrap_err().code, "scim.too_many_values");
    let big = json!([{"op": "add", "path": "title", "value": "x".repeat(40_000)}]);
    let (grown, _) = run(&ada(), &big).unwrap();
    let more = json!([{"op": "add", "path": "nickName", "value": "x".repeat(40_000)}]);
    assert_eq!(
        run(&grown, &more).unwrap_err().code,
        "scim.document_too_large",
        "patches do not add up without end"
    );
}

#[test]
fn what_a_patch_may_cost_is_bounded() {
    let term = "type eq \"x\"";
    let filtered =
        |terms: usize| json!({"op": "remove", "path": format!("emails[{}]", vec![term; terms].join(" or "))});
    let request = |last: usize| {
        let mut list = vec![filtered(50); TERMS_MAX / 50];
        list.push(filtered(last));
        list.remove(0);
        list.push(filtered(49));
        Value::from(list)
    };
    assert!(run(&ada(), &request(1)).is_ok());
    assert_eq!(run(&ada(), &request(2)).unwrap_err().code, "scim.too_many_operations");
    let keyed = json!([{"op": "add", "value": {format!("emails[{term}].value"): "v"}}]);
    let mut both = request(1);
    both.as_array_mut().unwrap().extend(keyed.as_array().unwrap().clone());
    assert_eq!(
        run(&ada(), &both).unwrap_err().code,
        "scim.too_many_operations",
        "keys that are paths count too"
    );
    let spread =
        |bytes: usize| json!([{"op": "replace", "path": "emails.display", "value": "x".repeat(bytes - 2)}]);
    assert_eq!(run(&ada(), &spread(32 * 1024 + 1)).unwrap_err().code, "scim.value_too_long");
    assert_ne!(
        run(&ada(), &spread(32 * 1024)).unwrap_err().code,
        "scim.value_too_long",
        "the document's own bound"
    );
}
