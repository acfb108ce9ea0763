//! API tokens: `dpo_` and 43 characters of base64url, which are 32 random bytes. One is shown once; what is kept
//! is its SHA-256, which is enough for a text that nobody can guess.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

use crate::error::Error;

const PREFIX: &str = "dpo_";
const RANDOM_BYTES: usize = 32;
/// 32 bytes are 43 characters of base64url without padding.
const ENCODED_CHARS: usize = 43;

/// Makes a fresh token.
///
/// # Errors
///
/// `INTERNAL` when the system gives no random bytes.
pub fn random() -> Result<String, Error> {
    let mut bytes = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::internal("the system gives no random bytes"))?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// Says whether `text` has the form of a token of ours.
pub fn is_one(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == ENCODED_CHARS && rest.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
    })
}

/// What is kept of a token, in lower-case hex.
pub fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

/// Says whether two texts are equal, in a time that does not depend on how much of them is.
pub fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (Sha256::digest(a.as_bytes()), Sha256::digest(b.as_bytes()));
    a.iter().zip(b.iter()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_form_and_no_second_one_is_equal() {
        let (one, other) = (random().expect("random"), random().expect("random"));
        assert!(is_one(&one) && is_one(&other) && one != other);
        assert_eq!(one.len(), 47);
        for bad in
            ["", "dpo_", &one[..46], &format!("{one}a"), &one.replace("dpo_", "dpx_"), &format!("{}é", &one[..45])]
        {
            assert!(!is_one(bad), "{bad}");
        }
    }

    #[test]
    fn only_the_whole_text_is_the_same() {
        assert!(is_same("s3cret", "s3cret"));
        for wrong in ["", "s3cre", "s3cret ", "S3cret", "s3crets"] {
            assert!(!is_same("s3cret", wrong), "{wrong}");
        }
    }
}
