/* An extension module in C that uses ferrio's loop by include/ferrio.h alone. test_c_interface.py compiles it. */
#include <Python.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "ferrio.h"

/* What was made and dropped; any thread changes it. */
static long made, dropped, polled, payloads_made, payloads_gone, told_cancelled;
#define ADD(counter) __atomic_add_fetch(&counter, 1, __ATOMIC_RELAXED)

static const ferrio_loop_api *api_of(PyObject *loop)
{
    PyObject *capsule = PyObject_GetAttrString((PyObject *)Py_TYPE(loop), FERRIO_LOOP_API_ATTRIBUTE);
    const ferrio_loop_api *api = NULL;
    if (capsule != NULL) {
        api = PyCapsule_GetPointer(capsule, FERRIO_LOOP_API_CAPSULE);
        Py_DECREF(capsule);
    }
    if (api != NULL && (api->version != FERRIO_LOOP_API_VERSION || !FERRIO_HAS(api, loop_running))) {
        PyErr_SetString(PyExc_RuntimeError, "another version of the interface");
        return NULL;
    }
    return api;
}

/* A future: pending some times, woken each time by itself or by another thread, then it returns `call()`. */
typedef struct {
    long pending;
    int by_thread;
    PyObject *call;
} countdown;

static void *wake_from_thread(void *waker)
{
    ((ferrio_waker *)waker)->api->waker_wake(waker);
    ((ferrio_waker *)waker)->api->waker_release(waker);
    return NULL;
}

static int start_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, argument) != 0) {
        return -1;
    }
    return pthread_detach(thread);
}

static int countdown_poll(void *data, ferrio_waker *waker, PyObject **result)
{
    countdown *self = data;
    ADD(polled);
    if (self->pending != 0) {
        if (self->pending > 0) { /* a negative number waits for ever */
            self->pending--;
            if (!self->by_thread) {
                waker->api->waker_wake(waker);
            } else if (start_thread(wake_from_thread, waker->api->waker_retain(waker)) != 0) {
                PyErr_SetString(PyExc_OSError, "no thread");
                return FERRIO_RAISED;
            }
        }
        return FERRIO_PENDING;
    }
    *result = PyObject_CallNoArgs(self->call);
    return *result == NULL ? FERRIO_RAISED : FERRIO_READY;
}

static void countdown_drop(void *data)
{
    countdown *self = data;
    Py_DECREF(self->call);
    PyMem_Free(self);
    ADD(dropped);
}

static const ferrio_future_type countdown_type = {
    sizeof(ferrio_future_type), "countdown!", 9, 0, countdown_poll, countdown_drop};
static const ferrio_future_type outside_type = {
    sizeof(ferrio_future_type), "outside", 7, FERRIO_WOKEN_FROM_OUTSIDE, countdown_poll, countdown_drop};
static const ferrio_future_type held_type = {
    sizeof(ferrio_future_type), "held", 4, FERRIO_WOKEN_BY_WAKER, countdown_poll, countdown_drop};
static const ferrio_future_type small_type = {4, "small", 5, 0, countdown_poll, countdown_drop};
static const ferrio_future_type odd_type = {
    sizeof(ferrio_future_type), "\xff", 1, 0, countdown_poll, countdown_drop};

static PyObject *future(PyObject *module, PyObject *args)
{
    PyObject *loop, *call;
    long pending;
    int by_thread, wrong = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OliO|i", &loop, &pending, &by_thread, &call, &wrong)) {
        return NULL;
    }
    /* `asyncio`'s loops have no interface; `wrong` gives one of another loop. */
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL) {
        return NULL;
    }
    countdown *self = PyMem_Malloc(sizeof *self);
    *self = (countdown){pending, by_thread, Py_NewRef(call)};
    ADD(made);
    const ferrio_future_type *types[] = {by_thread ? &outside_type : &countdown_type, &small_type, &odd_type,
                                         NULL, &held_type};
    if (wrong == 3) {
        return api->future_new(Py_None, &countdown_type, self);
    }
    PyObject *awaitable = api->future_new(loop, types[wrong], self);
    if (awaitable == NULL && (wrong == 1 || wrong == 2)) { /* the data is still ours */
        countdown_drop(self);
    }
    return awaitable;
}

/* Waiters. */
static PyObject *number_convert(void *data, void *payload)
{
    long number = *(long *)payload;
    (void)data;
    free(payload);
    ADD(payloads_gone);
    if (number < 0) {
        PyErr_Format(PyExc_ValueError, "%ld", number);
        return NULL;
    }
    return PyLong_FromLong(number);
}

static void number_discard(void *data, void *payload)
{
    (void)data;
    free(payload);
    ADD(payloads_gone);
}

static void number_cancelled(void *data)
{
    (void)data;
    ADD(told_cancelled);
}

static void number_drop(void *data)
{
    free(data);
    ADD(dropped);
}

static const ferrio_waiter_type number_type = {
    sizeof(ferrio_waiter_type), "number", 6, 0, number_convert, number_discard, number_cancelled, number_drop};

static void waiter_destroy(PyObject *capsule)
{
    ferrio_waiter *waiter = PyCapsule_GetPointer(capsule, "waiter");
    waiter->api->waiter_release(waiter);
}

static PyObject *waiter(PyObject *module, PyObject *loop)
{
    (void)module;
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL) {
        return NULL;
    }
    ferrio_waiter *waiter;
    ADD(made);
    PyObject *awaitable = api->waiter_new(loop, &number_type, malloc(1), &waiter);
    if (awaitable == NULL) {
        return NULL;
    }
    PyObject *capsule = PyCapsule_New(waiter, "waiter", waiter_destroy);
    return Py_BuildValue("(NN)", awaitable, capsule);
}

typedef struct {
    long count;
    ferrio_waiter *waiters[];
} batch;

/* Completes each waiter with its index, in a thread that has never been attached. */
static void *complete_batch(void *argument)
{
    batch *all = argument;
    for (long index = 0; index < all->count; index++) {
        ferrio_waiter *waiter = all->waiters[index];
        long *payload = malloc(sizeof *payload);
        *payload = index;
        ADD(payloads_made);
        waiter->api->waiter_complete(waiter, payload);
        waiter->api->waiter_release(waiter);
    }
    free(all);
    return NULL;
}

static PyObject *complete_in_thread(PyObject *module, PyObject *waiters)
{
    (void)module;
    Py_ssize_t count = PyList_Size(waiters);
    batch *all = malloc(sizeof *all + (size_t)count * sizeof(ferrio_waiter *));
    all->count = count;
    for (Py_ssize_t index = 0; index < count; index++) {
        ferrio_waiter *waiter = PyCapsule_GetPointer(PyList_GetItem(waiters, index), "waiter");
        all->waiters[index] = waiter->api->waiter_retain(waiter);
    }
    if (start_thread(complete_batch, all) != 0) {
        PyErr_SetString(PyExc_OSError, "no thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Completes a waiter here and now; says whether anybody wanted the number. */
static PyObject *complete(PyObject *module, PyObject *args)
{
    PyObject *capsule;
    long number;
    (void)module;
    if (!PyArg_ParseTuple(args, "Ol", &capsule, &number)) {
        return NULL;
    }
    ferrio_waiter *waiter = PyCapsule_GetPointer(capsule, "waiter");
    long *payload = malloc(sizeof *payload);
    *payload = number;
    ADD(payloads_made);
    return PyBool_FromLong(waiter->api->waiter_complete(waiter, payload));
}

/* Calls that a thread leaves for the loop. */
typedef struct {
    PyObject *call;
    ferrio_loop *loop;
} posted;

static int posted_run(void *data, PyObject *loop)
{
    posted *self = data;
    PyObject *result = PyObject_CallOneArg(self->call, loop);
    Py_DECREF(self->call);
    free(self);
    ADD(dropped);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static void posted_drop(void *data)
{
    /* Any thread, attached or not: the reference is leaked, as an extension would have to queue it. */
    free(data);
    ADD(dropped);
}

static void *post_from_thread(void *argument)
{
    posted *self = argument;
    ferrio_loop *loop = self->loop;
    loop->api->loop_post(loop, posted_run, posted_drop, self);
    loop->api->loop_release(loop);
    return NULL;
}

static PyObject *post_in_thread(PyObject *module, PyObject *args)
{
    PyObject *loop, *call;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &loop, &call)) {
        return NULL;
    }
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL) {
        return NULL;
    }
    posted *self = malloc(sizeof *self);
    *self = (posted){Py_NewRef(call), api->loop_of(loop)};
    ADD(made);
    if (start_thread(post_from_thread, self) != 0) {
        PyErr_SetString(PyExc_OSError, "no thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Watches: each calls `call(events)`. */
typedef struct {
    PyObject *call;
    int descriptor; /* closed at the end, if it isn't -1 */
} watched;

static int watched_call(void *data, PyObject *loop, uint32_t events)
{
    watched *self = data;
    (void)loop;
    PyObject *result = PyObject_CallFunction(self->call, "I", events);
    Py_XDECREF(result);
    return result == NULL ? -1 : 0;
}

static void watched_drop(void *data)
{
    watched *self = data;
    if (self->descriptor != -1) {
        close(self->descriptor);
    }
    Py_DECREF(self->call);
    PyMem_Free(self);
    ADD(dropped);
}

static watched *watched_new(PyObject *call, int descriptor)
{
    watched *self = PyMem_Malloc(sizeof *self);
    *self = (watched){Py_NewRef(call), descriptor};
    ADD(made);
    return self;
}

static void watch_destroy(PyObject *capsule)
{
    ferrio_watch *watch = PyCapsule_GetPointer(capsule, "watch");
    watch->api->watch_release(watch);
}

static PyObject *watch_capsule(ferrio_watch *watch)
{
    return watch == NULL ? NULL : PyCapsule_New(watch, "watch", watch_destroy);
}

static PyObject *loop_time(PyObject *module, PyObject *loop)
{
    uint64_t nanoseconds;
    (void)module;
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL || api->loop_time(loop, &nanoseconds) != 0) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(nanoseconds);
}

static PyObject *watch_time(PyObject *module, PyObject *args)
{
    PyObject *loop, *call;
    unsigned long long deadline;
    (void)module;
    if (!PyArg_ParseTuple(args, "OKO", &loop, &deadline, &call)) {
        return NULL;
    }
    const ferrio_loop_api *api = api_of(loop);
    return api == NULL ? NULL : watch_capsule(api->watch_time(loop, deadline, watched_call, watched_drop, watched_new(call, -1)));
}

static PyObject *watch_descriptor(PyObject *module, PyObject *args)
{
    PyObject *loop, *call;
    int descriptor, owned = 0;
    unsigned int interest;
    (void)module;
    if (!PyArg_ParseTuple(args, "OiIO|i", &loop, &descriptor, &interest, &call, &owned)) {
        return NULL;
    }
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL) {
        return NULL;
    }
    watched *data = watched_new(call, owned ? descriptor : -1);
    return watch_capsule(api->watch_descriptor(loop, descriptor, interest, watched_call, watched_drop, data));
}

static PyObject *watch_close(PyObject *module, PyObject *args)
{
    PyObject *loop, *call;
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &loop, &call)) {
        return NULL;
    }
    const ferrio_loop_api *api = api_of(loop);
    return api == NULL ? NULL : watch_capsule(api->watch_close(loop, watched_call, watched_drop, watched_new(call, -1)));
}

static PyObject *watch_cancel(PyObject *module, PyObject *capsule)
{
    (void)module;
    ferrio_watch *watch = PyCapsule_GetPointer(capsule, "watch");
    watch->api->watch_cancel(watch);
    Py_RETURN_NONE;
}

static void *cancel_watch(void *watch)
{
    ((ferrio_watch *)watch)->api->watch_cancel(watch);
    ((ferrio_watch *)watch)->api->watch_release(watch);
    return NULL;
}

static PyObject *cancel_in_thread(PyObject *module, PyObject *capsule)
{
    (void)module;
    ferrio_watch *watch = PyCapsule_GetPointer(capsule, "watch");
    if (start_thread(cancel_watch, watch->api->watch_retain(watch)) != 0) {
        PyErr_SetString(PyExc_OSError, "no thread");
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Whatever is wrong with the arguments, the data is dropped. */
static PyObject *watch_none(PyObject *module, PyObject *args)
{
    PyObject *loop, *call;
    int which;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOi", &loop, &call, &which)) {
        return NULL;
    }
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL) {
        return NULL;
    }
    switch (which) {
    case 0:
        return watch_capsule(api->watch_time(Py_None, 0, watched_call, watched_drop, watched_new(call, -1)));
    case 1:
        return watch_capsule(api->watch_descriptor(Py_None, 0, FERRIO_READABLE, watched_call, watched_drop, watched_new(call, -1)));
    case 2:
        return watch_capsule(api->watch_close(Py_None, watched_call, watched_drop, watched_new(call, -1)));
    default: /* the data stays the caller's */
        return watch_capsule(api->watch_close(loop, NULL, watched_drop, NULL));
    }
}

/* A future that sleeps by the loop's clock, and holds its waker as a thing of the loop's own. */
typedef struct {
    PyObject *loop;
    uint64_t nanoseconds;
    ferrio_watch *watch;
} nap;

static int nap_wake(void *waker, PyObject *loop, uint32_t events)
{
    (void)loop, (void)events;
    ((ferrio_waker *)waker)->api->waker_wake(waker);
    return 0;
}

static void nap_forget(void *waker)
{
    ((ferrio_waker *)waker)->api->waker_release_here(waker);
}

static int nap_poll(void *data, ferrio_waker *waker, PyObject **result)
{
    nap *self = data;
    const ferrio_loop_api *api = waker->api;
    uint64_t now;
    if (self->watch == NULL) {
        if (api->loop_time(self->loop, &now) != 0) {
            return FERRIO_RAISED;
        }
        self->watch = api->watch_time(self->loop, now + self->nanoseconds, nap_wake, nap_forget, api->waker_retain_here(waker));
        return self->watch == NULL ? FERRIO_RAISED : FERRIO_PENDING;
    }
    *result = Py_NewRef(Py_None);
    return FERRIO_READY;
}

static void nap_drop(void *data)
{
    nap *self = data;
    if (self->watch != NULL) {
        self->watch->api->watch_cancel(self->watch);
        self->watch->api->watch_release(self->watch);
    }
    Py_DECREF(self->loop);
    PyMem_Free(self);
    ADD(dropped);
}

static const ferrio_future_type nap_type = {
    sizeof(ferrio_future_type), "nap", 3, FERRIO_WOKEN_FROM_OUTSIDE | FERRIO_WOKEN_BY_WAKER, nap_poll, nap_drop};

static PyObject *sleep_nanoseconds(PyObject *module, PyObject *args)
{
    PyObject *loop;
    unsigned long long nanoseconds;
    (void)module;
    if (!PyArg_ParseTuple(args, "OK", &loop, &nanoseconds)) {
        return NULL;
    }
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL) {
        return NULL;
    }
    nap *self = PyMem_Malloc(sizeof *self);
    *self = (nap){Py_NewRef(loop), nanoseconds, NULL};
    ADD(made);
    return api->future_new(loop, &nap_type, self);
}

static PyObject *loop_of_none(PyObject *module, PyObject *loop)
{
    (void)module;
    const ferrio_loop_api *api = api_of(loop);
    if (api == NULL || api->loop_of(Py_None) == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* The loop of this kind that runs here. */
static PyObject *loop_running(PyObject *module, PyObject *loop)
{
    (void)module;
    const ferrio_loop_api *api = api_of(loop);
    PyObject *running = api == NULL ? NULL : api->loop_running();
    if (running == NULL && PyErr_Occurred()) {
        return NULL;
    }
    return Py_NewRef(running == NULL ? Py_None : running);
}

static PyObject *counts(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return Py_BuildValue("{sl sl sl sl sl sl}", "made", __atomic_load_n(&made, __ATOMIC_ACQUIRE), "dropped",
                         __atomic_load_n(&dropped, __ATOMIC_ACQUIRE), "polled", polled, "payloads_made",
                         __atomic_load_n(&payloads_made, __ATOMIC_ACQUIRE), "payloads_gone",
                         __atomic_load_n(&payloads_gone, __ATOMIC_ACQUIRE), "told_cancelled", told_cancelled);
}

/* Where the fields are, as the compiler of this file sees it. */
static PyObject *offsets(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
#define AT(type, field) #type "." #field, (long)offsetof(ferrio_##type, field)
    return Py_BuildValue("{sl sl sl sl sl sl sl sl sl sl}", AT(loop_api, future_new), AT(loop_api, waiter_new),
                         AT(loop_api, loop_post), AT(loop_api, watch_cancel), AT(future_type, flags), AT(future_type, poll),
                         AT(future_type, drop), AT(waiter_type, convert), AT(waiter_type, drop), "loop_api",
                         (long)sizeof(ferrio_loop_api));
}

static PyMethodDef methods[] = {
    {"future", future, METH_VARARGS, NULL},
    {"waiter", waiter, METH_O, NULL},
    {"complete", complete, METH_VARARGS, NULL},
    {"complete_in_thread", complete_in_thread, METH_O, NULL},
    {"post_in_thread", post_in_thread, METH_VARARGS, NULL},
    {"loop_time", loop_time, METH_O, NULL},
    {"watch_time", watch_time, METH_VARARGS, NULL},
    {"watch_descriptor", watch_descriptor, METH_VARARGS, NULL},
    {"watch_close", watch_close, METH_VARARGS, NULL},
    {"watch_cancel", watch_cancel, METH_O, NULL},
    {"cancel_in_thread", cancel_in_thread, METH_O, NULL},
    {"watch_none", watch_none, METH_VARARGS, NULL},
    {"sleep", sleep_nanoseconds, METH_VARARGS, NULL},
    {"loop_of_none", loop_of_none, METH_O, NULL},
    {"loop_running", loop_running, METH_O, NULL},
    {"counts", counts, METH_NOARGS, NULL},
    {"offsets", offsets, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "c_interface", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_c_interface(void)
{
    PyObject *module = PyModule_Create(&definition);
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
