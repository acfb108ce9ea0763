//! What models are saying just now in the executions of this process. The text so far is kept for as long as the call
//! lasts, so whoever listens reads it from a mark of their own, as they read the log: a late listener gets what was
//! said before in one piece, a slow one gets larger pieces. Nothing of it is stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::watch;

use crate::ids::ExecutionId;
use crate::nodes::ports::models::TokenSink;
use crate::secret::Scrubber;

/// All replies that are coming in.
pub struct Speaking {
    replies: Mutex<HashMap<ExecutionId, Vec<Arc<Reply>>>>,
    next_id: AtomicU64,
    /// Says that somebody said something more.
    changes: watch::Sender<()>,
}

/// Who speaks.
#[derive(Clone, Debug)]
pub struct Speaker {
    pub execution_id: ExecutionId,
    pub node_id: Arc<str>,
    pub label: Arc<str>,
    /// Id of the person.
    pub person_id: String,
}

/// One reply on its way.
struct Reply {
    id: u64,
    speaker: Speaker,
    text: Mutex<String>,
}

/// The listeners see a reply for as long as this lives.
struct Heard {
    speaking: Arc<Speaking>,
    reply: Arc<Reply>,
}

impl Drop for Heard {
    fn drop(&mut self) {
        let mut replies = lock(&self.speaking.replies);
        let execution_id = &self.reply.speaker.execution_id;
        if let Some(of_one) = replies.get_mut(execution_id) {
            of_one.retain(|it| it.id != self.reply.id);
            if of_one.is_empty() {
                replies.remove(execution_id);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Speaking {
    /// Nobody says anything yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { replies: Mutex::default(), next_id: AtomicU64::new(0), changes: watch::Sender::new(()) })
    }

    /// A sink for one call of a model. What is given to it is heard until it is dropped.
    pub fn sink(self: &Arc<Self>, speaker: Speaker, also: impl Fn(&str) + Send + Sync + 'static) -> TokenSink {
        let me = Arc::clone(self);
        // Most calls that fail do so before the first word.
        let heard = OnceLock::new();
        TokenSink::new(move |text| {
            let heard: &Heard = heard.get_or_init(|| me.begin(speaker.clone()));
            lock(&heard.reply.text).push_str(text);
            me.changes.send_replace(());
            also(text);
        })
    }

    fn begin(self: &Arc<Self>, speaker: Speaker) -> Heard {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let reply = Arc::new(Reply { id, speaker, text: Mutex::default() });
        let mut replies = lock(&self.replies);
        replies.entry(reply.speaker.execution_id.clone()).or_default().push(Arc::clone(&reply));
        Heard { speaking: Arc::clone(self), reply }
    }

    /// Begins to listen to one execution.
    pub fn listen(self: &Arc<Self>, execution_id: ExecutionId) -> Listener {
        let (speaking, changes) = (Arc::clone(self), self.changes.subscribe());
        Listener { speaking, execution_id, heard: HashMap::new(), changes }
    }
}

/// One who listens, and what they have heard of each reply.
pub struct Listener {
    speaking: Arc<Speaking>,
    execution_id: ExecutionId,
    /// Id of a reply to bytes.
    heard: HashMap<u64, usize>,
    changes: watch::Receiver<()>,
}

/// A piece of a reply.
#[derive(Clone, Debug)]
pub struct Piece {
    pub speaker: Speaker,
    pub text: String,
    id: u64,
    /// Bytes of the reply up to its end.
    end: usize,
}

impl Listener {
    /// Waits until somebody may have said more.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns what is new in one of the replies, without secrets. It is new until
    /// [`Listener::take`] takes it.
    pub fn next(&mut self, scrubber: &Scrubber) -> Option<Piece> {
        self.changes.mark_unchanged();
        let replies = lock(&self.speaking.replies).get(&self.execution_id).cloned().unwrap_or_default();
        self.heard.retain(|id, _| replies.iter().any(|it| it.id == *id));
        replies.iter().find_map(|reply| {
            let from = self.heard.get(&reply.id).copied().unwrap_or(0);
            let text = lock(&reply.text);
            let (n_bytes, text) = tellable(&text[from..], scrubber)?;
            Some(Piece { speaker: reply.speaker.clone(), text, id: reply.id, end: from + n_bytes })
        })
    }

    /// Takes note that a piece was told.
    pub fn take(&mut self, piece: &Piece) {
        self.heard.insert(piece.id, piece.end);
    }
}

/// As much of a text as can be told before the rest has come, and its length as it was said: the beginning of a
/// secret must not be told before its end is there to recognise it.
fn tellable(unsaid: &str, scrubber: &Scrubber) -> Option<(usize, String)> {
    if unsaid.is_empty() {
        return None;
    }
    if scrubber.is_idle() {
        return Some((unsaid.len(), unsaid.to_owned()));
    }
    let end = unsaid.floor_char_boundary(unsaid.len().saturating_sub(scrubber.longest()));
    let (now, later) = unsaid.split_at(end);
    let clean = scrubber.text(now);
    // Equal unless a secret lies across.
    let is_whole = format!("{clean}{}", scrubber.text(later)) == scrubber.text(unsaid);
    (end > 0 && is_whole).then(|| (end, clean.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn speaker(n: u32, label: &str) -> Speaker {
        let execution_id = ExecutionId::parse(&format!("exec_{n:032x}")).expect("an id");
        Speaker { execution_id, node_id: "node_1".into(), label: label.into(), person_id: "guide".into() }
    }

    fn told(listener: &mut Listener, scrubber: &Scrubber) -> Vec<String> {
        std::iter::from_fn(|| {
            let piece = listener.next(scrubber)?;
            listener.take(&piece);
            Some(format!("{}: {}", piece.speaker.label, piece.text))
        })
        .collect()
    }

    #[test]
    fn each_listener_hears_from_where_they_are_until_the_call_is_over() {
        let (speaking, scrubber) = (Speaking::new(), Scrubber::default());
        let listen = |n| speaking.listen(speaker(n, "").execution_id);
        let (mut early, mut elsewhere) = (listen(1), listen(2));
        let (a, b) = (speaking.sink(speaker(1, "a"), |_| {}), speaking.sink(speaker(1, "b"), |_| {}));
        a.send("Good ");
        assert_eq!(told(&mut early, &scrubber), ["a: Good "]);
        a.send("mor");
        b.send("Hi");
        a.send("ning");
        let mut late = listen(1);
        assert_eq!(told(&mut late, &scrubber), ["a: Good morning", "b: Hi"]);
        assert_eq!(told(&mut early, &scrubber), ["a: morning", "b: Hi"]);
        assert_eq!(told(&mut elsewhere, &scrubber), [""; 0], "of another execution");
        a.send("!");
        drop(a);
        assert_eq!(told(&mut early, &scrubber), [""; 0], "the whole reply is in the log, or soon will be");
        drop(b);
        assert!(lock(&speaking.replies).is_empty());
    }

    #[test]
    fn a_secret_is_never_told_however_it_is_cut_into_pieces() {
        let scrubber = Scrubber::default();
        scrubber.add(&Secret::new("canary-of-the-day").expect("there is text"));
        let text =
            "The key is canary-of-the-day and nobody is told what canary-of-the-day means, not even in the end …";
        for n_bytes in 1..30 {
            let speaking = Speaking::new();
            let (mut listener, sink) =
                (speaking.listen(speaker(1, "").execution_id), speaking.sink(speaker(1, "a"), |_| {}));
            let mut all = String::new();
            let mut rest = text;
            while !rest.is_empty() {
                let (piece, more) = rest.split_at(rest.ceil_char_boundary(n_bytes));
                sink.send(piece);
                rest = more;
                all.extend(told(&mut listener, &scrubber).iter().map(|it| it.trim_start_matches("a: ").to_owned()));
            }
            let clean = text.replace("canary-of-the-day", "***");
            assert!(clean.replace(' ', "").starts_with(&all.replace(' ', "")), "{n_bytes}: {all}");
            assert!(all.contains("***"), "{n_bytes}: {all}");
        }
    }
}
