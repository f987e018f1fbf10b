//! Objects that the dynamic linker has loaded: which one an address belongs to, and which functions one calls.

use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::dl_phdr_info;

/// One entry of an object's dynamic section.
#[repr(C)]
struct Dynamic {
    tag: usize,
    value: usize,
}

#[cfg(target_pointer_width = "64")]
type Symbol = libc::Elf64_Sym;
#[cfg(target_pointer_width = "32")]
type Symbol = libc::Elf32_Sym;

#[cfg(target_pointer_width = "64")]
const SYMBOL_SHIFT: u32 = 32;
#[cfg(target_pointer_width = "32")]
const SYMBOL_SHIFT: u32 = 8;

/// `PT_GNU_RELRO`, in the type that `p_type` has on every target.
const RELRO: u32 = 0x6474_e552;

// The tags of the dynamic section.
const END: usize = 0;
const SIZE_OF_CALLS: usize = 2;
const STRINGS: usize = 5;
const SYMBOLS: usize = 6;
const RELA: usize = 7;
const SIZE_OF_RELA: usize = 8;
const REL: usize = 17;
const SIZE_OF_REL: usize = 18;
const KIND_OF_CALLS: usize = 20;
const CALLS: usize = 23;

/// A loaded object: its load bias and its program headers.
struct Object {
    bias: usize,
    headers: &'static [Header],
}

#[cfg(target_pointer_width = "64")]
type Header = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Header = libc::Elf32_Phdr;

impl Object {
    /// The object that contains `address`.
    fn containing(address: usize) -> Option<Self> {
        struct Search {
            address: usize,
            found: Option<Object>,
        }
        unsafe extern "C" fn check_object(
            info: *mut dl_phdr_info,
            _size: usize,
            search: *mut c_void,
        ) -> c_int {
            // SAFETY: the linker passes a description that is valid during the call, and the search of `containing`. Headers
            // stay where they are while the object is loaded; extension modules, and what they are linked to, aren't unloaded.
            let (search, object) = unsafe {
                let headers = std::slice::from_raw_parts((*info).dlpi_phdr, (*info).dlpi_phnum as usize);
                (&mut *search.cast::<Search>(), Object { bias: (*info).dlpi_addr as usize, headers })
            };
            if object.segments(libc::PT_LOAD).any(|segment| segment.contains(&search.address)) {
                search.found = Some(object);
            }
            c_int::from(search.found.is_some())
        }
        let mut search = Search { address, found: None };
        // SAFETY: `check_object` takes what is passed here, which outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(check_object), (&raw mut search).cast()) };
        search.found
    }

    /// The addresses of its segments of a kind.
    fn segments(&self, kind: u32) -> impl Iterator<Item = Range<usize>> {
        self.headers.iter().filter(move |header| header.p_type == kind).map(|header| {
            let start = self.bias.wrapping_add(header.p_vaddr as usize);
            start..start + header.p_memsz as usize
        })
    }

    /// The value of a tag in its dynamic section.
    fn dynamic(&self, tag: usize) -> Option<usize> {
        let section = self.segments(libc::PT_DYNAMIC).next()?;
        let mut entry = section.start as *const Dynamic;
        loop {
            // SAFETY: a loaded object's dynamic section is readable and ends with a tag of zero.
            let Dynamic { tag: found, value } = unsafe { entry.read() };
            match found {
                _ if found == tag => return Some(value),
                END => return None,
                // SAFETY: not the last one.
                _ => entry = unsafe { entry.add(1) },
            }
        }
    }

    /// The address at a tag. Some linkers leave it relative to the load bias.
    fn address(&self, tag: usize) -> Option<usize> {
        let value = self.dynamic(tag)?;
        Some(if value < self.bias { value + self.bias } else { value })
    }

    /// The places where the linker stored the address of the symbol.
    fn slots(&self, name: &CStr) -> Vec<usize> {
        let calls_have_addends = self.dynamic(KIND_OF_CALLS) == Some(RELA);
        let tables = [
            (CALLS, SIZE_OF_CALLS, calls_have_addends),
            (RELA, SIZE_OF_RELA, true),
            (REL, SIZE_OF_REL, false),
        ];
        let mut slots = Vec::new();
        for (table, size, has_addends) in tables {
            if let (Some(table), Some(size)) = (self.address(table), self.dynamic(size)) {
                let words = if has_addends { 3 } else { 2 };
                for index in 0..size / (words * size_of::<usize>()) {
                    let entry = (table as *const usize).wrapping_add(index * words);
                    // SAFETY: the table has `size` bytes, in entries of `words` words: offset, symbol and kind, addend.
                    let (offset, info) = unsafe { (entry.read(), entry.add(1).read()) };
                    if self.symbol_is(info >> SYMBOL_SHIFT, name) {
                        slots.push(self.bias.wrapping_add(offset));
                    }
                }
            }
        }
        slots
    }

    fn symbol_is(&self, index: usize, name: &CStr) -> bool {
        let (Some(symbols), Some(strings)) = (self.address(SYMBOLS), self.address(STRINGS)) else {
            return false;
        };
        // SAFETY: a relocation refers to a symbol of the object's own table by its index, 0 for none. Names are strings of its own
        // table and end with a zero.
        index != 0
            && unsafe {
                let symbol = (symbols as *const Symbol).add(index);
                CStr::from_ptr((strings as *const libc::c_char).add((*symbol).st_name as usize)) == name
            }
    }

    /// Stores `value` at `slot`, which the linker may have made read-only after filling it in.
    fn fill(&self, slot: usize, value: usize) {
        // SAFETY: takes a number only.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let start = slot & !(page - 1);
        let is_read_only = self
            .segments(RELRO)
            .any(|segment| (segment.start & !(page - 1)..segment.end & !(page - 1)).contains(&slot));
        // SAFETY: one whole page of the object's data, which stays readable.
        let protect =
            |protection| unsafe { libc::mprotect(ptr::without_provenance_mut(start), page, protection) };
        if is_read_only && protect(libc::PROT_READ | libc::PROT_WRITE) != 0 {
            return;
        }
        // SAFETY: an aligned word, writable now, that threads read as a whole. Any function with the same signature may be there.
        unsafe { AtomicUsize::from_ptr(slot as *mut usize) }.store(value, Ordering::Release);
        if is_read_only {
            protect(libc::PROT_READ);
        }
    }
}

/// Makes the object that contains the address `host` call `function` wherever it calls `name` of another object.
pub(crate) fn redirect(host: *const c_void, name: &CStr, function: *const c_void) {
    if let Some(object) = Object::containing(host as usize) {
        for slot in object.slots(name) {
            object.fill(slot, function as usize);
        }
    }
}

/// Whether `address` is in the object that this library is linked into.
pub(crate) fn is_ours(address: usize) -> bool {
    static OURS: OnceLock<Vec<Range<usize>>> = OnceLock::new();
    let ours = OURS.get_or_init(|| {
        let object = Object::containing(is_ours as *const () as usize);
        object.map(|object| object.segments(libc::PT_LOAD).collect()).unwrap_or_default()
    });
    ours.iter().any(|segment| segment.contains(&address))
}
