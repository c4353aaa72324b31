/*
 * The products of bl_pairs.c on cores with DSP instructions. In assembly:
 * they need all registers, and compilers would keep sums on the stack.
 *
 * r4, r6, r8, r10: A of four windows; r5, r7, r9, r11: A + 256 * B.
 * On the stack: the products, and the end of the weights.
 */

#include <stddef.h>

#define AT(type, member, offset) (offsetof(type, member) == (offset))

/* The offsets below, in `products`, and those of constants. */
typedef char bl_products_lie_as_below
    [AT(products, weights, 0) && AT(products, words, 4) && AT(products, x, 8) &&
     AT(products, c, 12) && AT(products, out, 16) && AT(products, step, 20) &&
     AT(products, skip, 24) && AT(products, pairs, 28) &&
     AT(products, from, 32) && AT(products, to, 36) && AT(products, relu, 40) &&
     AT(constants, first, 0) && AT(constants, both, 4) &&
     AT(constants, rescale, 8) && sizeof(constants) == 32
         ? 1
         : -1];

#define WEIGHTS "0"
#define WORDS "4"
#define X "8"
#define CONSTANTS "12"
#define OUT "16"
#define SKIP "24"
#define PAIRS "28"
#define FROM "32"
#define TO "36"
#define RELU "40"

/* Two values of four windows by two channels: 12 instructions, 16 products. */
#define STEP                      \
    "ldr r3, [r1], #4\n\t"        \
    "ldrd r12, lr, [r2], #8\n\t"  \
    "sxtb16 r0, r3\n\t"           \
    "smlad r4, r0, r12, r4\n\t"   \
    "smlad r5, r3, r12, r5\n\t"   \
    "smlad r6, r0, lr, r6\n\t"    \
    "smlad r7, r3, lr, r7\n\t"    \
    "ldrd r12, lr, [r2], #8\n\t"  \
    "smlad r8, r0, r12, r8\n\t"   \
    "smlad r9, r3, r12, r9\n\t"   \
    "smlad r10, r0, lr, r10\n\t"  \
    "smlad r11, r3, lr, r11\n\t"

/* Twice a sum; of the second channel the lowest byte of 256 * B is 0. */
#define TWICE_FIRST(sum) "lsl " sum ", " sum ", #1\n\t"
#define TWICE_SECOND(sum) "asr " sum ", " sum ", #7\n\t"

/* bl_rescaled of it: r1 mantissa, r2 rounding, r3 shift. */
#define SIGNED(sum)                                 \
    "add lr, r2, " sum ", asr #31\n\t"              \
    "smmlar " sum ", " sum ", r1, lr\n\t"           \
    "asr " sum ", " sum ", r3\n\t"                  \
    "ssat " sum ", #8, " sum "\n\t"

/* The same where halves below zero are cut off anyway. */
#define UNSIGNED(sum)                               \
    "smmlar " sum ", " sum ", r1, r2\n\t"           \
    "asr " sum ", " sum ", r3\n\t"                  \
    "ssat " sum ", #8, " sum "\n\t"

#define FINISH(RESCALED)                                              \
    "ldm r12!, {r1, r2, r3}\n\t"                                      \
    TWICE_FIRST("r4") RESCALED("r4") TWICE_FIRST("r6") RESCALED("r6") \
    TWICE_FIRST("r8") RESCALED("r8")                                  \
    TWICE_FIRST("r10") RESCALED("r10")                                \
    "ldm r12!, {r1, r2, r3}\n\t"                                      \
    TWICE_SECOND("r5") RESCALED("r5")                                 \
    TWICE_SECOND("r7") RESCALED("r7")                                 \
    TWICE_SECOND("r9") RESCALED("r9")                                 \
    TWICE_SECOND("r11") RESCALED("r11")

#define STORE(first, second, at)      \
    "bfi " first ", " second ", #8, #8\n\t" \
    "strh " first ", [r1" at "]\n\t"

__attribute__((naked, noinline)) static void
multiply(products *p __attribute__((unused)))
{
    __asm__ volatile(
        "push {r4-r11, lr}\n\t"
        "sub sp, sp, #8\n\t"
        "str r0, [sp]\n\t"
        "ldrd r1, r3, [r0, #" WEIGHTS "]\n\t" /* and words */

        "1:\n\t" /* a pair of channels */
        "ldrd r2, lr, [r0, #" X "]\n\t" /* and constants */
        "add r12, r1, r3, lsl #2\n\t"
        "str r12, [sp, #4]\n\t"
        "ldr r4, [r0, #" FROM "]\n\t"
        "cbz r4, 2f\n\t"
        "mov r12, r4\n\t"
        "ldm r12!, {r4-r11}\n\t"
        "str r12, [r0, #" FROM "]\n\t"
        "b 3f\n\t"
        "2:\n\t"
        "ldrd r4, r5, [lr]\n\t"
        "ldrd r6, r7, [lr]\n\t"
        "ldrd r8, r9, [lr]\n\t"
        "ldrd r10, r11, [lr]\n\t"
        "3:\n\t"
        "lsls r3, r3, #30\n\t" /* quads that are left over from fours */
        "bcs 12f\n\t"
        "bmi 7f\n\t"

        "4:\n\t"
        STEP STEP
        "5:\n\t"
        STEP STEP
        "6:\n\t"
        STEP STEP
        "7:\n\t"
        STEP STEP
        "ldr r0, [sp, #4]\n\t"
        "cmp r1, r0\n\t"
        "bne 4b\n\t"

        "ldr r0, [sp]\n\t"
        "ldr r12, [r0, #" CONSTANTS "]\n\t"
        "ldrd r2, r3, [r0, #" TO "]\n\t" /* and relu */
        "cmp r2, #0\n\t"
        "bne 11f\n\t"
        "sub r5, r5, r4\n\t"
        "sub r7, r7, r6\n\t"
        "sub r9, r9, r8\n\t"
        "sub r11, r11, r10\n\t"
        "add r12, r12, #8\n\t"
        "cmp r3, #0\n\t"
        "beq 10f\n\t"
        FINISH(UNSIGNED)
        "8:\n\t"
        "str r12, [r0, #" CONSTANTS "]\n\t"
        "ldrd r1, r2, [r0, #" OUT "]\n\t" /* and step */
        STORE("r4", "r5", "")
        STORE("r6", "r7", ", r2")
        STORE("r8", "r9", ", r2, lsl #1")
        "add r2, r2, r2, lsl #1\n\t"
        STORE("r10", "r11", ", r2")
        "add r1, r1, #2\n\t"
        "str r1, [r0, #" OUT "]\n\t"
        "ldr r1, [sp, #4]\n\t"

        "9:\n\t"
        "ldrd r2, r4, [r0, #" SKIP "]\n\t" /* and pairs */
        "add r1, r1, r2, lsl #2\n\t"
        "ldr r3, [r0, #" WORDS "]\n\t"
        "subs r4, r4, #1\n\t"
        "str r4, [r0, #" PAIRS "]\n\t"
        "bne 1b\n\t"
        "add sp, sp, #8\n\t"
        "pop {r4-r11, pc}\n\t"

        "10:\n\t"
        FINISH(SIGNED)
        "b 8b\n\t"

        "11:\n\t"
        "stm r2!, {r4-r11}\n\t"
        "str r2, [r0, #" TO "]\n\t"
        "add r12, r12, #32\n\t"
        "str r12, [r0, #" CONSTANTS "]\n\t"
        "b 9b\n\t"

        "12:\n\t"
        "bmi 5b\n\t"
        "b 6b\n\t");
}
