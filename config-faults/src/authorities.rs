//! Files of certificate authorities that are trusted beside those of the system, PEM.
//!
//! Responsible for reading them. Refuses a pipe, a file that holds no certificate or one that cannot anchor trust: whoever
//! trusts nobody would only fail later, with a worse message. Invariant: every message names the file.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::instead_of_file;

/// Largest file that is read, in bytes: a whole system's bundle has a quarter of a megabyte.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// What begins a certificate of any kind in PEM, without what may stand before the word.
const MARK: &[u8] = b"CERTIFICATE-----";

/// How to mend any of the errors but for the key's name.
pub const MEND: &str = "name a file with the certificate of the authority, PEM, or leave it out";

/// Why a file of authorities cannot be used; not retryable.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// It is a pipe or a socket.
    #[error("{} {said}", .path.display())]
    NoFile {
        /// Path of the pipe.
        path: PathBuf,
        /// What it is.
        said: &'static str,
    },
    /// It is too large.
    #[error("{} holds more than 4 MiB, which is no file of certificates", .path.display())]
    TooLarge {
        /// Path of the file.
        path: PathBuf,
    },
    /// No certificate is in it.
    #[error("{} holds no PEM certificate", .path.display())]
    NoCertificate {
        /// Path of the file.
        path: PathBuf,
    },
    /// What is in it is no certificate of an authority.
    #[error("{} holds a certificate that cannot be used: {reason}", .path.display())]
    Unusable {
        /// Path of the file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl AuthorityError {
    /// Says whether trying again may help: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Reads a file that holds certificates in PEM, of whatever kind.
///
/// # Errors
/// [`AuthorityError`]; not retryable.
pub fn read(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    if let Some(said) = instead_of_file(path) {
        return Err(AuthorityError::NoFile {
            path: path.to_owned(),
            said,
        });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| AuthorityError::File {
            path: path.to_owned(),
            error,
        })?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(AuthorityError::TooLarge {
            path: path.to_owned(),
        });
    }
    if !bytes.windows(MARK.len()).any(|part| part == MARK) {
        return Err(AuthorityError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

/// Adds the authorities of a file to those that are trusted.
///
/// # Errors
/// [`AuthorityError`]; not retryable.
pub fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), AuthorityError> {
    let bytes = read(path)?;
    let unusable = |reason: String| AuthorityError::Unusable {
        path: path.to_owned(),
        reason,
    };
    let certificates = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(AuthorityError::NoCertificate {
            path: path.to_owned(),
        });
    }
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| unusable(error.to_string()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;

    use super::add;

    #[test]
    fn a_file_that_holds_no_authority_is_named_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let said = || add(&mut RootCertStore::empty(), &path).unwrap_err();
        let shown = path.display().to_string();
        assert_eq!(
            said().to_string(),
            format!("cannot read {shown}: No such file or directory (os error 2)")
        );
        std::fs::write(&path, "not a certificate").unwrap();
        assert_eq!(said().to_string(), format!("{shown} holds no PEM certificate"));
        std::fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let unusable = said();
        let start = format!("{shown} holds a certificate that cannot be used: ");
        assert!(unusable.to_string().starts_with(&start), "{unusable}");
        assert!(!unusable.is_retryable());
    }
}
