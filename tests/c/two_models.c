/* Classifies the images of the file images.bin, which are in turns one for each of two networks, and writes all logits
   to logits.bin. The networks share their scratch memory. */

#include "board.h"
#include "vit_nano.h"
#include "vit_signs.h"

static vit_model nano;
static vit_model signs;

// An inference leaves nothing in its scratch memory that a later one needs.
static union {
    vit_nano_scratch nano;
    vit_signs_scratch signs;
} scratch;

static uint8_t digit[VIT_NANO_IMAGE_BYTES];
static uint8_t sign[VIT_SIGNS_IMAGE_BYTES];
static int32_t digit_logits[VIT_NANO_CLASSES];
static int32_t sign_logits[VIT_SIGNS_CLASSES];

static bool is_ok(vit_error error)
{
    if (error != VIT_OK) {
        board_print(vit_error_name(error));
        board_print("\n");
    }
    return error == VIT_OK;
}

int main(void)
{
    if (!is_ok(vit_open(&nano, &vit_nano, vit_nano_model, VIT_NANO_MODEL_BYTES)) ||
        !is_ok(vit_open(&signs, &vit_signs, vit_signs_model, VIT_SIGNS_MODEL_BYTES))) {
        return 1;
    }
    // A model of the one network is not one of the other.
    vit_model wrong;
    if (vit_open(&wrong, &vit_nano, vit_signs_model, VIT_SIGNS_MODEL_BYTES) != VIT_ERROR_SHAPE ||
        vit_open(&wrong, &vit_signs, vit_nano_model, VIT_NANO_MODEL_BYTES) != VIT_ERROR_SHAPE) {
        board_print("a model of another network was opened\n");
        return 1;
    }

    const int images = board_open("images.bin", false);
    const int results = board_open("logits.bin", true);
    if (images < 0 || results < 0) {
        board_print("the files cannot be opened\n");
        return 1;
    }
    while (board_read(images, digit, sizeof digit) && board_read(images, sign, sizeof sign)) {
        if (!is_ok(vit_infer(&nano, digit, sizeof digit, &scratch, sizeof scratch, digit_logits,
                             VIT_NANO_CLASSES)) ||
            !is_ok(vit_infer(&signs, sign, sizeof sign, &scratch, sizeof scratch, sign_logits,
                             VIT_SIGNS_CLASSES))) {
            return 1;
        }
        if (!board_write(results, digit_logits, sizeof digit_logits) ||
            !board_write(results, sign_logits, sizeof sign_logits)) {
            board_print("the logits cannot be written\n");
            return 1;
        }
    }
    return board_close(images) && board_close(results) ? 0 : 1;
}
