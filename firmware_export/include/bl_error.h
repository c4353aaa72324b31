/*
 * Results of all functions that return an int: BL_OK or one of these errors.
 * A number has the same meaning whichever function returns it. Functions that
 * return a count give one of 0 or more, or an error, which is below 0.
 */
#ifndef BL_ERROR_H
#define BL_ERROR_H

enum bl_error {
    BL_OK = 0,

    /* Chains, leads, the front end and networks */
    BL_ERROR_MEMORY = -1, /* the caller's memory, ring or row is too small */
    BL_ERROR_TASK = -2,   /* constants of a task contradict each other */
    BL_ERROR_SENSOR = -3, /* constants of a sensor cannot be right */
    BL_ERROR_ENDED = -4,  /* the stream has ended: begin a new one */
    BL_ERROR_EMPTY = -5,  /* the stream ends before its first count */
    BL_ERROR_WINDOW = -6, /* more or fewer columns than the padded network's
                             window has */

    /* Projects for TensorFlow Lite Micro */
    BL_ERROR_ARENA = -16,     /* the arena is too small for the network */
    BL_ERROR_OPERATORS = -17, /* the resolver refuses an operator */
    BL_ERROR_MODEL = -18,     /* tensors are not those that were exported */
    BL_ERROR_NOT_LOADED = -19, /* no network is loaded */
    BL_ERROR_INVOKE = -20, /* the network failed: its span has no decision */

    /* Packed weights */
    BL_ERROR_FORMAT = -32, /* another version of the format, or no bytes */
    BL_ERROR_CODING = -33, /* the tensor's coding is not one of SPEC.md's */
    BL_ERROR_HEADER = -34, /* the header is cut off, or its shape impossible */
    BL_ERROR_CODE = -35,   /* the description of a number code is invalid */
    BL_ERROR_BITS_END = -36, /* the bits end before the last weight */
    BL_ERROR_VALUE = -37, /* a weight, index, magnitude or run is too large */
    BL_ERROR_BITS_LEFT = -38, /* bits are left over after the last weight */
    BL_ERROR_NO_ROW = -39,    /* all rows were read before */

    /* Self-tests */
    BL_ERROR_DIFFERS = -48, /* a result is not that of the golden vectors */

    /* The library for computers */
    BL_ERROR_BATCH_FULL = -64 /* more findings than a batch has room for; those
                                 beyond it are lost */
};

#endif
