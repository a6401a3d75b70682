//! TLS towards Postgres: one client configuration per [`SslMode`], over rustls and AWS-LC.
//!
//! The provider of the cryptography is passed explicitly; nothing here depends on a default of the process. Whether TLS is
//! used at all is the driver's setting, made in [`super::url`].

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use tokio_postgres::config::SslNegotiation;
use tokio_postgres_rustls::MakeRustlsConnect;
use zeroize::Zeroizing;

use super::url::{ClientCertificate, DatabaseUrl, RootCertificates, SslMode};

/// Why TLS could not be set up; nothing was sent yet.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that the connection string names cannot be read.
    #[error("`{parameter}` names {path}, which cannot be read", path = path.display())]
    Unreadable {
        /// The parameter of the connection string.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file was read, but holds nothing of the kind that is needed. Its text is not repeated: it may be a key.
    #[error("`{parameter}` names {path}, which holds no usable {wanted}", path = path.display())]
    Unusable {
        /// The parameter of the connection string.
        parameter: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The client certificate and its key are no pair, or of a kind that is not supported.
    #[error(
        "the client certificate in {certificate} and the key in {key} cannot be used together",
        certificate = certificate.display(),
        key = key.display()
    )]
    ClientCertificate {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What the TLS library said.
        #[source]
        source: rustls::Error,
    },
    /// The operating system has no store of root certificates.
    #[error("the system has no root certificates; install them (ca-certificates), or name a file in `sslrootcert`")]
    NoSystemRoots,
    /// The provider of the cryptography lacks what TLS needs.
    #[error("the cryptography for TLS is not available")]
    Provider(#[source] rustls::Error),
}

/// Makes the connector for one connection string. Files are read now; a changed file counts from the next call on.
///
/// # Errors
/// [`TlsError`], naming the file at fault.
pub(super) fn connector(url: &DatabaseUrl) -> Result<MakeRustlsConnect, TlsError> {
    let provider = aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let without_name = |roots| Arc::new(NamelessVerifier { roots, algorithms });
    let builder = match url.ssl_mode() {
        // The driver never asks this one; if it did, an empty store would refuse every server.
        SslMode::Disable => builder.with_root_certificates(RootCertStore::empty()),
        SslMode::Require => builder.dangerous().with_custom_certificate_verifier(without_name(None)),
        SslMode::VerifyCa { roots } => {
            builder.dangerous().with_custom_certificate_verifier(without_name(Some(roots_from_file(roots)?)))
        }
        SslMode::VerifyFull { roots: RootCertificates::File(roots) } => {
            builder.with_root_certificates(roots_from_file(roots)?)
        }
        SslMode::VerifyFull { roots: RootCertificates::System } => builder.with_root_certificates(system_roots()?),
    };
    let mut config = match url.client_certificate() {
        Some(files) if *url.ssl_mode() != SslMode::Disable => {
            let (chain, key) = read_client_certificate(files)?;
            builder.with_client_auth_cert(chain, key).map_err(|source| TlsError::ClientCertificate {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
                source,
            })?
        }
        Some(_) | None => builder.with_no_client_auth(),
    };
    if url.ssl_negotiation() == SslNegotiation::Direct {
        // PostgreSQL 17 insists on it (manual, "SSL Session Encryption").
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(MakeRustlsConnect::new(config))
}

/// Accepts a server whatever its name: any server without `roots`, else one whose certificate they vouch for.
///
/// The signatures of the handshake are checked in both cases, so that the certificate is at least the peer's own.
#[derive(Debug)]
struct NamelessVerifier {
    roots: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for NamelessVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, self.algorithms.all)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn roots_from_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let parameter = "sslrootcert";
    let mut roots = RootCertStore::empty();
    // A bundle may hold a certificate of a kind that is not supported; leaving it out can only refuse more servers.
    let (usable, _) = roots.add_parsable_certificates(read_certificates(parameter, path)?);
    match usable {
        0 => Err(TlsError::Unusable { parameter, path: path.to_owned(), wanted: "root certificate" }),
        _ => Ok(roots),
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match usable {
        0 => Err(TlsError::NoSystemRoots),
        _ => Ok(roots),
    }
}

type ClientChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_client_certificate(files: &ClientCertificate) -> Result<ClientChainAndKey, TlsError> {
    let chain = read_certificates("sslcert", &files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&read("sslkey", &files.key)?).map_err(|_| TlsError::Unusable {
        parameter: "sslkey",
        path: files.key.clone(),
        wanted: "unencrypted private key",
    })?;
    Ok((chain, key))
}

fn read_certificates(parameter: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(parameter, path)?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(TlsError::Unusable { parameter, path: path.to_owned(), wanted: "certificate" }),
    }
}

fn read(parameter: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(source) => Err(TlsError::Unreadable { parameter, path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match connector(&DatabaseUrl::parse(url).unwrap()) {
            Ok(_) => panic!("{url} is accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_file_at_fault_is_named_and_its_text_is_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (good, other) = (rcgen::generate_simple_self_signed([]).unwrap(), rcgen::KeyPair::generate().unwrap());
        let certificate = file("good.pem", &good.cert.pem());
        let empty = file("empty.pem", "");
        let broken = file("broken.pem", "-----BEGIN PRIVATE KEY-----\nS3cr3t!\n-----END PRIVATE KEY-----\n");
        let other = file("other.pem", &other.serialize_pem());

        let missing = "host=h sslrootcert=/nowhere/ca.pem";
        assert_eq!(refusal(missing), "`sslrootcert` names /nowhere/ca.pem, which cannot be read");
        let url = format!("host=h sslrootcert={empty}");
        assert_eq!(refusal(&url), format!("`sslrootcert` names {empty}, which holds no usable certificate"));
        let url = format!("host=h sslmode=verify-ca sslrootcert={other}");
        assert_eq!(refusal(&url), format!("`sslrootcert` names {other}, which holds no usable certificate"));
        let url = format!("host=h sslmode=require sslcert={certificate} sslkey={broken}");
        assert_eq!(refusal(&url), format!("`sslkey` names {broken}, which holds no usable unencrypted private key"));
        let url = format!("host=h sslmode=require sslcert={certificate} sslkey={other}");
        let expected =
            format!("the client certificate in {certificate} and the key in {other} cannot be used together");
        assert_eq!(refusal(&url), expected);
    }

    #[test]
    fn with_plain_text_no_file_is_read() {
        let url = "host=h sslmode=disable sslrootcert=/nowhere/ca.pem sslcert=/nowhere/c.pem sslkey=/nowhere/k.pem";
        assert!(connector(&DatabaseUrl::parse(url).unwrap()).is_ok());
    }
}
