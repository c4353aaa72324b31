/* A test double: of TensorFlow Lite Micro's, what an exported project uses. */
#ifndef DOUBLE_COMMON_H
#define DOUBLE_COMMON_H

#include <stddef.h>
#include <stdint.h>

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
typedef enum { kTfLiteNoType = 0, kTfLiteInt8 = 9 } TfLiteType;

typedef union {
    int8_t *int8;
    void *data;
} TfLitePtrUnion;

typedef struct {
    TfLitePtrUnion data;
    size_t bytes;
    TfLiteType type;
} TfLiteTensor;

#endif
