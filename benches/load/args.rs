//! The words after `--`.

const HELP: &str = "\
cargo bench -p vestibule --bench load [-- options] [stages]

Stages, all when none is named:
  signin      sign-in, introspection, /forward-auth by a pass, JWKS, client credentials, refresh, session check
  scim        creates and deactivations over 32 orgs and in one, and by pgbench
  sync        a first synchronisation: look up and create each person, then the groups
  members     one member more in a large group and in a small one
  deactivate  active:false and a plain attribute, in turn
  filter      userName eq in a small directory and in a large one
  latency     deactivations, until 200 and 1,000 connected verifiers refuse
  noisy       one org at 50 times its share while others sign in
  crowd       twenty orgs' directories as fast as they are served while somebody signs in now and then

Options:
  --secs N      of each figure that is no count (5)
  --orgs N      that are there besides (10)
  --users N     of the first synchronisation (100000)
  --groups N    of it (5000)
  --large N     members of the large group (50000; no more than users)
  --million N   people of the large directory, written by SQL (1000000)
  --apart       the gateway and its stores on one core, the clients on another
";

pub struct Args {
    pub secs: u64,
    pub orgs: usize,
    pub users: u64,
    pub groups: u64,
    pub large: usize,
    pub million: u64,
    pub apart: bool,
    stages: Vec<String>,
}

const STAGES: [&str; 9] =
    ["signin", "scim", "sync", "members", "deactivate", "filter", "latency", "noisy", "crowd"];

impl Args {
    pub fn wants(&self, stage: &str) -> bool {
        self.stages.is_empty() || self.stages.iter().any(|one| one == stage)
    }

    /// Ends the process when the words are not understood.
    pub fn read() -> Self {
        let mut args = Self {
            secs: 5,
            orgs: 10,
            users: 100_000,
            groups: 5_000,
            large: 50_000,
            million: 1_000_000,
            apart: false,
            stages: Vec::new(),
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number =
                || words.next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_else(|| end(&word));
            match word.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--help" => {
                    println!("{HELP}");
                    std::process::exit(0)
                }
                "--secs" => args.secs = number(),
                "--orgs" => args.orgs = number() as usize,
                "--users" => args.users = number(),
                "--groups" => args.groups = number(),
                "--large" => args.large = number() as usize,
                "--million" => args.million = number(),
                "--apart" => args.apart = true,
                stage if STAGES.contains(&stage) => args.stages.push(word),
                _ => end(&word),
            }
        }
        args
    }
}

fn end(word: &str) -> ! {
    eprintln!("load: {word}\n\n{HELP}");
    std::process::exit(2)
}
