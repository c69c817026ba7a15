/* Tell the service manager how we are: sd_notify without its library. */
#ifndef LATENTD_NOTIFY_H
#define LATENTD_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1". Does nothing when nobody asked to be told. */
void notify_manager(const char *state);
/* "WATCHDOG=1"; never waits. */
void notify_alive(void);
/* How long it waits for WATCHDOG=1 before it takes us for dead; 0: it does not. */
uint64_t notify_watchdog_ns(void);

#endif
