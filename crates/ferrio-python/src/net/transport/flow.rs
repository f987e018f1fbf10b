//! When a protocol is told to pause writing and to resume, depending on how much waits to be sent.

use ferrio_engine::buffer::Watermarks;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::core::Transport;
use super::{lifetime, report};
use crate::base::arguments::SaturatingInt;

/// A class of transports that write.
pub(crate) trait Writes: Transport {
    /// The marks between which the protocol may fill the buffer.
    fn marks(own: &mut Self::Own) -> &mut Watermarks;

    /// How many bytes wait, as in `get_write_buffer_size`.
    fn unsent(own: &Self::Own) -> usize;
}

/// Tells the protocol to pause writing if too much waits.
pub(super) fn pause_if_full<T: Writes>(transport: &Bound<'_, T>) -> PyResult<()> {
    let full = transport.get().core().state.with(transport.py(), |state| {
        let unsent = T::unsent(&state.own);
        T::marks(&mut state.own).must_pause(unsent)
    });
    if full { tell(transport, "pause_writing", "protocol.pause_writing() failed") } else { Ok(()) }
}

/// Tells the protocol to resume writing.
pub(super) fn resume<T: Writes>(transport: &Bound<'_, T>) -> PyResult<()> {
    tell(transport, "resume_writing", "protocol.resume_writing() failed")
}

/// Calls a method of the protocol in the current context, and reports what it raises.
fn tell<T: Transport>(transport: &Bound<'_, T>, method: &str, message: &str) -> PyResult<()> {
    let py = transport.py();
    let Some(protocol) = transport.get().core().protocol(py) else { return Ok(()) };
    lifetime::survive(transport, || protocol.call_method0(method).map(drop))
        .or_else(|failure| report::problem(transport, &failure, message))
}

/// `transport.set_write_buffer_limits(high, low)`.
pub(super) fn set_limits<T: Writes>(
    transport: &Bound<'_, T>,
    high: Option<SaturatingInt>,
    low: Option<SaturatingInt>,
) -> PyResult<()> {
    let (high, low) = limits(high, low, 64 << 10)?;
    // `limits` has checked them.
    let _ =
        transport.get().core().state.with(transport.py(), |state| T::marks(&mut state.own).set(high, low));
    pause_if_full(transport)
}

/// The marks that the two arguments stand for, in bytes; the defaults are `default` and a quarter of `high`.
///
/// Raises `ValueError` unless `high >= low >= 0`.
pub(crate) fn limits(
    high: Option<SaturatingInt>,
    low: Option<SaturatingInt>,
    default: isize,
) -> PyResult<(usize, usize)> {
    let (high, low) = (high.map(SaturatingInt::size), low.map(SaturatingInt::size));
    let high = high.unwrap_or_else(|| low.map_or(default, |low| low.saturating_mul(4)));
    let low = low.unwrap_or(high / 4);
    match (usize::try_from(high), usize::try_from(low)) {
        (Ok(high), Ok(low)) if low <= high => Ok((high, low)),
        _ => Err(PyValueError::new_err(format!("high ({high}) must be >= low ({low}) must be >= 0"))),
    }
}
