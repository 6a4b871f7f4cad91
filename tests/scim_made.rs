//! People, groups, filters and orders by lot: what the SCIM properties are tried on. A seed makes the
//! same ones again.

use crate::house::{House, Tenant};
use model::ids::UserId;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub const OWN: &str = "urn:acme:params:2.0:User";

/// SplitMix64.
pub struct Lot(pub u64);

impl Lot {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(n).unwrap()).unwrap()
    }
    pub fn often(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
    pub fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// Words that differ where letter case, blanks, alphabets and escapes matter.
const WORDS: &[&str] = &[
    "ada",
    "Ada",
    "ADA",
    " Ada ",
    "ada lovelace",
    "A",
    "",
    "Straße",
    "STRASSE",
    "ΟΔΟΣ",
    "οδος",
    "οδοσ",
    "Σ",
    "İstanbul",
    "istanbul",
    "ı",
    "É",
    "e\u{301}",
    "\u{a0}ada",
    "ß",
    "ẞ",
    "ǆ",
    "ǅ",
    "Ⅷ",
    "K",
    "100%",
    "_",
    "%",
    "\\",
    "\"quoted\"",
    "a\tb",
    "{}",
    "true",
    "False",
    "12",
    "12.5",
    "-3",
    "ad",
    "da",
    "zz",
    "😀",
    "\u{ffff}",
    "é",
    "Zoë",
    "work",
    "home",
    "WORK",
    "other",
    "usr_",
    "2026",
];

pub fn word(lot: &mut Lot) -> &'static str {
    lot.of(WORDS)
}

fn plural(lot: &mut Lot, kind: &str) -> Value {
    let mut list = Vec::new();
    for _ in 0..lot.below(4) {
        let mut one = json!({});
        let value = match kind {
            "emails" => format!("{}@{}", word(lot), lot.of(&["x", "Y"])),
            _ => word(lot).to_owned(),
        };
        for (name, value) in [
            ("value", json!(value)),
            ("type", json!(lot.of(&["work", "Home", "", " work"]))),
            ("display", json!(word(lot))),
            ("primary", json!(lot.often(30))),
        ] {
            if lot.often(if name == "value" { 90 } else { 45 }) {
                one[name] = value;
            }
        }
        list.push(one);
    }
    json!(list)
}

fn addresses(lot: &mut Lot) -> Value {
    (0..lot.below(3))
        .map(|_| json!({"type": lot.of(&["work", "home"]), "locality": word(lot), "country": word(lot)}))
        .collect()
}

fn loose(lot: &mut Lot, depth: usize) -> Value {
    match lot.below(if depth > 1 { 7 } else { 10 }) {
        0 => json!(null),
        1 => json!(lot.often(50)),
        2 => json!(lot.below(30)),
        3 => json!([12.5, -3.0, 1e3, 0.1][lot.below(4)]),
        4..=6 => json!(word(lot)),
        7 | 8 => (0..lot.below(4)).map(|_| loose(lot, depth + 1)).collect(),
        _ => json!({"Part": loose(lot, depth + 1), "b": loose(lot, depth + 1)}),
    }
}

/// A POST of somebody.
pub fn user(lot: &mut Lot, n: usize) -> Value {
    let mut user = json!({"userName": format!("{}{n}{}", word(lot), word(lot))});
    for name in ["externalId", "displayName", "nickName", "title", "userType", "locale", "profileUrl"] {
        if lot.often(60) {
            user[name] = json!(word(lot));
        }
    }
    if lot.often(70) {
        user["active"] = json!(lot.often(60));
    }
    for name in ["givenName", "familyName", "middleName", "formatted"] {
        if lot.often(50) {
            user["name"][name] = json!(word(lot));
        }
    }
    for name in ["emails", "phoneNumbers", "roles", "x509Certificates", "photos"] {
        if lot.often(50) {
            user[name] = plural(lot, name);
        }
    }
    if lot.often(40) {
        user["addresses"] = addresses(lot);
    }
    for name in ["employeeNumber", "department"] {
        if lot.often(40) {
            user[ENTERPRISE][name] = json!(word(lot));
        }
    }
    if lot.often(30) {
        user[ENTERPRISE]["manager"] = json!({"value": word(lot), "displayName": word(lot)});
    }
    for name in ["Tag", "level", "deep"] {
        if lot.often(40) {
            user[OWN][name] = loose(lot, 0);
        }
    }
    user
}

const SINGLE: &[&str] = &[
    "userName",
    "USERNAME",
    "externalId",
    "displayName",
    "nickName",
    "title",
    "userType",
    "locale",
    "profileUrl",
    "id",
    "meta.location",
    "meta.version",
    "meta.resourceType",
    "meta.created",
    "meta.lastModified",
    "name.givenName",
    "name.familyName",
    "name.middleName",
    "name.formatted",
    "name.colour",
    "colour",
    "urn:ietf:params:scim:schemas:core:2.0:User:userName",
    "urn:ietf:params:scim:schemas:core:2.0:Group:displayName",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber",
    "emails",
    "emails.value",
    "emails.type",
    "emails.display",
    "phoneNumbers.value",
    "phoneNumbers",
    "roles.type",
    "addresses.locality",
    "photos.value",
    "x509Certificates.value",
    "schemas",
    "groups",
    "groups.display",
    "groups.$ref",
    "groups.type",
    "members",
    "members.value",
    "members.$ref",
    "members.type",
    "urn:acme:params:2.0:User:tag",
    "urn:acme:params:2.0:user:LEVEL",
    "urn:acme:params:2.0:User:deep.part",
    "urn:acme:params:2.0:User:deep.b",
    "urn:acme:nothing:2.0:User:tag",
];
const WHOLE: &[&str] = &[
    "name",
    "emails",
    "addresses",
    "roles",
    "groups",
    "members",
    "meta",
    "schemas",
    "active",
    "title",
    "displayName",
    "urn:acme:params:2.0:User:tag",
    "urn:acme:params:2.0:User:deep",
    "externalId",
    "colour",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
];
const BRACKETED: &[(&str, &[&str])] = &[
    ("emails", &["value", "type", "display", "TYPE"]),
    ("roles", &["value", "type"]),
    ("addresses", &["locality", "country", "type", "colour"]),
    ("groups", &["value", "display", "type"]),
    ("members", &["value", "type"]),
    ("name", &["givenName", "familyName", "formatted"]),
    ("urn:acme:params:2.0:User:deep", &["part", "B"]),
    ("title", &["value"]),
];
const OPS: &[&str] = &["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"];

/// What filters compare with, beside the words: pieces of what is really there.
pub struct Seen(pub Vec<String>);

impl Seen {
    pub fn of(resources: &[Value]) -> Self {
        fn walk(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::String(text) => found.push(text.clone()),
                Value::Array(list) => list.iter().for_each(|one| walk(one, found)),
                Value::Object(object) => object.values().for_each(|one| walk(one, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        resources.iter().for_each(|one| walk(one, &mut found));
        Self(found)
    }

    fn text(&self, lot: &mut Lot) -> String {
        let whole =
            if lot.often(55) { self.0[lot.below(self.0.len())].clone() } else { word(lot).to_owned() };
        let letters: Vec<char> = whole.chars().collect();
        let (from, to) = (lot.below(letters.len() + 1), lot.below(letters.len() + 1));
        match lot.below(6) {
            0 if from < to => letters[from..to].iter().collect(),
            1 => whole.to_uppercase(),
            2 => whole.to_lowercase(),
            3 => format!("{whole} "),
            _ => whole,
        }
    }

    fn literal(&self, lot: &mut Lot) -> String {
        match lot.below(14) {
            0 => lot.of(&["true", "false", "null", "True"]).to_owned(),
            1 => lot.of(&["12", "12.5", "-3", "0.1", "1e3", "0"]).to_owned(),
            _ => json!(self.text(lot)).to_string(),
        }
    }

    fn term(&self, lot: &mut Lot, names: &[&str]) -> String {
        let name = lot.of(names);
        if lot.often(12) {
            format!("{name} pr")
        } else {
            format!("{name} {} {}", lot.of(OPS), self.literal(lot))
        }
    }

    fn inner(&self, lot: &mut Lot, names: &[&str], depth: usize) -> String {
        match lot.below(if depth > 1 { 2 } else { 5 }) {
            0 | 1 => self.term(lot, names),
            2 => format!("{} and {}", self.inner(lot, names, depth + 1), self.inner(lot, names, depth + 1)),
            3 => format!("({} or {})", self.inner(lot, names, depth + 1), self.inner(lot, names, depth + 1)),
            _ => format!("not ({})", self.inner(lot, names, depth + 1)),
        }
    }

    /// A filter of the whole language.
    pub fn filter(&self, lot: &mut Lot, depth: usize) -> String {
        match lot.below(if depth > 2 { 8 } else { 13 }) {
            0..=4 => self.term(lot, SINGLE),
            5 => match lot.below(3) {
                0 => format!("{} pr", lot.of(WHOLE)),
                1 => format!("{} {} null", lot.of(WHOLE), lot.of(&["eq", "ne"])),
                _ => format!(
                    "active {} {}",
                    lot.of(&["eq", "ne"]),
                    lot.of(&["true", "false", "\"False\"", "\"TRUE\""])
                ),
            },
            6 | 7 => {
                let (name, parts) = BRACKETED[lot.below(BRACKETED.len())];
                let inner = self.inner(lot, parts, 0);
                if lot.often(30) {
                    let last = format!("{} {}", lot.of(OPS), self.literal(lot));
                    return format!("{name}[{inner}].{} {last}", lot.of(parts));
                }
                format!("{name}[{inner}]")
            }
            8 | 9 => format!("{} and {}", self.filter(lot, depth + 1), self.filter(lot, depth + 1)),
            10 => format!("({} or {})", self.filter(lot, depth + 1), self.filter(lot, depth + 1)),
            11 => format!("{} or {}", self.filter(lot, depth + 1), self.filter(lot, depth + 1)),
            _ => format!("not ({})", self.filter(lot, depth + 1)),
        }
    }
}

/// People `u1…`, a group `G…` for every ten, and everybody in one, as the server's own role writes them.
pub async fn crowd(house: &House, tenant: &Tenant, people: u32) {
    let mut sql = PgConnection::connect(&house.database_url).await.unwrap();
    let (org, dir) = (tenant.org.uuid(), tenant.directory.uuid());
    let statements = format!(
        "BEGIN; SET LOCAL ROLE vst_app; SET LOCAL search_path = vst;
         SELECT set_config('app.org_id', '{org}', true), set_config('app.reach', 'org', true);
         INSERT INTO users (org_id, user_id, user_name, user_name_norm, external_id, active, email, email_norm,
                            display_name, display_name_norm, attributes, dir_id, created_at, modified_at)
         SELECT '{org}', ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'u' || n, 'u' || n, 'e' || n, true, n || '@x', n || '@x',
                'Person ' || n, 'person ' || n,
                jsonb_build_object('userName', 'u' || n, 'emails', jsonb_build_array(jsonb_build_object(
                    'value', n || '@x', 'type', 'work'))), '{dir}', now(), now()
           FROM generate_series(1, {people}) n;
         INSERT INTO user_emails (org_id, user_id, value_norm, kind_norm)
         SELECT '{org}', ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, n || '@x', 'work' FROM generate_series(1, {people}) n;
         INSERT INTO groups (org_id, group_id, dir_id, group_key, display_name, display_name_norm, external_id,
                             created_at, modified_at)
         SELECT '{org}', ('00000001-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '{dir}', 'g' || n, 'G' || n, 'g' || n, 'x' || n, now(), now()
           FROM generate_series(1, {people} / 10) n;
         INSERT INTO group_members (org_id, group_id, user_id)
         SELECT '{org}', ('00000001-0000-7000-8000-' || lpad(to_hex(1 + n % ({people} / 10)), 12, '0'))::uuid, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
           FROM generate_series(1, {people}) n;
         COMMIT;
         SET ROLE vst_owner; ANALYZE vst.users, vst.user_emails, vst.groups, vst.group_members;"
    );
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut sql).await.unwrap();
}

/// One of the crowd.
pub fn one_of_the_crowd(n: u32) -> UserId {
    UserId::from_uuid(format!("00000000-0000-7000-8000-{n:012x}").parse().unwrap())
}
