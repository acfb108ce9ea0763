//! `api_job`: calls a web address and publishes what it answers (diagrams.md 2.6).

mod auth;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};

use super::addresses;
use super::http_call::{Call, METHODS, TIMEOUT_S, decode};
use super::secrets::{Resolved, SecretJson, SecretText};
use super::{Effect, FieldSpec, Fields, Node, NodeContext, NodeType, Outcome, Output, Preset, Retry, Shape};
use crate::diagram::{NodeKind, TreeKind};
use crate::error::Error;
use auth::Auth;

pub(super) static TYPE: NodeType = NodeType {
    kind: NodeKind::ApiJob,
    summary: "Calls a web address and publishes what it answers.",
    fields: &[
        FieldSpec::new("url", Shape::Template, "The address; an input named `url` wins.").required(),
        FieldSpec::new("method", Shape::Choice(METHODS), "What to ask of it.").or(Preset::Text("GET")),
        FieldSpec::new("headers", Shape::Map, "Headers by name; an input of that name wins."),
        FieldSpec::new("params", Shape::Map, "The query string by name; an input of that name wins."),
        FieldSpec::new("body", Shape::Any, "A map or list is sent as JSON, a text as it is; an input `body` wins."),
        FieldSpec::new("auth_type", Shape::Choice(auth::TYPES), "How to say who we are.").or(Preset::Text("none")),
        FieldSpec::new(
            "auth_config",
            Shape::Map,
            "`token`, or `username` and `password`, or `key_name` and `key_value`.",
        ),
        FieldSpec::new("accept_status", Shape::List, "The statuses that are answers; all of 200 to 299 if absent."),
    ],
    read,
};

/// Attempts of requests that may be repeated without harm.
const RETRY: Retry = Retry { max_attempts: 3, ..Retry::NONE };

struct ApiJob {
    url: Option<SecretText>,
    method: &'static str,
    headers: Option<SecretJson>,
    params: Option<SecretJson>,
    body: Option<SecretJson>,
    auth: Auth,
    /// Empty: 200 to 299.
    accepted: Vec<u16>,
}

fn read(fields: &mut Fields<'_>) -> Box<dyn Node> {
    Box::new(ApiJob {
        url: read_url(fields),
        method: fields.choice("method", METHODS).unwrap_or("GET"),
        headers: read_map(fields, "headers"),
        params: read_map(fields, "params"),
        body: SecretJson::of_field(fields, "body"),
        auth: Auth::read(fields),
        accepted: read_accepted(fields),
    })
}

fn read_url(fields: &mut Fields<'_>) -> Option<SecretText> {
    let Some(text) = fields.text_not_blank("url") else {
        let is_given = fields.tree("url").is_some_and(|it| it.as_text().is_none());
        if !is_given && !fields.has_input("url") {
            fields.missing("url");
        }
        return None;
    };
    addresses::check_field(fields, "url", &text);
    SecretText::read(fields, "url", &text)
}

/// Reads a map, or a text that is a template for one.
pub(super) fn read_map(fields: &mut Fields<'_>, key: &'static str) -> Option<SecretJson> {
    let tree = fields.tree(key)?;
    let is_template = tree.as_text().is_some_and(|it| it.contains("{{"));
    if !tree.is_map() && !is_template {
        let message = format!("`{key}` must be a mapping, not {}", tree.kind_name());
        fields.problem("E402", key, message, format!("write `{key}: {{name: value}}`"));
        return None;
    }
    SecretJson::of_field(fields, key)
}

fn read_accepted(fields: &mut Fields<'_>) -> Vec<u16> {
    let Some(tree) = fields.tree("accept_status") else { return Vec::new() };
    let status = |it: &crate::diagram::Tree| match &it.kind {
        TreeKind::Number(number) => number.as_u64().and_then(|it| u16::try_from(it).ok()),
        _ => None,
    };
    let listed: Vec<u16> = tree.items().iter().filter_map(status).filter(|it| (100..=599).contains(it)).collect();
    if listed.is_empty() || listed.len() != tree.items().len() {
        let hint = "write a list such as `[200, 404]`";
        fields.problem("E402", "accept_status", "`accept_status` must be a list of statuses from 100 to 599", hint);
    }
    listed
}

impl Node for ApiJob {
    fn effect(&self) -> Effect {
        Effect::Outside
    }

    fn mocked(&self, _: &str) -> Option<Value> {
        Some(json!({"mock": true}))
    }

    fn timeout_default(&self) -> Option<f64> {
        Some(TIMEOUT_S)
    }

    fn retry_default(&self) -> Retry {
        // A request that creates something may have done so although no answer came.
        if matches!(self.method, "POST" | "PATCH") { Retry::NONE } else { RETRY }
    }

    fn run<'a>(&'a self, cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move {
            let answer = self.call(cx)?.send(cx, &self.accepted).await?;
            let mut output = Output::value(decode(cx, answer.reply).await?);
            output.meta.insert("http".to_owned(), answer.meta);
            Ok(Outcome::Done(output))
        })
    }
}

impl ApiJob {
    /// Makes the request; an input named after a field replaces it.
    fn call(&self, cx: &NodeContext) -> Result<Call, Error> {
        let value = |name: &str, field: &Option<SecretJson>| match (cx.input(name), field) {
            (Some(input), _) => Ok(input.clone()),
            (None, Some(field)) => field.render(cx, &Map::new()),
            (None, None) => Ok(Value::Null),
        };
        let mut call = Call::new(self.method, self.url(cx)?);
        call.headers(&value("headers", &self.headers)?)?;
        call.query(&value("params", &self.params)?)?;
        call.body(&value("body", &self.body)?);
        self.auth.apply(&mut call, cx)?;
        Ok(call)
    }

    fn url(&self, cx: &NodeContext) -> Result<Resolved, Error> {
        match (cx.input("url"), &self.url) {
            (Some(Value::String(text)), _) => Ok(Resolved { text: text.clone(), shown: text.clone() }),
            (Some(_), _) => Err(Error::invalid("TEMPLATE_FAILED", "the input `url` is no text")
                .hint("give it the address as a text, or name the connection otherwise")),
            (None, Some(url)) => url.render(cx, &Map::new()),
            (None, None) => Err(Error::invalid("TEMPLATE_FAILED", "no input named `url` came")
                .hint("give the node a `url`, or an input of that name in every run")),
        }
    }
}

#[cfg(test)]
mod tests;
