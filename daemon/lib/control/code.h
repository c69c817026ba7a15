/* Reply.code: what became of a request. */
#ifndef CONTROL_CODE_H
#define CONTROL_CODE_H

enum control_code {
    CONTROL_DONE = 0,
    CONTROL_UNREADABLE = -1,
    CONTROL_UNKNOWN_OPERATION = -2,
    CONTROL_UNKNOWN_STREAM = -3,
    CONTROL_NO_MEMORY = -4,
    CONTROL_REFUSED = -5,
    CONTROL_NOT_DONE = -6, /* in time; an order stays ordered */
};

#endif
