/* Arrays that grow. */

#ifndef ORDERPULSE_GROWING_H
#define ORDERPULSE_GROWING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

/* Room for one more element of a size; -1 with MemoryError set, and everything as it was. */
static inline int make_room(void **array, size_t count, size_t *room, size_t size) {
    if (count < *room)
        return 0;
    size_t wanted = *room ? 2 * *room : 16;
    void *more = PyMem_RawRealloc(*array, wanted * size);
    if (more == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *array = more;
    *room = wanted;
    return 0;
}

#endif
