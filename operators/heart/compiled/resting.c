#include "resting.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 16 };
enum { NEVER_USED = 0, GONE = 1 }; /* marks of places without a cell; those of keys have their uppermost bit set */

int64_t wake_of(const char *cell) {
    uint64_t wake = 0;
    for (int index = 0; index < WAKE_BYTES; index++)
        wake = wake << 8 | (unsigned char)cell[index];
    return (int64_t)wake;
}

void write_wake(char *cell, int64_t wake) {
    uint64_t rest = (uint64_t)wake;
    for (int index = WAKE_BYTES; index-- > 0; rest >>= 8)
        cell[index] = (char)(rest & 0xFF);
}

static bool mark_of(PyObject *key, uint32_t *mark) {
    Py_hash_t hash = PyObject_Hash(key);
    if (hash == -1 && PyErr_Occurred())
        return false;
    *mark = (uint32_t)((uint64_t)hash >> 32) | 0x80000000u;
    return true;
}

/* A table of the right size, without the places that are gone. */
static int rebuild(Resting *resting) {
    size_t size = SMALLEST;
    while (size < 2 * resting->count + 2)
        size *= 2;
    uint32_t *marks = PyMem_RawCalloc(size, sizeof *marks);
    Laid **cells = PyMem_RawMalloc(size * sizeof *cells);
    if (marks == NULL || cells == NULL) {
        PyMem_RawFree(marks);
        PyMem_RawFree(cells);
        PyErr_NoMemory();
        return -1;
    }
    for (size_t old = 0; old < resting->size; old++) {
        if (resting->marks[old] > GONE) {
            size_t place = resting->marks[old] & (size - 1);
            while (marks[place] != NEVER_USED)
                place = (place + 1) & (size - 1);
            marks[place] = resting->marks[old];
            cells[place] = resting->cells[old];
        }
    }
    PyMem_RawFree(resting->marks);
    PyMem_RawFree(resting->cells);
    resting->marks = marks;
    resting->cells = cells;
    resting->size = size;
    resting->used = resting->count;
    return 0;
}

int resting_put(Resting *resting, PyObject *key, const char *cell, size_t length, uint32_t *mark) {
    Py_ssize_t key_length;
    const char *text = PyUnicode_AsUTF8AndSize(key, &key_length);
    if (text == NULL || !mark_of(key, mark))
        return -1;
    if (length > UINT32_MAX || (size_t)key_length > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a cell of 4 GB or more");
        return -1;
    }
    if (3 * resting->used >= 2 * resting->size && rebuild(resting) < 0)
        return -1;
    Laid *laid = malloc(sizeof(Laid) + (size_t)key_length + length);
    if (laid == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    laid->key_length = (uint32_t)key_length;
    laid->length = (uint32_t)length;
    memcpy(laid->bytes, text, (size_t)key_length);
    memcpy(laid->bytes + key_length, cell, length);
    size_t place = *mark & (resting->size - 1);
    while (resting->marks[place] > GONE)
        place = (place + 1) & (resting->size - 1);
    if (resting->marks[place] == NEVER_USED)
        resting->used++;
    resting->marks[place] = *mark;
    resting->cells[place] = laid;
    resting->count++;
    return 0;
}

Laid *resting_take(Resting *resting, PyObject *key) {
    uint32_t mark;
    Py_ssize_t length;
    /* First of all: what could never be laid down is refused when it comes, whether or not there is anything here. */
    const char *text = PyUnicode_AsUTF8AndSize(key, &length);
    if (text == NULL || !mark_of(key, &mark) || resting->count == 0)
        return NULL;
    size_t mask = resting->size - 1;
    for (size_t place = mark & mask; resting->marks[place] != NEVER_USED; place = (place + 1) & mask) {
        Laid *laid = resting->cells[place];
        if (resting->marks[place] != mark || laid->key_length != (size_t)length ||
            memcmp(laid->bytes, text, (size_t)length) != 0)
            continue;
        if (resting->marks[(place + 1) & mask] != NEVER_USED) {
            resting->marks[place] = GONE;
        } else {
            resting->marks[place] = NEVER_USED;
            resting->used--;
        }
        resting->count--;
        return laid;
    }
    return NULL;
}

const Laid *resting_next(const Resting *resting, size_t *place) {
    while (*place < resting->size) {
        size_t here = (*place)++;
        if (resting->marks[here] > GONE)
            return resting->cells[here];
    }
    return NULL;
}

const Laid *resting_due(const Resting *resting, uint32_t mark, int64_t wake, size_t *step) {
    if (resting->size == 0)
        return NULL;
    size_t mask = resting->size - 1;
    for (;;) {
        size_t place = (mark + *step) & mask;
        if (resting->marks[place] == NEVER_USED)
            return NULL;
        ++*step;
        if (resting->marks[place] == mark && wake_of(laid_cell(resting->cells[place])) == wake)
            return resting->cells[place];
    }
}

void resting_clear(Resting *resting) {
    for (size_t place = 0; place < resting->size; place++)
        if (resting->marks[place] > GONE)
            free(resting->cells[place]);
    PyMem_RawFree(resting->marks);
    PyMem_RawFree(resting->cells);
    *resting = (Resting){0};
}

PyObject *laid_key(const Laid *laid) {
    return PyUnicode_DecodeUTF8(laid->bytes, (Py_ssize_t)laid->key_length, NULL);
}
