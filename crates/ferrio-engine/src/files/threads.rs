//! Threads that wait for disks: plain threads, unknown to any interpreter, for jobs of any kind.
//!
//! A thread is started when there are more jobs than idle threads. Threads wait for jobs as long as the pool lives, and end
//! when it is dropped. Nothing waits for them: a disk that never answers must not keep the process from exiting.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crate::fork;
use crate::pool::{Pool, Submit};

/// A job.
pub type Job = Box<dyn FnOnce() + Send>;

/// Threads for jobs.
#[derive(Debug)]
pub struct FileThreads {
    pool: Arc<Pool<Job>>,
}

impl FileThreads {
    /// At most `limit` threads, each started when it is needed.
    pub fn new(limit: usize) -> Self {
        Self { pool: Arc::new(Pool::new(limit)) }
    }

    /// Runs `job` in a thread. Jobs begin in the order in which they were submitted.
    ///
    /// # Errors
    ///
    /// There is no thread and none can be started, or there is no memory. The job is dropped.
    pub fn run(&self, job: Job) -> std::io::Result<()> {
        match self.pool.submit(job) {
            Submit::Queued => Ok(()),
            Submit::Spawn => self.spawn(),
            Submit::OutOfMemory(_) => Err(std::io::ErrorKind::OutOfMemory.into()),
            Submit::Closed(_) => unreachable!("the pool is closed when it is dropped"),
        }
    }

    /// The current number of threads.
    pub fn count(&self) -> usize {
        self.pool.workers()
    }

    #[cold]
    fn spawn(&self) -> std::io::Result<()> {
        let pool = self.pool.clone();
        let work = move || {
            let forks = fork::count();
            while let Some(job) = pool.next() {
                // A panic has already been reported; the thread goes on.
                drop(catch_unwind(AssertUnwindSafe(job)));
                if fork::count() != forks {
                    // The job forked, and this is the child: the pool and its lock belong to the parent.
                    return;
                }
            }
        };
        let Err(failure) = thread::Builder::new().name("ferrio-files".into()).spawn(work) else {
            return Ok(());
        };
        self.pool.forget_worker();
        if self.pool.workers() > 0 {
            return Ok(());
        }
        drop(self.pool.more());
        Err(failure)
    }
}

impl Drop for FileThreads {
    fn drop(&mut self) {
        self.pool.close();
    }
}
