//! The threads that hash passwords: few, at low priority, with a short queue, so that a flood of sign-ins starves nobody else.

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::{
    clock::Clock,
    crypto::passwords::{Memory, PasswordHasher},
    telemetry::{
        error_chain::ErrorChain,
        metrics::{Metrics, seconds},
    },
};

/// How long a thread keeps its memory when there is nothing to hash.
const KEEP_MEMORY: Duration = Duration::from_secs(30);
/// How much later than other threads these get their turn (0 like all, 19 last).
const NICENESS: i32 = 10;

/// How many hashes are made and waited for at once.
#[derive(Debug, Clone, Copy)]
pub struct PasswordPoolOptions {
    /// Threads; 0 means half as many as cores, at least one.
    pub threads: usize,
    /// Hashes that may wait for a thread.
    pub queue: usize,
}

/// The right to have one password hashed.
#[derive(Debug)]
pub struct Slot {
    _permit: OwnedSemaphorePermit,
}

/// The threads and their queue. They start with the first hash, and end when this is dropped.
pub struct PasswordPool {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    threads: usize,
    places: usize,
    started: OnceLock<usize>,
}

type Job = Box<dyn FnOnce(&PasswordHasher, &mut Memory) + Send>;

struct Shared {
    hasher: PasswordHasher,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl PasswordPool {
    /// A pool that hashes as `hasher` does. No thread is started yet.
    #[must_use]
    pub fn new(hasher: PasswordHasher, options: PasswordPoolOptions, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let threads = if options.threads == 0 { (cores() / 2).max(1) } else { options.threads };
        metrics.password_hash_queue_limit.set(i64::try_from(options.queue).unwrap_or(i64::MAX));
        let shared = Shared { hasher, clock, metrics, queue: Mutex::default(), work: Condvar::new() };
        Self {
            shared: Arc::new(shared),
            slots: Arc::new(Semaphore::new(threads + options.queue)),
            threads,
            places: threads + options.queue,
            started: OnceLock::new(),
        }
    }

    /// How many passwords may be hashed or wait at once.
    #[must_use]
    pub fn places(&self) -> usize {
        self.places
    }

    /// The right to have one password hashed; nothing where as many as may wait are waiting.
    #[must_use]
    pub fn reserve(&self) -> Option<Slot> {
        Arc::clone(&self.slots).try_acquire_owned().ok().map(|permit| Slot { _permit: permit })
    }

    /// Does `work` on one of the threads; nothing where it could not be done. A caller who stops waiting is not worked for.
    pub async fn run<T: Send + 'static>(
        &self,
        slot: Slot,
        work: impl FnOnce(&PasswordHasher, &mut Memory) -> T + Send + 'static,
    ) -> Option<T> {
        if *self.started.get_or_init(|| start(&self.shared, self.threads)) == 0 {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let (clock, metrics) = (Arc::clone(&self.shared.clock), self.shared.metrics.clone());
        let job: Job = Box::new(move |hasher, memory| {
            // Kept until here, even where the caller has gone: the queue is never longer than it may be.
            let _slot = slot;
            if sender.is_closed() {
                return;
            }
            let began = clock.monotonic();
            let result = work(hasher, memory);
            metrics.password_hash_duration_seconds.observe(seconds(clock.monotonic().saturating_sub(began)));
            // Nobody may be waiting any more.
            let _ = sender.send(result);
        });
        self.shared.lock().jobs.push_back(job);
        self.shared.metrics.password_hash_queue.inc();
        self.shared.work.notify_one();
        receiver.await.ok()
    }
}

impl Drop for PasswordPool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.work.notify_all();
    }
}

impl fmt::Debug for PasswordPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PasswordPool").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, first come, first served; nothing when the pool has gone.
    fn next(&self, memory: &mut Memory) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                self.metrics.password_hash_queue.dec();
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            let (back, waited) = self.work.wait_timeout(queue, KEEP_MEMORY).unwrap_or_else(PoisonError::into_inner);
            queue = back;
            if waited.timed_out() {
                *memory = Memory::default();
            }
        }
    }

    fn serve(&self) {
        lower_priority();
        let mut memory = Memory::default();
        while let Some(job) = self.next(&mut memory) {
            if catch_unwind(AssertUnwindSafe(|| job(&self.hasher, &mut memory))).is_err() {
                tracing::error!("hashing a password panicked; its sign-in is answered as if there were no room");
                memory = Memory::default();
            }
        }
    }
}

/// Starts the threads and returns how many there are.
fn start(shared: &Arc<Shared>, threads: usize) -> usize {
    let start = |number: usize| {
        let shared = Arc::clone(shared);
        thread::Builder::new().name(format!("password-{number}")).spawn(move || shared.serve())
    };
    let mut started = 0;
    for number in 0..threads {
        match start(number) {
            Ok(_) => started += 1,
            Err(error) => tracing::error!(error = %ErrorChain(&error), "a thread for passwords could not be started"),
        }
    }
    started
}

#[cfg(target_os = "linux")]
fn lower_priority() {
    // On Linux this is a matter of the calling thread alone (sched(7)).
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(error = %ErrorChain(&error), "passwords are hashed at the same priority as everything else");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {
    tracing::debug!(niceness = NICENESS, "this system gives threads no priority of their own");
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    };

    use super::*;
    use crate::{clock::SystemClock, crypto::passwords::PasswordCost};

    fn pool(threads: usize, queue: usize) -> PasswordPool {
        let cost = PasswordCost { memory_kib: 19 * 1_024, iterations: 2, parallelism: 1 };
        let hasher = PasswordHasher::new(cost).unwrap();
        let options = PasswordPoolOptions { threads, queue };
        PasswordPool::new(hasher, options, Arc::new(SystemClock::new()), Metrics::new().unwrap())
    }

    #[tokio::test]
    async fn as_many_are_taken_as_there_are_threads_and_places() {
        let pool = pool(2, 3);
        let mut slots: Vec<Slot> = (0..5).map(|_| pool.reserve().unwrap()).collect();
        assert!(pool.reserve().is_none());
        assert_eq!(pool.run(slots.pop().unwrap(), |_, _| 7).await, Some(7));
        // The work is over a moment before its place is free.
        while pool.reserve().is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn whoever_stops_waiting_is_not_worked_for() {
        let pool = pool(1, 3);
        let (release, released) = mpsc::channel::<()>();
        let (began, beginning) = tokio::sync::oneshot::channel();
        let done = Arc::new(AtomicUsize::new(0));
        let slot = pool.reserve().unwrap();
        let first = pool.run(slot, move |_, _| {
            began.send(()).unwrap();
            released.recv().unwrap();
        });
        let counting = |done: &Arc<AtomicUsize>| {
            let (slot, done) = (pool.reserve().unwrap(), Arc::clone(done));
            pool.run(slot, move |_, _| done.fetch_add(1, Ordering::SeqCst))
        };
        let (gone, waiting) = (counting(&done), counting(&done));
        let scenario = async {
            {
                let mut gone = std::pin::pin!(gone);
                // Queued by the first poll, and given up while the only thread is busy.
                assert!(tokio::time::timeout(Duration::ZERO, gone.as_mut()).await.is_err());
                beginning.await.unwrap();
                assert_eq!(pool.shared.metrics.password_hash_queue.get(), 1);
            }
            assert!(pool.reserve().is_some(), "a place is left");
            release.send(()).unwrap();
            waiting.await
        };
        let (_, last) = tokio::join!(first, scenario);
        assert_eq!(last, Some(0), "work was done for somebody who had gone");
        assert_eq!(done.load(Ordering::SeqCst), 1);
        assert_eq!(pool.shared.metrics.password_hash_queue.get(), 0);
    }

    #[tokio::test]
    async fn a_panic_costs_one_sign_in_and_no_thread() {
        let pool = pool(1, 1);
        let failed: Option<()> = pool.run(pool.reserve().unwrap(), |_, _| panic!("on purpose")).await;
        assert_eq!(failed, None);
        assert_eq!(pool.run(pool.reserve().unwrap(), |_, _| 1).await, Some(1));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_threads_give_way_to_all_others() {
        let pool = pool(1, 1);
        let niceness = pool.run(pool.reserve().unwrap(), |_, _| rustix::process::getpriority_process(None).unwrap());
        assert_eq!(niceness.await, Some(NICENESS));
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), 0);
    }
}
