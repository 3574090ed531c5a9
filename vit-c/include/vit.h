/* Vision Transformers in firmware: the C interface of vit-nostd.

   A model is checked once, by vit_open. Then vit_infer classifies images:

       static vit_model model;
       static vit_nano_scratch scratch;                       (from vit_nano.h, the header of the network)
       vit_error error = vit_open(&model, &vit_nano, vit_nano_model, VIT_NANO_MODEL_BYTES);
       ...
       int32_t logits[VIT_NANO_CLASSES];
       error = vit_infer(&model, image, sizeof image, &scratch, sizeof scratch, logits, VIT_NANO_CLASSES);

   A function returns VIT_OK, or the reason that it failed. It checks its arguments: pointers that are null or misaligned,
   lengths that are wrong, buffers that overlap, a damaged model are errors. No function allocates memory, waits, or keeps
   a state of its own. Let models and resizers be static, or set them to zero, so that one that was never opened or begun is
   recognised. Any number of threads may call them at the same time, each with buffers of its own; an opened model
   may be shared.

   What a pointer to const leads to may be in flash: model files, images, lines, networks. All other buffers must be in RAM.
   README.md says how much stack the functions take. A library for the hard floating-point ABI needs the floating-point unit
   to be switched on.

   This header is for C99, for C++11, and for later versions of both.

   This file is made from the Rust sources of vit-c. */

#ifndef VIT_H
#define VIT_H

#include <stddef.h>
#include <stdint.h>

// The version of the library that this header is for. It is the one of `vit_version`.
#define VIT_VERSION "0.1.0"

// The version of the model format that this header is for.
#define VIT_FORMAT_VERSION 2

// The result of a function: `VIT_OK`, or the reason that it failed.
enum vit_error
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The function did what it should.
  VIT_OK = 0,
  // A pointer is null.
  VIT_ERROR_NULL = 1,
  // A pointer is not a multiple of the alignment of its type. A model file must begin at a multiple of 16.
  VIT_ERROR_MISALIGNED = 2,
  // A buffer would reach beyond the end of the address space.
  VIT_ERROR_ADDRESS = 3,
  // Two buffers overlap, and one of them would be written to.
  VIT_ERROR_OVERLAP = 4,
  // This is not a network of the library.
  VIT_ERROR_NETWORK = 5,
  // The model was not opened by `vit_open`.
  VIT_ERROR_NOT_OPEN = 6,
  // The image has another number of bytes than the network's input.
  VIT_ERROR_IMAGE_SIZE = 7,
  // The scratch memory is too small.
  VIT_ERROR_SCRATCH_SIZE = 8,
  // The number of logits or probabilities is not the number of classes.
  VIT_ERROR_CLASSES = 9,
  // There is no class with this index.
  VIT_ERROR_NO_CLASS = 10,
  // The file is shorter than the part that every model file begins with.
  VIT_ERROR_TOO_SHORT = 20,
  // The file is not a model file.
  VIT_ERROR_NO_MODEL = 21,
  // The model file has a version of the format that this library does not read.
  VIT_ERROR_FORMAT_VERSION = 22,
  // The model is a float model, or of an unknown kind. This library runs integer models.
  VIT_ERROR_KIND = 23,
  // The model needs a feature that this library does not have.
  VIT_ERROR_UNSUPPORTED = 24,
  // The model is of another network: its dimensions differ, or are impossible.
  VIT_ERROR_SHAPE = 25,
  // The number of bytes is not the length of the model file.
  VIT_ERROR_FILE_LENGTH = 26,
  // The checksum is wrong: the model file is damaged.
  VIT_ERROR_CHECKSUM = 27,
  // The checksum is correct, but the content is not: the program that wrote the model file has an error.
  VIT_ERROR_CONTENT = 28,
  // The resizer was not begun by `vit_resizer_begin`, or has ended.
  VIT_ERROR_NOT_BEGUN = 40,
  // There is no such pixel format.
  VIT_ERROR_PIXEL_FORMAT = 41,
  // The frame has a width or a height of 0, or, with its padding, of more than 4096 pixels.
  VIT_ERROR_FRAME_SIZE = 42,
  // Two pixels of YUV 4:2:2 share their colour, so that a line must have an even number of pixels.
  VIT_ERROR_ODD_WIDTH = 43,
  // The number of sums is not that of the network.
  VIT_ERROR_SUMS = 44,
  // The line has another number of bytes than the frame's lines.
  VIT_ERROR_LINE_LENGTH = 45,
  // The frame has no more lines.
  VIT_ERROR_TOO_MANY_LINES = 46,
  // The frame was ended before its last line.
  VIT_ERROR_MISSING_LINES = 47,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum vit_error vit_error;
#else
typedef int vit_error;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A network of the library. Its header declares it, as in `extern const vit_network vit_nano;`.
typedef struct vit_network vit_network;

// A model that `vit_open` has opened. Its content is private. Several threads may use one model at the same time, because
// no function changes it after `vit_open`. It may be copied, but it holds addresses: open it again after a reset.
typedef union {
  // Aligns the model.
  uint64_t align;
  // The content.
  size_t words[56];
} vit_model;

// The lengths and the memory of a network. The header of the network has the same numbers as macros.
typedef struct {
  // The height of the input image, in pixels.
  size_t height;
  // The width of the input image, in pixels.
  size_t width;
  // The number of bytes of a pixel of the input image: 1 for grey, 3 for red, green and blue.
  size_t channels;
  // The number of classes, which is the number of logits.
  size_t classes;
  // The number of bytes of the input image: height * width * channels.
  size_t image_bytes;
  // The number of bytes of the scratch memory of an inference.
  size_t scratch_bytes;
  // The number of sums that a resizer needs, with 4 bytes each: width * channels.
  size_t sums;
} vit_sizes;

// A function that is called again and again during an inference, to feed a watchdog or to show the progress: `done` of
// `total` steps are done. `context` is what `vit_infer_observed` was given. Steps differ in length, and several calls may
// follow each other at once: for a network like `nano`, the longest step takes five times as long as the average. The
// function must return: neither longjmp nor an exception may leave it.
typedef void (*vit_observer)(void *context, uint32_t done, uint32_t total);

// A class and its probability.
typedef struct {
  // The index of the class.
  size_t class_index;
  // The probability, from 0 to 1: the softmax of the logits.
  float probability;
} vit_prediction;

// A resizer that `vit_resizer_begin` has begun. Its content is private, and it must not be copied.
typedef union {
  // Aligns the resizer.
  uint64_t align;
  // The content.
  size_t words[40];
} vit_resizer;

// The encoding of the pixels of a frame: one of the constants below.
typedef uint32_t vit_pixel_format;

// The frames of a camera.
typedef struct {
  // The number of pixels in a line, from 1 to 4096.
  uint32_t width;
  // The number of lines, from 1 to 4096.
  uint32_t height;
  // The encoding of the pixels.
  vit_pixel_format format;
} vit_frame;

// A byte for the grey level.
#define VIT_GREY8 0

// Three bytes: red, green, blue.
#define VIT_RGB888 1

// 5 bits of red, 6 of green and 5 of blue, from the highest bit to the lowest of a 16-bit number, low byte first.
#define VIT_RGB565_LE 2

// The same number, high byte first.
#define VIT_RGB565_BE 3

// YUV 4:2:2 as BT.601 defines it, in the limited range. Two pixels in four bytes: Y, U, Y, V.
#define VIT_YUYV 4

// The same values in the order U, Y, V, Y.
#define VIT_UYVY 5

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Finds the length of the model file that begins at `begin`, in memory that may be longer, such as a partition of flash.
// `available` is the number of bytes that can be read there. Only the beginning of the file is looked at.
//
// `begin` has `available` bytes. `file_bytes` can be written to.
vit_error vit_file_bytes(const uint8_t *begin,
                         size_t available,
                         size_t *file_bytes);

// Checks a model file and opens it. The file is not copied: it must stay where it is, unchanged, as long as the model is
// used. It may be in flash or in RAM, and must begin at a multiple of 16.
//
// The whole file is read once, to compute its checksum.
//
// If this fails, `model` is a model that is not open, even if it was open before. Only `VIT_ERROR_OVERLAP` leaves it
// as it was, because to write to it would change the file.
//
// `model` can be written to. `network` is a network of the library. `file` has `file_bytes` bytes.
vit_error vit_open(vit_model *model,
                   const vit_network *network,
                   const uint8_t *file,
                   size_t file_bytes);

// Finds the label of a class, in UTF-8, which is part of the model file. It does not end in a zero byte, so that it is
// printed with its length: `printf("%.*s", (int)label_bytes, label)`.
//
// `model` is a model whose file still exists. `label` and `label_bytes` can be written to.
vit_error vit_label(const vit_model *model,
                    size_t class_index,
                    const char **label,
                    size_t *label_bytes);

// Writes the lengths and the memory of a network to `sizes`, for programs that learn at run time which network they
// have.
//
// `network` is a network of the library. `sizes` can be written to.
vit_error vit_network_sizes(const vit_network *network,
                            vit_sizes *sizes);

// Classifies an image: writes one logit for each class. The class with the largest logit is the likeliest one.
//
// The image has `height * width * channels` bytes: row by row, pixel by pixel, and red, green, blue of a pixel next to
// each other, or one grey level. It may be in flash or in RAM. The scratch memory must be in RAM, as large as
// `vit_network_sizes` and the network's header say, and aligned to 8 bytes. What it contains before does not matter, and
// other code may use it between two inferences. The logits must be in RAM.
//
// `model` is a model whose file still exists. The buffers have the given lengths, and no other code uses them during the
// call.
vit_error vit_infer(const vit_model *model,
                    const uint8_t *image,
                    size_t image_bytes,
                    void *scratch,
                    size_t scratch_bytes,
                    int32_t *logits,
                    size_t classes);

// Does the same as `vit_infer`, and calls `observer` after each step, unless it is null.
//
// The conditions are those of `vit_infer`. In addition, `observer` may be called with `context`, and it does not touch
// the buffers.
vit_error vit_infer_observed(const vit_model *model,
                             const uint8_t *image,
                             size_t image_bytes,
                             void *scratch,
                             size_t scratch_bytes,
                             int32_t *logits,
                             size_t classes,
                             vit_observer observer,
                             void *context);

// Writes the probability of each class, from 0 to 1: the softmax of the logits. The sum of all is 1, up to rounding.
//
// `model` is a model whose file still exists. `logits` and `probabilities` have `classes` numbers each.
vit_error vit_softmax(const vit_model *model,
                      const int32_t *logits,
                      float *probabilities,
                      size_t classes);

// Writes the `k` likeliest classes, likeliest first. Among classes with equal logits, the lower index comes first. If
// there are fewer classes than `k`, the remaining places hold class 0 with probability 0.
//
// `model` is a model whose file still exists. `logits` has `classes` numbers, and `best` has `k` predictions.
vit_error vit_top_k(const vit_model *model,
                    const int32_t *logits,
                    size_t classes,
                    vit_prediction *best,
                    size_t k);

// Begins a frame, which becomes an image for a model: it is fitted like the pictures of the model's training, and its
// pixels are converted. Give the lines of the frame to `vit_resizer_row` and call `vit_resizer_end`; then the image is
// complete.
//
// `sums` is memory that the resizer works in, and `image` is the image; `vit_network_sizes` and the network's header say
// how large they are. Both must be in RAM, and no other code may use them before `vit_resizer_end`. What they contain
// before does not matter.
//
// If this fails, the resizer has not begun, even if it had begun a frame before.
//
// `resizer` can be written to. `model` is a model. The buffers have the given lengths.
vit_error vit_resizer_begin(vit_resizer *resizer,
                            const vit_model *model,
                            vit_frame frame,
                            uint32_t *sums,
                            size_t sums_count,
                            uint8_t *image,
                            size_t image_bytes);

// Takes the next line of the frame, from the top to the bottom: its width times the bytes of a pixel. The line is not
// needed after this. A line of the wrong length is ignored.
//
// `resizer` is a resizer whose buffers still exist. `line` has `line_bytes` bytes.
vit_error vit_resizer_row(vit_resizer *resizer,
                          const uint8_t *line,
                          size_t line_bytes);

// Ends a frame. The image is complete if this returns `VIT_OK`. In any case, the resizer has ended.
//
// `resizer` is a resizer whose buffers still exist.
vit_error vit_resizer_end(vit_resizer *resizer);

// Returns the name of an error in English, such as "wrong image size". It is a constant, which ends in a zero byte. The
// name of an unknown number is "unknown error".
const char *vit_error_name(int error);

// Returns the version of the library, such as "0.1.0". It is a constant, which ends in a zero byte.
const char *vit_version(void);

// Returns the version of the model format that the library reads.
uint16_t vit_format_version(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* VIT_H */
