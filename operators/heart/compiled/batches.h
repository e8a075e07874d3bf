#ifndef ORDERPULSE_BATCHES_H
#define ORDERPULSE_BATCHES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* picked(items, indexes): the items at these indexes. */
PyObject *picked(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count);

/* newlines(text): how many newlines are in bytes; their own count looks at each byte. */
PyObject *newlines(PyObject *module, PyObject *text);

/* post(notes, stage, note, groups): puts a note under its stage and key group. */
PyObject *post(PyObject *module, PyObject *const *arguments, Py_ssize_t argument_count);

#endif
