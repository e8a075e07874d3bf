/* When keys are to be woken: the compiled twin of timers.py, which says why. */

#ifndef ORDERPULSE_TIMERS_H
#define ORDERPULSE_TIMERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t due; /* event time, ms */
    PyObject *key;
} Due;

/* What is filed for one span of time: how far within it, and the mark of whose timer it is. */
typedef struct {
    int64_t number;
    uint32_t *withins, *marks;
    size_t count, room;
} Span;

typedef struct {
    Due *heap;
    size_t count, room;
    int64_t horizon; /* what is due before it is in the heap */
    Span *spans;     /* by their numbers */
    size_t span_count, span_room;
} Timers;

/* All that may fail return -1 with an error set. */
int timers_schedule(Timers *timers, int64_t due, PyObject *key);
int timers_append(Timers *timers, int64_t due, PyObject *key); /* to be followed by timers_order */
void timers_order(Timers *timers);
Due timers_pop(Timers *timers); /* of a heap that is not empty; its key is the caller's from here on */
int timers_file(Timers *timers, int64_t due, uint32_t mark);

/* The number of the last span that is to be taken up so that the horizon lies behind a time. */
int64_t timers_extend(Timers *timers, int64_t time);
/* The first span of those up to a number, which the caller frees; false when there is none any more. */
bool timers_take_span(Timers *timers, int64_t last, Span *span);
int64_t span_due(const Span *span, size_t index);
void span_free(Span *span);

void timers_clear(Timers *timers);

static inline bool timers_has(const Timers *timers, int64_t until) {
    return timers->count > 0 && timers->heap[0].due <= until;
}

#endif
