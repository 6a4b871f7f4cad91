//! TLS for the listener, when it does not end at a proxy: a PEM chain and its key become a server
//! configuration. Certificates and keys are read once, at start; TLS 1.2 and 1.3 alone.

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {what} from {path}: {why}")]
    Unreadable { what: &'static str, path: PathBuf, why: String },
    #[error("{path} holds no certificate")]
    Empty { path: PathBuf },
    #[error("certificate and key do not serve together: {0}")]
    Mismatch(rustls::Error),
}

/// Reads the chain (leaf first) and its key. The listener adds the protocols it speaks.
///
/// # Errors
/// A file that cannot be read or is not PEM, no certificate in it, a key of another certificate.
pub fn server_config(cert_file: &Path, key_file: &Path) -> Result<ServerConfig, TlsError> {
    let unreadable = |what, path: &Path| {
        let path = path.to_path_buf();
        move |why: rustls::pki_types::pem::Error| TlsError::Unreadable { what, path, why: why.to_string() }
    };
    let chain = CertificateDer::pem_file_iter(cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable("the certificates", cert_file))?;
    if chain.is_empty() {
        return Err(TlsError::Empty { path: cert_file.into() });
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(unreadable("the key", key_file))?;
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(TlsError::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, process::Command};

    fn pair(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (cert, key) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        let done = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-days", "1", "-subj", "/CN=localhost", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&cert)
            .output()
            .unwrap();
        assert!(done.status.success());
        (cert, key)
    }

    #[test]
    fn a_pair_serves_and_a_strange_key_or_an_empty_file_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = pair(folder.path(), "a");
        let (_, strange) = pair(folder.path(), "b");
        assert!(server_config(&cert, &key).is_ok());
        assert!(matches!(server_config(&cert, &strange), Err(TlsError::Mismatch(_))));
        let empty = folder.path().join("empty");
        fs::write(&empty, "").unwrap();
        assert!(matches!(server_config(&empty, &key), Err(TlsError::Empty { .. })));
        assert!(matches!(server_config(&cert, &empty), Err(TlsError::Unreadable { what: "the key", .. })));
        assert!(server_config(Path::new("/nowhere"), &key).is_err());
    }
}
