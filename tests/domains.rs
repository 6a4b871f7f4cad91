//! A domain is proven by a TXT record, asked for over real DNS at a name server of the tests' own.
//! What the API answers is what an IT administrator needs to find the mistake.

use crate::{
    administer::{an_org, operate},
    house::{House, dns::Zone, house, walk::text},
};
use serde_json::{Value, json};

struct Claim {
    path: String,
    txt_name: String,
    txt_value: String,
}

impl Claim {
    async fn of(house: &House, org: &str, name: &str) -> Self {
        let domains = format!("/orgs/{org}/domains");
        let (status, made) = operate(house, "POST", &domains, Some(json!({"name": name}))).await;
        assert_eq!((status, text(&made, "state")), (201, "pending"), "{made}");
        Self {
            path: format!("{domains}/{}", text(&made, "id")),
            txt_name: text(&made, "txt_name").to_owned(),
            txt_value: text(&made, "txt_value").to_owned(),
        }
    }

    async fn verify(&self, house: &House) -> (u16, Value) {
        operate(house, "POST", &format!("{}/verify", self.path), None).await
    }

    /// What is said when the name server knows this of the record's name.
    async fn verify_with(&self, house: &House, zone: Zone) -> (u16, Value) {
        house.dns.tell(&self.txt_name, zone);
        self.verify(house).await
    }

    /// Refused with the name and value that are wanted, and what was found.
    async fn refused_with(&self, house: &House, zone: Zone, found: &str) {
        let shown = format!("{zone:?}");
        let (status, said) = self.verify_with(house, zone).await;
        self.is_refused(status, &said, found, &shown);
    }

    fn is_refused(&self, status: u16, said: &Value, found: &str, zone: &str) {
        assert_eq!((status, text(said, "code")), (422, "domain.txt_not_found"), "{zone}: {said}");
        let facts = &said["facts"];
        assert_eq!((text(facts, "txt_name"), text(facts, "expected")), (&*self.txt_name, &*self.txt_value));
        assert_eq!(text(facts, "received"), found, "{zone}");
        for needed in [&self.txt_name, &self.txt_value, &found.to_owned()] {
            assert!(text(said, "detail").contains(needed), "{zone}: {said}");
        }
    }
}

fn name_of(org: &str) -> String {
    format!("{}.example", org.replace('_', "-"))
}

fn one(text: &str) -> Vec<Vec<String>> {
    vec![vec![text.to_owned()]]
}

#[tokio::test]
async fn what_stands_there_instead_is_named() {
    let house = house();
    let org = an_org(house).await;
    let claim = Claim::of(house, &org, &name_of(&org)).await;
    let (status, said) = claim.verify(house).await;
    claim.is_refused(status, &said, "no TXT record at this name", "no such name");
    claim.refused_with(house, Zone::Nothing, "no TXT record at this name").await;
    claim.refused_with(house, Zone::Texts(one("v=spf1 -all")), "\"v=spf1 -all\"").await;
    let almost = claim.txt_value.to_lowercase();
    claim.refused_with(house, Zone::Texts(one(&almost)), &format!("\"{almost}\"")).await;
    claim.refused_with(house, Zone::Alias(Vec::new()), "no TXT record at this name").await;
    let many: Vec<_> = (0..5).map(|n| vec![format!("{n}{}", "x".repeat(99))]).collect();
    let cut = |n: usize| format!("\"{n}{}\"", "x".repeat(79));
    let shown = format!("{}, {}, {} and 2 more", cut(0), cut(1), cut(2));
    claim.refused_with(house, Zone::Cut(many), &shown).await;
    let (_, list) = operate(house, "GET", &format!("/orgs/{org}/domains"), None).await;
    assert_eq!(text(&list["data"][0], "state"), "pending");
}

#[tokio::test]
async fn a_name_server_that_does_not_answer_is_not_taken_for_a_missing_record() {
    let house = house();
    let org = an_org(house).await;
    let claim = Claim::of(house, &org, &name_of(&org)).await;
    let (status, said) = claim.verify_with(house, Zone::Refused(2)).await;
    assert_eq!((status, text(&said, "code")), (422, "domain.dns_unreachable"), "{said}");
    assert_eq!(text(&said["facts"], "txt_name"), claim.txt_name);
    let why = text(&said["facts"], "why");
    assert!(why.starts_with("outbound.failed: ") && why.ends_with("(code 2)"), "{why}");
    let (status, said) = claim.verify_with(house, Zone::Silent).await;
    assert_eq!((status, text(&said, "code")), (422, "domain.dns_unreachable"), "{said}");
    assert!(text(&said["facts"], "why").starts_with("outbound.timeout: "), "{said}");
}

#[tokio::test]
async fn the_value_is_found_in_every_form_a_zone_gives_it() {
    let house = house();
    let org = an_org(house).await;
    let forms: [fn(&str) -> Zone; 6] = [
        |value| Zone::Texts(vec![vec!["v=spf1 -all".to_owned()], vec![value.to_owned()]]),
        |value| {
            Zone::Texts(vec![
                value.as_bytes().chunks(20).map(|c| String::from_utf8_lossy(c).into()).collect(),
            ])
        },
        |value| Zone::Texts(one(&format!("\"{value}\""))),
        |value| Zone::Alias(one(value)),
        |value| Zone::Cut(one(value)),
        |value| Zone::AfterForgery(one(value)),
    ];
    for (n, form) in forms.iter().enumerate() {
        let claim = Claim::of(house, &org, &format!("form{n}.{}", name_of(&org))).await;
        let (status, said) = claim.verify_with(house, form(&claim.txt_value)).await;
        assert_eq!((status, text(&said, "state")), (200, "verified"), "form {n}: {said}");
        house.dns.tell(&claim.txt_name, Zone::Nothing);
        assert_eq!(claim.verify(house).await.0, 200, "proven is not asked again");
    }
    let (_, events) =
        operate(house, "GET", &format!("/orgs/{org}/audit/events?action=domain.verified"), None).await;
    assert_eq!(events["data"].as_array().unwrap().len(), forms.len());
    assert_eq!(text(&events["data"][0]["values"], "how"), "dns");
}

#[tokio::test]
async fn a_domain_one_org_has_proven_is_no_other_orgs() {
    let house = house();
    let (first, second) = (an_org(house).await, an_org(house).await);
    let name = name_of(&first);
    let (own, other) = (Claim::of(house, &first, &name).await, Claim::of(house, &second, &name).await);
    assert_ne!(own.txt_value, other.txt_value, "each org has a value of its own");
    let (status, said) = other.verify_with(house, Zone::Texts(one(&own.txt_value))).await;
    assert_eq!((status, text(&said, "code")), (422, "domain.txt_not_found"), "the other org's proof is none");
    let both = Zone::Texts(vec![vec![own.txt_value.clone()], vec![other.txt_value.clone()]]);
    let (status, said) = own.verify_with(house, both).await;
    assert_eq!((status, text(&said, "state")), (200, "verified"));
    let (status, said) = other.verify(house).await;
    assert_eq!((status, text(&said, "code")), (409, "domain.taken"), "{said}");
    assert!(!said.to_string().contains(&first), "whose it is, is not said");
    assert_eq!(operate(house, "DELETE", &own.path, None).await.0, 204);
    let (status, said) = other.verify(house).await;
    assert_eq!((status, text(&said, "state")), (200, "verified"), "given up, it is free: {said}");
}
