/* The start of a firmware on a Cortex-M: the vector table, the variables, the floating-point unit, and what happens if
   something goes wrong. */

#include "board.h"

#if __STDC_HOSTED__
#include <stdlib.h>
#endif

// The linker script defines these symbols. Only their addresses have a meaning.
extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[], stack_top[];
extern void (*const init_array_start[])(void);
extern void (*const init_array_end[])(void);

int main(void);
void reset(void);

// A fault of the processor is a failure of the firmware, which the test can see.
static void fault(void)
{
    board_print("the processor has faulted\n");
    board_exit(1);
}

// The first words of the flash: the stack pointer, and the handlers of the processor's exceptions. No interrupt is
// enabled, so that the table ends after them.
typedef union {
    void *stack;
    void (*handler)(void);
} vector;

__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = stack_top}, {.handler = reset}, {.handler = fault}, {.handler = fault},
    {.handler = fault},   {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault},   {.handler = fault}, {.handler = fault}, {.handler = fault},
    {.handler = fault},   {.handler = fault}, {.handler = fault}, {.handler = fault},
};

void reset(void)
{
#ifdef __ARM_FP
    // The floating-point unit is off at first. Two bits for each of its two halves enable it.
    volatile uint32_t *const cpacr = (volatile uint32_t *)0xE000ED88;
    *cpacr |= 0xFu << 20;
    __asm__ volatile("dsb\n isb" ::: "memory");
#endif
    const uint32_t *from = data_load;
    for (uint32_t *to = data_start; to != data_end; ++to) {
        *to = *from++;
    }
    for (uint32_t *to = bss_start; to != bss_end; ++to) {
        *to = 0;
    }
    for (void (*const *function)(void) = init_array_start; function != init_array_end; ++function) {
        (*function)();
    }
#if __STDC_HOSTED__
    exit(main()); // newlib prints what is left in its buffers, and calls _exit
#else
    board_exit(main());
#endif
}

#if !__STDC_HOSTED__
/* gcc calls these functions even in freestanding programs, for structures that are copied and loops that it recognises.
   The library does not need them. The empty statement keeps gcc from recognising the loops in them. */

void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);

void *memcpy(void *to, const void *from, size_t count)
{
    const uint8_t *source = from;
    for (uint8_t *byte = to; count > 0; --count) {
        *byte++ = *source++;
        __asm__ volatile("");
    }
    return to;
}

void *memset(void *to, int value, size_t count)
{
    for (uint8_t *byte = to; count > 0; --count) {
        *byte++ = (uint8_t)value;
        __asm__ volatile("");
    }
    return to;
}
#endif
