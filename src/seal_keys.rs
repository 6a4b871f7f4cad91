//! The keys that seal what is stored and what a browser carries. A file of lines `k`, 8 hexadecimal
//! digits, a colon, base64 of 32 bytes: the first seals, all of them open, so that a rotation is one
//! line put on top. Made with mode 0600 when absent; refused when others may read it.

use base64::{Engine, engine::general_purpose::STANDARD};
use model::{Chance, Secret, ids::random32};
use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use token::seal::SealKeyId;

/// One seal key: what names it, and its 32 bytes.
#[derive(Debug, Clone)]
pub struct SealKey {
    pub id: SealKeyId,
    pub bytes: Secret<[u8; 32]>,
}

#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {
    #[error("cannot use the seal keys in {path}: {why}")]
    Io { path: PathBuf, why: std::io::Error },
    #[error("{path} may be read by others (mode {mode:o}); run: chmod 600 {path}")]
    Open { path: PathBuf, mode: u32 },
    #[error("{path}, line {line}: wanted k and 8 hexadecimal digits, a colon, base64 of 32 bytes")]
    Malformed { path: PathBuf, line: usize },
    #[error("{path} holds no key, or more than {KEYS_MAX}, or one id twice")]
    Count { path: PathBuf },
}

/// A rotation a quarter for four years; each is tried when something is opened.
const KEYS_MAX: usize = 16;
const ID_DIGITS: usize = 8;

/// Reads the keys, the current one first; makes the file with one new key when there is none.
///
/// # Errors
/// A file others may read, a malformed line, no key, an unwritable folder.
pub fn load_or_create(path: &Path, chance: &dyn Chance) -> Result<Vec<SealKey>, SealKeyError> {
    let failed = |why| SealKeyError::Io { path: path.into(), why };
    match fs::symlink_metadata(path) {
        Ok(_) => {}
        Err(why) if why.kind() == ErrorKind::NotFound => create(path, chance).map_err(failed)?,
        Err(why) => return Err(failed(why)),
    }
    load(path)
}

/// Reads the keys, the current one first; makes nothing.
///
/// # Errors
/// No file, a file others may read, a malformed line, no key.
pub fn load(path: &Path) -> Result<Vec<SealKey>, SealKeyError> {
    let failed = |why| SealKeyError::Io { path: path.into(), why };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 || mode & 0o020 != 0 {
        return Err(SealKeyError::Open { path: path.into(), mode });
    }
    let text = Secret::new(fs::read_to_string(path).map_err(failed)?);
    parse(text.reveal()).map_err(|fault| match fault {
        Fault::Line(line) => SealKeyError::Malformed { path: path.into(), line },
        Fault::Count => SealKeyError::Count { path: path.into() },
    })
}

/// Written whole beside it, then linked into place: two starts at once end with one file.
fn create(path: &Path, chance: &dyn Chance) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = [0; 8];
    chance.fill(&mut name);
    let name = u64::from_be_bytes(name);
    let draft = folder.join(format!(".seal.{name:016x}"));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let key = Secret::new(STANDARD.encode(random32(chance)));
    let written = writeln!(file, "k{:08x}:{}", name >> 32, key.reveal()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match linked {
        Err(why) if why.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

enum Fault {
    Line(usize),
    Count,
}

fn parse(text: &str) -> Result<Vec<SealKey>, Fault> {
    let mut keys: Vec<SealKey> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = one(line).ok_or(Fault::Line(index + 1))?;
        if keys.iter().any(|known| known.id == key.id) {
            return Err(Fault::Count);
        }
        keys.push(key);
    }
    if keys.is_empty() || keys.len() > KEYS_MAX { Err(Fault::Count) } else { Ok(keys) }
}

fn one(line: &str) -> Option<SealKey> {
    let (id, encoded) = line.split_once(':')?;
    let digits =
        id.strip_prefix('k').filter(|d| d.len() == ID_DIGITS && d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let id = SealKeyId(u32::from_str_radix(digits, 16).ok()?);
    let decoded = Secret::new(STANDARD.decode(encoded).ok()?);
    let bytes = <[u8; 32]>::try_from(decoded.reveal().as_slice()).ok()?;
    Some(SealKey { id, bytes: Secret::new(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::SystemChance;

    #[test]
    fn made_once_read_again_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/seal.keys");
        let first = load_or_create(&path, &SystemChance).unwrap();
        let again = load_or_create(&path, &SystemChance).unwrap();
        assert_eq!(first.len(), 1);
        assert_eq!(first[0].id, again[0].id);
        assert!(first[0].bytes == again[0].bytes);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(&path, &SystemChance), Err(SealKeyError::Open { mode: 0o644, .. })));
    }

    #[test]
    fn the_first_line_is_current_and_a_bad_line_is_named() {
        let (a, b) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        let keys = parse(&format!("# rotated\nk0000000b:{a}\n\nkDEADBEEF:{b}\n")).ok().unwrap();
        assert_eq!(keys.iter().map(|k| k.id.0).collect::<Vec<_>>(), [11, 0xdead_beef]);
        let short = STANDARD.encode([1; 31]);
        let second = [
            format!("k00000002:{short}"),
            format!(":{a}"),
            format!("k00000002 {a}"),
            format!("new:{a}"),
            format!("k2:{a}"),
            format!("k+0000002:{a}"),
            format!("k0000000g:{a}"),
        ];
        for bad in second.map(|line| format!("k00000001:{a}\n{line}")) {
            assert!(matches!(parse(&bad), Err(Fault::Line(2))), "{bad}");
        }
        assert!(matches!(parse("# none"), Err(Fault::Count)));
        assert!(
            matches!(parse(&format!("k0000000a:{a}\nk0000000A:{b}")), Err(Fault::Count)),
            "one id, two keys"
        );
        let many = |n: usize| (0..n).map(|i| format!("k{i:08x}:{a}\n")).collect::<String>();
        assert!(parse(&many(KEYS_MAX)).is_ok());
        assert!(matches!(parse(&many(KEYS_MAX + 1)), Err(Fault::Count)));
    }
}
