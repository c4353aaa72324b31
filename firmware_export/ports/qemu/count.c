/*
 * QEMU plugin: counts executed instructions, exactly, and says so at the end,
 * in all and, with `profile`, of each block of code by its address.
 * Declares what it uses of QEMU's plugin interface (version 1), since
 * distributions ship no header for it.
 *
 *     cc -shared -fPIC count.c -o libcount.so
 *     qemu-system-arm ... -plugin ./libcount.so[,profile=on] -d plugin
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t plugin_id;
struct plugin_tb;
struct plugin_info;

enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(
    plugin_id id, void (*callback)(plugin_id id, struct plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline(struct plugin_tb *tb,
                                              int operation, void *at,
                                              uint64_t value);
void qemu_plugin_register_atexit_cb(plugin_id id,
                                    void (*callback)(plugin_id id, void *data),
                                    void *data);
size_t qemu_plugin_tb_n_insns(const struct plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct plugin_tb *tb);
void qemu_plugin_outs(const char *text);

int qemu_plugin_version = 1;

/* A block of code; a changed one is translated, and listed, anew. */
typedef struct block {
    uint64_t address;
    uint64_t executed;
    struct block *next;
} block;

static uint64_t executed;
static block *blocks;
static int profile;

static void count_block(plugin_id id, struct plugin_tb *tb)
{
    size_t size = qemu_plugin_tb_n_insns(tb);
    block *b;

    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &executed, size);
    if (!profile)
        return;
    b = calloc(1, sizeof *b);
    if (b == NULL)
        abort();
    b->address = qemu_plugin_tb_vaddr(tb);
    b->next = blocks;
    blocks = b;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &b->executed,
                                             size);
}

static void say(plugin_id id, void *data)
{
    char text[64];
    const block *b;

    (void)id;
    (void)data;
    for (b = blocks; b != NULL; b = b->next) {
        snprintf(text, sizeof text, "block %" PRIx64 " %" PRIu64 "\n",
                 b->address, b->executed);
        qemu_plugin_outs(text);
    }
    snprintf(text, sizeof text, "instructions %" PRIu64 "\n", executed);
    qemu_plugin_outs(text);
}

int qemu_plugin_install(plugin_id id, const struct plugin_info *info, int count,
                        char **arguments)
{
    (void)info;
    (void)arguments;
    profile = count > 0;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_atexit_cb(id, say, NULL);
    return 0;
}
