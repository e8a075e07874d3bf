#ifndef ORDERPULSE_SORTER_H
#define ORDERPULSE_SORTER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyTypeObject SorterType;

#endif
