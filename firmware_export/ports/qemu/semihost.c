/* See semihost.h; "Semihosting for AArch32 and AArch64", Arm. */

#include "semihost.h"

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };
#define APPLICATION_EXIT 0x20026u

static void call(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void host_write(const char *text)
{
    call(SYS_WRITE0, text);
}

void host_number(int32_t value)
{
    char text[13], *at = text + sizeof text;
    uint32_t rest = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;

    *--at = 0;
    *--at = ' ';
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        *--at = '-';
    host_write(at);
}

void host_exit(int failed)
{
    uint32_t block[2] = {APPLICATION_EXIT, 0};

    block[1] = failed ? 1 : 0;
    call(SYS_EXIT_EXTENDED, block);
    for (;;)
        ;
}
