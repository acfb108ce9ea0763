//! Makes, lists and revokes API tokens. Only a person at the terminal may, and a token is shown once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::caller::{OWNER, Role, Scope, Scopes};
use super::{App, Caller};
use crate::auth::api_token;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::store::{NewToken, Store, TokenRow};

/// Longest name of a token or principal, in characters.
const NAME_CHARS_MAX: usize = 64;
/// Longest life of a token that expires, in days.
const DAYS_MAX: i64 = 3_650;

/// What to do.
#[derive(Clone, Debug)]
pub enum Request {
    Create(NewRequest),
    List,
    /// The id of a token, or its name.
    Revoke {
        token: String,
    },
    /// Deletes the rows of tokens that were revoked or have expired.
    Forget,
}

/// The token wanted.
#[derive(Clone, Debug, Default)]
pub struct NewRequest {
    /// What it is for, in the owner's words.
    pub name: Option<String>,
    /// Whom it speaks for; absent means the owner.
    pub user: Option<String>,
    /// Scopes of a role; absent means all unless `scopes` names some.
    pub role: Option<String>,
    /// Scopes besides those of the role.
    pub scopes: Vec<String>,
    /// How long it lives: `90d`, `12h`, `30m`; absent means until it is revoked.
    pub expires: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The token itself, this once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// How many were revoked or forgotten.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub count: Option<usize>,
    /// Those there are, or the one that was made.
    pub tokens: Vec<Entry>,
}

/// A token as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    pub principal: String,
    pub scopes: Vec<String>,
    /// `live`, `expired` or `revoked`.
    pub state: String,
    pub created_at: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<String>,
    /// To the hour.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_used_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked_at: Option<String>,
}

/// Carries the request out.
///
/// # Errors
///
/// `PERMISSION_REQUIRED` for a client; `INVALID_INPUT`, `INVALID_NAME`, `TOKEN_NOT_FOUND`; failures of the database.
pub async fn tokens(app: &App, caller: &Caller, request: Request) -> Result<Response, Error> {
    if !matches!(caller, Caller::Terminal { .. }) {
        return Err(Error::refused("PERMISSION_REQUIRED", "only a person at the terminal may see or make tokens")
            .hint("ask the person to run `dipeo tokens`"));
    }
    let store = app.store()?;
    match request {
        Request::Create(new) => create(app, store, new).await,
        Request::List => Ok(Response { tokens: entries(app, store)?, ..Response::default() }),
        Request::Revoke { token } => {
            let count = store.revoke_token(&token).await?;
            if count == 0 {
                let shown: String = token.chars().take(NAME_CHARS_MAX).collect();
                // Somebody may paste the token itself, which is not to be repeated.
                let shown = if api_token::is_one(&token) { "dpo_…".to_owned() } else { shown };
                return Err(Error::not_found("TOKEN_NOT_FOUND", format!("no live token is called `{shown}`"))
                    .hint("give the id or the name that `dipeo tokens list` shows"));
            }
            Ok(Response { count: Some(count), tokens: entries(app, store)?, ..Response::default() })
        }
        Request::Forget => {
            let count = store.forget_dead_tokens().await?;
            Ok(Response { count: Some(count), tokens: entries(app, store)?, ..Response::default() })
        }
    }
}

async fn create(app: &App, store: &Arc<Store>, new: NewRequest) -> Result<Response, Error> {
    let scopes = scopes_of(&new)?;
    let principal = new.user.unwrap_or_else(|| OWNER.to_owned());
    check_name("user", &principal)?;
    if let Some(name) = &new.name {
        check_name("name", name)?;
    }
    let life_ms = new.expires.as_deref().map(life_ms).transpose()?;
    let token = api_token::random()?;
    let id = format!("tok_{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    let row = NewToken {
        id: id.clone(),
        name: new.name,
        principal,
        scopes: scopes.to_text(),
        sha256: api_token::digest(&token),
        expires_at: life_ms.map(|it| app.clock.now().plus_ms(it)),
    };
    store.add_token(row).await?;
    let made = entries(app, store)?.into_iter().filter(|it| it.id == id).collect();
    Ok(Response { token: Some(token), tokens: made, ..Response::default() })
}

fn scopes_of(new: &NewRequest) -> Result<Scopes, Error> {
    let mut scopes = match &new.role {
        Some(text) => Role::parse(text).map(Role::scopes).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{text}` is no role"))
                .hint(format!("roles: {}", Role::ALL.map(Role::name).join(", ")))
        })?,
        None if new.scopes.is_empty() => Scopes::ALL,
        None => Scopes::NONE,
    };
    for text in new.scopes.iter().flat_map(|it| it.split([' ', ','])).filter(|it| !it.is_empty()) {
        let scope = Scope::parse(text).ok_or_else(|| {
            Error::invalid("INVALID_INPUT", format!("`{text}` is no scope"))
                .hint(format!("scopes: {}", Scope::ALL.map(Scope::name).join(", ")))
        })?;
        scopes = scopes.with(scope);
    }
    Ok(scopes)
}

fn check_name(what: &str, text: &str) -> Result<(), Error> {
    let is_fine = (1..=NAME_CHARS_MAX).contains(&text.chars().count())
        && text.chars().all(|it| it.is_alphanumeric() || "-_.@+".contains(it));
    if is_fine {
        return Ok(());
    }
    let shown: String = text.chars().filter(|it| !it.is_control()).take(NAME_CHARS_MAX).collect();
    Err(Error::invalid("INVALID_NAME", format!("the {what} is `{shown}`"))
        .hint(format!("use letters, digits and `-_.@+`, at most {NAME_CHARS_MAX} characters")))
}

/// Reads `90d`, `12h` or `30m`.
fn life_ms(text: &str) -> Result<i64, Error> {
    let unit_ms = match text.chars().last() {
        Some('d') => Some(86_400_000),
        Some('h') => Some(3_600_000),
        Some('m') => Some(60_000),
        _ => None,
    };
    let read = unit_ms.and_then(|unit| {
        let n: i64 = text[..text.len() - 1].parse().ok().filter(|it| *it > 0)?;
        n.checked_mul(unit).filter(|it| *it <= DAYS_MAX * 86_400_000)
    });
    read.ok_or_else(|| {
        Error::invalid("INVALID_INPUT", format!("`{text}` is no time to live"))
            .hint(format!("write 90d, 12h or 30m, at most {DAYS_MAX}d; leave it out for a token that does not expire"))
    })
}

fn entries(app: &App, store: &Store) -> Result<Vec<Entry>, Error> {
    let now = app.clock.now();
    Ok(store.tokens()?.into_iter().map(|it| entry(it, now)).collect())
}

fn entry(row: TokenRow, now: Timestamp) -> Entry {
    let state = match row.revoked_at {
        Some(_) => "revoked",
        None if row.is_live(now) => "live",
        None => "expired",
    };
    Entry {
        id: row.id,
        name: row.name,
        principal: row.principal,
        scopes: row.scopes.split(' ').filter(|it| !it.is_empty()).map(str::to_owned).collect(),
        state: state.to_owned(),
        created_at: row.created_at.to_rfc3339(),
        expires_at: row.expires_at.map(Timestamp::to_rfc3339),
        last_used_at: row.last_used_at.map(Timestamp::to_rfc3339),
        revoked_at: row.revoked_at.map(Timestamp::to_rfc3339),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_a_number_with_a_unit() {
        for (text, expected) in [
            ("90d", Some(90 * 86_400_000)),
            ("1h", Some(3_600_000)),
            ("30m", Some(1_800_000)),
            ("0d", None),
            ("-1d", None),
            ("d", None),
            ("", None),
            ("90", None),
            ("9é", None),
            ("3651d", None),
            ("99999999999999999999d", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(life_ms(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_role_and_single_scopes_add_up() {
        for (role, scopes, expected) in [
            (None, &[][..], Some(Scopes::ALL.to_text())),
            (Some("viewer"), &[], Some(Scopes::READ.to_text())),
            (None, &["execution:run"], Some("execution:run".to_owned())),
            (Some("viewer"), &["execution:run"], Some("diagram:read execution:read execution:run".to_owned())),
            (None, &["diagram:read,execution:read"], Some(Scopes::READ.to_text())),
            (Some("king"), &[], None),
            (None, &["execution:*"], None),
        ] {
            let new = NewRequest {
                role: role.map(str::to_owned),
                scopes: scopes.iter().map(|it| (*it).to_owned()).collect(),
                ..NewRequest::default()
            };
            assert_eq!(scopes_of(&new).ok().map(Scopes::to_text), expected, "{new:?}");
        }
    }
}
