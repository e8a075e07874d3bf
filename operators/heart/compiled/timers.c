#include "timers.h"

#include <string.h>

#include "growing.h"

enum { SPAN_BITS = 20 }; /* 17 min */
static const int64_t WITHIN = ((int64_t)1 << SPAN_BITS) - 1;

static bool before(const Due *one, const Due *other) {
    if (one->due != other->due)
        return one->due < other->due;
    return one->key != other->key && PyUnicode_Compare(one->key, other->key) < 0;
}

static void sift_up(Due *heap, size_t place) {
    Due moved = heap[place];
    while (place > 0) {
        size_t parent = (place - 1) / 2;
        if (!before(&moved, &heap[parent]))
            break;
        heap[place] = heap[parent];
        place = parent;
    }
    heap[place] = moved;
}

static void sift_down(Due *heap, size_t count, size_t place) {
    Due moved = heap[place];
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= count)
            break;
        if (child + 1 < count && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &moved))
            break;
        heap[place] = heap[child];
        place = child;
    }
    heap[place] = moved;
}

int timers_append(Timers *timers, int64_t due, PyObject *key) {
    if (make_room((void **)&timers->heap, timers->count, &timers->room, sizeof(Due)) < 0)
        return -1;
    Py_INCREF(key);
    timers->heap[timers->count++] = (Due){due, key};
    return 0;
}

int timers_schedule(Timers *timers, int64_t due, PyObject *key) {
    if (due >= timers->horizon)
        return 0;
    if (timers_append(timers, due, key) < 0)
        return -1;
    sift_up(timers->heap, timers->count - 1);
    return 0;
}

void timers_order(Timers *timers) {
    for (size_t place = timers->count / 2; place-- > 0;)
        sift_down(timers->heap, timers->count, place);
}

Due timers_pop(Timers *timers) {
    Due first = timers->heap[0];
    timers->heap[0] = timers->heap[--timers->count];
    if (timers->count > 0)
        sift_down(timers->heap, timers->count, 0);
    return first;
}

/* Where the span of a number stands, or would have to. */
static size_t span_place(const Timers *timers, int64_t number) {
    size_t low = 0, high = timers->span_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (timers->spans[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Span *span_of(Timers *timers, int64_t number) {
    size_t place = span_place(timers, number);
    if (place < timers->span_count && timers->spans[place].number == number)
        return &timers->spans[place];
    if (make_room((void **)&timers->spans, timers->span_count, &timers->span_room, sizeof(Span)) < 0)
        return NULL;
    memmove(&timers->spans[place + 1], &timers->spans[place], (timers->span_count - place) * sizeof(Span));
    timers->span_count++;
    timers->spans[place] = (Span){.number = number};
    return &timers->spans[place];
}

int timers_file(Timers *timers, int64_t due, uint32_t mark) {
    if (due < timers->horizon)
        return 0;
    Span *span = span_of(timers, due >> SPAN_BITS);
    if (span == NULL)
        return -1;
    size_t room = span->room; /* of both: the second array grows as the first one does */
    if (make_room((void **)&span->withins, span->count, &room, sizeof(uint32_t)) < 0 ||
        make_room((void **)&span->marks, span->count, &span->room, sizeof(uint32_t)) < 0)
        return -1;
    span->withins[span->count] = (uint32_t)(due & WITHIN);
    span->marks[span->count++] = mark;
    return 0;
}

int64_t timers_extend(Timers *timers, int64_t time) {
    int64_t last = time >> SPAN_BITS;
    timers->horizon = (last + 1) << SPAN_BITS;
    return last;
}

bool timers_take_span(Timers *timers, int64_t last, Span *span) {
    if (timers->span_count == 0 || timers->spans[0].number > last)
        return false;
    *span = timers->spans[0];
    memmove(&timers->spans[0], &timers->spans[1], --timers->span_count * sizeof(Span));
    return true;
}

int64_t span_due(const Span *span, size_t index) {
    return (span->number << SPAN_BITS) | (int64_t)span->withins[index];
}

void span_free(Span *span) {
    PyMem_RawFree(span->withins);
    PyMem_RawFree(span->marks);
}

void timers_clear(Timers *timers) {
    while (timers->count > 0)
        Py_DECREF(timers->heap[--timers->count].key);
    for (size_t place = 0; place < timers->span_count; place++)
        span_free(&timers->spans[place]);
    PyMem_RawFree(timers->heap);
    PyMem_RawFree(timers->spans);
    *timers = (Timers){0};
}
