/* Command lines from one table: commands, operands, options, --help and --version.
 *
 * The table is read once: whatever is mistaken in a command line, the text names it and the nearest
 * word that is known, in one line. */
#ifndef COMMAND_OPTIONS_H
#define COMMAND_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "latent.h"

/* What a program returns from main. */
enum program_exit {
    PROGRAM_DONE = 0,
    PROGRAM_FAILED = 1,   /* a file, a peer or another resource is not as it must be */
    PROGRAM_MISUSED = 2,  /* a mistake in the command line or in the configuration */
    PROGRAM_NOT_DONE = 3, /* asked for, and not carried out in time */
};

enum option_type { OPTION_IS_SWITCH, OPTION_IS_TEXT, OPTION_IS_WHOLE, OPTION_IS_NUMBER };

struct option_row {
    const char *name;  /* without the dashes */
    const char *value; /* placeholder; NULL for a switch */
    enum option_type type;
    union {
        bool *is_on;
        const char **text;
        uint64_t *whole;
        double *number;
    } out;                    /* holds the default: kept when the option is not given */
    const char *const *words; /* the only texts allowed, NULL at the end; NULL: any */
    double least, most;       /* of a number, whole or not */
    const char *help;         /* lines of at most 54 columns */
};

/* Rows of a table; help comes last. A row of zeros ends the table. */
#define OPTION_SWITCH(name_, out_, help_)                                         \
    {                                                                             \
        .name = name_, .type = OPTION_IS_SWITCH, .out.is_on = out_, .help = help_ \
    }
#define OPTION_TEXT(name_, value_, out_, help_)                                                 \
    {                                                                                           \
        .name = name_, .value = value_, .type = OPTION_IS_TEXT, .out.text = out_, .help = help_ \
    }
#define OPTION_CHOICE(name_, value_, out_, words_, help_)                                          \
    {                                                                                              \
        .name = name_, .value = value_, .type = OPTION_IS_TEXT, .out.text = out_, .words = words_, \
        .help = help_                                                                              \
    }
#define OPTION_WHOLE(name_, value_, out_, least_, most_, help_)                     \
    {                                                                               \
        .name = name_, .value = value_, .type = OPTION_IS_WHOLE, .out.whole = out_, \
        .least = least_, .most = most_, .help = help_                               \
    }
#define OPTION_NUMBER(name_, value_, out_, least_, most_, help_)                      \
    {                                                                                 \
        .name = name_, .value = value_, .type = OPTION_IS_NUMBER, .out.number = out_, \
        .least = least_, .most = most_, .help = help_                                 \
    }
#define OPTION_ANY_WHOLE 9007199254740992.0 /* 2^53: up to here a double tells all apart */
#define OPTION_ANY_NUMBER 1e15

#define OPTIONS_MAX_WORDS 8 /* of a command with its operands */

/* A command, as it is written: words in small letters as they stand, names in capitals for
 * operands, e.g. "record start STREAM FILE". Commands that begin alike have their operands in the
 * same place. A program without commands has rows of operands alone. */
struct option_command {
    const char *pattern;                 /* "" takes no word at all */
    int code;                            /* what the program calls it */
    const char **out[OPTIONS_MAX_WORDS]; /* of the operands, in their order */
    const char *help;                    /* as above; NULL: the usage says it */
};

struct option_table {
    const char *program, *purpose;
    const char *usage; /* what follows the program's name; further lines are whole */
    const struct option_row *rows;
    const struct option_command *commands; /* up to a row without pattern; NULL: takes no words */
    const char *notes; /* after all else, e.g. what the exit codes mean; or NULL */
};

enum options_result {
    OPTIONS_RUN = 0,
    OPTIONS_DONE = 1, /* --help or --version was answered */
};

/* Reads a command line. *command becomes the code of its command; NULL where there are none.
 * OPTIONS_RUN, OPTIONS_DONE, or negative and a text on the first mistake. */
int options_read(const struct option_table *table, int argc, char **argv, int *command,
                 struct latent_error *err);
/* A mistake that the table alone cannot tell, e.g. two options that do not go together: returns
 * LATENT_E_CONFIG, the text with a hint to --help. */
int options_refuse(const struct option_table *table, struct latent_error *err, const char *format,
                   ...) __attribute__((format(printf, 3, 4)));
/* Prints "program: text" to stderr and returns code, for main to return. */
enum program_exit options_fail(const char *program, enum program_exit code,
                               const struct latent_error *err);

#endif
