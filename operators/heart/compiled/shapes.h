/* Where the fields that routing and ordering need lie in structs of each type that came by. */

#ifndef ORDERPULSE_SHAPES_H
#define ORDERPULSE_SHAPES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

typedef struct {
    PyTypeObject *type;                      /* NULL: a free place */
    Py_ssize_t time, order_id, customer_id;  /* offsets; -1 for a field that the type has not */
    PyObject *by_order, *by_customer;        /* the stages of events of the type; NULL for none */
} Shape;

typedef struct {
    Shape *places;
    size_t size, count;
} Shapes;

/* The shape of a type, found out when it is seen for the first time; the stages come from the two dicts, which may be
 * NULL. NULL with an error set. It stays where it is until another type is asked for. */
const Shape *shape_of(Shapes *shapes, PyTypeObject *type, PyObject *by_order, PyObject *by_customer);
void shapes_clear(Shapes *shapes);

#endif
