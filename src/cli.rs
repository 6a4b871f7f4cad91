//! The words of the command line, and what they mean. Knows nothing of what the commands do.

use lexopt::{Arg, Parser, ValueExt};
use model::{SigningAlg, ids::KeyId};
use std::{ffi::OsString, net::SocketAddr, path::PathBuf};
use store::LastKey;
use token::key_life::Haste;

const HELP: &str = "\
Vestibule: SAML and OIDC in, SCIM in, JWTs out.

Usage: vestibule <command> [options]

  serve          Serves, with the jobs beside it; migrates first when the database is its own.
                   vestibule serve --config /etc/vestibule.toml
  demo           Two companies, their identity providers and an app, on this machine alone.
                   vestibule demo --port 8080      (--reset forgets its data, --check walks it and ends)
  migrate        Brings the database to this version.
                   vestibule migrate --config /etc/vestibule.toml
  keys create    A new platform key; it alone goes to stdout, once.
                   vestibule keys create --platform --name operations
  keys list      Every platform key, a line each, revoked ones too; --json as the API shows them.
                   vestibule keys list
  keys revoke    Ends a platform key at once, by its id; the last one that lives with --force alone.
                   vestibule keys revoke key_01m7zvjwsff3e8zcnrp5m20y8s
  keys signing   Every signing key, a line each: algorithm, state, dates; --json for programs.
                   vestibule keys signing
  keys rotate    The next signing key signs from now on; --force although not every JWKS has it yet.
                   vestibule keys rotate --alg ES256
  keys withdraw  A signing key is good for nothing at once, and nothing that it signed is.
                   vestibule keys withdraw KID
  recover        After a backup was restored: ends every session and token, by heads no stamp can reach.
                   vestibule recover --config /etc/vestibule.toml --yes
  check-config   Reads every setting and starts nothing; --json prints them, secrets hidden.
                   vestibule check-config --config /etc/vestibule.toml
  check-health   Asks a running server whether it lives; exit code 0 when it does.
                   vestibule check-health --url http://127.0.0.1:8080/healthz

Options:
  --config FILE  A TOML file; every key is in config/vestibule.example.toml.
                 VESTIBULE_<SECTION>__<KEY> in the environment overrules it.
  --help         This text.
  --version      The version.

Exit codes: 0 done, 1 failed, 2 wrong use.
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Help(&'static str),
    Version,
    Run(Command),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Serve { config: Option<PathBuf> },
    Demo { config: Option<PathBuf>, port: u16, reset: bool, check: bool },
    Migrate { config: Option<PathBuf> },
    CreatePlatformKey { config: Option<PathBuf>, name: String },
    ListPlatformKeys { config: Option<PathBuf>, json: bool },
    RevokePlatformKey { config: Option<PathBuf>, id: KeyId, last: LastKey },
    ListSigningKeys { config: Option<PathBuf>, json: bool },
    RotateSigningKey { config: Option<PathBuf>, alg: SigningAlg, haste: Haste },
    WithdrawSigningKey { config: Option<PathBuf>, kid: String },
    Recover { config: Option<PathBuf> },
    CheckConfig { config: Option<PathBuf>, json: bool },
    CheckHealth { config: Option<PathBuf>, url: Option<String> },
}

const COMMANDS: &str = "serve, demo, migrate, keys, recover, check-config, check-health";
const DEMO_PORT: u16 = 8080;
const DEMO_PORTS: u16 = 5;

/// Every option there is; each command takes some of them.
#[derive(Default)]
struct Options {
    config: Option<PathBuf>,
    json: bool,
    url: Option<String>,
    port: Option<u16>,
    reset: bool,
    check: bool,
    platform: bool,
    name: Option<String>,
    force: bool,
    yes: bool,
    alg: Option<SigningAlg>,
    /// What stands after `keys`: the verb, and a key's id or name.
    verb: Option<String>,
    key: Option<String>,
}

/// Reads the words, the program's name first.
///
/// # Errors
/// An unknown command or option, or one the command does not take.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Words, lexopt::Error> {
    let mut parser = Parser::from_iter(words);
    let mut command: Option<String> = None;
    let mut options = Options::default();
    while let Some(word) = parser.next()? {
        match (word, command.as_deref()) {
            (Arg::Short('h') | Arg::Long("help"), _) => return Ok(Words::Help(HELP)),
            (Arg::Short('V') | Arg::Long("version"), _) => return Ok(Words::Version),
            (Arg::Value(value), None) => command = Some(value.string()?),
            (Arg::Long("config"), _) => options.config = Some(parser.value()?.into()),
            (Arg::Long("json"), None | Some("check-config" | "keys")) => options.json = true,
            (Arg::Long("url"), None | Some("check-health")) => options.url = Some(parser.value()?.string()?),
            (Arg::Long("port"), None | Some("demo")) => options.port = Some(port(&parser.value()?)?),
            (Arg::Long("reset"), None | Some("demo")) => options.reset = true,
            (Arg::Long("check"), None | Some("demo")) => options.check = true,
            (Arg::Long("yes"), None | Some("recover")) => options.yes = true,
            (Arg::Value(value), Some("keys")) if options.verb.is_none() => {
                options.verb = Some(value.string()?)
            }
            (Arg::Value(value), Some("keys")) if options.key.is_none() => options.key = Some(value.string()?),
            (Arg::Long("alg"), Some("keys")) => options.alg = Some(alg(&parser.value()?)?),
            (Arg::Long("platform"), Some("keys")) => options.platform = true,
            (Arg::Long("force"), Some("keys")) => options.force = true,
            (Arg::Long("name"), Some("keys")) => options.name = Some(parser.value()?.string()?),
            (other, _) => return Err(other.unexpected()),
        }
    }
    meaning(command.as_deref(), options)
}

/// The demo takes five ports from this one on.
fn port(word: &OsString) -> Result<u16, lexopt::Error> {
    let read = word.to_str().and_then(|text| text.parse().ok());
    let last = u16::MAX - DEMO_PORTS + 1;
    let wanted = || format!("--port must be a number from 1 to {last}, not {word:?}").into();
    read.filter(|port| (1..=last).contains(port)).ok_or_else(wanted)
}

fn key(word: &str) -> Result<KeyId, lexopt::Error> {
    word.parse().map_err(|_| format!("{word:?} is no key's id: `vestibule keys list` shows them").into())
}

fn alg(word: &OsString) -> Result<SigningAlg, lexopt::Error> {
    let read = word.to_str().and_then(SigningAlg::parse);
    read.ok_or_else(|| format!("--alg must be ES256, EdDSA or RS256, not {word:?}").into())
}

fn keys(options: Options) -> Result<Words, lexopt::Error> {
    if let Some("signing" | "rotate" | "withdraw") = options.verb.as_deref() {
        return signing_keys(options);
    }
    let Options { config, json, platform, name, force, verb, key: word, alg, .. } = options;
    if alg.is_some() {
        return Err("--alg is for: vestibule keys rotate".into());
    }
    let key = word.as_deref().map(key).transpose()?;
    // To list or revoke a platform key, nobody has to say that it is one.
    let command = match (verb.as_deref(), platform, name, key, json, force) {
        (Some("create"), true, Some(name), None, false, false) => Command::CreatePlatformKey { config, name },
        (Some("list"), _, None, None, json, false) => Command::ListPlatformKeys { config, json },
        (Some("revoke"), _, None, Some(id), false, force) => {
            let last = if force { LastKey::Revoked } else { LastKey::Kept };
            Command::RevokePlatformKey { config, id, last }
        }
        (Some("list"), ..) => return Err("say: vestibule keys list [--json]".into()),
        (Some("revoke"), ..) => return Err("say: vestibule keys revoke KEY_ID [--force]".into()),
        (Some("create"), ..) => return Err("say: vestibule keys create --platform --name NAME".into()),
        (other, ..) => {
            let verb = other.map_or_else(|| "say what".to_owned(), |verb| format!("no {verb:?} of keys"));
            return Err(format!("{verb}: create, list, revoke, signing, rotate or withdraw").into());
        }
    };
    Ok(Words::Run(command))
}

fn signing_keys(options: Options) -> Result<Words, lexopt::Error> {
    let Options { config, json, platform, name, force, verb, key, alg, .. } = options;
    if platform || name.is_some() {
        return Err("a signing key has no --name and is no --platform key".into());
    }
    let command = match (verb.as_deref(), key, alg, json, force) {
        (Some("signing"), None, None, json, false) => Command::ListSigningKeys { config, json },
        (Some("rotate"), None, alg, false, force) => {
            let haste = if force { Haste::Now } else { Haste::Published };
            Command::RotateSigningKey { config, alg: alg.unwrap_or(SigningAlg::Es256), haste }
        }
        (Some("withdraw"), Some(kid), None, false, false) => Command::WithdrawSigningKey { config, kid },
        (Some("signing"), ..) => return Err("say: vestibule keys signing [--json]".into()),
        (Some("rotate"), ..) => {
            return Err("say: vestibule keys rotate [--alg ES256|EdDSA|RS256] [--force]".into());
        }
        _ => return Err("say: vestibule keys withdraw KID".into()),
    };
    Ok(Words::Run(command))
}

fn meaning(command: Option<&str>, options: Options) -> Result<Words, lexopt::Error> {
    if command == Some("keys") {
        return keys(options);
    }
    let Options { config, json, url, port, reset, check, yes, .. } = options;
    match command {
        Some("help") => Ok(Words::Help(HELP)),
        Some("serve") => Ok(Words::Run(Command::Serve { config })),
        Some("demo") => {
            let port = port.unwrap_or(DEMO_PORT);
            Ok(Words::Run(Command::Demo { config, port, reset, check }))
        }
        Some("migrate") => Ok(Words::Run(Command::Migrate { config })),
        Some("recover") if yes => Ok(Words::Run(Command::Recover { config })),
        Some("recover") => {
            Err("recover signs everybody out, in every org; with all servers stopped, say: vestibule recover --yes".into())
        }
        Some("check-config") => Ok(Words::Run(Command::CheckConfig { config, json })),
        Some("check-health") => Ok(Words::Run(Command::CheckHealth { config, url })),
        Some(other) => Err(format!("no command {other:?}; there are {COMMANDS}").into()),
        None => Err(format!("say a command: {COMMANDS}").into()),
    }
}

/// Where the listener at this address says that it lives.
pub(crate) fn health_url(listen: SocketAddr) -> String {
    let mut reached = listen;
    if listen.ip().is_unspecified() {
        // A server on every address is on loopback too.
        reached.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{reached}/healthz")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Words, String> {
        let words = std::iter::once("vestibule").chain(line.split_whitespace()).map(OsString::from);
        parse(words).map_err(|why| why.to_string())
    }

    #[test]
    fn words_mean_commands_and_strange_ones_are_named() {
        let config = Some(PathBuf::from("a.toml"));
        let wanted = Words::Run(Command::CheckConfig { config: config.clone(), json: true });
        assert_eq!(read("check-config --config a.toml --json"), Ok(wanted));
        let wanted = Words::Run(Command::CheckHealth { config, url: Some("http://x".into()) });
        assert_eq!(read("check-health --url=http://x --config=a.toml"), Ok(wanted));
        assert_eq!(read("--version"), Ok(Words::Version));
        assert_eq!(read("help"), Ok(Words::Help(HELP)));
        assert!(read("demo --port abc").unwrap_err().starts_with("--port must be a number"));
        assert!(read("demo --port 65531").is_ok() && read("demo --port 65532").is_err());
        assert_eq!(read("check-config --help"), Ok(Words::Help(HELP)));
        assert!(read("chek-config").unwrap_err().contains("check-config"));
        for bad in [
            "",
            "keys",
            "keys create --name x",
            "keys create --platform --name x --json",
            "keys make",
            "keys list key_00000000000000000000000000",
            "keys list --force",
            "keys list --name x",
            "keys revoke",
            "keys revoke key_1",
            "keys revoke usr_00000000000000000000000000",
            "keys revoke key_00000000000000000000000000 --json",
            "keys revoke key_00000000000000000000000000 key_00000000000000000000000000",
            "keys list --alg ES256",
            "keys signing --force",
            "keys signing KID",
            "keys rotate KID",
            "keys rotate --alg es256",
            "keys rotate --alg HS256",
            "keys rotate --json",
            "keys withdraw",
            "keys withdraw a b",
            "keys withdraw a --force",
            "keys withdraw a --alg ES256",
            "keys rotate --platform",
            "recover",
            "recover --force",
            "serve --yes",
            "serve --port 1",
            "demo --port x",
            "check-config extra",
            "check-config --url x",
            "check-health --json",
            "--nope",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let id: KeyId = "key_00000000000000000000000000".parse().unwrap();
        for (more, last) in
            [("", LastKey::Kept), ("--force", LastKey::Revoked), ("--platform", LastKey::Kept)]
        {
            let wanted = Command::RevokePlatformKey { config: None, id, last };
            assert_eq!(read(&format!("keys revoke {id} {more}")), Ok(Words::Run(wanted)));
        }
        for (more, json) in [("", false), ("--json", true), ("--platform", false)] {
            let wanted = Command::ListPlatformKeys { config: None, json };
            assert_eq!(read(&format!("keys list {more}")), Ok(Words::Run(wanted)));
        }
        for (more, alg, haste) in [
            ("", SigningAlg::Es256, Haste::Published),
            ("--alg RS256", SigningAlg::Rs256, Haste::Published),
            ("--force", SigningAlg::Es256, Haste::Now),
        ] {
            let wanted = Command::RotateSigningKey { config: None, alg, haste };
            assert_eq!(read(&format!("keys rotate {more}")), Ok(Words::Run(wanted)));
        }
        let wanted = Command::WithdrawSigningKey { config: None, kid: "k".to_owned() };
        assert_eq!(read("keys withdraw k"), Ok(Words::Run(wanted)));
        assert_eq!(read("recover --yes"), Ok(Words::Run(Command::Recover { config: None })));
        assert!(read("recover").unwrap_err().contains("recover --yes"));
        assert!(read("keys revoke key_1").unwrap_err().contains("vestibule keys list"));
        for command in COMMANDS.split(", ") {
            assert!(HELP.contains(&format!("vestibule {command}")), "{command} has an example");
        }
    }

    #[test]
    fn health_is_asked_where_the_server_can_be_reached() {
        let of = |text: &str| health_url(text.parse().unwrap());
        assert_eq!(of("0.0.0.0:8080"), "http://127.0.0.1:8080/healthz");
        assert_eq!(of("[::]:80"), "http://[::1]:80/healthz");
        assert_eq!(of("127.0.0.1:9"), "http://127.0.0.1:9/healthz");
    }
}
