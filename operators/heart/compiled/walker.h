#ifndef ORDERPULSE_WALKER_H
#define ORDERPULSE_WALKER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

extern PyTypeObject WalkerType, ArmerType;

#endif
