//! Panics of other crates, on damaged input, that become errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs something that may panic; returns `None` if it does.
pub fn run<T>(f: impl FnOnce() -> T) -> Option<T> {
    let before = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    GUARDED.set(before);
    result.ok()
}

/// Whether a panic of this thread becomes an error, so that it need not be printed.
pub fn is_on() -> bool {
    GUARDED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none_and_guards_may_be_nested() {
        assert_eq!(run(is_on), Some(true));
        let outer = run(|| {
            let inner: Option<()> = run(|| panic!("for a test"));
            (inner, is_on())
        });
        assert_eq!(outer, Some((None, true)));
        assert!(!is_on());
    }
}
