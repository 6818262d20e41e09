/* What nvidia-ml-py asks of NVIDIA's driver about one GPU, answered from the file that TEST_NVML names.

   Its lines, read anew at every call:  total PERCENT | process PID PERCENT | process self PERCENT | mig 0 or 1
   | fail CODE.  Without the variable there is no driver. As in the driver's own buffer, an entry nobody wrote is
   among the samples. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { OK = 0, BAD_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9 };
enum { MOST = 16 };
#define UUID "GPU-11111111-2222-3333-4444-555555555555"

typedef struct { unsigned int gpu, memory; } Rates;
typedef struct {
    unsigned int pid;
    unsigned long long at;
    unsigned int sm, memory, encoder, decoder;
} Sample;
typedef struct {
    unsigned int total, mig, fail, count;
    Sample samples[MOST];
} State;

static int gpu;

static int read_state(State *state) {
    memset(state, 0, sizeof *state);
    const char *name = getenv("TEST_NVML");
    FILE *file = name ? fopen(name, "r") : NULL;
    if (!file) return NO_DRIVER;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    unsigned long long at = now.tv_sec * 1000000ull + now.tv_nsec / 1000;
    char line[128], who[32];
    unsigned int value;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "total %u", &value) == 1) state->total = value;
        else if (sscanf(line, "mig %u", &value) == 1) state->mig = value;
        else if (sscanf(line, "fail %u", &value) == 1) state->fail = value;
        else if (sscanf(line, "process %31s %u", who, &value) == 2 && state->count < MOST - 1) {
            unsigned int pid = strcmp(who, "self") ? (unsigned int)atoi(who) : (unsigned int)getpid();
            state->samples[state->count++] = (Sample){.pid = pid, .at = at, .sm = value};
        }
    }
    fclose(file);
    return state->fail;
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    return getenv("TEST_NVML") ? OK : NO_DRIVER;
}

const char *nvmlErrorString(int code) { return code == NO_DRIVER ? "Driver Not Loaded" : "Fault of the test"; }

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    *handle = &gpu;
    return strcmp(uuid, UUID) ? NOT_FOUND : OK;
}

int nvmlDeviceGetName(void *handle, char *name, unsigned int length) {
    snprintf(name, length, "Test GPU");
    return handle == &gpu ? OK : BAD_ARGUMENT;
}

int nvmlDeviceGetMigMode(void *handle, unsigned int *current, unsigned int *pending) {
    State state;
    read_state(&state);
    *current = *pending = state.mig;
    return handle == &gpu ? OK : BAD_ARGUMENT;
}

int nvmlDeviceGetUtilizationRates(void *handle, Rates *rates) {
    State state;
    int code = read_state(&state);
    if (handle != &gpu) return BAD_ARGUMENT;
    *rates = (Rates){state.total, 0};
    return state.mig ? NOT_SUPPORTED : code;
}

int nvmlDeviceGetProcessUtilization(void *handle, Sample *samples, unsigned int *count, unsigned long long seen) {
    State state;
    int code = read_state(&state);
    if (handle != &gpu) return BAD_ARGUMENT;
    if (code) return code;
    if (!state.count || state.samples[0].at <= seen) return NOT_FOUND;
    unsigned int room = *count;
    *count = state.count + 1;
    if (!samples || room < *count) return TOO_SMALL;
    memcpy(samples, state.samples, state.count * sizeof *samples);
    samples[state.count] = (Sample){.pid = 1, .at = 0, .sm = 4000000000u};
    return OK;
}
