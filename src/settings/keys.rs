//! The keys: what each may hold, how the environment spells it, and which one a misspelt one
//! meant. A setting that is not in `KEYS` does not exist.

use super::{Egress, SettingsError, wrong};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};
use toml::{Table, Value};

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Text,
    /// An IP address and a port.
    Address,
    /// Of one of these schemes.
    Url(&'static [&'static str]),
    Flag,
    OneOf(&'static [&'static str]),
    Number(i64, i64),
}

const POSTGRES: &[&str] = &["postgres", "postgresql"];
const REDIS: &[&str] = &["redis", "rediss", "unix", "redis+unix"];

/// Every key, and the bounds of its value.
pub const KEYS: &[(&str, Shape)] = &[
    ("public_url", Shape::Text),
    ("listen", Shape::Address),
    ("ops_listen", Shape::Address),
    ("data_dir", Shape::Text),
    ("seal_key_file", Shape::Text),
    ("tls.cert_file", Shape::Text),
    ("tls.key_file", Shape::Text),
    ("database.url", Shape::Url(POSTGRES)),
    ("database.migrate_url", Shape::Url(POSTGRES)),
    ("database.pool_max", Shape::Number(2, 500)),
    ("database.acquire_timeout_secs", Shape::Number(1, 60)),
    ("database.statement_timeout_secs", Shape::Number(1, 300)),
    ("redis.url", Shape::Url(REDIS)),
    ("tokens.access_token_secs", Shape::Number(30, 900)),
    ("tokens.code_secs", Shape::Number(10, 600)),
    ("tokens.refresh_idle_secs", Shape::Number(60, 31_536_000)),
    ("tokens.refresh_absolute_secs", Shape::Number(60, 31_536_000)),
    ("tokens.refresh_grace_secs", Shape::Number(0, 60)),
    ("tokens.scim_token_secs", Shape::Number(3_600, 21_600)),
    ("tokens.signing_key_rotate_secs", Shape::Number(604_800, 31_536_000)),
    ("sessions.idle_secs", Shape::Number(60, 2_592_000)),
    ("sessions.absolute_secs", Shape::Number(60, 2_592_000)),
    ("retention.sweep_every_secs", Shape::Number(1, 3_600)),
    ("retention.ended_sessions_secs", Shape::Number(0, 31_536_000)),
    ("retention.delivered_secs", Shape::Number(0, 31_536_000)),
    ("retention.dead_deliveries_secs", Shape::Number(0, 31_536_000)),
    ("retention.refusals_secs", Shape::Number(0, 31_536_000)),
    ("retention.scim_requests_secs", Shape::Number(3_600, 31_536_000)),
    ("retention.scim_requests_rows_max", Shape::Number(1_000, 1_000_000_000)),
    ("retention.scim_requests_bytes_max", Shape::Number(1_048_576, 1_099_511_627_776)),
    ("egress.allow_loopback", Shape::Flag),
    ("egress.name_servers", Shape::Text),
    ("log.format", Shape::OneOf(&["json", "text"])),
    ("log.level", Shape::Text),
    ("telemetry.otlp_endpoint", Shape::Text),
    ("telemetry.otlp_headers", Shape::Text),
    ("telemetry.service_name", Shape::Text),
    ("telemetry.sampled_percent", Shape::Number(1, 100)),
    ("limits.body_bytes_max", Shape::Number(65_536, 16_777_216)),
    ("limits.credential_requests_per_sec", Shape::Number(25, 100_000)),
    ("limits.org_requests_per_sec", Shape::Number(25, 100_000)),
    ("limits.body_secs", Shape::Number(1, 300)),
];

impl Egress {
    /// The name servers that are asked for TXT records; none: the machine's own.
    ///
    /// # Errors
    /// Not 1 to 3 addresses.
    pub fn name_servers(&self) -> Result<Vec<SocketAddr>, SettingsError> {
        let read = |text: &str| {
            let alone = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
            alone.or_else(|_| text.parse::<SocketAddr>())
        };
        let words = self.name_servers.iter().flat_map(|list| list.split(',').map(str::trim));
        let found = words.map(read).collect::<Result<Vec<_>, _>>().ok().filter(|list| list.len() <= 3);
        found.ok_or_else(|| wrong("egress.name_servers", "1 to 3 addresses, such as 9.9.9.9, 192.0.2.1:5353"))
    }
}

/// Tables, one deep, as `section.key`.
pub(super) fn flatten(table: Table) -> BTreeMap<String, Value> {
    let mut flat = BTreeMap::new();
    for (name, value) in table {
        if let Value::Table(inner) = value {
            for (key, value) in inner {
                flat.insert(format!("{name}.{key}"), value);
            }
        } else {
            flat.insert(name, value);
        }
    }
    flat
}

/// Is it a key, and its value within bounds?
pub(super) fn check(key: &str, value: &Value) -> Result<(), SettingsError> {
    let Some((_, shape)) = KEYS.iter().find(|(path, _)| *path == key) else {
        return Err(unknown(key, KEYS.iter().map(|(path, _)| (*path).into())));
    };
    match (shape, value) {
        (Shape::Text, Value::String(_)) | (Shape::Flag, Value::Boolean(_)) => Ok(()),
        (Shape::Number(low, high), Value::Integer(n)) if (low..=high).contains(&n) => Ok(()),
        (Shape::OneOf(words), Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
        (Shape::Address, Value::String(text)) if text.parse::<SocketAddr>().is_ok() => Ok(()),
        (Shape::Url(schemes), Value::String(text)) if is_url(text, schemes) => Ok(()),
        (Shape::Text, _) => Err(wrong(key, "text")),
        (Shape::Address, _) => Err(wrong(key, "IP:port, such as 127.0.0.1:8080 or [::]:8080")),
        (Shape::Url(schemes), _) => {
            Err(wrong(key, format!("a URL that begins with {}://", schemes.join(":// or "))))
        }
        (Shape::Flag, _) => Err(wrong(key, "true or false")),
        (Shape::Number(low, high), _) => Err(wrong(key, format!("a whole number, {low} to {high}"))),
        (Shape::OneOf(words), _) => Err(wrong(key, words.join(" or "))),
    }
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    url::Url::parse(text).is_ok_and(|url| schemes.contains(&url.scheme()))
}

/// The environment's name of a key: `tokens.code_secs` is `VESTIBULE_TOKENS__CODE_SECS`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

const PREFIX: &str = "VESTIBULE_";
/// Names that every host of such things already sets; ours, when given, overrules them.
const CUSTOMARY: [(&str, &str); 2] = [("DATABASE_URL", "database.url"), ("REDIS_URL", "redis.url")];
/// Kubernetes sets these in every pod beside a Service called `vestibule`.
const NEIGHBOURS: [&str; 2] = ["VESTIBULE_SERVICE_", "VESTIBULE_PORT"];

/// Lays the environment's values over the file's.
pub(super) fn overlay(
    values: &mut BTreeMap<String, Value>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(), SettingsError> {
    let mut ours = Vec::new();
    for (name, text) in environment {
        if text.is_empty() {
            continue;
        }
        if let Some((_, key)) = CUSTOMARY.iter().find(|(custom, _)| *custom == name) {
            values.insert((*key).into(), Value::String(text));
        } else if name.starts_with(PREFIX) && !NEIGHBOURS.iter().any(|other| name.starts_with(other)) {
            ours.push((name, text));
        }
    }
    for (name, text) in ours {
        let Some((key, shape)) = KEYS.iter().find(|(key, _)| variable(key) == name) else {
            return Err(unknown(&name, KEYS.iter().map(|(key, _)| variable(key))));
        };
        values.insert((*key).into(), read(&name, *shape, text)?);
    }
    Ok(())
}

fn read(name: &str, shape: Shape, text: String) -> Result<Value, SettingsError> {
    match shape {
        Shape::Text | Shape::Address | Shape::Url(_) | Shape::OneOf(_) => Ok(Value::String(text)),
        Shape::Flag => text.parse().map(Value::Boolean).map_err(|_| wrong(name, "true or false")),
        Shape::Number(low, high) => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| wrong(name, format!("a whole number, {low} to {high}"))),
    }
}

/// A key that differs in more than a third of its own letters was not meant.
const MISSPELT_MAX: usize = 3;

fn unknown(given: &str, known: impl Iterator<Item = String>) -> SettingsError {
    let plain = given.strip_prefix("VESTIBULE_").unwrap_or(given);
    let own = plain.rsplit("__").next().and_then(|key| key.rsplit('.').next()).unwrap_or(plain);
    let near = known.map(|key| (distance(given, &key), key)).min();
    let meant = near.filter(|(apart, _)| *apart <= own.len() / MISSPELT_MAX).map(|(_, key)| key);
    let hint = meant.map_or_else(
        || "config/vestibule.example.toml has every one".to_owned(),
        |key| format!("did you mean {key}?"),
    );
    SettingsError::Unknown { key: given.chars().take(80).collect(), hint }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.bytes().enumerate() {
        let mut corner = i;
        let mut before = i + 1;
        let mut next = vec![before];
        for (right, above) in b.bytes().zip(row.iter().skip(1)) {
            let change = corner + usize::from(left != right);
            before = change.min(before + 1).min(above + 1);
            corner = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    const EXAMPLE: &str = include_str!("../../config/vestibule.example.toml");

    /// The example with every key switched on: lines `#key = value` are settings, `# text` is prose.
    fn switched_on() -> String {
        let on = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest.to_owned(),
            _ => line.to_owned(),
        };
        EXAMPLE.lines().map(on).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn only_what_is_near_was_meant() {
        let known = || ["tokens.code_secs", "tls.key_file"].into_iter().map(str::to_owned);
        for (given, meant) in [
            ("token.code_secs", Some("tokens.code_secs")),
            ("tokens.cod_secs", Some("tokens.code_secs")),
            ("tls.keyfile", Some("tls.key_file")),
            ("tokens.nope", None),
            ("tokens.code", None),
            ("nope", None),
        ] {
            let wanted = meant.map_or("has every one".to_owned(), |key| format!("did you mean {key}?"));
            let said = unknown(given, known()).to_string();
            assert!(said.ends_with(&wanted), "{given}: {said}");
        }
    }

    #[test]
    fn the_example_the_keys_and_the_struct_name_the_same_settings() {
        let example = flatten(switched_on().parse().unwrap());
        let names: Vec<_> = example.keys().map(String::as_str).collect();
        let mut known: Vec<_> = KEYS.iter().map(|(key, _)| *key).collect();
        known.sort_unstable();
        assert_eq!(names, known, "example and KEYS");

        let settings = Settings::assemble(example).unwrap();
        let json: serde_json::Value = serde_json::to_value(settings).unwrap();
        let mut fields = Vec::new();
        for (name, value) in json.as_object().unwrap() {
            match value.as_object() {
                Some(section) => fields.extend(section.keys().map(|key| format!("{name}.{key}"))),
                None => fields.push(name.clone()),
            }
        }
        fields.sort_unstable();
        assert_eq!(fields, known, "struct and KEYS");
    }

    #[test]
    fn the_example_tells_the_true_defaults_and_bounds() {
        let example = flatten(switched_on().parse().unwrap());
        let defaults: serde_json::Value = serde_json::to_value(Settings::default()).unwrap();
        for (key, shape) in KEYS {
            let pointer = format!("/{}", key.replace('.', "/"));
            let default = defaults.pointer(&pointer).unwrap();
            let shown = serde_json::to_value(example.get(*key).unwrap()).unwrap();
            if !default.is_null() {
                assert_eq!(&shown, default, "{key}");
            }
            if let Shape::Number(low, high) = shape {
                let bare = key.rsplit('.').next().unwrap();
                let line = EXAMPLE.lines().find(|l| l.starts_with(&format!("#{bare} ="))).unwrap();
                assert!(line.contains(&format!("{low} to {high}")), "{key}: {line}");
            }
        }
    }

    #[test]
    fn the_demo_starts_from_good_settings_and_stays_on_this_machine() {
        let demo = include_str!("../../config/demo.toml").parse().unwrap();
        let settings = Settings::assemble(flatten(demo)).unwrap();
        assert!(settings.listen.ip().is_loopback() && settings.insecure_loopback());
        assert!(settings.egress.allow_loopback);
    }

    #[test]
    fn a_second_table_inside_a_section_is_no_setting() {
        let flat = flatten("[tokens.deep]\nx = 1".parse().unwrap());
        assert!(flat.iter().any(|(key, value)| check(key, value).is_err()));
    }
}
