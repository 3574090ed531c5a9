/* Text, files, time and the stack on an emulated Cortex-M. Semihosting is a call of the emulator (or, on a real chip,
   of the debugger): the instruction `bkpt 0xAB`, with the number of an operation and its parameters. */

#include "board.h"

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_READ = 0x06,
    SYS_EXIT_EXTENDED = 0x20,
};

enum {
    OPEN_TO_READ = 1,  // as "rb" of fopen
    OPEN_TO_WRITE = 5, // as "wb"
    APPLICATION_EXIT = 0x20026,
};

static int32_t semihost(int32_t operation, const void *parameters)
{
    register int32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = parameters;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void board_exit(int code)
{
    const uint32_t parameters[2] = {APPLICATION_EXIT, (uint32_t)code};
    semihost(SYS_EXIT_EXTENDED, parameters);
    for (;;) {
    }
}

void board_print(const char *text)
{
    semihost(SYS_WRITE0, text);
}

void board_print_bytes(const char *text, size_t length)
{
    // The emulator prints texts up to a zero byte.
    char part[64];
    while (length > 0) {
        size_t bytes = 0;
        while (bytes < sizeof part - 1 && length > 0) {
            part[bytes++] = *text++;
            --length;
        }
        part[bytes] = '\0';
        board_print(part);
    }
}

void board_print_number(uint32_t number)
{
    char digits[11]; // 4294967295 has ten digits
    char *first = digits + sizeof digits - 1;
    *first = '\0';
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    board_print(first);
}

int board_open(const char *name, bool for_writing)
{
    uint32_t length = 0;
    while (name[length] != '\0') {
        ++length;
    }
    const uint32_t parameters[3] = {
        (uint32_t)(uintptr_t)name,
        for_writing ? OPEN_TO_WRITE : OPEN_TO_READ,
        length,
    };
    return (int)semihost(SYS_OPEN, parameters);
}

// Reads or writes all of the bytes. Both operations return the number of bytes that they have left out.
static bool transfer(int32_t operation, int file, const void *bytes, size_t count)
{
    const uint32_t parameters[3] = {(uint32_t)file, (uint32_t)(uintptr_t)bytes, (uint32_t)count};
    return semihost(operation, parameters) == 0;
}

bool board_read(int file, void *bytes, size_t count)
{
    return transfer(SYS_READ, file, bytes, count);
}

bool board_write(int file, const void *bytes, size_t count)
{
    return transfer(SYS_WRITE, file, bytes, count);
}

bool board_close(int file)
{
    const uint32_t parameters[1] = {(uint32_t)file};
    return semihost(SYS_CLOSE, parameters) == 0;
}

uint32_t board_ticks(void)
{
    volatile uint32_t *const control = (volatile uint32_t *)0xE000E010;
    volatile uint32_t *const reload = (volatile uint32_t *)0xE000E014;
    volatile const uint32_t *const value = (volatile const uint32_t *)0xE000E018;
    if ((*control & 1) == 0) {
        *reload = 0xFFFFFF;
        *control = 5; // count at the clock of the processor, without interrupts
    }
    // SysTick counts down, and begins at 0.
    return (0u - *value) & 0xFFFFFF;
}

extern uint32_t stack_limit[]; // by the linker script

size_t board_stack_of(void (*function)(void *), void *context)
{
    const uint32_t paint = 0xA5A5A5A5;
    volatile uint32_t *top;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    // No variable of this function is below its stack pointer, and no interrupt is enabled.
    for (volatile uint32_t *word = stack_limit; word != top; ++word) {
        *word = paint;
    }
    function(context);
    volatile uint32_t *word = stack_limit;
    while (word != top && *word == paint) {
        ++word;
    }
    return (size_t)((uintptr_t)top - (uintptr_t)word);
}

#if __STDC_HOSTED__
/* What newlib needs of a system: text goes to the log, and the heap, of which printf takes its buffer, is an array.
   There are no files. */

#include <errno.h>
#include <sys/stat.h>

void _exit(int code) __attribute__((noreturn));
int _close(int file);
int _fstat(int file, struct stat *status);
int _getpid(void);
int _isatty(int file);
int _kill(int process, int signal);
int _lseek(int file, int offset, int origin);
int _read(int file, char *bytes, int count);
void *_sbrk(ptrdiff_t growth);
int _write(int file, const char *bytes, int count);

void _exit(int code)
{
    board_exit(code);
    for (;;) {
    }
}

int _write(int file, const char *bytes, int count)
{
    (void)file;
    board_print_bytes(bytes, (size_t)count);
    return count;
}

void *_sbrk(ptrdiff_t growth)
{
    static union {
        uint64_t align;
        char bytes[2048];
    } heap;
    static ptrdiff_t used;
    if (growth < -used || growth > (ptrdiff_t)sizeof heap.bytes - used) {
        errno = ENOMEM;
        return (void *)-1;
    }
    char *const begin = heap.bytes + used;
    used += growth;
    return begin;
}

int _fstat(int file, struct stat *status)
{
    (void)file;
    status->st_mode = S_IFCHR;
    return 0;
}

int _isatty(int file)
{
    (void)file;
    return 1;
}

int _close(int file)
{
    (void)file;
    return -1;
}

int _read(int file, char *bytes, int count)
{
    (void)file;
    (void)bytes;
    (void)count;
    return 0;
}

int _lseek(int file, int offset, int origin)
{
    (void)file;
    (void)offset;
    (void)origin;
    return 0;
}

int _getpid(void)
{
    return 1;
}

int _kill(int process, int signal)
{
    (void)process;
    (void)signal;
    return -1;
}
#endif
