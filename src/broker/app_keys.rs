//! The key set by which an app with `private_key_jwt` is registered: how it is read, described and refused.

use crate::FlowError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use token::client_keys::{ClientAlg, ClientKeys, KEYS_MAX};

/// A JWK Set (RFC 7517 5) of public keys: P-256, Ed25519, or RSA of 2048 to 4096 bits.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// Each with `kty` and its members; `kid`, `use` and `alg` as wished.
    #[schemars(schema_with = "jwks_schema")]
    pub keys: Vec<Map<String, Value>>,
}

fn jwks_schema(_: &mut SchemaGenerator) -> Schema {
    let text = json!({"type": "string"});
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": KEYS_MAX,
        "items": {
            "type": "object", "required": ["kty"],
            "properties": {
                "kty": {"type": "string", "enum": ["EC", "OKP", "RSA"]},
                "crv": {"type": "string", "enum": ["P-256", "Ed25519"]},
                "x": text, "y": text, "n": text, "e": text,
                "kid": {"type": "string", "minLength": 1, "maxLength": 256},
                "use": {"type": "string", "const": "sig"},
                "alg": {"type": "string", "enum": ClientAlg::NAMES},
            },
        },
    })
}

pub(crate) fn keys_of(set: KeySet) -> Result<ClientKeys, FlowError> {
    ClientKeys::read(&set.keys).map_err(|why| jwks_wrong(&why.to_string()))
}

pub(crate) fn jwks_wrong(right: &str) -> FlowError {
    FlowError::invalid("app.jwks", "jwks", right)
}
