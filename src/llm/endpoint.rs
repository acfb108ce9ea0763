//! Where a call goes, with what key, and in which wire format.

use reqwest::header::HeaderName;
use serde_json::Value;

use super::draft::Draft;
use super::failure::Failed;
use crate::diagram::Service;
use crate::nodes::ports::{ModelRequest, Purpose};
use crate::secret::Secret;

/// The far end of one call.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub service: Service,
    /// Without a slash at the end.
    pub base_url: String,
    pub key: Option<Secret>,
    pub model: String,
    pub wire: &'static dyn Wire,
    /// Whether this is the provider's own address, where its price list holds.
    pub is_official: bool,
}

/// A wire format: what is sent and how the reply is read. Pure.
pub(super) trait Wire: Sync {
    /// The format as hints call it: "the chat-completions format".
    fn format_name(&self) -> &'static str;

    /// A reply as errors call it: "chat completion".
    fn reply_name(&self) -> &'static str;

    /// Where to post, below the base address; query included.
    fn path(&self, model: &str) -> String;

    /// The header that carries the key.
    fn authorization(&self, key: &Secret) -> (HeaderName, String);

    /// Headers that every call has.
    fn headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// The body. `dialect` says what the server has refused so far.
    fn body(&self, request: &ModelRequest, model: &str, dialect: Dialect) -> Value;

    /// Reads one reply.
    fn reader(&self) -> Box<dyn Reader>;
}

/// Reads the events of one reply.
pub(super) trait Reader: Send {
    /// Takes one event of the stream, or the whole reply of a server that does not stream.
    ///
    /// # Errors
    ///
    /// A failure that the server put into its reply.
    fn take(&mut self, event: &Value, draft: &mut Draft) -> Result<(), Failed>;
}

/// How a server wants what servers disagree on. Each thing is adapted once at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    /// Whether the limit of tokens goes by its other name.
    pub swaps_max_tokens: bool,
    pub takes_temperature: bool,
    /// Whether the schema goes where the format has a place for it; else it is told in words.
    pub takes_schema: bool,
    /// Whether the server may be asked for usage at the end of a stream.
    pub takes_stream_options: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { swaps_max_tokens: false, takes_temperature: true, takes_schema: true, takes_stream_options: true }
    }
}

impl Dialect {
    /// Returns the dialect to try after `refusal`, if it complains of something that can be said in another
    /// way. A temperature that the diagram asked for is never dropped: that is the user's to know.
    pub(super) fn adapted(self, request: &ModelRequest, refusal: &Failed) -> Option<Self> {
        match refusal.refused_parameter() {
            Some("max_tokens" | "max_completion_tokens") if !self.swaps_max_tokens => {
                return Some(Self { swaps_max_tokens: true, ..self });
            }
            Some("temperature") if self.takes_temperature && request.purpose != Purpose::Reply => {
                return Some(Self { takes_temperature: false, ..self });
            }
            Some("stream_options") if self.takes_stream_options => {
                return Some(Self { takes_stream_options: false, ..self });
            }
            _ => {}
        }
        let is_about_schema = self.takes_schema && request.schema.is_some() && refusal.refuses_schema();
        is_about_schema.then_some(Self { takes_schema: false, ..self })
    }
}
