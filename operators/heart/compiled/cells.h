/* The cells of a walker: live ones, as objects with the components' states, and those at rest. */

#ifndef ORDERPULSE_CELLS_H
#define ORDERPULSE_CELLS_H

#include "walker.h"

/* The live cell of a key, made anew if there is none; it counts as changed. Borrowed; NULL with an error set. */
Cell *cells_touch(Walker *self, PyObject *key);

/* The cell of a key that is at rest, which is so no longer; NULL, maybe with an error set, when there is none. */
Cell *cells_woken(Walker *self, PyObject *key);

/* Take a cell, of which this has the only reference, among the live ones; returns it borrowed. */
Cell *cells_made_live(Walker *self, PyObject *key, Cell *cell);

/* A cell as bytes; None for one that there is nothing of. A new reference; NULL with an error set. */
PyObject *cells_laid(Walker *self, PyObject *key, const Cell *cell);

/* The same; what the cell was told as since the last snapshot if nothing has touched it since. */
PyObject *cells_laid_already(Walker *self, PyObject *key, const Cell *cell);

/* Lay a cell down that is told as bytes, and file its timer unless that was done for this moment. */
int cells_put_to_rest(Walker *self, PyObject *key, PyObject *data, int64_t filed);

/* If there are too many live cells. */
int cells_rest_the_older_half(Walker *self);

/* The moments of a cell that asks for none yet: one for each slot, to be freed with PyMem_Free. */
int64_t *cells_new_dues(const Walker *self);

#endif
