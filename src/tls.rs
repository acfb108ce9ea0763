//! The TLS implementation of this process: ring, chosen once. Whoever builds an HTTP client calls
//! [`install`] first.

use std::sync::Once;

/// Makes ring the TLS implementation of this process.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // An error means that one was installed already: then there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
