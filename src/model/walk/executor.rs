//! Threads that do the work of a walk.

/// Runs independent tasks, in parallel or one after the other.
pub trait Executor: Sync {
    /// Runs `task` on every item. Returns the results in the order of the items, or an error if any task failed. A thread that
    /// runs several tasks may hand the same scratch to all of them.
    fn map<T: Send, S, R: Send, E: Send>(
        &self,
        items: Vec<T>,
        scratch: impl Fn() -> S + Send + Sync,
        task: impl Fn(&mut S, T) -> Result<R, E> + Send + Sync,
    ) -> Result<Vec<R>, E>;
}

/// Runs one task after the other, on the caller's thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Executor for Serial {
    fn map<T: Send, S, R: Send, E: Send>(
        &self,
        items: Vec<T>,
        scratch: impl Fn() -> S + Send + Sync,
        task: impl Fn(&mut S, T) -> Result<R, E> + Send + Sync,
    ) -> Result<Vec<R>, E> {
        let mut scratch = scratch();
        let done = items.into_iter().map(|item| task(&mut scratch, item));
        done.collect()
    }
}
