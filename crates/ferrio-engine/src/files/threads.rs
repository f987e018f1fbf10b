//! The threads that wait for disks: plain threads that no interpreter knows, for jobs of any kind.
//!
//! They are made when there is more to do than idle threads, wait for jobs as long as the pool lives, and end when it is
//! dropped. Nobody waits for them: a disk that never answers must not keep the process from exiting.

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
    /// At most so many threads; none is made before it is needed.
    pub fn new(limit: usize) -> Self {
        Self { pool: Arc::new(Pool::new(limit)) }
    }

    /// Has a thread run `job`. Jobs are begun in the order in which they came.
    ///
    /// # Errors
    ///
    /// No thread is there and none can be made, or there is no memory; the job is dropped.
    pub fn run(&self, job: Job) -> std::io::Result<()> {
        match self.pool.submit(job) {
            Submit::Queued => Ok(()),
            Submit::Spawn => self.spawn(),
            Submit::OutOfMemory(_) => Err(std::io::ErrorKind::OutOfMemory.into()),
            Submit::Closed(_) => unreachable!("the pool is closed when it is dropped"),
        }
    }

    /// Threads at the moment.
    pub fn count(&self) -> usize {
        self.pool.workers()
    }

    #[cold]
    fn spawn(&self) -> std::io::Result<()> {
        let pool = self.pool.clone();
        let work = move || {
            let forks = fork::count();
            while let Some(job) = pool.next() {
                // A job that panics has told so; the thread goes on.
                drop(catch_unwind(AssertUnwindSafe(job)));
                if fork::count() != forks {
                    // The job forked, and this is the child: the pool, and its lock, are the parent's.
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
