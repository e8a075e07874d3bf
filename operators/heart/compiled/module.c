/* operators.heart._compiled: the parts of the heart that every event passes, without the interpreter. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "batches.h"
#include "buffer.h"
#include "cell.h"
#include "crc.h"
#include "sorter.h"
#include "walker.h"

static PyMethodDef functions[] = {
    {"picked", (PyCFunction)(void (*)(void))picked, METH_FASTCALL, "The items at these indexes."},
    {"newlines", newlines, METH_O, "How many newlines are in bytes."},
    {"post", (PyCFunction)(void (*)(void))post, METH_FASTCALL, "Put a note under its stage and key group."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "operators.heart._compiled",
    .m_doc = "The parts of the heart that every event passes, compiled.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__compiled(void) {
    PyTypeObject *hidden[] = {&CellType, &ArmerType}, *offered[] = {&BufferType, &SorterType, &WalkerType};
    crc_prepare();
    for (size_t index = 0; index < Py_ARRAY_LENGTH(hidden); index++)
        if (PyType_Ready(hidden[index]) < 0)
            return NULL;
    PyObject *module = PyModule_Create(&definition);
    for (size_t index = 0; module != NULL && index < Py_ARRAY_LENGTH(offered); index++)
        if (PyModule_AddType(module, offered[index]) < 0)
            Py_CLEAR(module);
    return module;
}
