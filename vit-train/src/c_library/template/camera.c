/* Classifies a frame of a camera, which arrives line by line, so that no memory for a whole frame is needed.

   To use this program on hardware, replace the functions camera_line and feed_watchdog, and the loop in main.
   Everything else can stay as it is. The program needs no operating system and no C library; if there is a C library,
   it prints the likeliest classes. */

#include <stdbool.h>

#include "vit_@name@.h"

#if __STDC_HOSTED__
#include <stdio.h>
#endif

// The frames of the camera. The other formats of pixels are in vit.h.
#define FRAME_WIDTH 160
#define FRAME_HEIGHT 120
#define FRAME_FORMAT VIT_RGB565_LE
#define PIXEL_BYTES 2

// The number of classes that are reported.
#define BEST (VIT_@NAME@_CLASSES < 3 ? VIT_@NAME@_CLASSES : 3)

// The memory of this program. It can be given to other code while no frame is being classified; only the model must
// stay.
static vit_model model;
static vit_resizer resizer;
static vit_@name@_scratch scratch;
static uint32_t sums[VIT_@NAME@_SUMS];
static uint8_t image[VIT_@NAME@_IMAGE_BYTES];
static uint8_t line[FRAME_WIDTH * PIXEL_BYTES];

// Writes a line of the frame into `bytes`. This one draws a bright bar on a dark ground. With a camera, wait here until
// its interface (DCMI, for example) or its DMA has filled the buffer. With two buffers, the camera can fill one of them
// while the other one is resized.
static void camera_line(uint32_t row, uint8_t *bytes)
{
    const bool is_in_the_bar = row >= FRAME_HEIGHT / 8 && row < FRAME_HEIGHT * 7 / 8;
    for (uint32_t column = 0; column < FRAME_WIDTH; ++column) {
        const bool is_bright = is_in_the_bar && column >= FRAME_WIDTH * 7 / 16 && column < FRAME_WIDTH * 9 / 16;
        const uint16_t pixel = is_bright ? 0xFFFF : 0x0000; // 5 bits of red, 6 of green, 5 of blue
        bytes[PIXEL_BYTES * column] = (uint8_t)(pixel & 0xFF);
        bytes[PIXEL_BYTES * column + 1] = (uint8_t)(pixel >> 8);
    }
}

// The progress of an inference.
typedef struct {
    uint32_t done;
    uint32_t total;
} progress;

// Is called many times during an inference, after steps of different length. Feed a watchdog here, show the progress, or
// let another task run. It must not touch the buffers of the inference.
static void feed_watchdog(void *context, uint32_t done, uint32_t total)
{
    progress *const seen = (progress *)context;
    seen->done = done;
    seen->total = total;
}

// Reads a frame from the camera and makes it an image for the network.
static vit_error read_frame(void)
{
    const vit_frame frame = {FRAME_WIDTH, FRAME_HEIGHT, FRAME_FORMAT};
    vit_error error = vit_resizer_begin(&resizer, &model, frame, sums, VIT_@NAME@_SUMS, image, sizeof image);
    for (uint32_t row = 0; row < FRAME_HEIGHT && error == VIT_OK; ++row) {
        camera_line(row, line);
        error = vit_resizer_row(&resizer, line, sizeof line);
    }
    if (error == VIT_OK) {
        error = vit_resizer_end(&resizer);
    }
    return error;
}

// Finds the likeliest classes of the image, likeliest first.
static vit_error classify(vit_prediction *best)
{
    int32_t logits[VIT_@NAME@_CLASSES];
    progress seen = {0, 0};
    vit_error error = vit_infer_observed(&model, image, sizeof image, &scratch, sizeof scratch, logits,
                                         VIT_@NAME@_CLASSES, feed_watchdog, &seen);
    if (error == VIT_OK) {
        error = vit_top_k(&model, logits, VIT_@NAME@_CLASSES, best, BEST);
    }
    return error;
}

// Reports a class. Here, firmware would act: open a gate, sort out a part, send a message.
static vit_error report(const vit_prediction *seen)
{
    const char *label;
    size_t label_bytes;
    const vit_error error = vit_label(&model, seen->class_index, &label, &label_bytes);
#if __STDC_HOSTED__
    if (error == VIT_OK) {
        // A label does not end in a zero byte. Percentages are printed as integers, because the printf of many chips
        // cannot print fractions.
        printf("%.*s: %d %%\n", (int)label_bytes, label, (int)(100.0f * seen->probability + 0.5f));
    }
#endif
    return error;
}

// Reads and classifies one frame.
static vit_error look(void)
{
    vit_prediction best[BEST];
    vit_error error = read_frame();
    if (error == VIT_OK) {
        error = classify(best);
    }
    for (size_t place = 0; place < BEST && error == VIT_OK; ++place) {
        error = report(&best[place]);
    }
    return error;
}

int main(void)
{
    vit_error error = vit_open(&model, &vit_@name@, vit_@name@_model, VIT_@NAME@_MODEL_BYTES);
    // Firmware would do this for ever. One frame is enough for an example.
    if (error == VIT_OK) {
        error = look();
    }
#if __STDC_HOSTED__
    if (error != VIT_OK) {
        printf("error: %s\n", vit_error_name(error));
    }
#endif
    return error == VIT_OK ? 0 : 1;
}
