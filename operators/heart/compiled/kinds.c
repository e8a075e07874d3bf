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
    PyObject *key, *handlers;
    if (!PyArg_ParseTuple(said, "OO!", &key, &PyTuple_Type, &handlers))
        return -1;
    kind->handlers = Py_NewRef(handlers);
    if (offset_of(kind->type, "time", &kind->time) < 0 || offset_of(kind->type, "id", &kind->id) < 0 ||
        offset_of(kind->type, "source", &kind->source) < 0)
        return -1;
    return take_key(kind, key);
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

int kinds_make(Kinds *kinds, PyObject *events, PyObject *notes, PyTypeObject *late) {
    kinds_clear(kinds);
    size_t size = 16;
    while (size < 4 * (size_t)(PyDict_Size(events) + PyDict_Size(notes) + 1))
        size *= 2;
    kinds->places = PyMem_RawCalloc(size, sizeof(Kind));
    if (kinds->places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    kinds->size = size;
    PyObject *type, *said;
    Py_ssize_t place = 0;
    while (PyDict_Next(events, &place, &type, &said)) {
        Kind *kind = new_kind(kinds, type, EVENT);
        if (kind == NULL || take_event(kind, said) < 0)
            return -1;
    }
    place = 0;
    while (PyDict_Next(notes, &place, &type, &said)) {
        Kind *kind = new_kind(kinds, type, NOTE);
        if (kind == NULL || take_note(kind, said) < 0)
            return -1;
    }
    Kind *kind = new_kind(kinds, (PyObject *)late, LATE);
    return kind == NULL ? -1 : take_late(kind);
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
