// A stand-in for an NVIDIA GPU that runs on the CPU, so that the code of `vit-train --cuda` can be tested where there
// is no GPU. It implements those parts of the interfaces of the driver and of cuBLAS that this code uses. It is slow
// and strict: if a kernel or the host makes a mistake that could fail on a GPU, it prints a line and aborts the
// process.
//
// Operations in streams are executed when the host waits, copies, or frees memory. From one time to the next, the first
// stream alternately runs as far ahead of the others as it can, and as far behind them. An operation that does not wait
// for its input, or does not make others wait for it, therefore comes too early or too late, and the results are wrong.
//
// Each thread of a block is a coroutine. It runs until it waits for others: for its block at `__syncthreads`, for its
// warp at a shuffle. The order of warps and lanes changes, so that a kernel without a necessary barrier reads memory
// that has not been written yet. Memory is filled with NaN before it is written, and has guards around it.
//
// Some mistakes cannot be detected: races within a warp or between two streams that run at the same time, two streams
// with the same workspace, and what the host does while a stream is busy. Nor does it have the speed of a GPU, the
// rounding of its functions, or the checks of NVIDIA's libraries.

#include <algorithm>
#include <cmath>
#include <csetjmp>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

[[noreturn]] static void stop(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("stand-in for a GPU: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    abort();
}

// -- The extensions of CUDA C ----------------------------------------------------------------------------------------

struct Dim {
    unsigned x, y, z;
};

static Dim gridDim, blockDim, blockIdx, threadIdx;
#define __global__
#define __device__
#define __shared__

// The bytes of shared memory that a block has on every GPU.
const size_t SHARED = 48 << 10;
double shared_memory[SHARED / sizeof(double)];

enum Waits { RUNS, FOR_BLOCK, FOR_WARP, ENDED };

struct Thread {
    std::vector<char> stack = std::vector<char>(32 << 10);
    ucontext_t begin;
    jmp_buf stopped;
    bool started;
    Waits waits;
    Dim index;
    uint64_t shown; // the value that the other threads of the warp read in a shuffle
};

static std::vector<Thread> threads(1024);
static size_t current;
static jmp_buf scheduler;
static std::function<void()> kernel;

static void wait(Waits what) {
    Thread &self = threads[current];
    self.waits = what;
    if (!_setjmp(self.stopped)) _longjmp(scheduler, 1);
    threadIdx = self.index;
}

static void run_thread() {
    kernel();
    threads[current].waits = ENDED;
    _longjmp(scheduler, 1);
}

static void __syncthreads() {
    wait(FOR_BLOCK);
}

static void __syncwarp(unsigned) {
    wait(FOR_WARP);
}

template <typename T> static T __shfl_xor_sync(unsigned lanes, T x, size_t offset) {
    if (lanes != 0xffffffffu) stop("a shuffle must be of all lanes");
    Thread &self = threads[current];
    memcpy(&self.shown, &x, sizeof x);
    wait(FOR_WARP);
    memcpy(&x, &threads[current ^ offset].shown, sizeof x);
    wait(FOR_WARP);
    return x;
}

// Runs a thread until it waits or ends.
static void resume(size_t index) {
    Thread &thread = threads[index];
    current = index;
    threadIdx = thread.index;
    if (_setjmp(scheduler)) return;
    if (std::exchange(thread.started, true)) _longjmp(thread.stopped, 1);
    setcontext(&thread.begin);
}

// Lets the threads of a range go on if all of them wait at the barrier `what`. Returns true if they did.
static bool meet(size_t begin, size_t end, Waits what) {
    auto count = [&](Waits waits) {
        auto first = threads.begin() + begin, last = threads.begin() + end;
        return (size_t)std::count_if(first, last, [=](auto &thread) { return thread.waits == waits; });
    };
    if (count(what) == 0 || count(what) + count(ENDED) < end - begin) return false;
    if (count(ENDED) > 0) stop("a thread waits for one that has ended");
    for (size_t index = begin; index < end; index++) threads[index].waits = RUNS;
    return true;
}

static void run_block(size_t count, size_t shared) {
    std::fill(std::begin(shared_memory), std::end(shared_memory), NAN);
    for (size_t index = 0; index < count; index++) {
        Thread &thread = threads[index];
        getcontext(&thread.begin);
        thread.begin.uc_stack.ss_sp = thread.stack.data();
        thread.begin.uc_stack.ss_size = thread.stack.size();
        makecontext(&thread.begin, run_thread, 0);
        thread.started = false;
        thread.waits = RUNS;
        thread.index = {(unsigned)index % blockDim.x, (unsigned)index / blockDim.x, 0};
    }
    static unsigned turn;
    for (bool goes_on = true; goes_on;) {
        goes_on = false;
        turn++;
        for (size_t number = 0; number < count; number += 32) {
            size_t begin = turn % 2 ? number : (count - 1) / 32 * 32 - number, end = std::min(begin + 32, count);
            do {
                for (size_t lane = begin; lane < end; lane++) {
                    size_t index = turn % 3 ? lane : begin + end - 1 - lane;
                    if (threads[index].waits != RUNS) continue;
                    resume(index);
                    goes_on = true;
                }
            } while (meet(begin, end, FOR_WARP));
        }
        goes_on |= meet(0, count, FOR_BLOCK);
    }
    for (size_t index = 0; index < count; index++) {
        if (threads[index].waits != ENDED) stop("the threads of a block wait for each other forever");
    }
    for (size_t at = (shared + 7) / 8; at < SHARED / 8; at++) {
        if (!std::isnan(shared_memory[at])) stop("a block uses more shared memory than the %zu bytes it has", shared);
    }
}

#include "../../vit-train/src/fused/cuda/kernels.cu"

// -- Kernels by name -------------------------------------------------------------------------------------------------

// Returns a call of a kernel with copies of these arguments.
template <typename... T, size_t... N>
static std::function<void()> bind_arguments(void (*function)(T...), void **arguments, std::index_sequence<N...>) {
    std::tuple<T...> values(*(T *)arguments[N]...);
    return [=] { std::apply(function, values); };
}

template <typename... T> static auto bound(void (*function)(T...), void **arguments) {
    return bind_arguments(function, arguments, std::index_sequence_for<T...>());
}

typedef std::function<void()> (*Kernel)(void **);
static const std::map<std::string, Kernel> kernels = {
#define KERNEL(name) {#name, [](void **arguments) { return bound(name, arguments); }},
#include "kernels.inc"
};

// -- Memory ----------------------------------------------------------------------------------------------------------

const size_t GUARD = 256;
const unsigned char GUARDED = 0xa5, UNWRITTEN = 0xff; // a NaN
static std::map<uintptr_t, size_t> memory;

static void check_range(const void *address, size_t bytes, const char *what) {
    auto next = memory.upper_bound((uintptr_t)address);
    if (next == memory.begin()) stop("%s: not an address of the GPU", what);
    auto [begin, size] = *std::prev(next);
    if ((uintptr_t)address + bytes > begin + size) stop("%s: beyond the end of its allocation", what);
}

static void check_guards() {
    auto guarded = [](const unsigned char *guard) {
        return std::all_of(guard, guard + GUARD, [](unsigned char byte) { return byte == GUARDED; });
    };
    for (auto [begin, size] : memory) {
        auto bytes = (const unsigned char *)begin;
        if (!guarded(bytes - GUARD) || !guarded(bytes + size)) stop("a write beyond %zu bytes of memory", size);
    }
}

// -- Streams ---------------------------------------------------------------------------------------------------------

// An operation in a stream. `reaches` and `waits_for` are points in time, which are numbered from 1; 0 stands for one
// that has always been reached.
struct Item {
    size_t stream;
    std::function<void()> work;
    size_t reaches, waits_for;
};

typedef std::vector<Item> Graph;
typedef size_t Event; // the number of the point in time when it was last recorded

static Graph given, *recording;
static std::vector<size_t> recorded; // the streams that take part in the recording; the first one began it
static size_t streams, times;

// Executes a graph: always the next item of the first stream that need not wait. The order of the streams alternates.
static void run(const Graph &graph) {
    if (graph.empty()) return;
    static bool backwards;
    backwards = !backwards;
    std::vector<std::vector<const Item *>> queues(streams);
    for (auto &item : graph) queues[item.stream].push_back(&item);
    std::vector<size_t> next(streams);
    std::vector<bool> reached(times + 1);
    for (auto &item : graph) reached[item.waits_for] = true; // in an earlier graph, unless it is in this one
    for (auto &item : graph) reached[item.reaches] = item.reaches == 0;
    auto ready = [&](size_t stream) {
        auto &queue = queues[stream];
        return next[stream] < queue.size() && reached[queue[next[stream]]->waits_for];
    };
    for (size_t done = 0; done < graph.size(); done++) {
        size_t place = 0;
        auto stream = [&] { return backwards ? streams - 1 - place : place; };
        while (place < streams && !ready(stream())) place++;
        if (place == streams) stop("the streams wait for each other forever");
        const Item &item = *queues[stream()][next[stream()]++];
        if (item.work) item.work();
        reached[item.reaches] = true;
    }
    check_guards();
}

// Executes all operations that streams were given, because the host waits for them. Waiting cannot be recorded.
static void host_waits(const char *what) {
    if (recording) stop("%s cannot be recorded", what);
    run(std::exchange(given, {}));
}

static int give(Item item) {
    if (item.stream >= streams) stop("there is no such stream");
    if (recording) {
        bool takes_part = std::count(recorded.begin(), recorded.end(), item.stream) > 0;
        auto reached = [&](const Item &other) { return other.reaches == item.waits_for; };
        bool within = item.waits_for != 0 && std::any_of(recording->begin(), recording->end(), reached);
        if (item.waits_for != 0 && !within) stop("an operation in a recording waits for one before the recording");
        if (!takes_part && !within) stop("an operation is queued in a stream that is not part of the recording");
        if (!takes_part) recorded.push_back(item.stream);
    }
    (recording ? *recording : given).push_back(item);
    return 0;
}

static int queue(void *stream, std::function<void()> work) {
    return give({(size_t)stream - 1, work, 0, 0});
}

// Ends the recording. The stream that began it must have waited for the ends of all others.
static Graph *end_record(void *begun) {
    if (!recording || (size_t)begun - 1 != recorded[0]) stop("a recording is ended by a stream that did not begin it");
    for (size_t stream : recorded) {
        size_t end = 0;
        for (auto &item : *recording) {
            if (item.stream == stream) end = item.reaches;
        }
        auto waits = [&](const Item &item) { return item.stream == recorded[0] && end != 0 && item.waits_for == end; };
        bool waited_for = std::any_of(recording->begin(), recording->end(), waits);
        if (stream != recorded[0] && !waited_for) stop("a recording ends before one of its streams");
    }
    recorded.clear();
    return std::exchange(recording, nullptr);
}

static void launch(const std::function<void()> &call, Dim grid, Dim block, size_t shared) {
    kernel = call;
    gridDim = grid;
    blockDim = block;
    for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++) {
        for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++) run_block(block.x * block.y, shared);
    }
}

// Rounds a number to the 10 bits of fraction that a tensor core keeps.
static float tf32(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
    memcpy(&x, &bits, sizeof bits);
    return x;
}

// -- The interfaces --------------------------------------------------------------------------------------------------

static int anything; // a target for handles

extern "C" {
int cuInit(unsigned) { return 0; }
int cuDeviceGetCount(int *count) { return *count = 1, 0; }
int cuDeviceGet(int *device, int index) { return *device = index, index == 0 ? 0 : 101; }
int cuDeviceGetName(char *name, int size, int) { return snprintf(name, size, "stand-in"), 0; }
int cuDeviceGetAttribute(int *value, int attribute, int) {
    const int MAJOR = 75, MEMORY_POOLS = 115;
    return *value = attribute == MAJOR ? 9 : attribute == MEMORY_POOLS, 0;
}
int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &anything, 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxGetCurrent(void **context) { return *context = &anything, 0; }
int cuCtxSetCurrent(void *) { return 0; }
int cuGetErrorString(int, const char **text) { return *text = "an error of the stand-in", 0; }
int cuStreamCreate(void **stream, unsigned) { return *stream = (void *)++streams, 0; }
int cuStreamDestroy_v2(void *) { return host_waits("the end of a stream"), 0; }
int cuStreamSynchronize(void *) { return host_waits("waiting"), 0; }
int cuStreamWaitEvent(void *stream, Event *event, unsigned) { return give({(size_t)stream - 1, {}, 0, *event}); }
int cuEventCreate(Event **event, unsigned) { return *event = new Event(0), 0; }
int cuEventRecord(Event *event, void *stream) { return give({(size_t)stream - 1, {}, *event = ++times, 0}); }
int cuEventDestroy_v2(Event *event) { return delete event, 0; }

int cuMemAllocAsync(void **address, size_t size, void *) {
    host_waits("taking memory");
    auto bytes = (unsigned char *)aligned_alloc(256, (size + 2 * GUARD + 255) / 256 * 256);
    memset(bytes, GUARDED, size + 2 * GUARD);
    *address = memset(bytes + GUARD, UNWRITTEN, size);
    memory[(uintptr_t)*address] = size;
    return 0;
}
int cuMemFreeAsync(void *address, void *) {
    host_waits("giving memory back");
    check_guards();
    memory.erase((uintptr_t)address);
    free((char *)address - GUARD);
    return 0;
}
int cuMemsetD8Async(void *to, unsigned char value, size_t size, void *stream) {
    check_range(to, size, "memset");
    return queue(stream, [=] { memset(to, value, size); });
}
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t size, void *) {
    host_waits("copying from the host");
    check_range(to, size, "a copy from the host");
    return memcpy(to, from, size), 0;
}
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t size, void *) {
    host_waits("copying to the host");
    check_range(from, size, "a copy to the host");
    return memcpy(to, from, size), 0;
}
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t size, void *stream) {
    check_range(to, size, "the target of a copy");
    check_range(from, size, "the source of a copy");
    return queue(stream, [=] { memcpy(to, from, size); });
}

int cuModuleLoadData(void **module, const void *) { return *module = &anything, 0; }
int cuModuleUnload(void *) { return 0; }
int cuModuleGetFunction(Kernel *function, void *, const char *name) {
    auto found = kernels.find(name);
    const int NOT_FOUND = 500;
    return found == kernels.end() ? NOT_FOUND : (*function = found->second, 0);
}
int cuLaunchKernel(Kernel function, unsigned grid_x, unsigned grid_y, unsigned, unsigned x, unsigned y, unsigned,
                   unsigned shared, void *stream, void **arguments, void **) {
    if (x * y > 1024 || shared > SHARED) stop("a block is too large: %u threads, %u bytes", x * y, shared);
    auto call = function(arguments);
    return queue(stream, [=] { launch(call, {grid_x, grid_y, 1}, {x, y, 1}, shared); });
}
int cuStreamBeginCapture_v2(void *stream, int) {
    host_waits("the beginning of a recording");
    recorded = {(size_t)stream - 1};
    return recording = new Graph, 0;
}
int cuStreamEndCapture(void *stream, Graph **graph) { return *graph = end_record(stream), 0; }
int cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long) { return *executable = graph, 0; }
int cuGraphUpload(Graph *, void *) { return 0; }
int cuGraphLaunch(Graph *graph, void *) {
    return host_waits("the launch of a graph"), run(*graph), 0;
}
int cuGraphExecDestroy(Graph *) { return 0; }
int cuGraphDestroy(Graph *graph) { return delete graph, 0; }

int cublasCreate_v2(void ***handle) { return *handle = new void *(), 0; }
int cublasDestroy_v2(void **handle) { return delete handle, 0; }
int cublasSetStream_v2(void **handle, void *stream) { return *handle = stream, 0; }
int cublasSetWorkspace_v2(void *, void *workspace, size_t size) { return check_range(workspace, size, "workspace"), 0; }
// Computes c = alpha op(a) op(b) + beta c, column by column, where op(a) is m x k and op(b) is k x n.
int cublasGemmEx(void **stream, int transpose_a, int transpose_b, int m, int n, int k, const float *alpha,
                 const float *a, int, int lda, const float *b, int, int ldb, const float *beta, float *c, int, int ldc,
                 int compute, int) {
    const int INVALID = 7, FAST_TF32 = 77;
    if (lda < (transpose_a ? k : m) || ldb < (transpose_b ? n : k) || ldc < m) return INVALID;
    auto bytes = [](size_t stride, size_t columns, size_t rows) { return 4 * (stride * (columns - 1) + rows); };
    check_range(a, transpose_a ? bytes(lda, m, k) : bytes(lda, k, m), "a factor");
    check_range(b, transpose_b ? bytes(ldb, k, n) : bytes(ldb, n, k), "a factor");
    check_range(c, bytes(ldc, n, m), "a product");
    return queue(*stream, [=, alpha = *alpha, beta = *beta] {
        auto rounded = [=](float x) { return compute == FAST_TF32 ? tf32(x) : x; };
        std::vector<float> column(m);
        for (int j = 0; j < n; j++) {
            std::fill(column.begin(), column.end(), 0.0f);
            for (int l = 0; l < k; l++) {
                float right = rounded(b[transpose_b ? j + (size_t)l * ldb : l + (size_t)j * ldb]);
                for (int i = 0; i < m; i++) {
                    column[i] += rounded(a[transpose_a ? l + (size_t)i * lda : i + (size_t)l * lda]) * right;
                }
            }
            for (int i = 0; i < m; i++) {
                float &out = c[i + (size_t)j * ldc];
                out = alpha * column[i] + (beta == 0.0f ? 0.0f : beta * out);
            }
        }
    });
}
}
