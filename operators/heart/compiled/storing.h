/* What is stored of a walker: changes since the last snapshot, everything, and going on from it. */

#ifndef ORDERPULSE_STORING_H
#define ORDERPULSE_STORING_H

#include "walker.h"

PyObject *walker_tidy(Walker *self, PyObject *nothing);
PyObject *walker_changes(Walker *self, PyObject *nothing);
PyObject *walker_all(Walker *self, PyObject *nothing);
PyObject *walker_restore(Walker *self, PyObject *arguments, PyObject *named);

#endif
