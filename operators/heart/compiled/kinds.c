#include "kinds.h"

#include "fields.h"

static int offset_of(PyTypeObject *type, const char *field, Py_ssize_t *offset) {
    PyObject *name = PyUnicode_InternFromString(field);
    if (name == NULL)
        return -1;
    *offset = field_offset(type, name);
    Py_DECREF(name);
    return *offset < 0 ? -1 : 0;
}

/* ``key`` is a keys.Key: it is taken apart, so that most keys are made here. */
static int take_key(Kind *kind, PyObject *key) {
    PyObject *field = PyObject_GetAttrString(key, "field");
    if (field == NULL)
        return -1;
    if (field != Py_None)
        kind->key = field_offset(kind->type, field);
    Py_DECREF(field);
    if (field != Py_None && kind->key < 0)
        return -1;
    kind->key_of = PyObject_GetAttrString(key, "of");
    kind->prefix = PyObject_GetAttrString(key, "prefix");
    if (kind->key_of == NULL || kind->prefix == NULL)
        return -1;
    if (PyUnicode_Check(kind->prefix) && PyUnicode_GET_LENGTH(kind->prefix) == 0)
        Py_CLEAR(kind->prefix);
    return 0;
}

static int take_event(Kind *kind, PyObject *said) {
    if (!PyTuple_Check(said) || PyTuple_GET_SIZE(said) != 2 || !PyTuple_Check(PyTuple_GET_ITEM(said, 1))) {
        PyErr_SetString(PyExc_TypeError, "of an event its key and a tuple of handlers are told");
        return -1;
    }
    kind->handlers = Py_NewRef(PyTuple_GET_ITEM(said, 1));
    if (offset_of(kind->type, "time", &kind->time) < 0 || offset_of(kind->type, "id", &kind->id) < 0 ||
        offset_of(kind->type, "source", &kind->source) < 0)
        return -1;
    return take_key(kind, PyTuple_GET_ITEM(said, 0));
}

static int take_note(Kind *kind, PyObject *handlers) {
    if (!PyTuple_Check(handlers)) {
        PyErr_SetString(PyExc_TypeError, "the handlers of notes are a tuple");
        return -1;
    }
    kind->handlers = Py_NewRef(handlers);
    return offset_of(kind->type, "time", &kind->time) < 0 ? -1 : offset_of(kind->type, "key", &kind->key);
}

static int take_late(Kind *kind) {
    return offset_of(kind->type, "time", &kind->time) < 0 ? -1 : offset_of(kind->type, "event", &kind->event);
}

static Kind *new_kind(Kinds *kinds, PyObject *type, What what) {
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "entries are told apart by their types");
        return NULL;
    }
    Kind *kind = &kinds->places[kinds_place(kinds, (PyTypeObject *)type)];
    if (kind->type != NULL) {
        PyErr_Format(PyExc_ValueError, "%R is named twice", type);
        return NULL;
    }
    *kind = (Kind){.type = (PyTypeObject *)Py_NewRef(type), .what = what, .key = -1};
    return kind;
}

static int make_room(Kinds *kinds, Py_ssize_t count) {
    size_t size = 16;
    while (size < 4 * (size_t)count)
        size *= 2;
    kinds->places = PyMem_RawCalloc(size, sizeof(Kind));
    if (kinds->places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    kinds->size = size;
    return 0;
}

/* ``items``: (type, what is said of it) */
static int take_all(Kinds *kinds, PyObject *items, What what, int (*take)(Kind *, PyObject *)) {
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(items); index++) {
        PyObject *item = PyList_GET_ITEM(items, index);
        Kind *kind = new_kind(kinds, PyTuple_GET_ITEM(item, 0), what);
        if (kind == NULL || take(kind, PyTuple_GET_ITEM(item, 1)) < 0)
            return -1;
    }
    return 0;
}

int kinds_make(Kinds *kinds, PyObject *events, PyObject *notes, PyTypeObject *late) {
    kinds_clear(kinds);
    /* Lists of their own: while they are gone through, the attributes of others are asked for. */
    PyObject *of_events = PyDict_Items(events), *of_notes = PyDict_Items(notes);
    int done = -1;
    if (of_events != NULL && of_notes != NULL &&
        make_room(kinds, PyList_GET_SIZE(of_events) + PyList_GET_SIZE(of_notes) + 1) == 0 &&
        take_all(kinds, of_events, EVENT, take_event) == 0 && take_all(kinds, of_notes, NOTE, take_note) == 0) {
        Kind *kind = new_kind(kinds, (PyObject *)late, LATE);
        done = kind == NULL ? -1 : take_late(kind);
    }
    Py_XDECREF(of_events);
    Py_XDECREF(of_notes);
    if (done < 0)
        kinds_clear(kinds); /* half of it would be worse than nothing */
    return done;
}

void kinds_clear(Kinds *kinds) {
    Kinds old = *kinds;
    *kinds = (Kinds){0}; /* first: what is let go may look at it */
    for (size_t place = 0; place < old.size; place++) {
        Kind *kind = &old.places[place];
        Py_XDECREF(kind->type);
        Py_XDECREF(kind->prefix);
        Py_XDECREF(kind->key_of);
        Py_XDECREF(kind->handlers);
    }
    PyMem_RawFree(old.places);
}

int kinds_visit(const Kinds *kinds, visitproc visit, void *arg) {
    for (size_t place = 0; place < kinds->size; place++) {
        Py_VISIT(kinds->places[place].type);
        Py_VISIT(kinds->places[place].key_of);
        Py_VISIT(kinds->places[place].handlers);
    }
    return 0;
}
