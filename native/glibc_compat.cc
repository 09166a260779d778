// Lets binaries built on a current Linux run on glibc 2.28 too. Linked into the addon and into the test driver.
//
// A linker binds each function to the newest version in the C library it links. glibc 2.34 gave the functions below a
// new version because it moved them into libc.so.6, not because they changed, and older versions cannot load a binary
// bound to that. The first version still exists under its name. So each function is defined here again, hidden, as a
// call of its first version; our objects and the static libstdc++ bind to this definition. Measurements and other
// means: docs/decisions/addon-glibc.md.
#include <features.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#include <dlfcn.h>
#include <pthread.h>

// The oldest version that glibc has on each architecture.
#if defined(__x86_64__)
#define FIRST_VERSION "GLIBC_2.2.5"
#else
#define FIRST_VERSION "GLIBC_2.17"
#endif

// Declares first_NAME: the first version of NAME.
#define DECLARE_FIRST(result, name, ...) \
  result first_##name(__VA_ARGS__);      \
  __asm__(".symver first_" #name "," #name "@" FIRST_VERSION)

#define HIDDEN __attribute__((visibility("hidden")))

extern "C" {

DECLARE_FIRST(int, pthread_create, pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
DECLARE_FIRST(int, pthread_join, pthread_t, void**);
DECLARE_FIRST(int, pthread_once, pthread_once_t*, void (*)());
DECLARE_FIRST(int, __pthread_key_create, pthread_key_t*, void (*)(void*));
DECLARE_FIRST(void*, dlopen, const char*, int);
DECLARE_FIRST(void*, dlsym, void*, const char*);
DECLARE_FIRST(int, dladdr, const void*, Dl_info*);
DECLARE_FIRST(char*, dlerror);
DECLARE_FIRST(long, strtol, const char*, char**, int);
DECLARE_FIRST(unsigned long, strtoul, const char*, char**, int);
DECLARE_FIRST(unsigned long long, strtoull, const char*, char**, int);

HIDDEN int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  return first_pthread_create(thread, attributes, run, argument);
}

HIDDEN int pthread_join(pthread_t thread, void** result) { return first_pthread_join(thread, result); }

HIDDEN int pthread_once(pthread_once_t* control, void (*run)()) { return first_pthread_once(control, run); }

HIDDEN int __pthread_key_create(pthread_key_t* key, void (*destroy)(void*)) {
  return first___pthread_key_create(key, destroy);
}

HIDDEN void* dlopen(const char* path, int mode) { return first_dlopen(path, mode); }

HIDDEN void* dlsym(void* library, const char* name) { return first_dlsym(library, name); }

HIDDEN int dladdr(const void* address, Dl_info* info) { return first_dladdr(address, info); }

HIDDEN char* dlerror() { return first_dlerror(); }

// The headers of glibc 2.38 and newer turn strtol and the like into these, which read binary numbers (0b101) too.
// Nothing here has any.
HIDDEN long __isoc23_strtol(const char* text, char** end, int base) { return first_strtol(text, end, base); }

HIDDEN unsigned long __isoc23_strtoul(const char* text, char** end, int base) { return first_strtoul(text, end, base); }

HIDDEN unsigned long long __isoc23_strtoull(const char* text, char** end, int base) {
  return first_strtoull(text, end, base);
}

// glibc 2.32 and newer: whether the process has one thread alone, so that libstdc++ may count references without atomic
// operations. "No" is right in every process.
HIDDEN extern char __libc_single_threaded;
char __libc_single_threaded = 0;
}

#endif
