/* Key -> cell at rest: the compiled twin of resting.py. What malloc rounds up is what the pages there round up. */

#ifndef ORDERPULSE_RESTING_H
#define ORDERPULSE_RESTING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WAKE_BYTES = 8 }; /* a cell begins with the moment at which it is to be woken, big endian; 0 for never */

typedef struct {
    uint32_t key_length, length;
    char bytes[]; /* the key in UTF-8, then the cell */
} Laid;

/* Open addressing with linear probing. A mark is 32 bits of its key's hash; it finds the key's timers, too. */
typedef struct {
    uint32_t *marks;
    Laid **cells;
    size_t size, used, count;
} Resting;

/* All that may fail return -1 with an error set. The key must have no cell. */
int resting_put(Resting *resting, PyObject *key, const char *cell, size_t length, uint32_t *mark);
/* The cell of a key, which is no longer there and is the caller's to free; NULL, maybe with an error set. */
Laid *resting_take(Resting *resting, PyObject *key);
/* The next cell from a place on, which moves; NULL at the end. */
const Laid *resting_next(const Resting *resting, size_t *place);
/* Of the cells with a mark the next that is to be woken at a moment; ``step`` begins at 0. NULL: there is no more. */
const Laid *resting_due(const Resting *resting, uint32_t mark, int64_t wake, size_t *step);
void resting_clear(Resting *resting);

PyObject *laid_key(const Laid *laid); /* a new reference */
static inline const char *laid_cell(const Laid *laid) { return laid->bytes + laid->key_length; }

int64_t wake_of(const char *cell);
void write_wake(char *cell, int64_t wake);

#endif
