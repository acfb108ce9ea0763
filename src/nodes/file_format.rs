//! File formats: bytes to text to values and back. Knows nothing of where files are.

use serde_json::{Map, Value};

use super::content::{as_text, pretty};
use crate::error::Error;

/// How a file's text holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Json,
    Yaml,
    Csv,
    Text,
    Xml,
}

impl FileFormat {
    /// The names a `format` field may have.
    pub const NAMES: &[&str] = &["json", "yaml", "csv", "text", "xml"];

    /// Reads one of [`FileFormat::NAMES`].
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "yaml" => Some(Self::Yaml),
            "csv" => Some(Self::Csv),
            "text" => Some(Self::Text),
            "xml" => Some(Self::Xml),
            _ => None,
        }
    }

    /// The format that the suffix of `path` promises; text for all it does not know.
    pub fn of_suffix(path: &str) -> Self {
        match suffix(path).as_str() {
            "json" => Self::Json,
            "yaml" | "yml" => Self::Yaml,
            "csv" => Self::Csv,
            _ => Self::Text,
        }
    }

    /// Reads the value in `text`; `path` is for messages.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` when the text is not of this format.
    pub fn decode(self, text: &str, path: &str) -> Result<Value, Error> {
        let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self {
            Self::Text | Self::Xml => Ok(Value::String(text.to_owned())),
            Self::Json => serde_json::from_str(bare).map_err(|error| {
                let place = format!("line {} column {}", error.line(), error.column());
                malformed(path, "JSON", &place).hint("write `format: text` to take it as it is").source(error)
            }),
            Self::Yaml => from_yaml(bare).map_err(|error| malformed(path, "YAML", &error)),
            Self::Csv => from_csv(bare, path),
        }
    }

    /// Returns the text that holds `value`. Texts are written as they are, but for text that is not JSON,
    /// which becomes a JSON string in JSON.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` when the value does not fit the format.
    pub fn encode(self, value: &Value, path: &str) -> Result<String, Error> {
        match (self, value) {
            (Self::Json, Value::String(text)) if serde_json::from_str::<Value>(text).is_ok() => Ok(text.clone()),
            (Self::Json, other) => Ok(pretty(other)),
            (_, Value::String(text)) => Ok(text.clone()),
            (Self::Text | Self::Xml, other) => Ok(as_text(other)),
            (Self::Yaml, other) => to_yaml(other).map_err(|error| malformed(path, "YAML", &error)),
            (Self::Csv, other) => to_csv(other, path),
        }
    }
}

/// Returns the suffix of `path` in lower case, without the dot.
pub fn suffix(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.rsplit_once('.').map(|(_, suffix)| suffix.to_ascii_lowercase()).unwrap_or_default()
}

/// How bytes spell text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    #[default]
    Utf8,
    /// With a byte order mark, which is no part of the text.
    Utf8Sig,
    Latin1,
}

impl Encoding {
    /// The names an `encoding` field may have.
    pub const NAMES: &[&str] = &["utf-8", "utf-8-sig", "latin-1", "utf8", "iso-8859-1"];

    /// Reads one of [`Encoding::NAMES`].
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "utf-8" | "utf8" => Some(Self::Utf8),
            "utf-8-sig" => Some(Self::Utf8Sig),
            "latin-1" | "iso-8859-1" => Some(Self::Latin1),
            _ => None,
        }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` naming the byte that does not fit.
    pub fn decode(self, bytes: Vec<u8>, path: &str) -> Result<String, Error> {
        if self == Self::Latin1 {
            return Ok(bytes.into_iter().map(char::from).collect());
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Error::external("FILE_FAILED", format!("`{path}` is not UTF-8 text: byte {at} does not fit"))
                .hint("give `encoding: latin-1` if that is what it is; files of bytes cannot be read as text")
        })?;
        match text.strip_prefix('\u{feff}') {
            Some(bare) if self == Self::Utf8Sig => Ok(bare.to_owned()),
            _ => Ok(text),
        }
    }

    /// Returns the bytes of `text`.
    ///
    /// # Errors
    ///
    /// `FILE_FAILED` naming a character the encoding does not have.
    pub fn encode(self, text: &str, path: &str) -> Result<Vec<u8>, Error> {
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Utf8Sig => Ok(format!("\u{feff}{text}").into_bytes()),
            Self::Latin1 => text
                .chars()
                .map(|it| {
                    u8::try_from(u32::from(it)).map_err(|_| {
                        Error::external("FILE_FAILED", format!("latin-1 has no `{it}`, which `{path}` would need"))
                            .hint("use `encoding: utf-8`")
                    })
                })
                .collect(),
        }
    }
}

fn from_yaml(text: &str) -> Result<Value, String> {
    let options = serde_yaml::options! { strict_booleans: true, with_snippet: false };
    serde_yaml::from_str_with_options(text, options).map_err(|error| error.to_string())
}

fn to_yaml(value: &Value) -> Result<String, String> {
    // Long texts stay on one line: folding them changes what a reader greps for.
    let options = serde_yaml::ser_options! { min_fold_chars: usize::MAX };
    serde_yaml::to_string_with_options(value, options).map_err(|error| error.to_string())
}

/// Reads a table whose first row names its columns; values are texts.
fn from_csv(text: &str, path: &str) -> Result<Value, Error> {
    let failed = |error: csv::Error| malformed(path, "CSV", &error.to_string());
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().map_err(failed)?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let cells = header.iter().zip(record.iter()).map(|(key, cell)| (key.to_owned(), cell.into()));
        rows.push(Value::Object(cells.collect::<Map<_, _>>()));
    }
    Ok(Value::Array(rows))
}

/// Writes a list of maps (columns in the order they first appear) or a list of lists.
fn to_csv(value: &Value, path: &str) -> Result<String, Error> {
    let no_table = || {
        Error::external("FILE_FAILED", format!("the value for `{path}` is no table"))
            .hint("CSV takes a list of mappings or a list of lists; use another `format` for other values")
    };
    let rows = value.as_array().ok_or_else(no_table)?;
    let mut columns: Vec<&String> = Vec::new();
    for key in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&key) {
            columns.push(key);
        }
    }
    let failed = |error: csv::Error| malformed(path, "CSV", &error.to_string());
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    if !columns.is_empty() {
        writer.write_record(&columns).map_err(failed)?;
    }
    for row in rows {
        let cells: Vec<String> = match row {
            Value::Object(map) => columns.iter().map(|it| map.get(*it).map(cell).unwrap_or_default()).collect(),
            Value::Array(cells) => cells.iter().map(cell).collect(),
            _ => return Err(no_table()),
        };
        writer.write_record(&cells).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| malformed(path, "CSV", &error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| malformed(path, "CSV", &error.to_string()))
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn malformed(path: &str, format: &str, detail: &str) -> Error {
    Error::external("FILE_FAILED", format!("`{path}` is not {format}: {detail}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_format_reads_what_it_writes() {
        let rows = json!([{"name": "Ann", "age": "30"}, {"name": "B, C", "age": "\"x\"\n"}]);
        for (format, value, text) in [
            (FileFormat::Json, json!({"a": 1}), "{\n  \"a\": 1\n}"),
            (FileFormat::Text, json!("as it\nis"), "as it\nis"),
            (FileFormat::Xml, json!("<a/>"), "<a/>"),
            (FileFormat::Yaml, json!({"a": [1, "yes", null, true]}), "a:\n  - 1\n  - yes\n  - null\n  - true\n"),
            (FileFormat::Csv, rows, "name,age\nAnn,30\n\"B, C\",\"\"\"x\"\"\n\"\n"),
        ] {
            let written = format.encode(&value, "f").expect("it encodes");
            if format != FileFormat::Yaml {
                assert_eq!(written, text, "{format:?}");
            }
            assert_eq!(format.decode(&written, "f").expect("it decodes"), value, "{format:?}");
            assert_eq!(format.decode(text, "f").expect("it decodes"), value, "{format:?}");
        }
    }

    #[test]
    fn text_becomes_a_json_string_only_where_it_is_no_json() {
        for (text, expected) in [("plain", "\"plain\""), ("{\"a\":1}", "{\"a\":1}"), ("42", "42")] {
            assert_eq!(FileFormat::Json.encode(&json!(text), "f").expect("it encodes"), expected);
        }
    }

    #[test]
    fn what_does_not_fit_fails_and_names_the_file() {
        for (format, text) in [
            (FileFormat::Json, "{a}"),
            (FileFormat::Yaml, "a: [1"),
            (FileFormat::Csv, "a,b\n1,2,3\n"),
            (FileFormat::Yaml, "a: &x [*x]"),
        ] {
            let error = format.decode(text, "dir/f").expect_err(text);
            assert_eq!(error.code(), "FILE_FAILED", "{text}");
            assert!(error.message().contains("`dir/f`"), "{error}");
        }
        assert!(FileFormat::Csv.encode(&json!({"a": 1}), "f").is_err());
    }

    #[test]
    fn encodings_keep_their_promises() {
        let latin = Encoding::Latin1;
        assert_eq!(latin.decode(vec![0x67, 0xfc], "f").expect("any byte fits"), "gü");
        assert_eq!(latin.encode("gü", "f").expect("it fits"), [0x67, 0xfc]);
        assert!(latin.encode("€", "f").is_err());
        assert_eq!(Encoding::Utf8Sig.decode(b"\xef\xbb\xbfa".to_vec(), "f").expect("it fits"), "a");
        assert!(Encoding::Utf8.decode(vec![0xff], "f").is_err());
    }
}
