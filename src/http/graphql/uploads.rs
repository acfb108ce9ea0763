//! Requests with a file (the GraphQL multipart request convention): `operations`, `map`, then the file. The file is
//! handed on piece by piece while the operation runs, so that its size costs no memory; hence one file a request.

use std::io;
use std::sync::{Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::io::StreamReader;

use super::parameters::Parameters;
use super::types::scalars::PLACE;
use crate::error::Error;
use crate::limits;

/// Pieces of the file that wait to be taken.
const PIECES_WAITING: usize = 4;
/// Largest `map`, in bytes: it names one file.
const MAP_BYTES_MAX: usize = 64 * 1024;
/// The number of the one file.
const NUMBER: usize = 0;

/// What is read of a file.
pub type Body = StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>;

/// A file on its way.
pub struct Incoming {
    pub filename: String,
    pub content_type: Option<String>,
    pub body: Body,
}

/// The file of a request, until the field that wants it takes it.
#[derive(Default)]
pub struct Files(Mutex<Option<Incoming>>);

impl Files {
    fn one(file: Incoming) -> Self {
        Self(Mutex::new(Some(file)))
    }

    /// Takes the file that a variable stands for.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` when it was taken already, or never was there: a client can make the number up.
    pub fn take(&self, number: usize) -> Result<Incoming, Error> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.filter(|_| number == NUMBER).ok_or_else(|| invalid("the request has no such file, or it was used before"))
    }
}

/// A request with its file still to come.
pub struct Sent {
    multipart: Multipart,
    /// The name of the file's part; none when `map` names no file.
    part: Option<String>,
    pub parameters: Parameters,
}

/// Reads what comes before the file.
///
/// # Errors
///
/// `INVALID_INPUT`, `INVALID_JSON`, `TOO_LARGE`, `REQUEST_TIMEOUT`.
pub async fn begin(request: Request) -> Result<Sent, Error> {
    let multipart = Multipart::from_request(request, &()).await;
    let mut multipart = multipart.map_err(|_| invalid("the request has no boundary between its parts"))?;
    let operations = named(&mut multipart, "operations", limits::GRAPHQL_MESSAGE_BYTES_MAX).await?;
    let map = named(&mut multipart, "map", MAP_BYTES_MAX).await?;
    let mut operations = json("operations", &operations)?;
    let Value::Object(map) = json("map", &map)? else { return Err(invalid("`map` is no object")) };
    if map.len() > 1 {
        return Err(invalid(&format!("the request has {} files, and one is taken", map.len())));
    }
    let mut part = None;
    for (name, paths) in map {
        let paths = paths.as_array().ok_or_else(|| invalid("`map` names lists of paths"))?;
        for path in paths {
            let place = path.as_str().and_then(|it| place(&mut operations, it));
            let place = place.ok_or_else(|| invalid("a path of `map` leads to no variable that is null"))?;
            *place = format!("{PLACE}{NUMBER}").into();
        }
        part = Some(name);
    }
    Ok(Sent { multipart, part, parameters: Parameters::read(operations)? })
}

/// The variable at a path such as `variables.file`.
fn place<'v>(operations: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    let path = path.strip_prefix("variables.")?;
    let start = operations.get_mut("variables")?;
    let found = path.split('.').try_fold(start, |value, step| match value {
        Value::Array(items) => items.get_mut(step.parse::<usize>().ok()?),
        Value::Object(fields) => fields.get_mut(step),
        _ => None,
    });
    found.filter(|it| it.is_null())
}

fn json(name: &str, text: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(text).map_err(|problem| {
        Error::invalid("INVALID_JSON", format!("the part `{name}` is not JSON: {problem}"))
            .hint("write the request there, with null in the place of the file")
    })
}

/// Reads the next part, which must be `name`.
async fn named(multipart: &mut Multipart, name: &str, bytes_max: usize) -> Result<Vec<u8>, Error> {
    let missing = || invalid(&format!("the next part is not `{name}`"));
    let mut field = in_time(multipart.next_field()).await?.filter(|it| it.name() == Some(name)).ok_or_else(missing)?;
    let mut text = Vec::new();
    while let Some(piece) = in_time(field.chunk()).await? {
        if text.len() + piece.len() > bytes_max {
            return Err(Error::limit("TOO_LARGE", format!("the part `{name}` is too large"))
                .hint(format!("send at most {bytes_max} bytes")));
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

/// A client that sends byte by byte holds nobody up.
async fn in_time<T>(read: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Error> {
    match timeout(limits::BODY_TIME, read).await {
        Ok(outcome) => outcome.map_err(|error| broken(&error)),
        Err(_) => Err(Error::limit("REQUEST_TIMEOUT", "the request body did not come in time")
            .hint(format!("send something every {} s", limits::BODY_TIME.as_secs()))),
    }
}

fn broken(error: &MultipartError) -> Error {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Error::limit("TOO_LARGE", "the file is too large")
            .hint(format!("send at most {} bytes", limits::UPLOAD_BYTES_MAX));
    }
    invalid(&format!("the parts of the request cannot be read: {}", error.body_text()))
}

fn invalid(message: &str) -> Error {
    Error::invalid("INVALID_INPUT", message).hint(
        "send the parts `operations`, `map` and then one file, as the GraphQL multipart request convention has it",
    )
}

impl Sent {
    /// Runs the operation with the file while the file comes in.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` when the file's part is not the next one.
    pub async fn with_file<T, F>(mut self, run: impl FnOnce(Parameters, Files) -> F) -> Result<T, Error>
    where
        F: Future<Output = T>,
    {
        let Some(part) = self.part else { return Ok(run(self.parameters, Files::default()).await) };
        let field = in_time(self.multipart.next_field()).await?;
        let field = field.filter(|it| it.name() == Some(part.as_str()) && it.file_name().is_some());
        let field = field.ok_or_else(|| invalid(&format!("the next part is not the file `{part}`")))?;
        let (pieces, waiting) = mpsc::channel(PIECES_WAITING);
        let file = Incoming {
            filename: field.file_name().unwrap_or_default().to_owned(),
            content_type: field.content_type().map(str::to_owned),
            body: reader(waiting),
        };
        let (outcome, ()) = tokio::join!(run(self.parameters, Files::one(file)), hand_on(field, pieces));
        Ok(outcome)
    }
}

fn reader(waiting: mpsc::Receiver<io::Result<Bytes>>) -> Body {
    let pieces = unfold(waiting, async |mut waiting| waiting.recv().await.map(|it| (it, waiting)));
    StreamReader::new(pieces.boxed())
}

/// Reads the file until its end or until nobody wants it. What broke off is an error there, never a shorter file.
async fn hand_on(mut field: Field<'_>, pieces: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let piece = tokio::select! {
            piece = in_time(field.chunk()) => piece,
            () = pieces.closed() => return,
        };
        let (piece, is_last) = match piece {
            Ok(Some(piece)) => (Ok(piece), false),
            Ok(None) => return,
            Err(error) => (Err(io::Error::other(Broken(error.message().to_owned()))), true),
        };
        if pieces.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

/// Why a file broke off.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(String);

#[cfg(test)]
mod tests {
    use axum::body::Body as HttpBody;
    use axum::http::header;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn part(name: &str, content: &str) -> String {
        let file = if name.len() == 1 { "; filename=\"a.txt\"" } else { "" };
        format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n{content}\r\n")
    }

    fn request(parts: &[(&str, &str)], end: &str) -> Request {
        let body: String = parts.iter().map(|(name, content)| part(name, content)).collect();
        let request = Request::builder().header(header::CONTENT_TYPE, "multipart/form-data; boundary=X");
        request.body(HttpBody::from(body + end)).expect("a request")
    }

    /// The value of the variable, and what was read of the file.
    async fn said(parts: &[(&str, &str)], end: &str) -> Result<(String, io::Result<String>), Error> {
        let run = async |parameters: Parameters, files: Files| {
            let mut text = String::new();
            let read = match files.take(0) {
                Ok(mut file) => file.body.read_to_string(&mut text).await.map(|_| text),
                Err(_) => Ok("no file".to_owned()),
            };
            (parameters.variables["f"].to_string(), read)
        };
        begin(request(parts, end)).await?.with_file(run).await
    }

    const OPERATIONS: &str = r#"{"query": "{a}", "variables": {"f": null}}"#;
    const MAP: &str = r#"{"0": ["variables.f"]}"#;

    #[tokio::test]
    async fn a_file_takes_the_place_of_its_variable_and_is_read_to_its_end() {
        let long = "x".repeat(1024 * 1024);
        let parts = [("operations", OPERATIONS), ("map", MAP), ("0", long.as_str())];
        let (variable, file) = said(&parts, "--X--\r\n").await.expect("it reads");
        assert_eq!((variable.as_str(), file.expect("whole")), ("\"#__graphql_file__:0\"", long));
        let (variable, file) = said(&[("operations", OPERATIONS), ("map", "{}")], "--X--\r\n").await.expect("it reads");
        assert_eq!((variable.as_str(), file.expect("nothing").as_str()), ("null", "no file"));
    }

    #[tokio::test]
    async fn a_file_that_breaks_off_is_an_error_and_no_shorter_file() {
        let parts = [("operations", OPERATIONS), ("map", MAP), ("0", "half")];
        let (_, file) = said(&parts, "").await.expect("it begins");
        assert!(file.is_err());
    }

    #[tokio::test]
    async fn a_file_that_nobody_takes_holds_nothing_up() {
        let long = "x".repeat(1024 * 1024);
        let parts = [("operations", OPERATIONS), ("map", MAP), ("0", long.as_str())];
        let sent = begin(request(&parts, "--X--\r\n")).await.expect("it reads");
        assert_eq!(sent.with_file(async |_, _| 1).await.expect("it runs"), 1);
    }

    #[tokio::test]
    async fn a_request_that_breaks_the_convention_is_refused() {
        let two = r#"{"0": ["variables.f"], "1": ["variables.f"]}"#;
        for (parts, expected) in [
            (&[][..], "INVALID_INPUT"),
            (&[("operations", OPERATIONS)], "INVALID_INPUT"),
            (&[("map", MAP), ("operations", OPERATIONS)], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", "[]")], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", MAP)], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", MAP), ("1", "x")], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", two), ("0", "x")], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", r#"{"0": ["variables.g"]}"#), ("0", "x")], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", r#"{"0": ["query"]}"#), ("0", "x")], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", r#"{"0": [1]}"#), ("0", "x")], "INVALID_INPUT"),
            (&[("operations", OPERATIONS), ("map", r#"{"0": 1}"#), ("0", "x")], "INVALID_INPUT"),
            (&[("operations", "[{}]"), ("map", "{}")], "INVALID_INPUT"),
            (&[("operations", "{"), ("map", "{}")], "INVALID_JSON"),
            (&[("operations", OPERATIONS), ("map", "{")], "INVALID_JSON"),
        ] {
            assert_eq!(said(parts, "--X--\r\n").await.err().map(|it| it.code()), Some(expected), "{parts:?}");
        }
    }
}
