/* Tell the service manager how we are: sd_notify without its library. */
#ifndef LATENTD_NOTIFY_H
#define LATENTD_NOTIFY_H

/* "READY=1", "STOPPING=1". Does nothing when nobody asked to be told. */
void notify_manager(const char *state);

#endif
