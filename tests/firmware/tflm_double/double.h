/* What a test can ask of the double. */
#ifndef DOUBLE_H
#define DOUBLE_H

#ifdef __cplusplus
extern "C" {
#endif

/* How many calls of Invoke succeed before one fails; negative: all do. */
extern int double_invokes_until_failure;

#ifdef __cplusplus
}
#endif

#endif
