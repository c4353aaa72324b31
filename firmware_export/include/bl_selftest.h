/*
 * Golden vectors: whether a device computes what beatlens did. For the first
 * start of a board, production tests, and after a change of compiler. Those of
 * whole chains are in bl_selftest_windows.h and bl_selftest_beats.h.
 */
#ifndef BL_SELFTEST_H
#define BL_SELFTEST_H

#include <stdint.h>

#include "bl_net.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Inputs of a network, and the evidence of each. */
typedef struct {
    const bl_model *model;
    const int8_t *inputs;   /* [cases][columns][leads] */
    const int8_t *evidence; /* [cases][results][classes] */
    uint32_t cases;
    uint32_t columns; /* of an input */
    uint32_t results; /* columns of evidence of an input */
} bl_golden_net;

/*
 * Runs a network. `memory` as for bl_net_init. Returns BL_OK,
 * BL_ERROR_DIFFERS, or an error of bl_net.h's functions.
 */
int bl_selftest_net(const bl_golden_net *golden, uint32_t *memory,
                    uint32_t bytes);

/* What follows is for self-tests of chains; private. */

/* Golden findings that are to come. */
typedef struct {
    uint32_t left; /* findings */
    int same;      /* 1 while all findings so far are as they have to be */
} bl_selftest_rest;

/* Counts one finding. Returns whether it was to come; otherwise `same` is 0. */
int bl_selftest_next(bl_selftest_rest *rest);

/* BL_OK where all findings came and were as they have to be. */
int bl_selftest_result(const bl_selftest_rest *rest);

/* Pushes counts to a chain, as bl_push does. */
typedef int bl_selftest_push(void *chain, const int16_t *counts,
                             uint32_t count);

/* Pushes counts in pieces of an odd size. Returns BL_OK or an error of the
 * chain. */
int bl_selftest_feed(bl_selftest_push *push, void *chain,
                     const int16_t *counts, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif
