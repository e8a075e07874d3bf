/* The router's loop over the headers of a batch: when each record counts, and which key group it is for.
 *
 * The compiled twin of PlainSorter in sorting.py, which says what is done and why. */

#include "sorter.h"

#include <stdbool.h>
#include <string.h>

#include "crc.h"
#include "fields.h"
#include "growing.h"
#include "shapes.h"

static const char CUSTOMER[] = "customer:";

typedef struct {
    PyObject_HEAD
    PyObject *by_order, *by_customer; /* kind of record -> stage */
    uint32_t groups;
    uint32_t customer_crc;
    Shapes shapes;
} Sorter;

/* ---- a partition's clock, of which nearly all records need no more than these numbers ---- */

typedef struct {
    PyObject *clock, *ask_ceiling;
    bool arrives; /* arrivals are known */
    int64_t behind, gap, ahead, quiet, largest, ceiling;
} Clock;

static int number_of(PyObject *object, const char *name, int64_t *number) {
    PyObject *value = PyObject_GetAttrString(object, name);
    if (value == NULL)
        return -1;
    *number = whole_number(value);
    Py_DECREF(value);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Take over what may have changed while others had the clock. */
static int clock_read(Clock *clock) {
    PyObject *ceiling = PyObject_CallNoArgs(clock->ask_ceiling);
    if (ceiling == NULL)
        return -1;
    clock->ceiling = whole_number(ceiling);
    Py_DECREF(ceiling);
    if (clock->ceiling == -1 && PyErr_Occurred())
        return -1;
    return number_of(clock->clock, "idle_until", &clock->quiet) < 0
               ? -1
               : number_of(clock->clock, "largest", &clock->largest);
}

static int clock_begin(Clock *clock) {
    PyObject *of = clock->clock;
    if (number_of(of, "behind", &clock->behind) < 0 || number_of(of, "gap", &clock->gap) < 0 ||
        number_of(of, "ahead", &clock->ahead) < 0)
        return -1;
    return clock_read(clock);
}

static int clock_write(const Clock *clock) {
    PyObject *largest = PyLong_FromLongLong(clock->largest);
    int done = largest == NULL ? -1 : PyObject_SetAttrString(clock->clock, "largest", largest);
    Py_XDECREF(largest);
    return done;
}

/* ---- what was placed where ---- */

typedef struct {
    uint32_t *items;
    size_t count, room;
} Indexes;

typedef struct {
    PyObject *stage;
    Indexes *groups;
} Stage;

enum { MOST_STAGES = 16 };

typedef struct {
    Stage stages[MOST_STAGES];
    size_t count;
    uint32_t groups;
} Placed;

static Indexes *indexes_of(Placed *placed, PyObject *stage, uint32_t group) {
    for (size_t index = 0; index < placed->count; index++) {
        PyObject *known = placed->stages[index].stage;
        if (known == stage || PyUnicode_Compare(known, stage) == 0)
            return &placed->stages[index].groups[group];
    }
    if (placed->count == MOST_STAGES) {
        PyErr_Format(PyExc_ValueError, "more than %d stages", (int)MOST_STAGES);
        return NULL;
    }
    Indexes *groups = PyMem_RawCalloc(placed->groups, sizeof(Indexes));
    if (groups == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    placed->stages[placed->count++] = (Stage){Py_NewRef(stage), groups};
    return &groups[group];
}

static int place(Placed *placed, PyObject *stage, uint32_t crc, Py_ssize_t index) {
    Indexes *into = indexes_of(placed, stage, crc % placed->groups);
    if (into == NULL || make_room((void **)&into->items, into->count, &into->room, sizeof(uint32_t)) < 0)
        return -1;
    into->items[into->count++] = (uint32_t)index;
    return 0;
}

static PyObject *as_list(const Indexes *indexes) {
    PyObject *list = PyList_New((Py_ssize_t)indexes->count);
    for (size_t place = 0; list != NULL && place < indexes->count; place++) {
        PyObject *index = PyLong_FromUnsignedLong(indexes->items[place]);
        if (index == NULL)
            Py_CLEAR(list);
        else
            PyList_SET_ITEM(list, (Py_ssize_t)place, index);
    }
    return list;
}

static PyObject *by_group(const Stage *stage, uint32_t groups) {
    PyObject *found = PyDict_New();
    for (uint32_t group = 0; found != NULL && group < groups; group++) {
        if (stage->groups[group].count == 0)
            continue;
        PyObject *number = PyLong_FromUnsignedLong(group);
        PyObject *indexes = number == NULL ? NULL : as_list(&stage->groups[group]);
        if (indexes == NULL || PyDict_SetItem(found, number, indexes) < 0)
            Py_CLEAR(found);
        Py_XDECREF(number);
        Py_XDECREF(indexes);
    }
    return found;
}

/* Stage -> key group -> indexes. */
static PyObject *as_dict(const Placed *placed) {
    PyObject *found = PyDict_New();
    for (size_t index = 0; found != NULL && index < placed->count; index++) {
        PyObject *groups = by_group(&placed->stages[index], placed->groups);
        if (groups == NULL || PyDict_SetItem(found, placed->stages[index].stage, groups) < 0)
            Py_CLEAR(found);
        Py_XDECREF(groups);
    }
    return found;
}

static void placed_clear(Placed *placed) {
    for (size_t index = 0; index < placed->count; index++) {
        for (uint32_t group = 0; group < placed->groups; group++)
            PyMem_RawFree(placed->stages[index].groups[group].items);
        PyMem_RawFree(placed->stages[index].groups);
        Py_DECREF(placed->stages[index].stage);
    }
}

/* ---- the loop ---- */

typedef struct {
    Sorter *sorter;
    PyObject *kinds, *headers, *arrivals; /* lists; kinds: None where the types of the headers say it */
    PyObject *unusual, *judge;
    Clock clock;
    Placed placed;
    PyObject *late; /* index -> the time at which it is applied */
} Sorting;

typedef enum { FAILED = -1, LEFT_OUT, TAKEN } Outcome;

/* Where a record goes. */
typedef struct {
    PyObject *stage; /* a new reference */
    uint32_t crc;    /* of its key */
} Goal;

static int checksum(PyObject *text, uint32_t before, uint32_t *crc) {
    Py_ssize_t length;
    const char *utf8 = PyUnicode_AsUTF8AndSize(text, &length);
    if (utf8 == NULL)
        return -1;
    *crc = crc_of(before, utf8, (size_t)length);
    return 0;
}

/* A field that is there and is not None: borrowed; else NULL, and with an error set only when something is wrong. */
static PyObject *named(PyObject *header, Py_ssize_t offset) {
    PyObject *value = offset < 0 ? NULL : field_at(header, offset);
    return value == Py_None ? NULL : value;
}

/* The record goes another way, or nowhere: the router says it, and may judge its time or refuse it. */
static Outcome ask(Sorting *sorting, Py_ssize_t index, PyObject *kind, PyObject *header, Goal *goal) {
    if (clock_write(&sorting->clock) < 0)
        return FAILED;
    PyObject *found = PyObject_CallFunction(sorting->unusual, "nOO", index, kind, header);
    if (found == NULL || clock_read(&sorting->clock) < 0) {
        Py_XDECREF(found);
        return FAILED;
    }
    Outcome outcome = found == Py_None ? LEFT_OUT : TAKEN;
    PyObject *key;
    if (outcome == TAKEN) {
        if (!PyArg_ParseTuple(found, "OU", &goal->stage, &key) || checksum(key, 0, &goal->crc) < 0)
            outcome = FAILED;
        else
            Py_INCREF(goal->stage);
    }
    Py_DECREF(found);
    return outcome;
}

/* By order for most records, by customer for most of the others. */
static Outcome find_goal(Sorting *sorting, Py_ssize_t index, PyObject *header, const Shape *shape, Goal *goal) {
    Sorter *sorter = sorting->sorter;
    PyObject *kind = (PyObject *)shape->type, *by_order = shape->by_order, *by_customer = shape->by_customer;
    if (sorting->kinds != Py_None) {
        kind = PyList_GET_ITEM(sorting->kinds, index);
        by_order = PyDict_GetItemWithError(sorter->by_order, kind);
        by_customer = by_order == NULL ? NULL : PyDict_GetItemWithError(sorter->by_customer, kind);
        if (PyErr_Occurred())
            return FAILED;
    }
    PyObject *name = by_order == NULL ? NULL : named(header, shape->order_id);
    if (name != NULL) {
        goal->stage = Py_NewRef(by_order);
        return checksum(name, 0, &goal->crc) < 0 ? FAILED : TAKEN;
    }
    name = by_customer == NULL || by_order == NULL ? NULL : named(header, shape->customer_id);
    if (name != NULL) {
        goal->stage = Py_NewRef(by_customer);
        return checksum(name, sorter->customer_crc, &goal->crc) < 0 ? FAILED : TAKEN;
    }
    return PyErr_Occurred() ? FAILED : ask(sorting, index, kind, header, goal);
}

static bool near(const Clock *clock, int64_t time, int64_t arrival) {
    return !clock->arrives || (arrival - clock->gap <= time && time <= arrival + clock->ahead);
}

/* What the clock says of a record that is neither the latest so far nor surely in time. */
static Outcome judged(Sorting *sorting, Py_ssize_t index, PyObject *time, PyObject *arrival) {
    if (clock_write(&sorting->clock) < 0)
        return FAILED;
    PyObject *bound = PyObject_CallFunction(sorting->judge, "nOO", index, time, arrival);
    if (bound == NULL || clock_read(&sorting->clock) < 0) {
        Py_XDECREF(bound);
        return FAILED;
    }
    Outcome outcome = bound == Py_None ? LEFT_OUT : TAKEN;
    int earlier = outcome == TAKEN ? PyObject_RichCompareBool(time, bound, Py_LT) : 0;
    if (earlier > 0) {
        PyObject *place = PyLong_FromSsize_t(index);
        earlier = place == NULL ? -1 : PyDict_SetItem(sorting->late, place, bound);
        Py_XDECREF(place);
    }
    Py_DECREF(bound);
    return earlier < 0 ? FAILED : outcome;
}

static Outcome take_time(Sorting *sorting, Py_ssize_t index, PyObject *header, const Shape *shape) {
    PyObject *value = shape->time < 0 ? PyErr_Format(PyExc_TypeError, "%s has no time", shape->type->tp_name)
                                      : field_at(header, shape->time);
    if (value == NULL)
        return FAILED;
    int beyond;
    int64_t time = PyLong_AsLongLongAndOverflow(value, &beyond), arrival = 0;
    if (time == -1 && PyErr_Occurred())
        return FAILED;
    Clock *clock = &sorting->clock;
    PyObject *arrived = clock->arrives ? PyList_GET_ITEM(sorting->arrivals, index) : Py_None;
    if (clock->arrives) {
        arrival = whole_number(arrived);
        if (arrival == -1 && PyErr_Occurred())
            return FAILED;
    }
    if (beyond == 0) {
        bool is_near = near(clock, time, arrival);
        if (is_near && clock->largest < time && time <= clock->ceiling) {
            clock->largest = time;
            return TAKEN;
        }
        if (is_near && clock->quiet <= time && time <= clock->largest && time >= clock->largest - clock->behind)
            return TAKEN;
    }
    return judged(sorting, index, value, arrived);
}

static int sort_one(Sorting *sorting, Py_ssize_t index) {
    Sorter *sorter = sorting->sorter;
    PyObject *header = PyList_GET_ITEM(sorting->headers, index);
    if (header == Py_None)
        return 0; /* refused when it was read */
    const Shape *known = shape_of(&sorter->shapes, Py_TYPE(header), sorter->by_order, sorter->by_customer);
    if (known == NULL)
        return -1;
    const Shape shape = *known;
    Goal goal = {NULL, 0};
    Outcome outcome = find_goal(sorting, index, header, &shape, &goal);
    if (outcome == TAKEN)
        outcome = take_time(sorting, index, header, &shape);
    int done = outcome == TAKEN ? place(&sorting->placed, goal.stage, goal.crc, index) : outcome == FAILED ? -1 : 0;
    Py_XDECREF(goal.stage);
    return done;
}

static PyObject *sorted_in(Sorting *sorting) {
    Py_ssize_t count = PyList_GET_SIZE(sorting->headers);
    for (Py_ssize_t index = 0; index < count; index++)
        if (sort_one(sorting, index) < 0)
            return NULL;
    if (clock_write(&sorting->clock) < 0)
        return NULL;
    PyObject *placed = as_dict(&sorting->placed);
    return placed == NULL ? NULL : Py_BuildValue("(NO)", placed, sorting->late);
}

static bool fits(PyObject *list, PyObject *headers) {
    return list == Py_None || (PyList_Check(list) && PyList_GET_SIZE(list) == PyList_GET_SIZE(headers));
}

static PyObject *sorter_sort(Sorter *self, PyObject *const *arguments, Py_ssize_t count) {
    if (count != 7 || !PyList_Check(arguments[1]) || !fits(arguments[0], arguments[1]) ||
        !fits(arguments[2], arguments[1]) || PyList_GET_SIZE(arguments[1]) > (Py_ssize_t)UINT32_MAX) {
        PyErr_SetString(PyExc_TypeError, "sort(kinds, headers, arrivals, clock, ceiling, unusual, judge): lists of one length");
        return NULL;
    }
    Sorting sorting = {
        .sorter = self,
        .kinds = arguments[0],
        .headers = arguments[1],
        .arrivals = arguments[2],
        .unusual = arguments[5],
        .judge = arguments[6],
        .clock = {.clock = arguments[3], .ask_ceiling = arguments[4], .arrives = arguments[2] != Py_None},
        .placed = {.groups = self->groups},
    };
    if (clock_begin(&sorting.clock) < 0)
        return NULL;
    sorting.late = PyDict_New();
    PyObject *found = sorting.late == NULL ? NULL : sorted_in(&sorting);
    Py_XDECREF(sorting.late);
    placed_clear(&sorting.placed);
    return found;
}

/* ---- the sorter as an object ---- */

static PyObject *sorter_new(PyTypeObject *type, PyObject *arguments, PyObject *named_arguments) {
    static char *names[] = {"by_order", "by_customer", "groups", NULL};
    PyObject *by_order, *by_customer;
    unsigned int groups;
    if (!PyArg_ParseTupleAndKeywords(arguments, named_arguments, "O!O!I:Sorter", names, &PyDict_Type, &by_order,
                                     &PyDict_Type, &by_customer, &groups))
        return NULL;
    if (groups == 0) {
        PyErr_SetString(PyExc_ValueError, "there is at least one key group");
        return NULL;
    }
    Sorter *self = (Sorter *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->by_order = Py_NewRef(by_order);
        self->by_customer = Py_NewRef(by_customer);
        self->groups = groups;
        self->customer_crc = crc_of(0, CUSTOMER, strlen(CUSTOMER));
    }
    return (PyObject *)self;
}

static void sorter_dealloc(Sorter *self) {
    Py_XDECREF(self->by_order);
    Py_XDECREF(self->by_customer);
    shapes_clear(&self->shapes);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef sorter_methods[] = {
    {"sort", (PyCFunction)(void (*)(void))sorter_sort, METH_FASTCALL,
     "Judge and place the records of a batch: returns stage -> key group -> indexes, and when late ones are applied."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject SorterType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "operators.heart._compiled.Sorter",
    .tp_doc = "When each record of a batch counts, and which key group it is for.",
    .tp_basicsize = sizeof(Sorter),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = sorter_new,
    .tp_dealloc = (destructor)sorter_dealloc,
    .tp_methods = sorter_methods,
};
