#include "shapes.h"

#include "fields.h"

static Shape *place_of(const Shapes *shapes, const PyTypeObject *type) {
    size_t place = ((size_t)type >> 4) & (shapes->size - 1);
    while (shapes->places[place].type != NULL && shapes->places[place].type != type)
        place = (place + 1) & (shapes->size - 1);
    return &shapes->places[place];
}

static int grow(Shapes *shapes) {
    Shapes more = {.size = shapes->size ? 2 * shapes->size : 64, .count = shapes->count};
    more.places = PyMem_RawCalloc(more.size, sizeof(Shape));
    if (more.places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t old = 0; old < shapes->size; old++)
        if (shapes->places[old].type != NULL)
            *place_of(&more, shapes->places[old].type) = shapes->places[old];
    PyMem_RawFree(shapes->places);
    *shapes = more;
    return 0;
}

static Py_ssize_t offset_or_none(PyTypeObject *type, const char *field) {
    PyObject *name = PyUnicode_InternFromString(field);
    Py_ssize_t offset = name == NULL ? -1 : field_offset(type, name);
    Py_XDECREF(name);
    if (offset < 0 && PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Clear();
    return offset;
}

static int take_stage(PyObject *stages, PyTypeObject *type, PyObject **stage) {
    *stage = stages == NULL ? NULL : Py_XNewRef(PyDict_GetItemWithError(stages, (PyObject *)type));
    return *stage == NULL && PyErr_Occurred() ? -1 : 0;
}

const Shape *shape_of(Shapes *shapes, PyTypeObject *type, PyObject *by_order, PyObject *by_customer) {
    if (2 * shapes->count >= shapes->size && grow(shapes) < 0)
        return NULL;
    Shape *shape = place_of(shapes, type);
    if (shape->type == type)
        return shape;
    Shape found = {.type = type};
    found.time = offset_or_none(type, "time");
    found.order_id = offset_or_none(type, "order_id");
    found.customer_id = offset_or_none(type, "customer_id");
    if (PyErr_Occurred() || take_stage(by_order, type, &found.by_order) < 0)
        return NULL;
    if (take_stage(by_customer, type, &found.by_customer) < 0) {
        Py_XDECREF(found.by_order);
        return NULL;
    }
    Py_INCREF(type);
    *shape = found;
    shapes->count++;
    return shape;
}

void shapes_clear(Shapes *shapes) {
    for (size_t place = 0; place < shapes->size; place++) {
        Py_XDECREF(shapes->places[place].type);
        Py_XDECREF(shapes->places[place].by_order);
        Py_XDECREF(shapes->places[place].by_customer);
    }
    PyMem_RawFree(shapes->places);
    *shapes = (Shapes){0};
}
