/* A stand-in for libnvidia-ml.so.1: the entry points that our collector and nvitop call.
 *
 * What it says is in a text file named by $FAKE_NVML, read again whenever it changes, so that a
 * test moves the numbers of a GPU while the program under test runs:
 *
 *   driver=570.86.15           system keys come before the first [gpu]
 *   [gpu]
 *   power=312000               in the unit of the call that returns it
 *   power=!15                  the call returns NVML error 15
 *   power=@200 312000          the call takes 200 ms
 *   power=!segv                the call crashes the process
 *   proc=compute PID BYTES [GPU_INSTANCE COMPUTE_INSTANCE]
 *   xid=1 79                   one event with XID 79; another first number makes another event
 *   all=!15                    every call on the GPU returns this error
 *   handle=!15                 there is no handle for the GPU
 *   [mig 0]                    the MIG device in place 0 of the last [gpu]
 *
 * A key that is not there makes its call return NVML_ERROR_NOT_SUPPORTED.
 *
 * Names, signatures and struct layouts are those of nvml.h; struct layouts as in nvidia-ml-py.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef unsigned int u32;
typedef unsigned long long u64;
typedef int Return;

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    TIMEOUT = 10,
    MEMORY = 20,
    VERSION_MISMATCH = 25
};
enum { MAX_DEVICES = 64, MAX_PAIRS = 128, KEY_SIZE = 40, VALUE_SIZE = 160, NO_INSTANCE = -1 };

#define API __attribute__((visibility("default")))

typedef struct {
    char key[KEY_SIZE], value[VALUE_SIZE];
} Pair;

typedef struct Device {
    Pair pairs[MAX_PAIRS];
    int count;
    int index;
    int mig_place; /* -1 for a whole GPU */
    struct Device *parent;
} Device;

static Device system_keys, devices[MAX_DEVICES];
static int device_count, initialized;
static struct stat loaded;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- the file -------------------------------------------------------------------------- */

static void add_pair(Device *device, const char *key, const char *value) {
    if (device->count == MAX_PAIRS) return;
    Pair *pair = &device->pairs[device->count++];
    snprintf(pair->key, KEY_SIZE, "%.39s", key);
    snprintf(pair->value, VALUE_SIZE, "%.159s", value);
}

static int same_file(const struct stat *now) {
    return now->st_ino == loaded.st_ino && now->st_size == loaded.st_size &&
           now->st_mtim.tv_sec == loaded.st_mtim.tv_sec && now->st_mtim.tv_nsec == loaded.st_mtim.tv_nsec;
}

static void load(void) {
    const char *path = getenv("FAKE_NVML");
    struct stat now;
    if (!path || stat(path, &now) || same_file(&now)) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    char line[256];
    Device *current = &system_keys, *gpu = NULL;
    int gpus = 0;
    loaded = now;
    system_keys.count = device_count = 0;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (*line == '[' && device_count < MAX_DEVICES) {
            current = &devices[device_count++];
            current->count = 0;
            current->mig_place = strncmp(line, "[mig", 4) ? -1 : atoi(line + 4);
            current->parent = current->mig_place < 0 ? NULL : gpu;
            if (!current->parent) {
                gpu = current;
                current->index = gpus++;
            }
            continue;
        }
        char *equals = strchr(line, '=');
        if (!equals) continue;
        *equals = 0;
        add_pair(current, line, equals + 1);
    }
    fclose(file);
}

static const char *find(const Device *device, const char *key) {
    for (int i = 0; i < device->count; i++)
        if (!strcmp(device->pairs[i].key, key)) return device->pairs[i].value;
    return NULL;
}

static int known(const Device *device) {
    return device == &system_keys || (device >= devices && device < devices + device_count);
}

/* The value of a key, with errors, delays and crashes as the file demands. */
static Return text_of(Device *device, const char *key, char *out, size_t size) {
    char found[VALUE_SIZE] = "";
    long delay_ms = 0;
    Return result = SUCCESS;
    pthread_mutex_lock(&lock);
    load();
    if (!initialized) {
        result = UNINITIALIZED;
    } else if (!known(device)) {
        result = INVALID_ARGUMENT;
    } else {
        const char *all = find(device, "all"), *value = all ? all : find(device, key);
        if (value && *value == '@') {
            char *end;
            delay_ms = strtol(value + 1, &end, 10);
            value = end + (*end == ' ');
        }
        if (!value)
            result = NOT_SUPPORTED;
        else if (!strcmp(value, "!segv"))
            raise(SIGSEGV);
        else if (*value == '!')
            result = atoi(value + 1);
        else
            snprintf(found, sizeof found, "%s", value);
    }
    pthread_mutex_unlock(&lock);
    if (delay_ms) usleep(delay_ms * 1000);
    if (result) return result;
    if (strlen(found) >= size) return INSUFFICIENT_SIZE;
    strcpy(out, found);
    return SUCCESS;
}

/* Up to four numbers of a key. */
static Return numbers_of(Device *device, const char *key, int count, u64 *out) {
    char text[VALUE_SIZE], *next = text;
    Return result = text_of(device, key, text, sizeof text);
    for (int i = 0; !result && i < count; i++) out[i] = strtoull(next, &next, 0);
    return result;
}

static Return number32(Device *device, const char *key, u32 *out) {
    u64 value;
    Return result = numbers_of(device, key, 1, &value);
    if (!result) *out = (u32)value;
    return result;
}

#define TEXT(function, key) \
    API Return function(Device *device, char *out, u32 size) { return text_of(device, key, out, size); }
#define NUMBER(function, key) \
    API Return function(Device *device, u32 *out) { return number32(device, key, out); }
#define NUMBER64(function, key) \
    API Return function(Device *device, u64 *out) { return numbers_of(device, key, 1, out); }
#define NUMBER_OF(function, key)                                \
    API Return function(Device *device, u32 which, u32 *out) {  \
        char name[KEY_SIZE];                                    \
        snprintf(name, sizeof name, key "%u", which);           \
        return number32(device, name, out);                     \
    }

/* ---- library and system ---------------------------------------------------------------- */

API Return nvmlInitWithFlags(u32 flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    load();
    const char *wanted = find(&system_keys, "init");
    Return result = wanted && *wanted == '!' ? atoi(wanted + 1) : SUCCESS;
    if (!result) initialized++;
    pthread_mutex_unlock(&lock);
    if (wanted && *wanted == '@') usleep(atol(wanted + 1) * 1000);
    return result;
}
API Return nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
API Return nvmlShutdown(void) {
    pthread_mutex_lock(&lock);
    Return result = initialized ? SUCCESS : UNINITIALIZED;
    if (initialized) initialized--;
    pthread_mutex_unlock(&lock);
    return result;
}
API const char *nvmlErrorString(Return result) {
    return result == NOT_SUPPORTED ? "Not Supported" : "stand-in error";
}
API Return nvmlSystemGetDriverVersion(char *out, u32 size) { return text_of(&system_keys, "driver", out, size); }
API Return nvmlSystemGetNVMLVersion(char *out, u32 size) { return text_of(&system_keys, "nvml", out, size); }
API Return nvmlSystemGetCudaDriverVersion(int *out) { return number32(&system_keys, "cuda", (u32 *)out); }
API Return nvmlSystemGetCudaDriverVersion_v2(int *out) { return number32(&system_keys, "cuda", (u32 *)out); }

/* ---- handles --------------------------------------------------------------------------- */

typedef int (*Matches)(const Device *, const void *);

static Return pick(Device **out, Matches matches, const void *wanted) {
    Return result = NOT_FOUND;
    pthread_mutex_lock(&lock);
    load();
    if (!initialized) result = UNINITIALIZED;
    for (int i = 0; result == NOT_FOUND && i < device_count; i++) {
        if (!matches(&devices[i], wanted)) continue;
        const char *error = find(&devices[i], "handle");
        result = error ? atoi(error + 1) : SUCCESS;
        *out = &devices[i];
    }
    pthread_mutex_unlock(&lock);
    return result;
}
static int has_index(const Device *device, const void *wanted) {
    return device->mig_place < 0 && device->index == (int)*(const u32 *)wanted;
}
static int has_uuid(const Device *device, const void *wanted) {
    const char *value = find(device, "uuid");
    return value && !strcmp(value, wanted);
}
static int has_bus(const Device *device, const void *wanted) {
    const char *value = find(device, "bus");
    return value && !strcasecmp(value, wanted);
}
API Return nvmlDeviceGetCount_v2(u32 *out) {
    char text[VALUE_SIZE];
    Return result = text_of(&system_keys, "driver", text, sizeof text);
    if (result) return result;
    *out = 0;
    for (int i = 0; i < device_count; i++) *out += devices[i].mig_place < 0;
    return SUCCESS;
}
API Return nvmlDeviceGetHandleByIndex_v2(u32 index, Device **out) {
    Return result = pick(out, has_index, &index);
    return result == NOT_FOUND ? INVALID_ARGUMENT : result;
}
API Return nvmlDeviceGetHandleByUUID(const char *uuid, Device **out) { return pick(out, has_uuid, uuid); }
API Return nvmlDeviceGetHandleByPciBusId_v2(const char *bus, Device **out) { return pick(out, has_bus, bus); }
API Return nvmlDeviceGetIndex(Device *device, u32 *out) {
    *out = device->index;
    return SUCCESS;
}
API Return nvmlDeviceGetMinorNumber(Device *device, u32 *out) { return nvmlDeviceGetIndex(device, out); }

/* ---- identity -------------------------------------------------------------------------- */

TEXT(nvmlDeviceGetName, "name")
TEXT(nvmlDeviceGetUUID, "uuid")
TEXT(nvmlDeviceGetSerial, "serial")

typedef struct {
    char legacy_bus[16];
    u32 domain, bus, device, id, subsystem;
    char bus_id[32];
} PciInfo;

API Return nvmlDeviceGetPciInfo_v3(Device *device, PciInfo *out) {
    char text[VALUE_SIZE];
    Return result = text_of(device, "bus", text, sizeof text);
    if (result) return result;
    memset(out, 0, sizeof *out);
    snprintf(out->bus_id, sizeof out->bus_id, "%.31s", text);
    sscanf(text, "%x:%x:%x", &out->domain, &out->bus, &out->device);
    return SUCCESS;
}
API Return nvmlDeviceGetCudaComputeCapability(Device *device, int *major, int *minor) {
    u64 values[2];
    Return result = numbers_of(device, "compute_capability", 2, values);
    if (!result) *major = (int)values[0], *minor = (int)values[1];
    return result;
}

/* ---- memory, utilisation, power, heat, clocks -------------------------------------------- */

typedef struct {
    u64 total, free, used;
} Memory;
typedef struct {
    u32 version;
    u64 total, reserved, free, used;
} Memory2;
enum { MEMORY_V2 = 0x02000028, TEMPERATURE_V1 = 0x0100000C };

/* memory=TOTAL USED RESERVED */
API Return nvmlDeviceGetMemoryInfo(Device *device, Memory *out) {
    u64 values[3];
    Return result = numbers_of(device, "memory", 3, values);
    if (!result) *out = (Memory){values[0], values[0] - values[1] - values[2], values[1] + values[2]};
    return result;
}
API Return nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *out) {
    u64 values[3];
    if (out->version != MEMORY_V2) return VERSION_MISMATCH;
    Return result = numbers_of(device, "memory", 3, values);
    if (!result) *out = (Memory2){MEMORY_V2, values[0], values[2], values[0] - values[1] - values[2], values[1]};
    return result;
}
API Return nvmlDeviceGetUtilizationRates(Device *device, u32 *out) {
    u64 values[2];
    Return result = numbers_of(device, "utilization", 2, values);
    if (!result) out[0] = (u32)values[0], out[1] = (u32)values[1];
    return result;
}
NUMBER(nvmlDeviceGetPowerUsage, "power")
NUMBER(nvmlDeviceGetEnforcedPowerLimit, "power_limit")
NUMBER(nvmlDeviceGetPowerManagementLimit, "power_limit")
NUMBER64(nvmlDeviceGetTotalEnergyConsumption, "energy")
API Return nvmlDeviceGetTemperature(Device *device, u32 sensor, u32 *out) {
    return sensor ? INVALID_ARGUMENT : number32(device, "temperature", out);
}
typedef struct {
    u32 version, sensor;
    int celsius;
} Temperature;
API Return nvmlDeviceGetTemperatureV(Device *device, Temperature *out) {
    return out->version != TEMPERATURE_V1 ? VERSION_MISMATCH : number32(device, "temperature", (u32 *)&out->celsius);
}
NUMBER_OF(nvmlDeviceGetTemperatureThreshold, "threshold")
NUMBER(nvmlDeviceGetFanSpeed, "fan")
NUMBER_OF(nvmlDeviceGetClockInfo, "clock")
NUMBER_OF(nvmlDeviceGetMaxClockInfo, "max_clock")
NUMBER64(nvmlDeviceGetCurrentClocksEventReasons, "throttle")
NUMBER64(nvmlDeviceGetCurrentClocksThrottleReasons, "throttle")
NUMBER(nvmlDeviceGetPerformanceState, "pstate")
NUMBER(nvmlDeviceGetPersistenceMode, "persistence")
NUMBER(nvmlDeviceGetComputeMode, "compute_mode")
NUMBER(nvmlDeviceGetDisplayMode, "display")
NUMBER(nvmlDeviceGetDisplayActive, "display")

/* ---- PCIe, ECC, field values -------------------------------------------------------------- */

NUMBER_OF(nvmlDeviceGetPcieThroughput, "pcie")
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration, "pcie_generation")
NUMBER(nvmlDeviceGetCurrPcieLinkWidth, "pcie_width")
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration, "pcie_generation")
NUMBER(nvmlDeviceGetMaxPcieLinkWidth, "pcie_width")

API Return nvmlDeviceGetEccMode(Device *device, u32 *current, u32 *pending) {
    u64 values[2];
    Return result = numbers_of(device, "ecc_mode", 2, values);
    if (!result) *current = (u32)values[0], *pending = (u32)values[1];
    return result;
}
API Return nvmlDeviceGetTotalEccErrors(Device *device, u32 type, u32 counter, u64 *out) {
    char name[KEY_SIZE];
    snprintf(name, sizeof name, "ecc_%u_%u", type, counter);
    return numbers_of(device, name, 1, out);
}
API Return nvmlDeviceGetRemappedRows(Device *device, u32 *corrected, u32 *uncorrected, u32 *pending, u32 *failed) {
    u64 values[4];
    Return result = numbers_of(device, "remapped", 4, values);
    if (result) return result;
    *corrected = (u32)values[0], *uncorrected = (u32)values[1], *pending = (u32)values[2], *failed = (u32)values[3];
    return SUCCESS;
}
typedef struct {
    u32 id, scope;
    long long timestamp_us, latency_us;
    u32 value_type;
    Return result;
    u64 value;
} FieldValue;
API Return nvmlDeviceGetFieldValues(Device *device, int count, FieldValue *fields) {
    for (int i = 0; i < count; i++) {
        char name[KEY_SIZE];
        snprintf(name, sizeof name, "field%u", fields[i].id);
        fields[i].value = 0;
        fields[i].result = numbers_of(device, name, 1, &fields[i].value);
    }
    return SUCCESS;
}

/* ---- processes ---------------------------------------------------------------------------- */

typedef struct {
    u32 pid;
    u64 used;
    u32 gpu_instance, compute_instance;
} Process;

static Return processes(Device *device, const char *kind, u32 *count, Process *out) {
    char text[VALUE_SIZE];
    u32 found = 0, room = *count;
    Return result = text_of(device, "procs", text, sizeof text); /* makes the lists fail */
    if (result && result != NOT_SUPPORTED) return result;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < device->count; i++) {
        char its_kind[16];
        Process one = {0, 0, (u32)NO_INSTANCE, (u32)NO_INSTANCE};
        if (strcmp(device->pairs[i].key, "proc")) continue;
        if (sscanf(device->pairs[i].value, "%15s %u %llu %u %u", its_kind, &one.pid, &one.used, &one.gpu_instance,
                   &one.compute_instance) < 3)
            continue;
        if (strcmp(its_kind, kind)) continue;
        if (out && found < room) out[found] = one;
        found++;
    }
    pthread_mutex_unlock(&lock);
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}
#define PROCESSES(function, kind)                                            \
    API Return function##_v2(Device *device, u32 *count, Process *out) {     \
        return processes(device, kind, count, out);                          \
    }                                                                        \
    API Return function##_v3(Device *device, u32 *count, Process *out) {     \
        return processes(device, kind, count, out);                          \
    }
PROCESSES(nvmlDeviceGetComputeRunningProcesses, "compute")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses, "graphics")
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses, "mps")

/* ---- MIG ---------------------------------------------------------------------------------- */

API Return nvmlDeviceGetMigMode(Device *device, u32 *current, u32 *pending) {
    u64 values[2];
    Return result = numbers_of(device, "mig", 2, values);
    if (!result) *current = (u32)values[0], *pending = (u32)values[1];
    return result;
}
API Return nvmlDeviceGetMaxMigDeviceCount(Device *device, u32 *out) {
    u32 current, pending;
    *out = nvmlDeviceGetMigMode(device, &current, &pending) ? 0 : 7;
    return SUCCESS;
}
API Return nvmlDeviceGetMigDeviceHandleByIndex(Device *device, u32 place, Device **out) {
    for (int i = 0; i < device_count; i++) {
        if (devices[i].parent != device || devices[i].mig_place != (int)place) continue;
        *out = &devices[i];
        return SUCCESS;
    }
    return NOT_FOUND;
}
API Return nvmlDeviceIsMigDeviceHandle(Device *device, u32 *out) {
    *out = device->mig_place >= 0;
    return SUCCESS;
}
API Return nvmlDeviceGetDeviceHandleFromMigDeviceHandle(Device *device, Device **out) {
    *out = device->parent;
    return device->parent ? SUCCESS : INVALID_ARGUMENT;
}
NUMBER(nvmlDeviceGetGpuInstanceId, "gpu_instance")
NUMBER(nvmlDeviceGetComputeInstanceId, "compute_instance")

/* ---- events ------------------------------------------------------------------------------- */

enum { XID_EVENT = 8, POLL_MS = 50 };

typedef struct {
    Device *devices[MAX_DEVICES];
    char seen[MAX_DEVICES][VALUE_SIZE];
    int count;
} EventSet;
typedef struct {
    Device *device;
    u64 type, data;
    u32 gpu_instance, compute_instance;
} Event;

API Return nvmlEventSetCreate(EventSet **out) {
    *out = calloc(1, sizeof **out);
    return *out ? SUCCESS : MEMORY;
}
API Return nvmlDeviceRegisterEvents(Device *device, u64 types, EventSet *set) {
    (void)types;
    pthread_mutex_lock(&lock);
    int known_at = 0;
    while (known_at < set->count && set->devices[known_at] != device) known_at++;
    if (known_at == set->count && set->count < MAX_DEVICES) set->devices[set->count++] = device;
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}
static int next_event(EventSet *set, Event *out) {
    for (int i = 0; i < set->count; i++) {
        const char *xid = find(set->devices[i], "xid");
        if (!xid || !strcmp(xid, set->seen[i])) continue;
        snprintf(set->seen[i], VALUE_SIZE, "%s", xid);
        memset(out, 0, sizeof *out);
        out->device = set->devices[i];
        out->type = XID_EVENT;
        sscanf(xid, "%*u %llu", &out->data);
        return 1;
    }
    return 0;
}
API Return nvmlEventSetWait_v2(EventSet *set, Event *out, u32 timeout_ms) {
    struct timespec step = {0, POLL_MS * 1000000L};
    for (u32 waited_ms = 0;; waited_ms += POLL_MS) {
        pthread_mutex_lock(&lock);
        load();
        int found = next_event(set, out);
        pthread_mutex_unlock(&lock);
        if (found) return SUCCESS;
        if (waited_ms >= timeout_ms) return TIMEOUT;
        nanosleep(&step, NULL);
    }
}

/* ---- asked for by nvitop, never offered ------------------------------------------------------ */

#define NEVER(function)                  \
    API Return function(void *device) {  \
        (void)device;                    \
        return NOT_SUPPORTED;            \
    }
NEVER(nvmlDeviceGetDriverModel)
NEVER(nvmlDeviceGetDriverModel_v2)
NEVER(nvmlDeviceGetProcessUtilization)
NEVER(nvmlDeviceGetProcessesUtilizationInfo)
NEVER(nvmlDeviceGetBAR1MemoryInfo)
NEVER(nvmlDeviceGetEncoderUtilization)
NEVER(nvmlDeviceGetDecoderUtilization)
