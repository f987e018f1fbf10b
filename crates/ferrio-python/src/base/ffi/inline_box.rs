//! A box that stores small values inline.
//!
//! `Box<dyn Trait>` allocates for every value. An `InlineBox<dyn Trait>` has room for a few words; only larger values
//! go to the heap. It takes values of any type that has the trait, so nothing lists these types.
//!
//! Invariant: from `new` until the box is dropped or discarded, `room` holds one value, of the type for which
//! `functions` were made.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use pyo3::prelude::*;

/// How many words fit in without an allocation.
const WORDS: usize = 6;

type Room = MaybeUninit<[usize; WORDS]>;

/// A type whose values can be in an `InlineBox<F>`; `F` is the trait object that represents them.
pub(crate) trait Behind<F: ?Sized>: Send + 'static {
    /// The value as a trait object.
    fn face(&self) -> &F;

    /// The same, to change it.
    fn face_mut(&mut self) -> &mut F;

    /// Drops the value while attached.
    fn discard(self, py: Python<'_>);
}

/// A value on the heap.
struct OnHeap<T>(Box<T>);

impl<F: ?Sized, T: Behind<F>> Behind<F> for OnHeap<T> {
    fn face(&self) -> &F {
        self.0.face()
    }

    fn face_mut(&mut self) -> &mut F {
        self.0.face_mut()
    }

    fn discard(self, py: Python<'_>) {
        self.0.discard(py);
    }
}

/// Operations on the value in a room. Each must be given a room with a value of the type for which it was made.
struct Functions<F: ?Sized + 'static> {
    face: unsafe fn(&Room) -> &F,
    face_mut: unsafe fn(&mut Room) -> &mut F,
    /// Moves the value out of a box, leaves nothing there, and discards the value.
    discard: unsafe fn(&mut Option<InlineBox<F>>, Python<'_>),
    /// Drops the value in place.
    drop: unsafe fn(&mut Room),
}

/// Makes the functions for values of the type `T`.
struct FunctionsOf<T, F: ?Sized>(PhantomData<(T, PhantomData<F>)>);

impl<F: ?Sized + 'static, T: Behind<F>> FunctionsOf<T, F> {
    const FUNCTIONS: &'static Functions<F> = &Functions {
        // SAFETY: by the contract of `Functions`, for all four: the room holds a live `T`. The last two leave the room
        // without a value, and `InlineBox` calls one of them, once.
        face: |room| unsafe { (*room.as_ptr().cast::<T>()).face() },
        // SAFETY: as above.
        face_mut: |room| unsafe { (*room.as_mut_ptr().cast::<T>()).face_mut() },
        discard: |place, py| {
            let Some(this) = place else { return };
            // SAFETY: as above.
            let value = unsafe { this.room.as_ptr().cast::<T>().read() };
            // SAFETY: the value was moved out, so the box is overwritten and not dropped.
            unsafe { ptr::write(place, None) };
            value.discard(py);
        },
        // SAFETY: as above.
        drop: |room| unsafe { room.as_mut_ptr().cast::<T>().drop_in_place() },
    };
}

/// A value of some type that is `Behind<F>`.
pub(crate) struct InlineBox<F: ?Sized + 'static> {
    room: Room,
    functions: &'static Functions<F>,
    /// The value may be of a type that isn't `Sync`.
    value: PhantomData<*mut F>,
}

// SAFETY: the value is of a type that is `Behind<F>`, so it is `Send`; the functions are code.
unsafe impl<F: ?Sized> Send for InlineBox<F> {}

impl<F: ?Sized + 'static> InlineBox<F> {
    /// A box of `value`.
    #[inline]
    pub(crate) fn new<T: Behind<F>>(value: T) -> Self {
        if size_of::<T>() <= size_of::<Room>() && align_of::<T>() <= align_of::<Room>() {
            Self::inside(value)
        } else {
            Self::inside(OnHeap(Box::new(value)))
        }
    }

    #[inline]
    fn inside<T: Behind<F>>(value: T) -> Self {
        let mut room = Room::uninit();
        assert!(size_of::<T>() <= size_of::<Room>() && align_of::<T>() <= align_of::<Room>(), "it fits");
        // SAFETY: the room is large enough and aligned, as was just checked, and ours.
        unsafe { room.as_mut_ptr().cast::<T>().write(value) };
        Self { room, functions: FunctionsOf::<T, F>::FUNCTIONS, value: PhantomData }
    }

    /// The value as a trait object.
    #[inline]
    pub(crate) fn get(&self) -> &F {
        // SAFETY: the room holds a value of the type that the functions were made for.
        unsafe { (self.functions.face)(&self.room) }
    }

    /// The same, to change it.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut F {
        // SAFETY: as for `get`.
        unsafe { (self.functions.face_mut)(&mut self.room) }
    }

    /// Takes the value out of `place` and drops it while attached, which is quicker than `drop`.
    #[inline]
    pub(crate) fn discard(place: &mut Option<Self>, py: Python<'_>) {
        if let Some(this) = place {
            let discard = this.functions.discard;
            // SAFETY: as for `get`.
            unsafe { discard(place, py) };
        }
    }
}

impl<F: ?Sized + 'static> Drop for InlineBox<F> {
    fn drop(&mut self) {
        // SAFETY: as for `get`; nothing reaches the value after its drop.
        unsafe { (self.functions.drop)(&mut self.room) };
    }
}
