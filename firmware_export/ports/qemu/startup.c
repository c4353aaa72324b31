/* Vector table and start for QEMU's Cortex-M boards, which load all memory. */

#include <stdint.h>

#include "semihost.h"

#define CPACR (*(volatile uint32_t *)0xe000ed88u)
#define COPROCESSORS (15u << 20) /* 10 and 11: floating point and MVE */

extern uint32_t stack_top;
int main(void);
void reset(void);

void reset(void)
{
    CPACR |= COPROCESSORS;
    __asm__ volatile("dsb\n\tisb" : : : "memory");
    host_exit(main());
}

static void fault(void)
{
    host_write("fault\n");
    host_exit(1);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    &stack_top,    (void *)reset, (void *)fault, (void *)fault,
    (void *)fault, (void *)fault, (void *)fault, (void *)fault};
