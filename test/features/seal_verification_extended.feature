Feature: Verification in detail
  One flipped bit anywhere is found and located to its block of 4096 bytes. It never passes as clean.

  @ST-001 @CI-004
  Scenario Outline: Bit <bit> of byte <byte> flipped
    Given a worker
    And a sealed shard "model" of 50,000 bytes
    And bit <bit> of byte <byte> of "model" is flipped
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks "<block>"

    Examples:
      | bit | byte  | block |
      | 0   | 0     | 0     |
      | 7   | 4095  | 0     |
      | 3   | 4096  | 1     |
      | 5   | 25000 | 6     |
      | 7   | 49999 | 12    |

  Scenario: A bit that flips back is clean again
    Given a worker
    And a sealed shard "model" of 50,000 bytes
    And bit 2 of byte 300 of "model" is flipped
    And bit 2 of byte 300 of "model" is flipped
    When "model" is verified
    Then it succeeds

  @CI-004
  Scenario: The last byte
    Given a worker
    And a sealed shard "model" of 12,345 bytes
    And the last byte of "model" is damaged
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks "3"

  Scenario: After the last byte, where a block is padded with zeros
    Given a worker
    And a sealed shard "model" of 12,345 bytes
    And the padding after "model" is damaged
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks "3"

  Scenario: Several blocks at once
    Given a worker
    And a sealed shard "model" of 600,000 bytes
    And blocks "0, 1, 5, 127, 128, 146" of "model" are damaged
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks "0, 1, 5, 127, 128, 146"

  Scenario: Damage is also found by reading the bytes back
    Given a worker
    And a sealed shard "model" of 50,000 bytes
    And byte 20000 of "model" is damaged
    When "model" is verified by reading its bytes back
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks "4"

  @CI-010
  Scenario: Two checks that disagree prove neither clean bytes nor damage
    Given a worker
    And a sealed shard "model" of 50,000 bytes
    And the device gives 1 wrong digest
    When "model" is verified
    Then it is refused as DEVICE_UNAVAILABLE
    And the refusal says "neither clean nor proof of damage"
    And no shard is in quarantine
    And "model" verifies

  @CI-007
  Scenario: A sample finds what it looks at, and counts for nothing else
    Given a worker
    And a sealed shard "model" of 600,000 bytes
    When a sample of 1 groups of "model" is verified
    Then it succeeds
    And the verification was of the kind "sampled"
    When work runs on "model", accepting a verification of the last 60 seconds
    Then it succeeds
    And these events are emitted in this order:
      | event              |
      | vram.sealed        |
      | seal.verified      |
      | seal.verified      |
      | execution.finished |

  Scenario: A sample of everything misses nothing
    Given a worker
    And a sealed shard "model" of 600,000 bytes
    And byte 599999 of "model" is damaged
    When a sample of 2 groups of "model" is verified
    Then it is refused as INTEGRITY_VIOLATION

  @ST-001
  Scenario: A quarantined shard stays in quarantine even if the damage disappears
    Given a worker
    And a sealed shard "model" of 50,000 bytes
    And bit 2 of byte 300 of "model" is flipped
    When "model" is verified
    Then it is refused as INTEGRITY_VIOLATION
    And bit 2 of byte 300 of "model" is flipped
    And "model" verifies
    And "model" is in quarantine
    When work runs on "model"
    Then it is refused as INTEGRITY_VIOLATION
    And the work has run 0 times

  @NA-003
  Scenario: Everything reported carries the caller's correlation id
    Given a worker
    And a sealed shard "model" of 5,000 bytes
    When "model" is verified under the correlation id "request 7"
    Then it succeeds
    And everything reported for the latest operation carries the correlation id "request 7"
