#include "fields.h"

#include <structmember.h>

Py_ssize_t field_offset(PyTypeObject *type, PyObject *name) {
    Py_ssize_t offset = -1;
    /* Asked for on its type, the descriptor of a slot gives itself. */
    PyObject *descriptor = PyObject_GetAttr((PyObject *)type, name);
    if (descriptor != NULL && Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) {
        const PyMemberDef *member = ((PyMemberDescrObject *)descriptor)->d_member;
        /* One that was borrowed from another type says nothing of this one's instances. */
        if (member->type == T_OBJECT_EX && PyType_IsSubtype(type, PyDescr_TYPE(descriptor)))
            offset = member->offset;
    }
    Py_XDECREF(descriptor);
    if (offset < 0) {
        PyErr_Clear();
        PyErr_Format(PyExc_TypeError, "%s has no slot %U", type->tp_name, name);
    }
    return offset;
}
