/*
 * Shapes of the last beats, for bl_qrs.h: whether a candidate looks like one
 * of them. The same as beatlens.signals.qrs_shapes.
 */
#ifndef BL_QRS_SHAPES_H
#define BL_QRS_SHAPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BL_QRS_SHAPE 16 /* values of a beat's shape */
#define BL_QRS_SHAPES 3 /* shapes that are remembered */
#define BL_QRS_SHIFTS 5 /* places at which a shape is looked for, a value
                           apart */
#define BL_QRS_AROUND (BL_QRS_SHAPE + BL_QRS_SHIFTS - 1) /* values around a
                                                            candidate */

/* State; private. */
typedef struct {
    int16_t shapes[BL_QRS_SHAPES][BL_QRS_SHAPE]; /* eighths of what is seen */
    uint16_t counts[BL_QRS_SHAPES]; /* 16 a beat, less 1/32 a beat; 0: none */
} bl_qrs_shapes;

/* Forgets all shapes. */
void bl_qrs_forget_shapes(bl_qrs_shapes *s);

/* Whether `seen`, BL_QRS_AROUND values of 3 * 128 at most around a candidate,
 * looks like a shape that came twice; 1 if none has. */
uint32_t bl_qrs_resembles(const bl_qrs_shapes *s, const int16_t *seen);

/* Takes a beat: moves the shape that it has by an eighth, or replaces the
 * rarest. */
void bl_qrs_learn(bl_qrs_shapes *s, const int16_t *seen);

#ifdef __cplusplus
}
#endif

#endif
