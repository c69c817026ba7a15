/* Names of what a tap hears. */
#include "line/event.h"

#include <assert.h>

static const char *const event_names[LINE_N_EVENTS] = {
    [LINE_MESSAGE] = "message",   [LINE_CONTINUE] = "continue",   [LINE_PARTS] = "parts",
    [LINE_TICK] = "tick",         [LINE_RESET] = "reset",         [LINE_SAFE_ON] = "safe on",
    [LINE_SAFE_OFF] = "safe off", [LINE_STOP] = "stop",           [LINE_MASK] = "mask",
    [LINE_CLOCK] = "clock",       [LINE_SENT] = "sent",           [LINE_ACTION] = "action",
    [LINE_FRAME] = "frame",       [LINE_OUTCOME] = "outcome",     [LINE_DONE] = "done",
    [LINE_PROMOTE] = "promote",   [LINE_NORMALISE] = "normalise", [LINE_RULES] = "rules",
};

static const char *const action_names[LINE_N_ACTIONS] = {
    [LINE_STEP] = "step",
    [LINE_PREDICT] = "predict",
    [LINE_STEP_ZERO] = "step zero",
    [LINE_STEP_HELD] = "step held",
    [LINE_STEP_MEAN] = "step mean",
    [LINE_START] = "start",
    [LINE_ENTER_SAFE] = "enter safe",
    [LINE_LEAVE_SAFE] = "leave safe",
};

static const char *const promotion_names[LINE_N_PROMOTIONS] = {
    [PROMOTE_ASKED] = "promoted",
    [ROLL_BACK_ASKED] = "rolled back by the operator",
    [ROLL_BACK_OUTPUT] = "rolled back, output not finite",
    [ROLL_BACK_MISSES] = "rolled back, over its budget",
    [ROLL_BACK_LIMITS] = "rolled back, readout outside its limits",
};

bool line_event_is_entry(enum line_event_kind kind)
{
    return kind < LINE_CLOCK;
}

const char *line_event_name(enum line_event_kind kind)
{
    assert(kind < LINE_N_EVENTS);
    return event_names[kind];
}

const char *line_action_name(enum line_action action)
{
    assert(action < LINE_N_ACTIONS);
    return action_names[action];
}

const char *line_promotion_name(enum line_promotion why)
{
    assert(why < LINE_N_PROMOTIONS);
    return promotion_names[why];
}
