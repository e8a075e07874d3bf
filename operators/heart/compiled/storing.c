#include "storing.h"

#include "cells.h"

enum {
    AT_ONCE = 64, /* cells of a snapshot that are packed with each advance of a group */
    LEFT = 16,    /* touched cells of a group that a snapshot may have to lay down */
};

/* Note down how the first so many touched cells are now; one that is touched again counts once more. */
static int tell(Walker *self, Py_ssize_t count) {
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *key = PyList_GET_ITEM(self->touched, index);
        Cell *cell = live_cell(self, key);
        if (cell == NULL && PyErr_Occurred())
            return -1;
        if (cell == NULL || cell->clean)
            continue;
        PyObject *data = cells_laid(self, key, cell);
        int done = data == NULL ? -1 : PyDict_SetItem(self->changed, key, data);
        if (done == 0) {
            cell->clean = true; /* only now: what could not be told is still to be told */
            if (data == Py_None)
                done = PyDict_DelItem(self->live, key);
        }
        Py_XDECREF(data);
        if (done < 0)
            return -1;
    }
    return PyList_SetSlice(self->touched, 0, count, NULL);
}

/* Pack some of the cells of the snapshot that was restored. */
static int settle(Walker *self) {
    PyObject *keys[AT_ONCE], *data;
    Py_ssize_t place = 0;
    int found = 0, done = 0;
    while (found < AT_ONCE && PyDict_Next(self->loose, &place, &keys[found], &data)) {
        Py_INCREF(keys[found]);
        found++;
    }
    for (int index = 0; index < found; index++) {
        if (done == 0) {
            data = PyDict_GetItemWithError(self->loose, keys[index]);
            done = data == NULL || cells_put_to_rest(self, keys[index], data, 0) < 0 ||
                           PyDict_DelItem(self->loose, keys[index]) < 0
                       ? -1
                       : 0;
        }
        Py_DECREF(keys[index]);
    }
    return done;
}

PyObject *walker_tidy(Walker *self, PyObject *Py_UNUSED(nothing)) {
    if (!begins(self))
        return NULL;
    Py_ssize_t ahead = self->recording ? PyList_GET_SIZE(self->touched) - LEFT : 0;
    bool failed = settle(self) < 0 || (ahead > 0 && tell(self, ahead) < 0) || cells_rest_the_older_half(self) < 0;
    return ended(self, failed ? NULL : Py_NewRef(Py_None));
}

/* All cells at rest, into a dict. */
static int add_resting(const Walker *self, PyObject *cells) {
    if (PyDict_Update(cells, self->loose) < 0)
        return -1;
    const Laid *at_rest;
    size_t place = 0;
    while ((at_rest = resting_next(&self->resting, &place)) != NULL) {
        PyObject *key = laid_key(at_rest);
        PyObject *data = PyBytes_FromStringAndSize(laid_cell(at_rest), (Py_ssize_t)at_rest->length);
        int failed = key == NULL || data == NULL || PyDict_SetItem(cells, key, data) < 0;
        Py_XDECREF(key);
        Py_XDECREF(data);
        if (failed)
            return -1;
    }
    return 0;
}

static PyObject *changes(Walker *self) {
    if (!self->recording) {
        self->recording = true;
        PyObject *all_live = PyDict_Keys(self->live);
        if (all_live == NULL)
            return NULL;
        Py_SETREF(self->touched, all_live);
        PyDict_Clear(self->changed);
        if (add_resting(self, self->changed) < 0)
            return NULL;
    }
    PyObject *fresh = PyDict_New();
    if (fresh == NULL || tell(self, PyList_GET_SIZE(self->touched)) < 0) {
        Py_XDECREF(fresh);
        return NULL;
    }
    PyObject *changed = self->changed;
    self->changed = fresh;
    return changed;
}

PyObject *walker_changes(Walker *self, PyObject *Py_UNUSED(nothing)) {
    return begins(self) ? ended(self, changes(self)) : NULL;
}

static PyObject *all_cells(Walker *self) {
    PyObject *cells = PyDict_New();
    if (cells == NULL || add_resting(self, cells) < 0)
        goto failed;
    PyObject *key, *cell;
    Py_ssize_t place = 0;
    while (PyDict_Next(self->live, &place, &key, &cell)) {
        PyObject *data = cells_laid_already(self, key, (Cell *)cell);
        int done = data == NULL ? -1 : data == Py_None ? 0 : PyDict_SetItem(cells, key, data);
        Py_XDECREF(data);
        if (done < 0)
            goto failed;
    }
    return cells;
failed:
    Py_XDECREF(cells);
    return NULL;
}

PyObject *walker_all(Walker *self, PyObject *Py_UNUSED(nothing)) {
    return begins(self) ? ended(self, all_cells(self)) : NULL;
}

static int lay_one_over(PyObject *cells, PyObject *key, PyObject *data) {
    if (!is_key(key))
        return -1;
    if (data == Py_None) {
        int there = PyDict_Contains(cells, key);
        return there > 0 ? PyDict_DelItem(cells, key) : there;
    }
    if (!PyBytes_Check(data) || PyBytes_GET_SIZE(data) < WAKE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a cell at rest is bytes, with its wake in front");
        return -1;
    }
    return PyDict_SetItem(cells, key, data);
}

/* Changes over a base: later parts win, None takes away. */
static int lay_over(PyObject *cells, PyObject *part) {
    PyObject *items = PyMapping_Items(part);
    int done = items == NULL ? -1 : 0;
    for (Py_ssize_t index = 0; done == 0 && index < PyList_GET_SIZE(items); index++) {
        PyObject *item = PyList_GET_ITEM(items, index);
        if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2) {
            done = lay_one_over(cells, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1));
        } else {
            PyErr_SetString(PyExc_TypeError, "the items of a part are pairs");
            done = -1;
        }
    }
    Py_XDECREF(items);
    return done;
}

/* All parts together; a new reference, NULL with an error set. */
static PyObject *laid_together(PyObject *parts) {
    PyObject *each = PyObject_GetIter(parts), *cells = each == NULL ? NULL : PyDict_New(), *part;
    while (cells != NULL && (part = PyIter_Next(each)) != NULL) {
        if (lay_over(cells, part) < 0)
            Py_CLEAR(cells);
        Py_DECREF(part);
    }
    Py_XDECREF(each);
    if (PyErr_Occurred())
        Py_CLEAR(cells);
    return cells;
}

/* Begin anew with the cells of a snapshot. */
static int begin_with(Walker *self, PyObject *cells, bool recording) {
    resting_clear(&self->resting);
    timers_clear(&self->timers);
    Py_SETREF(self->loose, Py_NewRef(cells));
    self->recording = recording;
    PyDict_Clear(self->live);
    PyDict_Clear(self->changed);
    for (Py_ssize_t slot = 0; slot < self->parts; slot++)
        PyDict_Clear(self->states[slot]);
    return PyList_SetSlice(self->touched, 0, PyList_GET_SIZE(self->touched), NULL);
}

PyObject *walker_restore(Walker *self, PyObject *arguments, PyObject *named) {
    static char *names[] = {"parts", "recording", NULL};
    PyObject *parts;
    int recording;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O$p:restore", names, &parts, &recording))
        return NULL;
    if (!begins(self))
        return NULL;
    PyObject *cells = laid_together(parts);
    int done = cells == NULL ? -1 : begin_with(self, cells, recording);
    Py_XDECREF(cells);
    return ended(self, done < 0 ? NULL : Py_NewRef(Py_None));
}
