//! Counts the memory that code takes while it runs. The Python interpreter checks a counter as it
//! goes; nothing in this program counts allocations, so a thread reads the size of the process into
//! that counter. What grows faster than it looks is stopped by the limit of the process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use monty_types::{BASELINE_MEMORY, LIVE_MEMORY};

/// How often the size is read while code runs. In this time a fast program takes some 10 MiB.
const PERIOD: Duration = Duration::from_millis(4);
/// Size of a page in `statm`, in bytes: the smallest of all systems, so we never count too much.
const PAGE_BYTES: usize = 4096;

/// The thread that counts, asleep between jobs.
pub(super) struct MemoryWatch {
    /// Opened before the process gives up its access to files.
    statm: Option<File>,
    is_running: Mutex<bool>,
    changed: Condvar,
}

impl MemoryWatch {
    /// Starts the thread. On a system without `/proc` it counts nothing.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let statm = File::open("/proc/self/statm").ok();
        let watch = Arc::new(Self { statm, is_running: Mutex::new(false), changed: Condvar::new() });
        if watch.statm.is_some() {
            let shared = Arc::clone(&watch);
            thread::Builder::new().name("memory".into()).stack_size(128 * 1024).spawn(move || shared.count())?;
        }
        Ok(watch)
    }

    /// A job begins: what the process has now is not its doing.
    pub(super) fn begin(&self) {
        let now = self.resident_bytes();
        BASELINE_MEMORY.store(now, Ordering::Relaxed);
        LIVE_MEMORY.store(now, Ordering::Relaxed);
        *self.lock() = true;
        self.changed.notify_one();
    }

    /// The job has ended.
    pub(super) fn end(&self) {
        *self.lock() = false;
    }

    fn count(&self) -> ! {
        let mut is_running = self.lock();
        loop {
            while !*is_running {
                is_running = self.changed.wait(is_running).unwrap_or_else(PoisonError::into_inner);
            }
            let (guard, _) = self.changed.wait_timeout(is_running, PERIOD).unwrap_or_else(PoisonError::into_inner);
            is_running = guard;
            LIVE_MEMORY.store(self.resident_bytes(), Ordering::Relaxed);
        }
    }

    /// Reads the second number of `statm`.
    fn resident_bytes(&self) -> usize {
        let mut text = [0; 64];
        let n_read = self.statm.as_ref().and_then(|it| it.read_at(&mut text, 0).ok()).unwrap_or(0);
        let text = String::from_utf8_lossy(&text[..n_read]);
        let n_pages = text.split_ascii_whitespace().nth(1).and_then(|it| it.parse::<usize>().ok());
        n_pages.unwrap_or(0).saturating_mul(PAGE_BYTES)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
