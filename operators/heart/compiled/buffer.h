#ifndef ORDERPULSE_BUFFER_H
#define ORDERPULSE_BUFFER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyTypeObject BufferType;

#endif
