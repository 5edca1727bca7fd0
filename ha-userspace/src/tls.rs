//! TLS towards servers, those of checks and webhooks: whom to trust, and the name that the certificate must have.
//!
//! Errors are for the operator to read; whoever calls says whose they are.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::config::model::Tls;

/// Reads the certificates that are trusted, on a thread that may wait for the disk.
pub(crate) async fn config(settings: Tls) -> Result<Arc<ClientConfig>, String> {
    tokio::task::spawn_blocking(move || build(&settings))
        .await
        .unwrap_or_else(|_| Err("certificates cannot be read".to_owned()))
}

/// The name that is asked for, and that the certificate must have.
pub(crate) fn server_name(settings: &Tls, host: &str) -> Result<ServerName<'static>, String> {
    let name = settings.name.as_deref().unwrap_or(host);
    ServerName::try_from(name.to_owned()).map_err(|error| format!("{name}: {error}"))
}

fn build(settings: &Tls) -> Result<Arc<ClientConfig>, String> {
    let failed = |error: Error| error.to_string();
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let config = if settings.verify {
        let trusted = certificates(settings.ca.as_ref())?;
        let store = Arc::new(roots(settings.ca.as_ref(), trusted.clone())?);
        let issuers = WebPkiServerVerifier::builder_with_provider(store, provider)
            .build()
            .map_err(|error| error.to_string())?;
        let known = Arc::new(Known { issuers, trusted });
        builder.dangerous().with_custom_certificate_verifier(known).with_no_client_auth()
    } else {
        let anybody = Arc::new(Anybody(provider));
        builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth()
    };
    Ok(Arc::new(config))
}

fn certificates(ca: Option<&PathBuf>) -> Result<Vec<CertificateDer<'static>>, String> {
    match ca {
        Some(path) => {
            let failed = |error| format!("certificates in {}: {error}", path.display());
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(failed)
        }
        None => Ok(rustls_native_certs::load_native_certs().certs),
    }
}

fn roots(ca: Option<&PathBuf>, certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(match ca {
            Some(path) => format!("{} has no certificates to trust", path.display()),
            None => "this system has no certificates to trust; install ca-certificates".to_owned(),
        });
    }
    Ok(store)
}

/// What a trusted certificate has signed, and the trusted certificate itself: `openssl req -x509` makes one that may
/// sign others, which a server may not use by the letter of RFC 5280, and which every server has that signed its own.
#[derive(Debug)]
struct Known {
    issuers: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.issuers.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            // Its dates have been looked at by then: they have errors of their own.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.trusted.iter().any(|trusted| trusted == certificate) =>
            {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issuers.supported_verify_schemes()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl req -x509`, valid for ten years from November 2026, for `self.example`.
    const OWN: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnTCCAUKgAwIBAgIUO5XTOaZvbAKD8qUFreVasZj6LdwwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMc2VsZi5leGFtcGxlMB4XDTI2MTEyNDE0MzEwMVoXDTM2MTEy
MTE0MzEwMVowFzEVMBMGA1UEAwwMc2VsZi5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAE5hy5w/EMPdgzsO0RTnlW+eU7TEJf2Cqwcq7w+3laJiFsCVCe
LRNJSXvHtvEZKagbpb3Ba0V8AyAIFsipVql8O6NsMGowHQYDVR0OBBYEFDBEkd64
EqfkP7BKwkSPiGjgeRZXMB8GA1UdIwQYMBaAFDBEkd64EqfkP7BKwkSPiGjgeRZX
MA8GA1UdEwEB/wQFMAMBAf8wFwYDVR0RBBAwDoIMc2VsZi5leGFtcGxlMAoGCCqG
SM49BAMCA0kAMEYCIQDFRRsjf+/gxcZWkYuYVoC4GXeBdtSRYcA7ES6GE4acaAIh
ALgOxsm33nuFZY/qZBxcPlMooIPzlvFJnduuHTnZcbTG
-----END CERTIFICATE-----
";
    /// Another one of the same name.
    const OTHER: &str = "\
-----BEGIN CERTIFICATE-----
MIIBnTCCAUKgAwIBAgIURKEUTSVAciZTSzGd090/1HisGOIwCgYIKoZIzj0EAwIw
FzEVMBMGA1UEAwwMc2VsZi5leGFtcGxlMB4XDTI2MTEyNDE0MzEwMVoXDTM2MTEy
MTE0MzEwMVowFzEVMBMGA1UEAwwMc2VsZi5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEe9oX/oHYdIMwyvo2I+NKYJ+VUubc6Wv+eofEN07kH29+xMwH
bwKaVoo8uNOr6uroVtYzuJjReC0N9kNVmfGXNaNsMGowHQYDVR0OBBYEFNbibEr0
YmcAXMMaUxE3dZilFOWeMB8GA1UdIwQYMBaAFNbibEr0YmcAXMMaUxE3dZilFOWe
MA8GA1UdEwEB/wQFMAMBAf8wFwYDVR0RBBAwDoIMc2VsZi5leGFtcGxlMAoGCCqG
SM49BAMCA0kAMEYCIQCtp38enKMWVGKuRkg2iisIhWQ+7pC2c/V4+q5TetT7wQIh
AKVKEFwFVGvHT4Iu/wY1WzyLlNsno6oxk2jJhWg5PjG5
-----END CERTIFICATE-----
";
    /// The first of January 2030.
    const VALID: u64 = 1_893_456_000;

    fn certificate(pem: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
    }

    /// What is said to a server that shows `shown` at a time, where `OWN` is trusted.
    fn verdict(shown: &str, name: &str, seconds: u64) -> Result<(), Error> {
        let trusted = vec![certificate(OWN)];
        let store = Arc::new(roots(None, trusted.clone()).unwrap_or_else(|error| panic!("{error}")));
        let provider = Arc::new(ring::default_provider());
        let issuers = WebPkiServerVerifier::builder_with_provider(store, provider).build().expect("a store");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        Known { issuers, trusted }.verify_server_cert(&certificate(shown), &[], &name, &[], now).map(drop)
    }

    #[test]
    fn a_certificate_that_is_trusted_itself_is_accepted_for_its_name_and_time() {
        assert_eq!(verdict(OWN, "self.example", VALID), Ok(()));
        let refused = |shown, name, seconds| match verdict(shown, name, seconds) {
            Err(Error::InvalidCertificate(error)) => error,
            other => panic!("{other:?}"),
        };
        let name = refused(OWN, "other.example", VALID);
        assert!(matches!(name, CertificateError::NotValidForNameContext { .. }), "{name:?}");
        let late = refused(OWN, "self.example", 2 * VALID);
        assert!(matches!(late, CertificateError::ExpiredContext { .. }), "{late:?}");
        let early = refused(OWN, "self.example", 0);
        assert!(matches!(early, CertificateError::NotValidYetContext { .. }), "{early:?}");
        let foreign = refused(OTHER, "self.example", VALID);
        assert!(!matches!(foreign, CertificateError::ExpiredContext { .. }), "{foreign:?}");
    }
}
