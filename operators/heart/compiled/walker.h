/* What a walker is; the parts that it is made of stand in files of their own.
 *
 * The compiled twin of PlainWalker (walker.py) and Cells (cells.py), which say what is done and why; here stands how it
 * is done without the interpreter. Whatever one of the two does, the other must do. */

#ifndef ORDERPULSE_WALKER_H
#define ORDERPULSE_WALKER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "cell.h"
#include "kinds.h"
#include "resting.h"
#include "timers.h"

extern PyTypeObject WalkerType, ArmerType;

typedef struct {
    PyObject_HEAD
    Py_ssize_t parts; /* components with states; the slot behind theirs is for the ids */
    PyObject **components, **states, **wakers;
    PyObject *encode, *decode, *digest, *seeds;
    PyObject *say_late;
    Kinds kinds;
    int64_t horizon;
    Py_ssize_t live_limit;
    bool per_group, recording;
    bool busy; /* no method but armers and len() is for those whom it calls; nor for anybody once it was cleared */
    PyObject *group_key;
    PyObject *live;    /* key -> Cell */
    PyObject *touched; /* keys, since the last snapshot or since they were told */
    PyObject *changed; /* key -> cell at rest, or None */
    PyObject *loose;   /* key -> cell of a snapshot that is not packed yet */
    Timers timers;
    Resting resting;
} Walker;

/* Whether it may begin with something; if so, what comes of it goes through ``ended``. */
static inline bool begins(Walker *self) {
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "a walker was asked for something while it was at work");
        return false;
    }
    self->busy = true;
    return true;
}

static inline PyObject *ended(Walker *self, PyObject *result) {
    self->busy = false;
    return result;
}

static inline bool is_key(PyObject *key) {
    if (PyUnicode_Check(key))
        return true;
    PyErr_Format(PyExc_TypeError, "a key is a str, not %R", key);
    return false;
}

/* The live cell of a key; NULL, maybe with an error set, when there is none. Borrowed. */
static inline Cell *live_cell(Walker *self, PyObject *key) {
    return (Cell *)PyDict_GetItemWithError(self->live, key);
}

#endif
