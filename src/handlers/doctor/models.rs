//! Which models can be asked: keys by their names alone.

use super::Part;
use crate::handlers::App;

/// Keys that are there, and where models are asked for.
pub(super) async fn check(app: &App) -> Part {
    let mut part = Part::default();
    let models = &app.config.models;
    for (service, provider) in
        [("openai", &models.openai), ("anthropic", &models.anthropic), ("gemini", &models.gemini)]
    {
        let key = if provider.api_key.is_some() { "key present" } else { "no key" };
        let model = provider.model.as_deref().map(|it| format!(", model {it}")).unwrap_or_default();
        let place = if provider.base_url.is_some() { ", at an address of its own" } else { "" };
        part.fact(service, format!("{key}{model}{place}"));
    }
    part.fact("ollama", if models.ollama_host.is_some() { "an address is set" } else { "the usual address" });
    part.fact("caller, scripted", "need no key");
    let names: Vec<&str> = app.config.provider_keys.keys().map(String::as_str).collect();
    if !names.is_empty() {
        part.fact("variables with keys", names.join(", "));
    }
    match app.ports.secrets.list() {
        Ok(secrets) if secrets.is_empty() => {}
        Ok(secrets) => part.fact("secrets", secrets.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ")),
        Err(error) => part.failure(&error),
    }
    part
}
