/* Paths of files that are to be made. */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <stdbool.h>

/* Is there no folder for a file of this path? */
bool path_lacks_folder(const char *path);

#endif
