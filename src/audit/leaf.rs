//! The leaf of an audit event: what is hashed into the org's tree. Metadata in clear (opaque ids,
//! never a person's data), every value as a commitment SHA-256(0x02 ‖ salt ‖ path ‖ value).
//! A verifier with the value and its salt recomputes the commitment; without them it sees only that
//! something was committed, and says "redacted".

use crate::canonical::canonical;
use aws_lc_rs::{constant_time, digest};
use model::{
    Timestamp,
    ids::{EventId, OrgId},
    record::{Actor, Outcome},
};
use serde_json::{Value, json};

/// Keeps a commitment apart from an RFC 9162 leaf (0x00) and node (0x01).
const COMMITMENT: u8 = 2;
/// The shape of the leaf; a new shape is a new number.
const VERSION: u32 = 1;

pub type Salt = [u8; 16];

/// Everything about an event that is no person's data.
#[derive(Clone, Debug)]
pub struct LeafMeta<'a> {
    pub event: EventId,
    pub org: OrgId,
    pub at: Timestamp,
    pub actor: &'a Actor,
    pub action: &'a str,
    /// Kind and id.
    pub target: Option<(&'a str, &'a str)>,
    pub outcome: Outcome,
    pub request_id: &'a str,
    pub session: Option<&'a str>,
}

/// The commitment to one value. The path is prefixed by its length in bytes (32 bits, big-endian),
/// so that no part of it can be read as the value's beginning; the value is its canonical JSON.
pub fn commit(salt: &Salt, path: &str, value: &Value) -> [u8; 32] {
    // A path of 4 GiB does not exist; the length is capped, the bytes are not.
    let length = u32::try_from(path.len()).unwrap_or(u32::MAX);
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(&[COMMITMENT]);
    hash.update(salt);
    hash.update(&length.to_be_bytes());
    hash.update(path.as_bytes());
    hash.update(canonical(value).as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    out
}

/// Is this the value that was committed to?
pub fn verify_value(commitment: &[u8; 32], salt: &Salt, path: &str, value: &Value) -> bool {
    constant_time::verify_slices_are_equal(commitment, &commit(salt, path, value)).is_ok()
}

/// The leaf's bytes: canonical JSON, commitments sorted by path and then digest, each digest in
/// lower-case hexadecimal, the time in whole microseconds since 1970. The same event gives the same
/// bytes on every machine; the tree hashes them as RFC 9162 2.1.1 says.
pub fn leaf(meta: &LeafMeta<'_>, commitments: &[(&str, [u8; 32])]) -> Vec<u8> {
    let mut sorted = commitments.to_vec();
    sorted.sort();
    let commitments: Vec<Value> =
        sorted.iter().map(|(path, digest)| json!({ "path": path, "digest": hex(digest) })).collect();
    let target = meta.target.map(|(kind, id)| json!({ "kind": kind, "id": id }));
    let leaf = json!({
        "v": VERSION,
        "event": meta.event,
        "org": meta.org,
        "at_micros": meta.at.micros(),
        "actor": { "kind": meta.actor.kind, "id": meta.actor.id },
        "action": meta.action,
        "target": target,
        "outcome": outcome_text(meta.outcome),
        "request_id": meta.request_id,
        "session": meta.session,
        "commitments": commitments,
    });
    canonical(&leaf).into_bytes()
}

const fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Refused => "refused",
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Id;

    fn actor() -> Actor {
        Actor { kind: "user", id: "usr_1".into() }
    }

    fn meta(actor: &Actor) -> LeafMeta<'_> {
        LeafMeta {
            event: "evt_00000000000000000000000001".parse().unwrap(),
            org: "org_00000000000000000000000002".parse::<Id<_>>().unwrap(),
            at: Timestamp::from_micros(1_800_000_000_250_000),
            actor,
            action: "user.deactivated",
            target: Some(("user", "usr_2")),
            outcome: Outcome::Done,
            request_id: "req-12345",
            session: None,
        }
    }

    #[test]
    fn the_leafs_bytes_are_fixed() {
        let actor = actor();
        let bytes = leaf(&meta(&actor), &[("b", [0xff; 32]), ("a", [1; 32])]);
        let expected = format!(
            concat!(
                r#"{{"action":"user.deactivated","actor":{{"id":"usr_1","kind":"user"}},"#,
                r#""at_micros":1800000000250000,"commitments":[{{"digest":"{}","path":"a"}},"#,
                r#"{{"digest":"{}","path":"b"}}],"event":"evt_00000000000000000000000001","#,
                r#""org":"org_00000000000000000000000002","outcome":"done","request_id":"req-12345","#,
                r#""session":null,"target":{{"id":"usr_2","kind":"user"}},"v":1}}"#
            ),
            "01".repeat(32),
            "ff".repeat(32)
        );
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        let swapped = leaf(&meta(&actor), &[("a", [1; 32]), ("b", [0xff; 32])]);
        assert_eq!(swapped, expected.into_bytes(), "the order of the fields does not matter");
    }

    #[test]
    fn every_field_of_the_metadata_is_in_the_leaf() {
        let (one, other) = (actor(), Actor { kind: "job", id: "usr_1".into() });
        let base = meta(&one);
        let variants = [
            LeafMeta { event: "evt_00000000000000000000000009".parse().unwrap(), ..base.clone() },
            LeafMeta { org: "org_00000000000000000000000009".parse().unwrap(), ..base.clone() },
            LeafMeta { at: Timestamp::from_micros(1_800_000_000_250_001), ..base.clone() },
            LeafMeta { actor: &other, ..base.clone() },
            LeafMeta { action: "user.activated", ..base.clone() },
            LeafMeta { target: None, ..base.clone() },
            LeafMeta { outcome: Outcome::Refused, ..base.clone() },
            LeafMeta { request_id: "req-12346", ..base.clone() },
            LeafMeta { session: Some("ses_1"), ..base.clone() },
        ];
        let first = leaf(&base, &[]);
        for variant in &variants {
            assert_ne!(leaf(variant, &[]), first, "{variant:?}");
        }
        assert_ne!(leaf(&base, &[("a", [1; 32])]), first);
    }

    #[test]
    fn a_commitment_opens_to_its_value_path_and_salt_alone() {
        let (salt, value) = ([7; 16], json!({"email":"ada@example.com","n":1}));
        let commitment = commit(&salt, "before.email", &value);
        let same = json!({"n":1,"email":"ada@example.com"});
        assert!(verify_value(&commitment, &salt, "before.email", &same));
        assert!(!verify_value(&commitment, &[8; 16], "before.email", &value));
        assert!(!verify_value(&commitment, &salt, "after.email", &value));
        assert!(!verify_value(&commitment, &salt, "before.email", &json!(null)));
        assert!(!verify_value(
            &commitment,
            &salt,
            "before.email",
            &json!({"email":"ada@example.com","n":"1"})
        ));
    }

    #[test]
    fn path_and_value_cannot_trade_bytes() {
        assert_ne!(commit(&[0; 16], "a", &json!(12)), commit(&[0; 16], "a1", &json!(2)));
        let by_hand = [&[2][..], &[0; 16], &[0, 0, 0, 1], b"a", b"12"].concat();
        assert_eq!(
            &commit(&[0; 16], "a", &json!(12))[..],
            digest::digest(&digest::SHA256, &by_hand).as_ref()
        );
    }
}
