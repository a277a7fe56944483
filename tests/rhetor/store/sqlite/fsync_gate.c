/* Preloaded into a process: fsync and fdatasync wait while the file $FSYNC_GATE exists, and fail while the file
   $FSYNC_FAILS exists. For each call that has to wait, one byte is written to the descriptor $FSYNC_WAITS. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_at_gate(void) {
    const char *gate = getenv("FSYNC_GATE"), *waits = getenv("FSYNC_WAITS");
    if (!gate || !waits || access(gate, F_OK) != 0) return;
    if (write(atoi(waits), ".", 1) != 1) abort();
    while (access(gate, F_OK) == 0) usleep(500);
}

static int fails(void) {
    const char *file = getenv("FSYNC_FAILS");
    if (!file || access(file, F_OK) != 0) return 0;
    errno = EIO;
    return 1;
}

int fsync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_at_gate();
    return fails() ? -1 : real(file);
}

int fdatasync(int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_at_gate();
    return fails() ? -1 : real(file);
}
