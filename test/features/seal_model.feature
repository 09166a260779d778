Feature: Sealing a model
  Weights are copied into device memory, hashed on the way and again in place, and get a signed handle.
  A seal is only returned if every step succeeded.

  @CI-004 @CI-008
  Scenario Outline: Sealing <size> of <content>
    Given a worker
    When <size> of <content> are sealed as "model"
    Then it succeeds
    And "model" has the digests that sha256sum and fs-verity compute
    And "model" verifies
    And the device memory in use is that of the live shards

    Examples:
      | size          | content |
      | 1 byte        | weights |
      | 4,095 bytes   | weights |
      | 4,096 bytes   | weights |
      | 4,097 bytes   | weights |
      | 100,000 bytes | weights |
      | 513 KiB       | weights |
      | 70 KiB        | zeros   |
      | 70 KiB        | ones    |
      | 1 byte        | zeros   |

  @MS-003 @RP-002
  Scenario: Zero bytes cannot be sealed
    Given a worker
    When 0 bytes of weights are sealed as "empty"
    Then it is refused as INVALID_INPUT
    And the refusal names the argument "source"
    And 0 shards are live
    And the device memory in use is that of the live shards
    And "validation.failed" was emitted 1 time

  @RP-001 @RP-002
  Scenario: A model that takes exactly what there is
    Given a worker whose budget holds exactly 128 KiB of weights
    When 128 KiB of weights are sealed as "fits"
    Then it succeeds
    And "fits" verifies
    And no memory is left
    And the device memory in use is that of the live shards

  @VP-004 @RP-001 @RP-004
  Scenario: A model that takes more than there is
    Given a worker whose budget holds exactly 2 MiB of weights
    When 2,097,153 bytes of weights are sealed as "too-large"
    Then it is refused as INSUFFICIENT_VRAM
    And the refusal is retriable
    And the refusal states the bytes needed and the bytes available
    And the refusal says "release other shards, raise budgetBytes or choose another device"
    And the device memory in use is that of the live shards
    And "vram.allocation_failed" was emitted 1 time

  @IV-001 @RP-003
  Scenario: A model above the configured limit
    Given a worker that seals at most 8 KiB at once
    When 8 KiB of weights are sealed as "largest"
    Then it succeeds
    When 8,193 bytes of weights are sealed as "larger"
    Then it is refused as INVALID_INPUT
    And the refusal says "maxShardBytes"
    And 1 shard is live

  @IV-003
  Scenario Outline: An id of <length> characters is accepted
    Given a worker
    When weights are sealed under an id of <length> characters
    Then it succeeds
    And 1 shard is live

    Examples:
      | length |
      | 1      |
      | 256    |

  @IV-003
  Scenario Outline: An id of <length> characters is refused
    Given a worker
    When weights are sealed under an id of <length> characters
    Then it is refused as INVALID_INPUT
    And the refusal names the argument "shardId"
    And 0 shards are live

    Examples:
      | length |
      | 0      |
      | 257    |
      | 10000  |

  @IV-003 @IV-005
  Scenario Outline: An id with <what> is refused before anything is allocated
    Given a worker
    When weights are sealed under the id "<id>"
    Then it is refused as INVALID_INPUT
    And the refusal names the argument "shardId"
    And "vram.allocated" was emitted 0 times
    And the device memory in use is that of the live shards

    Examples:
      | what                     | id              |
      | a path upwards           | ../secret       |
      | a path downwards         | model/layer     |
      | a Windows path           | ..\u005cmodel  |
      | two dots                 | ..              |
      | a null byte              | model\u0000    |
      | a null byte in front     | \u0000model    |
      | a line feed              | model\u000aend |
      | an escape sequence       | \u001b[31mred  |
      | a delete character       | model\u007f    |
      | a blank                  | my model        |
      | a letter beyond ASCII    | modèle          |
      | a right-to-left override | \u202emodel    |
      | a lone surrogate         | \ud800         |

  @IV-007 @IV-005
  Scenario Outline: A model reference with <what> is refused
    Given a worker
    When weights are sealed for the model "<model>"
    Then it is refused as INVALID_INPUT
    And the refusal names the argument "modelRef"

    Examples:
      | what             | model           |
      | a null byte      | llama\u0000    |
      | a line feed      | llama\u000aend |
      | a lone surrogate | llama\ud800    |

  @IV-007
  Scenario: A model reference in any script is kept as it was given
    Given a worker
    When weights are sealed for the model "ラマ/7B – déjà vu"
    Then it succeeds
    And 1 shard is live

  @IV-003
  Scenario: An id is taken for as long as its shard lives
    Given a worker
    And a sealed shard "model" of 4 KiB
    When 8 KiB of weights are sealed as "model"
    Then it is refused as INVALID_INPUT
    And the refusal says "release that one first"
    When "model" is released
    Then it succeeds
    When 8 KiB of weights are sealed as "model"
    Then it succeeds
    And "model" verifies

  @CI-009
  Scenario Outline: Sealing what was expected: <expectation>
    Given a worker
    When 9,000 bytes of weights are sealed as "model", expecting <expectation>
    Then it succeeds
    And "model" verifies

    Examples:
      | expectation            |
      | their sha256           |
      | their fs-verity digest |
      | both of their digests  |

  @CI-009 @RP-006
  Scenario Outline: Sealing something else than was expected: <expectation>
    Given a worker
    When 9,000 bytes of weights are sealed as "model", expecting <expectation>
    Then it is refused as SOURCE_MISMATCH
    And 0 shards are live
    And "vram.sealed" was emitted 0 times
    And the device memory in use is that of the live shards

    Examples:
      | expectation                           |
      | the sha256 of other weights           |
      | the fs-verity digest of other weights |

  @IV-004
  Scenario Outline: An expectation that is not a digest: <expectation>
    Given a worker
    When 9,000 bytes of weights are sealed as "model", expecting <expectation>
    Then it is refused as INVALID_INPUT
    And the refusal names the argument "expected"
    And "vram.allocated" was emitted 0 times

    Examples:
      | expectation                 |
      | a digest of half the length |
      | a digest of an unknown kind |

  @CI-008 @CI-002
  Scenario: The same weights sealed twice
    Given a worker
    When 40 KiB of ones are sealed as "first"
    And 40 KiB of ones are sealed as "second"
    Then "first" and "second" have the same digests, but separate seals

  @AU-001 @NA-001
  Scenario: Every step of a seal is reported
    Given a worker
    When 10 KiB of weights are sealed as "model"
    Then it succeeds
    And these events are emitted in this order:
      | event               |
      | operation.started   |
      | device.opened       |
      | manager.opened      |
      | operation.finished  |
      | operation.started   |
      | vram.allocated      |
      | digest.computed     |
      | digest.computed     |
      | signature.generated |
      | vram.sealed         |
      | operation.finished  |
    And these sentences are narrated in this order:
      | level | actor   | action                     |
      | info  | device  | device_context_initialised |
      | info  | manager | manager_init               |
      | info  | device  | vram_allocated             |
      | info  | manager | digest_computed            |
      | info  | device  | digest_computed            |
      | info  | manager | signature_generated        |
      | info  | manager | model_sealed               |
