//! What an operator sets: one TOML file, overlaid by the environment. Decides what may be said
//! (an unknown key is refused and the nearest known one named), its bounds and its defaults.
//! Reads nothing but the file it is given; `config/vestibule.example.toml` documents every key,
//! and a test holds that file, `KEYS` and the struct together.

use model::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use toml::{Table, Value};
use url::{Host, Url};

pub mod keys;
mod retention;
mod telemetry;

pub use retention::Retention;
pub use telemetry::Telemetry;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The issuer: an origin without a trailing slash.
    pub public_url: String,
    pub listen: SocketAddr,
    pub ops_listen: Option<SocketAddr>,
    pub data_dir: PathBuf,
    pub seal_key_file: Option<PathBuf>,
    pub tls: Tls,
    pub database: Database,
    pub redis: Redis,
    pub tokens: Tokens,
    pub sessions: Sessions,
    pub retention: Retention,
    pub egress: Egress,
    pub log: Log,
    pub telemetry: Telemetry,
    pub limits: Limits,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Absent: a private cluster in the data folder.
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub url: Option<Secret<String>>,
    /// For migrations alone, when the server's own login may not make roles.
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub migrate_url: Option<Secret<String>>,
    pub pool_max: u32,
    pub acquire_timeout_secs: u64,
    pub statement_timeout_secs: u64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Absent: a private server in the data folder.
    #[serde(serialize_with = "hidden", deserialize_with = "secret")]
    pub url: Option<Secret<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    pub access_token_secs: i64,
    pub code_secs: i64,
    pub refresh_idle_secs: i64,
    pub refresh_absolute_secs: i64,
    /// How long a rotated refresh token is answered once more with the same successor.
    pub refresh_grace_secs: i64,
    /// How long a token lives that a directory fetched with its client's secret.
    pub scim_token_secs: i64,
    /// How long a signing key signs.
    pub signing_key_rotate_secs: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    pub idle_secs: i64,
    pub absolute_secs: i64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Egress {
    /// Demo and tests only: lets outgoing requests reach this machine.
    pub allow_loopback: bool,
    /// Absent: the machine's own, from /etc/resolv.conf.
    pub name_servers: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub format: LogFormat,
    /// `info`, or a list such as `warn,vestibule=debug`.
    pub level: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub body_bytes_max: usize,
    pub credential_requests_per_sec: u32,
    pub org_requests_per_sec: u32,
    /// From a request's head to the end of its body.
    pub body_secs: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: "http://localhost:8080".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            ops_listen: None,
            data_dir: "./data".into(),
            seal_key_file: None,
            tls: Tls::default(),
            database: Database::default(),
            redis: Redis::default(),
            tokens: Tokens::default(),
            sessions: Sessions::default(),
            retention: Retention::default(),
            egress: Egress::default(),
            log: Log::default(),
            telemetry: Telemetry::default(),
            limits: Limits::default(),
        }
    }
}
impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            migrate_url: None,
            pool_max: 32,
            acquire_timeout_secs: 5,
            statement_timeout_secs: 10,
        }
    }
}
impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_token_secs: 300,
            code_secs: 60,
            refresh_idle_secs: 86_400,
            refresh_absolute_secs: 2_592_000,
            refresh_grace_secs: 10,
            scim_token_secs: 3_600,
            signing_key_rotate_secs: 7_776_000,
        }
    }
}
impl Default for Sessions {
    fn default() -> Self {
        Self { idle_secs: 28_800, absolute_secs: 86_400 }
    }
}
impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}
impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1_048_576,
            body_secs: 30,
            credential_requests_per_sec: 100,
            org_requests_per_sec: 200,
        }
    }
}

fn hidden<S: Serializer>(value: &Option<Secret<String>>, s: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(|_| "[secret]").serialize(s)
}
fn secret<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Secret<String>>, D::Error> {
    Ok(Option::<String>::deserialize(d)?.map(Secret::new))
}

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("cannot read {path}: {why}; give the path of a TOML file after --config")]
    Unreadable { path: PathBuf, why: std::io::Error },
    #[error("{path} is not TOML: {why}")]
    NotToml { path: PathBuf, why: Box<toml::de::Error> },
    #[error("unknown setting {key}; {hint}")]
    Unknown { key: String, hint: String },
    #[error("{key} must be {wanted}")]
    Wrong { key: String, wanted: String },
}

fn wrong(key: &str, wanted: impl Into<String>) -> SettingsError {
    SettingsError::Wrong { key: key.into(), wanted: wanted.into() }
}

impl Settings {
    /// The file's values, overlaid by those of the environment (an empty variable counts as absent).
    ///
    /// # Errors
    /// An unreadable file, an unknown key or variable, a value outside its bounds.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let mut values = match file {
            None => BTreeMap::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|why| SettingsError::Unreadable { path: path.into(), why })?;
                let table = text
                    .parse::<Table>()
                    .map_err(|why| SettingsError::NotToml { path: path.into(), why: Box::new(why) })?;
                keys::flatten(table)
            }
        };
        keys::overlay(&mut values, environment)?;
        Self::assemble(values)
    }

    fn assemble(values: BTreeMap<String, Value>) -> Result<Self, SettingsError> {
        let mut root = Table::new();
        for (key, value) in values {
            keys::check(&key, &value)?;
            match key.split_once('.') {
                None => {
                    root.insert(key, value);
                }
                Some((section, name)) => {
                    let entry = root.entry(section).or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(table) = entry {
                        table.insert(name.into(), value);
                    }
                }
            }
        }
        let mut settings: Self = Value::Table(root)
            .try_into()
            .map_err(|why: toml::de::Error| wrong("a setting", why.message()))?;
        settings.public_url = origin(&settings.public_url)?;
        settings.agree()?;
        Ok(settings)
    }

    /// What no single key can decide.
    fn agree(&self) -> Result<(), SettingsError> {
        self.egress.name_servers()?;
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return Err(wrong("tls.cert_file", "given together with tls.key_file"));
        }
        if self.tokens.refresh_idle_secs > self.tokens.refresh_absolute_secs {
            return Err(wrong("tokens.refresh_idle_secs", "at most tokens.refresh_absolute_secs"));
        }
        if self.sessions.idle_secs > self.sessions.absolute_secs {
            return Err(wrong("sessions.idle_secs", "at most sessions.absolute_secs"));
        }
        self.telemetry.agree()?;
        Ok(())
    }

    /// Is the public URL plain http on this machine? Then cookies cannot be `Secure`.
    pub fn insecure_loopback(&self) -> bool {
        self.public_url.starts_with("http://")
    }

    /// Where the seal keys lie.
    pub fn seal_key_path(&self) -> PathBuf {
        self.seal_key_file.clone().unwrap_or_else(|| self.data_dir.join("seal.keys"))
    }
}

/// Reads an origin. Plain http is for this machine alone: over a network it hands every token to whoever listens.
fn origin(text: &str) -> Result<String, SettingsError> {
    let bad = |wanted: &str| wrong("public_url", wanted);
    let url = Url::parse(text).map_err(|_| bad("a URL such as https://login.example.com"))?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return Err(bad("an origin: scheme, host and port, with no path, query or user"));
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err(bad("https; plain http is taken on localhost alone")),
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
        let mut values = keys::flatten(toml.parse().unwrap());
        let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        keys::overlay(&mut values, env).and_then(|()| Settings::assemble(values)).map_err(|e| e.to_string())
    }

    #[test]
    fn the_environment_overrules_the_file_and_empty_is_absent() {
        let s = load(
            "[tokens]\naccess_token_secs = 200\ncode_secs = 20",
            &[
                ("VESTIBULE_TOKENS__ACCESS_TOKEN_SECS", "100"),
                ("VESTIBULE_TOKENS__CODE_SECS", ""),
                ("VESTIBULE_EGRESS__ALLOW_LOOPBACK", "true"),
                ("DATABASE_URL", "postgres://u:hunter2@db/v"),
                ("VESTIBULE_SERVICE_HOST", "10.0.0.1"),
                ("VESTIBULE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ],
        )
        .unwrap();
        assert_eq!((s.tokens.access_token_secs, s.tokens.code_secs), (100, 20));
        assert!(s.egress.allow_loopback);
        assert_eq!(s.database.url.as_ref().unwrap().reveal(), "postgres://u:hunter2@db/v");
        assert!(!format!("{s:?}").contains("hunter2"), "a password never prints");
        assert!(!serde_json::to_string(&s).unwrap().contains("hunter2"));
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_named() {
        let file = load("[tokens]\nacces_token_sec = 1", &[]).unwrap_err();
        assert_eq!(file, "unknown setting tokens.acces_token_sec; did you mean tokens.access_token_secs?");
        let env = load("", &[("VESTIBULE_EGRESS__ALLOW_LOPBACK", "true")]).unwrap_err();
        assert_eq!(
            env,
            "unknown setting VESTIBULE_EGRESS__ALLOW_LOPBACK; did you mean VESTIBULE_EGRESS__ALLOW_LOOPBACK?"
        );
        assert!(load("tokens = 3", &[]).is_err());
        assert!(load("[public_url]\nx = 3", &[]).is_err());
    }

    #[test]
    fn bounds_hold_at_the_bound_and_one_beyond() {
        assert!(load("[tokens]\naccess_token_secs = 900", &[]).is_ok());
        assert!(load("[tokens]\naccess_token_secs = 901", &[]).unwrap_err().contains("30 to 900"));
        assert!(load("[tokens]\naccess_token_secs = 29", &[]).is_err());
        assert!(load("[tokens]\naccess_token_secs = \"300\"", &[]).is_err());
        assert!(load("", &[("VESTIBULE_TOKENS__ACCESS_TOKEN_SECS", "300s")]).is_err());
        assert!(load("[log]\nformat = \"xml\"", &[]).unwrap_err().contains("json or text"));
        let listen = load("", &[("VESTIBULE_LISTEN", "localhost:8080")]).unwrap_err();
        assert!(listen.starts_with("listen must be IP:port"), "{listen}");
        let database = load("", &[("DATABASE_URL", "mysql://u:hunter2@x")]).unwrap_err();
        assert!(database.starts_with("database.url must be") && !database.contains("hunter2"), "{database}");
        assert!(load("", &[("REDIS_URL", "foo")]).unwrap_err().contains("redis://"));
        assert!(load("", &[("REDIS_URL", "unix:///run/redis.sock")]).is_ok());
        assert!(load("[sessions]\nidle_secs = 90000", &[]).unwrap_err().contains("at most"));
        assert!(load("[tls]\ncert_file = \"a.pem\"", &[]).unwrap_err().contains("together"));
        let servers = |text: &str| load("", &[("VESTIBULE_EGRESS__NAME_SERVERS", text)]);
        assert!(servers("9.9.9.9, [2620:fe::9]:53,192.0.2.1").is_ok());
        assert!(servers("9.9.9.9,9.9.9.9,9.9.9.9,9.9.9.9").unwrap_err().contains("1 to 3"));
        assert!(servers("dns.example").is_err());
    }

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        let of = |url: &str| load("", &[("VESTIBULE_PUBLIC_URL", url)]).map(|s| s.public_url);
        for good in ["http://localhost:8080", "http://127.0.0.1", "http://[::1]:80", "http://a.localhost:1"] {
            assert!(of(good).is_ok(), "{good}");
        }
        for bad in
            ["http://login.example.com", "http://localhost.evil.com", "http://10.0.0.1", "ftp://localhost"]
        {
            assert!(of(bad).unwrap_err().contains("https"), "{bad}");
        }
        for bad in ["https://a.com/x", "https://a.com?x", "https://u@a.com", "https://a.com#f", "a.com"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert_eq!(of("https://Login.Example.com:443/").unwrap(), "https://login.example.com");
    }
}
