//! Children that end by themselves, that signals end, and that other code has waited for.

use std::io::{self, Read};
use std::process::{Command, Stdio};

use ferrio_engine::process::{Child, Fate};

mod support;
use support::wait_for;

fn start(script: &str) -> io::Result<std::process::Child> {
    Command::new("/bin/sh").arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// Waits for the end, with the descriptor if there is one.
fn fate(child: &Child, process: &mut std::process::Child) -> io::Result<Fate> {
    if let Some(descriptor) = child.descriptor() {
        wait_for(descriptor)?;
    } else if let Some(output) = &mut process.stdout {
        // Its output ends right before the child does.
        output.read_to_end(&mut Vec::new())?;
        while !child.has_ended() {
            std::thread::yield_now();
        }
    }
    child.reap()
}

#[test]
fn a_child_ends_with_a_status_or_by_a_signal() -> io::Result<()> {
    for make in [Child::of, |pid| Ok(Child::without_descriptor(pid))] {
        let mut process = start("exit 7")?;
        let child = make(process.id().cast_signed())?;
        assert_eq!(fate(&child, &mut process)?, Fate::Ended(7));
        assert!(child.has_ended());
        child.signal(libc::SIGTERM)?;

        let mut process = start("read line")?;
        let child = make(process.id().cast_signed())?;
        assert_eq!(child.reap()?, Fate::Running);
        assert!(!child.has_ended());
        child.signal(libc::SIGKILL)?;
        assert_eq!(fate(&child, &mut process)?, Fate::Ended(-libc::SIGKILL));
    }
    Ok(())
}

#[test]
fn a_child_that_somebody_else_waited_for() -> io::Result<()> {
    let mut process = start("exit 3")?;
    let child = Child::of(process.id().cast_signed())?;
    assert!(process.wait()?.code() == Some(3));
    // Linux 6.15 and later still know it.
    assert!(matches!(child.reap()?, Fate::Unknown | Fate::Ended(3)));
    let nobody = Child::without_descriptor(process.id().cast_signed());
    assert_eq!(nobody.reap()?, Fate::Unknown);
    Ok(())
}
