/* Small loops over the records of a batch, and over the notes that go on to other stages. */

#include "batches.h"

#include <string.h>

#include "crc.h"

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
