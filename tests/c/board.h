/* What the programs of these tests need of the machine that they run on. semihosting.c implements it for emulated
   chips, and host.c for a PC. */

#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Ends the program. 0 means success.
void board_exit(int code);

// Prints a text that ends in a zero byte.
void board_print(const char *text);

// Prints a text of this length.
void board_print_bytes(const char *text, size_t length);

// Prints a number in decimal.
void board_print_number(uint32_t number);

// Opens a file in the folder that the test has made for this run. Returns its handle, or -1 if it cannot be opened.
int board_open(const char *name, bool for_writing);

// Reads this many bytes. Returns false if there are not enough.
bool board_read(int file, void *bytes, size_t count);

// Writes this many bytes. Returns false if that fails.
bool board_write(int file, const void *bytes, size_t count);

// Closes a file. Returns false if what was written to it may be lost.
bool board_close(int file);

// Returns the ticks of a timer of 24 bits, which counts upwards. On a PC, this is always 0.
uint32_t board_ticks(void);

// Calls a function, and returns the number of bytes of stack that the call took. On a PC, this is always 0.
size_t board_stack_of(void (*function)(void *), void *context);

#ifdef __cplusplus
}
#endif

#endif
