//! Our exclusive c14n against libxml2's, on random trees: `xmllint --exc-c14n` for whole documents,
//! byte for byte; `xmlsec1 --sign` for subtrees with an enveloped signature, a `PrefixList` and comments,
//! by digest, and its SignedInfo by HMAC. Both programs must be there: a missing one fails the test.

use crate::{
    c14n,
    xml::{self, DSIG},
};
use aws_lc_rs::{digest, hmac};
use std::{
    fmt::Write as _,
    path::PathBuf,
    process::{Command, Output},
};

const TREES: u64 = 150;
const EXC: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// No namespace URI here holds an `&`: libxml2 writes those unescaped, against Canonical XML 1.0, 2.3, and
/// what it then calls canonical is not even well-formed.
///
/// A seeded tree maker (SplitMix64), so that a failure names the seed that replays it.
struct Trees {
    state: u64,
    comments: bool,
    out: String,
}

impl Trees {
    fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        let at = self.below(list.len().try_into().unwrap());
        list[usize::try_from(at).unwrap()]
    }

    /// One element. `scope` are the prefixes in force with their URIs; `inside` is put in, or dropped
    /// into a descendant; a document has it exactly once.
    fn element(&mut self, scope: &[(String, String)], depth: u64, inside: Option<&str>) {
        let mut scope = scope.to_vec();
        let mut declarations = Vec::new();
        for _ in 0..self.below(4) {
            let prefix = self.pick(&["", "a", "b", "c", "zz"]);
            let uri = self.pick(&["urn:1", "urn:2", "http://x.example/?a=1", "urn:3"]);
            let uri = if prefix.is_empty() && self.below(3) == 0 { "" } else { uri };
            if declarations.iter().any(|known: &(String, String)| known.0 == prefix) {
                continue;
            }
            declarations.push((prefix.to_owned(), uri.to_owned()));
            scope.retain(|known| known.0 != prefix);
            scope.push((prefix.to_owned(), uri.to_owned()));
        }
        let prefixes: Vec<String> = scope.iter().map(|known| known.0.clone()).collect();
        let choice =
            self.pick(&prefixes.iter().map(String::as_str).chain([""]).collect::<Vec<_>>()).to_owned();
        let local = self.pick(&["e", "f", "Element", "x-y.z"]);
        let name = if choice.is_empty() { local.to_owned() } else { format!("{choice}:{local}") };
        write!(self.out, "<{name}").unwrap();
        let mut attributes: Vec<String> = Vec::new();
        for (prefix, uri) in &declarations {
            let colon = if prefix.is_empty() { "" } else { ":" };
            attributes.push(format!("xmlns{colon}{prefix}=\"{uri}\""));
        }
        self.attributes(&scope, &mut attributes);
        for attribute in attributes {
            let gap = self.pick(&[" ", "\n  ", "\t"]);
            write!(self.out, "{gap}{attribute}").unwrap();
        }
        if depth == 0 && inside.is_none() && self.below(2) == 0 {
            self.out.push_str("/>");
            return;
        }
        self.out.push('>');
        self.content(&scope, depth, inside);
        let gap = self.pick(&["", " "]);
        write!(self.out, "</{name}{gap}>").unwrap();
    }

    fn attributes(&mut self, scope: &[(String, String)], attributes: &mut Vec<String>) {
        let mut used = Vec::new();
        for _ in 0..self.below(5) {
            let local = self.pick(&["p", "q", "P", "attr"]);
            let at = usize::try_from(self.below(scope.len() as u64 + 2)).unwrap();
            let (name, uri) = match scope.get(at) {
                Some((prefix, uri)) if !prefix.is_empty() => (format!("{prefix}:{local}"), uri.as_str()),
                _ if self.below(4) == 0 => ("xml:lang".to_owned(), "xml"),
                _ => (local.to_owned(), ""),
            };
            let key = (uri.to_owned(), name.rsplit(':').next().unwrap().to_owned());
            if used.contains(&key) {
                continue;
            }
            used.push(key);
            let value = self.text(true);
            attributes.push(if self.below(2) == 0 {
                format!("{name}=\"{value}\"")
            } else {
                format!("{name} = '{value}'")
            });
        }
    }

    fn content(&mut self, scope: &[(String, String)], depth: u64, inside: Option<&str>) {
        let children = if depth == 0 { 0 } else { self.below(4) };
        let place = self.below(children + 1);
        for child in 0..=children {
            let text = self.text(false);
            self.out.push_str(&text);
            if child == place
                && let Some(inside) = inside
            {
                self.out.push_str(inside);
            }
            if child < children {
                self.element(scope, depth - 1, None);
            }
        }
    }

    fn text(&mut self, attribute: bool) -> String {
        let mut text = String::new();
        for _ in 0..self.below(4) {
            text.push_str(self.pick(&[
                "word", " ", "\n", "\r\n", "\t", "&amp;", "&lt;", "&gt;", ">", "&#xD;", "&#9;", "&#10;", "é",
                "🦀", "&quot;", "&apos;", "&#x85;",
            ]));
            if !attribute {
                text.push_str(self.pick(&["", "", "<![CDATA[<&>]]>", "\"'"]));
                if self.comments {
                    text.push_str(self.pick(&["", "", "<!-- a > b -->"]));
                }
            }
        }
        text
    }
}

fn run(command: &mut Command) -> Output {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|why| {
        panic!("`{program}` cannot be run ({why}): install the packages xmlsec1 and libxml2-utils")
    })
}

/// A folder of this test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vestibule-c14n-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn whole_documents_have_the_bytes_that_xmllint_gives() {
    let scratch = Scratch::new("xmllint");
    for seed in 0..TREES {
        let mut trees = Trees { state: seed, comments: false, out: String::new() };
        trees.element(&[], 4, None);
        let document =
            xml::parse(&trees.out).unwrap_or_else(|why| panic!("seed {seed}: {why:?}\n{}", trees.out));
        let ours = c14n::exclusive(document.root_element(), None, &[]).unwrap();
        let theirs = run(Command::new("xmllint").arg("--exc-c14n").arg(scratch.file("tree.xml", &trees.out)));
        assert!(theirs.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&theirs.stderr));
        assert_eq!(ours, String::from_utf8_lossy(&theirs.stdout), "seed {seed}:\n{}", trees.out);
    }
}

#[test]
fn signed_subtrees_have_the_digest_that_xmlsec1_gives() {
    let scratch = Scratch::new("xmlsec1");
    let key = scratch.file("hmac.key", "a key of this test");
    for seed in 1_000..1_000 + TREES {
        let mut trees = Trees { state: seed, comments: true, out: String::new() };
        let prefixes = trees.pick(&["", "a", "a zz", "#default", "b #default c nowhere"]);
        let target = format!("<t:Target xmlns:t=\"urn:t\" ID=\"_t\">{}@</t:Target>", trees.text(false));
        let mut inner = Trees { state: seed ^ 0xabcd, comments: true, out: String::new() };
        inner.element(&[], 3, None);
        let target = target.replace('@', &format!("{}{}", template(prefixes), inner.out));
        trees.element(&[], 2, Some(&target));
        let signed = scratch.0.join("signed.xml");
        let source = scratch.file("tree.xml", &trees.out);
        let done = run(Command::new("xmlsec1")
            .args(["--sign", "--hmackey"])
            .arg(&key)
            .args(["--id-attr:ID", "urn:t:Target", "--output"])
            .args([&signed, &source]));
        assert!(done.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&done.stderr));
        compare(seed, &std::fs::read_to_string(&signed).unwrap(), prefixes);
    }
}

fn compare(seed: u64, signed: &str, prefixes: &str) {
    let document = xml::parse(signed).unwrap();
    let find = |name: &str| document.descendants().find(|node| xml::is(*node, DSIG, name)).unwrap();
    let octets = |name: &str| crate::decode_base64(&xml::text(find(name)).unwrap()).unwrap();
    let prefixes: Vec<&str> = prefixes.split_ascii_whitespace().collect();
    let signature = find("Signature");
    let ours = c14n::exclusive(signature.parent().unwrap(), Some(signature.id()), &prefixes).unwrap();
    let digest = digest::digest(&digest::SHA256, ours.as_bytes());
    assert_eq!(digest.as_ref(), octets("DigestValue"), "seed {seed}:\n{signed}\nours:\n{ours}");
    let info = c14n::exclusive(find("SignedInfo"), None, &prefixes).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a key of this test");
    hmac::verify(&key, info.as_bytes(), &octets("SignatureValue"))
        .unwrap_or_else(|_| panic!("seed {seed}: SignedInfo\n{info}"));
}

fn template(prefixes: &str) -> String {
    let list = format!("<i:InclusiveNamespaces xmlns:i=\"{EXC}\" PrefixList=\"{prefixes}\"/>");
    let list = if prefixes.is_empty() { String::new() } else { list };
    format!(
        "<d:Signature xmlns:d=\"{DSIG}\"><d:SignedInfo><d:CanonicalizationMethod Algorithm=\"{EXC}\">{list}\
         </d:CanonicalizationMethod><d:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#hmac-sha256\"/>\
         <d:Reference URI=\"#_t\"><d:Transforms><d:Transform Algorithm=\"{DSIG}enveloped-signature\"/>\
         <d:Transform Algorithm=\"{EXC}\">{list}</d:Transform></d:Transforms>\
         <d:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><d:DigestValue/></d:Reference>\
         </d:SignedInfo><d:SignatureValue/></d:Signature>"
    )
}
