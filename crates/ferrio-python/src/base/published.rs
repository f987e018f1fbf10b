//! What the running interpreter publishes about its structures for asyncio, for tools that read its memory.
//!
//! From Python 3.14 on, the section `.AsyncioDebug` of a binary has a table of offsets: the extension module's, or that
//! of the interpreter if the module is built in (`struct _Py_AsyncioModuleDebugOffsets` in `_asynciomodule.c`,
//! described in CPython's `InternalDocs/asyncio.md`). `ffi::task_list` uses them to keep ferrio's tasks where these
//! tools and `asyncio.all_tasks()` look.

use std::fs::{self, File};
use std::io::BufReader;

use object::read::{Object, ObjectSection, ReadCache};

/// The table, in the order in which it is published; all are numbers of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offsets {
    pub(crate) task: TaskOffsets,
    pub(crate) thread: ThreadOffsets,
}

/// Fields of a task (`TaskObj`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskOffsets {
    pub(crate) size: usize,
    pub(crate) name: usize,
    pub(crate) awaited_by: usize,
    pub(crate) is_task: usize,
    pub(crate) awaited_by_is_set: usize,
    pub(crate) coroutine: usize,
    pub(crate) node: usize,
}

/// Fields of a thread's state (`_PyThreadStateImpl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ThreadOffsets {
    pub(crate) running_loop: usize,
    pub(crate) running_task: usize,
    pub(crate) tasks: usize,
}

/// The table in the binary that is mapped at `address`. `None` if the binary has none or can't be read.
pub(crate) fn offsets_at(address: usize) -> Option<Offsets> {
    let file = ReadCache::new(BufReader::new(File::open(mapped_at(address)?).ok()?));
    let binary = object::File::parse(&file).ok()?;
    let table = binary.section_by_name(".AsyncioDebug")?.data().ok()?;
    let mut numbers = table.chunks_exact(8).map(|bytes| {
        let number = u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
        usize::try_from(number).ok()
    });
    let mut next = || numbers.next().flatten();
    let task = TaskOffsets {
        size: next()?,
        name: next()?,
        awaited_by: next()?,
        is_task: next()?,
        awaited_by_is_set: next()?,
        coroutine: next()?,
        node: next()?,
    };
    // The size of the interpreter's state, its list of tasks, the size of a thread's state.
    let _ = (next()?, next()?, next()?);
    let thread = ThreadOffsets { running_loop: next()?, running_task: next()?, tasks: next()? };
    Some(Offsets { task, thread })
}

/// The path of the file that is mapped there (see proc_pid_maps(5)).
fn mapped_at(address: usize) -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    maps.lines().find_map(|line| {
        let (range, _) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (start, end) = (usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?);
        let path = line.find('/').map(|start| line[start..].to_owned());
        if (start..end).contains(&address) { path } else { None }
    })
}
