/* What a key group does with its buffer and its notes: small loops over many entries. */

#include "buffering.h"

#include <stdbool.h>
#include <string.h>

#include "crc.h"
#include "fields.h"
#include "shapes.h"

static Shapes shapes; /* of entries: for all key groups, as it depends on their types alone */

typedef struct {
    int64_t time;
    PyObject *entry; /* borrowed from the buffer */
} Timed;

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

/* Where the run of sorted entries that begins at a place ends. */
static Py_ssize_t end_of_run(const Timed *entries, Py_ssize_t start, Py_ssize_t count) {
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

/* By time, stable. Entries come as a few sorted runs, one of each log and origin: these are merged pair by pair. */
static int sort_by_time(Timed *entries, Py_ssize_t count) {
    if (count == 0 || end_of_run(entries, 0, count) == count)
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
            Py_ssize_t middle = end_of_run(from, start, count);
            Py_ssize_t end = middle < count ? end_of_run(from, middle, count) : middle;
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

static PyObject *as_list(const Timed *entries, Py_ssize_t count) {
    PyObject *list = PyList_New(count);
    for (Py_ssize_t index = 0; list != NULL && index < count; index++)
        PyList_SET_ITEM(list, index, Py_NewRef(entries[index].entry));
    return list;
}

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

static PyObject *parted(Timed *entries, Py_ssize_t count, PyObject *waiting) {
    PyObject *ready = sort_by_time(entries, count) < 0 ? NULL : as_list(entries, count);
    PyObject *ties = ready == NULL ? NULL : ties_of(entries, count);
    if (ties == NULL) {
        Py_XDECREF(ready);
        return NULL;
    }
    return Py_BuildValue("(NON)", ready, waiting, ties);
}

PyObject *release(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t argument_count) {
    if (argument_count != 2 || !PyList_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "release(buffer: list, watermark: int)");
        return NULL;
    }
    PyObject *buffer = arguments[0];
    int64_t watermark = whole_number(arguments[1]);
    if (watermark == -1 && PyErr_Occurred())
        return NULL;
    Py_ssize_t count = PyList_GET_SIZE(buffer), covered = 0;
    Timed *entries = PyMem_RawMalloc((size_t)(count + 1) * sizeof(Timed));
    PyObject *waiting = PyList_New(0);
    bool failed = entries == NULL || waiting == NULL;
    if (entries == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t index = 0; !failed && index < count; index++) {
        Timed timed = {.entry = PyList_GET_ITEM(buffer, index)};
        failed = time_of(timed.entry, &timed.time) < 0;
        if (!failed && timed.time <= watermark)
            entries[covered++] = timed;
        else if (!failed)
            failed = PyList_Append(waiting, timed.entry) < 0;
    }
    PyObject *found = failed ? NULL : parted(entries, covered, waiting);
    Py_XDECREF(waiting);
    PyMem_RawFree(entries);
    return found;
}

PyObject *picked(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t argument_count) {
    if (argument_count != 2 || !PyList_Check(arguments[0]) || !PyList_Check(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "picked(items: list, indexes: list)");
        return NULL;
    }
    PyObject *items = arguments[0], *indexes = arguments[1];
    Py_ssize_t count = PyList_GET_SIZE(indexes);
    PyObject *found = PyList_New(count);
    for (Py_ssize_t place = 0; found != NULL && place < count; place++) {
        Py_ssize_t index = PyLong_AsSsize_t(PyList_GET_ITEM(indexes, place));
        if (index < 0 || index >= PyList_GET_SIZE(items)) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_IndexError, "there is no item %zd", index);
            Py_CLEAR(found);
        } else {
            PyList_SET_ITEM(found, place, Py_NewRef(PyList_GET_ITEM(items, index)));
        }
    }
    return found;
}

/* dict[key], made as a new dict or list when it is not there. Borrowed. */
static PyObject *grown(PyObject *dict, PyObject *key, PyObject *(*make)(void)) {
    PyObject *value = PyDict_GetItemWithError(dict, key);
    if (value != NULL || PyErr_Occurred())
        return value;
    PyObject *fresh = make();
    int put = fresh == NULL ? -1 : PyDict_SetItem(dict, key, fresh);
    Py_XDECREF(fresh);
    return put < 0 ? NULL : fresh;
}

static PyObject *empty_list(void) { return PyList_New(0); }

PyObject *newlines(PyObject *Py_UNUSED(module), PyObject *text) {
    char *place;
    Py_ssize_t length, count = 0;
    if (PyBytes_AsStringAndSize(text, &place, &length) < 0)
        return NULL;
    for (const char *end = place + length; (place = memchr(place, '\n', (size_t)(end - place))) != NULL; place++)
        count++;
    return PyLong_FromSsize_t(count);
}

PyObject *post(PyObject *Py_UNUSED(module), PyObject *const *arguments, Py_ssize_t argument_count) {
    if (argument_count != 4 || !PyDict_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "post(notes: dict, stage: str, note: Note, groups: int)");
        return NULL;
    }
    PyObject *notes = arguments[0], *stage = arguments[1], *note = arguments[2];
    long groups = PyLong_AsLong(arguments[3]);
    if (groups <= 0) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "there is at least one key group");
        return NULL;
    }
    static PyObject *key_name;
    if (key_name == NULL && (key_name = PyUnicode_InternFromString("key")) == NULL)
        return NULL;
    PyObject *key = PyObject_GetAttr(note, key_name);
    Py_ssize_t length;
    const char *text = key == NULL ? NULL : PyUnicode_AsUTF8AndSize(key, &length);
    PyObject *group = text == NULL ? NULL : PyLong_FromLong((long)(crc_of(0, text, (size_t)length) % (unsigned long)groups));
    Py_XDECREF(key);
    PyObject *by_group = group == NULL ? NULL : grown(notes, stage, PyDict_New);
    PyObject *waiting = by_group == NULL ? NULL : grown(by_group, group, empty_list);
    int done = waiting == NULL ? -1 : PyList_Append(waiting, note);
    Py_XDECREF(group);
    if (done < 0)
        return NULL;
    Py_RETURN_NONE;
}
