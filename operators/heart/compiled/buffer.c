/* What waits in a key group for the watermark: the compiled twin of PlainBuffer in buffer.py. */

#include "buffer.h"

#include <stdbool.h>
#include <string.h>

#include "fields.h"
#include "growing.h"
#include "shapes.h"

typedef struct {
    int64_t time;
    PyObject *entry; /* whoever has the place has the reference */
} Timed;

/* Entries by time, of which those before ``first`` have been released. */
typedef struct {
    Timed *entries;
    size_t first, end, room;
} Run;

/* Each delivery is sorted when it comes, and joined to the latest run or made one: so no release looks at what goes on
 * waiting. */
typedef struct {
    PyObject_HEAD
    Run *runs;
    size_t count, room;
    Py_ssize_t waiting;
} Buffer;

static Shapes shapes; /* of entries: for all buffers, as it depends on their types alone */

static int time_of(PyObject *entry, int64_t *time) {
    const Shape *shape = shape_of(&shapes, Py_TYPE(entry), NULL, NULL);
    if (shape == NULL)
        return -1;
    if (shape->time < 0) {
        PyErr_Format(PyExc_TypeError, "%s has no time", Py_TYPE(entry)->tp_name);
        return -1;
    }
    PyObject *value = field_at(entry, shape->time);
    if (value == NULL)
        return -1;
    *time = whole_number(value);
    return *time == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Where the sorted stretch that begins at a place ends. */
static Py_ssize_t end_of_stretch(const Timed *entries, Py_ssize_t start, Py_ssize_t count) {
    Py_ssize_t end = start + 1;
    while (end < count && entries[end - 1].time <= entries[end].time)
        end++;
    return end;
}

static void merge(const Timed *from, Timed *into, Py_ssize_t start, Py_ssize_t middle, Py_ssize_t end) {
    Py_ssize_t one = start, other = middle;
    for (Py_ssize_t place = start; place < end; place++) {
        bool first = one < middle && (other >= end || from[one].time <= from[other].time);
        into[place] = first ? from[one++] : from[other++];
    }
}

/* By time, stable. Entries come as a few sorted stretches: these are merged pair by pair. */
static int sort_by_time(Timed *entries, Py_ssize_t count) {
    if (count == 0 || end_of_stretch(entries, 0, count) == count)
        return 0;
    Timed *other = PyMem_RawMalloc((size_t)count * sizeof(Timed));
    if (other == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    Timed *from = entries, *into = other;
    bool sorted = false;
    while (!sorted) {
        sorted = true;
        for (Py_ssize_t start = 0; start < count;) {
            Py_ssize_t middle = end_of_stretch(from, start, count);
            Py_ssize_t end = middle < count ? end_of_stretch(from, middle, count) : middle;
            merge(from, into, start, middle, end);
            sorted = sorted && start == 0 && end == count;
            start = end;
        }
        Timed *swapped = from;
        from = into;
        into = swapped;
    }
    if (from != entries)
        memcpy(entries, from, (size_t)count * sizeof(Timed));
    PyMem_RawFree(other);
    return 0;
}

/* ---- runs ---- */

static void run_free(Run *run) {
    for (size_t place = run->first; place < run->end; place++)
        Py_DECREF(run->entries[place].entry);
    PyMem_RawFree(run->entries);
}

static int run_append(Run *run, Timed timed) {
    if (make_room((void **)&run->entries, run->end, &run->room, sizeof(Timed)) < 0)
        return -1;
    run->entries[run->end++] = timed;
    return 0;
}

/* Forget what was released once that is most of it. */
static void run_tidy(Run *run) {
    if (2 * run->first < run->room)
        return;
    memmove(run->entries, run->entries + run->first, (run->end - run->first) * sizeof(Timed));
    run->end -= run->first;
    run->first = 0;
}

/* Where the entries begin that a watermark does not cover. */
static size_t run_covered(const Run *run, int64_t watermark) {
    size_t low = run->first, high = run->end;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (run->entries[middle].time <= watermark)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- taking entries in ---- */

/* A run of a delivery. */
static int run_of(Run *run, PyObject *delivery) {
    Py_ssize_t count = PySequence_Fast_GET_SIZE(delivery);
    for (Py_ssize_t index = 0; index < count; index++) {
        Timed timed = {.entry = PySequence_Fast_GET_ITEM(delivery, index)};
        if (time_of(timed.entry, &timed.time) < 0 || run_append(run, timed) < 0)
            return -1;
        Py_INCREF(timed.entry);
    }
    return sort_by_time(run->entries, (Py_ssize_t)run->end);
}

/* Whether all of a run may follow another. */
static bool follows(const Run *run, const Run *latest) {
    return latest->end > latest->first && latest->entries[latest->end - 1].time <= run->entries[run->first].time;
}

static int join(Run *latest, Run *run) {
    run_tidy(latest);
    for (; run->first < run->end; run->first++)
        if (run_append(latest, run->entries[run->first]) < 0)
            return -1;
    return 0;
}

static int take_in(Buffer *self, Run *run) {
    Py_ssize_t count = (Py_ssize_t)(run->end - run->first);
    if (self->count > 0 && follows(run, &self->runs[self->count - 1])) {
        if (join(&self->runs[self->count - 1], run) < 0)
            return -1;
    } else {
        if (make_room((void **)&self->runs, self->count, &self->room, sizeof(Run)) < 0)
            return -1;
        self->runs[self->count++] = *run;
        *run = (Run){0};
    }
    self->waiting += count;
    return 0;
}

static PyObject *buffer_extend(Buffer *self, PyObject *entries) {
    PyObject *delivery = PySequence_Fast(entries, "a buffer takes a sequence of entries");
    if (delivery == NULL)
        return NULL;
    Run run = {0};
    int done = run_of(&run, delivery);
    if (done == 0 && run.end > 0)
        done = take_in(self, &run);
    run_free(&run);
    Py_DECREF(delivery);
    if (done < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---- letting entries out ---- */

/* (first, end) of each stretch of entries that share a time. */
static PyObject *ties_of(const Timed *entries, Py_ssize_t count) {
    PyObject *ties = PyList_New(0);
    for (Py_ssize_t start = 0, end; ties != NULL && start < count; start = end) {
        end = start + 1;
        while (end < count && entries[end].time == entries[start].time)
            end++;
        if (end - start == 1)
            continue;
        PyObject *stretch = Py_BuildValue("(nn)", start, end);
        if (stretch == NULL || PyList_Append(ties, stretch) < 0)
            Py_CLEAR(ties);
        Py_XDECREF(stretch);
    }
    return ties;
}

/* Move what a watermark covers out of the runs, of which those that are empty then go. */
static Py_ssize_t move_covered(Buffer *self, int64_t watermark, Timed *into) {
    Py_ssize_t moved = 0;
    size_t left = 0;
    for (size_t index = 0; index < self->count; index++) {
        Run *run = &self->runs[index];
        size_t end = run_covered(run, watermark);
        memcpy(into + moved, run->entries + run->first, (end - run->first) * sizeof(Timed));
        moved += (Py_ssize_t)(end - run->first);
        run->first = end;
        if (run->first == run->end)
            PyMem_RawFree(run->entries);
        else
            self->runs[left++] = *run;
    }
    self->count = left;
    self->waiting -= moved;
    return moved;
}

static Py_ssize_t count_covered(const Buffer *self, int64_t watermark) {
    size_t covered = 0;
    for (size_t index = 0; index < self->count; index++)
        covered += run_covered(&self->runs[index], watermark) - self->runs[index].first;
    return (Py_ssize_t)covered;
}

static PyObject *released(Buffer *self, int64_t watermark, Timed *entries, PyObject *ready) {
    Py_ssize_t count = move_covered(self, watermark, entries);
    int sorted = sort_by_time(entries, count);
    PyObject *ties = sorted < 0 ? NULL : ties_of(entries, count);
    for (Py_ssize_t index = 0; index < count; index++)
        PyList_SET_ITEM(ready, index, entries[index].entry);
    return ties == NULL ? NULL : Py_BuildValue("(ON)", ready, ties);
}

static PyObject *buffer_release(Buffer *self, PyObject *until) {
    int64_t watermark = whole_number(until);
    if (watermark == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t count = count_covered(self, watermark);
    PyObject *ready = PyList_New(count);
    Timed *entries = PyMem_RawMalloc((size_t)(count + 1) * sizeof(Timed));
    if (entries == NULL)
        PyErr_NoMemory();
    PyObject *found = ready == NULL || entries == NULL ? NULL : released(self, watermark, entries, ready);
    PyMem_RawFree(entries);
    Py_XDECREF(ready);
    return found;
}

static PyObject *buffer_entries(Buffer *self, PyObject *Py_UNUSED(nothing)) {
    PyObject *entries = PyList_New(self->waiting);
    Py_ssize_t place = 0;
    for (size_t index = 0; entries != NULL && index < self->count; index++)
        for (size_t at = self->runs[index].first; at < self->runs[index].end; at++)
            PyList_SET_ITEM(entries, place++, Py_NewRef(self->runs[index].entries[at].entry));
    return entries;
}

/* ---- the buffer as an object ---- */

static void buffer_dealloc(Buffer *self) {
    for (size_t index = 0; index < self->count; index++)
        run_free(&self->runs[index]);
    PyMem_RawFree(self->runs);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Py_ssize_t buffer_length(Buffer *self) { return self->waiting; }

static PyMethodDef buffer_methods[] = {
    {"extend", (PyCFunction)buffer_extend, METH_O, "Take entries in."},
    {"release", (PyCFunction)buffer_release, METH_O,
     "Let out the entries that a watermark covers, by time; and (first, end) of each stretch that shares a time."},
    {"entries", (PyCFunction)buffer_entries, METH_NOARGS, "All that waits."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods buffer_as_sequence = {.sq_length = (lenfunc)buffer_length};

/* Without garbage collection: entries know nothing of who holds them. */
PyTypeObject BufferType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "operators.heart._compiled.Buffer",
    .tp_doc = "What waits in a key group for the watermark.",
    .tp_basicsize = sizeof(Buffer),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = (destructor)buffer_dealloc,
    .tp_methods = buffer_methods,
    .tp_as_sequence = &buffer_as_sequence,
};
