/* Waking the keys of a walker: what they ask for, and what happens when its time has come. */

#ifndef ORDERPULSE_WAKING_H
#define ORDERPULSE_WAKING_H

#include "walker.h"

/* Wake a slot of a live cell at a moment, unless it will be woken earlier anyway. */
int waking_arm(Walker *self, Py_ssize_t slot, PyObject *key, Cell *cell, int64_t due);

/* See to it that everything that is due up to a time is in the heap. */
int waking_reach(Walker *self, int64_t time);

/* The earliest timer: all slots of its key that are due, in their order. */
int waking_fire(Walker *self);

#endif
