//! The command line.

use lexopt::{Arg, Parser, ValueExt};
use std::{ffi::OsString, path::PathBuf, time::Duration};

pub const HELP: &str = "\
Grades a SCIM 2.0 server: RFC 7643, RFC 7644, RFC 9865, and what the identity providers' clients send.

Usage: scim-tests --base URL [--token T] [options]

  --base URL        The server's base, without /Users at its end
  --token T         Bearer token; SCIM_TOKEN in the environment does too. Without one, nothing is
                    sent for it, and the cases on authentication are skipped
  --other-token T   Token of another tenant of the same server (or SCIM_OTHER_TOKEN): nothing of one
                    tenant may be seen or changed by the other
  --other-base URL  Where that other tenant is served, if the base tells tenants apart
  --profile NAMES   all (the usual), rfc, clients, or clients by name, with commas between:
                    okta, entra, onelogin, jumpcloud, google, ping, rippling
  --only TEXT       Only cases whose id, rule, client or chapter contains TEXT; may stand several times
  --skip TEXT       Not those; the same
  --list            List the cases, run none
  --format F        terminal (the usual), json, junit
  --out FILE        Write the report there; the terminal then shows the short one
  --strict          A SHOULD counts like a MUST for the exit code
  --timeout SECS    For one answer (30), 1 to 600
  --burst N         How many creations of one name the race sends (1000), 2 to 5000
  --domain NAME     Of the user names and addresses made (scim-tests.example)
  --ca FILE         PEM of a private certificate authority
  --quiet           No progress on stderr
  -h, --help

It makes users and groups named st-… and removes them again. The exit code is 0 when every MUST passes,
1 when one does not, 2 when the command is wrong or nothing could be judged.
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Terminal,
    Json,
    Junit,
}

#[derive(Clone, Debug)]
pub struct Args {
    pub base: String,
    pub token: Option<String>,
    pub other_token: Option<String>,
    pub other_base: Option<String>,
    pub profile: Vec<String>,
    pub only: Vec<String>,
    pub skip: Vec<String>,
    pub list: bool,
    pub format: Format,
    pub out: Option<PathBuf>,
    pub strict: bool,
    pub timeout: Duration,
    pub burst: usize,
    pub domain: String,
    pub ca: Option<PathBuf>,
    pub quiet: bool,
}

pub enum Asked {
    Run(Box<Args>),
    Help,
}

/// Reads the words, the program's name first. `env` gives the environment's variables.
pub fn parse(
    words: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Asked, String> {
    read(words, env).map_err(|why| why.to_string())
}

fn read(
    words: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Asked, lexopt::Error> {
    let mut args = Args {
        base: String::new(),
        token: env("SCIM_TOKEN").filter(|token| !token.is_empty()),
        other_token: env("SCIM_OTHER_TOKEN").filter(|token| !token.is_empty()),
        other_base: None,
        profile: Vec::new(),
        only: Vec::new(),
        skip: Vec::new(),
        list: false,
        format: Format::Terminal,
        out: None,
        strict: false,
        timeout: Duration::from_secs(30),
        burst: 1000,
        domain: "scim-tests.example".into(),
        ca: None,
        quiet: false,
    };
    let mut parser = Parser::from_iter(words);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("base") => args.base = url(&mut parser)?,
            Arg::Long("other-base") => args.other_base = Some(url(&mut parser)?),
            Arg::Long("token") => args.token = Some(parser.value()?.string()?),
            Arg::Long("other-token") => args.other_token = Some(parser.value()?.string()?),
            Arg::Long("profile") => {
                let names = parser.value()?.string()?.to_lowercase();
                args.profile.extend(names.split(',').map(|name| name.trim().to_owned()));
            }
            Arg::Long("only") => args.only.push(parser.value()?.string()?.to_lowercase()),
            Arg::Long("skip") => args.skip.push(parser.value()?.string()?.to_lowercase()),
            Arg::Long("list") => args.list = true,
            Arg::Long("format") => args.format = parser.value()?.parse_with(format)?,
            Arg::Long("out") => args.out = Some(parser.value()?.into()),
            Arg::Long("strict") => args.strict = true,
            Arg::Long("timeout") => {
                let secs = parser.value()?.parse_with(|text| within(text, 1, 600))?;
                args.timeout = Duration::from_secs(secs);
            }
            Arg::Long("burst") => {
                let burst = parser.value()?.parse_with(|text| within(text, 2, 5000))?;
                args.burst = usize::try_from(burst).unwrap_or(usize::MAX);
            }
            Arg::Long("domain") => args.domain = parser.value()?.string()?,
            Arg::Long("ca") => args.ca = Some(parser.value()?.into()),
            Arg::Long("quiet") => args.quiet = true,
            Arg::Short('h') | Arg::Long("help") => return Ok(Asked::Help),
            other => return Err(other.unexpected()),
        }
    }
    if !args.list && args.base.is_empty() {
        return Err("--base is missing: the URL of the server".into());
    }
    Ok(Asked::Run(Box::new(args)))
}

fn url(parser: &mut Parser) -> Result<String, lexopt::Error> {
    let text = parser.value()?.string()?;
    if text.starts_with("http://") || text.starts_with("https://") {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(format!("{text} is no http or https URL").into())
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "terminal" => Ok(Format::Terminal),
        "json" => Ok(Format::Json),
        "junit" => Ok(Format::Junit),
        _ => Err("terminal, json or junit".into()),
    }
}

fn within(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let number: u64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (least..=most).contains(&number) { Ok(number) } else { Err(format!("must be {least} to {most}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Result<Box<Args>, String> {
        let words = std::iter::once("scim-tests").chain(line.split(' ')).map(OsString::from);
        match parse(words, |name| (name == "SCIM_TOKEN").then(|| "from-env".into()))? {
            Asked::Run(args) => Ok(args),
            Asked::Help => Err("help".into()),
        }
    }

    #[test]
    fn the_words_are_read_and_bounded() {
        let args = asked("--base https://x/scim/ --profile okta,Entra --only Patch --timeout 5").unwrap();
        assert_eq!(args.base, "https://x/scim");
        assert_eq!(args.token.as_deref(), Some("from-env"));
        assert_eq!(args.profile, ["okta", "entra"]);
        assert_eq!((args.only, args.timeout), (vec!["patch".to_owned()], Duration::from_secs(5)));
        assert_eq!(asked("--base https://x --token t").unwrap().token.as_deref(), Some("t"));
        for wrong in [
            "--token t",
            "--base ftp://x",
            "--base http://x --burst 1",
            "--base http://x --burst 5001",
            "--base http://x --timeout 0",
            "--base http://x --format xml",
            "--base http://x --nonsense",
        ] {
            assert!(asked(wrong).is_err(), "{wrong}");
        }
    }
}
