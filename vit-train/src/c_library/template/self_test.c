/* Checks that this chip computes exactly what the PC has computed: classifies some pictures, and compares every logit.

   Call this program's main once on new hardware, with a new compiler, or after every update of the library. It returns
   the number of pictures whose logits differ, so that 0 means that all is well. It needs no operating system and no C
   library; if there is a C library, it prints what it does. */

#include <stdbool.h>

#include "vit_@name@.h"

#include "pictures.h" // some pictures, and the logits that the PC has computed for them

#if __STDC_HOSTED__
#include <stdio.h>
#endif

// An opened model is small. The model file itself stays in flash.
static vit_model model;

// The memory of an inference. Other code may use it between two inferences, for example in a union.
static vit_@name@_scratch scratch;

// Compares two texts. There may be no C library that has strcmp.
static bool is_equal(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        ++a;
        ++b;
    }
    return *a == *b;
}

// Compares the header with the library: the versions, and the sizes of the network. They differ if files of two exports
// were mixed.
static bool is_the_library_of_this_header(void)
{
    vit_sizes sizes;
    return is_equal(vit_version(), VIT_VERSION) && vit_format_version() == VIT_FORMAT_VERSION &&
           vit_network_sizes(&vit_@name@, &sizes) == VIT_OK &&
           sizes.height == VIT_@NAME@_HEIGHT && sizes.width == VIT_@NAME@_WIDTH &&
           sizes.channels == VIT_@NAME@_CHANNELS && sizes.classes == VIT_@NAME@_CLASSES &&
           sizes.image_bytes == VIT_@NAME@_IMAGE_BYTES && sizes.scratch_bytes == VIT_@NAME@_SCRATCH_BYTES &&
           sizes.sums == VIT_@NAME@_SUMS;
}

// Prints the likeliest class of a picture.
static void print_class(size_t picture, const int32_t *logits)
{
#if __STDC_HOSTED__
    vit_prediction best;
    const char *label;
    size_t label_bytes;
    vit_error error = vit_top_k(&model, logits, VIT_@NAME@_CLASSES, &best, 1);
    if (error == VIT_OK) {
        error = vit_label(&model, best.class_index, &label, &label_bytes);
    }
    if (error == VIT_OK) {
        // A label does not end in a zero byte. Percentages are printed as integers, because the printf of many chips
        // cannot print fractions.
        printf("picture %u: %.*s, %d %%\n", (unsigned)picture, (int)label_bytes, label,
               (int)(100.0f * best.probability + 0.5f));
    } else {
        printf("picture %u: %s\n", (unsigned)picture, vit_error_name(error));
    }
#else
    (void)picture;
    (void)logits;
#endif
}

// Prints why the self-test cannot begin.
static void print_failure(const char *reason)
{
#if __STDC_HOSTED__
    printf("the self-test has failed: %s\n", reason);
#else
    (void)reason;
#endif
}

// Classifies a picture. Returns true if all logits are those of the PC.
static bool has_the_expected_logits(size_t picture)
{
    int32_t logits[VIT_@NAME@_CLASSES];
    const vit_error error = vit_infer(&model, pictures[picture], VIT_@NAME@_IMAGE_BYTES, &scratch, sizeof scratch,
                                      logits, VIT_@NAME@_CLASSES);
    if (error != VIT_OK) {
        print_failure(vit_error_name(error));
        return false;
    }
    print_class(picture, logits);
    for (size_t index = 0; index < VIT_@NAME@_CLASSES; ++index) {
        if (logits[index] != expected[picture][index]) {
            return false;
        }
    }
    return true;
}

int main(void)
{
    // If the test cannot begin, no picture has the expected logits.
    if (!is_the_library_of_this_header()) {
        print_failure("the library is not that of this header");
        return PICTURES;
    }
    // Computes the checksum of the whole model file, so that a model that was flashed incompletely is noticed here.
    const vit_error error = vit_open(&model, &vit_@name@, vit_@name@_model, VIT_@NAME@_MODEL_BYTES);
    if (error != VIT_OK) {
        print_failure(vit_error_name(error));
        return PICTURES;
    }

    int differing = 0;
    for (size_t picture = 0; picture < PICTURES; ++picture) {
        if (!has_the_expected_logits(picture)) {
            ++differing;
        }
    }
#if __STDC_HOSTED__
    printf("vit %s: %d of %d pictures differ from the PC's\n", vit_version(), differing, PICTURES);
#endif
    return differing;
}
