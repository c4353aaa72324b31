/* Packed weights; see ../include/bl_unpack.h and ../SPEC.md. */

#include "bl_unpack.h"

enum { PLAIN, LOW_BIT, ENTROPY, CODEBOOK, MAGNITUDE, SPARSE_BLOCKS, SPARSE };
enum { LAST, FIRST, SIGNS }; /* sections */

#define SLACK_BYTES 32
#define LONGEST 15
#define MAX_SYMBOLS 64
#define MAX_EXTRA 24
#define FIRST_LENGTH 5
#define MAX_ENTRIES (UINT32_C(1) << 16)

/* Bits */

static uint32_t count_left(const bl_unpack_bits *bits)
{
    return bits->end - bits->at;
}

/* The next `count` bits, 1 to 24, zeros behind the last byte. */
static uint32_t peek(const bl_unpack *u, const bl_unpack_bits *bits,
                     uint32_t count)
{
    uint32_t byte = bits->at >> 3, word = 0, i;

    for (i = 0; i < 4; i++, byte++)
        word = word << 8 | (byte < u->size ? u->data[byte] : 0u);
    return (word << (bits->at & 7)) >> (32 - count);
}

/* Takes up to 31 bits into *value. */
static int take(const bl_unpack *u, bl_unpack_bits *bits, uint32_t count,
                uint32_t *value)
{
    uint32_t found = 0;

    if (count > count_left(bits))
        return BL_ERROR_BITS_END;
    while (count > 0) {
        uint32_t step = count < 16 ? count : 16;

        found = found << step | peek(u, bits, step);
        bits->at += step;
        count -= step;
    }
    *value = found;
    return BL_OK;
}

/* Number codes */

static int read_length(bl_unpack *u, uint32_t *length)
{
    bl_unpack_bits *bits = &u->bits[LAST];
    uint32_t more = 0, bit = 1;

    /* 0 as before, 10 one more, 110 one less, 111 and four bits */
    while (more < 3 && bit != 0) {
        if (take(u, bits, 1, &bit) != BL_OK)
            return BL_ERROR_BITS_END;
        more += bit;
    }
    if (more == 3)
        return take(u, bits, 4, length);
    if (more == 1)
        ++*length;
    else if (more == 2)
        --*length; /* wraps below 0, and is then too large */
    return *length <= LONGEST ? BL_OK : BL_ERROR_CODE;
}

/* Bits of a number beside its symbol. */
static uint32_t count_extra_bits(uint32_t symbol, uint32_t mantissa)
{
    return symbol >> mantissa > 1 ? (symbol >> mantissa) - 1 : 0;
}

/* The smallest number that a symbol stands for. */
static uint32_t compute_base(uint32_t symbol, uint32_t mantissa)
{
    uint32_t one = UINT32_C(1) << mantissa, extra;

    extra = count_extra_bits(symbol, mantissa);
    return extra ? ((symbol & (one - 1)) | one) << extra : symbol;
}

static int read_symbols(bl_unpack *u, bl_unpack_code *code, uint32_t symbols)
{
    uint8_t lengths[MAX_SYMBOLS];
    uint32_t length = FIRST_LENGTH, room = 0, s, used = 0;

    for (s = 0; s < symbols; s++) {
        int rc = read_length(u, &length);

        if (rc != BL_OK)
            return rc;
        lengths[s] = (uint8_t)length;
        if (length > 0) {
            code->counts[length]++;
            room += UINT32_C(1) << (LONGEST - length);
        }
    }
    if (room == 0) { /* the last symbol every time */
        code->base = compute_base(symbols - 1, code->mantissa);
        code->width = (uint8_t)count_extra_bits(symbols - 1, code->mantissa);
        return BL_OK;
    }
    if (room != UINT32_C(1) << LONGEST)
        return BL_ERROR_CODE;
    for (length = 1; length <= LONGEST; length++)
        for (s = 0; s < symbols; s++)
            if (lengths[s] == length)
                code->symbols[used++] = (uint8_t)s;
    code->used = (uint8_t)used;
    return BL_OK;
}

static int read_code(bl_unpack *u, bl_unpack_code *code)
{
    bl_unpack_bits *bits = &u->bits[LAST];
    uint32_t huffman, head, i;

    code->base = 0;
    code->used = 0;
    for (i = 0; i <= LONGEST; i++)
        code->counts[i] = 0;
    if (take(u, bits, 1, &huffman) != BL_OK ||
        take(u, bits, huffman ? 8 : 5, &head) != BL_OK)
        return BL_ERROR_BITS_END;
    code->width = (uint8_t)head;
    if (!huffman)
        return head <= MAX_EXTRA ? BL_OK : BL_ERROR_CODE;
    code->mantissa = (uint8_t)(head >> 6);
    head = (head & 63) + 1;
    if (head > (uint32_t)(MAX_EXTRA + 2) << code->mantissa)
        return BL_ERROR_CODE;
    return read_symbols(u, code, head);
}

static int read_symbol(const bl_unpack *u, bl_unpack_bits *bits,
                       const bl_unpack_code *code, uint32_t *symbol)
{
    uint32_t window = peek(u, bits, LONGEST);
    uint32_t first = 0, index = 0, length, word;

    for (length = 1; length <= LONGEST; length++) {
        uint32_t count = code->counts[length];

        word = window >> (LONGEST - length);
        if (word - first < count)
            break;
        index += count;
        first = (first + count) << 1;
    }
    if (length > count_left(bits))
        return BL_ERROR_BITS_END;
    bits->at += length;
    *symbol = code->symbols[index + word - first];
    return BL_OK;
}

/* Reads a number of a section into *value, `largest` at most. */
static int read_number(const bl_unpack *u, bl_unpack_bits *bits,
                       const bl_unpack_code *code, uint32_t largest,
                       uint32_t *value)
{
    uint32_t base = code->base, extra = code->width, symbol, low;

    if (code->used > 0) {
        if (read_symbol(u, bits, code, &symbol) != BL_OK)
            return BL_ERROR_BITS_END;
        base = compute_base(symbol, code->mantissa);
        extra = count_extra_bits(symbol, code->mantissa);
    }
    if (take(u, bits, extra, &low) != BL_OK)
        return BL_ERROR_BITS_END;
    *value = base + low;
    return *value <= largest ? BL_OK : BL_ERROR_VALUE;
}

/* 0, 1, 2, 3, ... as 0, -1, 1, -2, ... */
static int8_t decode_zigzag(uint32_t zigzag)
{
    int32_t half = (int32_t)(zigzag >> 1);

    return (int8_t)((zigzag & 1) != 0 ? -half - 1 : half);
}

/* A weight of the last section; zigzag numbers from `lowest` on. */
static int read_weight(bl_unpack *u, uint32_t lowest, int8_t *value)
{
    uint32_t found;
    int rc = read_number(u, &u->bits[LAST], &u->code[LAST], 255 - lowest,
                         &found);

    if (rc == BL_OK)
        *value = decode_zigzag(found + lowest);
    return rc;
}

/* Header */

static int read_leb128(bl_unpack *u, uint32_t *at, uint32_t *value)
{
    uint32_t shift;

    *value = 0;
    for (shift = 0; shift < 28; shift += 7) {
        uint32_t byte;

        if (*at >= u->size)
            return BL_ERROR_HEADER;
        byte = u->data[(*at)++];
        *value |= (byte & 127) << shift;
        if (byte < 128)
            return byte == 0 ? BL_ERROR_HEADER : BL_OK;
    }
    return BL_ERROR_HEADER;
}

static int has_blocks(const bl_unpack *u)
{
    return u->coding == MAGNITUDE || u->coding == SPARSE_BLOCKS;
}

static int read_shape(bl_unpack *u, uint32_t *at)
{
    uint32_t *part[6];
    uint32_t i, size, last = 3;

    part[0] = &u->outputs;
    part[1] = &u->taps;
    part[2] = &u->inputs;
    part[3] = &u->block_taps;
    part[4] = &u->block_inputs;
    part[5] = &u->entries;
    if (has_blocks(u))
        last = 5;
    else if (u->coding == CODEBOOK)
        last = 6;
    for (i = 0; i < last; i++)
        if (read_leb128(u, at, part[i]) != BL_OK)
            return BL_ERROR_HEADER;
    if (last > 3 &&
        (u->block_taps > u->taps || u->block_inputs > u->inputs))
        return BL_ERROR_HEADER;
    size = BL_UNPACK_MAX_WEIGHTS;
    for (i = 0; i < 3; i++)
        size /= *part[i];
    if (size == 0)
        return BL_ERROR_HEADER;
    size = u->outputs * u->taps * u->inputs;
    return u->size <= size + SLACK_BYTES ? BL_OK : BL_ERROR_HEADER;
}

static int read_book(bl_unpack *u)
{
    bl_unpack_bits *bits = &u->bits[LAST];
    uint32_t length = u->block_taps * u->block_inputs, width;
    int rc;

    if (u->taps % u->block_taps != 0 || u->inputs % u->block_inputs != 0 ||
        u->entries > MAX_ENTRIES ||
        u->entries > u->outputs * u->taps * u->inputs / length)
        return BL_ERROR_HEADER;
    rc = take(u, bits, 5, &width);
    if (rc == BL_OK)
        rc = read_code(u, &u->code[LAST]);
    if (rc != BL_OK)
        return rc;
    if (width > 8)
        return BL_ERROR_CODE;
    if (width > 0 && u->entries * length > count_left(bits) / width)
        return BL_ERROR_BITS_END;
    u->book = bits->at;
    u->book_width = (uint8_t)width;
    bits->at += u->entries * length * width;
    return BL_OK;
}

/* Two codes, the lengths of the sections before the last, those sections. */
static int read_sections(bl_unpack *u, uint32_t sections)
{
    bl_unpack_bits *bits = &u->bits[LAST], *section = &u->bits[FIRST];
    uint32_t i, width;
    int rc = read_code(u, &u->code[FIRST]);

    if (rc == BL_OK)
        rc = read_code(u, &u->code[LAST]);
    for (i = 0; rc == BL_OK && i < sections; i++) {
        rc = take(u, bits, 5, &width);
        if (rc == BL_OK) /* ends hold lengths until all are known */
            rc = take(u, bits, width, &section[i].end);
    }
    for (i = 0; rc == BL_OK && i < sections; i++) {
        if (section[i].end > count_left(bits))
            return BL_ERROR_BITS_END;
        section[i].at = bits->at;
        bits->at += section[i].end;
        section[i].end = bits->at;
    }
    return rc;
}

int bl_unpack_open(bl_unpack *u, const uint8_t *data, uint32_t size)
{
    uint32_t at = 1, i;

    if (size == 0 || data[0] >> 4 != BL_PACKED_VERSION)
        return BL_ERROR_FORMAT;
    u->coding = data[0] & 15;
    if (u->coding > SPARSE)
        return BL_ERROR_CODING;
    u->data = data;
    u->size = size;
    u->row = u->run = u->in_run = 0;
    if (read_shape(u, &at) != BL_OK)
        return BL_ERROR_HEADER;
    for (i = LAST; i <= SIGNS; i++)
        u->bits[i].at = u->bits[i].end = 0;
    u->bits[LAST].at = 8 * at;
    u->bits[LAST].end = 8 * size;
    switch (u->coding) {
    case PLAIN:
        return BL_OK;
    case CODEBOOK:
        return read_book(u);
    case MAGNITUDE:
    case SPARSE_BLOCKS:
        return read_sections(u, 2);
    case SPARSE:
        return read_sections(u, 1);
    default:
        return read_code(u, &u->code[LAST]);
    }
}

/* Rows, by coding */

static int read_plain_row(bl_unpack *u, int8_t *row, uint32_t size)
{
    uint32_t byte = u->bits[LAST].at >> 3, i;

    if (size > u->size - byte)
        return BL_ERROR_BITS_END;
    for (i = 0; i < size; i++) {
        int32_t value = u->data[byte + i];

        row[i] = (int8_t)(value < 128 ? value : value - 256);
    }
    u->bits[LAST].at += 8 * size;
    return BL_OK;
}

static int read_number_row(bl_unpack *u, int8_t *row, uint32_t size)
{
    uint32_t i;
    int rc = BL_OK;

    for (i = 0; rc == BL_OK && i < size; i++)
        rc = read_weight(u, 0, &row[i]);
    return rc;
}

static int read_segment(bl_unpack *u, int8_t *first)
{
    bl_unpack_bits entry;
    uint32_t length = u->block_taps * u->block_inputs, index, t, i, value = 0;
    int rc = read_number(u, &u->bits[LAST], &u->code[LAST], u->entries - 1,
                         &index);

    if (rc != BL_OK)
        return rc;
    entry.at = u->book + index * length * u->book_width;
    entry.end = entry.at + length * u->book_width;
    for (t = 0; t < u->block_taps; t++)
        for (i = 0; i < u->block_inputs; i++) {
            (void)take(u, &entry, u->book_width, &value);
            first[t * u->inputs + i] = decode_zigzag(value);
        }
    return BL_OK;
}

static int read_block(bl_unpack *u, int8_t *row, uint32_t tap, uint32_t input)
{
    uint32_t taps = u->taps - tap, inputs = u->inputs - input;
    uint32_t kind, t, i, sign;
    int rc = read_number(u, &u->bits[FIRST], &u->code[FIRST], 128, &kind);

    taps = taps < u->block_taps ? taps : u->block_taps;
    inputs = inputs < u->block_inputs ? inputs : u->block_inputs;
    for (t = tap; t < tap + taps; t++)
        for (i = input; rc == BL_OK && i < input + inputs; i++) {
            int8_t *value = &row[t * u->inputs + i];

            sign = 0;
            if (kind == 0)
                rc = read_weight(u, 0, value);
            else if (kind > 1)
                rc = take(u, &u->bits[SIGNS], 1, &sign);
            if (kind > 0)
                *value = (int8_t)(sign != 0 ? 1 - (int32_t)kind
                                            : (int32_t)kind - 1);
        }
    return rc;
}

static int read_block_row(bl_unpack *u, int8_t *row)
{
    uint32_t t, i;
    int rc = BL_OK;

    for (t = 0; t < u->taps; t += u->block_taps)
        for (i = 0; rc == BL_OK && i < u->inputs; i += u->block_inputs)
            rc = u->coding == CODEBOOK
                     ? read_segment(u, &row[t * u->inputs + i])
                     : read_block(u, row, t, i);
    return rc;
}

static int read_sparse_row(bl_unpack *u, int8_t *row, uint32_t size)
{
    uint32_t i;
    int rc = BL_OK;

    for (i = 0; rc == BL_OK && i < size; i++) {
        uint32_t rest = (u->outputs - u->row) * size - i;

        if (!u->in_run)
            rc = read_number(u, &u->bits[FIRST], &u->code[FIRST], rest,
                             &u->run);
        u->in_run = u->run > 0;
        row[i] = 0;
        if (u->in_run)
            u->run--;
        else if (rc == BL_OK)
            rc = read_weight(u, 1, &row[i]);
    }
    return rc;
}

/* All sections are at their ends; of the last byte zeros may be left. */
static int check_end(bl_unpack *u)
{
    bl_unpack_bits *last = &u->bits[LAST];
    uint32_t rest = count_left(last);

    if (count_left(&u->bits[FIRST]) > 0 || count_left(&u->bits[SIGNS]) > 0 ||
        rest > 7)
        return BL_ERROR_BITS_LEFT;
    return rest > 0 && peek(u, last, rest) > 0 ? BL_ERROR_BITS_LEFT : BL_OK;
}

int bl_unpack_row(bl_unpack *u, int8_t *row, uint32_t room)
{
    uint32_t size = u->taps * u->inputs;
    int rc;

    if (u->row >= u->outputs)
        return BL_ERROR_NO_ROW;
    if (room < size)
        return BL_ERROR_MEMORY;
    if (u->coding == PLAIN)
        rc = read_plain_row(u, row, size);
    else if (u->coding == SPARSE)
        rc = read_sparse_row(u, row, size);
    else if (u->coding == CODEBOOK || has_blocks(u))
        rc = read_block_row(u, row);
    else
        rc = read_number_row(u, row, size);
    if (rc == BL_OK && ++u->row == u->outputs)
        rc = check_end(u);
    return rc;
}
