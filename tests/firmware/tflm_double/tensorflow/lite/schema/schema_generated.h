/* A test double; see ../c/common.h. */
#ifndef DOUBLE_SCHEMA_GENERATED_H
#define DOUBLE_SCHEMA_GENERATED_H

#include <stdint.h>
#include <string.h>

namespace tflite {

class Model
{
public:
    /* 3, as every .tflite file; 0 for what is none. */
    uint32_t version() const
    {
        const char *bytes = reinterpret_cast<const char *>(this);

        return memcmp(bytes + 4, "TFL3", 4) == 0 ? 3 : 0;
    }
};

inline const Model *GetModel(const void *data)
{
    return static_cast<const Model *>(data);
}

} // namespace tflite

#endif
