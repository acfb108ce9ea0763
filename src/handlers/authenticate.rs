//! Finds out who a client is from what it shows: the owner's token, an API token, or a token of an
//! authorization server.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::watch;

use super::App;
use super::caller::{Identity, OWNER, Role, Scopes};
use crate::auth::api_token;
use crate::auth::jwt::{Claims, Verifier};
use crate::error::Error;

/// Longest text that can be a token, in bytes: a JWT with many claims has a few thousand.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Decides who comes in. One for all requests of a server.
pub struct Access {
    app: Arc<App>,
    foreign: Option<Verifier>,
    mode: Mutex<Mode>,
    /// Held for as long as the server lives: commits of other processes are only looked for while somebody listens.
    marks: OnceLock<watch::Receiver<u64>>,
}

/// Whether anybody is asked, as far as it is known.
#[derive(Clone, Copy)]
struct Mode {
    /// The mark of the store's last commit that was looked at.
    seen: Option<u64>,
    is_required: bool,
}

impl Access {
    /// Makes it from the settings; nothing is opened yet.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` for a `DIPEO_TOKEN` that no header can hold and a `JWT_SECRET` that can be guessed.
    pub fn new(app: Arc<App>) -> Result<Arc<Self>, Error> {
        let auth = &app.config.auth;
        if auth.token.as_ref().is_some_and(|it| !it.expose().bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::invalid("INVALID_INPUT", "`DIPEO_TOKEN` has blanks or special characters in it")
                .hint("set `DIPEO_TOKEN` to a long random text of letters and digits"));
        }
        let mode = Mutex::new(Mode { seen: None, is_required: auth.required || auth.has_any() });
        let foreign = Verifier::new(auth)?;
        Ok(Arc::new(Self { app, foreign, mode, marks: OnceLock::new() }))
    }

    /// Says whether anybody could come in at all if everybody was asked.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn has_a_way_in(&self) -> Result<bool, Error> {
        let now = self.app.clock.now();
        Ok(self.app.config.auth.has_any() || self.app.store()?.tokens()?.iter().any(|it| it.is_live(now)))
    }

    /// Says whether clients must show who they are: settings ask for it, or there is a token, live or not. A
    /// token that dies never opens the server to everybody; `dipeo tokens forget` does.
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn is_required(&self) -> Result<bool, Error> {
        let auth = &self.app.config.auth;
        if auth.required || auth.has_any() {
            return Ok(true);
        }
        let store = self.app.store()?;
        // Looking into the file for each request would cost more than a small request itself; a new commit, of
        // any process, changes the mark.
        let mark = *self.marks.get_or_init(|| store.turns()).borrow();
        let known = *self.mode();
        if known.seen == Some(mark) {
            return Ok(known.is_required);
        }
        let is_required = store.has_tokens()?;
        *self.mode() = Mode { seen: Some(mark), is_required };
        Ok(is_required)
    }

    /// The authorization server whose tokens are accepted.
    pub fn issuer(&self) -> Option<&str> {
        self.app.config.auth.issuer.as_deref()
    }

    /// Returns who shows `token`, which may be meant for any of `resources`: the addresses of this server. What
    /// they may do is limited by the server's own settings.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`; `KEYS_UNAVAILABLE`; failures of the database.
    pub async fn identify(&self, token: &str, resources: &[String]) -> Result<Identity, Error> {
        let found = self.find(token, resources).await?;
        Ok(found.limited_to(self.app.client_scopes()))
    }

    async fn find(&self, token: &str, resources: &[String]) -> Result<Identity, Error> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(unknown());
        }
        let own = self.app.config.auth.token.as_ref();
        if own.is_some_and(|it| api_token::is_same(it.expose(), token)) {
            return Ok(Identity::owner());
        }
        if api_token::is_one(token) {
            let row = self.app.store()?.use_token(&api_token::digest(token)).await?;
            let row = row.filter(|it| it.is_live(self.app.clock.now())).ok_or_else(unknown)?;
            return Ok(Identity { principal: row.principal.into(), scopes: Scopes::parse(&row.scopes) });
        }
        match &self.foreign {
            // The other two kinds of tokens have no dots where these have them.
            Some(foreign) if token.split('.').count() == 3 => {
                let claims = foreign.verify(token, resources, self.app.clock.now()).await?;
                identity_of(claims)
            }
            _ => Err(unknown()),
        }
    }

    fn mode(&self) -> std::sync::MutexGuard<'_, Mode> {
        self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who a foreign token speaks for. Its scopes are those it names, with those of its role; one that names neither
/// may read (platform.md 3.2).
fn identity_of(claims: Claims) -> Result<Identity, Error> {
    if claims.subject == OWNER {
        return Err(Error::refused("UNAUTHENTICATED", format!("a token of others cannot speak for `{OWNER}`"))
            .hint("that is the owner of this server; give the user another name"));
    }
    let role = match (&claims.role, &claims.scopes) {
        (Some(text), _) => Role::parse(text).unwrap_or(Role::Viewer).scopes(),
        (None, Some(_)) => Scopes::NONE,
        (None, None) => Role::Viewer.scopes(),
    };
    let scopes = role.or(Scopes::parse(claims.scopes.as_deref().unwrap_or_default()));
    Ok(Identity { principal: claims.subject.into(), scopes })
}

/// Does not say whether the token is unknown, revoked or expired: who holds a stolen one need not know.
fn unknown() -> Error {
    Error::refused("UNAUTHENTICATED", "the token is not one that this server accepts, or no longer")
        .hint("send a live token as `Authorization: Bearer …`; `dipeo tokens list` shows which ones live")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_roles_of_foreign_tokens_add_up_and_nobody_becomes_the_owner() {
        for (scopes, role, expected) in [
            (None, None, Scopes::READ),
            (None, Some("viewer"), Scopes::READ),
            (None, Some("king"), Scopes::READ),
            (None, Some("operator"), Scopes::ALL),
            (Some("openid profile"), None, Scopes::NONE),
            (Some("openid execution:run"), None, Scopes::parse("execution:run")),
            (Some("execution:run"), Some("viewer"), Scopes::parse("diagram:read execution:read execution:run")),
        ] {
            let claims =
                Claims { subject: "ada".into(), scopes: scopes.map(str::to_owned), role: role.map(str::to_owned) };
            assert_eq!(identity_of(claims).expect("somebody").scopes, expected, "{scopes:?} {role:?}");
        }
        let claims = Claims { subject: OWNER.into(), scopes: None, role: None };
        assert_eq!(identity_of(claims).expect_err("refused").code(), "UNAUTHENTICATED");
    }
}
