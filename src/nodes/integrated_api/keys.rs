//! Where the key of a provider is: the node's `api_key_id`, else the secret named after the provider, else
//! the provider's environment variable.

use crate::error::Error;
use crate::integrations::Manifest;
use crate::nodes::ports::Ports;
use crate::nodes::rights::{Origin, Rights};
use crate::secret::Secret;

/// Whether a diagram may use keys: one that a client submitted may not, until a person trusts it.
pub fn may_use(rights: &Rights) -> bool {
    rights.origin != Origin::Submitted || rights.host_code
}

/// Finds the key of `manifest`; `None` when it needs none.
///
/// # Errors
///
/// `TRUST_REQUIRED` for a submitted diagram, `SECRET_NOT_FOUND` naming all three places, and what the
/// store of secrets says.
pub fn find(
    manifest: &Manifest,
    api_key_id: Option<&str>,
    ports: &Ports,
    rights: &Rights,
) -> Result<Option<Secret>, Error> {
    if !manifest.auth.strategy.needs_key() {
        return Ok(None);
    }
    if !may_use(rights) {
        return Err(Error::refused(
            "TRUST_REQUIRED",
            format!("`{}` needs a key, which a submitted diagram may not use", manifest.name),
        )
        .hint("a person can allow it with `dipeo trust NAME`"));
    }
    match present(manifest, api_key_id, ports)? {
        Some(key) => {
            // A key of the environment is blotted out like one of the store.
            ports.secrets.scrubber().add(&key);
            Ok(Some(key))
        }
        None => Err(Error::not_found("SECRET_NOT_FOUND", format!("there is no key for `{}`", manifest.name))
            .hint(hint(manifest, api_key_id))),
    }
}

/// Returns the key if there is one.
///
/// # Errors
///
/// What the store of secrets says.
pub fn present(manifest: &Manifest, api_key_id: Option<&str>, ports: &Ports) -> Result<Option<Secret>, Error> {
    if let Some(id) = api_key_id {
        return ports.secrets.find(id);
    }
    let variables = manifest.key_variables();
    for name in std::iter::once(manifest.name.as_str()).chain(variables.iter().map(String::as_str)) {
        if let Some(key) = ports.secrets.find(name)? {
            return Ok(Some(key));
        }
    }
    Ok(variables.iter().find_map(|it| ports.providers.variable(it)))
}

/// Says where a key is looked for.
pub fn hint(manifest: &Manifest, api_key_id: Option<&str>) -> String {
    let [variable, _] = manifest.key_variables();
    let name = &manifest.name;
    match api_key_id {
        Some(id) => format!(
            "no secret is named `{id}`: `dipeo secrets set {id}`; without `api_key_id` the secret `{name}` is taken, \
             then the variable `{variable}`"
        ),
        None => {
            format!("give the node an `api_key_id`, or `dipeo secrets set {name}`, or set the variable `{variable}`")
        }
    }
}
