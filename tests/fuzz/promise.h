/* What must hold whatever bytes come; firmware_export/SECURITY.md. */
#ifndef PROMISE_H
#define PROMISE_H

#include <stdio.h>
#include <stdlib.h>

#define PROMISE(holds) ((holds) ? (void)0 : broken(#holds, __FILE__, __LINE__))

static void broken(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, what);
    abort();
}

#endif
