/* operators.heart._compiled: the parts of the heart that every event passes, without the interpreter. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "cell.h"
#include "walker.h"

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "operators.heart._compiled",
    .m_doc = "The parts of the heart that every event passes, compiled.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__compiled(void) {
    if (PyType_Ready(&CellType) < 0 || PyType_Ready(&ArmerType) < 0 || PyType_Ready(&WalkerType) < 0)
        return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (module != NULL && PyModule_AddObjectRef(module, "Walker", (PyObject *)&WalkerType) < 0)
        Py_CLEAR(module);
    return module;
}
