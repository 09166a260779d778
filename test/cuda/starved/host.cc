// Preloaded into a child process by starved-host.test.ts, where it stands before libc: the addon's own requests for memory
// and threads can be made to fail, and nobody else's. The same file is an addon that JavaScript controls that with.
#include <link.h>
#include <node_api.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <dlfcn.h>

namespace {

constexpr char kAddon[] = "/vram_residency.node";

std::atomic<uintptr_t> begin{0};
std::atomic<uintptr_t> end{0};
// Requests until the one that fails; 0: none does.
std::atomic<long> countdown{0};
std::atomic<bool> onwards{false};
std::atomic<long> refused{0};
std::atomic<bool> threadsRefused{false};

bool fromAddon(const void* caller) {
  const auto address = reinterpret_cast<uintptr_t>(caller);
  return address >= begin && address < end;
}

bool refuses(const void* caller) {
  if (countdown <= 0 || !fromAddon(caller)) return false;
  if (countdown > 1) {
    countdown--;
    return false;
  }
  if (!onwards) countdown = 0;
  refused++;
  return true;
}

int findAddon(dl_phdr_info* library, std::size_t, void*) {
  const std::size_t length = std::strlen(library->dlpi_name);
  if (length < sizeof kAddon - 1 || std::strcmp(library->dlpi_name + length - (sizeof kAddon - 1), kAddon) != 0) return 0;
  for (int i = 0; i < library->dlpi_phnum; i++) {
    const auto& part = library->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    begin = library->dlpi_addr + part.p_vaddr;
    end = begin + part.p_memsz;
  }
  return 1;
}

double number(napi_env env, napi_callback_info info, bool& second) {
  std::size_t count = 2;
  napi_value values[2] = {};
  double value = 0;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  napi_get_value_double(env, values[0], &value);
  napi_get_value_bool(env, values[1], &second);
  return value;
}

// failAllocation(nth, onwards): the nth request from now fails, and with `onwards` every later one; 0 ends it.
napi_value failAllocation(napi_env env, napi_callback_info info) {
  dl_iterate_phdr(findAddon, nullptr);
  bool all = false;
  const auto nth = static_cast<long>(number(env, info, all));
  countdown = 0;
  refused = 0;
  onwards = all;
  countdown = nth;
  return nullptr;
}

// How many requests for memory were refused since.
napi_value refusals(napi_env env, napi_callback_info) {
  napi_value value = nullptr;
  napi_create_double(env, static_cast<double>(refused.load()), &value);
  return value;
}

// failThreads(1) and failThreads(0).
napi_value failThreads(napi_env env, napi_callback_info info) {
  dl_iterate_phdr(findAddon, nullptr);
  bool unused = false;
  threadsRefused = number(env, info, unused) != 0;
  return nullptr;
}

}  // namespace

extern "C" {

void* __libc_malloc(std::size_t bytes);

__attribute__((visibility("default"))) void* malloc(std::size_t bytes) {
  return refuses(__builtin_return_address(0)) ? nullptr : __libc_malloc(bytes);
}

__attribute__((visibility("default"))) int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                                                          void* (*body)(void*), void* argument) {
  if (threadsRefused && fromAddon(__builtin_return_address(0))) return EAGAIN;
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return real(thread, attributes, body, argument);
}

}  // extern "C"

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {{"failAllocation", failAllocation}, {"refusals", refusals}, {"failThreads", failThreads}};
  for (const auto& function : functions) {
    napi_value value = nullptr;
    napi_create_function(env, function.name, NAPI_AUTO_LENGTH, function.call, nullptr, &value);
    napi_set_named_property(env, exports, function.name, value);
  }
  return exports;
}
