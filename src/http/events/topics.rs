//! What one socket follows: several topics, pulled in turn, so that a busy one does not starve the others.

use std::task::Poll;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::error::Error;
use crate::handlers::follow_execution::EventRecord;
use crate::limits;

/// The topics of one socket.
#[derive(Default)]
pub(super) struct Topics {
    all: Vec<(String, BoxStream<'static, Result<EventRecord, Error>>)>,
    /// Whose turn it is.
    next: usize,
}

/// What a topic has to tell.
pub(super) enum News {
    Event(EventRecord),
    /// Nothing will come any more; the topic is gone.
    Over,
    /// Its store failed; the topic is gone.
    Failed(Error),
}

impl Topics {
    /// Whether another topic can be followed.
    ///
    /// # Errors
    ///
    /// `ALREADY_EXISTS` for one that is followed already, `TOO_MANY_SUBSCRIPTIONS`.
    pub fn check(&self, name: &str) -> Result<(), Error> {
        if self.all.iter().any(|(it, _)| it == name) {
            return Err(Error::conflict("ALREADY_EXISTS", format!("you follow `{name}` already"))
                .hint("unsubscribe first to begin elsewhere"));
        }
        if self.all.len() >= limits::TOPICS_PER_SOCKET_MAX {
            return Err(Error::limit(
                "TOO_MANY_SUBSCRIPTIONS",
                format!("you follow {} topics already", self.all.len()),
            )
            .hint("unsubscribe from some, or follow `executions`"));
        }
        Ok(())
    }

    /// Follows a topic; [`Topics::check`] has let it pass.
    pub fn add(&mut self, name: String, events: BoxStream<'static, Result<EventRecord, Error>>) {
        self.all.push((name, events));
    }

    /// Follows a topic no longer. Says whether it was followed.
    pub fn remove(&mut self, name: &str) -> bool {
        let n_before = self.all.len();
        self.all.retain(|(it, _)| it != name);
        self.all.len() < n_before
    }

    /// Waits for what any topic has to tell. Never returns while there is none. Giving it up loses nothing.
    pub async fn next(&mut self) -> (String, News) {
        std::future::poll_fn(|cx| {
            let n = self.all.len();
            for idx in (0..n).map(|step| (self.next + step) % n) {
                let (name, events) = &mut self.all[idx];
                let Poll::Ready(news) = events.poll_next_unpin(cx) else { continue };
                let name = name.clone();
                self.next = idx + 1;
                let news = match news {
                    Some(Ok(event)) => return Poll::Ready((name, News::Event(event))),
                    Some(Err(error)) => News::Failed(error),
                    None => News::Over,
                };
                self.remove(&name);
                return Poll::Ready((name, news));
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use serde_json::Map;

    use super::*;

    fn events(n: u64) -> BoxStream<'static, Result<EventRecord, Error>> {
        stream::iter((1..=n).map(|seq| Ok(EventRecord { seq, event: "x".into(), data: Map::new() }))).boxed()
    }

    #[tokio::test]
    async fn topics_take_turns_and_go_when_they_are_over() {
        let mut topics = Topics::default();
        topics.add("a".into(), events(3));
        topics.add("b".into(), events(1));
        assert_eq!(topics.check("b").expect_err("twice").code(), "ALREADY_EXISTS");
        let mut told = Vec::new();
        for _ in 0..6 {
            let (name, news) = topics.next().await;
            told.push(match news {
                News::Event(event) => format!("{name}{}", event.seq),
                News::Over => format!("{name} over"),
                News::Failed(error) => format!("{name} {error}"),
            });
        }
        assert_eq!(told, ["a1", "b1", "a2", "b over", "a3", "a over"]);
        assert!(!topics.remove("a"));
        for n in 0..limits::TOPICS_PER_SOCKET_MAX {
            topics.add(n.to_string(), events(0));
        }
        assert_eq!(topics.check("b").expect_err("full").code(), "TOO_MANY_SUBSCRIPTIONS");
    }
}
