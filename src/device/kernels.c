#include "device/kernels.h"

#include <pthread.h>
#include <stdlib.h>

#ifdef __x86_64__
#include "device/cpu/x86/x86.h"
#endif

static const char *const names[ISA_COUNT] = {"reference", "avx2", "avx512", "avx512bf16", "amx"};
static const char *const order_names[ORDER_COUNT] = {"pairs", "tiles"};

const char *isa_name(enum isa isa)
{
    return names[isa];
}

enum isa isa_from_name(const char *name)
{
    for (int isa = 0; isa < ISA_COUNT; isa++)
        if (strcmp(name, names[isa]) == 0)
            return (enum isa)isa;
    return ISA_COUNT;
}

const char *product_order_name(enum product_order order)
{
    return order_names[order];
}

enum product_order product_order_from_name(const char *name)
{
    for (int order = 0; order < ORDER_COUNT; order++)
        if (strcmp(name, order_names[order]) == 0)
            return (enum product_order)order;
    return ORDER_COUNT;
}

enum product_order product_order_fastest(enum isa level, enum compute_type compute)
{
    return level >= ISA_AMX && compute == COMPUTE_BF16 ? ORDER_TILES : ORDER_PAIRS;
}

// Filled once; read-only afterwards.
static enum isa machine;
static struct kernels tables[ISA_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    static void (*const fill[ISA_COUNT])(struct kernels *) = {
        [ISA_REFERENCE] = kernels_reference,
#ifdef __x86_64__
        [ISA_AVX2] = kernels_avx2,
        [ISA_AVX512] = kernels_avx512,
        [ISA_AVX512BF16] = kernels_avx512bf16,
        [ISA_AMX] = kernels_amx,
#endif
    };
#ifdef __x86_64__
    machine = x86_isa();
#endif
    struct kernels table = {0};
    for (int isa = 0; isa <= (int)machine; isa++) {
        fill[isa](&table);
        tables[isa] = table;
    }
}

enum isa isa_of_machine(void)
{
    pthread_once(&once, fill_tables);
    return machine;
}

const struct kernels *kernels_for(enum isa isa)
{
    enum isa most = isa_of_machine();
    return &tables[isa < most ? isa : most];
}

enum status kernels_choose(const struct kernels **out)
{
    const char *cap = getenv("COLROW_ISA");
    enum isa isa = isa_of_machine();
    if (cap && *cap) {
        isa = isa_from_name(cap);
        if (isa == ISA_COUNT)
            return fail(ERR_INPUT,
                        "COLROW_ISA=%.40s is not an instruction set: use reference, avx2, avx512, "
                        "avx512bf16 "
                        "or amx",
                        cap);
    }
    *out = kernels_for(isa);
    return OK;
}
