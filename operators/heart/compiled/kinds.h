/* What a walk does with entries of a type: a table by type, made once. */

#ifndef ORDERPULSE_KINDS_H
#define ORDERPULSE_KINDS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

typedef enum { EVENT, NOTE, LATE } What;

typedef struct {
    PyTypeObject *type; /* NULL: a free place */
    What what;
    Py_ssize_t time;       /* offsets of fields */
    Py_ssize_t id, source; /* of an event */
    Py_ssize_t key;        /* of a note: its key; of an event: the field that its key is made of, or -1 */
    Py_ssize_t event;      /* of a late event */
    PyObject *prefix;      /* what stands before that field in the key; NULL for nothing */
    PyObject *key_of;      /* of an event whose key is made in another way */
    PyObject *handlers;    /* a tuple */
} Kind;

typedef struct {
    Kind *places;
    size_t size;
} Kinds;

/* Make the table of a Heard; -1 with an error set. ``late``: the type of late events. */
int kinds_make(Kinds *kinds, PyObject *events, PyObject *notes, PyTypeObject *late);
void kinds_clear(Kinds *kinds);
int kinds_visit(const Kinds *kinds, visitproc visit, void *arg);

static inline size_t kinds_place(const Kinds *kinds, const PyTypeObject *type) {
    size_t place = ((size_t)type >> 4) & (kinds->size - 1);
    while (kinds->places[place].type != NULL && kinds->places[place].type != type)
        place = (place + 1) & (kinds->size - 1);
    return place;
}

/* NULL, with KeyError set, for a type that nobody said anything of. */
static inline const Kind *kind_of(const Kinds *kinds, PyTypeObject *type) {
    if (kinds->size > 0) {
        const Kind *kind = &kinds->places[kinds_place(kinds, type)];
        if (kind->type == type)
            return kind;
    }
    PyErr_SetObject(PyExc_KeyError, (PyObject *)type);
    return NULL;
}

#endif
