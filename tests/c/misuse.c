/* Calls every function with every kind of wrong argument. Each call must return its error and change nothing. After all
   of them, a good call classifies the image of the file images.bin, and writes its logits to logits.bin.

   With -DMODEL_FITS_IN_RAM, there is memory for a copy of the model, which is damaged in many places. */

#include "board.h"
#include "vit_nano.h"

enum {
    CLASSES = VIT_NANO_CLASSES,
    IMAGE_BYTES = VIT_NANO_IMAGE_BYTES,
    SUMS = VIT_NANO_SUMS,
    MODEL_BYTES = VIT_NANO_MODEL_BYTES,
    // What every buffer has in addition, for lengths and addresses that are wrong.
    SPARE = 16,
};

// All errors and their names.
static const struct {
    vit_error error;
    const char *name;
} names[] = {
    {VIT_OK, "ok"},
    {VIT_ERROR_NULL, "null pointer"},
    {VIT_ERROR_MISALIGNED, "misaligned pointer"},
    {VIT_ERROR_ADDRESS, "buffer beyond the address space"},
    {VIT_ERROR_OVERLAP, "overlapping buffers"},
    {VIT_ERROR_NETWORK, "not a network"},
    {VIT_ERROR_NOT_OPEN, "model not open"},
    {VIT_ERROR_IMAGE_SIZE, "wrong image size"},
    {VIT_ERROR_SCRATCH_SIZE, "scratch memory too small"},
    {VIT_ERROR_CLASSES, "wrong number of classes"},
    {VIT_ERROR_NO_CLASS, "no such class"},
    {VIT_ERROR_TOO_SHORT, "model file too short"},
    {VIT_ERROR_NO_MODEL, "not a model file"},
    {VIT_ERROR_FORMAT_VERSION, "unknown format version"},
    {VIT_ERROR_KIND, "not an integer model"},
    {VIT_ERROR_UNSUPPORTED, "unsupported feature of a model"},
    {VIT_ERROR_SHAPE, "model of another network"},
    {VIT_ERROR_FILE_LENGTH, "wrong length of the model file"},
    {VIT_ERROR_CHECKSUM, "wrong checksum of the model file"},
    {VIT_ERROR_CONTENT, "wrong content of the model file"},
    {VIT_ERROR_NOT_BEGUN, "resizer not begun"},
    {VIT_ERROR_PIXEL_FORMAT, "unknown pixel format"},
    {VIT_ERROR_FRAME_SIZE, "impossible frame size"},
    {VIT_ERROR_ODD_WIDTH, "odd frame width"},
    {VIT_ERROR_SUMS, "wrong number of sums"},
    {VIT_ERROR_LINE_LENGTH, "wrong line length"},
    {VIT_ERROR_TOO_MANY_LINES, "too many lines"},
    {VIT_ERROR_MISSING_LINES, "missing lines"},
};

static uint32_t cases;
static uint32_t failures;

static bool equal(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        ++a;
        ++b;
    }
    return *a == *b;
}

// Counts a case, and prints it if it failed.
static void check(const char *what, bool passed, const char *result)
{
    ++cases;
    if (!passed) {
        ++failures;
        board_print(what);
        board_print(": ");
        board_print(result);
        board_print("\n");
    }
}

static void check_error(const char *what, vit_error expected, vit_error result)
{
    check(what, result == expected, vit_error_name(result));
}

// A call that must return this error.
#define EXPECT(expected, call) check_error(#call, expected, call)
// A condition that must hold.
#define EXPECT_THAT(condition) check(#condition, condition, "false")

static void check_names(void)
{
    size_t next = 0;
    for (int32_t error = -1; error < 100; ++error) {
        const bool is_known = next < sizeof names / sizeof names[0] && (int32_t)names[next].error == error;
        check("vit_error_name", equal(vit_error_name(error), is_known ? names[next].name : "unknown error"),
              vit_error_name(error));
        next += is_known ? 1 : 0;
    }
    EXPECT_THAT(next == sizeof names / sizeof names[0]);
    EXPECT_THAT(equal(vit_error_name(INT32_MIN), "unknown error"));
    EXPECT_THAT(vit_format_version() == VIT_FORMAT_VERSION);
    EXPECT_THAT(vit_version()[0] >= '0' && vit_version()[0] <= '9');
}

// Memory for everything, with room for wrong addresses. The unions align it.
static union {
    vit_model model;
    uint8_t bytes[sizeof(vit_model) + SPARE];
} model_memory, other_memory;
static union {
    vit_nano_scratch scratch;
    uint8_t bytes[sizeof(vit_nano_scratch) + SPARE];
} scratch_memory;
static union {
    int32_t logits[CLASSES + 1];
    uint8_t bytes[4 * CLASSES + SPARE];
} logits_memory;
static union {
    vit_resizer resizer;
    uint8_t bytes[sizeof(vit_resizer) + SPARE];
} resizer_memory;
static union {
    uint32_t sums[SUMS + 1];
    uint8_t bytes[4 * SUMS + SPARE];
} sums_memory;
static union {
    uint64_t align;
    uint8_t bytes[IMAGE_BYTES + SPARE];
} image_memory;
static union {
    vit_prediction best[CLASSES + 2];
    float probabilities[CLASSES];
    vit_sizes sizes;
    const char *label;
    uint8_t bytes[sizeof(vit_prediction) * (CLASSES + 2)];
} result_memory;
static union {
    size_t number;
    uint8_t bytes[sizeof(size_t) + SPARE];
} length_memory;

static vit_model *const model = &model_memory.model;
static vit_nano_scratch *const scratch = &scratch_memory.scratch;
static int32_t *const logits = logits_memory.logits;
static uint8_t *const image = image_memory.bytes;
static vit_resizer *const resizer = &resizer_memory.resizer;
static uint32_t *const sums = sums_memory.sums;
static float *const probabilities = result_memory.probabilities;
static vit_prediction *const best = result_memory.best;

// 16 bytes before the end of the address space.
#define NEAR_THE_END ((const uint8_t *)(UINTPTR_MAX - 15))

// An address in the model file, which is refused before anything is written there.
#define IN_THE_FILE ((void *)(uintptr_t)(vit_nano_model + 64))

// Returns the address this many bytes after another, for any kind of pointer.
static void *after(void *memory, size_t bytes)
{
    return (uint8_t *)memory + bytes;
}

static void open_with_wrong_arguments(void)
{
    static const uint64_t zeros[32] = {0};
    const vit_network *const no_network = (const vit_network *)(const void *)zeros;
    const vit_network *const misaligned = (const vit_network *)(const void *)((const uint8_t *)zeros + 2);
    const uint8_t *const file = vit_nano_model;

    size_t *const file_bytes = &length_memory.number;
    EXPECT(VIT_ERROR_NULL, vit_file_bytes(NULL, MODEL_BYTES, file_bytes));
    EXPECT(VIT_ERROR_NULL, vit_file_bytes(file, MODEL_BYTES, NULL));
    EXPECT(VIT_ERROR_MISALIGNED, vit_file_bytes(file, MODEL_BYTES, (size_t *)after(file_bytes, 1)));
    EXPECT(VIT_ERROR_OVERLAP, vit_file_bytes(file, MODEL_BYTES, (size_t *)IN_THE_FILE));
    EXPECT(VIT_ERROR_ADDRESS, vit_file_bytes(NEAR_THE_END, 17, file_bytes));
    EXPECT(VIT_ERROR_TOO_SHORT, vit_file_bytes(file, 20, file_bytes));
    EXPECT(VIT_ERROR_FILE_LENGTH, vit_file_bytes(file, MODEL_BYTES - 1, file_bytes));
    EXPECT(VIT_ERROR_NO_MODEL, vit_file_bytes((const uint8_t *)zeros, sizeof zeros, file_bytes));
    EXPECT(VIT_OK, vit_file_bytes(file, MODEL_BYTES, file_bytes));
    EXPECT_THAT(*file_bytes == MODEL_BYTES);

    EXPECT(VIT_ERROR_NULL, vit_open(NULL, &vit_nano, file, MODEL_BYTES));
    EXPECT(VIT_ERROR_NULL, vit_open(model, NULL, file, MODEL_BYTES));
    EXPECT(VIT_ERROR_NULL, vit_open(model, &vit_nano, NULL, MODEL_BYTES));
    EXPECT(VIT_ERROR_MISALIGNED, vit_open((vit_model *)after(model, 1), &vit_nano, file, MODEL_BYTES));
    EXPECT(VIT_ERROR_MISALIGNED, vit_open((vit_model *)after(model, 4), &vit_nano, file, MODEL_BYTES));
    EXPECT(VIT_ERROR_MISALIGNED, vit_open(model, misaligned, file, MODEL_BYTES));
    EXPECT(VIT_ERROR_MISALIGNED, vit_open(model, &vit_nano, file + 1, MODEL_BYTES - 1));
    EXPECT(VIT_ERROR_MISALIGNED, vit_open(model, &vit_nano, file + 8, MODEL_BYTES - 8));
    EXPECT(VIT_ERROR_ADDRESS, vit_open(model, &vit_nano, file, SIZE_MAX));
    EXPECT(VIT_ERROR_ADDRESS, vit_open(model, &vit_nano, NEAR_THE_END, 17));
    EXPECT(VIT_ERROR_NETWORK, vit_open(model, no_network, file, MODEL_BYTES));
    EXPECT(VIT_ERROR_TOO_SHORT, vit_open(model, &vit_nano, file, 0));
    EXPECT(VIT_ERROR_TOO_SHORT, vit_open(model, &vit_nano, file, 8));
    EXPECT(VIT_ERROR_FILE_LENGTH, vit_open(model, &vit_nano, file, MODEL_BYTES - 1));
    EXPECT(VIT_ERROR_FILE_LENGTH, vit_open(model, &vit_nano, file, MODEL_BYTES / 2));

    EXPECT(VIT_ERROR_NULL, vit_network_sizes(NULL, &result_memory.sizes));
    EXPECT(VIT_ERROR_NULL, vit_network_sizes(&vit_nano, NULL));
    EXPECT(VIT_ERROR_NETWORK, vit_network_sizes(no_network, &result_memory.sizes));
    EXPECT(VIT_ERROR_MISALIGNED, vit_network_sizes(misaligned, &result_memory.sizes));
    EXPECT(VIT_ERROR_OVERLAP, vit_network_sizes(&vit_nano, (vit_sizes *)(uintptr_t)&vit_nano));
    EXPECT(VIT_ERROR_MISALIGNED, vit_network_sizes(&vit_nano, (vit_sizes *)after(&result_memory, 1)));
    EXPECT(VIT_OK, vit_network_sizes(&vit_nano, &result_memory.sizes));
    EXPECT_THAT(result_memory.sizes.height == VIT_NANO_HEIGHT);
    EXPECT_THAT(result_memory.sizes.width == VIT_NANO_WIDTH);
    EXPECT_THAT(result_memory.sizes.channels == VIT_NANO_CHANNELS);
    EXPECT_THAT(result_memory.sizes.classes == CLASSES);
    EXPECT_THAT(result_memory.sizes.image_bytes == IMAGE_BYTES);
    EXPECT_THAT(result_memory.sizes.scratch_bytes == VIT_NANO_SCRATCH_BYTES);
    EXPECT_THAT(result_memory.sizes.sums == SUMS);
}

// Opens damaged beginnings of the model file. They are refused before the rest of the file would be read.
static void open_damaged_headers(void)
{
    static union {
        uint64_t align;
        uint8_t bytes[256 + 16];
    } memory;
    // A model file must begin at a multiple of 16.
    uint8_t *const header = memory.bytes + (16 - (uintptr_t)memory.bytes % 16) % 16;
    for (size_t byte = 0; byte < 256; ++byte) {
        header[byte] = vit_nano_model[byte];
    }
    static const struct {
        const char *what;
        size_t offset;
        uint8_t value;
        vit_error error;
    } damages[] = {
        {"a wrong magic number", 0, 'v', VIT_ERROR_NO_MODEL},
        {"format version 1", 4, 1, VIT_ERROR_FORMAT_VERSION},
        {"format version 3", 4, 3, VIT_ERROR_FORMAT_VERSION},
        {"a kind that does not fit the number of bits of a weight", 6, 0, VIT_ERROR_UNSUPPORTED},
        {"a model of an unknown kind", 6, 9, VIT_ERROR_KIND},
        {"a model of images with another height", 8, 21, VIT_ERROR_SHAPE},
        {"a model of images without height", 8, 0, VIT_ERROR_SHAPE},
        {"no damage, but no weights", 0, 'V', VIT_ERROR_FILE_LENGTH},
    };
    for (size_t index = 0; index < sizeof damages / sizeof damages[0]; ++index) {
        const size_t offset = damages[index].offset;
        const uint8_t original = header[offset];
        header[offset] = damages[index].value;
        check_error(damages[index].what, damages[index].error, vit_open(model, &vit_nano, header, 256));
        header[offset] = original;
    }
    header[6] = 0;
    header[32] = 32;
    check_error("a float model", VIT_ERROR_KIND, vit_open(model, &vit_nano, header, 256));
    EXPECT(VIT_ERROR_OVERLAP, vit_open((vit_model *)(void *)header, &vit_nano, header, 256));
    EXPECT_THAT(header[0] == 'V');
}

#ifdef MODEL_FITS_IN_RAM
static void open_damaged_models(void)
{
    static union {
        uint64_t align;
        uint8_t bytes[MODEL_BYTES + 1 + 16];
    } memory;
    uint8_t *const file = memory.bytes + (16 - (uintptr_t)memory.bytes % 16) % 16;
    for (size_t byte = 0; byte < MODEL_BYTES; ++byte) {
        file[byte] = vit_nano_model[byte];
    }
    EXPECT(VIT_OK, vit_open(model, &vit_nano, file, MODEL_BYTES));
    EXPECT(VIT_ERROR_FILE_LENGTH, vit_open(model, &vit_nano, file, MODEL_BYTES + 1));
    file[MODEL_BYTES / 2] ^= 0x10;
    EXPECT(VIT_ERROR_CHECKSUM, vit_open(model, &vit_nano, file, MODEL_BYTES));
    file[MODEL_BYTES / 2] ^= 0x10;
    file[MODEL_BYTES - 1] ^= 1; // the checksum itself
    EXPECT(VIT_ERROR_CHECKSUM, vit_open(model, &vit_nano, file, MODEL_BYTES));
    file[MODEL_BYTES - 1] ^= 1;

    // One bit, in many places.
    for (size_t byte = 0; byte < MODEL_BYTES; byte += byte < 64 ? 1 : 4001) {
        const uint8_t original = file[byte];
        file[byte] = (uint8_t)(original ^ (1u << (byte % 8)));
        const vit_error error = vit_open(model, &vit_nano, file, MODEL_BYTES);
        check("a model with a wrong bit", error != VIT_OK, vit_error_name(error));
        EXPECT(VIT_ERROR_NOT_OPEN, vit_softmax(model, logits, probabilities, CLASSES));
        file[byte] = original;
    }
}
#endif

// A model that was not opened, or not successfully, is an error everywhere.
static void use_a_model_that_is_not_open(void)
{
    const char *label;
    size_t label_bytes;
    const vit_frame frame = {8, 8, VIT_GREY8};
    EXPECT(VIT_ERROR_NOT_OPEN, vit_infer(model, image, IMAGE_BYTES, scratch, sizeof *scratch, logits, CLASSES));
    EXPECT(VIT_ERROR_NOT_OPEN, vit_label(model, 0, &label, &label_bytes));
    EXPECT(VIT_ERROR_NOT_OPEN, vit_softmax(model, logits, probabilities, CLASSES));
    EXPECT(VIT_ERROR_NOT_OPEN, vit_top_k(model, logits, CLASSES, best, 3));
    EXPECT(VIT_ERROR_NOT_OPEN, vit_resizer_begin(resizer, model, frame, sums, SUMS, image, IMAGE_BYTES));
}

// Opening closes a model, also if it fails.
static void open_twice(void)
{
    EXPECT(VIT_OK, vit_open(model, &vit_nano, vit_nano_model, MODEL_BYTES));
    EXPECT(VIT_ERROR_NULL, vit_open(model, &vit_nano, NULL, MODEL_BYTES));
    use_a_model_that_is_not_open();
    EXPECT(VIT_OK, vit_open(model, &vit_nano, vit_nano_model, MODEL_BYTES));
    EXPECT(VIT_ERROR_NULL, vit_open(model, NULL, vit_nano_model, MODEL_BYTES));
    use_a_model_that_is_not_open();
    EXPECT(VIT_OK, vit_open(model, &vit_nano, vit_nano_model, MODEL_BYTES));
    EXPECT(VIT_ERROR_FILE_LENGTH, vit_open(model, &vit_nano, vit_nano_model, MODEL_BYTES - 1));
    use_a_model_that_is_not_open();
}

static vit_error infer(const uint8_t *pixels, void *memory, int32_t *numbers)
{
    return vit_infer(model, pixels, IMAGE_BYTES, memory, VIT_NANO_SCRATCH_BYTES, numbers, CLASSES);
}

static void infer_with_wrong_arguments(void)
{
    const size_t scratch_bytes = VIT_NANO_SCRATCH_BYTES;
    int32_t *const misaligned = (int32_t *)after(logits, 2);

    EXPECT(VIT_ERROR_NULL, vit_infer(NULL, image, IMAGE_BYTES, scratch, scratch_bytes, logits, CLASSES));
    EXPECT(VIT_ERROR_NULL, infer(NULL, scratch, logits));
    EXPECT(VIT_ERROR_NULL, infer(image, NULL, logits));
    EXPECT(VIT_ERROR_NULL, infer(image, scratch, NULL));

    EXPECT(VIT_ERROR_MISALIGNED, vit_infer((vit_model *)after(model, 4), image, IMAGE_BYTES, scratch,
                                           scratch_bytes, logits, CLASSES));
    EXPECT(VIT_ERROR_MISALIGNED, infer(image, after(scratch, 1), logits));
    EXPECT(VIT_ERROR_MISALIGNED, infer(image, after(scratch, 4), logits));
    EXPECT(VIT_ERROR_MISALIGNED, infer(image, scratch, misaligned));

    EXPECT(VIT_ERROR_ADDRESS, infer(NEAR_THE_END, scratch, logits));
    EXPECT(VIT_ERROR_ADDRESS, infer(image, (void *)(UINTPTR_MAX - 15), logits));
    EXPECT(VIT_ERROR_ADDRESS, infer(image, scratch, (int32_t *)(UINTPTR_MAX - 15)));
    EXPECT(VIT_ERROR_ADDRESS, vit_infer(model, image, SIZE_MAX, scratch, scratch_bytes, logits, CLASSES));
    EXPECT(VIT_ERROR_ADDRESS, vit_infer(model, image, IMAGE_BYTES, scratch, SIZE_MAX, logits, CLASSES));
    EXPECT(VIT_ERROR_ADDRESS, vit_infer(model, image, IMAGE_BYTES, scratch, scratch_bytes, logits, SIZE_MAX));
    EXPECT(VIT_ERROR_ADDRESS,
           vit_infer(model, image, IMAGE_BYTES, scratch, scratch_bytes, logits, SIZE_MAX / 4 + 2));

    EXPECT(VIT_ERROR_OVERLAP, infer(scratch_memory.bytes, scratch, logits));
    EXPECT(VIT_ERROR_OVERLAP, infer(scratch_memory.bytes + scratch_bytes - 1, scratch, logits));
    EXPECT(VIT_ERROR_OVERLAP, infer(image, scratch, (int32_t *)(void *)scratch));
    EXPECT(VIT_ERROR_OVERLAP, infer(image, scratch, (int32_t *)(void *)image));
    EXPECT(VIT_ERROR_OVERLAP, infer(image, scratch, (int32_t *)(void *)model));
    EXPECT(VIT_ERROR_OVERLAP, infer(image, model, logits));
    EXPECT(VIT_ERROR_OVERLAP, infer(image, IN_THE_FILE, logits));
    EXPECT(VIT_ERROR_OVERLAP, infer(image, scratch, (int32_t *)IN_THE_FILE));

    EXPECT(VIT_ERROR_IMAGE_SIZE,
           vit_infer(model, image, IMAGE_BYTES - 1, scratch, scratch_bytes, logits, CLASSES));
    EXPECT(VIT_ERROR_IMAGE_SIZE,
           vit_infer(model, image, IMAGE_BYTES + 1, scratch, scratch_bytes, logits, CLASSES));
    EXPECT(VIT_ERROR_IMAGE_SIZE, vit_infer(model, image, 0, scratch, scratch_bytes, logits, CLASSES));
    EXPECT(VIT_ERROR_SCRATCH_SIZE,
           vit_infer(model, image, IMAGE_BYTES, scratch, scratch_bytes - 1, logits, CLASSES));
    EXPECT(VIT_ERROR_SCRATCH_SIZE, vit_infer(model, image, IMAGE_BYTES, scratch, 0, logits, CLASSES));
    EXPECT(VIT_ERROR_CLASSES,
           vit_infer(model, image, IMAGE_BYTES, scratch, scratch_bytes, logits, CLASSES - 1));
    EXPECT(VIT_ERROR_CLASSES,
           vit_infer(model, image, IMAGE_BYTES, scratch, scratch_bytes, logits, CLASSES + 1));
    EXPECT(VIT_ERROR_CLASSES, vit_infer(model, image, IMAGE_BYTES, scratch, scratch_bytes, logits, 0));
}

static void label_and_rank_with_wrong_arguments(void)
{
    const char **const label = &result_memory.label;
    size_t *const label_bytes = &length_memory.number;

    EXPECT(VIT_ERROR_NULL, vit_label(NULL, 0, label, label_bytes));
    EXPECT(VIT_ERROR_NULL, vit_label(model, 0, NULL, label_bytes));
    EXPECT(VIT_ERROR_NULL, vit_label(model, 0, label, NULL));
    EXPECT(VIT_ERROR_MISALIGNED, vit_label(model, 0, (const char **)after(label, 1), label_bytes));
    EXPECT(VIT_ERROR_MISALIGNED, vit_label(model, 0, label, (size_t *)after(label_bytes, 2)));
    EXPECT(VIT_ERROR_OVERLAP, vit_label(model, 0, label, (size_t *)(void *)label));
    EXPECT(VIT_ERROR_OVERLAP, vit_label(model, 0, (const char **)(void *)model, label_bytes));
    EXPECT(VIT_ERROR_OVERLAP, vit_label(model, 0, label, (size_t *)(void *)model));
    EXPECT(VIT_ERROR_OVERLAP, vit_label(model, 0, (const char **)IN_THE_FILE, label_bytes));
    EXPECT(VIT_ERROR_NO_CLASS, vit_label(model, CLASSES, label, label_bytes));
    EXPECT(VIT_ERROR_NO_CLASS, vit_label(model, SIZE_MAX, label, label_bytes));

    EXPECT(VIT_ERROR_NULL, vit_softmax(NULL, logits, probabilities, CLASSES));
    EXPECT(VIT_ERROR_NULL, vit_softmax(model, NULL, probabilities, CLASSES));
    EXPECT(VIT_ERROR_NULL, vit_softmax(model, logits, NULL, CLASSES));
    EXPECT(VIT_ERROR_MISALIGNED, vit_softmax(model, (int32_t *)after(logits, 1), probabilities, CLASSES));
    EXPECT(VIT_ERROR_MISALIGNED, vit_softmax(model, logits, (float *)after(probabilities, 1), CLASSES));
    EXPECT(VIT_ERROR_OVERLAP, vit_softmax(model, logits, (float *)(void *)logits, CLASSES));
    EXPECT(VIT_ERROR_OVERLAP, vit_softmax(model, logits, (float *)(void *)model, CLASSES));
    EXPECT(VIT_ERROR_OVERLAP, vit_softmax(model, logits, (float *)IN_THE_FILE, CLASSES));
    EXPECT(VIT_ERROR_CLASSES, vit_softmax(model, logits, probabilities, CLASSES - 1));
    EXPECT(VIT_ERROR_CLASSES, vit_softmax(model, logits, probabilities, CLASSES + 1));

    EXPECT(VIT_ERROR_NULL, vit_top_k(NULL, logits, CLASSES, best, 3));
    EXPECT(VIT_ERROR_NULL, vit_top_k(model, NULL, CLASSES, best, 3));
    EXPECT(VIT_ERROR_NULL, vit_top_k(model, logits, CLASSES, NULL, 3));
    EXPECT(VIT_ERROR_MISALIGNED, vit_top_k(model, logits, CLASSES, (vit_prediction *)after(best, 2), 3));
    EXPECT(VIT_ERROR_ADDRESS, vit_top_k(model, logits, CLASSES, best, SIZE_MAX));
    EXPECT(VIT_ERROR_OVERLAP, vit_top_k(model, logits, CLASSES, (vit_prediction *)(void *)model, 3));
    EXPECT(VIT_ERROR_OVERLAP, vit_top_k(model, logits, CLASSES, (vit_prediction *)IN_THE_FILE, 3));
    EXPECT(VIT_ERROR_CLASSES, vit_top_k(model, logits, CLASSES + 1, best, 3));
    EXPECT(VIT_OK, vit_top_k(model, logits, CLASSES, best, 0));
    EXPECT(VIT_OK, vit_top_k(model, logits, CLASSES, best, CLASSES + 2));
    EXPECT_THAT(best[0].probability > 0.0f);
    EXPECT_THAT(best[CLASSES].class_index == 0 && best[CLASSES].probability <= 0.0f);
}

static vit_error begin(uint32_t width, uint32_t height, vit_pixel_format format)
{
    const vit_frame frame = {width, height, format};
    return vit_resizer_begin(resizer, model, frame, sums, SUMS, image, IMAGE_BYTES);
}

static void resize_with_wrong_arguments(void)
{
    static const uint8_t line[32] = {0};
    const vit_frame frame = {8, 2, VIT_GREY8};
    uint32_t *const misaligned = (uint32_t *)after(sums, 2);

    // Never begun.
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_row(resizer, line, 8));
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_end(resizer));

    EXPECT(VIT_ERROR_NULL, vit_resizer_begin(NULL, model, frame, sums, SUMS, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_NULL, vit_resizer_begin(resizer, NULL, frame, sums, SUMS, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_NULL, vit_resizer_begin(resizer, model, frame, NULL, SUMS, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_NULL, vit_resizer_begin(resizer, model, frame, sums, SUMS, NULL, IMAGE_BYTES));
    EXPECT(VIT_ERROR_MISALIGNED, vit_resizer_begin((vit_resizer *)after(resizer, 4), model, frame, sums, SUMS,
                                                   image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_MISALIGNED,
           vit_resizer_begin(resizer, model, frame, misaligned, SUMS, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_ADDRESS, vit_resizer_begin(resizer, model, frame, sums, SIZE_MAX, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_ADDRESS, vit_resizer_begin(resizer, model, frame, sums, SUMS, image, SIZE_MAX));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_begin(resizer, model, frame, (uint32_t *)(void *)image, SUMS, image,
                                                IMAGE_BYTES));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_begin(resizer, model, frame, (uint32_t *)(void *)resizer, SUMS, image,
                                                IMAGE_BYTES));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_begin((vit_resizer *)(void *)model, model, frame, sums, SUMS, image,
                                                IMAGE_BYTES));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_begin(resizer, model, frame, (uint32_t *)IN_THE_FILE, SUMS, image,
                                                IMAGE_BYTES));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_begin(resizer, model, frame, sums, SUMS, (uint8_t *)IN_THE_FILE,
                                                IMAGE_BYTES));
    EXPECT(VIT_ERROR_SUMS, vit_resizer_begin(resizer, model, frame, sums, SUMS - 1, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_SUMS, vit_resizer_begin(resizer, model, frame, sums, SUMS + 1, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_IMAGE_SIZE,
           vit_resizer_begin(resizer, model, frame, sums, SUMS, image, IMAGE_BYTES - 1));
    EXPECT(VIT_ERROR_IMAGE_SIZE,
           vit_resizer_begin(resizer, model, frame, sums, SUMS, image, IMAGE_BYTES + 1));
    EXPECT(VIT_ERROR_PIXEL_FORMAT, begin(8, 2, VIT_UYVY + 1));
    EXPECT(VIT_ERROR_PIXEL_FORMAT, begin(8, 2, UINT32_MAX));
    EXPECT(VIT_ERROR_FRAME_SIZE, begin(0, 2, VIT_GREY8));
    EXPECT(VIT_ERROR_FRAME_SIZE, begin(8, 0, VIT_GREY8));
    EXPECT(VIT_ERROR_FRAME_SIZE, begin(5000, 2, VIT_GREY8));
    EXPECT(VIT_ERROR_FRAME_SIZE, begin(8, 5000, VIT_GREY8));
    EXPECT(VIT_ERROR_FRAME_SIZE, begin(UINT32_MAX, UINT32_MAX, VIT_RGB888));
    EXPECT(VIT_ERROR_ODD_WIDTH, begin(7, 2, VIT_YUYV));
    EXPECT(VIT_ERROR_ODD_WIDTH, begin(7, 2, VIT_UYVY));
    // None of these has begun.
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_row(resizer, line, 8));

    EXPECT(VIT_OK, begin(8, 2, VIT_GREY8));
    EXPECT(VIT_ERROR_NULL, vit_resizer_row(NULL, line, 8));
    EXPECT(VIT_ERROR_NULL, vit_resizer_row(resizer, NULL, 8));
    EXPECT(VIT_ERROR_MISALIGNED, vit_resizer_row((vit_resizer *)after(resizer, 1), line, 8));
    EXPECT(VIT_ERROR_ADDRESS, vit_resizer_row(resizer, line, SIZE_MAX));
    EXPECT(VIT_ERROR_LINE_LENGTH, vit_resizer_row(resizer, line, 7));
    EXPECT(VIT_ERROR_LINE_LENGTH, vit_resizer_row(resizer, line, 9));
    EXPECT(VIT_ERROR_LINE_LENGTH, vit_resizer_row(resizer, line, 0));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_row(resizer, image, 8));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_row(resizer, (const uint8_t *)sums + 4 * SUMS - 1, 8));
    EXPECT(VIT_ERROR_OVERLAP, vit_resizer_row(resizer, (const uint8_t *)resizer, 8));
    // Lines that are refused do not count.
    EXPECT(VIT_OK, vit_resizer_row(resizer, line, 8));
    EXPECT(VIT_OK, vit_resizer_row(resizer, line, 8));
    EXPECT(VIT_ERROR_TOO_MANY_LINES, vit_resizer_row(resizer, line, 8));
    EXPECT(VIT_ERROR_NULL, vit_resizer_end(NULL));
    EXPECT(VIT_ERROR_MISALIGNED, vit_resizer_end((vit_resizer *)after(resizer, 2)));
    EXPECT(VIT_OK, vit_resizer_end(resizer));
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_end(resizer));
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_row(resizer, line, 8));

    EXPECT(VIT_OK, begin(8, 2, VIT_GREY8));
    EXPECT(VIT_OK, vit_resizer_row(resizer, line, 8));
    EXPECT(VIT_ERROR_MISSING_LINES, vit_resizer_end(resizer));
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_row(resizer, line, 8));

    // A frame that cannot begin ends the one before.
    EXPECT(VIT_OK, begin(8, 2, VIT_GREY8));
    EXPECT(VIT_ERROR_ODD_WIDTH, begin(7, 2, VIT_YUYV));
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_row(resizer, line, 8));
    EXPECT(VIT_OK, begin(8, 2, VIT_GREY8));
    EXPECT(VIT_ERROR_NULL, vit_resizer_begin(resizer, NULL, frame, sums, SUMS, image, IMAGE_BYTES));
    EXPECT(VIT_ERROR_NOT_BEGUN, vit_resizer_row(resizer, line, 8));
}

// What an observer has seen.
typedef struct {
    uint32_t done;
    uint32_t total;
    bool in_order;
} progress;

static void observe(void *context, uint32_t done, uint32_t total)
{
    progress *const seen = (progress *)context;
    seen->in_order = seen->in_order && done == seen->done + 1 && (done == 1 || total == seen->total);
    seen->done = done;
    seen->total = total;
}

int main(void)
{
    check_names();
    use_a_model_that_is_not_open(); // its memory is zeroed
    open_with_wrong_arguments();
    use_a_model_that_is_not_open();
    open_damaged_headers();
#ifdef MODEL_FITS_IN_RAM
    open_damaged_models();
#endif
    open_twice();

    EXPECT(VIT_OK, vit_open(model, &vit_nano, vit_nano_model, MODEL_BYTES));
    for (size_t index = 0; index < CLASSES; ++index) {
        logits[index] = 1000000 + (int32_t)index;
    }
    infer_with_wrong_arguments();
    label_and_rank_with_wrong_arguments();
    resize_with_wrong_arguments();
    for (size_t index = 0; index < CLASSES; ++index) {
        EXPECT_THAT(logits[index] == 1000000 + (int32_t)index);
    }

    // After all of this, the model is as good as new, and so is a copy of it. The memory is aligned to 8 bytes, and for
    // one of the two inferences to no more than that.
    const int images = board_open("images.bin", false);
    const int results = board_open("logits.bin", true);
    EXPECT_THAT(images >= 0 && board_read(images, image, IMAGE_BYTES) && board_close(images));
    other_memory.model = *model;
    progress seen = {0, 0, true};
    EXPECT(VIT_OK, vit_infer_observed(&other_memory.model, image, IMAGE_BYTES, after(scratch, 8),
                                      VIT_NANO_SCRATCH_BYTES, logits, CLASSES, observe, &seen));
    EXPECT_THAT(seen.in_order && seen.done > 0 && seen.done == seen.total);
    EXPECT_THAT(results >= 0 && board_write(results, logits, sizeof logits[0] * CLASSES));
    EXPECT(VIT_OK, vit_infer_observed(model, image, IMAGE_BYTES, scratch, VIT_NANO_SCRATCH_BYTES, logits, CLASSES,
                                      NULL, NULL));
    EXPECT_THAT(board_write(results, logits, sizeof logits[0] * CLASSES) && board_close(results));

    board_print("cases: ");
    board_print_number(cases);
    board_print(", failures: ");
    board_print_number(failures);
    board_print("\n");
    return failures == 0 ? 0 : 1;
}
