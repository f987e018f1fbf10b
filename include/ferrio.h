/*
 * ferrio.h: the C interface of ferrio's event loop, for extension modules.
 *
 * With it Python awaits work of other languages. No function here needs ferrio at build time, and none depends on
 * the version of the compiler, of Rust or of PyO3. C99 and C++.
 *
 * Where to find it
 *
 *     PyObject *capsule = PyObject_GetAttrString((PyObject *)Py_TYPE(loop), FERRIO_LOOP_API_ATTRIBUTE);
 *     const ferrio_loop_api *api = capsule ? PyCapsule_GetPointer(capsule, FERRIO_LOOP_API_CAPSULE) : NULL;
 *
 * A loop whose type lacks the attribute isn't ferrio's (clear the AttributeError). The struct is static: it lives as
 * long as the process, and the pointer may be kept and used by any thread. Look it up once for each type.
 *
 * Versions
 *
 * `version` changes only if something here stops working; refuse one that you don't know. New functions are added at
 * the end: a function is there if `size` reaches beyond it (FERRIO_HAS). Structs that you fill in begin with their
 * `size` for the same reason: set it to `sizeof` and all other bytes to zero before you fill in the rest.
 *
 * Words
 *
 * "attached": the calling thread may use Python's C API (it holds the GIL, or is attached to a free-threaded
 * interpreter). "any thread": attached or not, and at any time, also after the loop was closed, and while the
 * interpreter ends. "new reference" and "borrowed" are meant as in Python's manual. No function here throws, unwinds
 * or jumps, and your functions must not either.
 *
 * Forks
 *
 * A forked child has copies of everything: of loops, waiters, wakers and watches. What it completes, wakes or cancels
 * is its own, and the parent's goes on unchanged. A loop that wasn't running may run in the child. Your threads are gone
 * there, so what they were to complete stays open; complete it yourself, or release it.
 */
#ifndef FERRIO_H
#define FERRIO_H

#include <stddef.h>
#include <stdint.h>

#ifndef Py_PYTHON_H
typedef struct _object PyObject;
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define FERRIO_LOOP_API_ATTRIBUTE "__ferrio_loop_api__"
#define FERRIO_LOOP_API_CAPSULE "ferrio_loop_api"
#define FERRIO_LOOP_API_VERSION 1

/* Whether the function or field `member` is there. */
#define FERRIO_HAS(api, member) \
    ((api)->size >= offsetof(ferrio_loop_api, member) + sizeof((api)->member))

typedef struct ferrio_loop_api ferrio_loop_api;

/* Wakes the await of one future. Counted. Its first field is for you; the rest isn't. */
typedef struct ferrio_waker {
    const ferrio_loop_api *api;
} ferrio_waker;

/* Completes one waiter. Counted. */
typedef struct ferrio_waiter {
    const ferrio_loop_api *api;
} ferrio_waiter;

/* A loop, for threads that aren't attached. Counted. It doesn't keep the Python object alive. */
typedef struct ferrio_loop {
    const ferrio_loop_api *api;
} ferrio_loop;

/*
 * Something that a loop will call you for: a time, a descriptor, its close. Counted. Releasing your reference doesn't end
 * it; `watch_cancel` does.
 */
typedef struct ferrio_watch {
    const ferrio_loop_api *api;
} ferrio_watch;

/* What `poll` returns. */
#define FERRIO_RAISED (-1) /* Python's error indicator is set; the await raises that */
#define FERRIO_PENDING 0   /* not yet: the waker will be woken */
#define FERRIO_READY 1     /* *result holds a new reference: the value of the await */

/*
 * A flag: things outside the loop's own tasks will wake the future, such as other threads. A loop on virtual time then
 * doesn't let its clock jump meanwhile, and a loop that would sleep first waits a few microseconds without sleeping.
 */
#define FERRIO_WOKEN_FROM_OUTSIDE 1u

/*
 * A flag: the same, but only while something holds a reference from `waker_retain`. So a future that waits for nothing but
 * the loop's own timers, descriptors and tasks doesn't stop a virtual clock: it takes its references by
 * `waker_retain_here`. A ferrio without that function ignores the flag; set FERRIO_WOKEN_FROM_OUTSIDE as well for it.
 */
#define FERRIO_WOKEN_BY_WAKER 2u

/* What to watch a descriptor for, and what has come. */
#define FERRIO_READABLE 1u /* input, or the end of input */
#define FERRIO_WRITABLE 2u /* room to write, or the end of a connection attempt */
/*
 * Edge-triggered: called when the descriptor becomes ready, and once for what is ready at first. Without it the call comes
 * in every turn while the descriptor is ready. It may come more often than needed. If anything else watches the same
 * descriptor level-triggered, it comes as often as for that.
 */
#define FERRIO_EDGE 4u

/*
 * What a watch calls: attached, on the loop's thread, in no task, `loop` borrowed. `events` says what has come of
 * FERRIO_READABLE and FERRIO_WRITABLE (both after an error or a hang-up), and is 0 for other watches. A result of -1 with
 * the error indicator set goes to the loop's exception handler; otherwise return 0. It may cancel its own watch.
 */
typedef int (*ferrio_watch_call)(void *data, PyObject *loop, uint32_t events);

/*
 * Called once for the data of a watch, last, attached: after the only call for a time or a close, after a cancellation,
 * or when the loop is closed. On the loop's thread, or the one that closes the loop. It must leave Python's error
 * indicator as it is.
 */
typedef void (*ferrio_watch_drop)(void *data);

/* What a future does. Static: it must live as long as the process. */
typedef struct ferrio_future_type {
    size_t size;
    /* UTF-8, what repr() and warnings call the awaitable: "connect". Need not end with a zero. */
    const char *name;
    size_t name_length;
    uint32_t flags;
    /*
     * Goes as far as it can. Called attached, on the loop's thread, inside the step of the task that awaits it, and in
     * that task's context: first when it is awaited, and again after each wake-up. It may also be called without one.
     * `waker` is borrowed: to keep it, retain it. Never called again after it has returned anything but
     * FERRIO_PENDING, nor after a cancellation. It may run Python code.
     */
    int (*poll)(void *data, ferrio_waker *waker, PyObject **result);
    /*
     * Called once, last, attached: after the end, after a cancellation of the await, when the loop is closed, or
     * if the awaitable was never awaited. Usually on the loop's thread, but another thread may drop the awaitable.
     * It must leave Python's error indicator as it is.
     */
    void (*drop)(void *data);
} ferrio_future_type;

/* What a waiter does with a payload. Static: it must live as long as the process. */
typedef struct ferrio_waiter_type {
    size_t size;
    const char *name;
    size_t name_length;
    uint32_t flags; /* none yet; a waiter is always FERRIO_WOKEN_FROM_OUTSIDE */
    /*
     * Makes the value of the await, and takes the payload over. Called attached, on the loop's thread, in the context
     * of the awaiting task. Returns a new reference, or NULL with Python's error indicator set.
     */
    PyObject *(*convert)(void *data, void *payload);
    /* Drops a payload that will not be converted. Any thread. */
    void (*discard)(void *data, void *payload);
    /*
     * The await was cancelled, the loop was closed, or the awaitable was dropped, and no payload had come.
     * Called attached, at most once. May be NULL.
     */
    void (*cancelled)(void *data);
    /* Called once, last: after the awaitable and every reference to the waiter are gone. Any thread. May be NULL. */
    void (*drop)(void *data);
} ferrio_waiter_type;

struct ferrio_loop_api {
    uint32_t version; /* FERRIO_LOOP_API_VERSION */
    uint32_t size;    /* in bytes, as this ferrio has it */

    /*
     * Makes an awaitable of a future. Call it attached. `loop` (borrowed) is the ferrio loop whose tasks may await it;
     * the loop needn't run yet. Nothing is polled before it is awaited. `data` belongs to the awaitable from now on,
     * even if this fails: then it was dropped. Only if `type` is wrong, it stays yours. Returns a new reference, a
     * coroutine to Python, or NULL with the error indicator set (TypeError if `loop` isn't ferrio's, ValueError for a
     * wrong `type`).
     */
    PyObject *(*future_new)(PyObject *loop, const ferrio_future_type *type, void *data);

    /* Any thread. `waker_wake` lets the awaiting task poll again; it doesn't take the caller's reference. */
    ferrio_waker *(*waker_retain)(ferrio_waker *waker);
    void (*waker_release)(ferrio_waker *waker);
    void (*waker_wake)(ferrio_waker *waker);

    /*
     * Makes an awaitable whose value comes from elsewhere. Call it attached; `loop` and `data` as above. *waiter
     * receives a reference, for `waiter_complete`.
     */
    PyObject *(*waiter_new)(PyObject *loop, const ferrio_waiter_type *type, void *data, ferrio_waiter **waiter);

    /* Any thread. */
    ferrio_waiter *(*waiter_retain)(ferrio_waiter *waiter);
    void (*waiter_release)(ferrio_waiter *waiter);

    /*
     * Leaves the payload for the await and wakes it. Any thread. Takes the payload over, but not the caller's reference
     * to the waiter. Returns 1 if it was left there, and 0 if nobody wants it (cancelled, closed, or completed
     * before): then the payload was discarded. A payload that was left there is discarded later if the await
     * is cancelled before it sees it.
     */
    int (*waiter_complete)(ferrio_waiter *waiter, void *payload);

    /* A new reference to the handle of a ferrio loop. Call it attached. NULL with TypeError set for any other object. */
    ferrio_loop *(*loop_of)(PyObject *loop);

    /* Any thread. */
    ferrio_loop *(*loop_retain)(ferrio_loop *loop);
    void (*loop_release)(ferrio_loop *loop);

    /*
     * Calls run(data, loop) in the loop's next turn: attached, on the loop's thread, in no task, `loop` borrowed. A
     * result of -1 with the error indicator set goes to the loop's exception handler; otherwise return 0. Callable by
     * any thread. `run` takes `data` over. If the loop is closed, now or before it comes to it, drop(data) is called
     * instead, by any thread. Returns 0 if it was left there, -1 if the loop is closed.
     */
    int (*loop_post)(ferrio_loop *loop, int (*run)(void *data, PyObject *loop), void (*drop)(void *data), void *data);

    /*
     * As `waker_retain` and `waker_release`, for something that wakes only from the loop's own thread (see
     * FERRIO_WOKEN_BY_WAKER). Release such a reference by `waker_release_here` alone. Any thread.
     */
    ferrio_waker *(*waker_retain_here)(ferrio_waker *waker);
    void (*waker_release_here)(ferrio_waker *waker);

    /*
     * The time of the loop's clock in nanoseconds, which `loop.time()` shows in seconds; it may be virtual. Call it
     * attached, in any thread. Returns 0, or -1 with the error indicator set (TypeError if `loop` isn't ferrio's).
     */
    int (*loop_time)(PyObject *loop, uint64_t *nanoseconds);

    /*
     * The three ways to watch something. Call them attached, on the loop's thread; or on any, while the loop doesn't run
     * but will. `data` belongs to the watch from now on, even if this fails: then it was dropped. Only if `call` or
     * `drop` is NULL, it stays yours. The result is a reference of yours, or NULL with the error indicator set: TypeError
     * if `loop` isn't ferrio's, RuntimeError if it is closed or another thread runs it, ValueError.
     *
     * `watch_time` calls once, in the first turn at or after `deadline` of the loop's clock.
     *
     * `watch_descriptor` calls whenever the descriptor is ready for what `interest` names. Several may watch one
     * descriptor, beside its `add_reader` and `add_writer`, and get the same events. Cancel the watch before you close the
     * descriptor: best close it in `drop`. RuntimeError if a transport uses it, OSError if it can't be watched (a file).
     *
     * `watch_close` calls once, when `close()` begins, on the thread that closes the loop: no task runs any more, and
     * those that are left are about to be dropped. Nothing else can be watched or posted then.
     */
    ferrio_watch *(*watch_time)(PyObject *loop, uint64_t deadline, ferrio_watch_call call, ferrio_watch_drop drop, void *data);
    ferrio_watch *(*watch_descriptor)(PyObject *loop, int descriptor, uint32_t interest, ferrio_watch_call call,
                                      ferrio_watch_drop drop, void *data);
    ferrio_watch *(*watch_close)(PyObject *loop, ferrio_watch_call call, ferrio_watch_drop drop, void *data);

    /* Any thread. */
    ferrio_watch *(*watch_retain)(ferrio_watch *watch);
    void (*watch_release)(ferrio_watch *watch);

    /*
     * Ends a watch: no call begins any more. Any thread. On the loop's thread, attached, the data was dropped when this
     * returns, or will be when the call in progress returns. Elsewhere that happens in the loop's next turn, or when
     * it is closed; a call may be in progress meanwhile. It doesn't take your reference. Harmless on a watch that has
     * ended.
     */
    void (*watch_cancel)(ferrio_watch *watch);

    /* The ferrio loop that runs in this thread, borrowed, or NULL without an exception. Call it attached. */
    PyObject *(*loop_running)(void);
};

#ifdef __cplusplus
}
#endif

#endif /* FERRIO_H */
