/* The configuration file read anew while latentd runs. What may change then are the clients, their
 * keys and roles, the policies of streams (conf_is_live), and which streams there are, by whole
 * data loops; whatever else differs is refused by its name, and then nothing is changed. */
#ifndef LATENTD_RELOAD_H
#define LATENTD_RELOAD_H

#include <uv.h>

#include "latentd/daemon.h"

#define RELOAD_TEXT 768
#define RELOAD_MOMENT_NS 500000000u /* that an answer waits for the disk */

enum reload_answer { RELOAD_OWED, RELOAD_DONE, RELOAD_REFUSED, RELOAD_NOT_DONE };

struct reload;

/* Begin: files are read in the pool of loop. One at a time; NULL: another is under way, or no
 * memory. reload_look until it is not owed, or reload_give_up, is due. */
struct reload *reload_new(struct daemon *d, uv_loop_t *loop, bool dry_run);
/* What became of it, and that in words. Once not owed, *r is gone. */
enum reload_answer reload_look(struct reload *r, uint64_t now_ns, char text[RELOAD_TEXT]);
/* Nobody wants the answer; what was read is not brought into force any more. */
void reload_give_up(struct reload *r);
/* The same without anybody who asks: the answer goes to the log. */
void reload_by_signal(struct daemon *d, uv_loop_t *loop);

#endif
