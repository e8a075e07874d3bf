#include "walk.h"

#include "cells.h"
#include "fields.h"
#include "waking.h"

static PyObject *key_of_event(const Kind *kind, PyObject *event) {
    if (kind->key >= 0) {
        PyObject *field = field_at(event, kind->key);
        if (field == NULL)
            return NULL;
        if (PyUnicode_CheckExact(field))
            return kind->prefix == NULL ? Py_NewRef(field) : PyUnicode_Concat(kind->prefix, field);
    }
    return PyObject_CallOneArg(kind->key_of, event);
}

static PyObject *seed_of(Walker *self, PyObject *source) {
    PyObject *seed = PyDict_GetItemWithError(self->seeds, source);
    if (seed != NULL || PyErr_Occurred())
        return Py_XNewRef(seed);
    return PyObject_GetItem(self->seeds, source); /* makes it */
}

/* Whether an event of a key was seen before; if not, it is remembered. -1 with an error set. */
static int seen(Walker *self, const Kind *kind, PyObject *event, Cell *cell, int64_t at) {
    PyObject *id = field_at(event, kind->id), *source = field_at(event, kind->source);
    if (id == NULL || source == NULL)
        return -1;
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(id, &length);
    PyObject *seed = text == NULL ? NULL : seed_of(self, source);
    PyObject *bytes = seed == NULL ? NULL : PyBytes_FromStringAndSize(text, length);
    PyObject *digest = NULL;
    if (bytes != NULL) {
        PyObject *arguments[] = {bytes, seed};
        digest = PyObject_Vectorcall(self->digest, arguments, 2, NULL);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(seed);
    int found = digest == NULL ? -1 : ids_seen(&cell->ids, self->horizon, digest, at);
    Py_XDECREF(digest);
    return found;
}

static int call_two(PyObject *callee, PyObject *one, PyObject *other) {
    PyObject *arguments[] = {one, other};
    PyObject *nothing = PyObject_Vectorcall(callee, arguments, 2, NULL);
    Py_XDECREF(nothing);
    return nothing == NULL ? -1 : 0;
}

static int hear(const Kind *kind, PyObject *message, PyObject *at) {
    PyObject *handlers = Py_NewRef(kind->handlers);
    int done = 0;
    for (Py_ssize_t index = 0; done == 0 && index < PyTuple_GET_SIZE(handlers); index++)
        done = call_two(PyTuple_GET_ITEM(handlers, index), message, at);
    Py_DECREF(handlers);
    return done;
}

typedef struct {
    Py_ssize_t applied, duplicates;
} Walked;

/* One event, maybe a late one: ``entry`` and ``event`` are different then. */
static int walk_event(Walker *self, const Kind *kind, PyObject *entry, PyObject *event, PyObject *at, int64_t time,
                      Walked *walked) {
    PyObject *key = key_of_event(kind, event);
    if (key == NULL)
        return -1;
    Cell *cell = cells_touch(self, key);
    int again = cell == NULL ? -1 : seen(self, kind, event, cell, time);
    int done = again < 0 ? -1 : 0;
    if (again == 0 && (cell->dues == NULL || cell->dues[self->parts] == 0))
        done = waking_arm(self, self->parts, key, cell, ids_forget_at(&cell->ids, self->horizon));
    Py_DECREF(key);
    if (again == 1)
        walked->duplicates++;
    if (again != 0 || done < 0)
        return done;
    walked->applied++;
    if (event != entry && call_two(self->say_late, event, at) < 0)
        return -1;
    return hear(kind, event, at);
}

static int walk_note(Walker *self, const Kind *kind, PyObject *note, PyObject *at) {
    PyObject *key = Py_XNewRef(field_at(note, kind->key));
    int done = key == NULL || cells_touch(self, key) == NULL ? -1 : hear(kind, note, at);
    Py_XDECREF(key);
    return done;
}

static int walk_late(Walker *self, const Kind *kind, PyObject *late, PyObject *at, int64_t time, Walked *walked) {
    PyObject *event = Py_XNewRef(field_at(late, kind->event));
    if (event == NULL)
        return -1;
    const Kind *its_kind = kind_of(&self->kinds, Py_TYPE(event));
    int done = -1;
    if (its_kind != NULL && its_kind->what == EVENT)
        done = walk_event(self, its_kind, late, event, at, time, walked);
    else if (its_kind != NULL)
        PyErr_SetObject(PyExc_KeyError, (PyObject *)Py_TYPE(event)); /* nothing else can be late */
    Py_DECREF(event);
    return done;
}

static int walk_entry(Walker *self, PyObject *entry, Walked *walked) {
    const Kind *kind = kind_of(&self->kinds, Py_TYPE(entry));
    PyObject *at = kind == NULL ? NULL : Py_XNewRef(field_at(entry, kind->time)); /* whoever hears it may change it */
    int64_t time = at == NULL ? -1 : moment_of(at);
    int done = time == -1 && PyErr_Occurred() ? -1 : 0;
    while (done == 0 && timers_has(&self->timers, time))
        done = waking_fire(self);
    if (done == 0)
        done = kind->what == NOTE   ? walk_note(self, kind, entry, at)
               : kind->what == LATE ? walk_late(self, kind, entry, at, time, walked)
                                    : walk_event(self, kind, entry, entry, at, time, walked);
    Py_XDECREF(at);
    return done;
}

/* Entries and timers, merged in time order: a timer due at t comes before everything at t. */
static PyObject *walked_through(Walker *self, PyObject *ready, int64_t watermark) {
    if (waking_reach(self, watermark + 1) < 0 || (self->per_group && cells_touch(self, self->group_key) == NULL))
        return NULL;
    Walked walked = {0, 0};
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(ready); index++) {
        PyObject *entry = Py_NewRef(PyList_GET_ITEM(ready, index));
        int done = walk_entry(self, entry, &walked);
        Py_DECREF(entry);
        if (done < 0)
            return NULL;
    }
    while (timers_has(&self->timers, watermark + 1))
        if (waking_fire(self) < 0)
            return NULL;
    return Py_BuildValue("(nn)", walked.applied, walked.duplicates);
}

PyObject *walker_walk(Walker *self, PyObject *const *arguments, Py_ssize_t count) {
    if (count != 2 || !PyList_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "walk(ready: list, watermark: int)");
        return NULL;
    }
    if (self->say_late == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a walker must hear whom to call before it walks");
        return NULL;
    }
    int64_t watermark = moment_of(arguments[1]);
    if ((watermark == -1 && PyErr_Occurred()) || !begins(self))
        return NULL;
    return ended(self, walked_through(self, arguments[0], watermark));
}
