//! What the vendors' clients say, as recorded (`tests/dialogues/`): each dialogue is held at both
//! addresses of the service, which have to agree. Adding a dialogue adds no code.
//!
//! A step has `send` ("METHOD /path"), perhaps `headers` and `body`; then `status`, one number or a list;
//! `expect`, whose members the answer has to have; `absent`, JSON pointers to nothing; `keep`, names for
//! what the answer holds at a pointer, written `{{name}}` in later steps. `{{domain}}` is given.

use crate::house::{House, house};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn recorded() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut found = Vec::new();
    for vendor in fs::read_dir(root).unwrap() {
        let files = fs::read_dir(vendor.unwrap().path()).unwrap().map(|file| file.unwrap().path());
        found.extend(files.filter(|file| file.extension().is_some_and(|end| end == "json")));
    }
    found.sort();
    found
}

fn filled(text: &str, names: &BTreeMap<String, String>) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

/// The first place where the answer is not what was expected.
fn differs(expected: &Value, found: &Value, at: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().find_map(|(name, value)| {
            differs(value, found.get(name).unwrap_or(&Value::Null), &format!("{at}/{name}"))
        }),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let pairs = expected.iter().zip(found).enumerate();
            pairs
                .into_iter()
                .find_map(|(n, (expected, found))| differs(expected, found, &format!("{at}/{n}")))
        }
        (expected, found) if expected == found => None,
        (expected, found) => Some(format!("{at}: {expected} expected, {found} found")),
    }
}

struct Speaker<'a> {
    house: &'a House,
    base: String,
    token: &'a str,
    names: BTreeMap<String, String>,
}

impl Speaker<'_> {
    async fn say(&mut self, step: &Value) -> Result<(), String> {
        let step: Value = serde_json::from_str(&filled(&step.to_string(), &self.names)).unwrap();
        let (method, path) = step["send"].as_str().unwrap().split_once(' ').unwrap();
        let url = self.house.url(&format!("{}{path}", self.base));
        let mut request = self.house.http.request(method.parse().unwrap(), url);
        let headers = step["headers"].as_object().cloned().unwrap_or_default();
        if !headers.contains_key("authorization") {
            request = request.bearer_auth(self.token);
        }
        if step.get("body").is_some() && !headers.contains_key("content-type") {
            request = request.header("content-type", "application/scim+json");
        }
        for (name, value) in &headers {
            request = request.header(name, value.as_str().unwrap());
        }
        if let Some(body) = step.get("body") {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        let said = answer.text().await.unwrap();
        let found: Value = serde_json::from_str(&said).unwrap_or(Value::Null);
        let wanted = match &step["status"] {
            Value::Array(any) => any.clone(),
            one => vec![one.clone()],
        };
        if !wanted.contains(&json!(status)) {
            return Err(format!("{} answered {status}: {said}", step["send"]));
        }
        if !said.is_empty() && kind.as_deref() != Some("application/scim+json") {
            return Err(format!("{} answered as {kind:?}", step["send"]));
        }
        if let Some(wrong) = step.get("expect").and_then(|expected| differs(expected, &found, "")) {
            return Err(format!("{}: {wrong} in {said}", step["send"]));
        }
        for pointer in step["absent"].as_array().into_iter().flatten() {
            if found.pointer(pointer.as_str().unwrap()).is_some() {
                return Err(format!("{}: {pointer} is there in {said}", step["send"]));
            }
        }
        for (name, pointer) in step["keep"].as_object().into_iter().flatten() {
            let kept = found.pointer(pointer.as_str().unwrap()).and_then(Value::as_str);
            self.names
                .insert(name.clone(), kept.ok_or_else(|| format!("no {pointer} in {said}"))?.to_owned());
        }
        Ok(())
    }
}

#[tokio::test]
async fn every_recorded_dialogue_goes_as_its_vendor_expects_at_both_addresses() {
    let house = house();
    let (mut wrong, mut held) = (Vec::new(), 0);
    for path in recorded() {
        let dialogue: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for in_org in [false, true] {
            let tenant = house.tenant().await;
            let base = if in_org { format!("/orgs/{}/scim/v2", tenant.slug) } else { "/scim/v2".to_owned() };
            let names = BTreeMap::from([
                ("domain".to_owned(), tenant.domain.clone()),
                ("base".to_owned(), house.url(&base)),
            ]);
            let mut speaker = Speaker { house, base, token: &tenant.scim_token, names };
            for (n, step) in dialogue["steps"].as_array().unwrap().iter().enumerate() {
                if let Err(why) = speaker.say(step).await {
                    let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().display();
                    wrong.push(format!("{name} step {n} (in the org's path: {in_org}): {why}"));
                    break;
                }
            }
            held += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {held} went wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(held >= 60, "{held}");
}
