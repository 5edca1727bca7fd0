//! TLS of HTTP checks: whom to trust, and the name that the certificate must have.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::Failure;
use crate::config::model::Tls;

/// Reads the certificates that are trusted, on a thread that may wait for the disk.
pub(super) async fn config(settings: Tls) -> Result<Arc<ClientConfig>, Failure> {
    tokio::task::spawn_blocking(move || build(&settings))
        .await
        .unwrap_or_else(|_| Err(Failure::Tls("certificates cannot be read".to_owned())))
}

/// The name that is asked for, and that the certificate must have.
pub(super) fn server_name(settings: &Tls, host: &str) -> Result<ServerName<'static>, Failure> {
    let name = settings.name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|error| Failure::Tls(format!("{name}: {error}")))
}

fn build(settings: &Tls) -> Result<Arc<ClientConfig>, Failure> {
    let failed = |error: Error| Failure::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let config = if settings.verify {
        builder.with_root_certificates(roots(settings.ca.as_ref())?).with_no_client_auth()
    } else {
        let anybody = Arc::new(Anybody(provider));
        builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
    };
    Ok(Arc::new(config))
}

fn roots(ca: Option<&PathBuf>) -> Result<RootCertStore, Failure> {
    let certificates = match ca {
        Some(path) => {
            let failed = |error| Failure::Tls(format!("certificates in {}: {error}", path.display()));
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        let place = ca.map_or_else(|| "this system".to_owned(), |path| path.display().to_string());
        return Err(Failure::Tls(format!(
            "{place} has no certificates to trust; install ca-certificates, set tls_ca, or tls_verify off"
        )));
    }
    Ok(store)
}

/// `tls_verify off`: any certificate will do, but the server must have its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
