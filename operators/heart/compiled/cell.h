/* What is kept of one live key: the compiled twin of Cell in cells.py and of Ids in duplicates.py. */

#ifndef ORDERPULSE_CELL_H
#define ORDERPULSE_CELL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>

/* The ids seen, in two generations; each is bytes, eight for an id, or a set of these. */
typedef struct {
    int64_t until; /* event time at which the current generation ends */
    PyObject *current, *previous;
} Ids;

typedef struct {
    PyObject_HEAD
    Ids ids;
    int64_t wake, filed; /* 0: none */
    int64_t *dues;       /* the moment that each slot asked for; NULL while none has */
    bool clean;
} Cell;

extern PyTypeObject CellType;

Cell *cell_new(void);

/* Whether a digest, of eight bytes, was seen; if not, it is remembered. -1 with an error set. */
int ids_seen(Ids *ids, int64_t horizon, PyObject *digest, int64_t at);
int ids_forget(Ids *ids, int64_t horizon, int64_t at);
int64_t ids_forget_at(const Ids *ids, int64_t horizon);
bool ids_known(const Ids *ids); /* whether there are any */
PyObject *ids_packed(const Ids *ids);
int ids_unpack(Ids *ids, PyObject *packed);

#endif
