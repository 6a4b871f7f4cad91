//! The documents say what the code does: every stable code a caller can meet has one row in
//! docs/REFUSALS.md and every row a code; every relative link leads to a file; a decision record
//! fits on a page. Reads text alone: no database, no harness.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Namespaces whose every literal is a refusal's code; elsewhere (`login.`, `token.`) audit actions and
/// transactions share the namespace, and only what stands where a code is made counts.
const REFUSALS_ALONE: [&str; 5] = ["saml", "oidc", "oauth", "api", "outbound"];

/// What stands before the literal where a code is made.
const MAKERS: [&str; 7] =
    ["stranger(", "proven(", "invalid(", "conflict(", "code:", "Problem::new(", "Refusal::new("];

/// Columns of a row in docs/REFUSALS.md: code, who sees it, what happened, what the administrator does.
const COLUMNS: usize = 4;

/// Lines of a decision record.
const RECORD_LINES_MAX: usize = 40;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Every file below `folder` that ends so, in a fixed order; built things and hidden ones left out.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "data" || name == "node_modules" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The names of modules that a file includes for its tests alone.
fn test_modules(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            continue;
        }
        let item = lines.by_ref().find(|line| !line.starts_with("#[")).unwrap_or_default();
        let item = item.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
        if let Some(name) = item.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            names.push(name.to_owned());
        }
    }
    names
}

/// A file's text without its comments and without the test module at its end.
fn product_text(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.iter().enumerate().position(|(at, line)| {
        let next = lines.get(at + 1).map_or("", |line| line.trim());
        line.trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{')
    });
    let product = lines.iter().take(tests.unwrap_or(lines.len()));
    product.filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// The product's sources: everything under src that is not compiled for tests alone.
fn sources() -> BTreeMap<PathBuf, String> {
    let all: BTreeMap<PathBuf, String> =
        files(&root().join("src"), ".rs").into_iter().map(|path| (path.clone(), read(&path))).collect();
    let mut left_out = BTreeSet::new();
    for (path, text) in &all {
        let here = path.parent().unwrap();
        for name in test_modules(text) {
            left_out.insert(here.join(format!("{name}.rs")));
            left_out.insert(path.with_extension("").join(format!("{name}.rs")));
            left_out.insert(here.join(&name));
        }
    }
    all.into_iter()
        .filter(|(path, _)| !left_out.iter().any(|out| path.starts_with(out)))
        .filter(|(path, _)| !path.components().any(|part| part.as_os_str() == "tests"))
        .filter(|(path, _)| !path.to_string_lossy().ends_with("_tests.rs"))
        .map(|(path, text)| (path, product_text(&text)))
        .collect()
}

fn has_code_shape(text: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() <= 2
        && parts.iter().all(|part| word(part))
        && text.starts_with(|c: char| c.is_ascii_lowercase())
}

/// The literals of a text, each with what stands before and behind it. Escapes are passed over.
fn literals(text: &str) -> Vec<(&str, &str, &str)> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        // A quote as a character or byte literal opens no string.
        if text[at..].starts_with("'\"'") {
            at += 3;
        } else if text[at..].starts_with("'\\\"'") {
            at += 4;
        } else if bytes[at] == b'"' {
            let start = at + 1;
            let mut end = start;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            let end = end.min(bytes.len());
            found.push((
                text[..at].trim_end(),
                &text[start..end],
                text[(end + 1).min(bytes.len())..].trim_start(),
            ));
            at = end + 1;
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    found
}

/// Is this literal a code that the product makes, not one that it only compares with?
fn is_made(before: &str, code: &str, behind: &str) -> bool {
    let compared = behind.starts_with("=>")
        || behind.starts_with('|')
        || before.ends_with("==")
        || before.ends_with("!=")
        || before.ends_with("starts_with(");
    let (namespace, dotted) = code.split_once('.').map_or((code, false), |(namespace, _)| (namespace, true));
    let made = MAKERS.iter().any(|maker| before.ends_with(maker));
    // The one table of SCIM's problems: ("scim.taken", 409, …).
    let scim_row = namespace == "scim" && before.ends_with("=> (");
    let named = dotted && (made || REFUSALS_ALONE.contains(&namespace));
    // A field's name stands in the same places: without a dot only `code:` makes one (`conflict`).
    has_code_shape(code) && !compared && (named || scim_row || before.ends_with(" code:"))
}

/// What `fn code(&self)` of an error type answers: its literals after an arrow.
fn answered_by_code(text: &str) -> Vec<String> {
    let mut codes = Vec::new();
    for (start, _) in text.match_indices("fn code(&self) -> &'static str {") {
        let body: String =
            text[start..].lines().take_while(|line| *line != "    }").collect::<Vec<_>>().join("\n");
        let answers = literals(&body).into_iter().filter(|(before, ..)| before.ends_with("=>"));
        codes.extend(answers.map(|(_, code, _)| code.to_owned()));
    }
    codes
}

/// Every stable code of the product, with a file that makes it.
fn codes_in_source() -> BTreeMap<String, PathBuf> {
    let mut codes = BTreeMap::new();
    for (path, text) in sources() {
        for (before, code, behind) in literals(&text) {
            if is_made(before, code, behind) {
                codes.insert(code.to_owned(), path.clone());
            }
        }
        codes.extend(answered_by_code(&text).into_iter().map(|code| (code, path.clone())));
    }
    codes
}

/// The rows of docs/REFUSALS.md: code and the other cells.
pub fn rows() -> Vec<(String, Vec<String>)> {
    let text = read(&root().join("docs/REFUSALS.md"));
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<String> =
            line.trim().trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        (cells[0].trim_matches('`').to_owned(), cells)
    })
    .collect()
}

#[test]
fn every_code_has_its_row_and_every_row_its_code() {
    let made = codes_in_source();
    assert!(made.len() > 150, "only {} codes found: the search is broken", made.len());
    let told: BTreeSet<String> = rows().into_iter().map(|(code, _)| code).collect();
    let untold: Vec<String> = made
        .iter()
        .filter(|(code, _)| !told.contains(*code))
        .map(|(code, path)| format!("{code} ({})", path.display()))
        .collect();
    let unmade: Vec<&String> = told.iter().filter(|code| !made.contains_key(*code)).collect();
    assert!(untold.is_empty(), "without a row in docs/REFUSALS.md: {untold:#?}");
    assert!(unmade.is_empty(), "rows of codes that nothing makes: {unmade:#?}");
}

#[test]
fn a_row_is_whole_and_stands_once() {
    let mut seen = BTreeSet::new();
    for (code, cells) in rows() {
        assert_eq!(cells.len(), COLUMNS, "{code}: a row has {COLUMNS} cells");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{code}: an empty cell");
        assert!(seen.insert(code.clone()), "{code} stands twice");
    }
}

#[test]
fn every_relative_link_leads_to_a_file() {
    for document in files(root(), ".md") {
        let text = read(&document);
        for (at, _) in text.match_indices("](") {
            // A picture is for whoever looks at the page.
            let label = text[..at].rfind('[').unwrap_or_default();
            if text[..label].ends_with('!') {
                continue;
            }
            let target: String = text[at + 2..].chars().take_while(|c| *c != ')').collect();
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{}: no {target}", document.display());
        }
    }
}

/// A migration is never edited, so a function may be defined anew in a later one: a reviewer is sent to the last.
#[test]
fn a_reviewer_is_sent_to_the_definers_that_are_in_force() {
    let migrations = files(&root().join("migrations"), "sql");
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for path in migrations {
        let text = read(&path).replace("CREATE OR REPLACE FUNCTION", "CREATE FUNCTION");
        for made in text.split("CREATE FUNCTION vst.").skip(1) {
            let (name, rest) = made.split_once('(').unwrap();
            let head = rest.split("$$").next().unwrap();
            if head.contains("SECURITY DEFINER") {
                let file = path.file_name().unwrap().to_str().unwrap();
                last.insert(name.to_owned(), file.to_owned());
            }
        }
    }
    assert!(last.len() > 10, "{last:?}");
    for (function, file) in last {
        for document in ["README.md", "docs/ARCHITECTURE.md"] {
            let said = read(&root().join(document));
            assert!(said.contains(&file), "{document}: {function} is defined in {file}");
        }
    }
}

#[test]
fn a_decision_fits_on_a_page() {
    let records = files(&root().join("docs/adr"), ".md");
    assert!(records.len() >= 7);
    for record in records {
        let lines = read(&record).lines().count();
        assert!(lines <= RECORD_LINES_MAX, "{}: {lines} lines", record.display());
    }
}

#[test]
fn the_search_tells_a_code_from_what_looks_like_one() {
    let text = r#"
        Err(Refusal::proven("login.replayed").with("id", x))
        gw.db.write(scope, "login.admit"); AuditEvent::done("login.accepted");
        "oauth.invalid_scope" => "invalid_scope", _ if r.code == "api.compared" => 1,
        b'"'; '"'; xml::at_most_one(n, (A, "X"), "saml.element_repeated")
        Self::Taken => ("scim.taken", 409, Some("uniqueness")),
        FlowError::invalid(
            "app.redirect_uri", "redirect_uris", "text"); invalid("max_age", "seconds");
        FlowError::Conflict { code: "conflict", detail }
    "#;
    let made: Vec<&str> = literals(text)
        .into_iter()
        .filter(|(b, code, a)| is_made(b, code, a))
        .map(|(_, code, _)| code)
        .collect();
    assert_eq!(
        made,
        ["login.replayed", "saml.element_repeated", "scim.taken", "app.redirect_uri", "conflict"]
    );
}
