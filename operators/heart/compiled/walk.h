/* The walk of a walker over entries and timers. */

#ifndef ORDERPULSE_WALK_H
#define ORDERPULSE_WALK_H

#include "walker.h"

PyObject *walker_walk(Walker *self, PyObject *const *arguments, Py_ssize_t count);

#endif
