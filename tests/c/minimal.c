/* The least that a firmware needs to classify an image: the program firmware-example/src/bin/minimal.rs in C. */

#include "board.h"
#include "vit_nano.h"

static vit_model model;
static vit_nano_scratch scratch;
static uint8_t image[VIT_NANO_IMAGE_BYTES];

int main(void)
{
    // Checks the model file, once.
    if (vit_open(&model, &vit_nano, vit_nano_model, VIT_NANO_MODEL_BYTES) != VIT_OK) {
        return 1;
    }
    // Here: from a camera, a touch screen, a sensor ...
    for (size_t row = 4; row < 24; ++row) {
        for (size_t column = 13; column < 15; ++column) {
            image[row * VIT_NANO_WIDTH + column] = 255;
        }
    }
    int32_t logits[VIT_NANO_CLASSES];
    vit_prediction best;
    const char *label;
    size_t label_bytes;
    if (vit_infer(&model, image, sizeof image, &scratch, sizeof scratch, logits, VIT_NANO_CLASSES) != VIT_OK ||
        vit_top_k(&model, logits, VIT_NANO_CLASSES, &best, 1) != VIT_OK ||
        vit_label(&model, best.class_index, &label, &label_bytes) != VIT_OK) {
        return 1;
    }
    board_print("this is a ");
    board_print_bytes(label, label_bytes);
    board_print("\n");
    return 0;
}
