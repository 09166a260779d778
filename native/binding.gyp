{
  'targets': [
    {
      'target_name': 'vram_residency',
      'sources': [
        'src/addon.cc',
        'src/border.cc',
        'src/digest/block_hasher.cc',
        'src/digest/digest_calls.cc',
        'src/digest/sha256_armv8.cc',
        'src/digest/sha256_avx2.cc',
        'src/digest/sha256_avx512.cc',
        'src/digest/sha256_shani.cc',
        'src/driver.cc',
        'src/fatbin.cc',
        'src/held_stderr.cc',
        'src/loaded_files.cc',
        'src/memory.cc',
        'src/session.cc',
        'src/staging.cc',
        'src/worker.cc',
      ],
      'defines': ['NAPI_VERSION=8'],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++17', '-Wall', '-Wextra', '-Werror', '-fexceptions', '-fvisibility=hidden'],
      'libraries': ['-ldl', '-pthread'],
    },
  ],
}
