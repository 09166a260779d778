// Values of JavaScript for the controls in control.cc.
#ifndef VRAM_RESIDENCY_EMULATOR_CONTROL_VALUES_H
#define VRAM_RESIDENCY_EMULATOR_CONTROL_VALUES_H

#include <node_api.h>

#include <cstdint>
#include <string>

// Weak: a process without Node can load the library too. It never calls napi_register_module_v1, so it calls none of these.
#pragma weak napi_create_array
#pragma weak napi_create_arraybuffer
#pragma weak napi_create_bigint_uint64
#pragma weak napi_create_double
#pragma weak napi_create_function
#pragma weak napi_create_object
#pragma weak napi_create_string_utf8
#pragma weak napi_create_typedarray
#pragma weak napi_get_array_length
#pragma weak napi_get_boolean
#pragma weak napi_get_cb_info
#pragma weak napi_get_element
#pragma weak napi_get_named_property
#pragma weak napi_get_typedarray_info
#pragma weak napi_get_value_bigint_uint64
#pragma weak napi_get_value_bool
#pragma weak napi_get_value_double
#pragma weak napi_get_value_string_utf8
#pragma weak napi_is_typedarray
#pragma weak napi_set_element
#pragma weak napi_set_named_property
#pragma weak napi_throw_error
#pragma weak napi_typeof

namespace emulator {

struct Failure {
  std::string message;
};

// Arguments and results of one call from JavaScript.
class Js {
 public:
  explicit Js(napi_env env) : env_(env) {}

  void check(napi_status status) const {
    if (status != napi_ok) throw Failure{"Node-API call failed"};
  }
  napi_valuetype type(napi_value value) const {
    napi_valuetype type;
    check(napi_typeof(env_, value, &type));
    return type;
  }
  bool absent(napi_value value) const { return type(value) == napi_undefined || type(value) == napi_null; }
  double number(napi_value value) const {
    double result = 0;
    if (napi_get_value_double(env_, value, &result) != napi_ok) throw Failure{"a number is expected"};
    return result;
  }
  uint64_t whole(napi_value value) const {
    if (type(value) == napi_bigint) {
      uint64_t result = 0;
      bool lossless = false;
      check(napi_get_value_bigint_uint64(env_, value, &result, &lossless));
      if (!lossless) throw Failure{"a 64-bit unsigned integer is expected"};
      return result;
    }
    const double result = number(value);
    if (!(result >= 0 && result <= 9007199254740991.0) || result != static_cast<double>(static_cast<uint64_t>(result)))
      throw Failure{"a whole number, 0 or more, is expected"};
    return static_cast<uint64_t>(result);
  }
  bool boolean(napi_value value) const {
    bool result = false;
    if (napi_get_value_bool(env_, value, &result) != napi_ok) throw Failure{"a boolean is expected"};
    return result;
  }
  std::string text(napi_value value) const {
    size_t length = 0;
    if (napi_get_value_string_utf8(env_, value, nullptr, 0, &length) != napi_ok) throw Failure{"a string is expected"};
    std::string result(length, '\0');
    check(napi_get_value_string_utf8(env_, value, &result[0], length + 1, &length));
    return result;
  }
  // Bytes of a typed array.
  uint8_t* bytes(napi_value value) const {
    bool is = false;
    check(napi_is_typedarray(env_, value, &is));
    if (!is) throw Failure{"a typed array is expected"};
    void* data = nullptr;
    check(napi_get_typedarray_info(env_, value, nullptr, nullptr, &data, nullptr, nullptr));
    return static_cast<uint8_t*>(data);
  }
  // Undefined if the object has no such property.
  napi_value property(napi_value object, const char* name) const {
    napi_value value;
    check(napi_get_named_property(env_, object, name, &value));
    return value;
  }

  napi_value of(double value) const {
    napi_value result;
    check(napi_create_double(env_, value, &result));
    return result;
  }
  napi_value of(size_t value) const { return of(static_cast<double>(value)); }
  napi_value of(bool value) const {
    napi_value result;
    check(napi_get_boolean(env_, value, &result));
    return result;
  }
  napi_value of(const std::string& value) const {
    napi_value result;
    check(napi_create_string_utf8(env_, value.c_str(), value.size(), &result));
    return result;
  }
  napi_value address(const void* value) const {
    napi_value result;
    check(napi_create_bigint_uint64(env_, reinterpret_cast<uint64_t>(value), &result));
    return result;
  }
  napi_value object() const {
    napi_value result;
    check(napi_create_object(env_, &result));
    return result;
  }
  napi_value array() const {
    napi_value result;
    check(napi_create_array(env_, &result));
    return result;
  }
  void set(napi_value object, const char* name, napi_value value) const {
    check(napi_set_named_property(env_, object, name, value));
  }
  void push(napi_value array, napi_value value) const {
    uint32_t length = 0;
    check(napi_get_array_length(env_, array, &length));
    check(napi_set_element(env_, array, length, value));
  }
  napi_env env() const { return env_; }

 private:
  napi_env env_;
};

}  // namespace emulator

#endif
