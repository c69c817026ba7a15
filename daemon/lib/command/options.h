/* Command lines from one table: parsing, checks and --help. */
#ifndef COMMAND_OPTIONS_H
#define COMMAND_OPTIONS_H

#include "latent.h"

enum option_type {
    OPTION_SWITCH, /* int *: set to 1 */
    OPTION_TEXT,   /* const char ** */
    OPTION_WHOLE,  /* uint64_t * */
    OPTION_NUMBER, /* double * */
};

struct option_row {
    const char *name;  /* without the dashes */
    const char *value; /* placeholder; NULL for a switch */
    enum option_type type;
    void *out; /* keeps its value when the option is not given */
    const char *help;
};

struct option_table {
    const char *program, *purpose, *usage;
    const struct option_row *rows; /* ends with a row without name */
};

enum option_result { OPTIONS_RUN = 0, OPTIONS_DONE = 1 }; /* DONE: --help was answered */

/* Negative and a text on the first mistake. */
int options_parse(const struct option_table *table, int argc, char **argv,
                  struct latent_error *err);

#endif
