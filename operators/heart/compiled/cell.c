#include "cell.h"

#include <string.h>

#include "fields.h"

enum { DIGEST_BYTES = 8, FEW_BYTES = 64 * DIGEST_BYTES };

static void cell_dealloc(Cell *cell) {
    Py_XDECREF(cell->ids.current);
    Py_XDECREF(cell->ids.previous);
    PyMem_Free(cell->dues);
    PyObject_Free(cell);
}

PyTypeObject CellType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "operators.heart._compiled.Cell",
    .tp_basicsize = sizeof(Cell),
    .tp_dealloc = (destructor)cell_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
};

static PyObject *no_ids(void) { return PyBytes_FromStringAndSize(NULL, 0); /* always the same object */ }

Cell *cell_new(void) {
    Cell *cell = PyObject_New(Cell, &CellType);
    if (cell == NULL)
        return NULL;
    cell->ids = (Ids){0, no_ids(), no_ids()};
    cell->wake = cell->filed = 0;
    cell->dues = NULL;
    cell->clean = false;
    return cell;
}

static bool some(PyObject *digests) {
    return PyBytes_Check(digests) ? PyBytes_GET_SIZE(digests) > 0 : PySet_GET_SIZE(digests) > 0;
}

static int among(PyObject *digest, PyObject *digests) {
    if (!PyBytes_Check(digests))
        return PySet_Contains(digests, digest);
    const char *wanted = PyBytes_AS_STRING(digest), *known = PyBytes_AS_STRING(digests);
    Py_ssize_t size = PyBytes_GET_SIZE(digests);
    for (Py_ssize_t start = 0; start + DIGEST_BYTES <= size; start += DIGEST_BYTES)
        if (memcmp(known + start, wanted, DIGEST_BYTES) == 0)
            return 1;
    return 0;
}

/* Few digests become a set once there are many. */
static PyObject *as_set(PyObject *digests, PyObject *another) {
    PyObject *set = PySet_New(NULL);
    if (set == NULL || PySet_Add(set, another) < 0)
        goto failed;
    for (Py_ssize_t start = 0; start < PyBytes_GET_SIZE(digests); start += DIGEST_BYTES) {
        PyObject *digest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(digests) + start, DIGEST_BYTES);
        int added = digest == NULL ? -1 : PySet_Add(set, digest);
        Py_XDECREF(digest);
        if (added < 0)
            goto failed;
    }
    return set;
failed:
    Py_XDECREF(set);
    return NULL;
}

static PyObject *with_another(PyObject *digests, PyObject *another) {
    Py_ssize_t size = PyBytes_GET_SIZE(digests);
    if (size >= FEW_BYTES)
        return as_set(digests, another);
    PyObject *more = PyBytes_FromStringAndSize(NULL, size + DIGEST_BYTES);
    if (more != NULL) {
        memcpy(PyBytes_AS_STRING(more), PyBytes_AS_STRING(digests), (size_t)size);
        memcpy(PyBytes_AS_STRING(more) + size, PyBytes_AS_STRING(another), DIGEST_BYTES);
    }
    return more;
}

int ids_seen(Ids *ids, int64_t horizon, PyObject *digest, int64_t at) {
    if (!PyBytes_Check(digest) || PyBytes_GET_SIZE(digest) != DIGEST_BYTES) {
        PyErr_SetString(PyExc_TypeError, "a digest is eight bytes");
        return -1;
    }
    if (at >= ids->until && ids_forget(ids, horizon, at) < 0)
        return -1;
    int found = among(digest, ids->current);
    if (found == 0 && some(ids->previous))
        found = among(digest, ids->previous);
    if (found != 0)
        return found;
    if (!PyBytes_Check(ids->current))
        return PySet_Add(ids->current, digest);
    PyObject *more = with_another(ids->current, digest);
    if (more == NULL)
        return -1;
    Py_SETREF(ids->current, more);
    return 0;
}

int ids_forget(Ids *ids, int64_t horizon, int64_t at) {
    if (at < ids->until)
        return 0;
    PyObject *nothing = no_ids();
    if (nothing == NULL)
        return -1;
    if (at < ids->until + horizon) {
        Py_SETREF(ids->previous, ids->current);
        ids->current = nothing;
    } else {
        Py_SETREF(ids->previous, Py_NewRef(nothing));
        Py_SETREF(ids->current, nothing);
    }
    int64_t generation = at / horizon - (at % horizon < 0); /* rounded down */
    ids->until = (generation + 1) * horizon;
    return 0;
}

int64_t ids_forget_at(const Ids *ids, int64_t horizon) {
    return some(ids->current) ? ids->until + horizon : ids->until;
}

bool ids_known(const Ids *ids) { return some(ids->current) || some(ids->previous); }

PyObject *ids_packed(const Ids *ids) {
    return Py_BuildValue("(LOO)", (long long)ids->until, ids->current, ids->previous);
}

static bool are_digests(PyObject *value) { return PyBytes_Check(value) || PySet_Check(value); }

int ids_unpack(Ids *ids, PyObject *packed) {
    if (!PyTuple_Check(packed) || PyTuple_GET_SIZE(packed) != 3 || !are_digests(PyTuple_GET_ITEM(packed, 1)) ||
        !are_digests(PyTuple_GET_ITEM(packed, 2))) {
        PyErr_SetString(PyExc_ValueError, "the ids of a cell are (until, current, previous)");
        return -1;
    }
    ids->until = moment_of(PyTuple_GET_ITEM(packed, 0));
    if (ids->until == -1 && PyErr_Occurred())
        return -1;
    Py_SETREF(ids->current, Py_NewRef(PyTuple_GET_ITEM(packed, 1)));
    Py_SETREF(ids->previous, Py_NewRef(PyTuple_GET_ITEM(packed, 2)));
    return 0;
}
