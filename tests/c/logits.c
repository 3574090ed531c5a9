/* Classifies the images of the file images.bin, one after the other, and writes all logits to logits.bin, as 32-bit
   numbers in the order of the processor's bytes. Prints what vit_open and vit_infer take: the most bytes of stack, and
   the ticks of the timer. */

#include "board.h"
#include "network.h"

static vit_model model;
static VIT_SCRATCH scratch;
static uint8_t image[VIT_SIZE(IMAGE_BYTES)];
static int32_t logits[VIT_SIZE(CLASSES)];

// A call whose stack and ticks are measured.
typedef struct {
    const char *name;
    vit_error result;
    uint32_t ticks;
    size_t stack;
} call;

static call opening = {"vit_open", VIT_OK, 0, 0};
static call inference = {"vit_infer", VIT_OK, 0, 0};

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
    print(&opening);
    print(&inference);
    return board_close(images) && board_close(results) ? 0 : 1;
}
