//! No PATCH panics; on an error the document is the one it was, and a document that was patched has one
//! primary value of each list at most, a name, and a size within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scim::{
    patch,
    user::{self, DOCUMENT_BYTES_MAX, UserDocument},
};
use std::sync::LazyLock;

static USER: LazyLock<UserDocument> = LazyLock::new(|| {
    let body = br#"{"userName":"ada","title":"Dr","name":{"givenName":"Ada"},"active":true,
        "emails":[{"value":"a@x","type":"work","primary":true},{"value":"b@x","type":"home"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"R","manager":{"value":"m"}},
        "urn:acme:params:2.0:User":{"tags":["a"],"site":{"city":"Bern"}}}"#;
    user::parse(body).unwrap().create().unwrap()
});

fuzz_target!(|body: &[u8]| {
    let _ = user::parse(body).map(user::UserDraft::create);
    let _ = scim::group::parse(body);
    let Ok(patch) = patch::parse(body) else { return };
    let _ = patch::group_changes(&patch);
    let before = USER.clone();
    match patch::apply(&patch, &USER) {
        Err(_) => assert_eq!(before, *USER),
        Ok((next, outcome)) => {
            assert!(!next.user_name.trim().is_empty());
            assert_eq!(outcome.changed, next.attributes != before.attributes);
            assert!(serde_json::to_vec(&next.attributes).unwrap().len() <= DOCUMENT_BYTES_MAX + 32);
            for list in next.attributes.values().filter_map(|value| value.as_array()) {
                assert!(list.iter().filter(|one| one["primary"] == true).count() <= 1);
            }
            let again = UserDocument::stored(next.active, next.attributes.clone()).unwrap();
            assert_eq!(again, next, "what is stored opens as it was");
        }
    }
});
