Feature: Verification in detail
  One flipped bit anywhere is found, named by its block of 4096 bytes, and never taken for clean.

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

  Scenario: Behind the last byte, where a block is filled up with zeros
    Given a worker
    And a sealed shard "model" of 12,345 bytes
    And the padding behind "model" is damaged
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

  Scenario: Damage is found by bringing the bytes back as well
    Given a worker
    And a sealed shard "model" of 50,000 bytes
    And byte 20000 of "model" is damaged
    When "model" is verified by bringing its bytes back
    Then it is refused as INTEGRITY_VIOLATION
    And the damage is reported in the blocks "4"

  @CI-010
  Scenario: Two looks that disagree are neither clean nor damage
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
    When work runs on "model", content with a verification of the last 60 seconds
    Then it succeeds
    And these events are told in this order:
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
  Scenario: What is in quarantine stays there, though the damage goes away
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
  Scenario: The caller's correlation id goes through everything told
    Given a worker
    And a sealed shard "model" of 5,000 bytes
    When "model" is verified under the correlation id "request 7"
    Then it succeeds
    And everything told of the latest operation carries the correlation id "request 7"
