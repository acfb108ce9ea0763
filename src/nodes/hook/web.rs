//! A hook that calls a web address.

use serde_json::{Map, Value};

use super::envelope;
use crate::error::Error;
use crate::nodes::addresses;
use crate::nodes::api_job::read_map;
use crate::nodes::http_call::{Call, METHODS, decode};
use crate::nodes::secrets::{SecretJson, SecretText};
use crate::nodes::{Fields, NodeContext, Output};

pub(super) struct Web {
    url: Option<SecretText>,
    method: &'static str,
    headers: Option<SecretJson>,
    body: Option<SecretJson>,
}

pub(super) fn read(fields: &mut Fields<'_>) -> Web {
    let text = fields.text_not_blank("url");
    if text.is_none() && fields.tree("url").is_none_or(|it| it.as_text().is_some()) {
        fields.missing("url");
    }
    if let Some(text) = &text {
        addresses::check_field(fields, "url", text);
    }
    Web {
        url: text.and_then(|text| SecretText::read(fields, "url", &text)),
        method: fields.choice("method", METHODS).unwrap_or("POST"),
        headers: read_map(fields, "headers"),
        body: SecretJson::of_field(fields, "body"),
    }
}

impl Web {
    pub(super) async fn run(&self, cx: &NodeContext) -> Result<Output, Error> {
        let url = self.url.as_ref().ok_or_else(|| Error::internal("an http hook without a url"))?;
        let mut call = Call::new(self.method, url.render(cx, &Map::new())?);
        if let Some(headers) = &self.headers {
            call.headers(&headers.render(cx, &Map::new())?)?;
        }
        match &self.body {
            Some(body) => call.body(&body.render(cx, &Map::new())?),
            None if matches!(self.method, "GET" | "HEAD") => {}
            None => call.body(&default_body(cx)),
        }
        let answer = call.send(cx, &[]).await?;
        let mut output = Output::value(decode(cx, answer.reply).await?);
        output.meta.insert("http".to_owned(), answer.meta);
        Ok(output)
    }
}

fn default_body(cx: &NodeContext) -> Value {
    let mut body = envelope(cx);
    body.insert("hook_type".to_owned(), "hook_node".into());
    Value::Object(body)
}
