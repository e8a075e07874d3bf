#include "walker.h"

#include "fields.h"
#include "storing.h"
#include "waking.h"
#include "walk.h"

static const int64_t LONGEST_HORIZON = (int64_t)1 << 59; /* with moments as they are, their sum does not overflow */

/* ---- how components ask to be woken ---- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    Walker *walker;
    Py_ssize_t slot;
} Armer;

static PyObject *armer_call(PyObject *callee, PyObject *const *arguments, size_t counted, PyObject *names) {
    Armer *self = (Armer *)callee;
    if (PyVectorcall_NARGS(counted) != 2 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "arm(key: str, due: int)");
        return NULL;
    }
    int64_t due = whole_number(arguments[1]);
    if ((due == -1 && PyErr_Occurred()) || !is_key(arguments[0]))
        return NULL;
    Cell *cell = live_cell(self->walker, arguments[0]);
    if (cell == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, arguments[0]);
        return NULL;
    }
    if (waking_arm(self->walker, self->slot, arguments[0], cell, due) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int armer_traverse(Armer *self, visitproc visit, void *arg) {
    Py_VISIT(self->walker);
    return 0;
}

/* What goes round over an armer goes round over its walker, which breaks it; so an armer always has one. */
static void armer_dealloc(Armer *self) {
    PyObject_GC_UnTrack(self);
    Py_DECREF(self->walker);
    PyObject_GC_Del(self);
}

PyTypeObject ArmerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "operators.heart._compiled.Armer",
    .tp_basicsize = sizeof(Armer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Armer, call),
    .tp_traverse = (traverseproc)armer_traverse,
    .tp_dealloc = (destructor)armer_dealloc,
};

static PyObject *walker_armer(Walker *self, PyObject *number) {
    Py_ssize_t slot = PyLong_AsSsize_t(number);
    if (slot == -1 && PyErr_Occurred())
        return NULL;
    if (slot < 0 || slot > self->parts) {
        PyErr_Format(PyExc_IndexError, "there is no slot %zd", slot);
        return NULL;
    }
    Armer *armer = PyObject_GC_New(Armer, &ArmerType);
    if (armer == NULL)
        return NULL;
    armer->call = armer_call;
    armer->walker = (Walker *)Py_NewRef(self);
    armer->slot = slot;
    PyObject_GC_Track(armer);
    return (PyObject *)armer;
}

/* ---- the walker as an object ---- */

static int take_components(Walker *self, PyObject *components) {
    PyObject *parts = PySequence_Tuple(components);
    if (parts == NULL)
        return -1;
    Py_ssize_t count = PyTuple_GET_SIZE(parts);
    self->components = PyMem_Calloc((size_t)count + 1, sizeof(PyObject *));
    self->states = PyMem_Calloc((size_t)count + 1, sizeof(PyObject *));
    self->wakers = PyMem_Calloc((size_t)count + 1, sizeof(PyObject *));
    int done = self->components == NULL || self->states == NULL || self->wakers == NULL ? -1 : 0;
    if (done < 0)
        PyErr_NoMemory();
    for (Py_ssize_t slot = 0; done == 0 && slot < count; slot++) {
        PyObject *component = PyTuple_GET_ITEM(parts, slot);
        self->parts = slot + 1;
        self->components[slot] = Py_NewRef(component);
        self->states[slot] = PyObject_GetAttrString(component, "states");
        PyObject *of_group = PyObject_GetAttrString(component, "per_group");
        int is_of_group = of_group == NULL ? -1 : PyObject_IsTrue(of_group);
        Py_XDECREF(of_group);
        if (self->states[slot] == NULL || is_of_group < 0) {
            done = -1;
        } else if (!PyDict_CheckExact(self->states[slot])) {
            PyErr_SetString(PyExc_TypeError, "the states of a component are a dict");
            done = -1;
        }
        self->per_group = self->per_group || is_of_group > 0;
    }
    Py_DECREF(parts);
    return done;
}

static int take_arguments(Walker *self, PyObject *arguments, PyObject *named) {
    static char *names[] = {"components", "live_limit", "horizon", "encode", "decode", "digest", "seeds", NULL};
    PyObject *components, *encode, *decode, *digest, *seeds;
    long long horizon;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "OnL$OOOO:Walker", names, &components, &self->live_limit,
                                     &horizon, &encode, &decode, &digest, &seeds))
        return -1;
    if (horizon <= 0 || horizon > LONGEST_HORIZON || !PyDict_Check(seeds)) {
        PyErr_SetString(PyExc_ValueError, "the horizon is above 0 and no age of the world, and seeds are a dict");
        return -1;
    }
    self->horizon = horizon;
    self->encode = Py_NewRef(encode);
    self->decode = Py_NewRef(decode);
    self->digest = Py_NewRef(digest);
    self->seeds = Py_NewRef(seeds);
    self->group_key = PyUnicode_FromString("");
    self->touched = PyList_New(0);
    self->changed = PyDict_New();
    self->loose = PyDict_New();
    self->live = PyDict_New();
    if (self->group_key == NULL || self->touched == NULL || self->changed == NULL || self->loose == NULL ||
        self->live == NULL)
        return -1;
    return take_components(self, components);
}

static PyObject *walker_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    Walker *self = (Walker *)type->tp_alloc(type, 0);
    if (self != NULL && take_arguments(self, arguments, named) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int take_wakers(Walker *self) {
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        PyObject *waker = PyObject_GetAttrString(self->components[slot], "on_timer");
        if (waker == NULL)
            return -1;
        Py_XSETREF(self->wakers[slot], waker);
    }
    return 0;
}

/* Without ``say_late`` it does not walk: that comes last. */
static int take_heard(Walker *self, PyObject *heard) {
    Py_CLEAR(self->say_late);
    PyObject *events = PyObject_GetAttrString(heard, "events");
    PyObject *notes = events == NULL ? NULL : PyObject_GetAttrString(heard, "notes");
    PyObject *say_late = notes == NULL ? NULL : PyObject_GetAttrString(heard, "say_late");
    PyObject *late = say_late == NULL ? NULL : PyObject_GetAttrString(heard, "late");
    int done = -1;
    if (late != NULL) {
        if (!PyDict_Check(events) || !PyDict_Check(notes) || !PyType_Check(late))
            PyErr_SetString(PyExc_TypeError, "what is heard is told by two dicts and a type");
        else if (kinds_make(&self->kinds, events, notes, (PyTypeObject *)late) == 0 && take_wakers(self) == 0)
            done = 0;
    }
    if (done == 0)
        self->say_late = Py_NewRef(say_late);
    Py_XDECREF(events);
    Py_XDECREF(notes);
    Py_XDECREF(say_late);
    Py_XDECREF(late);
    return done;
}

/* Say who is to be called. ``heard``: a walker.Heard. */
static PyObject *walker_hear(Walker *self, PyObject *heard) {
    if (!begins(self))
        return NULL;
    return ended(self, take_heard(self, heard) < 0 ? NULL : Py_NewRef(Py_None));
}

static int walker_traverse(Walker *self, visitproc visit, void *arg) {
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        Py_VISIT(self->components[slot]);
        Py_VISIT(self->states[slot]);
        Py_VISIT(self->wakers[slot]);
    }
    Py_VISIT(self->encode);
    Py_VISIT(self->decode);
    Py_VISIT(self->digest);
    Py_VISIT(self->seeds);
    Py_VISIT(self->say_late);
    return kinds_visit(&self->kinds, visit, arg);
}

/* Keys and cells refer to nothing, so they stay: an armer may be called as long as anybody has it. */
static int walker_clear(Walker *self) {
    self->busy = true;
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        Py_CLEAR(self->components[slot]);
        Py_CLEAR(self->states[slot]);
        Py_CLEAR(self->wakers[slot]);
    }
    kinds_clear(&self->kinds);
    Py_CLEAR(self->encode);
    Py_CLEAR(self->decode);
    Py_CLEAR(self->digest);
    Py_CLEAR(self->seeds);
    Py_CLEAR(self->say_late);
    return 0;
}

static void walker_dealloc(Walker *self) {
    PyObject_GC_UnTrack(self);
    walker_clear(self);
    timers_clear(&self->timers);
    resting_clear(&self->resting);
    Py_XDECREF(self->live);
    Py_XDECREF(self->touched);
    Py_XDECREF(self->changed);
    Py_XDECREF(self->loose);
    Py_XDECREF(self->group_key);
    PyMem_Free(self->components);
    PyMem_Free(self->states);
    PyMem_Free(self->wakers);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Py_ssize_t walker_length(Walker *self) {
    return PyDict_GET_SIZE(self->live) + PyDict_GET_SIZE(self->loose) + (Py_ssize_t)self->resting.count;
}

static PyMethodDef walker_methods[] = {
    {"hear", (PyCFunction)walker_hear, METH_O, "Say who is to be called, before the first walk."},
    {"armer", (PyCFunction)walker_armer, METH_O, "How the component in a slot asks to be woken."},
    {"walk", (PyCFunction)(void (*)(void))walker_walk, METH_FASTCALL,
     "Apply entries and timers; returns how many events were applied, and how many were duplicates."},
    {"tidy", (PyCFunction)walker_tidy, METH_NOARGS, "Lay keys to rest, get ahead with the next snapshot."},
    {"changes", (PyCFunction)walker_changes, METH_NOARGS, "The cells that may have changed since the last call."},
    {"all", (PyCFunction)walker_all, METH_NOARGS, "All cells."},
    {"restore", (PyCFunction)(void (*)(void))walker_restore, METH_VARARGS | METH_KEYWORDS,
     "Take over a base and the changes to it."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods walker_as_sequence = {.sq_length = (lenfunc)walker_length};

PyTypeObject WalkerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "operators.heart._compiled.Walker",
    .tp_doc = "What a key group knows of its keys, and the walk over what happens to them.",
    .tp_basicsize = sizeof(Walker),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = walker_new,
    .tp_dealloc = (destructor)walker_dealloc,
    .tp_traverse = (traverseproc)walker_traverse,
    .tp_clear = (inquiry)walker_clear,
    .tp_methods = walker_methods,
    .tp_as_sequence = &walker_as_sequence,
};
