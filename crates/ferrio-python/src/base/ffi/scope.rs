//! What is entered is left, however the body in between ends.

/// Runs `body`, then `leave`, and returns the results of both. If `body` panics, `leave` runs before the panic goes
/// on.
#[inline]
pub(crate) fn then_leave<R, L>(body: impl FnOnce() -> R, leave: impl FnOnce() -> L) -> (R, L) {
    let mut leaving = OnUnwind(Some(leave));
    let result = body();
    // In this case the guard has nothing left to do.
    let leave = leaving.0.take().expect("only the end of the scope takes it");
    (result, leave())
}

struct OnUnwind<L, F: FnOnce() -> L>(Option<F>);

impl<L, F: FnOnce() -> L> Drop for OnUnwind<L, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(leave) = self.0.take() {
            leave();
        }
    }
}
