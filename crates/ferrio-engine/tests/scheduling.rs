//! What the kernel says about threads: the usage of a busy one, of a blocked one with an odd name, of none.

use std::sync::{Arc, mpsc};
use std::thread;

use ferrio_engine::pulse::Pulse;
use ferrio_engine::scheduling::usage;
use ferrio_engine::watchdog::Usage;

fn my_number() -> u32 {
    let pulse = Pulse::new();
    pulse.begin();
    pulse.thread()
}

#[test]
fn a_busy_thread_is_runnable_and_uses_the_cpu() {
    let me = my_number();
    let before = usage(me);
    assert!(before.runnable);
    while usage(me).cpu == before.cpu {}
    assert!(usage(me).queued >= before.queued);
}

#[test]
fn a_blocked_thread_is_not_runnable_whatever_its_name() {
    let pulse = Arc::new(Pulse::new());
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    let blocked = {
        let pulse = pulse.clone();
        let work = move || {
            pulse.begin();
            tell.send(()).expect("the test waits for it");
            assert!(ended.recv().is_err());
        };
        thread::Builder::new().name("odd) R (name".into()).spawn(work).expect("there are threads")
    };
    told.recv().expect("the thread says so");
    while usage(pulse.thread()).runnable {
        thread::yield_now();
    }
    drop(end);
    blocked.join().expect("it ends");
}

#[test]
fn a_thread_that_is_gone_has_used_nothing() {
    let gone = thread::spawn(my_number).join().expect("it ends");
    while usage(gone) != Usage::default() {
        thread::yield_now();
    }
}
