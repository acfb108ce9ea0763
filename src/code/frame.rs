//! Messages over pipes: four bytes of length, little end first, then JSON.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Largest message, in bytes: room for large inputs, and a bound for what a worker gone wrong may send.
pub(super) const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Puts the length before `body`.
///
/// # Errors
///
/// `InvalidInput` when it is longer than [`FRAME_BYTES_MAX`].
pub(super) fn pack(body: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(body.len()).ok().filter(|it| *it as usize <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too large"));
    };
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

/// Reads one message, `None` at the end of the stream.
///
/// # Errors
///
/// Those of the pipe, and `InvalidData` for a length that cannot be.
pub(super) fn read(source: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match source.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut body = vec![0; checked(length)?];
    source.read_exact(&mut body)?;
    Ok(Some(body))
}

/// Writes one message.
///
/// # Errors
///
/// Those of the pipe, and as [`pack`].
pub(super) fn write(sink: &mut impl Write, body: &[u8]) -> io::Result<()> {
    sink.write_all(&pack(body)?)?;
    sink.flush()
}

/// As [`read`], without blocking; the end of the stream is an error here.
///
/// # Errors
///
/// As [`read`], and `UnexpectedEof`.
pub(super) async fn read_async(source: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    source.read_exact(&mut length).await?;
    let mut body = vec![0; checked(length)?];
    source.read_exact(&mut body).await?;
    Ok(body)
}

fn checked(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message with an impossible length"));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_arrives_as_it_was_sent() {
        let mut pipe = Vec::new();
        write(&mut pipe, b"one").unwrap();
        write(&mut pipe, b"").unwrap();
        let mut source = pipe.as_slice();
        assert_eq!(read(&mut source).unwrap().as_deref(), Some(b"one".as_slice()));
        assert_eq!(read_async(&mut source).await.unwrap(), b"");
        assert_eq!(read(&mut source).unwrap(), None);
    }

    #[test]
    fn an_impossible_length_is_refused_before_memory_is_taken() {
        assert_eq!(read(&mut [255_u8; 8].as_slice()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
