/* The walk of a key group over entries and timers, and the cells that it walks over.
 *
 * The compiled twin of PlainWalker (walker.py) and Cells (cells.py), which say what is done and why; here stands how it
 * is done without the interpreter. Whatever one of the two does, the other must do. */

#include "walker.h"

#include <stdlib.h>
#include <string.h>

#include "cell.h"
#include "fields.h"
#include "kinds.h"
#include "resting.h"
#include "timers.h"

static const int64_t LONGEST_HORIZON = (int64_t)1 << 59; /* with moments as they are, their sum does not overflow */

enum {
    AT_ONCE = 64, /* cells of a snapshot that are packed with each advance of a group */
    LEFT = 16,    /* touched cells of a group that a snapshot may have to lay down */
};

typedef struct {
    PyObject_HEAD
    Py_ssize_t parts; /* components with states; the slot behind theirs is for the ids */
    PyObject **components, **states, **wakers;
    PyObject *encode, *decode, *digest, *seeds;
    PyObject *say_late;
    Kinds kinds;
    int64_t horizon;
    Py_ssize_t live_limit;
    bool per_group, recording;
    bool busy; /* no method but armers and len() is for those whom it calls; nor for anybody once it was cleared */
    PyObject *group_key;
    PyObject *live;    /* key -> Cell */
    PyObject *touched; /* keys, since the last snapshot or since they were told */
    PyObject *changed; /* key -> cell at rest, or None */
    PyObject *loose;   /* key -> cell of a snapshot that is not packed yet */
    Timers timers;
    Resting resting;
} Walker;

/* ---- one thing at a time ---- */

/* Whether it may begin with something; if so, what comes of it goes through ``ended``. */
static bool begins(Walker *self) {
    if (self->busy) {
        PyErr_SetString(PyExc_RuntimeError, "a walker was asked for something while it was at work");
        return false;
    }
    self->busy = true;
    return true;
}

static PyObject *ended(Walker *self, PyObject *result) {
    self->busy = false;
    return result;
}

static bool is_key(PyObject *key) {
    if (PyUnicode_Check(key))
        return true;
    PyErr_Format(PyExc_TypeError, "a key is a str, not %R", key);
    return false;
}

/* ---- cells: live and at rest ---- */

static int take_states(Walker *self, PyObject *key, PyObject *parts) {
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        PyObject *state = PyTuple_GET_ITEM(parts, 2 + slot);
        if (state != Py_None && PyDict_SetItem(self->states[slot], key, state) < 0)
            return -1;
    }
    return 0;
}

static int64_t *new_dues(const Walker *self) {
    int64_t *dues = PyMem_Calloc((size_t)self->parts + 1, sizeof *dues);
    if (dues == NULL)
        PyErr_NoMemory();
    return dues;
}

static int take_dues(const Walker *self, Cell *cell, PyObject *asked) {
    if (asked == Py_None)
        return 0;
    if (!PyList_Check(asked) || PyList_GET_SIZE(asked) != self->parts + 1) {
        PyErr_SetString(PyExc_ValueError, "a cell has one moment for each slot");
        return -1;
    }
    cell->dues = new_dues(self);
    if (cell->dues == NULL)
        return -1;
    for (Py_ssize_t slot = 0; slot <= self->parts; slot++) {
        cell->dues[slot] = whole_number(PyList_GET_ITEM(asked, slot));
        if (cell->dues[slot] == -1 && PyErr_Occurred())
            return -1;
    }
    return 0;
}

/* A cell at rest as a live one; its states go to the components. */
static Cell *unpacked(Walker *self, PyObject *key, const char *data, size_t length) {
    if (length < WAKE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a cell at rest is too short");
        return NULL;
    }
    /* A copy, as nobody says for how long it is held. */
    PyObject *bytes = PyBytes_FromStringAndSize(data + WAKE_BYTES, (Py_ssize_t)length - WAKE_BYTES);
    PyObject *parts = bytes == NULL ? NULL : PyObject_CallOneArg(self->decode, bytes);
    Py_XDECREF(bytes);
    if (parts == NULL)
        return NULL;
    if (!PyTuple_Check(parts) || PyTuple_GET_SIZE(parts) != 2 + self->parts) {
        PyErr_SetString(PyExc_ValueError, "a cell at rest is (ids, dues, a state for each component)");
        Py_DECREF(parts);
        return NULL;
    }
    Cell *cell = cell_new();
    if (cell == NULL || ids_unpack(&cell->ids, PyTuple_GET_ITEM(parts, 0)) < 0 ||
        take_dues(self, cell, PyTuple_GET_ITEM(parts, 1)) < 0 || take_states(self, key, parts) < 0)
        Py_CLEAR(cell);
    else
        cell->wake = wake_of(data);
    Py_DECREF(parts);
    return cell;
}

/* The cell of a key that is at rest, which is so no longer; NULL, maybe with an error set, when there is none. */
static Cell *woken(Walker *self, PyObject *key) {
    if (PyDict_GET_SIZE(self->loose) > 0) {
        PyObject *data = PyDict_GetItemWithError(self->loose, key);
        if (data != NULL) {
            Py_INCREF(data);
            Cell *cell = NULL;
            if (PyDict_DelItem(self->loose, key) == 0)
                cell = unpacked(self, key, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
            Py_DECREF(data);
            return cell;
        }
        if (PyErr_Occurred())
            return NULL;
    }
    Laid *laid = resting_take(&self->resting, key);
    if (laid == NULL)
        return NULL;
    Cell *cell = unpacked(self, key, laid_cell(laid), laid->length);
    free(laid);
    if (cell != NULL)
        cell->filed = cell->wake;
    return cell;
}

/* The live cell of a key; NULL, maybe with an error set, when there is none. Borrowed. */
static inline Cell *live_cell(Walker *self, PyObject *key) {
    return (Cell *)PyDict_GetItemWithError(self->live, key);
}

/* Take a cell, of which this has the only reference, among the live ones; returns it borrowed. */
static Cell *made_live(Walker *self, PyObject *key, Cell *cell) {
    int put = PyDict_SetItem(self->live, key, (PyObject *)cell);
    Py_DECREF(cell);
    return put < 0 ? NULL : cell;
}

/* The live cell of a key, made anew if there is none; it counts as changed. Borrowed; NULL with an error set. */
static Cell *touch(Walker *self, PyObject *key) {
    if (!is_key(key))
        return NULL;
    Cell *cell = live_cell(self, key);
    if (cell != NULL) {
        if (!cell->clean)
            return cell;
    } else {
        if (PyErr_Occurred())
            return NULL;
        cell = woken(self, key);
        if (cell == NULL && (PyErr_Occurred() || (cell = cell_new()) == NULL))
            return NULL;
        cell = made_live(self, key, cell);
        if (cell == NULL)
            return NULL;
    }
    cell->clean = false;
    if (self->recording && PyList_Append(self->touched, key) < 0)
        return NULL;
    return cell;
}

static bool some_due(const Walker *self, const Cell *cell) {
    if (cell->dues != NULL)
        for (Py_ssize_t slot = 0; slot <= self->parts; slot++)
            if (cell->dues[slot] != 0)
                return true;
    return false;
}

static PyObject *packed_dues(const Walker *self, const Cell *cell) {
    if (!some_due(self, cell))
        return Py_NewRef(Py_None);
    PyObject *dues = PyList_New(self->parts + 1);
    for (Py_ssize_t slot = 0; dues != NULL && slot <= self->parts; slot++) {
        PyObject *due = PyLong_FromLongLong(cell->dues[slot]);
        if (due == NULL)
            Py_CLEAR(dues);
        else
            PyList_SET_ITEM(dues, slot, due);
    }
    return dues;
}

/* (ids, dues, states...), and whether there is anything in it; NULL with an error set. */
static PyObject *content(Walker *self, PyObject *key, const Cell *cell, bool *anything) {
    PyObject *parts = PyTuple_New(2 + self->parts);
    PyObject *ids = parts == NULL ? NULL : ids_packed(&cell->ids);
    PyObject *dues = ids == NULL ? NULL : packed_dues(self, cell);
    if (dues == NULL) {
        Py_XDECREF(ids);
        Py_XDECREF(parts);
        return NULL;
    }
    *anything = dues != Py_None || ids_known(&cell->ids);
    PyTuple_SET_ITEM(parts, 0, ids);
    PyTuple_SET_ITEM(parts, 1, dues);
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        PyObject *state = PyDict_GetItemWithError(self->states[slot], key);
        if (state == NULL) {
            if (PyErr_Occurred()) {
                Py_DECREF(parts);
                return NULL;
            }
            state = Py_None;
        }
        *anything = *anything || state != Py_None;
        PyTuple_SET_ITEM(parts, 2 + slot, Py_NewRef(state));
    }
    return parts;
}

static PyObject *behind_its_wake(PyObject *encoded, int64_t wake) {
    if (!PyBytes_Check(encoded)) {
        PyErr_SetString(PyExc_TypeError, "what is encoded is bytes");
        return NULL;
    }
    if (wake < 0) {
        PyErr_SetString(PyExc_OverflowError, "nobody at rest is woken before 1970");
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(encoded);
    PyObject *whole = PyBytes_FromStringAndSize(NULL, WAKE_BYTES + size);
    if (whole != NULL) {
        write_wake(PyBytes_AS_STRING(whole), wake);
        memcpy(PyBytes_AS_STRING(whole) + WAKE_BYTES, PyBytes_AS_STRING(encoded), (size_t)size);
    }
    return whole;
}

/* A cell as bytes; None for one that there is nothing of. A new reference; NULL with an error set. */
static PyObject *laid(Walker *self, PyObject *key, const Cell *cell) {
    bool anything;
    PyObject *parts = content(self, key, cell, &anything);
    if (parts == NULL)
        return NULL;
    PyObject *encoded = anything ? PyObject_CallOneArg(self->encode, parts) : Py_NewRef(Py_None);
    Py_DECREF(parts);
    if (encoded == NULL || !anything)
        return encoded;
    PyObject *whole = behind_its_wake(encoded, cell->wake);
    Py_DECREF(encoded);
    return whole;
}

/* What a cell was told as since the last snapshot if nothing has touched it since, else as it is now. */
static PyObject *laid_already(Walker *self, PyObject *key, const Cell *cell) {
    if (cell->clean) {
        PyObject *told = PyDict_GetItemWithError(self->changed, key);
        if (told != NULL || PyErr_Occurred())
            return Py_XNewRef(told);
    }
    return laid(self, key, cell);
}

static int put_to_rest(Walker *self, PyObject *key, PyObject *data, int64_t filed) {
    uint32_t mark;
    const char *cell = PyBytes_AS_STRING(data);
    if (resting_put(&self->resting, key, cell, (size_t)PyBytes_GET_SIZE(data), &mark) < 0)
        return -1;
    int64_t wake = wake_of(cell);
    return wake != 0 && wake != filed ? timers_file(&self->timers, wake, mark) : 0;
}

static int rest(Walker *self, PyObject *key) {
    Cell *cell = live_cell(self, key);
    PyObject *data = laid_already(self, key, cell);
    if (data == NULL)
        return -1;
    int failed = data != Py_None && put_to_rest(self, key, data, cell->filed) < 0;
    if (!failed && self->recording && !cell->clean)
        failed = PyDict_SetItem(self->changed, key, data) < 0;
    Py_DECREF(data);
    for (Py_ssize_t slot = 0; !failed && slot < self->parts; slot++) {
        int there = PyDict_Contains(self->states[slot], key);
        failed = there < 0 || (there && PyDict_DelItem(self->states[slot], key) < 0);
    }
    return failed || PyDict_DelItem(self->live, key) < 0 ? -1 : 0;
}

static int rest_the_older_half(Walker *self) {
    Py_ssize_t count = PyDict_GET_SIZE(self->live);
    if (count <= self->live_limit)
        return 0;
    PyObject *keys = PyDict_Keys(self->live);
    int done = keys == NULL ? -1 : 0;
    for (Py_ssize_t index = 0; done == 0 && index < count / 2; index++)
        done = rest(self, PyList_GET_ITEM(keys, index));
    Py_XDECREF(keys);
    return done;
}

/* ---- timers ---- */

static int arm(Walker *self, Py_ssize_t slot, PyObject *key, Cell *cell, int64_t due) {
    if (cell->dues == NULL && (cell->dues = new_dues(self)) == NULL)
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
static int reach(Walker *self, int64_t time) {
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
        if (PyErr_Occurred() || (cell = woken(self, key)) == NULL)
            return NULL;
        cell->clean = self->recording; /* until it is touched; before the first snapshot every cell is to be told */
        cell = made_live(self, key, cell);
    }
    return cell != NULL && cell->wake == due ? touch(self, key) : NULL;
}

static int wake_slot(Walker *self, Py_ssize_t slot, PyObject *key, Cell *cell, int64_t due) {
    if (slot == self->parts) {
        if (ids_forget(&cell->ids, self->horizon, due) < 0)
            return -1;
        return ids_known(&cell->ids) ? arm(self, slot, key, cell, ids_forget_at(&cell->ids, self->horizon)) : 0;
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
static int fire(Walker *self) {
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

/* ---- the walk ---- */

static PyObject *key_of_event(const Kind *kind, PyObject *event) {
    if (kind->key >= 0) {
        PyObject *field = field_at(event, kind->key);
        if (field == NULL)
            return NULL;
        if (PyUnicode_CheckExact(field))
            return kind->prefix == NULL ? Py_NewRef(field) : PyUnicode_Concat(kind->prefix, field);
    }
    return PyObject_CallOneArg(kind->key_of, event);
}

static PyObject *seed_of(Walker *self, PyObject *source) {
    PyObject *seed = PyDict_GetItemWithError(self->seeds, source);
    if (seed != NULL || PyErr_Occurred())
        return Py_XNewRef(seed);
    return PyObject_GetItem(self->seeds, source); /* makes it */
}

/* Whether an event of a key was seen before; if not, it is remembered. -1 with an error set. */
static int seen(Walker *self, const Kind *kind, PyObject *event, Cell *cell, int64_t at) {
    PyObject *id = field_at(event, kind->id), *source = field_at(event, kind->source);
    if (id == NULL || source == NULL)
        return -1;
    Py_ssize_t length;
    const char *text = PyUnicode_AsUTF8AndSize(id, &length);
    PyObject *seed = text == NULL ? NULL : seed_of(self, source);
    PyObject *bytes = seed == NULL ? NULL : PyBytes_FromStringAndSize(text, length);
    PyObject *digest = NULL;
    if (bytes != NULL) {
        PyObject *arguments[] = {bytes, seed};
        digest = PyObject_Vectorcall(self->digest, arguments, 2, NULL);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(seed);
    int found = digest == NULL ? -1 : ids_seen(&cell->ids, self->horizon, digest, at);
    Py_XDECREF(digest);
    return found;
}

static int call_two(PyObject *callee, PyObject *one, PyObject *other) {
    PyObject *arguments[] = {one, other};
    PyObject *nothing = PyObject_Vectorcall(callee, arguments, 2, NULL);
    Py_XDECREF(nothing);
    return nothing == NULL ? -1 : 0;
}

static int hear(const Kind *kind, PyObject *message, PyObject *at) {
    PyObject *handlers = Py_NewRef(kind->handlers);
    int done = 0;
    for (Py_ssize_t index = 0; done == 0 && index < PyTuple_GET_SIZE(handlers); index++)
        done = call_two(PyTuple_GET_ITEM(handlers, index), message, at);
    Py_DECREF(handlers);
    return done;
}

typedef struct {
    Py_ssize_t applied, duplicates;
} Walked;

/* One event, maybe a late one: ``entry`` and ``event`` are different then. */
static int walk_event(Walker *self, const Kind *kind, PyObject *entry, PyObject *event, PyObject *at, int64_t time,
                      Walked *walked) {
    PyObject *key = key_of_event(kind, event);
    if (key == NULL)
        return -1;
    Cell *cell = touch(self, key);
    int again = cell == NULL ? -1 : seen(self, kind, event, cell, time);
    int done = again < 0 ? -1 : 0;
    if (again == 0 && (cell->dues == NULL || cell->dues[self->parts] == 0))
        done = arm(self, self->parts, key, cell, ids_forget_at(&cell->ids, self->horizon));
    Py_DECREF(key);
    if (again == 1)
        walked->duplicates++;
    if (again != 0 || done < 0)
        return done;
    walked->applied++;
    if (event != entry && call_two(self->say_late, event, at) < 0)
        return -1;
    return hear(kind, event, at);
}

static int walk_note(Walker *self, const Kind *kind, PyObject *note, PyObject *at) {
    PyObject *key = Py_XNewRef(field_at(note, kind->key));
    int done = key == NULL || touch(self, key) == NULL ? -1 : hear(kind, note, at);
    Py_XDECREF(key);
    return done;
}

static int walk_late(Walker *self, const Kind *kind, PyObject *late, PyObject *at, int64_t time, Walked *walked) {
    PyObject *event = Py_XNewRef(field_at(late, kind->event));
    if (event == NULL)
        return -1;
    const Kind *its_kind = kind_of(&self->kinds, Py_TYPE(event));
    int done = -1;
    if (its_kind != NULL && its_kind->what == EVENT)
        done = walk_event(self, its_kind, late, event, at, time, walked);
    else if (its_kind != NULL)
        PyErr_SetObject(PyExc_KeyError, (PyObject *)Py_TYPE(event)); /* nothing else can be late */
    Py_DECREF(event);
    return done;
}

static int walk_entry(Walker *self, PyObject *entry, Walked *walked) {
    const Kind *kind = kind_of(&self->kinds, Py_TYPE(entry));
    PyObject *at = kind == NULL ? NULL : Py_XNewRef(field_at(entry, kind->time)); /* whoever hears it may change it */
    int64_t time = at == NULL ? -1 : moment_of(at);
    int done = time == -1 && PyErr_Occurred() ? -1 : 0;
    while (done == 0 && timers_has(&self->timers, time))
        done = fire(self);
    if (done == 0)
        done = kind->what == NOTE   ? walk_note(self, kind, entry, at)
               : kind->what == LATE ? walk_late(self, kind, entry, at, time, walked)
                                    : walk_event(self, kind, entry, entry, at, time, walked);
    Py_XDECREF(at);
    return done;
}

/* Entries and timers, merged in time order: a timer due at t comes before everything at t. */
static PyObject *walked_through(Walker *self, PyObject *ready, int64_t watermark) {
    if (reach(self, watermark + 1) < 0 || (self->per_group && touch(self, self->group_key) == NULL))
        return NULL;
    Walked walked = {0, 0};
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(ready); index++) {
        PyObject *entry = Py_NewRef(PyList_GET_ITEM(ready, index));
        int done = walk_entry(self, entry, &walked);
        Py_DECREF(entry);
        if (done < 0)
            return NULL;
    }
    while (timers_has(&self->timers, watermark + 1))
        if (fire(self) < 0)
            return NULL;
    return Py_BuildValue("(nn)", walked.applied, walked.duplicates);
}

static PyObject *walker_walk(Walker *self, PyObject *const *arguments, Py_ssize_t count) {
    if (count != 2 || !PyList_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "walk(ready: list, watermark: int)");
        return NULL;
    }
    if (self->say_late == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a walker must hear whom to call before it walks");
        return NULL;
    }
    int64_t watermark = moment_of(arguments[1]);
    if ((watermark == -1 && PyErr_Occurred()) || !begins(self))
        return NULL;
    return ended(self, walked_through(self, arguments[0], watermark));
}

/* ---- what is stored ---- */

/* Note down how the first so many touched cells are now; one that is touched again counts once more. */
static int tell(Walker *self, Py_ssize_t count) {
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *key = PyList_GET_ITEM(self->touched, index);
        Cell *cell = live_cell(self, key);
        if (cell == NULL && PyErr_Occurred())
            return -1;
        if (cell == NULL || cell->clean)
            continue;
        PyObject *data = laid(self, key, cell);
        int done = data == NULL ? -1 : PyDict_SetItem(self->changed, key, data);
        if (done == 0) {
            cell->clean = true; /* only now: what could not be told is still to be told */
            if (data == Py_None)
                done = PyDict_DelItem(self->live, key);
        }
        Py_XDECREF(data);
        if (done < 0)
            return -1;
    }
    return PyList_SetSlice(self->touched, 0, count, NULL);
}

/* Pack some of the cells of the snapshot that was restored. */
static int settle(Walker *self) {
    PyObject *keys[AT_ONCE], *data;
    Py_ssize_t place = 0;
    int found = 0, done = 0;
    while (found < AT_ONCE && PyDict_Next(self->loose, &place, &keys[found], &data)) {
        Py_INCREF(keys[found]);
        found++;
    }
    for (int index = 0; index < found; index++) {
        if (done == 0) {
            data = PyDict_GetItemWithError(self->loose, keys[index]);
            done = data == NULL || put_to_rest(self, keys[index], data, 0) < 0 ||
                           PyDict_DelItem(self->loose, keys[index]) < 0
                       ? -1
                       : 0;
        }
        Py_DECREF(keys[index]);
    }
    return done;
}

static PyObject *walker_tidy(Walker *self, PyObject *Py_UNUSED(nothing)) {
    if (!begins(self))
        return NULL;
    Py_ssize_t ahead = self->recording ? PyList_GET_SIZE(self->touched) - LEFT : 0;
    bool failed = settle(self) < 0 || (ahead > 0 && tell(self, ahead) < 0) || rest_the_older_half(self) < 0;
    return ended(self, failed ? NULL : Py_NewRef(Py_None));
}

/* All cells at rest, into a dict. */
static int add_resting(const Walker *self, PyObject *cells) {
    if (PyDict_Update(cells, self->loose) < 0)
        return -1;
    const Laid *at_rest;
    size_t place = 0;
    while ((at_rest = resting_next(&self->resting, &place)) != NULL) {
        PyObject *key = laid_key(at_rest);
        PyObject *data = PyBytes_FromStringAndSize(laid_cell(at_rest), (Py_ssize_t)at_rest->length);
        int failed = key == NULL || data == NULL || PyDict_SetItem(cells, key, data) < 0;
        Py_XDECREF(key);
        Py_XDECREF(data);
        if (failed)
            return -1;
    }
    return 0;
}

static PyObject *changes(Walker *self) {
    if (!self->recording) {
        self->recording = true;
        PyObject *all_live = PyDict_Keys(self->live);
        if (all_live == NULL)
            return NULL;
        Py_SETREF(self->touched, all_live);
        PyDict_Clear(self->changed);
        if (add_resting(self, self->changed) < 0)
            return NULL;
    }
    PyObject *fresh = PyDict_New();
    if (fresh == NULL || tell(self, PyList_GET_SIZE(self->touched)) < 0) {
        Py_XDECREF(fresh);
        return NULL;
    }
    PyObject *changed = self->changed;
    self->changed = fresh;
    return changed;
}

static PyObject *walker_changes(Walker *self, PyObject *Py_UNUSED(nothing)) {
    return begins(self) ? ended(self, changes(self)) : NULL;
}

static PyObject *all_cells(Walker *self) {
    PyObject *cells = PyDict_New();
    if (cells == NULL || add_resting(self, cells) < 0)
        goto failed;
    PyObject *key, *cell;
    Py_ssize_t place = 0;
    while (PyDict_Next(self->live, &place, &key, &cell)) {
        PyObject *data = laid_already(self, key, (Cell *)cell);
        int done = data == NULL ? -1 : data == Py_None ? 0 : PyDict_SetItem(cells, key, data);
        Py_XDECREF(data);
        if (done < 0)
            goto failed;
    }
    return cells;
failed:
    Py_XDECREF(cells);
    return NULL;
}

static PyObject *walker_all(Walker *self, PyObject *Py_UNUSED(nothing)) {
    return begins(self) ? ended(self, all_cells(self)) : NULL;
}

static int lay_one_over(PyObject *cells, PyObject *key, PyObject *data) {
    if (!is_key(key))
        return -1;
    if (data == Py_None) {
        int there = PyDict_Contains(cells, key);
        return there > 0 ? PyDict_DelItem(cells, key) : there;
    }
    if (!PyBytes_Check(data) || PyBytes_GET_SIZE(data) < WAKE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "a cell at rest is bytes, with its wake in front");
        return -1;
    }
    return PyDict_SetItem(cells, key, data);
}

/* Changes over a base: later parts win, None takes away. */
static int lay_over(PyObject *cells, PyObject *part) {
    PyObject *items = PyMapping_Items(part);
    int done = items == NULL ? -1 : 0;
    for (Py_ssize_t index = 0; done == 0 && index < PyList_GET_SIZE(items); index++) {
        PyObject *item = PyList_GET_ITEM(items, index);
        if (PyTuple_Check(item) && PyTuple_GET_SIZE(item) == 2) {
            done = lay_one_over(cells, PyTuple_GET_ITEM(item, 0), PyTuple_GET_ITEM(item, 1));
        } else {
            PyErr_SetString(PyExc_TypeError, "the items of a part are pairs");
            done = -1;
        }
    }
    Py_XDECREF(items);
    return done;
}

/* All parts together; a new reference, NULL with an error set. */
static PyObject *laid_together(PyObject *parts) {
    PyObject *each = PyObject_GetIter(parts), *cells = each == NULL ? NULL : PyDict_New(), *part;
    while (cells != NULL && (part = PyIter_Next(each)) != NULL) {
        if (lay_over(cells, part) < 0)
            Py_CLEAR(cells);
        Py_DECREF(part);
    }
    Py_XDECREF(each);
    if (PyErr_Occurred())
        Py_CLEAR(cells);
    return cells;
}

/* Begin anew with the cells of a snapshot. */
static int begin_with(Walker *self, PyObject *cells, bool recording) {
    resting_clear(&self->resting);
    timers_clear(&self->timers);
    Py_SETREF(self->loose, Py_NewRef(cells));
    self->recording = recording;
    PyDict_Clear(self->live);
    PyDict_Clear(self->changed);
    for (Py_ssize_t slot = 0; slot < self->parts; slot++)
        PyDict_Clear(self->states[slot]);
    return PyList_SetSlice(self->touched, 0, PyList_GET_SIZE(self->touched), NULL);
}

static PyObject *walker_restore(Walker *self, PyObject *arguments, PyObject *named) {
    static char *names[] = {"parts", "recording", NULL};
    PyObject *parts;
    int recording;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "O$p:restore", names, &parts, &recording))
        return NULL;
    if (!begins(self))
        return NULL;
    PyObject *cells = laid_together(parts);
    int done = cells == NULL ? -1 : begin_with(self, cells, recording);
    Py_XDECREF(cells);
    return ended(self, done < 0 ? NULL : Py_NewRef(Py_None));
}

/* ---- how components ask to be woken ---- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    Walker *walker;
    Py_ssize_t slot;
} Armer;

static PyObject *armer_call(PyObject *callee, PyObject *const *arguments, size_t counted, PyObject *names) {
    Armer *self = (Armer *)callee;
    if (PyVectorcall_NARGS(counted) != 2 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "arm(key: str, due: int)");
        return NULL;
    }
    int64_t due = whole_number(arguments[1]);
    if ((due == -1 && PyErr_Occurred()) || !is_key(arguments[0]))
        return NULL;
    Cell *cell = live_cell(self->walker, arguments[0]);
    if (cell == NULL) {
        if (!PyErr_Occurred())
            PyErr_SetObject(PyExc_KeyError, arguments[0]);
        return NULL;
    }
    if (arm(self->walker, self->slot, arguments[0], cell, due) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static int armer_traverse(Armer *self, visitproc visit, void *arg) {
    Py_VISIT(self->walker);
    return 0;
}

/* What goes round over an armer goes round over its walker, which breaks it; so an armer always has one. */
static void armer_dealloc(Armer *self) {
    PyObject_GC_UnTrack(self);
    Py_DECREF(self->walker);
    PyObject_GC_Del(self);
}

PyTypeObject ArmerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "operators.heart._compiled.Armer",
    .tp_basicsize = sizeof(Armer),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Armer, call),
    .tp_traverse = (traverseproc)armer_traverse,
    .tp_dealloc = (destructor)armer_dealloc,
};

static PyObject *walker_armer(Walker *self, PyObject *number) {
    Py_ssize_t slot = PyLong_AsSsize_t(number);
    if (slot == -1 && PyErr_Occurred())
        return NULL;
    if (slot < 0 || slot > self->parts) {
        PyErr_Format(PyExc_IndexError, "there is no slot %zd", slot);
        return NULL;
    }
    Armer *armer = PyObject_GC_New(Armer, &ArmerType);
    if (armer == NULL)
        return NULL;
    armer->call = armer_call;
    armer->walker = (Walker *)Py_NewRef(self);
    armer->slot = slot;
    PyObject_GC_Track(armer);
    return (PyObject *)armer;
}

/* ---- the walker as an object ---- */

static int take_components(Walker *self, PyObject *components) {
    PyObject *parts = PySequence_Tuple(components);
    if (parts == NULL)
        return -1;
    Py_ssize_t count = PyTuple_GET_SIZE(parts);
    self->components = PyMem_Calloc((size_t)count + 1, sizeof(PyObject *));
    self->states = PyMem_Calloc((size_t)count + 1, sizeof(PyObject *));
    self->wakers = PyMem_Calloc((size_t)count + 1, sizeof(PyObject *));
    int done = self->components == NULL || self->states == NULL || self->wakers == NULL ? -1 : 0;
    if (done < 0)
        PyErr_NoMemory();
    for (Py_ssize_t slot = 0; done == 0 && slot < count; slot++) {
        PyObject *component = PyTuple_GET_ITEM(parts, slot);
        self->parts = slot + 1;
        self->components[slot] = Py_NewRef(component);
        self->states[slot] = PyObject_GetAttrString(component, "states");
        PyObject *of_group = PyObject_GetAttrString(component, "per_group");
        int is_of_group = of_group == NULL ? -1 : PyObject_IsTrue(of_group);
        Py_XDECREF(of_group);
        if (self->states[slot] == NULL || is_of_group < 0) {
            done = -1;
        } else if (!PyDict_CheckExact(self->states[slot])) {
            PyErr_SetString(PyExc_TypeError, "the states of a component are a dict");
            done = -1;
        }
        self->per_group = self->per_group || is_of_group > 0;
    }
    Py_DECREF(parts);
    return done;
}

static int take_arguments(Walker *self, PyObject *arguments, PyObject *named) {
    static char *names[] = {"components", "live_limit", "horizon", "encode", "decode", "digest", "seeds", NULL};
    PyObject *components, *encode, *decode, *digest, *seeds;
    long long horizon;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "OnL$OOOO:Walker", names, &components, &self->live_limit,
                                     &horizon, &encode, &decode, &digest, &seeds))
        return -1;
    if (horizon <= 0 || horizon > LONGEST_HORIZON || !PyDict_Check(seeds)) {
        PyErr_SetString(PyExc_ValueError, "the horizon is above 0 and no age of the world, and seeds are a dict");
        return -1;
    }
    self->horizon = horizon;
    self->encode = Py_NewRef(encode);
    self->decode = Py_NewRef(decode);
    self->digest = Py_NewRef(digest);
    self->seeds = Py_NewRef(seeds);
    self->group_key = PyUnicode_FromString("");
    self->touched = PyList_New(0);
    self->changed = PyDict_New();
    self->loose = PyDict_New();
    self->live = PyDict_New();
    if (self->group_key == NULL || self->touched == NULL || self->changed == NULL || self->loose == NULL ||
        self->live == NULL)
        return -1;
    return take_components(self, components);
}

static PyObject *walker_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    Walker *self = (Walker *)type->tp_alloc(type, 0);
    if (self != NULL && take_arguments(self, arguments, named) < 0)
        Py_CLEAR(self);
    return (PyObject *)self;
}

static int take_wakers(Walker *self) {
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        PyObject *waker = PyObject_GetAttrString(self->components[slot], "on_timer");
        if (waker == NULL)
            return -1;
        Py_XSETREF(self->wakers[slot], waker);
    }
    return 0;
}

/* Without ``say_late`` it does not walk: that comes last. */
static int take_heard(Walker *self, PyObject *heard) {
    Py_CLEAR(self->say_late);
    PyObject *events = PyObject_GetAttrString(heard, "events");
    PyObject *notes = events == NULL ? NULL : PyObject_GetAttrString(heard, "notes");
    PyObject *say_late = notes == NULL ? NULL : PyObject_GetAttrString(heard, "say_late");
    PyObject *late = say_late == NULL ? NULL : PyObject_GetAttrString(heard, "late");
    int done = -1;
    if (late != NULL) {
        if (!PyDict_Check(events) || !PyDict_Check(notes) || !PyType_Check(late))
            PyErr_SetString(PyExc_TypeError, "what is heard is told by two dicts and a type");
        else if (kinds_make(&self->kinds, events, notes, (PyTypeObject *)late) == 0 && take_wakers(self) == 0)
            done = 0;
    }
    if (done == 0)
        self->say_late = Py_NewRef(say_late);
    Py_XDECREF(events);
    Py_XDECREF(notes);
    Py_XDECREF(say_late);
    Py_XDECREF(late);
    return done;
}

/* Say who is to be called. ``heard``: a walker.Heard. */
static PyObject *walker_hear(Walker *self, PyObject *heard) {
    if (!begins(self))
        return NULL;
    return ended(self, take_heard(self, heard) < 0 ? NULL : Py_NewRef(Py_None));
}

static int walker_traverse(Walker *self, visitproc visit, void *arg) {
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        Py_VISIT(self->components[slot]);
        Py_VISIT(self->states[slot]);
        Py_VISIT(self->wakers[slot]);
    }
    Py_VISIT(self->encode);
    Py_VISIT(self->decode);
    Py_VISIT(self->digest);
    Py_VISIT(self->seeds);
    Py_VISIT(self->say_late);
    return kinds_visit(&self->kinds, visit, arg);
}

/* Keys and cells refer to nothing, so they stay: an armer may be called as long as anybody has it. */
static int walker_clear(Walker *self) {
    self->busy = true;
    for (Py_ssize_t slot = 0; slot < self->parts; slot++) {
        Py_CLEAR(self->components[slot]);
        Py_CLEAR(self->states[slot]);
        Py_CLEAR(self->wakers[slot]);
    }
    kinds_clear(&self->kinds);
    Py_CLEAR(self->encode);
    Py_CLEAR(self->decode);
    Py_CLEAR(self->digest);
    Py_CLEAR(self->seeds);
    Py_CLEAR(self->say_late);
    return 0;
}

static void walker_dealloc(Walker *self) {
    PyObject_GC_UnTrack(self);
    walker_clear(self);
    timers_clear(&self->timers);
    resting_clear(&self->resting);
    Py_XDECREF(self->live);
    Py_XDECREF(self->touched);
    Py_XDECREF(self->changed);
    Py_XDECREF(self->loose);
    Py_XDECREF(self->group_key);
    PyMem_Free(self->components);
    PyMem_Free(self->states);
    PyMem_Free(self->wakers);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static Py_ssize_t walker_length(Walker *self) {
    return PyDict_GET_SIZE(self->live) + PyDict_GET_SIZE(self->loose) + (Py_ssize_t)self->resting.count;
}

static PyMethodDef walker_methods[] = {
    {"hear", (PyCFunction)walker_hear, METH_O, "Say who is to be called, before the first walk."},
    {"armer", (PyCFunction)walker_armer, METH_O, "How the component in a slot asks to be woken."},
    {"walk", (PyCFunction)(void (*)(void))walker_walk, METH_FASTCALL,
     "Apply entries and timers; returns how many events were applied, and how many were duplicates."},
    {"tidy", (PyCFunction)walker_tidy, METH_NOARGS, "Lay keys to rest, get ahead with the next snapshot."},
    {"changes", (PyCFunction)walker_changes, METH_NOARGS, "The cells that may have changed since the last call."},
    {"all", (PyCFunction)walker_all, METH_NOARGS, "All cells."},
    {"restore", (PyCFunction)(void (*)(void))walker_restore, METH_VARARGS | METH_KEYWORDS,
     "Take over a base and the changes to it."},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods walker_as_sequence = {.sq_length = (lenfunc)walker_length};

PyTypeObject WalkerType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "operators.heart._compiled.Walker",
    .tp_doc = "What a key group knows of its keys, and the walk over what happens to them.",
    .tp_basicsize = sizeof(Walker),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = walker_new,
    .tp_dealloc = (destructor)walker_dealloc,
    .tp_traverse = (traverseproc)walker_traverse,
    .tp_clear = (inquiry)walker_clear,
    .tp_methods = walker_methods,
    .tp_as_sequence = &walker_as_sequence,
};
