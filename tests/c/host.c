/* Text and files on a PC. */

#include "board.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_FILES = 4 };

static FILE *files[MAX_FILES];

void board_exit(int code)
{
    exit(code);
}

void board_print(const char *text)
{
    fputs(text, stdout);
}

void board_print_bytes(const char *text, size_t length)
{
    fwrite(text, 1, length, stdout);
}

void board_print_number(uint32_t number)
{
    printf("%lu", (unsigned long)number);
}

int board_open(const char *name, bool for_writing)
{
    for (int file = 0; file < MAX_FILES; ++file) {
        if (files[file] == NULL) {
            files[file] = fopen(name, for_writing ? "wb" : "rb");
            return files[file] == NULL ? -1 : file;
        }
    }
    return -1;
}

bool board_read(int file, void *bytes, size_t count)
{
    return fread(bytes, 1, count, files[file]) == count;
}

bool board_write(int file, const void *bytes, size_t count)
{
    return fwrite(bytes, 1, count, files[file]) == count;
}

bool board_close(int file)
{
    const bool closed = fclose(files[file]) == 0;
    files[file] = NULL;
    return closed;
}

uint32_t board_ticks(void)
{
    return 0;
}

size_t board_stack_of(void (*function)(void *), void *context)
{
    function(context);
    return 0;
}
