#ifndef ORDERPULSE_BUFFERING_H
#define ORDERPULSE_BUFFERING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* release(buffer, watermark): the entries that the watermark covers by time, those that wait, and whether two of the
 * former have the same time. */
PyObject *release(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count);

/* picked(items, indexes): the items at these indexes. */
PyObject *picked(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count);

/* post(notes, stage, note, groups): puts a note under its stage and key group. */
PyObject *post(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count);

#endif
