#include "cells.h"

#include <stdlib.h>
#include <string.h>

#include "fields.h"

static int take_states(Walker *self, PyObject *key, PyObject *parts) {
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        PyObject *state = PyTuple_GET_ITEM(parts, 2 + slot);
        if (state != Py_None && PyDict_SetItem(self->states[slot], key, state) < 0)
            return -1;
    }
    return 0;
}

int64_t *cells_new_dues(const Walker *self) {
    int64_t *dues = PyMem_Calloc((size_t)self->parts + 1, sizeof *dues);
    if (dues == NULL)
        PyErr_NoMemory();
    return dues;
}

static int take_dues(const Walker *self, Cell *cell, PyObject *asked) {
    if (asked == Py_None)
        return 0;
    if (!PyList_Check(asked) || PyList_GET_SIZE(asked) != self->parts + 1) {
        PyErr_SetString(PyExc_ValueError, "a cell has one moment for each slot");
        return -1;
    }
    cell->dues = cells_new_dues(self);
    if (cell->dues == NULL)
        return -1;
    for (Py_ssize_t slot = 0; slot <= self->parts; slot++) {
        cell->dues[slot] = whole_number(PyList_GET_ITEM(asked, slot));
        if (cell->dues[slot] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

/* A cell at rest as a live one; its states go to the components. */
static Cell *unpacked(Walker *self, PyObject *key, const char *data, size_t length) {
    if (length < WAKE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a cell at rest is too short");
        return NULL;
    }
    /* A copy, as nobody says for how long it is held. */
    PyObject *bytes = PyBytes_FromStringAndSize(data + WAKE_BYTES, (Py_ssize_t)length - WAKE_BYTES);
    PyObject *parts = bytes == NULL ? NULL : PyObject_CallOneArg(self->decode, bytes);
    Py_XDECREF(bytes);
    if (parts == NULL)
        return NULL;
    if (!PyTuple_Check(parts) || PyTuple_GET_SIZE(parts) != 2 + self->parts) {
        PyErr_SetString(PyExc_ValueError, "a cell at rest is (ids, dues, a state for each component)");
        Py_DECREF(parts);
        return NULL;
    }
    Cell *cell = cell_new();
    if (cell == NULL || ids_unpack(&cell->ids, PyTuple_GET_ITEM(parts, 0)) < 0 ||
        take_dues(self, cell, PyTuple_GET_ITEM(parts, 1)) < 0 || take_states(self, key, parts) < 0)
        Py_CLEAR(cell);
    else
        cell->wake = wake_of(data);
    Py_DECREF(parts);
    return cell;
}

/* The cell of a key that is at rest, which is so no longer; NULL, maybe with an error set, when there is none. */
Cell *cells_woken(Walker *self, PyObject *key) {
    if (PyDict_GET_SIZE(self->loose) > 0) {
        PyObject *data = PyDict_GetItemWithError(self->loose, key);
        if (data != NULL) {
            Py_INCREF(data);
            Cell *cell = NULL;
            if (PyDict_DelItem(self->loose, key) == 0)
                cell = unpacked(self, key, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
            Py_DECREF(data);
            return cell;
        }
        if (PyErr_Occurred())
            return NULL;
    }
    Laid *laid = resting_take(&self->resting, key);
    if (laid == NULL)
        return NULL;
    Cell *cell = unpacked(self, key, laid_cell(laid), laid->length);
    free(laid);
    if (cell != NULL)
        cell->filed = cell->wake;
    return cell;
}

/* Take a cell, of which this has the only reference, among the live ones; returns it borrowed. */
Cell *cells_made_live(Walker *self, PyObject *key, Cell *cell) {
    int put = PyDict_SetItem(self->live, key, (PyObject *)cell);
    Py_DECREF(cell);
    return put < 0 ? NULL : cell;
}

/* The live cell of a key, made anew if there is none; it counts as changed. Borrowed; NULL with an error set. */
Cell *cells_touch(Walker *self, PyObject *key) {
    if (!is_key(key))
        return NULL;
    Cell *cell = live_cell(self, key);
    if (cell != NULL) {
        if (!cell->clean)
            return cell;
    } else {
        if (PyErr_Occurred())
            return NULL;
        cell = cells_woken(self, key);
        if (cell == NULL && (PyErr_Occurred() || (cell = cell_new()) == NULL))
            return NULL;
        cell = cells_made_live(self, key, cell);
        if (cell == NULL)
            return NULL;
    }
    cell->clean = false;
    if (self->recording && PyList_Append(self->touched, key) < 0)
        return NULL;
    return cell;
}

static bool some_due(const Walker *self, const Cell *cell) {
    if (cell->dues != NULL)
        for (Py_ssize_t slot = 0; slot <= self->parts; slot++)
            if (cell->dues[slot] != 0)
                return true;
    return false;
}

static PyObject *packed_dues(const Walker *self, const Cell *cell) {
    if (!some_due(self, cell))
        return Py_NewRef(Py_None);
    PyObject *dues = PyList_New(self->parts + 1);
    for (Py_ssize_t slot = 0; dues != NULL && slot <= self->parts; slot++) {
        PyObject *due = PyLong_FromLongLong(cell->dues[slot]);
        if (due == NULL)
            Py_CLEAR(dues);
        else
            PyList_SET_ITEM(dues, slot, due);
    }
    return dues;
}

/* (ids, dues, states...), and whether there is anything in it; NULL with an error set. */
static PyObject *content(Walker *self, PyObject *key, const Cell *cell, bool *anything) {
    PyObject *parts = PyTuple_New(2 + self->parts);
    PyObject *ids = parts == NULL ? NULL : ids_packed(&cell->ids);
    PyObject *dues = ids == NULL ? NULL : packed_dues(self, cell);
    if (dues == NULL) {
        Py_XDECREF(ids);
        Py_XDECREF(parts);
        return NULL;
    }
    *anything = dues != Py_None || ids_known(&cell->ids);
    PyTuple_SET_ITEM(parts, 0, ids);
    PyTuple_SET_ITEM(parts, 1, dues);
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        PyObject *state = PyDict_GetItemWithError(self->states[slot], key);
        if (state == NULL) {
            if (PyErr_Occurred()) {
                Py_DECREF(parts);
                return NULL;
            }
            state = Py_None;
        }
        *anything = *anything || state != Py_None;
        PyTuple_SET_ITEM(parts, 2 + slot, Py_NewRef(state));
    }
    return parts;
}

static PyObject *behind_its_wake(PyObject *encoded, int64_t wake) {
    if (!PyBytes_Check(encoded)) {
        PyErr_SetString(PyExc_TypeError, "what is encoded is bytes");
        return NULL;
    }
    if (wake < 0) {
        PyErr_SetString(PyExc_OverflowError, "nobody at rest is woken before 1970");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(encoded);
    PyObject *whole = PyBytes_FromStringAndSize(NULL, WAKE_BYTES + size);
    if (whole != NULL) {
        write_wake(PyBytes_AS_STRING(whole), wake);
        memcpy(PyBytes_AS_STRING(whole) + WAKE_BYTES, PyBytes_AS_STRING(encoded), (size_t)size);
    }
    return whole;
}

/* A cell as bytes; None for one that there is nothing of. A new reference; NULL with an error set. */
PyObject *cells_laid(Walker *self, PyObject *key, const Cell *cell) {
    bool anything;
    PyObject *parts = content(self, key, cell, &anything);
    if (parts == NULL)
        return NULL;
    PyObject *encoded = anything ? PyObject_CallOneArg(self->encode, parts) : Py_NewRef(Py_None);
    Py_DECREF(parts);
    if (encoded == NULL || !anything)
        return encoded;
    PyObject *whole = behind_its_wake(encoded, cell->wake);
    Py_DECREF(encoded);
    return whole;
}

/* What a cell was told as since the last snapshot if nothing has touched it since, else as it is now. */
PyObject *cells_laid_already(Walker *self, PyObject *key, const Cell *cell) {
    if (cell->clean) {
        PyObject *told = PyDict_GetItemWithError(self->changed, key);
        if (told != NULL || PyErr_Occurred())
            return Py_XNewRef(told);
    }
    return cells_laid(self, key, cell);
}

int cells_put_to_rest(Walker *self, PyObject *key, PyObject *data, int64_t filed) {
    uint32_t mark;
    const char *cell = PyBytes_AS_STRING(data);
    if (resting_put(&self->resting, key, cell, (size_t)PyBytes_GET_SIZE(data), &mark) < 0)
        return -1;
    int64_t wake = wake_of(cell);
    return wake != 0 && wake != filed ? timers_file(&self->timers, wake, mark) : 0;
}

static int rest(Walker *self, PyObject *key) {
    Cell *cell = live_cell(self, key);
    PyObject *data = cells_laid_already(self, key, cell);
    if (data == NULL)
        return -1;
    int failed = data != Py_None && cells_put_to_rest(self, key, data, cell->filed) < 0;
    if (!failed && self->recording && !cell->clean)
        failed = PyDict_SetItem(self->changed, key, data) < 0;
    Py_DECREF(data);
    for (Py_ssize_t slot = 0; !failed && slot < self->parts; slot++) {
        int there = PyDict_Contains(self->states[slot], key);
        failed = there < 0 || (there && PyDict_DelItem(self->states[slot], key) < 0);
    }
    return failed || PyDict_DelItem(self->live, key) < 0 ? -1 : 0;
}

int cells_rest_the_older_half(Walker *self) {
    Py_ssize_t count = PyDict_GET_SIZE(self->live);
    if (count <= self->live_limit)
        return 0;
    PyObject *keys = PyDict_Keys(self->live);
    int done = keys == NULL ? -1 : 0;
    for (Py_ssize_t index = 0; done == 0 && index < count / 2; index++)
        done = rest(self, PyList_GET_ITEM(keys, index));
    Py_XDECREF(keys);
    return done;
}
