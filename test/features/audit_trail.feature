Feature: The audit log records what happened
  Every operation leaves a record with its severity. Changes to the log are detected, and an operation
  that cannot be recorded does not happen.

  Background:
    Given a worker with an audit log

  @AU-001 @RP-005
  Scenario: A shard's life, record by record
    Given a sealed shard "model" of 9,000 bytes
    When "model" is verified
    And byte 50 of "model" is damaged
    And "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    When "model" is healed from its source
    And "model" is released
    Then it succeeds
    And the audit log holds these records, in this order:
      | severity | type                     |
      | MEDIUM   | vram.allocated           |
      | CRITICAL | vram.sealed              |
      | HIGH     | seal.verified            |
      | CRITICAL | seal.verification_failed |
      | CRITICAL | shard.quarantined        |
      | CRITICAL | damage.located           |
      | HIGH     | shard.healed             |
      | MEDIUM   | vram.deallocated         |
    And these sentences are narrated in this order:
      | level | actor   | action                     |
      | info  | device  | device_context_initialised |
      | info  | manager | manager_init               |
      | info  | device  | vram_allocated             |
      | info  | manager | model_sealed               |
      | info  | manager | seal_verified              |
      | error | manager | seal_verification_failed   |
      | error | manager | shard_quarantined          |
      | error | manager | damage_located             |
      | info  | manager | shard_healed               |
      | info  | device  | vram_deallocated           |
    And every record names the worker and a correlation id
    And the audit log verifies

  @AU-001 @NA-001
  Scenario: A refusal is reported too
    When 0 bytes of weights are sealed as "empty"
    Then it is refused as INVALID_INPUT
    And a sentence says "was refused"
    And these sentences are narrated in this order:
      | level | actor   | action            |
      | warn  | manager | validation_failed |

  @AU-001
  Scenario: A drill is recorded before it damages anything
    Given a sealed shard "model" of 9,000 bytes
    When a drill with the seed 3 flips 2 bits of "model"
    Then it succeeds
    And the audit log holds these records, in this order:
      | severity | type           |
      | MEDIUM   | vram.allocated |
      | CRITICAL | vram.sealed    |
      | CRITICAL | drill.injected |
      | CRITICAL | drill.injected |

  @AU-002
  Scenario Outline: A <change> is detected
    Given the sealed shards "a, b" of 5,000 bytes each
    When "a" is verified
    And "a" is released
    Then it succeeds
    And the audit log verifies
    And a <change> in the audit log is found

    Examples:
      | change                      |
      | changed letter              |
      | record removed              |
      | record written twice        |
      | pair of records swapped     |
      | record of an invented event |

  @AU-005
  Scenario: What cannot be recorded does not happen
    Given a sealed shard "model" of 5,000 bytes
    And the audit log cannot be written
    When 5,000 bytes of weights are sealed as "other"
    Then it is refused as AUDIT_FAILED
    And the refusal is retriable
    And 1 shard is live
    When work runs on "model"
    Then it is refused as AUDIT_FAILED
    And the work has run 0 times
    When the audit log can be written again
    And 5,000 bytes of weights are sealed as "other"
    Then it succeeds

  @AU-005 @ST-001
  Scenario: A verdict is returned even if it cannot be recorded
    Given a sealed shard "model" of 5,000 bytes
    And byte 7 of "model" is damaged
    And the audit log cannot be written
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And "model" is in quarantine

  @AU-005 @RP-005
  Scenario: A release is never delayed, and is recorded as soon as possible
    Given the sealed shards "a, b" of 5,000 bytes each
    And the audit log cannot be written
    When "a" is released
    Then the memory was overwritten with zeros before it was freed
    And 1 release waits to be recorded
    When the audit log can be written again
    And "b" is verified
    Then it succeeds
    And 0 releases wait to be recorded
    And the audit log holds these records, in this order:
      | severity | type             |
      | MEDIUM   | vram.allocated   |
      | CRITICAL | vram.sealed      |
      | MEDIUM   | vram.allocated   |
      | CRITICAL | vram.sealed      |
      | MEDIUM   | vram.deallocated |
      | HIGH     | seal.verified    |
