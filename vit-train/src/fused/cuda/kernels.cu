// The operations of a training step on a GPU, except for the matrix products, which cuBLAS computes.
//
// Matrices are stored row by row. Sums have a fixed order (there are no atomics), so that a run can be repeated to the
// bit. The shared memory of a block is one array, whose size is given at the launch. Kernels loop over the elements in
// steps of the grid, so that a grid of any size does all of the work.
//
// The launches of a step are recorded once and replayed. The values that change from step to step are therefore not
// arguments, but in the memory of the device (`Counters`).

extern __shared__ double shared_memory[];

typedef unsigned int u32;
typedef unsigned long long u64;

// The counters of a run. This struct must match `Counters` in `kernels.rs`.
struct Counters {
    u64 seed_key;          // a hash of the run's seed
    u64 dropout_key;       // the key of this step's masks
    u64 step;              // the number of the step in the run, from 1
    double loss_sum;       // the sum of the cross entropies since the host set it to zero
    u32 first;             // the index of this step's first image in the order of the epoch
    u32 next;              // the index of the next step's first image
    u32 correct;           // the number of images classified correctly since the host set it to zero
    float lr;              // the learning rate
    float weight_decay;
    float max_norm;        // the largest norm of the gradients, to which they are clipped
    float norm;            // the norm of the gradients before clipping
    float scale;           // the factor of the gradients that makes their norm at most `max_norm`
};

// The dropout mask of a matrix. This struct must match `Mask` in `kernels.rs`.
struct Mask {
    u64 site;              // the number of the site in the network
    u32 threshold;         // elements whose 16 random bits are below this are dropped
    float keep;            // the factor of elements that are kept
    u32 len;               // the number of elements of an image, or of a head of it
    u32 mask_len;          // the same number if there were a row for every token, by which masks are numbered
};

// The change of an image: see `Variation` in `augment.rs`. Positions are in units of 1/65536 pixel.
const u32 KNOTS = 5;
struct ImageVariation {
    long long start[2];                // the position where the first pixel is read
    long long across[2], down[2];      // the steps from a pixel to the next in its row and in its column
    long long knots[KNOTS][KNOTS][2];  // the displacements at the knots of a grid over the image
    long long saturation, contrast, brightness; // factors in 1/256
    long long left, top, right, bottom; // the rectangle that is erased
    long long colour[3];               // the levels of the rectangle
};

const float BETA_MEAN = 0.9f;
const float BETA_SQUARE = 0.999f;
const float ADAM_EPSILON = 1e-8f;
const float LAYER_NORM_EPSILON = 1e-6f;
const float LOWEST = -3.402823466e38f; // the lowest finite number
const u32 ALL_LANES = 0xffffffffu;

// -- Helpers ---------------------------------------------------------------------------------------------------------

static __device__ u32 first_element() {
    return blockIdx.x * blockDim.x + threadIdx.x;
}

static __device__ u32 element_step() {
    return gridDim.x * blockDim.x;
}

// The first row of this thread's warp. Each warp works on one row at a time; a block has whole warps.
static __device__ u32 first_row() {
    return first_element() / 32;
}

static __device__ u32 row_step() {
    return element_step() / 32;
}

static __device__ u32 lane() {
    return threadIdx.x % 32;
}

template <typename T> static __device__ T warp_sum(T x) {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(ALL_LANES, x, offset);
    return x;
}

static __device__ float warp_max(float x) {
    for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, offset));
    return x;
}

// Returns the sum over all threads of a block to each of them. It uses 32 numbers of shared memory.
static __device__ double block_sum(double x) {
    __syncthreads(); // all threads have read an earlier sum
    x = warp_sum(x);
    if (lane() == 0) shared_memory[threadIdx.x / 32] = x;
    __syncthreads();
    return warp_sum(lane() < blockDim.x / 32 ? shared_memory[lane()] : 0.0);
}

// Returns the sum over the threads of a column (x) in a block of 32 x 8. `sums` are 256 numbers of shared memory. Each
// call in a kernel must have its own.
static __device__ float column_sum(float *sums, float x) {
    sums[threadIdx.y * 32 + threadIdx.x] = x;
    __syncthreads();
    float sum = 0.0f;
    for (u32 group = 0; group < 8; group++) sum += sums[group * 32 + threadIdx.x];
    return sum;
}

// `mix64` and `mix32` are the hash functions of `dropout.rs`.
static __device__ u64 mix64(u64 x) {
    x += 0x9e3779b97f4a7c15ull;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static __device__ u32 mix32(u32 x) {
    x = (x ^ (x >> 16)) * 0x7feb352du;
    x = (x ^ (x >> 15)) * 0x846ca68bu;
    return x ^ (x >> 16);
}

// Returns the key of a mask in this step.
static __device__ u64 mask_key(const Counters *counters, Mask mask) {
    return mix64(counters->dropout_key ^ mask.site);
}

// Returns the factor of element `index` of a matrix: 0 or `mask.keep`.
static __device__ float kept_share(u64 key, Mask mask, u32 index) {
    if (mask.threshold == 0) return 1.0f;
    index = index / mask.len * mask.mask_len + index % mask.len;
    u32 bits = mix32(mix32(index / 2 + (u32)key) ^ (u32)(key >> 32));
    return (bits >> (16 * (index % 2)) & 0xffff) >= mask.threshold ? mask.keep : 0.0f;
}

// -- The beginning of a step -----------------------------------------------------------------------------------------

extern "C" __global__ void begin_step(Counters *counters, u32 images) {
    counters->step += 1;
    counters->first = counters->next;
    counters->next += images;
    counters->dropout_key = mix64(counters->seed_key ^ counters->step);
}

// The size of an image. This struct must match `ImageSize` in `kernels.rs`.
struct ImageSize {
    u32 height, width, channels;
};

// The windows of a convolution, in an input whose channels, rows and pixels have these distances in memory. `skip` rows
// precede the windows of each input. This struct must match `InputWindows` in `kernels.rs`.
struct InputWindows {
    u32 height, width, channels;
    u32 kernel_height, kernel_width, stride_down, stride_across, padding;
    u32 rows, columns, skip;
    u32 channel, row, pixel;
};

// Returns the level of a channel, which is 0 outside the image.
static __device__ u32 level(const unsigned char *image, ImageSize size, u32 channel, long long column, long long row) {
    bool inside = column >= 0 && row >= 0 && column < size.width && row < size.height;
    return inside ? image[(row * size.width + column) * size.channels + channel] : 0;
}

// Returns the displacement of one coordinate, interpolated between the knots.
static __device__ long long bend(const ImageVariation &variation, ImageSize size, u32 column, u32 row, int axis) {
    u32 across = size.width > 1 ? size.width - 1 : 1, upright = size.height > 1 ? size.height - 1 : 1;
    u32 x = column * (KNOTS - 1) * 256 / across, y = row * (KNOTS - 1) * 256 / upright;
    u32 left = x >> 8, top = y >> 8;
    if (left > KNOTS - 2) left = KNOTS - 2;
    if (top > KNOTS - 2) top = KNOTS - 2;
    long long right = x - (left << 8), down = y - (top << 8);
    const auto &knots = variation.knots;
    long long above = knots[top][left][axis] * (256 - right) + knots[top][left + 1][axis] * right;
    long long below = knots[top + 1][left][axis] * (256 - right) + knots[top + 1][left + 1][axis] * right;
    return (above * (256 - down) + below * down) >> 16;
}

// Returns a level with another saturation, contrast and brightness. `grey` is the grey level of its pixel.
static __device__ u32 recoloured(const ImageVariation &variation, int level, int grey) {
    const int medium = 128 << 8;
    int saturated = 256 * grey + (int)variation.saturation * (level - grey);
    int contrasted = medium + (((int)variation.contrast * (saturated - medium)) >> 8);
    int bright = (((int)variation.brightness * contrasted >> 8) + 128) >> 8;
    return bright < 0 ? 0 : bright > 255 ? 255 : bright;
}

// Changes and normalises an image and makes its target, with a block per image. `normalized` are the network's inputs for
// the 256 levels of each channel. The image has its channels next to each other; the result has one after the other.
extern "C" __global__ void prepare(const Counters *counters, const unsigned char *data, const unsigned short *labels,
                                   const u32 *order, const long long *variations, const float *normalized,
                                   ImageSize size, u32 classes, float smoothing, float *pixels, float *targets) {
    u32 place = counters->first + blockIdx.x, area = size.height * size.width;
    const unsigned char *image = data + (u64)order[place] * area * size.channels;
    const ImageVariation &variation = ((const ImageVariation *)variations)[place];
    for (u32 at = threadIdx.x; at < area; at += blockDim.x) {
        u32 column = at % size.width, row = at / size.width;
        long long at_source[2];
        for (int axis = 0; axis < 2; axis++) {
            at_source[axis] = variation.start[axis] + column * variation.across[axis] + row * variation.down[axis]
                + bend(variation, size, column, row, axis);
        }
        long long x = at_source[0], y = at_source[1];
        u32 right = x >> 8 & 255, down = y >> 8 & 255;
        x >>= 16;
        y >>= 16;
        u32 found[3];
        for (u32 channel = 0; channel < size.channels; channel++) {
            u32 above = level(image, size, channel, x, y) * (256 - right)
                + level(image, size, channel, x + 1, y) * right;
            u32 below = level(image, size, channel, x, y + 1) * (256 - right)
                + level(image, size, channel, x + 1, y + 1) * right;
            found[channel] = (above * (256 - down) + below * down + (1 << 15)) >> 16;
        }
        u32 grey = size.channels == 1 ? found[0] : (77 * found[0] + 150 * found[1] + 29 * found[2] + 128) >> 8;
        bool erased = column >= variation.left && column < variation.right && row >= variation.top
            && row < variation.bottom;
        for (u32 channel = 0; channel < size.channels; channel++) {
            u32 changed = erased ? variation.colour[channel] : recoloured(variation, found[channel], grey);
            pixels[(blockIdx.x * size.channels + channel) * area + at] = normalized[channel * 256 + changed];
        }
    }
    for (u32 at = threadIdx.x; at < classes; at += blockDim.x) {
        float target = smoothing / classes;
        if (at == labels[order[place]]) target += 1.0f - smoothing;
        targets[blockIdx.x * classes + at] = target;
    }
}

// -- Folding: see `fold.rs` ------------------------------------------------------------------------------------------

// Folds LayerNorms into the layers after them, with a warp per row of weights. `rows` are the four indices where the
// weights of a row, its bias, and the LayerNorm's scale and shift begin. `factors` are additional factors of the rows.
extern "C" __global__ void fold_rows(const float *parameters, float *folded, const u32 *rows, const float *factors,
                                     u32 count, u32 width) {
    for (u32 row = first_row(); row < count; row += row_step()) {
        const float *weight = parameters + rows[4 * row];
        const float *scale = parameters + rows[4 * row + 2];
        const float *shift = parameters + rows[4 * row + 3];
        float factor = factors[row];
        float extra = 0.0f;
        for (u32 at = lane(); at < width; at += 32) {
            extra += weight[at] * shift[at];
            folded[rows[4 * row] + at] = weight[at] * scale[at] * factor;
        }
        extra = warp_sum(extra);
        u32 bias = rows[4 * row + 1];
        if (lane() == 0) folded[bias] = (parameters[bias] + extra) * factor;
    }
}

extern "C" __global__ void fold_embedding(const float *parameters, float *folded, u32 class_token, u32 patch_bias,
                                          u32 positions, u32 tokens, u32 embed) {
    for (u32 at = first_element(); at < tokens * embed; at += element_step()) {
        u32 extra = at < embed ? class_token : patch_bias;
        folded[positions + at] = parameters[positions + at] + parameters[extra + at % embed];
    }
}

// Computes the gradients of the LayerNorms' scales and shifts, with a block of 32 x 8 threads per LayerNorm (y) and 32
// columns (x). `norms` are six numbers: the indices where a scale, a shift, and the weights and the biases of the layer
// after it begin, that layer's first row in `factors`, and its number of rows.
extern "C" __global__ void unfold_columns(const float *parameters, float *gradients, const u32 *norms,
                                          const float *factors, u32 width) {
    const u32 *norm = norms + 6 * blockIdx.y;
    u32 column = blockIdx.x * 32 + threadIdx.x;
    float *sums = (float *)shared_memory;
    float d_scale = 0.0f, d_shift = 0.0f;
    if (column < width) {
        for (u32 row = threadIdx.y; row < norm[5]; row += 8) {
            u32 at = norm[2] + row * width + column;
            float weight = parameters[at] * factors[norm[4] + row];
            d_scale += gradients[at] * weight;
            d_shift += gradients[norm[3] + row] * weight;
        }
    }
    d_scale = column_sum(sums, d_scale);
    d_shift = column_sum(sums + 256, d_shift);
    if (threadIdx.y == 0 && column < width) {
        gradients[norm[0] + column] = d_scale;
        gradients[norm[1] + column] = d_shift;
    }
}

// Turns the gradients of folded weights and biases into those of unfolded ones. It must come after `unfold_columns`,
// which needs the folded ones. `rows` and `factors` are those of `fold_rows`.
extern "C" __global__ void unfold_rows(const float *parameters, float *gradients, const u32 *rows,
                                       const float *factors, u32 count, u32 width) {
    for (u32 row = first_row(); row < count; row += row_step()) {
        float *weight = gradients + rows[4 * row];
        const float *scale = parameters + rows[4 * row + 2];
        const float *shift = parameters + rows[4 * row + 3];
        float factor = factors[row];
        u32 bias = rows[4 * row + 1];
        float d_bias = gradients[bias] * factor;
        for (u32 at = lane(); at < width; at += 32) {
            weight[at] = weight[at] * factor * scale[at] + d_bias * shift[at];
        }
        __syncwarp(ALL_LANES); // all lanes have read the bias
        if (lane() == 0) gradients[bias] = d_bias;
    }
}

extern "C" __global__ void unfold_embedding(float *gradients, u32 class_token, u32 patch_bias, u32 positions,
                                            u32 tokens, u32 embed) {
    for (u32 at = first_element(); at < embed; at += element_step()) {
        gradients[class_token + at] = gradients[positions + at];
        float sum = 0.0f;
        for (u32 token = 1; token < tokens; token++) sum += gradients[positions + token * embed + at];
        gradients[patch_bias + at] = sum;
    }
}

// -- The embedding ---------------------------------------------------------------------------------------------------

// Cuts inputs into windows: `count` elements, inputs x (`skip` + windows) x values, with zeros for rows that are skipped
// and for values outside of the input.
extern "C" __global__ void cut_windows(const float *inputs, float *windows, u32 count, InputWindows w) {
    u32 area = w.kernel_height * w.kernel_width, values = w.channels * area, rows = w.rows * w.columns + w.skip;
    u32 input_len = w.height * w.width * w.channels;
    for (u32 at = first_element(); at < count; at += element_step()) {
        u32 value = at % values, row = at / values % rows, input = at / (values * rows);
        float x = 0.0f;
        if (row >= w.skip) {
            u32 window = row - w.skip;
            // Above and at the left of the input, these are larger than any place in it.
            u32 down = window / w.columns * w.stride_down + value % area / w.kernel_width - w.padding;
            u32 across = window % w.columns * w.stride_across + value % w.kernel_width - w.padding;
            if (down < w.height && across < w.width) {
                x = inputs[input * input_len + value / area * w.channel + down * w.row + across * w.pixel];
            }
        }
        windows[at] = x;
    }
}

// Returns the first window that has the place `at` of a row or a column, counted from the start of the padding.
static __device__ u32 first_window(u32 at, u32 kernel, u32 stride) {
    return at < kernel ? 0 : (at - kernel) / stride + 1;
}

// Adds up the gradients of the windows: sets `count` elements, those of all inputs.
extern "C" __global__ void add_up_windows(const float *d_windows, float *d_inputs, u32 count, InputWindows w) {
    u32 area = w.kernel_height * w.kernel_width, values = w.channels * area, rows = w.rows * w.columns + w.skip;
    u32 input_len = w.height * w.width * w.channels;
    for (u32 at = first_element(); at < count; at += element_step()) {
        u32 input = at / input_len, within = at % input_len;
        u32 down = within / w.row % w.height + w.padding, across = within / w.pixel % w.width + w.padding;
        u32 channel = within / w.channel % w.channels;
        float sum = 0.0f;
        for (u32 i = first_window(down, w.kernel_height, w.stride_down);
             i < w.rows && i * w.stride_down <= down; i++) {
            for (u32 j = first_window(across, w.kernel_width, w.stride_across);
                 j < w.columns && j * w.stride_across <= across; j++) {
                u32 value = (channel * w.kernel_height + down - i * w.stride_down) * w.kernel_width + across
                            - j * w.stride_across;
                sum += d_windows[(input * rows + w.skip + i * w.columns + j) * values + value];
            }
        }
        d_inputs[at] = sum;
    }
}

// Sets `stream` = dropout(`stream` + `table`), with a table of `image_len` elements that is added to every image.
extern "C" __global__ void add_table_dropout(const Counters *counters, Mask mask, float *stream, const float *table,
                                             u32 count, u32 image_len) {
    u64 key = mask_key(counters, mask);
    for (u32 at = first_element(); at < count; at += element_step()) {
        stream[at] = (stream[at] + table[at % image_len]) * kept_share(key, mask, at);
    }
}

// -- Layer normalisation: a warp per row -----------------------------------------------------------------------------

extern "C" __global__ void normalize(const float *x, float *normed, float *scales, u32 rows, u32 width) {
    for (u32 row = first_row(); row < rows; row += row_step()) {
        const float *from = x + row * width;
        float *to = normed + row * width;
        float sum = 0.0f;
        for (u32 at = lane(); at < width; at += 32) sum += from[at];
        float mean = warp_sum(sum) / width;
        float squares = 0.0f;
        for (u32 at = lane(); at < width; at += 32) squares += (from[at] - mean) * (from[at] - mean);
        float scale = 1.0f / sqrtf(warp_sum(squares) / width + LAYER_NORM_EPSILON);
        for (u32 at = lane(); at < width; at += 32) to[at] = (from[at] - mean) * scale;
        if (lane() == 0) scales[row] = scale;
    }
}

// Sets `d_x` to scale * (d - mean(d) - normed * mean(d * normed)), or adds that.
extern "C" __global__ void normalize_backward(const float *normed, const float *scales, const float *d_normed,
                                              float *d_x, u32 rows, u32 width, u32 add) {
    for (u32 row = first_row(); row < rows; row += row_step()) {
        const float *x = normed + row * width;
        const float *d = d_normed + row * width;
        float *to = d_x + row * width;
        float sum = 0.0f, slope = 0.0f;
        for (u32 at = lane(); at < width; at += 32) {
            sum += d[at];
            slope += d[at] * x[at];
        }
        float mean = warp_sum(sum) / width;
        slope = warp_sum(slope) / width;
        for (u32 at = lane(); at < width; at += 32) {
            float here = scales[row] * (d[at] - mean - x[at] * slope);
            to[at] = add ? to[at] + here : here;
        }
    }
}

// -- Biases of linear layers -----------------------------------------------------------------------------------------

// Sets every row of `y` to the bias, or adds the bias to it.
extern "C" __global__ void spread_bias(const float *bias, float *y, u32 count, u32 width, u32 add) {
    for (u32 at = first_element(); at < count; at += element_step()) {
        y[at] = add ? y[at] + bias[at % width] : bias[at % width];
    }
}

// Computes sums of columns, first part: each block of 32 x 8 threads adds up a part (y) of the rows in 32 columns (x).
// `partial` has a row of `stride` numbers for each part.
extern "C" __global__ void column_sums(const float *d_y, float *partial, u32 rows, u32 width, u32 stride) {
    u32 column = blockIdx.x * 32 + threadIdx.x;
    u32 part = (rows + gridDim.y - 1) / gridDim.y, begin = blockIdx.y * part;
    u32 end = begin + part < rows ? begin + part : rows;
    float *sums = (float *)shared_memory, sum = 0.0f;
    if (column < width) {
        for (u32 row = begin + threadIdx.y; row < end; row += 8) sum += d_y[row * width + column];
    }
    sum = column_sum(sums, sum);
    if (threadIdx.y == 0 && column < width) partial[blockIdx.y * stride + column] = sum;
}

// Computes sums of columns, second part, for all layers at once: adds up the parts of sum `at`, and stores it in
// `gradients[places[at]]`.
extern "C" __global__ void finish_column_sums(const float *partial, float *gradients, const u32 *places, u32 count,
                                              u32 parts) {
    for (u32 at = first_element(); at < count; at += element_step()) {
        float sum = 0.0f;
        for (u32 part = 0; part < parts; part++) sum += partial[part * count + at];
        gradients[places[at]] = sum;
    }
}

// -- GELU and dropout ------------------------------------------------------------------------------------------------

// Sets `y` = dropout(gelu(`slope` + bias)), and `slope` to the derivative of that.
extern "C" __global__ void gelu_dropout(const Counters *counters, Mask mask, const float *bias, float *slope, float *y,
                                        u32 count, u32 width) {
    u64 key = mask_key(counters, mask);
    for (u32 at = first_element(); at < count; at += element_step()) {
        float x = slope[at] + bias[at % width];
        float normal = 0.5f * erfcf(-0.70710678f * x);      // P(X <= x)
        float density = 0.39894228f * expf(-0.5f * x * x);
        float factor = kept_share(key, mask, at);
        y[at] = x * normal * factor;
        slope[at] = (normal + x * density) * factor;
    }
}

// Sets `d` *= `slope`.
extern "C" __global__ void multiply(const float *slope, float *d, u32 count) {
    for (u32 at = first_element(); at < count; at += element_step()) d[at] *= slope[at];
}

// Adds dropout(`y` + bias) to `stream`.
extern "C" __global__ void dropout_add(const Counters *counters, Mask mask, const float *bias, const float *y,
                                       float *stream, u32 count, u32 width) {
    u64 key = mask_key(counters, mask);
    for (u32 at = first_element(); at < count; at += element_step()) {
        stream[at] += (y[at] + bias[at % width]) * kept_share(key, mask, at);
    }
}

// Sets `d_x` to the gradient before the dropout, where `d_y` is the one after it.
extern "C" __global__ void dropout_backward(const Counters *counters, Mask mask, const float *d_y, float *d_x,
                                            u32 count) {
    u64 key = mask_key(counters, mask);
    for (u32 at = first_element(); at < count; at += element_step()) d_x[at] = d_y[at] * kept_share(key, mask, at);
}

// Applies dropout to `d` in place.
extern "C" __global__ void dropout_in_place(const Counters *counters, Mask mask, float *d, u32 count) {
    u64 key = mask_key(counters, mask);
    for (u32 at = first_element(); at < count; at += element_step()) d[at] *= kept_share(key, mask, at);
}

// -- Attention: a block per head of an image (x, y) ------------------------------------------------------------------

// Copies `rows` rows of a head's `width` columns to shared memory. One number of padding per row distributes the
// elements of a column over different banks.
static __device__ void load_head(const float *from, u32 stride, float *to, u32 rows, u32 width) {
    for (u32 at = threadIdx.x; at < rows * width; at += blockDim.x) {
        to[at / width * (width + 1) + at % width] = from[at / width * stride + at % width];
    }
}

// Computes the scalar product of each of `queries` rows with each of `tokens` rows, all in shared memory.
static __device__ void row_products(const float *left, const float *right, float *to, u32 queries, u32 tokens,
                                    u32 width) {
    for (u32 at = threadIdx.x; at < queries * tokens; at += blockDim.x) {
        const float *x = left + at / tokens * (width + 1), *y = right + at % tokens * (width + 1);
        float sum = 0.0f;
        for (u32 i = 0; i < width; i++) sum += x[i] * y[i];
        to[at] = sum;
    }
}

// Returns one column of the sum of `tokens` rows in shared memory, weighted with the weights of `query`.
static __device__ float weighted_sum(const float *weights, const float *rows, u32 query, u32 column, u32 tokens,
                                     u32 width) {
    float sum = 0.0f;
    for (u32 token = 0; token < tokens; token++) {
        sum += weights[query * tokens + token] * rows[token * (width + 1) + column];
    }
    return sum;
}

// Computes the weights of attention, before and after the dropout, and the context. It uses
// (`queries` + 2 `tokens`) * (`width` + 1) + `queries` * `tokens` floats of shared memory.
extern "C" __global__ void attention(const Counters *counters, Mask mask, const float *query, const float *key_value,
                                     float *kept, float *dropped, float *context, u32 queries, u32 tokens,
                                     u32 width) {
    u32 image = blockIdx.x, head = blockIdx.y, heads = gridDim.y, embed = heads * width, padded = width + 1;
    float *q = (float *)shared_memory, *k = q + queries * padded, *v = k + tokens * padded;
    float *weights = v + tokens * padded;
    const float *keys = key_value + image * tokens * 2 * embed + head * width;
    load_head(query + image * queries * embed + head * width, embed, q, queries, width);
    load_head(keys, 2 * embed, k, tokens, width);
    load_head(keys + embed, 2 * embed, v, tokens, width);
    __syncthreads();

    row_products(q, k, weights, queries, tokens, width);
    __syncthreads();

    u64 key = mask_key(counters, mask);
    u32 first = (image * heads + head) * queries * tokens;
    for (u32 row = threadIdx.x / 32; row < queries; row += blockDim.x / 32) {
        float *scores = weights + row * tokens;
        float max = LOWEST, total = 0.0f;
        for (u32 at = lane(); at < tokens; at += 32) max = fmaxf(max, scores[at]);
        max = warp_max(max);
        for (u32 at = lane(); at < tokens; at += 32) {
            scores[at] = expf(scores[at] - max);
            total += scores[at];
        }
        float factor = 1.0f / warp_sum(total);
        for (u32 at = lane(); at < tokens; at += 32) {
            float weight = scores[at] * factor;
            kept[first + row * tokens + at] = weight;
            weight *= kept_share(key, mask, first + row * tokens + at);
            dropped[first + row * tokens + at] = weight;
            scores[at] = weight;
        }
    }
    __syncthreads();

    for (u32 at = threadIdx.x; at < queries * width; at += blockDim.x) {
        float sum = weighted_sum(weights, v, at / width, at % width, tokens, width);
        context[(image * queries + at / width) * embed + head * width + at % width] = sum;
    }
}

// Computes the gradients of queries, keys and values. It uses
// 2 (`queries` + `tokens`) * (`width` + 1) + 2 `queries` * `tokens` floats of shared memory.
extern "C" __global__ void attention_backward(const float *query, const float *key_value, const float *kept,
                                              const float *dropped, const float *d_context, float *d_query,
                                              float *d_key_value, u32 queries, u32 tokens, u32 width) {
    u32 image = blockIdx.x, head = blockIdx.y, heads = gridDim.y, embed = heads * width, padded = width + 1;
    float *q = (float *)shared_memory, *d_c = q + queries * padded, *k = d_c + queries * padded;
    float *v = k + tokens * padded, *weights = v + tokens * padded, *d_scores = weights + queries * tokens;
    u32 rows = image * queries * embed + head * width, columns = image * tokens * 2 * embed + head * width;
    u32 first = (image * heads + head) * queries * tokens;
    load_head(query + rows, embed, q, queries, width);
    load_head(d_context + rows, embed, d_c, queries, width);
    load_head(key_value + columns, 2 * embed, k, tokens, width);
    load_head(key_value + columns + embed, 2 * embed, v, tokens, width);
    for (u32 at = threadIdx.x; at < queries * tokens; at += blockDim.x) weights[at] = dropped[first + at];
    __syncthreads();

    row_products(d_c, v, d_scores, queries, tokens, width);
    __syncthreads();

    // The gradient of the scores is d = dropped * d - kept * sum(dropped * d).
    for (u32 row = threadIdx.x / 32; row < queries; row += blockDim.x / 32) {
        float *d = d_scores + row * tokens;
        const float *weight = weights + row * tokens;
        float total = 0.0f;
        for (u32 at = lane(); at < tokens; at += 32) total += weight[at] * d[at];
        total = warp_sum(total);
        for (u32 at = lane(); at < tokens; at += 32) {
            d[at] = weight[at] * d[at] - kept[first + row * tokens + at] * total;
        }
    }
    __syncthreads();

    for (u32 at = threadIdx.x; at < queries * width; at += blockDim.x) {
        float sum = weighted_sum(d_scores, k, at / width, at % width, tokens, width);
        d_query[rows + at / width * embed + at % width] = sum;
    }
    for (u32 at = threadIdx.x; at < tokens * width; at += blockDim.x) {
        u32 token = at / width, column = at % width;
        float d_key = 0.0f, d_value = 0.0f;
        for (u32 row = 0; row < queries; row++) {
            d_key += d_scores[row * tokens + token] * q[row * padded + column];
            d_value += weights[row * tokens + token] * d_c[row * padded + column];
        }
        d_key_value[columns + token * 2 * embed + column] = d_key;
        d_key_value[columns + embed + token * 2 * embed + column] = d_value;
    }
}

// -- Class tokens ----------------------------------------------------------------------------------------------------

extern "C" __global__ void class_tokens(const float *all, float *classes, u32 count, u32 width, u32 image_len) {
    for (u32 at = first_element(); at < count; at += element_step()) {
        classes[at] = all[at / width * image_len + at % width];
    }
}

// Sets the rows of the class tokens in `d_all`, which has `count` elements, to `d_classes` and the others to zero, or
// adds `d_classes` to the rows of the class tokens.
extern "C" __global__ void class_tokens_backward(const float *d_classes, float *d_all, u32 count, u32 width,
                                                 u32 image_len, u32 add) {
    for (u32 at = first_element(); at < count; at += element_step()) {
        u32 within = at % image_len;
        float d = within < width ? d_classes[at / image_len * width + within] : 0.0f;
        d_all[at] = add ? d_all[at] + d : d;
    }
}

// -- The loss --------------------------------------------------------------------------------------------------------

// Computes the cross entropy of each image, and the gradient of its mean, with a warp per image.
extern "C" __global__ void cross_entropy(const float *logits, const float *targets, float *losses, float *d_logits,
                                         u32 images, u32 classes) {
    for (u32 image = first_row(); image < images; image += row_step()) {
        const float *x = logits + image * classes, *t = targets + image * classes;
        float max = LOWEST, total = 0.0f, mass = 0.0f, loss = 0.0f;
        for (u32 at = lane(); at < classes; at += 32) max = fmaxf(max, x[at]);
        max = warp_max(max);
        for (u32 at = lane(); at < classes; at += 32) {
            total += expf(x[at] - max);
            mass += t[at];
        }
        total = warp_sum(total);
        mass = warp_sum(mass);
        for (u32 at = lane(); at < classes; at += 32) {
            loss += t[at] * (logf(total) - (x[at] - max));
            d_logits[image * classes + at] = (mass * expf(x[at] - max) / total - t[at]) / images;
        }
        loss = warp_sum(loss);
        if (lane() == 0) losses[image] = loss;
    }
}

// Adds the losses of a step and its number of images that were classified correctly to the counters, which the host
// reads. The grid must be one block.
extern "C" __global__ void score(Counters *counters, const float *logits, const float *losses,
                                 const unsigned short *labels, const u32 *order, u32 images, u32 classes) {
    double loss = 0.0, correct = 0.0;
    for (u32 image = threadIdx.x; image < images; image += blockDim.x) {
        const float *x = logits + image * classes;
        u32 best = 0;
        for (u32 at = 1; at < classes; at++) best = x[at] > x[best] ? at : best;
        loss += losses[image];
        correct += best == labels[order[counters->first + image]];
    }
    loss = block_sum(loss);
    correct = block_sum(correct);
    if (threadIdx.x == 0) {
        counters->loss_sum += loss;
        counters->correct += (u32)correct;
    }
}

// -- The optimizer ---------------------------------------------------------------------------------------------------

// Adds up the squares of the gradients, with a partial sum per block.
extern "C" __global__ void square_sums(const float *gradients, double *sums, u32 count) {
    double sum = 0.0;
    for (u32 at = first_element(); at < count; at += element_step()) {
        sum += (double)gradients[at] * gradients[at];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// Computes the norm of the gradients from the partial sums of `square_sums`, and the factor that clips them. The grid
// must be one block.
extern "C" __global__ void clip(Counters *counters, const double *sums, u32 count) {
    double sum = 0.0;
    for (u32 at = threadIdx.x; at < count; at += blockDim.x) sum += sums[at];
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        float norm = (float)sqrt(sum);
        counters->norm = norm;
        counters->scale = norm > counters->max_norm ? counters->max_norm / norm : 1.0f;
    }
}

// Does a step of AdamW, as in `optimizer.rs`.
extern "C" __global__ void adamw(const Counters *counters, const float *gradients, float *parameters, float *means,
                                 float *squares, u32 count) {
    double step = (double)counters->step;
    float rate = counters->lr / (float)(1.0 - pow((double)BETA_MEAN, step));
    float square_correction = (float)(1.0 - pow((double)BETA_SQUARE, step));
    float decay = 1.0f - counters->lr * counters->weight_decay;
    for (u32 at = first_element(); at < count; at += element_step()) {
        float g = gradients[at] * counters->scale;
        float mean = BETA_MEAN * means[at] + (1.0f - BETA_MEAN) * g;
        float square = BETA_SQUARE * squares[at] + (1.0f - BETA_SQUARE) * g * g;
        means[at] = mean;
        squares[at] = square;
        parameters[at] = parameters[at] * decay - rate * mean / (sqrtf(square / square_correction) + ADAM_EPSILON);
    }
}
