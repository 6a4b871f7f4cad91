//! No filter panics or hangs, whatever it is resolved against and applied to; and a filter and its
//! contrary never hold both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::{Condition, Filter, Kind};
use serde_json::{Value, json};
use std::sync::LazyLock;

static USER: LazyLock<Value> = LazyLock::new(|| {
    json!({
        "schemas": [scim::USER_URN, scim::ENTERPRISE_URN], "id": "usr_1", "userName": "Ada@x", "active": false,
        "name": {"givenName": "Ada", "familyName": "L"}, "displayName": "ΟΔΟΣ", "title": "",
        "emails": [{"value": "a@x", "type": "work", "primary": true}, {"value": "b@x"}],
        "meta": {"created": "2026-11-20T12:00:00Z", "version": "W/\"1\""},
        scim::ENTERPRISE_URN: {"department": "R", "manager": {"value": "m"}},
        "urn:acme:User": {"level": 12, "tags": ["a", true, null, {"k": [1]}]},
    })
});

fuzz_target!(|text: &str| {
    let Ok(filter) = Filter::parse(text) else { return };
    for kind in [Kind::User, Kind::Group] {
        let Ok(condition) = Condition::of(&filter, kind) else { continue };
        let contrary = Condition::Not(Box::new(condition.clone()));
        assert_ne!(condition.matches(&USER), contrary.matches(&USER), "{text}");
        let _ = condition.is_narrow();
    }
});
