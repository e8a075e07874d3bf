#include "waking.h"

#include "cells.h"
#include "fields.h"

int waking_arm(Walker *self, Py_ssize_t slot, PyObject *key, Cell *cell, int64_t due) {
    if (cell->dues == NULL && (cell->dues = cells_new_dues(self)) == NULL)
        return -1;
    if (cell->dues[slot] != 0 && cell->dues[slot] <= due)
        return 0;
    cell->dues[slot] = due;
    if (cell->wake != 0 && cell->wake <= due)
        return 0;
    cell->wake = due;
    return timers_schedule(&self->timers, due, key);
}

static int take_up_filed(Walker *self, int64_t time) {
    int64_t last = timers_extend(&self->timers, time);
    Span span;
    int done = 0;
    while (done == 0 && timers_take_span(&self->timers, last, &span)) {
        for (size_t index = 0; done == 0 && index < span.count; index++) {
            size_t step = 0;
            const Laid *found;
            int64_t due = span_due(&span, index);
            while (done == 0 && (found = resting_due(&self->resting, span.marks[index], due, &step)) != NULL) {
                PyObject *key = laid_key(found);
                done = key == NULL ? -1 : timers_append(&self->timers, due, key);
                Py_XDECREF(key);
            }
        }
        span_free(&span);
    }
    return done;
}

/* See to it that everything that is due up to a time is in the heap. */
int waking_reach(Walker *self, int64_t time) {
    if (time < self->timers.horizon)
        return 0;
    int64_t before = self->timers.horizon > 1 ? self->timers.horizon : 1; /* a cell that is not to be woken says 0 */
    if (take_up_filed(self, time) < 0)
        return -1;
    PyObject *key, *value;
    Py_ssize_t place = 0;
    while (PyDict_Next(self->live, &place, &key, &value)) {
        int64_t wake = ((Cell *)value)->wake;
        if (before <= wake && wake < self->timers.horizon && timers_append(&self->timers, wake, key) < 0)
            return -1;
    }
    place = 0;
    while (PyDict_Next(self->loose, &place, &key, &value)) {
        int64_t wake = wake_of(PyBytes_AS_STRING(value));
        if (before <= wake && wake < self->timers.horizon && timers_append(&self->timers, wake, key) < 0)
            return -1;
    }
    timers_order(&self->timers);
    return 0;
}

/* The cell whose timer is due, borrowed; NULL, maybe with an error set, when the timer means nothing any more. */
static Cell *woken_by(Walker *self, PyObject *key, int64_t due) {
    Cell *cell = live_cell(self, key);
    if (cell == NULL) {
        if (PyErr_Occurred() || (cell = cells_woken(self, key)) == NULL)
            return NULL;
        cell->clean = self->recording; /* until it is touched; before the first snapshot every cell is to be told */
        cell = cells_made_live(self, key, cell);
    }
    return cell != NULL && cell->wake == due ? cells_touch(self, key) : NULL;
}

static int wake_slot(Walker *self, Py_ssize_t slot, PyObject *key, Cell *cell, int64_t due) {
    if (slot == self->parts) {
        if (ids_forget(&cell->ids, self->horizon, due) < 0)
            return -1;
        return ids_known(&cell->ids) ? waking_arm(self, slot, key, cell, ids_forget_at(&cell->ids, self->horizon)) : 0;
    }
    PyObject *moment = PyLong_FromLongLong(due);
    if (moment == NULL)
        return -1;
    PyObject *arguments[] = {key, moment};
    PyObject *nothing = PyObject_Vectorcall(self->wakers[slot], arguments, 2, NULL);
    Py_DECREF(moment);
    Py_XDECREF(nothing);
    return nothing == NULL ? -1 : 0;
}

static int wake_slots(Walker *self, PyObject *key, Cell *cell, int64_t due) {
    for (Py_ssize_t slot = 0; slot <= self->parts; slot++) {
        if (cell->dues[slot] != 0 && cell->dues[slot] <= due) {
            cell->dues[slot] = 0;
            if (wake_slot(self, slot, key, cell, due) < 0)
                return -1;
        }
    }
    int64_t following = 0;
    for (Py_ssize_t slot = 0; slot <= self->parts; slot++)
        if (cell->dues[slot] != 0 && (following == 0 || cell->dues[slot] < following))
            following = cell->dues[slot];
    cell->wake = following;
    return following != 0 ? timers_schedule(&self->timers, following, key) : 0;
}

/* The earliest timer: all slots of its key that are due, in their order. */
int waking_fire(Walker *self) {
    Due timer = timers_pop(&self->timers);
    Cell *cell = woken_by(self, timer.key, timer.due);
    int done = cell == NULL && PyErr_Occurred() ? -1 : 0;
    if (cell != NULL && cell->dues != NULL) {
        Py_INCREF(cell);
        done = wake_slots(self, timer.key, cell, timer.due);
        Py_DECREF(cell);
    }
    Py_DECREF(timer.key);
    return done;
}
