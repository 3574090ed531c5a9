/* Classifies the images of the file images.bin, one after the other, and writes all logits to logits.bin, as 32-bit
   numbers in the order of the processor's bytes. Prints what vit_open, vit_infer and the other functions take: the most
   bytes of stack, and the ticks of the timer. */

#include "board.h"
#include "network.h"

static vit_model model;
static VIT_SCRATCH scratch;
static uint8_t image[VIT_SIZE(IMAGE_BYTES)];
static int32_t logits[VIT_SIZE(CLASSES)];
static float probabilities[VIT_SIZE(CLASSES)];
static vit_resizer resizer;
static uint32_t sums[VIT_SIZE(SUMS)];

// A call whose stack and ticks are measured.
typedef struct {
    const char *name;
    vit_error result;
    uint32_t ticks;
    size_t stack;
} call;

static call opening = {"vit_open", VIT_OK, 0, 0};
static call inference = {"vit_infer", VIT_OK, 0, 0};
static call others = {"others", VIT_OK, 0, 0};

static void open(void *context)
{
    (void)context;
    const uint32_t begin = board_ticks();
    opening.result = vit_open(&model, &VIT_NETWORK, VIT_MODEL, VIT_SIZE(MODEL_BYTES));
    opening.ticks = (board_ticks() - begin) & 0xFFFFFF;
}

static void infer(void *context)
{
    (void)context;
    const uint32_t begin = board_ticks();
    inference.result =
        vit_infer(&model, image, sizeof image, &scratch, sizeof scratch, logits, VIT_SIZE(CLASSES));
    inference.ticks = (board_ticks() - begin) & 0xFFFFFF;
}

static void remember(vit_error error)
{
    if (error != VIT_OK) {
        others.result = error;
    }
}

// Calls all other functions that work with a model.
static void call_others(void *context)
{
    static const uint8_t line[64 * 2] = {0};
    const vit_frame frame = {64, 3, VIT_RGB565_LE};
    vit_prediction best[3];
    const char *label;
    size_t label_bytes;
    (void)context;
    remember(vit_softmax(&model, logits, probabilities, VIT_SIZE(CLASSES)));
    remember(vit_top_k(&model, logits, VIT_SIZE(CLASSES), best, 3));
    remember(vit_label(&model, best[2].class_index, &label, &label_bytes));
    remember(vit_resizer_begin(&resizer, &model, frame, sums, VIT_SIZE(SUMS), image, sizeof image));
    for (uint32_t row = 0; row < frame.height; ++row) {
        remember(vit_resizer_row(&resizer, line, sizeof line));
    }
    remember(vit_resizer_end(&resizer));
}

// Makes a call. Returns true if it has done what it should.
static bool measure(call *measured, void (*function)(void *))
{
    const size_t stack = board_stack_of(function, NULL);
    if (stack > measured->stack) {
        measured->stack = stack;
    }
    if (measured->result != VIT_OK) {
        board_print(measured->name);
        board_print(": ");
        board_print(vit_error_name(measured->result));
        board_print("\n");
    }
    return measured->result == VIT_OK;
}

static void print(const call *measured)
{
    board_print(measured->name);
    board_print(": stack ");
    board_print_number((uint32_t)measured->stack);
    board_print(", ticks ");
    board_print_number(measured->ticks);
    board_print("\n");
}

int main(void)
{
    if (!measure(&opening, open)) {
        return 1;
    }
    const int images = board_open("images.bin", false);
    const int results = board_open("logits.bin", true);
    if (images < 0 || results < 0) {
        board_print("the files cannot be opened\n");
        return 1;
    }
    while (board_read(images, image, sizeof image)) {
        if (!measure(&inference, infer)) {
            return 1;
        }
        if (!board_write(results, logits, sizeof logits)) {
            board_print("the logits cannot be written\n");
            return 1;
        }
    }
    if (!measure(&others, call_others)) {
        return 1;
    }
    print(&opening);
    print(&inference);
    print(&others);
    return board_close(images) && board_close(results) ? 0 : 1;
}
