//! What a host of the customer's is told, and what the public URL's own host: a node behind TLS, asked by
//! the names it serves.

use crate::{
    administer::operate,
    house::{House, Site, house},
};
use serde_json::json;
use std::sync::OnceLock;

fn behind_tls() -> &'static House {
    static NODE: OnceLock<&'static House> = OnceLock::new();
    NODE.get_or_init(|| {
        // A site of its own: what its jobs sign and send has its own issuer.
        let public_url = Some("https://auth.operator.example".to_owned());
        Site { public_url, ..Site::named("hosts") }.open()
    })
}

/// HSTS binds the names below the operator's own host; a customer's other names are not ours to bind.
#[tokio::test]
async fn transport_security_binds_no_other_name_of_a_customer() {
    let node = behind_tls();
    let tenant = node.tenant().await;
    let own = format!("login.{}", tenant.domain);
    let hosts = format!("/orgs/{}/hosts", tenant.org);
    assert_eq!(operate(node, "POST", &hosts, Some(json!({"host": own}))).await.0, 201);
    let year = "max-age=31536000";
    let below = "max-age=31536000; includeSubDomains";
    for (host, wanted) in [
        ("auth.operator.example", below),
        ("AUTH.operator.example:443", below),
        (own.as_str(), year),
        ("nobodys.example", year),
        ("operator.example", year),
    ] {
        for path in ["/oauth2/jwks", "/nowhere"] {
            let sent = node.http.get(node.url(path)).header("host", host).send().await.unwrap();
            assert_eq!(sent.headers()["strict-transport-security"], wanted, "{host}{path}");
        }
    }
    // What is answered for an app goes to the app's own host, through its proxy, whatever host that names.
    for path in ["/proxy/app_0/sign-in", "/proxy/app_0/callback", "/forward-auth", "/forward-auth/held"] {
        let sent =
            node.http.get(node.url(path)).header("host", "auth.operator.example").send().await.unwrap();
        assert!(!sent.headers().contains_key("strict-transport-security"), "{path}");
    }
    let plain = house();
    let sent = plain.http.get(plain.url("/oauth2/jwks")).send().await.unwrap();
    assert!(!sent.headers().contains_key("strict-transport-security"), "nothing of the kind without TLS");
}
