/* Ending by SIGINT or SIGTERM: the work in hand is finished or taken back, then exit. */
#ifndef COMMAND_STOP_H
#define COMMAND_STOP_H

void stop_install(void);
int stop_requested(void);

#endif
