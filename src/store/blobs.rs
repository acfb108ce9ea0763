//! Keeps the bytes that values refer to, once each, by their content.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};

use super::Store;
use super::columns::{Moment, Whole};
use crate::error::Error;
use crate::limits;
use crate::nodes::ports::blobs::{BlobRef, Blobs};

/// Bytes with what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

impl Store {
    /// Returns the bytes with this SHA-256 (64 hex digits).
    ///
    /// # Errors
    ///
    /// Failures of the database.
    pub fn blob(&self, sha256: &str) -> Result<Option<Blob>, Error> {
        self.readers.read(|connection| {
            let sql = "SELECT media_type, bytes FROM blobs WHERE sha256 = ?1";
            let read = |row: &rusqlite::Row<'_>| Ok(Blob { media_type: row.get(0)?, bytes: row.get(1)? });
            Ok(connection.prepare_cached(sql)?.query_row([sha256], read).optional()?)
        })
    }
}

impl Blobs for Store {
    fn put(&self, bytes: Vec<u8>, media_type: String) -> BoxFuture<'_, Result<BlobRef, Error>> {
        Box::pin(async move {
            let size = bytes.len() as u64;
            if size > limits::FILE_BYTES_MAX {
                let message = format!("{size} bytes are too many to keep; {} are the most", limits::FILE_BYTES_MAX);
                return Err(Error::limit("TOO_LARGE", message).hint("fetch a smaller part, or save it with a program"));
            }
            let blob = BlobRef { blob: hex::encode(Sha256::digest(&bytes)), media_type, size };
            let (row, now) = (blob.clone(), self.clock.now());
            self.writer
                .write(move |connection| {
                    let sql = "INSERT INTO blobs (sha256, media_type, size, bytes, created_at)
                               VALUES (?1, ?2, ?3, ?4, ?5)
                               ON CONFLICT (sha256) DO UPDATE SET created_at = excluded.created_at";
                    let values = (&row.blob, &row.media_type, Whole(row.size), &bytes, Moment(now));
                    connection.prepare_cached(sql)?.execute(values)?;
                    Ok(())
                })
                .await?;
            Ok(blob)
        })
    }

    fn get<'a>(&'a self, blob: &'a BlobRef) -> BoxFuture<'a, Result<Arc<[u8]>, Error>> {
        Box::pin(async move {
            let found = self.blob(&blob.blob)?;
            found.map(|it| it.bytes.into()).ok_or_else(|| {
                Error::not_found("FILE_NOT_FOUND", format!("no bytes are kept for blob `{}`", blob.blob))
                    .hint("a reference is only good in the database that made it")
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::TestStore;
    use super::*;

    #[tokio::test]
    async fn the_same_bytes_are_kept_once_and_read_back() {
        let place = TestStore::new();
        let store = place.another();
        let first = store.put(vec![0, 159, 146, 150], "image/png".into()).await.expect("kept");
        let again = store.put(vec![0, 159, 146, 150], "image/png".into()).await.expect("kept");
        assert_eq!((&first, first.size), (&again, 4));
        assert_eq!(&*store.get(&first).await.expect("there"), &[0, 159, 146, 150]);
        let other = BlobRef { blob: "0".repeat(64), ..first };
        assert_eq!(store.get(&other).await.expect_err("not there").code(), "FILE_NOT_FOUND");
    }
}
