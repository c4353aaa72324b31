/* What compilers make of loops, and what boards have of libc. */

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memset(void *to, int value, size_t count);

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    const uint8_t *source = from;
    volatile uint8_t *at = to; /* or this loop would become memcpy */

    while (count-- > 0)
        *at++ = *source++;
    return to;
}

void *memset(void *to, int value, size_t count)
{
    volatile uint8_t *at = to;

    while (count-- > 0)
        *at++ = (uint8_t)value;
    return to;
}
