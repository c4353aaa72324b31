/* The median of numbers of 16 bits; part of bl_features.c and of
 * bl_window_rhythm.c. */
#ifndef BL_MEDIAN_H
#define BL_MEDIAN_H

#include <stdint.h>

/* The median; of two in the middle the upper one. It is the largest number that
 * at most half of the values are below, and found bit by bit. */
static uint32_t bl_find_median(const uint16_t *values, uint32_t count)
{
    uint32_t found = 0, bit, i;

    for (bit = 1u << 15; bit != 0; bit >>= 1) {
        uint32_t below = 0;

        for (i = 0; i < count; i++)
            below += values[i] < (found | bit);
        if (below <= count / 2)
            found |= bit;
    }
    return found;
}

#endif
