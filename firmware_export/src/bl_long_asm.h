/*
 * The products of bl_long.c, and values brought in place for them, on cores
 * with long multiplications, Armv7-M and up. In assembly: they need all
 * registers, and compilers would keep sums on the stack.
 */

#include <stddef.h>

#define AT(type, member, offset) (offsetof(type, member) == (offset))

/* What is loaded below. */
typedef char bl_long_products_lie_as_below
    [AT(products, weights, 0) && AT(products, bytes, 4) && AT(products, x, 8) &&
     AT(products, sums, 12) && AT(products, end, 16) && AT(shape, width, 0) &&
     AT(shape, pairs, 4) && BITS == 21 && AT_ONCE == 5
         ? 1
         : -1];

/* On the stack. */
#define BYTES "0" /* and x */
#define SUMS "8"
#define END "12"
#define ABOVE_ZERO "16" /* three times */

/* Two words of weights: 9 instructions, 20 products. */
#define STEP                       \
    "ldrd r0, r1, [r2], #8\n\t"    \
    "ldm r3!, {r10, r11, r12}\n\t" \
    "smlal r4, r5, r0, r10\n\t"    \
    "smlal r6, r7, r0, r11\n\t"    \
    "smlal r8, r9, r0, r12\n\t"    \
    "ldm r3!, {r10, r11, r12}\n\t" \
    "smlal r4, r5, r1, r10\n\t"    \
    "smlal r6, r7, r1, r11\n\t"    \
    "smlal r8, r9, r1, r12\n\t"

/*
 * r4, r5: sums of window 0; r6, r7: of window 2; r8, r9: of window 4.
 * r2: weights; lr: where they end; r3: values.
 */
__attribute__((naked, noinline)) static void
add_products(const products *p __attribute__((unused)))
{
    __asm__ volatile(
        "push {r4-r11, lr}\n\t"
        "ldm r0, {r2-r6}\n\t"
        "mov r7, #0x100000\n\t" /* 2^20 + 2^41 */
        "mov r8, #0x200\n\t"
        "mov r9, r7\n\t"
        "mov r10, r8\n\t"
        "mov r11, r7\n\t"
        "mov r12, r8\n\t"
        "push {r3-r12}\n\t"

        "1:\n\t" /* a channel */
        "add r12, sp, #" ABOVE_ZERO "\n\t"
        "ldm r12, {r4-r9}\n\t"
        "ldrd r12, r3, [sp, #" BYTES "]\n\t"
        "add lr, r2, r12\n\t"
        "lsls r12, r12, #28\n\t" /* steps that are left over from fours */
        "bcs 9f\n\t"
        "bmi 7f\n\t"

        "4:\n\t"
        STEP
        "5:\n\t"
        STEP
        "6:\n\t"
        STEP
        "7:\n\t"
        STEP
        "cmp r2, lr\n\t"
        "bne 4b\n\t"

        "ldr r12, [sp, #" SUMS "]\n\t"
        "lsr r0, r4, #21\n\t" /* window 0 */
        "bfi r0, r5, #11, #10\n\t"
        "asr r1, r5, #10\n\t" /* 1 */
        "ubfx r10, r6, #0, #21\n\t"
        "add r1, r1, r10\n\t"
        "lsr r4, r6, #21\n\t" /* 2 */
        "bfi r4, r7, #11, #10\n\t"
        "asr r5, r7, #10\n\t" /* 3 */
        "ubfx r10, r8, #0, #21\n\t"
        "add r5, r5, r10\n\t"
        "lsr r6, r8, #21\n\t" /* 4 */
        "bfi r6, r9, #11, #10\n\t"
        "ldm r12, {r7-r11}\n\t"
        "add r0, r0, r7\n\t"
        "add r1, r1, r8\n\t"
        "add r4, r4, r9\n\t"
        "add r5, r5, r10\n\t"
        "add r6, r6, r11\n\t"
        "stm r12!, {r0, r1, r4, r5, r6}\n\t"
        "str r12, [sp, #" SUMS "]\n\t"
        "ldr r3, [sp, #" END "]\n\t"
        "cmp r12, r3\n\t"
        "bne 1b\n\t"
        "add sp, sp, #40\n\t"
        "pop {r4-r11, pc}\n\t"

        "9:\n\t"
        "bmi 5b\n\t"
        "b 6b\n\t");
}

/* Values of an input in two columns, then on to the next two. */
#define TWO(to, other)                  \
    "ldrsb " to ", [r0]\n\t"            \
    "ldrsb " other ", [r0, r12]\n\t"    \
    "add r0, r0, r8\n\t"                \
    "add " to ", " to ", " other ", lsl #21\n\t"

/*
 * Values of a part of windows 0, 2 and 4, times each pair of taps.
 * r12: width; r8: twice that; lr: pairs; r2: where inputs end.
 */
__attribute__((naked, noinline)) static void
place_values(const shape *s __attribute__((unused)),
             const int8_t *x __attribute__((unused)),
             uint32_t inputs __attribute__((unused)),
             uint32_t *to __attribute__((unused)))
{
    __asm__ volatile(
        "push {r4-r9, lr}\n\t"
        "ldrd r12, lr, [r0]\n\t"
        "lsl r8, r12, #1\n\t"
        "add r2, r1, r2\n\t"

        "1:\n\t" /* an input */
        "mov r0, r1\n\t"
        TWO("r4", "r6") TWO("r5", "r6")
        "mov r9, lr\n\t"
        "2:\n\t" /* a pair of taps */
        TWO("r6", "r7")
        "stm r3!, {r4, r5, r6}\n\t"
        "mov r4, r5\n\t"
        "mov r5, r6\n\t"
        "subs r9, r9, #1\n\t"
        "bne 2b\n\t"
        "add r1, r1, #1\n\t"
        "cmp r1, r2\n\t"
        "bne 1b\n\t"

        "mov r4, #0\n\t" /* where words are filled up to be even */
        "mov r5, #0\n\t"
        "mov r6, #0\n\t"
        "stm r3!, {r4, r5, r6}\n\t"
        "pop {r4-r9, pc}\n\t");
}
