/* A test double; see ../c/common.h. As in the real one, `delete` is private. */
#ifndef DOUBLE_MICRO_MUTABLE_OP_RESOLVER_H
#define DOUBLE_MICRO_MUTABLE_OP_RESOLVER_H

#include <string.h>

#include "tensorflow/lite/c/common.h"

#define TF_LITE_REMOVE_VIRTUAL_DELETE                                          \
    void operator delete(void *) {}

namespace tflite {

class MicroOpResolver
{
public:
    virtual bool has(const char *name) const = 0;
    virtual unsigned int count() const = 0;
    virtual ~MicroOpResolver() {}

private:
    TF_LITE_REMOVE_VIRTUAL_DELETE
};

template <unsigned int room>
class MicroMutableOpResolver : public MicroOpResolver
{
public:
    explicit MicroMutableOpResolver() {}

    TfLiteStatus AddAdd() { return add("ADD"); }
    TfLiteStatus AddConv2D() { return add("CONV_2D"); }
    TfLiteStatus AddDepthwiseConv2D() { return add("DEPTHWISE_CONV_2D"); }
    TfLiteStatus AddGather() { return add("GATHER"); }
    TfLiteStatus AddMean() { return add("MEAN"); }
    TfLiteStatus AddSlice() { return add("SLICE"); }

    bool has(const char *name) const override
    {
        for (unsigned int i = 0; i < count_; i++)
            if (strcmp(names_[i], name) == 0)
                return true;
        return false;
    }

    unsigned int count() const override { return count_; }

private:
    TF_LITE_REMOVE_VIRTUAL_DELETE

    TfLiteStatus add(const char *name)
    {
        if (count_ >= room || has(name))
            return kTfLiteError;
        names_[count_++] = name;
        return kTfLiteOk;
    }

    const char *names_[room];
    unsigned int count_ = 0;
};

} // namespace tflite

#endif
