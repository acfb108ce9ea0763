//! Who we say we are: the `auth_type` and `auth_config` of a request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::nodes::content::as_text;
use crate::nodes::context::NodeContext;
use crate::nodes::fields::Fields;
use crate::nodes::http_call::Call;
use crate::nodes::secrets::SecretJson;
use crate::secret::Secret;

/// Words of `auth_type`.
pub(super) const TYPES: &[&str] = &["none", "bearer", "basic", "api_key"];
/// Header of an API key when the node names none.
const KEY_NAME: &str = "X-API-Key";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bearer,
    Basic,
    ApiKey,
}

impl Kind {
    /// What `auth_config` must and may hold.
    fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Bearer => (&["token"], &[]),
            Self::Basic => (&["username", "password"], &[]),
            Self::ApiKey => (&["key_value"], &["key_name"]),
        }
    }
}

pub(super) enum Auth {
    None,
    Given(Given),
}

pub(super) struct Given {
    kind: Kind,
    config: SecretJson,
}

impl Auth {
    /// Reads the two fields: E401 for what is missing, W402 for what has no effect.
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let kind = match fields.choice("auth_type", TYPES) {
            Some("bearer") => Kind::Bearer,
            Some("basic") => Kind::Basic,
            Some("api_key") => Kind::ApiKey,
            _ => {
                let is_blank = |it: &crate::diagram::Tree| it.is_map() && it.entries().is_empty();
                if fields.tree("auth_config").is_some_and(|it| !is_blank(it)) {
                    let hint = "add `auth_type: bearer`, `basic` or `api_key`";
                    fields.problem("W402", "auth_config", "`auth_config` has no effect without `auth_type`", hint);
                }
                return Self::None;
            }
        };
        let written = fields.object_or_empty("auth_config");
        let (required, optional) = kind.keys();
        for key in required.iter().filter(|it| written.get(**it).is_none_or(is_blank)) {
            let message = format!("this `auth_type` needs `auth_config.{key}`");
            fields.problem("E401", "auth_config", message, format!("add `{key}: ${{secret:NAME}}` to `auth_config`"));
        }
        for key in written.keys().filter(|it| !required.contains(&it.as_str()) && !optional.contains(&it.as_str())) {
            let hint = format!("it takes {}", [required, optional].concat().join(", "));
            fields.problem("W402", "auth_config", format!("`auth_config.{key}` has no effect here"), hint);
        }
        match SecretJson::read(fields, "auth_config", &Value::Object(written)) {
            Some(config) => Self::Given(Given { kind, config }),
            None => Self::None,
        }
    }

    /// Adds the header that says who we are.
    ///
    /// # Errors
    ///
    /// As [`SecretJson::render`].
    pub(super) fn apply(&self, call: &mut Call, cx: &NodeContext) -> Result<(), Error> {
        let Self::Given(Given { kind, config }) = self else { return Ok(()) };
        let config = config.render(cx, &Map::new())?;
        let text = |key: &str| config.get(key).map(as_text).unwrap_or_default();
        match kind {
            Kind::Bearer => call.set_header("Authorization", format!("Bearer {}", text("token"))),
            Kind::Basic => {
                let encoded = STANDARD.encode(format!("{}:{}", text("username"), text("password")));
                // The password is in it in a form of its own.
                if let Some(secret) = Secret::new(&encoded) {
                    cx.ports.secrets.scrubber().add(&secret);
                }
                call.set_header("Authorization", format!("Basic {encoded}"));
            }
            Kind::ApiKey => {
                let name = text("key_name");
                let name = if name.trim().is_empty() { KEY_NAME } else { name.trim() };
                call.set_header(name, text("key_value"));
            }
        }
        Ok(())
    }
}

fn is_blank(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(|it| it.trim().is_empty())
}
