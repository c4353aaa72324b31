/* Text to QEMU's host and the end of the program, by semihosting. */
#ifndef SEMIHOST_H
#define SEMIHOST_H

#include <stdint.h>

void host_write(const char *text);

/* A number and a space. */
void host_number(int32_t value);

/* Ends QEMU, with exit status 0 if all is well. */
void host_exit(int failed);

#endif
